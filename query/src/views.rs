//! The views behind a statement: what they read, and how their reader may see it.
//!
//! A view is read with its reader's rights: his policies on every dataset behind it, and on the view
//! itself as a dataset. Its query is bound for each reader anew, so a column that he may not see makes
//! it unreadable for him, by policy and never by data.
//!
//! Behind a view that lends its definer's rights, its definer is the reader, and so he is of every view there
//! that lends none. Who sent the statement is told nothing of what is behind it, not even why it cannot be read.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dataos_model::{
    access::DatasetAccess,
    action::Action,
    dataset::DatasetId,
    depot::{AssetSnapshot, Dataset, DatasetSource, Definer},
    fault::{Fault, FaultKind},
    hash::Hash,
};
use dataos_sql::{Bound, Names, Resolution, Statement, TableView, Tables, ir::Ident, parse_view};

use crate::{
    certificate::{Refusal, Unlent},
    rights::{Grants, Rights},
};

/// Views behind one statement.
const VIEWS_MAX: usize = 64;
/// Views behind a view behind a view.
const DEPTH_MAX: usize = 8;
/// Tables of a statement after each view is replaced by its query, as the engine does.
const EXPANDED_MAX: usize = 512;
/// Why a view is refused as a whole.
const VIEW_UNREADABLE: &str = "view_unreadable";

/// All views behind a statement, inner ones first. One that is read with the rights of several is there for each.
#[derive(Debug, Default)]
pub(crate) struct Views(Vec<View>);

#[derive(Debug)]
struct View {
    dataset: Arc<Dataset>,
    sql: String,
    definer: Option<Definer>,
    /// Whose policies on the view count.
    reader: Rights,
    /// Whose policies on its tables count.
    behind: Rights,
    /// The view that the statement names, or the first of those, that leads here.
    named: DatasetId,
    statement: Statement,
    tables: Tables,
    /// Tables after it is replaced by its query.
    expanded: usize,
    /// 1 over tables alone, and one more than those of the views that it reads.
    level: usize,
}

/// A view as its reader's query.
#[derive(Clone, Debug)]
pub(crate) struct BoundView {
    pub(crate) dataset: DatasetId,
    /// Whose policies on the view count.
    pub(crate) reader: Rights,
    /// Whose policies on its tables count.
    pub(crate) behind: Rights,
    pub(crate) bound: Bound,
    named: DatasetId,
}

/// How a view is come upon.
#[derive(Clone, Copy, Debug)]
struct Way<'a> {
    named: &'a DatasetId,
    reader: &'a Rights,
    depth: usize,
}

impl Views {
    /// Those that these tables name, and those behind them.
    ///
    /// # Errors
    /// Too many, nested too deep or in a circle, or one that cannot be read any more.
    pub(crate) fn of(snapshot: &AssetSnapshot, tables: &Tables) -> Result<Self, Fault> {
        let mut views = Self::default();
        for dataset in tables.datasets() {
            let way = Way {
                named: &dataset,
                reader: &Rights::Caller,
                depth: 0,
            };
            views.add(snapshot, &dataset, way)?;
        }
        let steps = tables.steps.iter().chain([tables]);
        let expanded = steps.map(|tables| views.expanded(tables, &Rights::Caller));
        check_expanded(expanded.sum())?;
        Ok(views)
    }

    fn add(
        &mut self,
        snapshot: &AssetSnapshot,
        id: &DatasetId,
        Way {
            named,
            reader,
            depth,
        }: Way<'_>,
    ) -> Result<(), Fault> {
        let Some(dataset) = snapshot.datasets.get(id) else {
            return Ok(());
        };
        let DatasetSource::View { sql, definer } = &dataset.source else {
            return Ok(());
        };
        if self.find(id, reader).is_some() {
            return Ok(());
        }
        // Ends circles, which only a damaged catalog has.
        if depth == DEPTH_MAX {
            return Err(too_deep());
        }
        let statement = parse_view(sql).map_err(|_| unreadable(named))?;
        let tables =
            dataos_sql::tables(&statement, &Whole(snapshot)).map_err(|_| unreadable(named))?;
        let behind = match definer {
            Some(definer) => Rights::Definer(definer.user.clone()),
            None => reader.clone(),
        };
        for inner in tables.datasets() {
            let way = Way {
                named,
                reader: &behind,
                depth: depth + 1,
            };
            self.add(snapshot, &inner, way)?;
        }
        if self.0.len() == VIEWS_MAX {
            return Err(exceeded(format!(
                "more than {VIEWS_MAX} views are behind it"
            )));
        }
        let expanded = self.expanded(&tables, &behind);
        check_expanded(expanded)?;
        let inner = tables.datasets();
        let levels = inner
            .iter()
            .filter_map(|id| self.find(id, &behind))
            .map(|view| view.level);
        let level = 1 + levels.max().unwrap_or_default();
        if level > DEPTH_MAX {
            return Err(too_deep());
        }
        self.0.push(View {
            dataset: Arc::clone(dataset),
            sql: sql.clone(),
            definer: definer.clone(),
            reader: reader.clone(),
            behind,
            named: named.clone(),
            statement,
            tables,
            expanded,
            level,
        });
        Ok(())
    }

