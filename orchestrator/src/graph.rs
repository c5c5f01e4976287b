//! Order by dependencies.

use std::collections::{BTreeMap, BTreeSet};

/// Names in an order in which each comes after what it depends on, ties by name; or the path of a
/// cycle, its first name repeated at the end. A dependency that is no key is ignored.
pub(crate) fn order(edges: &BTreeMap<String, Vec<String>>) -> Result<Vec<String>, Vec<String>> {
    let mut waiting: BTreeMap<&str, usize> = BTreeMap::new();
    let mut dependants: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, dependencies) in edges {
        let known: BTreeSet<&str> = dependencies
            .iter()
            .map(String::as_str)
            .filter(|d| edges.contains_key(*d))
            .collect();
        waiting.insert(name, known.len());
        for dependency in known {
            dependants.entry(dependency).or_default().push(name);
        }
    }
    let mut ready: BTreeSet<&str> = waiting
        .iter()
        .filter(|(_, count)| **count == 0)
        .map(|(name, _)| *name)
        .collect();
    let mut ordered = Vec::with_capacity(edges.len());
    while let Some(name) = ready.pop_first() {
        ordered.push(name.to_owned());
        waiting.remove(name);
        for dependant in dependants.get(name).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(dependant) {
                *count -= 1;
                if *count == 0 {
                    ready.insert(dependant);
                }
            }
        }
    }
    match waiting.keys().next() {
        None => Ok(ordered),
        Some(start) => Err(cycle(edges, &waiting, start)),
    }
}

/// Every name that is left waits for another one that is left, so walking on must come round.
fn cycle(
    edges: &BTreeMap<String, Vec<String>>,
    waiting: &BTreeMap<&str, usize>,
    start: &str,
) -> Vec<String> {
    let mut path: Vec<&str> = vec![start];
    while let Some(next) = path
        .last()
        .and_then(|name| edges.get(*name))
        .and_then(|dependencies| {
            dependencies
                .iter()
                .find(|d| waiting.contains_key(d.as_str()))
        })
    {
        let found = path.iter().position(|name| name == next);
        path.push(next);
        if let Some(first) = found {
            return path
                .split_off(first)
                .into_iter()
                .map(str::to_owned)
                .collect();
        }
    }
    path.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(edges: &[(&str, &[&str])], expected: Result<&str, &str>) {
        let edges = edges
            .iter()
            .map(|(name, to)| {
                (
                    (*name).to_owned(),
                    to.iter().map(|d| (*d).to_owned()).collect(),
                )
            })
            .collect();
        let found = order(&edges);
        let shown = found
            .map(|names| names.join(" "))
            .map_err(|path| path.join(" -> "));
        assert_eq!(shown, expected.map(str::to_owned).map_err(str::to_owned));
    }

    #[test]
    fn orders_and_finds_cycles() {
        check(&[("a", &["b"]), ("b", &["c"]), ("c", &[])], Ok("c b a"));
        check(
            &[("d", &["b", "c"]), ("b", &["a"]), ("c", &["a"]), ("a", &[])],
            Ok("a b c d"),
        );
        check(&[("a", &["elsewhere"])], Ok("a"));
        check(&[("a", &["a"])], Err("a -> a"));
        check(
            &[("x", &["a"]), ("a", &["b"]), ("b", &["c"]), ("c", &["a"])],
            Err("a -> b -> c -> a"),
        );
    }
}
