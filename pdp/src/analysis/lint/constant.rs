//! Policies whose condition is the same for every request: never, or always.

use std::sync::Arc;

use cedar_policy::Validator;
use dataos_model::{action::Action, dataset::DatasetSchema};

use super::{
    super::{
        candidate::{Candidate, Item},
        finding::{Finding, Rule},
        fold::{Asker, Folded, Kind, PRINCIPALS, fold},
    },
    Places,
};

/// Most datasets that a policy on rows is folded on.
const DATASETS_FOLDED_MAX: usize = 100;

/// Policies that never or always match.
pub(super) fn findings(candidate: &Candidate<'_>, places: &Places) -> Vec<Finding> {
    let askers: Vec<Asker> = PRINCIPALS
        .iter()
        .filter_map(|entity_type| Asker::of_type(entity_type).ok())
        .collect();
    let schemas = row_schemas(candidate, places);
    let found = candidate.items.iter().filter_map(|item| {
        let folded = everywhere(candidate, item, &askers, &schemas)?;
        told(item, folded)
    });
    found.collect()
}

/// Validators for rows and cells of the known datasets.
fn row_schemas(candidate: &Candidate<'_>, places: &Places) -> Vec<Arc<Validator>> {
    let schemas: Vec<&DatasetSchema> = places.schemas().take(DATASETS_FOLDED_MAX).collect();
    schemas
        .into_iter()
        .filter_map(|columns| candidate.schema.specialised(columns).ok())
        .collect()
}

/// What the policy folds to if that is the same for all kinds of requests in its scope.
fn everywhere(
    candidate: &Candidate<'_>,
    item: &Item,
    askers: &[Asker],
    row_schemas: &[Arc<Validator>],
) -> Option<Folded> {
    let plain = [Arc::clone(candidate.schema.plain())];
    let mut same: Option<Folded> = None;
    for action in &item.policy.scope.actions {
        let is_on_rows = matches!(action, Action::ReadRow | Action::ReadCell);
        // Without conditions there is nothing that columns could decide.
        let needs_columns = is_on_rows && !item.shape.clauses.is_empty();
        let schemas: &[Arc<Validator>] = if needs_columns { row_schemas } else { &plain };
        if schemas.is_empty() {
            // What a condition on rows comes to is not known without a dataset.
            return None;
        }
        for resource in candidate.schema.vocabulary.resource_types(*action) {
            let kind = Kind {
                action: *action,
                resource,
            };
            for (asker, schema) in askers
                .iter()
                .flat_map(|a| schemas.iter().map(move |s| (a, s)))
            {
                let folded = fold(
                    &item.policy.cedar,
                    asker,
                    kind,
                    &candidate.schema,
                    schema.schema(),
                );
                if folded == Folded::Depends || same.is_some_and(|same| same != folded) {
                    return None;
                }
                same = Some(folded);
            }
        }
    }
    same
}

fn told(item: &Item, folded: Folded) -> Option<Finding> {
    let id = item.id();
    let is_permit = item.policy.reference.effect_is_permit;
    let finding = match folded {
        Folded::Depends => return None,
        Folded::Never => item
            .finding(
                Rule::NeverMatches,
                format!("policy `{id}` matches no request: its conditions exclude every one"),
            )
            .with_hint("compare the types in its scope with what its actions apply to"),
        Folded::Always if is_permit => item
            .finding(
                Rule::AlwaysMatches,
                format!(
                    "policy `{id}` permits its actions to every principal, `anonymous` included, \
                     on every resource"
                ),
            )
            .with_hint("name a role, group or resource, or add a condition"),
        Folded::Always => item
            .finding(
                Rule::AlwaysMatches,
                format!("policy `{id}` forbids its actions to every principal on every resource"),
            )
            .with_hint("no permit for these actions has an effect; if that is meant, take the permits away"),
    };
    Some(finding)
}
