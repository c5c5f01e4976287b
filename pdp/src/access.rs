//! Rows and columns of a dataset for one caller: what is left of `read_row` and `read_cell` once all
//! but the row's values is known.
//!
//! A row's ancestors (its dataset and tags) are known, its attributes are not; Cedar folds everything
//! else. A policy that does not type-check on the dataset, or has no exact row condition, refuses the
//! dataset as a whole: neither a permit nor a forbid is ever left out.

use std::{collections::BTreeSet, sync::Arc};

use dataos_model::{
    access::{AccessRequest, DatasetAccess},
    action::Action,
    dataset::{DatasetId, DatasetSchema},
    decision::{Reason, Request},
    entity::{Entity, EntityType, EntityUid},
    fault::{Fault, Location},
    hash::Hash,
    predicate::Predicate,
};

use crate::{
    decide::Engine,
    facts::may_hold,
    narrow::Narrowing,
    source::LoadedPolicy,
    stack::{caught, on_big_stack},
    stock::{Refusal, type_check},
    version::{Placed, Version},
};

/// Id of the entity that stands for "this row" or "this cell". Policies cannot name it: rows and
/// cells in a policy's text are refused.
pub(crate) const THIS: &str = "this";

impl Version {
    /// Answers for each dataset, in order.
    pub(crate) fn access(&self, request: &AccessRequest) -> Vec<Arc<DatasetAccess>> {
        let answer = |dataset| {
            self.answers
                .get_or_insert(request, dataset, || self.dataset(request, dataset))
        };
        request.datasets.iter().map(answer).collect()
    }

    fn dataset(&self, request: &AccessRequest, dataset: &DatasetId) -> DatasetAccess {
        let asked = Request {
            principal: request.principal.clone(),
            action: request.action,
            resource: dataset.uid(),
            resource_entity: None,
            context: request.context.clone(),
        };
        let decision = self.decide(&asked, Engine::Compiled);
        let mut answer = DatasetAccess {
            dataset: dataset.clone(),
            decision,
            schema_hash: Hash::default(),
            rows: Predicate::NEVER,
            row_policies: Vec::new(),
            columns: Vec::new(),
        };
        if !answer.decision.is_allowed() {
            return answer;
        }
        let narrowed = caught(|| self.narrow(request, &answer))
            .unwrap_or_else(|| Err((Reason::Internal, "the decision failed".to_owned())));
        narrowed.unwrap_or_else(|(reason, detail)| {
            answer.decision = self.denied(reason, format!("{dataset}: {detail}"));
            answer
        })
    }

    fn narrow(
        &self,
        request: &AccessRequest,
        whole: &DatasetAccess,
    ) -> Result<DatasetAccess, Refusal> {
        let dataset = self.entities.get(&whole.dataset.uid());
        let dataset = dataset.ok_or((Reason::EntityMissing, "not known".to_owned()))?;
        let columns = dataset.entity.schema.as_ref().ok_or((
            Reason::EntityMissing,
            "its columns are not known; scan the depot".to_owned(),
        ))?;
        let schema_hash = columns.hash();
        let table = self.policies.schema.names.read();
        let numbers = table.locate(&request.principal.uid);
        let principal = self.located_principal(&table, &request.principal, numbers);
        let principal = principal.ok_or((
            Reason::RequestInvalid,
            "the principal has too many ancestors (ANCESTORS_MAX)".to_owned(),
        ))?;
        let narrowing = Narrowing {
            version: self,
            table: &table,
            request,
            principal,
            dataset: &dataset.entity,
            columns,
            schema_hash,
        };
        narrowing.narrow(DatasetAccess {
            schema_hash,
            ..whole.clone()
        })
    }

    /// Whether the policies of one source type-check on every dataset that they can apply to.
    pub(crate) fn check_datasets(&self, source: &str) -> Result<(), Fault> {
        on_big_stack(|| self.check_datasets_deep(source))
            .unwrap_or_else(|| Err(Fault::internal("the policies could not be checked")))
    }

    fn check_datasets_deep(&self, source: &str) -> Result<(), Fault> {
        let Some(source) = self.policies.source(source) else {
            return Ok(());
        };
        let on_rows: Vec<&Arc<LoadedPolicy>> = source
            .policies
            .iter()
            .filter(|policy| policy.scope.is_on_rows())
            .collect();
        if on_rows.is_empty() {
            return Ok(());
        }
        for dataset in self.entities.all() {
            let Some(columns) = &dataset.schema else {
                continue;
            };
            let placed = self.placed(Arc::clone(dataset));
            let reached: Vec<&Arc<LoadedPolicy>> = on_rows
                .iter()
                .copied()
                .filter(|policy| self.reaches(policy, &placed, columns))
                .collect();
            if reached.is_empty() {
                continue;
            }
            let schema = self.policies.schema.specialised(columns);
            let schema = schema.map_err(Fault::internal)?;
            type_check(&reached, &schema)
                .map_err(|(policy, message)| not_typed(policy, &dataset.uid.id, &message))?;
        }
        Ok(())
    }

    fn reaches(&self, policy: &LoadedPolicy, dataset: &Placed, columns: &DatasetSchema) -> bool {
        let reached = |this: &Placed| {
            this.keys().contains(&policy.scope.resource)
                && may_hold(&policy.facts, None, Some(this))
        };
        let actions = &policy.scope.actions;
        let row = this(&EntityType::ROW, dataset, None);
        if actions.contains(&Action::ReadRow) && reached(&row) {
            return true;
        }
        let Ok(id) = dataset.entity.uid.id.parse::<DatasetId>() else {
            return false;
        };
        actions.contains(&Action::ReadCell)
            && columns.columns.iter().any(|column| {
                let column = self.stored(&id.column_uid(&column.name));
                reached(&this(&EntityType::CELL, dataset, column.as_ref()))
            })
    }
}

fn not_typed(policy: &LoadedPolicy, dataset: &str, message: &str) -> Fault {
    let location = Location {
        file: Some(policy.reference.source.clone()),
        ..Location::default()
    };
    Fault::invalid(format!(
        "policy `{}` on dataset {dataset}: {message}",
        policy.id()
    ))
    .with_reason(Reason::PolicyNotTyped.code())
    .with_hint("name a column that the dataset has, and guard one that can be absent with `has`")
    .at(location)
}

/// The row or cell whose values are not known, with all its ancestors.
pub(crate) fn this(entity_type: &EntityType, dataset: &Placed, column: Option<&Placed>) -> Placed {
    let own = column.into_iter().chain([dataset]).flat_map(|placed| {
        std::iter::once(&placed.entity.uid)
            .chain(&placed.ancestors)
            .cloned()
    });
    let ancestors: BTreeSet<EntityUid> = own.collect();
    Placed {
        entity: Arc::new(Entity::new(entity_type.clone().id(THIS))),
        ancestors: ancestors.into_iter().collect(),
    }
}
