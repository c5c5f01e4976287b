//! YAML documents to declared resources: the meta section, and one body per type.

mod blank;
mod depot;
mod retry;
mod secret;
mod workflow;

use dataos_model::{
    fault::Fault,
    resource::ResourceId,
    secret::{Secret, SecretName},
};

pub(crate) use self::{
    blank::BLANK,
    depot::{BucketBody, Credentials, DepotBody, DepotTarget, Server},
    retry::RetryStrategy,
    secret::secret_name,
    workflow::{Job, SecretUse, Work, Workflow},
};
use crate::{
    fields::{Fields, Unknown, Warnings, expected, nearest, not_supported, wrong},
    policy::{self, Compiled},
    yaml::{self, Content, Node, Place},
};

/// Longest resource name.
const NAME_CHARS_MAX: usize = 48;
/// Longest workspace name.
const WORKSPACE_CHARS_MAX: usize = 32;
/// The first part of the platform's own secret names; no tenant may have it.
const RESERVED_WORKSPACE: &str = "dataos";

/// The types that exist here, with their versions, the default first.
const SUPPORTED: &[(&str, &[&str], bool)] = &[
    ("secret", &["v1"], true),
    ("depot", &["v1", "v2alpha"], false),
    ("policy", &["v1"], false),
    ("workflow", &["v1", "v1beta"], true),
];

/// Types of the original product that are known by name only.
const RECOGNISED: &[&str] = &[
    "service",
    "worker",
    "cluster",
    "volume",
    "database",
    "lakehouse",
    "lens",
    "monitor",
    "pager",
    "grant",
    "compute",
    "instance-secret",
    "bundle",
    "stack",
    "operator",
    "resource",
];

/// A declared resource.
#[derive(Debug)]
pub(crate) struct Document {
    /// Position in the stream, from 1.
    pub(crate) number: usize,
    pub(crate) place: Place,
    pub(crate) id: ResourceId,
    pub(crate) tags: Vec<String>,
    pub(crate) description: String,
    /// The owner that the text names, if it names one.
    pub(crate) owner: Option<String>,
    pub(crate) body: Body,
    /// Other resources that it names.
    pub(crate) references: Vec<Reference>,
    /// What goes to the secret store, never to ours.
    pub(crate) secrets: Vec<(SecretName, Secret)>,
    /// The document with every secret value blanked.
    pub(crate) stored: serde_json::Value,
    pub(crate) warnings: Vec<String>,
}

/// What is declared.
#[derive(Debug)]
pub(crate) enum Body {
    /// Its values are in [`Document::secrets`].
    Secret,
    /// A data source.
    Depot(DepotBody),
    /// A policy, compiled.
    Policy(Compiled),
    /// A DAG of jobs.
    Workflow(Workflow),
}

/// A resource named by another one; types are unique by name and workspace, so no version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) resource_type: &'static str,
    pub(crate) name: String,
    pub(crate) workspace: Option<String>,
    pub(crate) place: Place,
    pub(crate) field: String,
}

impl Reference {
    pub(crate) fn names(&self, id: &ResourceId) -> bool {
        self.resource_type == id.resource_type
            && self.name == id.name
            && self.workspace == id.workspace
    }
}

/// What a body's reader hands back.
pub(crate) struct Parsed {
    body: Body,
    references: Vec<Reference>,
    secrets: Vec<(SecretName, Secret)>,
}

impl Parsed {
    fn plain(body: Body) -> Self {
        Self {
            body,
            references: Vec::new(),
            secrets: Vec::new(),
        }
    }
}

/// Reads a stream; the first wrong document refuses the whole.
pub(crate) fn parse(text: &str, workspace: &str) -> Result<Vec<Document>, Fault> {
    check_workspace(workspace)?;
    let nodes = yaml::parse(text)?;
    if nodes.is_empty() {
        return Err(Fault::invalid("the text holds no manifest")
            .with_hint("write at least `name`, `version`, `type` and the type's own mapping"));
    }
    let mut documents: Vec<Document> = Vec::with_capacity(nodes.len());
    for (index, node) in nodes.iter().enumerate() {
        let number = index + 1;
        let document = document(node, workspace, number).map_err(|mut fault| {
            fault.message = format!("document {number}: {}", fault.message);
            fault
        })?;
        if let Some(first) = documents
            .iter()
            .find(|first| is_same(&first.id, &document.id))
        {
            return Err(wrong(
                document.place,
                "name",
                format!(
                    "document {number}: `{}` is also document {}",
                    document.id, first.number
                ),
            ));
        }
        documents.push(document);
    }
    Ok(documents)
}

/// Whether two ids name one resource: a name is unique per type and workspace.
pub(crate) fn is_same(left: &ResourceId, right: &ResourceId) -> bool {
    left.resource_type == right.resource_type
        && left.name == right.name
        && left.workspace == right.workspace
}

