//! Texts -> the policies that they hold, and everything that keeps some of them from loading.

use std::{collections::BTreeMap, sync::Arc};

use cedar_policy::{PolicySet, ValidationResult, Validator};
use dataos_model::fault::Location;

use crate::{
    entity_files::FileEntities,
    problem::Problem,
    scan::{Statement, position, statements},
    schema::BaseSchema,
    source::{Loaded, LoadedPolicy, Origin, load},
};

use super::{
    Texts,
    finding::{FINDINGS_MAX, Finding, Rule},
    shape::Shape,
};

/// A policy with its place.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) policy: Arc<LoadedPolicy>,
    pub(super) shape: Shape,
    pub(super) location: Location,
    /// Byte offset in its file of the text that Cedar parsed, which its own spans refer to.
    start: usize,
}

impl Item {
    /// A policy that is in force; its text is at hand no more, so Cedar's spans lead nowhere.
    pub(super) fn in_force(policy: &Arc<LoadedPolicy>) -> Self {
        let source = policy.reference.source.as_str();
        let (file, line) = match source.rsplit_once(':') {
            Some((file, line)) => (file, line.parse().ok()),
            None => (source, None),
        };
        Self {
            shape: Shape::of(policy),
            policy: Arc::clone(policy),
            location: Location {
                file: Some(if line.is_some() { file } else { source }.to_owned()),
                line,
                ..Location::default()
            },
            start: 0,
        }
    }

    pub(super) fn id(&self) -> &str {
        self.policy.id()
    }

    /// A finding about this policy, told where it starts.
    pub(super) fn finding(&self, rule: Rule, message: impl Into<String>) -> Finding {
        Finding {
            rule,
            policy: Some(self.id().to_owned()),
            location: self.location.clone(),
            message: message.into(),
            hint: None,
        }
    }

    /// One of Cedar's diagnostics about this policy, told where Cedar points to.
    pub(super) fn diagnosed(
        &self,
        rule: Rule,
        text: &str,
        error: &dyn miette::Diagnostic,
    ) -> Finding {
        let file = self.location.file.as_deref().unwrap_or_default();
        let problem = Problem::diagnosed(file, text, self.start, error);
        Finding {
            policy: Some(self.id().to_owned()),
            ..Finding::of_problem(rule, problem)
        }
    }

    /// What strict validation says of it alone.
    pub(super) fn validated(&self, schema: &Validator) -> Option<ValidationResult> {
        let set = PolicySet::from_policies([self.policy.cedar.clone()]).ok()?;
        Some(schema.validate(&set, cedar_policy::ValidationMode::Strict))
    }
}

/// The policies of some texts.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    pub(super) schema: BaseSchema,
    pub(super) items: Vec<Item>,
    /// Entities of the folder's files.
    pub(super) entities: FileEntities,
    pub(super) texts: &'a Texts,
}

impl<'a> Candidate<'a> {
    /// Loads what loads; the findings say what does not. Without a schema there is nothing.
    pub(super) fn load(texts: &'a Texts) -> (Option<Self>, Vec<Finding>) {
        let schema = match BaseSchema::read(texts.schema_texts(), &Arc::default()) {
            Ok(schema) => schema,
            Err(problem) => return (None, vec![Finding::of_problem(Rule::Invalid, problem)]),
        };
        let (mut items, mut findings) = (Vec::new(), Vec::new());
        for (file, text) in &texts.files {
            load_file(&schema, file, text, &mut items, &mut findings);
        }
        findings.extend(duplicates(&items));
        let entities = FileEntities::read(&texts.entities, schema.plain().schema());
        let entities = entities.unwrap_or_else(|problem| {
            findings.push(Finding::of_problem(Rule::Invalid, problem));
            FileEntities::default()
        });
        let candidate = Self {
            schema,
            items,
            entities,
            texts,
        };
        (Some(candidate), findings)
    }

    /// Loads texts that must all load.
    pub(super) fn load_whole(texts: &'a Texts) -> Result<Self, Vec<Finding>> {
        match Self::load(texts) {
            (Some(candidate), findings) if findings.is_empty() => Ok(candidate),
            (_, findings) => Err(findings),
        }
    }

    /// The text that a policy stands in.
    pub(super) fn text(&self, item: &Item) -> &'a str {
        let file = item.location.file.as_deref().unwrap_or_default();
        self.texts.files.get(file).map_or("", String::as_str)
    }
}

fn load_file(
    schema: &BaseSchema,
    file: &str,
    text: &str,
    items: &mut Vec<Item>,
    findings: &mut Vec<Finding>,
) {
    let found = match statements(text) {
        Ok(found) => found,
        Err(refused) => {
            let problem = Problem::at(file, text, refused.at, refused.problem.to_string());
            findings.push(Finding::of_problem(Rule::Invalid, problem));
            return;
        }
    };
    if let Ok(loaded) = load(schema, file, Origin::File, text) {
        let placed = loaded.into_iter().zip(&found);
        items.extend(placed.filter_map(|(one, statement)| item(file, text, one, statement)));
        return;
    }
    // The loader stops at the first problem; one policy at a time, each has its say.
    for statement in &found {
        if findings.len() >= FINDINGS_MAX {
            return;
        }
        match load(schema, file, Origin::File, &alone(text, statement)) {
            Ok(loaded) => {
                let placed = loaded.into_iter();
                items.extend(placed.filter_map(|one| item(file, text, one, statement)));
            }
            Err(problem) => findings.push(Finding::of_problem(Rule::Invalid, problem)),
        }
    }
}

/// A policy alone, at the line and column where it stands in its file.
fn alone(text: &str, statement: &Statement<'_>) -> String {
    let (line, column) = position(text, statement.start);
    let lines = usize::try_from(line).unwrap_or(1).saturating_sub(1);
    let columns = usize::try_from(column).unwrap_or(1).saturating_sub(1);
    format!(
        "{}{}{}",
        "\n".repeat(lines),
        " ".repeat(columns),
        statement.text
    )
}

/// A policy with its place. A template is checked by loading it; more can be said of its links alone.
fn item(file: &str, text: &str, loaded: Loaded, statement: &Statement<'_>) -> Option<Item> {
    let Loaded::Policy(policy) = loaded else {
        return None;
    };
    let policy = Arc::from(policy);
    let (line, column) = position(text, statement.head);
    Some(Item {
        shape: Shape::of(&policy),
        policy,
        location: Location {
            file: Some(file.to_owned()),
            line: Some(line),
            column: Some(column),
            field: None,
        },
        start: statement.start,
    })
}

fn duplicates(items: &[Item]) -> Vec<Finding> {
    let mut first: BTreeMap<&str, &Item> = BTreeMap::new();
    let mut findings = Vec::new();
    for item in items {
        if let Some(other) = first.get(item.id()) {
            let message = format!(
                "@id(\"{}\") is already used in {}",
                item.id(),
                other.policy.reference.source
            );
            findings.push(item.finding(Rule::Invalid, message));
        } else {
            first.insert(item.id(), item);
        }
    }
    findings
}
