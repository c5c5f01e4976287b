//! Templates: policies with `?principal` or `?resource` in their scope. Alone they decide nothing; a
//! link makes one a policy.

use cedar_policy::{
    ActionConstraint, Effect, Policy, PolicySet, Template, TemplateResourceConstraint,
};
use dataos_model::{
    action::Action,
    entity::EntityUid,
    fault::{Fault, Location},
    hash::Hash,
    policy::{PolicyLink, TemplateInfo},
};
use serde_json::{Value, json};

use super::{Loader, Origin};
use crate::{
    convert::{cedar_uid, model_type},
    problem::Problem,
    scan::Statement,
    schema::canonical,
    stack::on_big_stack,
};

/// A checked template.
#[derive(Debug)]
pub(crate) struct LoadedTemplate {
    /// Its `@id`.
    pub id: String,
    /// `file.cedar:line`, or the name of the applied text.
    pub source: String,
    /// Digest of its id and canonical form.
    pub digest: Hash,
    text: String,
    annotations: Vec<(String, String)>,
    is_permit: bool,
    has_principal: bool,
    has_resource: bool,
    /// Its canonical form, with the slots.
    document: Value,
}

impl LoadedTemplate {
    /// As listings show it, with the ids of its links.
    pub(crate) fn info(&self, links: Vec<String>) -> TemplateInfo {
        let slots = [
            ("principal", self.has_principal),
            ("resource", self.has_resource),
        ];
        TemplateInfo {
            id: self.id.clone(),
            effect: if self.is_permit { "permit" } else { "forbid" }.to_owned(),
            source: self.source.clone(),
            annotations: self.annotations.clone(),
            text: self.text.clone(),
            slots: slots
                .iter()
                .filter(|(_, is_there)| *is_there)
                .map(|(name, _)| (*name).to_owned())
                .collect(),
            links,
        }
    }

    /// The text of the policy that a link makes: entities in the slots, its own id, everything else
    /// as in the template.
    ///
    /// # Errors
    /// Values for other slots than there are, or an entity that Cedar cannot name.
    pub(crate) fn expand(&self, link: &PolicyLink) -> Result<String, Fault> {
        let principal = self.value("principal", self.has_principal, link.principal.as_ref())?;
        let resource = self.value("resource", self.has_resource, link.resource.as_ref())?;
        let mut document = self.document.clone();
        for (name, entity) in [("principal", principal), ("resource", resource)] {
            if let (Some(entity), Some(scope)) = (entity, document.get_mut(name)) {
                fill(scope, &entity);
            }
        }
        if let Some(annotations) = document
            .get_mut("annotations")
            .and_then(Value::as_object_mut)
        {
            annotations.insert("id".to_owned(), json!(link.id));
        }
        let failed = |why: String| Fault::internal(format!("template `{}`: {why}", self.id));
        on_big_stack(|| {
            let policy = Policy::from_json(None, document).map_err(|e| failed(e.to_string()))?;
            policy
                .to_cedar()
                .ok_or_else(|| failed("it has no text".to_owned()))
        })
        .unwrap_or_else(|| Err(failed("it could not be expanded".to_owned())))
    }

    /// The entity for a slot, as canonical forms name it.
    fn value(
        &self,
        slot: &str,
        is_there: bool,
        given: Option<&EntityUid>,
    ) -> Result<Option<Value>, Fault> {
        let place = Location {
            field: Some(slot.to_owned()),
            ..Location::default()
        };
        match (is_there, given) {
            (false, None) => Ok(None),
            (true, None) => Err(Fault::invalid(format!(
                "the template `{}` needs a value for ?{slot}",
                self.id
            ))
            .at(place)),
            (false, Some(_)) => {
                Err(Fault::invalid(format!("the template `{}` has no ?{slot}", self.id)).at(place))
            }
            (true, Some(uid)) => {
                let uid = cedar_uid(uid).map_err(|why| Fault::invalid(why).at(place))?;
                let kind = uid.type_name().to_string();
                Ok(Some(json!({"type": kind, "id": uid.id().unescaped()})))
            }
        }
    }
}

