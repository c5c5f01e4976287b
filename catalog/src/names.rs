//! Which names are accepted, and how a file becomes the name of a dataset.
//!
//! Entity ids are `depot:collection/name` and `depot:collection/name/column`. They name one thing
//! only if depots hold no `:` and neither collections nor datasets hold `/`; hence the rules here.

use dataos_model::{dataset::DatasetId, fault::Fault};

/// Longest name of a depot, in bytes.
const DEPOT_BYTES_MAX: usize = 48;
/// Longest name of a collection, dataset or column, in bytes; sources have limits of this size.
const PART_BYTES_MAX: usize = 255;
/// Longest tag, in bytes.
const TAG_BYTES_MAX: usize = 128;
/// Most tags set by hand on one target.
const TAGS_PER_TARGET_MAX: usize = 64;

/// Checks the name of a depot: `[a-z][a-z0-9]*`.
pub(crate) fn check_depot(name: &str) -> Result<(), Fault> {
    let is_valid = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.len() <= DEPOT_BYTES_MAX;
    if is_valid {
        return Ok(());
    }
    Err(
        Fault::invalid(format!("`{}` is not a name for a depot", shown(name))).with_hint(format!(
            "use a lower-case letter, then lower-case letters and digits, at most {DEPOT_BYTES_MAX}"
        )),
    )
}

/// Checks one tag: segments `[A-Za-z0-9][A-Za-z0-9_:-]*` joined by dots.
pub(crate) fn check_tag(tag: &str) -> Result<(), Fault> {
    let is_segment = |segment: &str| {
        segment.starts_with(|c: char| c.is_ascii_alphanumeric())
            && segment
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-'))
    };
    if tag.len() <= TAG_BYTES_MAX && tag.split('.').all(is_segment) {
        return Ok(());
    }
    Err(
        Fault::invalid(format!("`{}` is not a tag", shown(tag))).with_hint(format!(
            "use letters, digits, `_`, `:` and `-`, with dots between levels such as `PII.email`, \
         at most {TAG_BYTES_MAX} bytes"
        )),
    )
}

/// Checks a list of tags for one target.
pub(crate) fn check_tags(tags: &[String]) -> Result<(), Fault> {
    if tags.len() > TAGS_PER_TARGET_MAX {
        return Err(Fault::invalid(format!(
            "{} tags for one asset; at most {TAGS_PER_TARGET_MAX} are accepted",
            tags.len()
        )));
    }
    tags.iter().try_for_each(|tag| check_tag(tag))
}

/// The tag and the tags it is in, most special first: `A.B.C`, `A.B`, `A`.
pub(crate) fn tag_levels(tag: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(tag), |level| {
        level.rsplit_once('.').map(|(parent, _)| parent)
    })
}

/// Why `name` cannot name a collection or a dataset, if it cannot.
pub(crate) fn part_problem(name: &str) -> Option<String> {
    if name.contains('/') {
        return Some(format!("the name `{}` holds a `/`", shown(name)));
    }
    column_problem(name)
}

/// Why `name` cannot name a column, if it cannot.
pub(crate) fn column_problem(name: &str) -> Option<String> {
    if name.is_empty() {
        Some("a name is empty".to_owned())
    } else if name.len() > PART_BYTES_MAX {
        Some(format!(
            "the name `{}` is longer than {PART_BYTES_MAX} bytes",
            shown(name)
        ))
    } else if name.chars().any(char::is_control) {
        Some(format!(
            "the name `{}` holds a control character",
            shown(name)
        ))
    } else {
        None
    }
}

/// Checks the id of a dataset that a write brings.
pub(crate) fn check_dataset(id: &DatasetId) -> Result<(), Fault> {
    check_depot(&id.depot)?;
    match part_problem(&id.collection).or_else(|| part_problem(&id.name)) {
        Some(problem) => Err(Fault::invalid(format!("dataset address: {problem}"))),
        None => Ok(()),
    }
}

/// The name that a file or folder gives to a dataset or collection: kept where it consists of ASCII
/// letters, digits and `_`; each run of other characters becomes one `_`, none at the ends. `None`
/// if nothing is left, or too much.
pub(crate) fn from_file(stem: &str) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !stem.is_empty() && stem.chars().all(is_plain) {
        return (stem.len() <= PART_BYTES_MAX).then(|| stem.to_owned());
    }
    let words: Vec<&str> = stem
        .split(|c| !is_plain(c))
        .filter(|word| !word.is_empty())
        .collect();
    let name = words.join("_");
    (!name.is_empty() && name.len() <= PART_BYTES_MAX).then_some(name)
}

/// A name as messages show it: bounded and without control characters.
pub(crate) fn shown(name: &str) -> String {
    name.chars()
        .take(100)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depots() {
        for (name, expected) in [
            ("lake", true),
            ("a1", true),
            ("1a", false),
            ("", false),
            ("Lake", false),
            ("a:b", false),
        ] {
            assert_eq!(check_depot(name).is_ok(), expected, "{name}");
        }
        assert!(check_depot(&"a".repeat(DEPOT_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn tags() {
        for (tag, expected) in [
            ("PII", true),
            ("PII.email", true),
            ("users:dataos-x", true),
            ("a_b.c-d", true),
            (".a", false),
            ("a.", false),
            ("a..b", false),
            ("-a", false),
            ("a b", false),
            ("é", false),
            ("", false),
        ] {
            assert_eq!(check_tag(tag).is_ok(), expected, "{tag}");
        }
        assert!(check_tag(&"a".repeat(TAG_BYTES_MAX + 1)).is_err());
        assert!(check_tags(&vec!["a".to_owned(); TAGS_PER_TARGET_MAX + 1]).is_err());
        assert_eq!(
            tag_levels("A.B.C").collect::<Vec<_>>(),
            ["A.B.C", "A.B", "A"]
        );
    }

    #[test]
    fn file_names() {
        for (stem, expected) in [
            ("orders", Some("orders")),
            ("_x_", Some("_x_")),
            ("Sales 2024-05", Some("Sales_2024_05")),
            ("..a..", Some("a")),
            ("päivä", Some("p_iv")),
            ("--", None),
            ("", None),
        ] {
            assert_eq!(from_file(stem).as_deref(), expected, "{stem}");
        }
    }

    #[test]
    fn parts() {
        for (name, expected) in [("a b", true), ("a/b", false), ("a\0", false), ("", false)] {
            assert_eq!(part_problem(name).is_none(), expected, "{name}");
        }
        assert!(column_problem("a/b").is_none());
    }
}