fn document(node: &Node, workspace: &str, number: usize) -> Result<Document, Fault> {
    if !matches!(node.content, Content::Map(_)) {
        return Err(expected(node, "", "a mapping"));
    }
    let warnings = Warnings::default();
    // The type decides how strict the reading is, so it is looked up first.
    let is_strict = matches!(
        node.member("type").map(|node| &node.content),
        Some(Content::Text(word)) if word == "policy" || word == "secret"
    );
    let unknown = if is_strict {
        Unknown::Refuse
    } else {
        Unknown::Warn
    };
    let fields = Fields::of(node, "", unknown, &warnings)?;
    let (id, is_version_usual) = identity(&fields, workspace)?;
    if !is_version_usual {
        warnings.add(format!(
            "version `{}` is not a version of `{}`",
            id.version, id.resource_type
        ));
    }
    let tags = fields.texts("tags")?;
    let description = fields.text("description")?.unwrap_or_default().to_owned();
    let owner = fields.text("owner")?.map(str::to_owned);
    fields.without_effect(&["layer"]);
    let parsed = body(&fields, &id, &description, workspace)?;
    fields.finish()?;
    Ok(Document {
        number,
        place: node.place,
        stored: blank::blanked(node.json(), &id.resource_type),
        id,
        tags,
        description,
        owner,
        body: parsed.body,
        references: parsed.references,
        secrets: parsed.secrets,
        warnings: warnings.into_list(),
    })
}

fn identity(fields: &Fields<'_>, workspace: &str) -> Result<(ResourceId, bool), Fault> {
    let resource_type = fields.required_text("type")?;
    let Some((_, versions, is_in_workspace)) =
        SUPPORTED.iter().find(|(name, ..)| *name == resource_type)
    else {
        return Err(unknown_type(fields, resource_type));
    };
    let name = fields.required_text("name")?;
    check_name(name, resource_type).map_err(|problem| fields.fault("name", problem))?;
    let version = match fields.text("version")? {
        Some(version) => version,
        None => versions.first().copied().unwrap_or("v1"),
    };
    let is_usual = versions.contains(&version);
    if !is_usual && (resource_type == "depot" || !is_word(version)) {
        let problem = format!("`{version}` is not a version of `{resource_type}`");
        return Err(fields
            .fault("version", problem)
            .with_hint(format!("known: {}", versions.join(", "))));
    }
    let id = ResourceId {
        resource_type: resource_type.to_owned(),
        version: version.to_owned(),
        name: name.to_owned(),
        workspace: is_in_workspace.then(|| workspace.to_owned()),
    };
    Ok((id, is_usual))
}

fn unknown_type(fields: &Fields<'_>, word: &str) -> Fault {
    let supported: Vec<&str> = SUPPORTED.iter().map(|(name, ..)| *name).collect();
    if RECOGNISED.contains(&word) {
        let problem = format!("type `{word}` is recognised and not supported yet");
        return not_supported(fields.fault("type", problem))
            .with_hint(format!("supported: {}", supported.join(", ")));
    }
    let fault = fields.fault("type", format!("unknown type `{word}`"));
    match nearest(word, &supported) {
        Some(name) => fault.with_hint(format!("did you mean `{name}`?")),
        None => fault.with_hint(format!("supported: {}", supported.join(", "))),
    }
}

fn body(
    fields: &Fields<'_>,
    id: &ResourceId,
    description: &str,
    workspace: &str,
) -> Result<Parsed, Fault> {
    match id.resource_type.as_str() {
        "secret" => {
            fields.required("secret")?;
            secret::read(&section(fields, "secret")?, &id.name, workspace)
        }
        "depot" => depot::read(&section(fields, "depot")?, id),
        "policy" => {
            let section = section(fields, "policy")?;
            let compiled = policy::compile(&section, &id.name, description)?;
            Ok(Parsed::plain(Body::Policy(compiled)))
        }
        _ => workflow::read(&section(fields, "workflow")?, workspace),
    }
}

fn section<'a>(fields: &Fields<'a>, name: &'static str) -> Result<Fields<'a>, Fault> {
    fields.required(name)?;
    fields.fields(name)?.ok_or_else(|| fields.missing(name))
}

/// `[a-z0-9]([-a-z0-9]*[a-z0-9])?`; a depot's name stands in addresses and SQL: `[a-z]([a-z0-9]*)`.
pub(crate) fn check_name(name: &str, resource_type: &str) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_good = match resource_type {
        "depot" => name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(is_plain),
        _ => {
            name.starts_with(is_plain)
                && name.ends_with(is_plain)
                && name.chars().all(|c| is_plain(c) || c == '-')
        }
    };
    if is_good && name.len() <= NAME_CHARS_MAX {
        return Ok(());
    }
    let form = if resource_type == "depot" {
        "a lower-case letter, then lower-case letters and digits"
    } else {
        "lower-case letters, digits and `-`, the first and last no `-`"
    };
    let shown: String = name.chars().take(60).collect();
    Err(format!(
        "`{shown}` is not a name: {form}, at most {NAME_CHARS_MAX}"
    ))
}

/// `[a-z]([-a-z0-9]*[a-z0-9])?`, and not the platform's own.
pub(crate) fn check_workspace(name: &str) -> Result<(), Fault> {
    let is_good = name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && name.len() <= WORKSPACE_CHARS_MAX;
    if !is_good {
        let shown: String = name.chars().take(60).collect();
        return Err(Fault::invalid(format!("`{shown}` is not a workspace name"))
            .with_hint("lower-case letters, digits and `-`, a letter first, at most 32"));
    }
    if name == RESERVED_WORKSPACE {
        return Err(
            Fault::invalid(format!("the workspace `{name}` is the platform's own"))
                .with_hint("take another name"),
        );
    }
    Ok(())
}

/// A word that may stand in an id.
fn is_word(word: &str) -> bool {
    !word.is_empty() && word.len() <= 16 && word.chars().all(|c| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests;
