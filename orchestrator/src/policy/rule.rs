//! The rule form: `rules: [{resource, actions, subjects, conditions}]`. Each rule permits.

use dataos_model::{action::Action, fault::Fault};

use super::{
    Envelope,
    access::{Kind, predicate},
    cedar::{self, Policy},
    condition::{self, Condition},
    object,
    subject::{self, Purpose},
};
use crate::fields::{Fields, Unknown, text_of, wrong};

/// Most rules of one policy.
const RULES_MAX: usize = 1000;

/// Compiles `rules`.
pub(super) fn compile(fields: &Fields<'_>, envelope: &Envelope) -> Result<Vec<Policy>, Fault> {
    let rules = fields.list("rules")?;
    if rules.is_empty() || rules.len() > RULES_MAX {
        return Err(fields.fault("rules", format!("`rules` must hold 1 to {RULES_MAX} rules")));
    }
    let mut policies: Vec<Policy> = Vec::new();
    for (path, node) in rules {
        let rule = Fields::of(node, &path, Unknown::Refuse, fields.warnings())?;
        for (actions, when) in parts(&rule)? {
            policies.push(Policy {
                id: envelope.numbered(policies.len() + 1),
                description: envelope.description.clone(),
                mask: None,
                priority: None,
                is_permit: true,
                actions,
                when,
                unless: Vec::new(),
            });
        }
        rule.finish()?;
    }
    if let [only] = policies.as_mut_slice() {
        only.id = envelope.id();
    }
    Ok(policies)
}

/// Actions, and the conditions under which they are permitted.
type Part = (Vec<Action>, Vec<String>);

/// The permits of one rule: conditions on columns decide rows, so `read_row` has a permit of its
/// own as soon as there are any.
fn parts(rule: &Fields<'_>) -> Result<Vec<Part>, Fault> {
    let resource = rule.required("resource")?;
    let path = rule.path("resource");
    let reach = object::address(text_of(resource, &path)?, resource.place, &path)?;
    let base: Vec<String> = [Some(subjects(rule)?), reach.condition()]
        .into_iter()
        .flatten()
        .collect();
    let conditions = conditions(rule)?;
    let (on_rows, on_caller): (Vec<&Condition>, Vec<&Condition>) = conditions
        .iter()
        .partition(|condition| condition.has_column);
    let texts = |conditions: &[&Condition]| -> Vec<String> {
        conditions
            .iter()
            .map(|condition| condition.cedar.clone())
            .collect()
    };
    let common = [base, texts(&on_caller)].concat();
    let actions = actions(rule)?;
    if on_rows.is_empty() {
        return Ok(vec![(actions, common)]);
    }
    let (rows, others): (Vec<Action>, Vec<Action>) = actions
        .into_iter()
        .partition(|action| *action == Action::ReadRow);
    if rows.is_empty() || others.iter().any(|action| !is_reading(*action)) {
        return Err(rule
            .fault(
                "conditions",
                "a condition on a column goes with the actions read and select only",
            )
            .with_hint("write the other actions in a rule of their own"));
    }
    Ok(vec![
        (others, common.clone()),
        (rows, [common, texts(&on_rows)].concat()),
    ])
}

fn is_reading(action: Action) -> bool {
    matches!(
        action,
        Action::Select | Action::ReadCell | Action::ReadRow | Action::ViewAsset
    )
}

fn actions(rule: &Fields<'_>) -> Result<Vec<Action>, Fault> {
    rule.required("actions")?;
    let mut actions = Vec::new();
    for (path, node) in rule.list("actions")? {
        match predicate(node, &path)? {
            (more, Kind::Data) => actions.extend_from_slice(more),
            (_, Kind::Workspace) => {
                return Err(wrong(
                    node.place,
                    &path,
                    "rules speak about data, not workspaces",
                ));
            }
        }
    }
    actions.sort();
    actions.dedup();
    if actions.is_empty() {
        return Err(rule.fault("actions", "the list is empty"));
    }
    Ok(actions)
}

fn subjects(rule: &Fields<'_>) -> Result<String, Fault> {
    rule.required("subjects")?;
    let mut terms = Vec::new();
    for (path, node) in rule.list("subjects")? {
        let tag = text_of(node, &path)?;
        terms.push(subject::tag_condition(
            tag,
            Purpose::Permit,
            node.place,
            &path,
        )?);
    }
    if terms.is_empty() {
        return Err(rule.fault("subjects", "the list is empty"));
    }
    Ok(cedar::any(&terms))
}

fn conditions(rule: &Fields<'_>) -> Result<Vec<Condition>, Fault> {
    let mut conditions = Vec::new();
    for (path, node) in rule.list("conditions")? {
        let text = text_of(node, &path)?;
        conditions.push(condition::compile(text).map_err(|problem| {
            wrong(
                node.place,
                &path,
                format!("the condition `{text}`: {problem}"),
            )
        })?);
    }
    Ok(conditions)
}
