//! The known datasets, and which policies can be about them.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use cedar_policy::{ValidationError, pst::Var};
use dataos_model::{
    action::Action,
    dataset::{DatasetId, DatasetSchema},
    entity::{Entity, EntityType, EntityUid},
};

use super::super::{
    candidate::{Candidate, Item},
    finding::{Finding, Rule},
    shape::Reach,
};
use crate::schema::BaseSchema;

/// A dataset with everything that it and its cells are in.
#[derive(Debug)]
struct Place {
    id: String,
    columns: DatasetSchema,
    /// The dataset itself and all its ancestors.
    above: BTreeSet<EntityUid>,
    /// For each column: it and all its ancestors.
    cells: Vec<BTreeSet<EntityUid>>,
}

/// The known datasets.
#[derive(Debug)]
pub(in super::super) struct Places(Vec<Place>);

impl Places {
    /// The datasets among some entities.
    pub(in super::super) fn of(entities: &[Arc<Entity>]) -> Self {
        let by_uid: BTreeMap<&EntityUid, &Entity> = entities
            .iter()
            .map(|entity| (&entity.uid, entity.as_ref()))
            .collect();
        let place = |entity: &&Entity| {
            let columns = entity.schema.clone()?;
            let id: DatasetId = entity.uid.id.parse().ok()?;
            let cell = |name: &str| {
                let mut above = closure(&id.column_uid(name), &by_uid);
                above.extend(closure(&entity.uid, &by_uid));
                above
            };
            Some(Place {
                id: entity.uid.id.clone(),
                cells: columns.columns.iter().map(|c| cell(&c.name)).collect(),
                above: closure(&entity.uid, &by_uid),
                columns,
            })
        };
        let datasets = by_uid.values().filter_map(place);
        Self(datasets.collect())
    }

    /// Number of datasets.
    pub(in super::super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Their columns.
    pub(super) fn schemas(&self) -> impl Iterator<Item = &DatasetSchema> {
        self.0.iter().map(|place| &place.columns)
    }

    /// Policies that do not type-check on a dataset, and policies on data that no dataset satisfies.
    pub(super) fn findings(&self, candidate: &Candidate<'_>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for item in &candidate.items {
            let diagnosed = |error: &ValidationError| {
                item.diagnosed(Rule::NotTyped, candidate.text(item), error)
            };
            let unbounded = Cell::new(usize::MAX);
            findings.extend(self.not_typed(&candidate.schema, item, diagnosed, &unbounded));
            findings.extend(self.nowhere(item));
        }
        findings
    }

    /// Everything that a dataset, a row or a cell can be in, datasets and columns included.
    pub(in super::super) fn above(&self) -> HashSet<&EntityUid> {
        let places = self.0.iter();
        places
            .flat_map(|place| std::iter::once(&place.above).chain(&place.cells))
            .flatten()
            .collect()
    }

    /// A policy on rows or cells that does not type-check on a dataset that it can apply to. At most
    /// `checks` datasets are tried; they are counted down.
    pub(in super::super) fn not_typed(
        &self,
        schema: &BaseSchema,
        item: &Item,
        diagnosed: impl FnOnce(&ValidationError) -> Finding,
        checks: &Cell<usize>,
    ) -> Option<Finding> {
        let on_rows = [Action::ReadRow, Action::ReadCell];
        let is_on_rows = on_rows
            .iter()
            .any(|on| item.policy.scope.actions.contains(on));
        if !is_on_rows || item.shape.clauses.is_empty() {
            return None;
        }
        let mut failing = self
            .0
            .iter()
            .filter(|place| on_rows.iter().any(|action| place.is_reached(item, *action)))
            .take_while(|_| match checks.get().checked_sub(1) {
                Some(left) => {
                    checks.set(left);
                    true
                }
                None => false,
            })
            .filter_map(|place| Some((place, type_error(schema, item, place)?)));
        let (place, error) = failing.next()?;
        let mut finding = diagnosed(&error);
        finding.message = format!(
            "policy `{}` on dataset {}: {}",
            item.id(),
            place.id,
            finding.message
        );
        let others = failing.count();
        if others > 0 {
            finding.message = format!("{} (and on {others} more datasets)", finding.message);
        }
        Some(finding.with_hint(
            "name a column that the dataset has, and guard one that can be absent with `has`",
        ))
    }

    /// A policy on data alone that can be about none of the datasets.
    pub(in super::super) fn nowhere(&self, item: &Item) -> Option<Finding> {
        let actions = &item.policy.scope.actions;
        if self.0.is_empty() || !is_on_data(actions) {
            return None;
        }
        let is_somewhere = |place: &Place| actions.iter().any(|on| place.is_reached(item, *on));
        if self.0.iter().any(is_somewhere) {
            return None;
        }
        let message = format!(
            "policy `{}` can match none of the {} known datasets",
            item.id(),
            self.0.len()
        );
        let hint = "check the spelling of dataset, column and tag; without a server the datasets \
                    are those of the test files";
        Some(item.finding(Rule::NoDataset, message).with_hint(hint))
    }
}

/// Whether actions are all on datasets, rows or cells.
pub(in super::super) fn is_on_data(actions: &[Action]) -> bool {
    actions.iter().all(|action| {
        let types = action.resource_types();
        types == [EntityType::DATASET] || types == [EntityType::ROW] || types == [EntityType::CELL]
    })
}

impl Place {
    /// Whether the policy can be about this dataset, its rows or its cells.
    fn is_reached(&self, item: &Item, action: Action) -> bool {
        let actions = &item.policy.scope.actions;
        actions.contains(&action)
            && match action {
                Action::ReadRow => fits(item, &EntityType::ROW, &self.above),
                Action::ReadCell => self
                    .cells
                    .iter()
                    .any(|cell| fits(item, &EntityType::CELL, cell)),
                _ => fits(item, &EntityType::DATASET, &self.above),
            }
    }
}

/// Whether something of this type that is in all of these satisfies what the policy says of where
/// its resource is.
fn fits(item: &Item, entity_type: &EntityType, above: &BTreeSet<EntityUid>) -> bool {
    let is_type = match &item.shape.resource {
        Reach::Is(wanted) | Reach::IsIn(wanted, _) => wanted == entity_type,
        Reach::Any | Reach::In(_) | Reach::Eq(_) => true,
    };
    let bounds = item.shape.bounds(&Var::Resource);
    is_type
        && bounds
            .iter()
            .all(|any| any.iter().any(|uid| above.contains(uid)))
}

/// The first error, by text: Cedar's order is that of a hash table.
fn type_error(schema: &BaseSchema, item: &Item, place: &Place) -> Option<ValidationError> {
    let schema = schema.specialised(&place.columns).ok()?;
    let result = item.validated(&schema)?;
    let errors = result.validation_errors().cloned();
    errors.min_by_key(ToString::to_string)
}

/// The entity and all its ancestors.
fn closure(uid: &EntityUid, by_uid: &BTreeMap<&EntityUid, &Entity>) -> BTreeSet<EntityUid> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![uid.clone()];
    while let Some(uid) = waiting.pop() {
        if let Some(entity) = by_uid.get(&uid) {
            waiting.extend(
                entity
                    .parents
                    .iter()
                    .filter(|uid| !found.contains(*uid))
                    .cloned(),
            );
        }
        found.insert(uid);
    }
    found
}