/// Puts an entity where the slot of a scope stands, directly or behind `in`.
fn fill(scope: &mut Value, entity: &Value) {
    let Some(fields) = scope.as_object_mut() else {
        return;
    };
    if fields.remove("slot").is_some() {
        fields.insert("entity".to_owned(), entity.clone());
    }
    if let Some(inner) = fields.get_mut("in") {
        fill(inner, entity);
    }
}

impl Loader<'_> {
    /// The template of a statement, if it is one.
    pub(super) fn template(
        &self,
        statement: &Statement<'_>,
    ) -> Option<Result<LoadedTemplate, Problem>> {
        let parsed = Template::parse(None, statement.text).ok()?;
        Some(self.checked_template(statement, &parsed))
    }

    fn checked_template(
        &self,
        statement: &Statement<'_>,
        parsed: &Template,
    ) -> Result<LoadedTemplate, Problem> {
        let annotations: Vec<(&str, &str)> = parsed.annotations().collect();
        let id = self.id_among(statement, &annotations)?;
        let actions = self.actions(statement, &parsed.action_constraint())?;
        self.validate_template(statement, parsed, &actions)?;
        let document = parsed
            .to_json()
            .map_err(|error| self.at(statement, format!("template `{id}`: {error}")))?;
        let mut annotations: Vec<(String, String)> = parsed
            .annotations()
            .filter(|(name, _)| *name != "id")
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        annotations.sort();
        let has = |slot: &str| parsed.slots().any(|found| found.to_string() == slot);
        Ok(LoadedTemplate {
            digest: Hash::of_parts([id.as_bytes(), canonical(&document).as_bytes()]),
            source: match self.origin {
                Origin::File => format!("{}:{}", self.source, statement.line),
                Origin::Applied => self.source.to_owned(),
            },
            text: super::text_of(statement),
            annotations,
            is_permit: parsed.effect() == Effect::Permit,
            has_principal: has("?principal"),
            has_resource: has("?resource"),
            document,
            id,
        })
    }

    /// What can be said before the slots have values; each link is checked again with them.
    fn validate_template(
        &self,
        statement: &Statement<'_>,
        template: &Template,
        actions: &[Action],
    ) -> Result<(), Problem> {
        let mut set = PolicySet::new();
        set.add_template(template.clone())
            .map_err(|error| self.at(statement, error.to_string()))?;
        let named = match template.resource_constraint() {
            TemplateResourceConstraint::Is(name) | TemplateResourceConstraint::IsIn(name, _) => {
                Some(model_type(&name))
            }
            _ => None,
        };
        self.refuse_errors(statement, &set, named.as_ref(), actions)
    }

    /// Actions that a scope can match.
    pub(super) fn actions(
        &self,
        statement: &Statement<'_>,
        constraint: &ActionConstraint,
    ) -> Result<Vec<Action>, Problem> {
        let named: Option<Vec<EntityUid>> = match constraint {
            ActionConstraint::Any => None,
            ActionConstraint::Eq(uid) => Some(vec![super::model_uid(uid)]),
            ActionConstraint::In(uids) => Some(uids.iter().map(super::model_uid).collect()),
        };
        let is_equality = matches!(constraint, ActionConstraint::Eq(_));
        let matches = |action: &Action| {
            let Some(named) = &named else { return true };
            let Some(facts) = self.schema.action(*action) else {
                return false;
            };
            named
                .iter()
                .any(|uid| facts.named == *uid || (!is_equality && facts.groups.contains(uid)))
        };
        let actions: Vec<Action> = self.schema.vocabulary.actions().filter(matches).collect();
        if actions.is_empty() {
            return Err(self
                .at(
                    statement,
                    "the policy names no action that exists, so it never applies",
                )
                .with_hint("a group of actions is matched with `action in`, not `==`"));
        }
        Ok(actions)
    }
}
