use super::*;

fn id(number: usize) -> Hash {
    Hash::of(number.to_string())
}

fn result(size: usize) -> CachedResult {
    CachedResult {
        columns: Vec::new(),
        chunks: vec![Bytes::from(vec![0; size])],
        end: RowsEnd::default(),
    }
}

fn is_there(cached: &Cached, number: usize) -> bool {
    cached.kept().by_key.contains_key(&id(number))
}

#[test]
fn the_results_that_were_not_used_for_longest_go_first() {
    let room = 3 * (100 + ENTRY_OVERHEAD_BYTES);
    let cached = Cached::new(room);
    for number in 0..3 {
        cached.put(id(number), result(100));
    }
    assert!(cached.kept().find(id(0)).is_some());
    cached.put(id(3), result(100));
    let there: Vec<bool> = (0..4).map(|number| is_there(&cached, number)).collect();
    assert_eq!(there, [true, false, true, true]);
    // One that is there already takes its own place.
    cached.put(id(3), result(50));
    assert_eq!(cached.counts().byte_count, room - 50);
    cached.put(id(4), result(2_000));
    assert!(!is_there(&cached, 4), "larger than all of them");
    cached.put(id(5), result(700));
    assert_eq!(cached.counts().entries, 2);
    assert!(cached.counts().byte_count <= room);
}

#[test]
fn there_are_no_more_than_so_many() {
    let cached = Cached::new(u64::MAX);
    for number in 0..ENTRIES_MAX + 10 {
        cached.put(id(number), result(1));
    }
    let kept = cached.kept();
    assert_eq!(kept.by_key.len(), ENTRIES_MAX);
    assert_eq!(kept.by_use.len(), ENTRIES_MAX);
    drop(kept);
    assert!(!is_there(&cached, 9) && is_there(&cached, 10));
}
