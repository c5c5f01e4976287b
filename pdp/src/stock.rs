//! A decision by Cedar itself: the oracle, and the fallback for whatever programs leave to it.

use std::{borrow::Cow, sync::Arc};

use cedar_policy::{
    AuthorizationError, Authorizer, PolicySet as CedarSet, Request as CedarRequest, Schema,
    ValidationMode, Validator,
};
use dataos_model::{
    decision::{Decision, Reason, Request},
    entity::{EntityType, EntityUid},
};

use crate::{
    convert::{cedar_context, cedar_uid},
    set::cedar_set,
    source::LoadedPolicy,
    stack::on_fitting_stack,
    version::{Placed, Version, check_entity},
};

/// Which policies Cedar evaluates. Both give the same answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// Those that the index finds.
    Indexed,
    /// All of them.
    Whole,
}

/// The policies to evaluate.
struct Chosen<'a> {
    set: Cow<'a, CedarSet>,
    /// Entities that they may look into.
    looked_into: Vec<EntityUid>,
    is_deep: bool,
    /// Those that can apply, whatever is evaluated.
    candidates: Vec<&'a Arc<LoadedPolicy>>,
}

/// A question that cannot be put to the engine.
pub(crate) type Refusal = (Reason, String);

impl Version {
    /// Decides, or says why the question cannot be put.
    pub(crate) fn decide_stock(
        &self,
        request: &Request,
        selection: Selection,
    ) -> Result<Decision, Refusal> {
        let principal = self.principal(&request.principal);
        let resource = self.resource(request)?;
        let schema = self.schema_for(&resource)?;
        let question = self.question(request, schema.schema())?;
        let chosen = self.choose(request, selection, &principal, &resource);
        let is_row = is_row(&resource);
        let placed = self.surroundings([principal, resource], chosen.looked_into);
        let entities = self.cedar_entities(request.action, &placed);
        let entities = entities.map_err(|error| (Reason::RequestInvalid, error))?;
        let outcome = on_fitting_stack(chosen.is_deep, || {
            if is_row {
                check_row_types(&chosen.candidates, &schema)?;
            }
            Ok(evaluate(&question, &chosen.set, &entities))
        });
        let failed = || Err((Reason::Internal, "the decision failed".to_owned()));
        let outcome = outcome.unwrap_or_else(failed)?;
        let determining = outcome.determining.iter();
        let determining = determining.filter_map(|id| self.policies.get(id)).collect();
        Ok(Decision {
            errors: outcome.errors,
            ..self.decision(request, outcome.is_allowed, determining)
        })
    }

    fn choose(
        &self,
        request: &Request,
        selection: Selection,
        principal: &Placed,
        resource: &Placed,
    ) -> Chosen<'_> {
        let candidates = self.candidates(request.action, principal, resource, &request.context);
        match selection {
            Selection::Indexed => Chosen {
                set: Cow::Owned(cedar_set(candidates.iter().copied())),
                looked_into: candidates
                    .iter()
                    .flat_map(|p| p.looked_into.clone())
                    .collect(),
                is_deep: candidates.iter().any(|policy| policy.is_deep),
                candidates,
            },
            Selection::Whole => {
                let (set, looked_into) = self.policies.whole();
                Chosen {
                    set: Cow::Borrowed(set),
                    looked_into: looked_into.clone(),
                    is_deep: self.policies.policies().any(|policy| policy.is_deep),
                    candidates,
                }
            }
        }
    }

    /// What the snapshot knows counts; the enforcement point speaks only for what it does not hold.
    fn resource(&self, request: &Request) -> Result<Placed, Refusal> {
        if let Some(stored) = self.stored(&request.resource) {
            return Ok(stored);
        }
        let missing = || {
            (
                Reason::EntityMissing,
                format!("{} is not known", request.resource),
            )
        };
        let entity = request.resource_entity.clone().ok_or_else(missing)?;
        if entity.uid != request.resource {
            let detail = format!("{} was sent as {}", entity.uid, request.resource);
            return Err((Reason::RequestInvalid, detail));
        }
        let placed = self.placed(Arc::new(entity));
        let schema = self.schema_for(&placed)?;
        check_entity(&placed.entity, schema.schema())
            .map_err(|error| (Reason::RequestInvalid, error))?;
        Ok(placed)
    }

    /// The base schema, or for a row or cell the one of its dataset.
    fn schema_for(&self, resource: &Placed) -> Result<Arc<Validator>, Refusal> {
        let base = &self.policies.schema;
        if !is_row(resource) {
            return Ok(Arc::clone(base.plain()));
        }
        let columns = resource
            .ancestors
            .iter()
            .filter(|uid| uid.entity_type == EntityType::DATASET)
            .find_map(|uid| self.entities.get(uid)?.entity.schema.clone())
            .ok_or_else(|| {
                (
                    Reason::EntityMissing,
                    "a row of no known dataset".to_owned(),
                )
            })?;
        base.specialised(&columns)
            .map_err(|error| (Reason::PolicyNotTyped, error))
    }

    fn question(&self, request: &Request, schema: &Schema) -> Result<CedarRequest, Refusal> {
        let invalid = |error: String| (Reason::RequestInvalid, error);
        let action = self.policies.schema.action(request.action);
        let action = action.ok_or_else(|| invalid(format!("no action `{}`", request.action)))?;
        CedarRequest::new(
            cedar_uid(&request.principal.uid).map_err(invalid)?,
            action.uid.clone(),
            cedar_uid(&request.resource).map_err(invalid)?,
            cedar_context(&request.context).map_err(invalid)?,
            Some(schema),
        )
        .map_err(|error| invalid(error.to_string()))
    }
}

fn is_row(resource: &Placed) -> bool {
    let entity_type = &resource.entity.uid.entity_type;
    *entity_type == EntityType::ROW || *entity_type == EntityType::CELL
}

/// On a row, an ill-typed policy would fail at run time and a forbid among them be skipped.
fn check_row_types(policies: &[&Arc<LoadedPolicy>], schema: &Validator) -> Result<(), Refusal> {
    type_check(policies, schema).map_err(|(policy, message)| {
        (
            Reason::PolicyNotTyped,
            format!("policy `{}`: {message}", policy.id()),
        )
    })
}

/// The first of the policies that does not type-check, and why.
pub(crate) fn type_check<'a>(
    policies: &[&'a Arc<LoadedPolicy>],
    schema: &Validator,
) -> Result<(), (&'a Arc<LoadedPolicy>, String)> {
    for policy in policies {
        let result = schema.validate(&cedar_set([*policy]), ValidationMode::Strict);
        if let Some(message) = result.validation_errors().map(ToString::to_string).min() {
            return Err((*policy, message));
        }
    }
    Ok(())
}

struct Outcome {
    is_allowed: bool,
    determining: Vec<String>,
    errors: Vec<(String, String)>,
}

fn evaluate(question: &CedarRequest, set: &CedarSet, entities: &cedar_policy::Entities) -> Outcome {
    let response = Authorizer::new().is_authorized(question, set, entities);
    let diagnostics = response.diagnostics();
    let mut determining: Vec<String> = diagnostics.reason().map(ToString::to_string).collect();
    determining.sort();
    let mut errors: Vec<(String, String)> = diagnostics
        .errors()
        .map(|AuthorizationError::PolicyEvaluationError(error)| {
            (error.policy_id().to_string(), error.inner().to_string())
        })
        .collect();
    errors.sort();
    Outcome {
        is_allowed: response.decision() == cedar_policy::Decision::Allow,
        determining,
        errors,
    }
}
