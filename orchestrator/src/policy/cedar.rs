//! Prints Cedar text.

use std::fmt::Write;

use dataos_model::{action::Action, entity::EntityUid};

/// Most terms of [`any_of_many`] beside one another.
const TERMS_IN_A_ROW: usize = 8;

/// One policy.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub(super) id: String,
    pub(super) description: String,
    /// The text of `@mask`.
    pub(super) mask: Option<String>,
    pub(super) priority: Option<i64>,
    pub(super) is_permit: bool,
    pub(super) actions: Vec<Action>,
    /// Conditions that must all hold.
    pub(super) when: Vec<String>,
    /// Conditions of which none must hold.
    pub(super) unless: Vec<String>,
}

/// All policies, one after the other.
pub(super) fn print<'a>(policies: impl IntoIterator<Item = &'a Policy>) -> String {
    policies
        .into_iter()
        .map(print_one)
        .collect::<Vec<_>>()
        .join("\n")
}

fn print_one(policy: &Policy) -> String {
    let mut text = format!("@id({})\n", quoted(&policy.id));
    let mut annotate = |name: &str, value: &str| {
        if !value.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "@{name}({})", quoted(value));
        }
    };
    annotate("description", &policy.description);
    annotate("mask", policy.mask.as_deref().unwrap_or_default());
    annotate(
        "priority",
        &policy.priority.map(|p| p.to_string()).unwrap_or_default(),
    );
    let effect = if policy.is_permit { "permit" } else { "forbid" };
    let _ = write!(
        text,
        "{effect} (principal, {}, resource)",
        scope(&policy.actions)
    );
    for condition in &policy.when {
        let _ = write!(text, "\nwhen {{ {condition} }}");
    }
    for condition in &policy.unless {
        let _ = write!(text, "\nunless {{ {condition} }}");
    }
    text.push_str(";\n");
    text
}

fn scope(actions: &[Action]) -> String {
    let names: Vec<String> = actions
        .iter()
        .map(|action| format!("DataOS::Action::\"{action}\""))
        .collect();
    match names.as_slice() {
        [name] => format!("action == {name}"),
        _ => format!("action in [{}]", names.join(", ")),
    }
}

/// A Cedar string literal.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{{{:x}}}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// An entity literal.
pub(super) fn entity(uid: &EntityUid) -> String {
    format!("DataOS::{}::{}", uid.entity_type.name(), quoted(&uid.id))
}

/// All must hold.
pub(super) fn all(terms: &[String]) -> String {
    join(terms, " && ")
}

/// One must hold.
pub(super) fn any(terms: &[String]) -> String {
    join(terms, " || ")
}

/// One of possibly many must hold: a tree as flat as it can be, since Cedar follows nesting by
/// recursion.
pub(super) fn any_of_many(terms: &[String]) -> String {
    if terms.len() <= TERMS_IN_A_ROW {
        return any(terms);
    }
    let (left, right) = terms.split_at(terms.len() / 2);
    any(&[any_of_many(left), any_of_many(right)])
}

fn join(terms: &[String], operator: &str) -> String {
    match terms {
        [term] => term.clone(),
        _ => {
            let is_mixed = |term: &String| term.contains(" && ") || term.contains(" || ");
            let wrap = |t: &String| {
                if is_mixed(t) {
                    format!("({t})")
                } else {
                    t.clone()
                }
            };
            terms.iter().map(wrap).collect::<Vec<_>>().join(operator)
        }
    }
}

/// Words that Cedar does not take as an attribute name.
const RESERVED: &[&str] = &[
    "true", "false", "if", "then", "else", "in", "is", "like", "has",
];

fn is_plain_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !RESERVED.contains(&name)
}

/// `resource.name`.
pub(super) fn attribute(of: &str, name: &str) -> String {
    if is_plain_name(name) {
        format!("{of}.{name}")
    } else {
        format!("{of}[{}]", quoted(name))
    }
}

/// `resource has name`.
pub(super) fn has(of: &str, name: &str) -> String {
    if is_plain_name(name) {
        format!("{of} has {name}")
    } else {
        format!("{of} has {}", quoted(name))
    }
}