    fn find(&self, id: &DatasetId, reader: &Rights) -> Option<&View> {
        let mut views = self.0.iter();
        views.find(|view| view.dataset.id == *id && view.reader == *reader)
    }

    fn expanded(&self, tables: &Tables, reader: &Rights) -> usize {
        let occurrences = tables.occurrences.iter();
        let found = occurrences.map(|table| self.find(&table.dataset, reader));
        let weights = found.map(|view| view.map_or(1, |view| view.expanded));
        weights.fold(0, usize::saturating_add)
    }

    /// The datasets that they read, and with whose rights.
    pub(crate) fn datasets(&self) -> impl Iterator<Item = (&Rights, DatasetId)> + '_ {
        self.0.iter().flat_map(|view| {
            let datasets = view.tables.datasets().into_iter();
            datasets.map(|dataset| (&view.behind, dataset))
        })
    }

    /// What the caller hears if what a view reads is denied to its reader: nothing of what that is.
    pub(crate) fn denied(
        &self,
        access: &DatasetAccess,
        rights: &Rights,
        named: &[DatasetId],
    ) -> Option<Fault> {
        if *rights == Rights::Caller && named.contains(&access.dataset) {
            return None;
        }
        let mut reading = self.0.iter().filter(|view| view.behind == *rights);
        let view = reading.find(|view| view.tables.datasets().contains(&access.dataset))?;
        let reason = match rights {
            Rights::Caller => access.decision.reason.code().to_owned(),
            // Why it is not his matter.
            Rights::Definer(_) => VIEW_UNREADABLE.to_owned(),
        };
        Some(Fault {
            reason,
            ..unreadable(&view.named)
        })
    }

    /// The refusal where a definer has no rights to lend: its reason is for the log.
    pub(crate) fn unlent(&self, unlent: &Unlent) -> Refusal {
        let is_his =
            |view: &&View| matches!(&view.behind, Rights::Definer(user) if *user == unlent.definer);
        match self.0.iter().find(is_his) {
            Some(view) => view.refused(unlent.clone()),
            None => Fault::internal("rights that no view lends").into(),
        }
    }

    /// The refusal where a view behind a definer's is not what it was when he made his: its query would be carried
    /// out with rights that were not lent to it.
    pub(crate) fn changed(&self) -> Option<Refusal> {
        self.0.iter().find_map(|view| {
            let definer = view.definer.as_ref()?;
            if self.reads(&view.tables, &view.behind) == definer.reads {
                return None;
            }
            let id = &view.dataset.id;
            Some(view.refused(Unlent {
                definer: definer.user.clone(),
                cause: format!("a view that `{id}` reads was changed since it was made"),
            }))
        })
    }

    /// Digest of the views without a definer that these tables lead to: what is read with the rights of their
    /// reader because somebody wrote so in another view.
    pub(crate) fn reads(&self, tables: &Tables, reader: &Rights) -> Hash {
        let mut found = BTreeSet::new();
        let mut waiting = tables.datasets();
        while let Some(id) = waiting.pop() {
            let view = self.find(&id, reader);
            let Some(view) = view.filter(|view| view.definer.is_none()) else {
                continue;
            };
            if found.insert((id.to_string(), view.sql.as_str())) {
                waiting.extend(view.tables.datasets());
            }
        }
        Hash::of_parts(found.into_iter().flat_map(|(id, sql)| [id, sql.to_owned()]))
    }

    /// Binds each to what its reader may see; the columns of all datasets that the caller reads, views included.
    ///
    /// # Errors
    /// One reads a column that its reader may not see, or that is no longer there.
    pub(crate) fn bind(
        &self,
        grants: &Grants,
    ) -> Result<(Vec<TableView>, Vec<BoundView>), Box<Refusal>> {
        let mut tables: BTreeMap<Rights, Vec<TableView>> = BTreeMap::new();
        for (rights, grant) in grants.each() {
            if self.find(&grant.dataset.id, &rights).is_none() {
                tables.entry(rights).or_default().push(grant.view.clone());
            }
        }
        let mut bound = Vec::with_capacity(self.0.len());
        for view in &self.0 {
            let grant = grants.find(&view.reader, &view.dataset.id);
            let undecided = || Box::new(Fault::internal("a view that was not decided").into());
            let grant = grant.ok_or_else(undecided)?;
            let behind = tables.get(&view.behind).map_or(&[][..], Vec::as_slice);
            let query = dataos_sql::bind(&view.statement, &view.tables, behind);
            let query = query.map_err(|error| Box::new(view.unreadable(&error.message)))?;
            let table = view.shown(grant.view.clone(), &query);
            let table = table.ok_or_else(|| Box::new(view.unreadable("it has other columns")))?;
            tables.entry(view.reader.clone()).or_default().push(table);
            bound.push(BoundView {
                dataset: view.dataset.id.clone(),
                reader: view.reader.clone(),
                behind: view.behind.clone(),
                bound: query,
                named: view.named.clone(),
            });
        }
        let tables = tables.remove(&Rights::Caller).unwrap_or_default();
        Ok((tables, bound))
    }
}

