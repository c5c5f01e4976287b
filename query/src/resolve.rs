//! What the table names of a statement mean, over the catalog's snapshot.

use std::{collections::BTreeSet, sync::Arc};

use dataos_model::{
    action::Action, dataset::DatasetId, decision::Request, depot::AssetSnapshot,
    query::QueryRequest, seams::Decide,
};
use dataos_sql::{Names, Resolution, Statement, TableName, ir::Ident, names_dataset};

/// Most datasets that one ambiguous name is narrowed among.
const CANDIDATES_MAX: usize = 100;

/// Names over a snapshot, without those datasets that an ambiguous name must not reveal.
#[derive(Debug)]
pub(crate) struct SnapshotNames<'a> {
    snapshot: &'a AssetSnapshot,
    hidden: BTreeSet<DatasetId>,
    is_anyones: bool,
}

impl<'a> SnapshotNames<'a> {
    /// Names for a caller: where one name fits several datasets, only those count that the caller
    /// may see or select, so that a hidden namesake neither shows nor stands in the way.
    pub(crate) async fn of(
        snapshot: &'a AssetSnapshot,
        statement: &Statement,
        request: &QueryRequest,
        decide: &dyn Decide,
    ) -> Self {
        let all = Self {
            snapshot,
            hidden: BTreeSet::new(),
            is_anyones: true,
        };
        let mut candidates = BTreeSet::new();
        for TableName { parts, .. } in statement.names() {
            if let Resolution::Ambiguous(several) = all.resolve(parts) {
                candidates.extend(several);
            }
        }
        let candidates: Vec<DatasetId> = candidates.into_iter().take(CANDIDATES_MAX).collect();
        let is_anyones = candidates.is_empty();
        let visible = visible(&candidates, request, decide).await;
        let hidden = candidates
            .into_iter()
            .filter(|id| !visible.contains(id))
            .collect();
        Self {
            snapshot,
            hidden,
            is_anyones,
        }
    }

    /// Whether the names mean the same for everybody.
    pub(crate) fn is_anyones(&self) -> bool {
        self.is_anyones
    }

    fn matching(&self, fits: impl Fn(&DatasetId) -> bool) -> Vec<&DatasetId> {
        self.snapshot
            .datasets
            .keys()
            .filter(|id| fits(id) && !self.hidden.contains(*id))
            .collect()
    }
}

impl Names for SnapshotNames<'_> {
    fn resolve(&self, parts: &[Ident]) -> Resolution {
        let found = Ident::meant(|fits| self.matching(|id| names_dataset(parts, id, fits)));
        match found.as_slice() {
            [] => Resolution::Unknown,
            [id] => match self.snapshot.datasets.get(*id) {
                Some(dataset) => Resolution::Found((*id).clone(), Arc::clone(&dataset.schema)),
                None => Resolution::Unknown,
            },
            several => Resolution::Ambiguous(several.iter().map(|id| (*id).clone()).collect()),
        }
    }
}

/// Those of the datasets that the caller may select or see in the catalog.
pub(crate) async fn visible(
    datasets: &[DatasetId],
    request: &QueryRequest,
    decide: &dyn Decide,
) -> BTreeSet<DatasetId> {
    if datasets.is_empty() {
        return BTreeSet::new();
    }
    let asks: Vec<Request> = datasets
        .iter()
        .flat_map(|id| [Action::Select, Action::ViewAsset].map(|action| (id, action)))
        .map(|(id, action)| Request {
            context: request.context.clone(),
            ..Request::new(&request.principal, action, id.uid())
        })
        .collect();
    let decisions = decide.decide_all(&asks).await;
    datasets
        .iter()
        .zip(decisions.chunks(2))
        .filter(|(_, decisions)| decisions.iter().any(|decision| decision.is_allowed()))
        .map(|(id, _)| id.clone())
        .collect()
}
