//! Row conditions by Cedar's own type-aware partial evaluation, for policies whose programs cannot say
//! them.

use std::sync::Arc;

use cedar_policy::{PartialEntities, PartialEntityUid, PartialRequest, Schema};
use dataos_model::{
    access::AccessRequest, action::Action, dataset::DatasetSchema, decision::Reason,
    predicate::Expression,
};

use crate::{
    convert::{cedar_context, cedar_uid},
    residual::condition,
    set::cedar_set,
    source::LoadedPolicy,
    stack::on_fitting_stack,
    stock::Refusal,
    version::{Placed, Version},
};

/// A question about a row or cell of which all but the values is known.
pub(crate) struct Question<'a> {
    version: &'a Version,
    request: &'a AccessRequest,
    action: Action,
    principal: Placed,
    this: Placed,
}

impl<'a> Question<'a> {
    pub(crate) fn new(
        version: &'a Version,
        request: &'a AccessRequest,
        action: Action,
        this: Placed,
    ) -> Self {
        Self {
            version,
            request,
            action,
            principal: version.principal(&request.principal),
            this,
        }
    }

    /// The row condition of each policy.
    pub(crate) fn conditions(
        &self,
        columns: &DatasetSchema,
        policies: &[&Arc<LoadedPolicy>],
    ) -> Result<Vec<(Arc<LoadedPolicy>, Expression)>, Refusal> {
        let is_deep = policies.iter().any(|policy| policy.is_deep);
        let found = on_fitting_stack(is_deep, || self.evaluate(columns, policies));
        found.unwrap_or_else(|| Err((Reason::Internal, "the decision failed".to_owned())))
    }

    fn evaluate(
        &self,
        columns: &DatasetSchema,
        policies: &[&Arc<LoadedPolicy>],
    ) -> Result<Vec<(Arc<LoadedPolicy>, Expression)>, Refusal> {
        let invalid = |error: String| (Reason::RequestInvalid, error);
        let schema = self.version.policies.schema.specialised(columns);
        let schema = schema.map_err(|error| (Reason::PolicyNotTyped, error))?;
        let schema = schema.schema();
        let request = self.question(schema).map_err(invalid)?;
        let entities = self.entities(policies, schema).map_err(invalid)?;
        let set = cedar_set(policies.iter().copied());
        let response = set
            .tpe(&request, &entities, schema)
            .map_err(|error| (Reason::PolicyNotTyped, error.to_string()))?;
        let mut conditions = Vec::new();
        for left in response.policies() {
            let Some(policy) = self.version.policies.get(left.id().as_ref()) else {
                continue;
            };
            let condition = condition(&left, &self.this.entity.uid).map_err(|inexact| {
                let detail = format!(
                    "policy `{}` has no exact row condition: {}",
                    policy.id(),
                    inexact.node
                );
                (Reason::NotExact, detail)
            })?;
            conditions.push((Arc::clone(policy), condition));
        }
        Ok(conditions)
    }

    fn question(&self, schema: &Schema) -> Result<PartialRequest, String> {
        let facts = self.version.policies.schema.action(self.action);
        let facts = facts.ok_or_else(|| format!("no action `{}`", self.action))?;
        PartialRequest::new(
            PartialEntityUid::from_concrete(cedar_uid(&self.principal.entity.uid)?),
            facts.uid.clone(),
            PartialEntityUid::from_concrete(cedar_uid(&self.this.entity.uid)?),
            Some(cedar_context(&self.request.context)?),
            schema,
        )
        .map_err(|error| error.to_string())
    }

    fn entities(
        &self,
        policies: &[&Arc<LoadedPolicy>],
        schema: &Schema,
    ) -> Result<PartialEntities, String> {
        let looked_into = policies
            .iter()
            .flat_map(|policy| policy.looked_into.iter().cloned());
        let known = self
            .version
            .surroundings([self.principal.clone()], looked_into);
        let known = known.iter().map(|placed| placed.known(schema));
        let all = known
            .chain([self.this.unknown(schema)])
            .collect::<Result<Vec<_>, _>>()?;
        PartialEntities::from_partial_entities(all, schema).map_err(|error| error.to_string())
    }
}