impl View {
    /// The refusal where its query does not go with what its reader may see; if that is a definer, the log says why.
    fn unreadable(&self, why: &str) -> Refusal {
        match &self.behind {
            Rights::Caller => unreadable(&self.named).into(),
            Rights::Definer(user) => self.refused(Unlent {
                definer: user.clone(),
                cause: format!("`{}`: {why}", self.dataset.id),
            }),
        }
    }

    fn refused(&self, unlent: Unlent) -> Refusal {
        Refusal {
            action: Action::Select,
            unlent: Some(unlent),
            ..Refusal::from(unreadable(&self.named))
        }
    }

    /// The view as its reader sees it: what is masked below it, or may stand in conditions alone, is so in it.
    /// None if its query has other columns.
    fn shown(&self, mut table: TableView, query: &Bound) -> Option<TableView> {
        let columns = &self.dataset.schema.columns;
        if query.columns.len() != columns.len() {
            return None;
        }
        let masked = columns.iter().zip(&query.columns);
        let masked: BTreeMap<&str, (bool, bool)> = masked
            .map(|(column, output)| {
                let flags = (output.is_masked, output.is_condition_only);
                (column.name.as_str(), flags)
            })
            .collect();
        for column in Arc::make_mut(&mut table.columns) {
            let flags = masked.get(column.name.as_str()).copied();
            let (is_masked, is_condition_only) = flags.unwrap_or((true, true));
            column.is_masked |= is_masked;
            column.is_condition_only |= is_condition_only;
        }
        Some(table)
    }
}

impl BoundView {
    /// Whether what is behind it is read with other rights than its caller's.
    pub(crate) fn is_lent(&self) -> bool {
        self.behind != Rights::Caller
    }

    /// Whether its reader sees more through it than its query says: then nothing of his may be evaluated below it.
    pub(crate) fn lends(&self) -> bool {
        self.behind != self.reader
    }

    /// What the caller hears of a fault behind it: with the rights of others, nothing of what that is.
    pub(crate) fn told(&self, fault: Fault) -> Fault {
        match self.reader {
            Rights::Caller if !self.is_lent() => fault,
            Rights::Caller | Rights::Definer(_) => {
                tracing::info!(view = %self.dataset, %fault, "a view cannot be read");
                unreadable(&self.named)
            }
        }
    }
}

/// The governed text of a statement with the views behind it. Of what is read with the rights of others it says
/// whose they are, and nothing more.
pub(crate) fn governed_sql(sql: &str, views: &[BoundView]) -> String {
    let mut text = sql.to_owned();
    for view in views.iter().filter(|view| view.reader == Rights::Caller) {
        let said = match &view.behind {
            Rights::Caller => format!("; VIEW {}: {}", view.dataset, view.bound.emit()),
            Rights::Definer(user) => format!("; VIEW {} WITH THE RIGHTS OF {user:?}", view.dataset),
        };
        text.push_str(&said);
    }
    text
}

/// Digest of the queries that are carried out with the rights of others.
pub(crate) fn lent_statement(views: &[BoundView]) -> Hash {
    let lent = views.iter().filter(|view| view.is_lent());
    let parts = lent.flat_map(|view| {
        let reader = format!("{:?} {:?}", view.reader, view.behind);
        [
            view.dataset.to_string(),
            reader,
            view.bound.emit().to_owned(),
        ]
    });
    Hash::of_parts(parts)
}

fn check_expanded(expanded: usize) -> Result<(), Fault> {
    if expanded <= EXPANDED_MAX {
        return Ok(());
    }
    let message = format!("more than {EXPANDED_MAX} tables are behind its views");
    Err(exceeded(message))
}

fn too_deep() -> Fault {
    exceeded(format!("views are nested more than {DEPTH_MAX} deep"))
}

fn exceeded(message: String) -> Fault {
    Fault::new(FaultKind::TooLarge, message)
        .with_reason("sql_too_large")
        .with_hint("read the datasets behind the views themselves")
}

fn unreadable(id: &DatasetId) -> Fault {
    let message = format!(
        "the view `{id}` reads what you or who lends his rights to it may not see, or what is no longer there"
    );
    Fault::denied(VIEW_UNREADABLE, message)
        .with_hint("ask its owner what it reads, and the owners of that for a policy")
}

/// Names in full, as views are stored with.
#[derive(Debug)]
struct Whole<'a>(&'a AssetSnapshot);

impl Names for Whole<'_> {
    fn resolve(&self, parts: &[Ident]) -> Resolution {
        let [depot, collection, name] = parts else {
            return Resolution::Unknown;
        };
        let id = DatasetId::new(&depot.value, &collection.value, &name.value);
        match self.0.datasets.get(&id) {
            Some(dataset) => Resolution::Found(id, Arc::clone(&dataset.schema)),
            None => Resolution::Unknown,
        }
    }
}
