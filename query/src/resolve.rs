//! What the table names of a statement mean, over the catalog's snapshot.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use dataos_model::{
    action::Action, dataset::DatasetId, decision::Request, depot::AssetSnapshot,
    query::QueryRequest, seams::Decide,
};
use dataos_sql::{Names, Resolution, Statement, TableName, ir::Ident, names_dataset};
use foldhash::quality::RandomState;

/// Most datasets that one ambiguous name is narrowed among.
const CANDIDATES_MAX: usize = 100;

/// Datasets of a catalog by the last parts of their names, in small letters: however a name is compared, it differs
/// from what it means in nothing but the case of ASCII letters.
type ByLastPart = HashMap<String, Vec<DatasetId>, RandomState>;

/// The last parts of names, made once for each catalog: a large one has more datasets than are worth looking
/// through for each name of a statement.
#[derive(Debug, Default)]
pub(crate) struct LastParts(Mutex<(Weak<AssetSnapshot>, Arc<ByLastPart>)>);

impl LastParts {
    fn of(&self, catalog: &Arc<AssetSnapshot>) -> Arc<ByLastPart> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_same(&known.0, catalog) {
            let mut made = ByLastPart::default();
            for id in catalog.datasets.keys() {
                let last = id.name.to_ascii_lowercase();
                made.entry(last).or_default().push(id.clone());
            }
            *known = (Arc::downgrade(catalog), Arc::new(made));
        }
        Arc::clone(&known.1)
    }
}

/// Whether what is known was made of this very catalog. Nothing else can lie where that lies for as long as it is known.
pub(crate) fn is_same(known: &Weak<AssetSnapshot>, catalog: &Arc<AssetSnapshot>) -> bool {
    std::ptr::eq(known.as_ptr(), Arc::as_ptr(catalog))
}

/// Names over a snapshot, without those datasets that an ambiguous name must not reveal.
#[derive(Debug)]
pub(crate) struct SnapshotNames<'a> {
    snapshot: &'a AssetSnapshot,
    by_last_part: Arc<ByLastPart>,
    hidden: BTreeSet<DatasetId>,
    is_anyones: bool,
}

impl<'a> SnapshotNames<'a> {
    /// Names for a caller: where one name fits several datasets, only those count that the caller
    /// may see or select, so that a hidden namesake neither shows nor stands in the way.
    pub(crate) async fn of(
        (snapshot, last_parts): (&'a Arc<AssetSnapshot>, &LastParts),
        statement: &Statement,
        request: &QueryRequest,
        decide: &dyn Decide,
    ) -> Self {
        let all = Self {
            snapshot,
            by_last_part: last_parts.of(snapshot),
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
            hidden,
            is_anyones,
            ..all
        }
    }

    /// Whether the names mean the same for everybody.
    pub(crate) fn is_anyones(&self) -> bool {
        self.is_anyones
    }

    fn matching(&self, last: &Ident, fits: impl Fn(&DatasetId) -> bool) -> Vec<&DatasetId> {
        let alike = self.by_last_part.get(&last.value.to_ascii_lowercase());
        let alike = alike.into_iter().flatten();
        alike
            .filter(|id| fits(id) && !self.hidden.contains(*id))
            .collect()
    }
}

impl Names for SnapshotNames<'_> {
    fn resolve(&self, parts: &[Ident]) -> Resolution {
        let Some(last) = parts.last() else {
            return Resolution::Unknown;
        };
        let found = Ident::meant(|fits| self.matching(last, |id| names_dataset(parts, id, fits)));
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

#[cfg(test)]
mod tests;
