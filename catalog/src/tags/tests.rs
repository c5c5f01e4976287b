//! Random graphs with cycles and random edits, against a derivation from nothing.

use dataos_model::{dataset::DatasetId, lineage::Transformation};

use super::*;

/// A small generator of numbers; the same seed gives the same run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }
}

fn edge(dice: &mut Dice) -> Edge {
    let transformation = [
        Transformation::Identity,
        Transformation::Transformation,
        Transformation::Aggregation,
        Transformation::Indirect,
    ][dice.roll(4)];
    Edge {
        source: dataset(dice.roll(5)),
        source_column: format!("c{}", dice.roll(3)),
        target: dataset(dice.roll(5)),
        target_column: format!("c{}", dice.roll(3)),
        transformation,
    }
}

fn dataset(number: usize) -> DatasetId {
    DatasetId::new("lake", "main", format!("t{number}"))
}

fn targets() -> Vec<Target> {
    let mut all = Vec::new();
    for number in 0..5 {
        all.push(Target::new(&dataset(number), None));
        all.extend((0..3).map(|c| Target::new(&dataset(number), Some(&format!("c{c}")))));
    }
    all
}

/// For each target: the tags of all that reach it, found by walking backwards from it.
fn oracle(
    edges: &BTreeSet<Edge>,
    own: &BTreeMap<Target, BTreeSet<String>>,
) -> BTreeMap<Target, BTreeSet<String>> {
    let pairs: Vec<(Target, Target)> = edges.iter().flat_map(ends).collect();
    let of = |target: Target| {
        let mut seen = BTreeSet::from([target.clone()]);
        let mut work = vec![target.clone()];
        while let Some(at) = work.pop() {
            for (from, to) in &pairs {
                if *to == at && seen.insert(from.clone()) {
                    work.push(from.clone());
                }
            }
        }
        let tags = seen
            .iter()
            .filter_map(|t| own.get(t))
            .flatten()
            .cloned()
            .collect();
        (target, tags)
    };
    targets().into_iter().map(of).collect()
}

#[test]
fn random_edits_equal_a_derivation_from_nothing() {
    let mut compared = 0;
    for seed in 1..=40 {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ seed);
        let mut graph = TagGraph::default();
        let mut edges = BTreeSet::new();
        let mut own: BTreeMap<Target, BTreeSet<String>> = BTreeMap::new();
        let mut former = oracle(&edges, &own);
        for step in 0..150 {
            let mut disturbed = Disturbed::default();
            for _ in 0..=dice.roll(3) {
                match dice.roll(5) {
                    0 | 1 => {
                        let edge = edge(&mut dice);
                        if edges.insert(edge.clone()) {
                            graph.connect(&edge, &mut disturbed);
                        }
                    }
                    2 | 3 => {
                        let Some(edge) = edges.iter().nth(dice.roll(edges.len().max(1))).cloned()
                        else {
                            continue;
                        };
                        edges.remove(&edge);
                        graph.disconnect(&edge, &mut disturbed);
                    }
                    _ => {
                        let target = targets()[dice.roll(targets().len())].clone();
                        let tags: BTreeSet<String> = (0..dice.roll(3))
                            .map(|_| format!("T{}", dice.roll(4)))
                            .collect();
                        own.insert(target.clone(), tags.clone());
                        graph.set_own(&target, tags, &mut disturbed);
                    }
                }
            }
            let changed: BTreeSet<Target> = graph.derive(disturbed).into_iter().collect();
            let expected = oracle(&edges, &own);
            for (target, tags) in &expected {
                assert_eq!(
                    &graph.effective(target),
                    tags,
                    "seed {seed} step {step} {target:?}"
                );
                assert_eq!(
                    former[target] != *tags,
                    changed.contains(target),
                    "{target:?}"
                );
                compared += usize::from(!tags.is_empty());
            }
            former = expected;
        }
    }
    assert!(compared > 10_000, "the graphs carried tags: {compared}");
}

#[test]
fn a_cycle_does_not_feed_itself() {
    let (a, b) = (dataset(0), dataset(1));
    let link = |source: &DatasetId, target: &DatasetId| Edge {
        source: source.clone(),
        source_column: "c".to_owned(),
        target: target.clone(),
        target_column: "c".to_owned(),
        transformation: Transformation::Identity,
    };
    let mut graph = TagGraph::default();
    let mut disturbed = Disturbed::default();
    graph.connect(&link(&a, &b), &mut disturbed);
    graph.connect(&link(&b, &a), &mut disturbed);
    let (a, b) = (Target::new(&a, Some("c")), Target::new(&b, Some("c")));
    graph.set_own(&a, BTreeSet::from(["PII".to_owned()]), &mut disturbed);
    graph.derive(disturbed);
    assert_eq!(graph.effective(&b).len(), 1);

    let mut disturbed = Disturbed::default();
    graph.set_own(&a, BTreeSet::new(), &mut disturbed);
    graph.derive(disturbed);
    assert!(graph.effective(&a).is_empty() && graph.effective(&b).is_empty());
}
