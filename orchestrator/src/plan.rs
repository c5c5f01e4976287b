//! What an apply would change, and the digest that ties an apply to a reviewed plan.

use std::collections::BTreeMap;

use dataos_model::hash::Hash;
use serde_json::Value;

/// Most changed fields shown of one resource.
const FIELDS_MAX: usize = 200;
/// Longest value shown, in characters.
const VALUE_CHARS_MAX: usize = 120;

/// Changed fields as `path: old -> new`.
pub(crate) fn difference(old: &Value, new: &Value) -> Vec<String> {
    let (old, new) = (flat(old), flat(new));
    let mut changes = Vec::new();
    for (path, value) in &new {
        match old.get(path) {
            None => changes.push(format!("{path}: (none) -> {value}")),
            Some(before) if before != value => changes.push(format!("{path}: {before} -> {value}")),
            Some(_) => {}
        }
    }
    for (path, value) in old.iter().filter(|(path, _)| !new.contains_key(*path)) {
        changes.push(format!("{path}: {value} -> (none)"));
    }
    if changes.len() > FIELDS_MAX {
        let more = changes.len() - FIELDS_MAX;
        changes.truncate(FIELDS_MAX);
        changes.push(format!("and {more} more"));
    }
    changes
}

/// Leaves by dotted path.
fn flat(value: &Value) -> BTreeMap<String, String> {
    let mut leaves = BTreeMap::new();
    collect(value, "", &mut leaves);
    leaves
}

fn collect(value: &Value, path: &str, leaves: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (key, member) in members {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                collect(member, &path, leaves);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                collect(item, &format!("{path}[{index}]"), leaves);
            }
        }
        leaf => {
            leaves.insert(
                path.to_owned(),
                leaf.to_string().chars().take(VALUE_CHARS_MAX).collect(),
            );
        }
    }
}

/// Digest of a document's content, secrets blanked.
pub(crate) fn content(document: &Value) -> Hash {
    Hash::of(document.to_string())
}

/// One line of a plan, as the digest sees it.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) id: String,
    pub(crate) content: Hash,
    /// 0 if the resource does not exist.
    pub(crate) base_revision: u64,
    pub(crate) action: &'static str,
}

/// Digest over what is wanted, what it is based on, and the policies in force.
pub(crate) fn hash(lines: &[Line], policy_set: Hash) -> Hash {
    let parts = lines.iter().flat_map(|line| {
        [
            line.id.clone(),
            line.content.to_string(),
            line.base_revision.to_string(),
            line.action.to_owned(),
        ]
    });
    Hash::of_parts(parts.chain([policy_set.to_string()]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_changed_fields() {
        let old = json!({"a": 1, "b": {"c": "x", "gone": true}, "l": [1, 2]});
        let new = json!({"a": 1, "b": {"c": "y", "added": null}, "l": [1, 3, 4]});
        assert_eq!(
            difference(&old, &new),
            [
                "b.added: (none) -> null",
                "b.c: \"x\" -> \"y\"",
                "l[1]: 2 -> 3",
                "l[2]: (none) -> 4",
                "b.gone: true -> (none)",
            ]
        );
    }

    #[test]
    fn every_part_moves_the_hash() {
        let line = |content: &str, base_revision, action| Line {
            id: "secret:v1:a:public".to_owned(),
            content: Hash::of(content),
            base_revision,
            action,
        };
        let base = hash(&[line("x", 1, "update")], Hash::default());
        assert_eq!(base, hash(&[line("x", 1, "update")], Hash::default()));
        assert_ne!(base, hash(&[line("y", 1, "update")], Hash::default()));
        assert_ne!(base, hash(&[line("x", 2, "update")], Hash::default()));
        assert_ne!(base, hash(&[line("x", 1, "none")], Hash::default()));
        assert_ne!(base, hash(&[line("x", 1, "update")], Hash::of("other set")));
        assert_ne!(base, hash(&[], Hash::default()));
    }
}
