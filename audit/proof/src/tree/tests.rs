use super::*;

fn leaves(count: u64) -> Vec<Digest> {
    (0..count)
        .map(|number| leaf_hash(&number.to_be_bytes()))
        .collect()
}

/// The definition of RFC 6962, 2.1, word for word.
fn definition(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            node_hash(&definition(&leaves[..split]), &definition(&leaves[split..]))
        }
    }
}

#[test]
fn known_hashes() {
    let hex = |digest: Digest| hex::encode(digest);
    assert_eq!(
        hex(empty_root()),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    assert_eq!(
        hex(leaf_hash(b"")),
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    );
}

#[test]
fn growth_in_any_steps_is_the_definition() {
    for step in [1, 2, 3, 7, 16, 50] {
        let all = leaves(100);
        let (mut grown, mut pushed) = (Frontier::new(), Frontier::new());
        for run in all.chunks(step) {
            let growth = grown.grow(run.to_vec());
            run.iter().for_each(|leaf| pushed.push(*leaf));
            let size = usize::try_from(grown.size()).unwrap();
            assert_eq!(growth.root(), definition(&all[..size]));
            assert_eq!(grown, pushed);
        }
    }
    let mut frontier = Frontier::new();
    assert_eq!(frontier.grow(Vec::new()).root(), empty_root());
    frontier.grow(leaves(5));
    let before = frontier.clone();
    assert_eq!(frontier.grow(Vec::new()).root(), before.root());
    assert_eq!(frontier, before);
}

#[test]
fn proofs_of_a_wrong_shape_are_refused() {
    let all = leaves(11);
    let growth = Frontier::new().grow(all.clone());
    let proof = growth.inclusion(9).unwrap();
    let root_with = |index, size, proof: &[Digest]| root_of_inclusion(&all[9], index, size, proof);
    assert_eq!(root_with(9, 11, &proof), Some(growth.root()));
    assert_eq!(root_with(9, 9, &proof), None);
    assert_eq!(root_with(9, 11, &proof[1..]), None);
    assert_eq!(
        root_with(9, 11, &[proof.clone(), vec![[0; 32]]].concat()),
        None
    );
    assert_eq!(root_with(9, 0, &[]), None);
    assert_ne!(root_with(8, 11, &proof), Some(growth.root()));
    assert_eq!(
        root_with(u64::MAX - 1, u64::MAX, &vec![[0; 32]; 1000]),
        None
    );
}
