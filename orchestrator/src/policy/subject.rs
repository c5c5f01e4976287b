//! Subjects: tags of a principal to conditions on `principal`.

use dataos_model::{entity::EntityType, fault::Fault};

use super::cedar;
use crate::{
    fields::{Fields, expected, items_of, text_of, wrong},
    yaml::{Content, Node, Place},
};

/// Whether the policy gives or takes: "all users" counts the anonymous caller only when it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Permit,
    Forbid,
}

/// The condition that one tag stands for.
pub(super) fn tag_condition(
    tag: &str,
    purpose: Purpose,
    place: Place,
    field: &str,
) -> Result<String, Fault> {
    let is_in = |entity_type: EntityType, id: &str| {
        format!("principal in {}", cedar::entity(&entity_type.id(id)))
    };
    if tag == "users:id:*" || tag == "users:id:**" {
        return Ok(match purpose {
            Purpose::Permit => {
                "principal is DataOS::User && principal != DataOS::User::\"anonymous\"".to_owned()
            }
            Purpose::Forbid => "principal is DataOS::User".to_owned(),
        });
    }
    if tag.contains('*') {
        return Err(wrong(
            place,
            field,
            format!("the wildcard in `{tag}` cannot be expressed"),
        )
        .with_hint("name the users, roles, groups or tags; `users:id:*` means every user"));
    }
    if tag.is_empty() {
        return Err(wrong(place, field, "an empty tag"));
    }
    Ok(if let Some(user) = tag.strip_prefix("users:id:") {
        format!("principal == {}", cedar::entity(&EntityType::USER.id(user)))
    } else if let Some(role) = tag.strip_prefix("roles:id:") {
        is_in(EntityType::ROLE, role)
    } else if let Some(group) = tag
        .strip_prefix("groups:id:")
        .or(tag.strip_prefix("groups:"))
    {
        is_in(EntityType::GROUP, group)
    } else {
        is_in(EntityType::TAG, tag)
    })
}

/// `tags`: a list of lists (outer OR, inner AND), or a flat list (OR).
pub(super) fn subjects(fields: &Fields<'_>, purpose: Purpose) -> Result<String, Fault> {
    fields.required("tags")?;
    let mut alternatives = Vec::new();
    for (path, node) in fields.list("tags")? {
        alternatives.push(alternative(node, &path, purpose)?);
    }
    if alternatives.is_empty() {
        return Err(fields.fault("tags", "the list is empty"));
    }
    Ok(cedar::any(&alternatives))
}

fn alternative(node: &Node, path: &str, purpose: Purpose) -> Result<String, Fault> {
    match &node.content {
        Content::Text(tag) => tag_condition(tag, purpose, node.place, path),
        Content::List(_) => {
            let mut terms = Vec::new();
            for (path, item) in items_of(node, path)? {
                terms.push(tag_condition(
                    text_of(item, &path)?,
                    purpose,
                    item.place,
                    &path,
                )?);
            }
            if terms.is_empty() {
                return Err(wrong(
                    node.place,
                    path,
                    "an empty list would match everyone",
                ));
            }
            Ok(cedar::all(&terms))
        }
        _ => Err(expected(node, path, "a tag or a list of tags")),
    }
}

/// `selector.user`: `{match: any | all, tags: []}`.
pub(super) fn selector(fields: &Fields<'_>, purpose: Purpose) -> Result<String, Fault> {
    let is_all = match fields.text("match")? {
        None | Some("any") => false,
        Some("all") => true,
        Some(word) => {
            return Err(fields.fault("match", format!("expected any or all, found `{word}`")));
        }
    };
    fields.required("tags")?;
    let mut terms = Vec::new();
    for (path, node) in fields.list("tags")? {
        terms.push(alternative(node, &path, purpose)?);
    }
    if terms.is_empty() {
        return Err(fields.fault("tags", "the list is empty"));
    }
    fields.finish()?;
    Ok(if is_all {
        cedar::all(&terms)
    } else {
        cedar::any(&terms)
    })
}
