//! `policy.access`: who may do what with which objects.

use dataos_model::{action::Action, fault::Fault};

use super::{
    Envelope,
    cedar::{self, Policy},
    object,
    subject::{self, Purpose},
};
use crate::{
    fields::{Fields, expected, items_of, not_supported, text_of, wrong},
    yaml::{Content, Node},
};

/// Predicates on datasets, and the actions that they stand for.
const DATA_PREDICATES: &[(&str, &[Action])] = &[
    (
        "read",
        &[
            Action::Select,
            Action::ReadRow,
            Action::ReadCell,
            Action::ViewAsset,
        ],
    ),
    (
        "select",
        &[Action::Select, Action::ReadRow, Action::ReadCell],
    ),
    (
        "write",
        &[
            Action::Insert,
            Action::Update,
            Action::Delete,
            Action::CreateDataset,
        ],
    ),
    ("create", &[Action::CreateDataset]),
    ("update", &[Action::Update]),
    ("delete", &[Action::Delete]),
];

/// Predicates on what lies in a workspace.
const WORKSPACE_PREDICATES: &[(&str, &[Action])] = &[
    ("create_in", &[Action::ApplyResource]),
    (
        "read_in",
        &[Action::ListResources, Action::GetResource, Action::ViewLog],
    ),
    ("update_in", &[Action::ApplyResource]),
    ("delete_in", &[Action::DeleteResource]),
];

/// Predicates that are methods of the API.
const METHODS: &[&str] = &["get", "put", "post", "patch", "options"];

/// Compiles the `access` section.
pub(super) fn compile(fields: &Fields<'_>, mut envelope: Envelope) -> Result<Vec<Policy>, Fault> {
    envelope.read_inner(fields)?;
    fields.without_effect(&["collection"]);
    let is_permit = fields.flag("allow")?.unwrap_or(false);
    let purpose = if is_permit {
        Purpose::Permit
    } else {
        Purpose::Forbid
    };
    fields.required("subjects")?;
    let section = fields
        .fields("subjects")?
        .ok_or_else(|| fields.missing("subjects"))?;
    let who = subject::subjects(&section, purpose)?;
    section.finish()?;
    let (actions, kind) = predicates(fields)?;
    let objects = objects(fields, kind)?;
    fields.finish()?;
    Ok(vec![Policy {
        id: envelope.id(),
        description: envelope.description,
        mask: None,
        priority: None,
        is_permit,
        actions,
        when: [Some(who), objects].into_iter().flatten().collect(),
        unless: Vec::new(),
    }])
}

/// What the predicates of a policy speak about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Workspace,
}

fn predicates(fields: &Fields<'_>) -> Result<(Vec<Action>, Kind), Fault> {
    fields.required("predicates")?;
    let mut actions = Vec::new();
    let mut kinds = Vec::new();
    for (path, node) in fields.list("predicates")? {
        let (more, kind) = predicate(node, &path)?;
        actions.extend(more);
        kinds.push(kind);
    }
    actions.sort();
    actions.dedup();
    kinds.dedup();
    match kinds.as_slice() {
        [kind] => Ok((actions, *kind)),
        [] => Err(fields.fault("predicates", "the list is empty")),
        _ => Err(fields
            .fault(
                "predicates",
                "predicates on data and on workspaces in one policy",
            )
            .with_hint("write two policies")),
    }
}

/// The actions that one predicate stands for.
pub(super) fn predicate(node: &Node, path: &str) -> Result<(&'static [Action], Kind), Fault> {
    let word = text_of(node, path)?;
    let found = |table: &'static [(&'static str, &'static [Action])]| {
        table
            .iter()
            .find(|(name, _)| *name == word)
            .map(|(_, actions)| *actions)
    };
    if let Some(actions) = found(DATA_PREDICATES) {
        return Ok((actions, Kind::Data));
    }
    if let Some(actions) = found(WORKSPACE_PREDICATES) {
        return Ok((actions, Kind::Workspace));
    }
    if METHODS.contains(&word) {
        let problem = format!("predicate `{word}` on the API is recognised and not supported yet");
        return Err(not_supported(wrong(node.place, path, problem)));
    }
    let known: Vec<&str> = DATA_PREDICATES
        .iter()
        .chain(WORKSPACE_PREDICATES)
        .map(|(name, _)| *name)
        .collect();
    Err(
        wrong(node.place, path, format!("unknown predicate `{word}`"))
            .with_hint(format!("known: {}", known.join(", "))),
    )
}

fn objects(fields: &Fields<'_>, kind: Kind) -> Result<Option<String>, Fault> {
    fields.required("objects")?;
    let section = fields
        .fields("objects")?
        .ok_or_else(|| fields.missing("objects"))?;
    let mut alternatives = Vec::new();
    let mut is_everything = false;
    for (path, node) in section.list("paths")? {
        if kind == Kind::Workspace {
            return Err(wrong(
                node.place,
                &path,
                "predicates on workspaces need tags as objects",
            )
            .with_hint("write objects: {tags: [\"dataos:workspace:NAME\"]}"));
        }
        match object::address(text_of(node, &path)?, node.place, &path)?.condition() {
            Some(condition) => alternatives.push(condition),
            None => is_everything = true,
        }
    }
    for (path, node) in section.list("tags")? {
        alternatives.push(tags(node, &path, kind)?);
    }
    section.finish()?;
    if is_everything {
        return Ok(None);
    }
    if alternatives.is_empty() {
        return Err(fields.fault("objects", "neither `paths` nor `tags` names an object"));
    }
    Ok(Some(cedar::any(&alternatives)))
}

/// One tag, or a list of tags that must all be there.
fn tags(node: &Node, path: &str, kind: Kind) -> Result<String, Fault> {
    let mut terms = Vec::new();
    let items = match &node.content {
        Content::Text(_) => vec![(path.to_owned(), node)],
        Content::List(_) => items_of(node, path)?,
        _ => return Err(expected(node, path, "a tag or a list of tags")),
    };
    for (path, item) in items {
        let tag = text_of(item, &path)?;
        let is_workspace = tag.starts_with("dataos:workspace:");
        if is_workspace != (kind == Kind::Workspace) {
            return Err(wrong(
                item.place,
                &path,
                format!("`{tag}` does not fit the predicates"),
            )
            .with_hint(
                "`dataos:workspace:NAME` goes with create_in, read_in, update_in, delete_in",
            ));
        }
        terms.push(object::tag_condition(tag, item.place, &path)?);
    }
    if terms.is_empty() {
        return Err(wrong(
            node.place,
            path,
            "an empty list would match everything",
        ));
    }
    Ok(cedar::all(&terms))
}
