//! A decision by Cedar itself: the oracle, and the fallback for whatever programs leave to it.

use std::{
    borrow::Cow,
    sync::{Arc, PoisonError},
};

use cedar_policy::{
    AuthorizationError, Authorizer, PolicySet as CedarSet, Request as CedarRequest, Schema,
    ValidationMode, Validator,
};
use dataos_model::{
    action::Action,
    dataset::DatasetSchema,
    decision::{Decision, Reason, Request},
    entity::{EntityType, EntityUid},
    hash::Hash,
};

use crate::{
    convert::{cedar_context, cedar_uid},
    decide::Determined,
    schema::BaseSchema,
    set::cedar_set,
    source::LoadedPolicy,
    stack::on_fitting_stack,
    version::{Placed, Version, check_entity},
};

/// Results of type checks that are kept; when full, all are dropped.
const ROW_TYPES_MAX: usize = 1_000_000;

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
        if is_row(&request.resource.entity_type) {
            self.check_row_types(request, &resource, &chosen.candidates)?;
        }
        let placed = self.surroundings([principal, resource], chosen.looked_into);
        let entities = self.cedar_entities(request.action, &placed);
        let entities = entities.map_err(|error| (Reason::RequestInvalid, error))?;
        let outcome = on_fitting_stack(chosen.is_deep, || {
            Ok(evaluate(&question, &chosen.set, &entities))
        });
        let failed = || Err((Reason::Internal, "the decision failed".to_owned()));
        let outcome = outcome.unwrap_or_else(failed)?;
        let determining = outcome.determining.iter();
        let determining = determining.filter_map(|id| self.policies.get(id)).collect();
        let determined = Determined::by(outcome.is_allowed, determining);
        Ok(Decision {
            errors: outcome.errors,
            ..self.decision(request, determined)
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
        if !is_row(&resource.entity.uid.entity_type) {
            return Ok(Arc::clone(base.plain()));
        }
        base.specialised(self.columns(resource)?)
            .map_err(|error| (Reason::PolicyNotTyped, error))
    }

    /// The columns of the dataset that a row or cell is in.
    fn columns(&self, row: &Placed) -> Result<&DatasetSchema, Refusal> {
        row.ancestors
            .iter()
            .filter(|uid| uid.entity_type == EntityType::DATASET)
            .find_map(|uid| self.entities.get(uid)?.entity.schema.as_ref())
            .ok_or_else(|| {
                (
                    Reason::EntityMissing,
                    "a row of no known dataset".to_owned(),
                )
            })
    }

    /// On a row, an ill-typed policy would fail at run time and a forbid among them be skipped.
    fn check_row_types(
        &self,
        request: &Request,
        row: &Placed,
        policies: &[&Arc<LoadedPolicy>],
    ) -> Result<(), Refusal> {
        let columns = self.columns(row)?;
        let columns = (columns, columns.hash());
        let principal = &request.principal.uid.entity_type;
        let schema = &self.policies.schema;
        for policy in policies {
            row_type_error(schema, policy, columns, request.action, principal).map_err(
                |message| {
                    let detail = format!("policy `{}`: {message}", policy.id());
                    (Reason::PolicyNotTyped, detail)
                },
            )?;
        }
        Ok(())
    }

    fn question(&self, request: &Request, schema: &Schema) -> Result<CedarRequest, Refusal> {
        let invalid = |error: String| (Reason::RequestInvalid, error);
        let action = self.policies.schema.action(request.action);
        // An own action of a schema that is no longer loaded.
        let action = action.ok_or_else(|| {
            let detail = format!("the schema has no action `{}`", request.action);
            (Reason::ActionUnknown, detail)
        })?;
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

/// Whether entities of the type are rows or cells, which are typed by their dataset.
pub(crate) fn is_row(entity_type: &EntityType) -> bool {
    *entity_type == EntityType::ROW || *entity_type == EntityType::CELL
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

/// Whether a policy type-checks on rows with these columns for such a request; remembered for as long as the schema.
pub(crate) fn row_type_error(
    schema: &BaseSchema,
    policy: &Arc<LoadedPolicy>,
    columns: (&DatasetSchema, Hash),
    action: Action,
    principal: &EntityType,
) -> Result<(), String> {
    let locked = || {
        schema
            .row_types
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    };
    if policy.fits_rows && schema.shapes.accepts_principal(action, principal) {
        return Ok(());
    }
    let (columns, columns_hash) = columns;
    let key = (policy.digest, columns_hash, action, principal.clone());
    let known = locked().get(&key).cloned();
    let error = match known {
        Some(known) => known,
        None => {
            let validator = schema.environment(columns, columns_hash, action, principal)?;
            let checked = on_fitting_stack(policy.is_deep, || type_check(&[policy], &validator));
            let error = match checked {
                Some(Ok(())) => None,
                Some(Err((_, message))) => Some(Arc::from(message)),
                None => return Err("it could not be type-checked".to_owned()),
            };
            let mut kept = locked();
            if kept.len() >= ROW_TYPES_MAX {
                kept.clear();
            }
            kept.insert(key, error.clone());
            error
        }
    };
    error.map_or(Ok(()), |error| Err(error.to_string()))
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
