//! The views behind a statement: what they read, and how their reader may see it.
//!
//! A view is read with its reader's rights: his policies on every dataset behind it, and on the view
//! itself as a dataset. Its query is bound for each reader anew, so a column that he may not see makes
//! it unreadable for him, by policy and never by data.

use std::{collections::BTreeMap, sync::Arc};

use dataos_model::{
    access::DatasetAccess,
    dataset::DatasetId,
    depot::{AssetSnapshot, Dataset, DatasetSource},
    fault::{Fault, FaultKind},
};
use dataos_sql::{Bound, Names, Resolution, Statement, TableView, Tables, ir::Ident, parse_view};

use crate::grant::Grant;

/// Views behind one statement.
const VIEWS_MAX: usize = 64;
/// Views behind a view behind a view.
const DEPTH_MAX: usize = 8;
/// Tables of a statement after each view is replaced by its query, as the engine does.
const EXPANDED_MAX: usize = 512;

/// All views behind a statement, inner ones first.
#[derive(Debug, Default)]
pub(crate) struct Views(Vec<View>);

#[derive(Debug)]
struct View {
    dataset: Arc<Dataset>,
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
    pub(crate) bound: Bound,
}

impl Views {
    /// Those that these tables name, and those behind them.
    ///
    /// # Errors
    /// Too many, nested too deep or in a circle, or one that cannot be read any more.
    pub(crate) fn of(snapshot: &AssetSnapshot, tables: &Tables) -> Result<Self, Fault> {
        let mut views = Self::default();
        for dataset in tables.datasets() {
            views.add(snapshot, &dataset, 0)?;
        }
        let steps = tables.steps.iter().chain([tables]);
        let expanded = steps.map(|tables| views.expanded(tables)).sum();
        check_expanded(expanded)?;
        Ok(views)
    }

    fn add(&mut self, snapshot: &AssetSnapshot, id: &DatasetId, depth: usize) -> Result<(), Fault> {
        let Some(dataset) = snapshot.datasets.get(id) else {
            return Ok(());
        };
        let DatasetSource::View { sql } = &dataset.source else {
            return Ok(());
        };
        if self.find(id).is_some() {
            return Ok(());
        }
        // Ends circles, which only a damaged catalog has.
        if depth == DEPTH_MAX {
            return Err(too_deep());
        }
        let statement = parse_view(sql).map_err(|_| unreadable(id))?;
        let tables =
            dataos_sql::tables(&statement, &Whole(snapshot)).map_err(|_| unreadable(id))?;
        for inner in tables.datasets() {
            self.add(snapshot, &inner, depth + 1)?;
        }
        if self.0.len() == VIEWS_MAX {
            return Err(exceeded(format!(
                "more than {VIEWS_MAX} views are behind it"
            )));
        }
        let expanded = self.expanded(&tables);
        check_expanded(expanded)?;
        let inner = tables.datasets();
        let levels = inner
            .iter()
            .filter_map(|id| self.find(id))
            .map(|view| view.level);
        let level = 1 + levels.max().unwrap_or_default();
        if level > DEPTH_MAX {
            return Err(too_deep());
        }
        self.0.push(View {
            dataset: Arc::clone(dataset),
            statement,
            tables,
            expanded,
            level,
        });
        Ok(())
    }

    fn find(&self, id: &DatasetId) -> Option<&View> {
        self.0.iter().find(|view| view.dataset.id == *id)
    }

    fn expanded(&self, tables: &Tables) -> usize {
        let occurrences = tables.occurrences.iter();
        let weights = occurrences.map(|table| self.find(&table.dataset).map_or(1, |v| v.expanded));
        weights.fold(0, usize::saturating_add)
    }

    /// The datasets that they read.
    pub(crate) fn datasets(&self) -> impl Iterator<Item = DatasetId> + '_ {
        self.0.iter().flat_map(|view| view.tables.datasets())
    }

    /// What a reader hears who may not read what a view reads: nothing of what that is.
    pub(crate) fn denied(&self, access: &DatasetAccess, named: &[DatasetId]) -> Option<Fault> {
        if named.contains(&access.dataset) {
            return None;
        }
        let mut reading = self.0.iter();
        let view = reading.find(|view| view.tables.datasets().contains(&access.dataset))?;
        Some(Fault {
            reason: access.decision.reason.code().to_owned(),
            ..unreadable(&view.dataset.id)
        })
    }

    /// Binds each to what its reader may see; the columns of all datasets, views included.
    ///
    /// # Errors
    /// One reads a column that its reader may not see, or that is no longer there.
    pub(crate) fn bind(
        &self,
        grants: &[Grant],
        shown: impl Fn(&Grant) -> TableView,
    ) -> Result<(Vec<TableView>, Vec<BoundView>), Fault> {
        let is_view = |grant: &Grant| self.find(&grant.dataset.id).is_some();
        let tables = grants.iter().filter(|grant| !is_view(grant)).map(&shown);
        let mut tables: Vec<TableView> = tables.collect();
        let mut bound = Vec::with_capacity(self.0.len());
        for view in &self.0 {
            let id = &view.dataset.id;
            let mut granted = grants.iter();
            let grant = granted.find(|grant| grant.dataset.id == *id);
            let grant = grant.ok_or_else(|| Fault::internal("a view that was not decided"))?;
            let query = dataos_sql::bind(&view.statement, &view.tables, &tables);
            let query = query.map_err(|_| unreadable(id))?;
            let columns = &view.dataset.schema.columns;
            if query.columns.len() != columns.len() {
                return Err(unreadable(id));
            }
            let masked = columns.iter().zip(&query.columns);
            let masked: BTreeMap<&str, (bool, bool)> = masked
                .map(|(column, output)| {
                    let flags = (output.is_masked, output.is_condition_only);
                    (column.name.as_str(), flags)
                })
                .collect();
            let mut table = shown(grant);
            for column in &mut table.columns {
                let flags = masked.get(column.name.as_str()).copied();
                let (is_masked, is_condition_only) = flags.unwrap_or((true, true));
                column.is_masked |= is_masked;
                column.is_condition_only |= is_condition_only;
            }
            tables.push(table);
            bound.push(BoundView {
                dataset: id.clone(),
                bound: query,
            });
        }
        Ok((tables, bound))
    }
}

/// The governed text of a statement with the views behind it.
pub(crate) fn governed_sql(sql: &str, views: &[BoundView]) -> String {
    let views = views.iter().map(|view| {
        let text = view.bound.emit();
        format!("; VIEW {}: {text}", view.dataset)
    });
    std::iter::once(sql.to_owned()).chain(views).collect()
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
    let message = format!("the view `{id}` reads what you may not see, or what is no longer there");
    Fault::denied("view_unreadable", message)
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
            Some(dataset) => Resolution::Found(id, Arc::new(dataset.schema.clone())),
            None => Resolution::Unknown,
        }
    }
}
