//! From a statement and the columns that the caller may see to a governed statement.
//!
//! Enters: the tree as parsed, the dataset of each table, the visible columns of each dataset as the
//! PDP answered. Leaves: a [`Bound`]: text for the engine in which each base table is a governed
//! name of its own, the columns of the result, and lineage. A column that is not visible does not
//! exist here, so no error can tell the difference.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use dataos_model::{
    dataset::{ColumnType, DatasetId},
    lineage::WriteLineage,
};

use crate::{
    emit,
    error::{SqlError, SqlErrorKind},
    functions,
    ir::{Arguments, Call, Expr, Ident, Position, Query},
    limits,
    lineage::{Flow, Source},
    names::{Tables, Target},
    parse::{Explained, Kind, Security, Statement},
    recheck,
};

mod aggregation;
mod change;
mod column;
pub(crate) mod expr;
mod from;
mod group;
mod items;
mod keys;
mod query;
mod recursive;
mod row;
mod scope;
mod star;
mod view;
mod write;

pub use aggregation::GroupMinimum;
pub use change::{BoundChange, BoundStep, ROW_COLUMN, StepKind};
use scope::{CteEntry, Output, Read, Scope};

/// A dataset as the caller may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableView {
    /// Which dataset.
    pub dataset: DatasetId,
    /// Its visible columns, in the order of the catalog.
    pub columns: Arc<[ViewColumn]>,
    /// If there are any, the dataset leaves in aggregates alone, and each group must meet all of them.
    pub minimums: Vec<GroupMinimum>,
    /// Whether it is a view.
    pub is_view: bool,
}

/// A visible column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewColumn {
    /// Its name, as the catalog spells it.
    pub name: String,
    /// Its type as the caller sees it.
    pub column_type: ColumnType,
    /// Whether a mask lies over it for this caller.
    pub is_masked: bool,
    /// Whether it may stand in conditions alone.
    pub is_condition_only: bool,
}

/// What a bound statement does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoundKind {
    /// Answers rows.
    Query,
    /// Creates a table from rows.
    CreateTableAs(Target),
    /// Creates or replaces a view.
    CreateView(BoundView),
    /// Removes a view; there is nothing to emit.
    DropView(Target),
    /// Adds rows to a table, whose columns are those of [`Bound::columns`], by their names.
    Insert(Target),
    /// Changes rows of a table.
    Change(Box<BoundChange>),
    /// Answers the plan.
    Explain,
    /// Answers what would be enforced.
    ExplainPolicy,
    /// Tells of a write, which is not done.
    ExplainWrite(Box<BoundKind>, Explained),
    /// Answers the tables that the caller may name; there is nothing to emit.
    ShowTables,
}

/// A view as it is to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundView {
    /// Its name.
    pub target: Target,
    /// Whether one that is there is replaced.
    pub is_replacing: bool,
    /// Whose rights count behind it.
    pub security: Security,
    /// Its query, with datasets named in full and stars written out.
    pub sql: String,
}

/// One base table of the governed text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundTable {
    /// The name under which the engine must find the governed table: `__t0`, `__t1`, ..
    pub governed_name: String,
    /// The dataset behind it.
    pub dataset: DatasetId,
    /// The visible columns that the statement uses, in the order of the catalog; may be empty.
    pub columns: Vec<String>,
    /// Where the caller named it.
    pub position: Position,
}

/// A column of the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputColumn {
    /// Its name for the caller. Two columns may have one name.
    pub name: String,
    /// Its name in the engine's result, at the same place: differs where `name` is repeated.
    pub engine_name: String,
    /// Whether a masked column contributes to it, or to a condition inside it.
    pub is_masked: bool,
    /// Whether a column that may stand in conditions alone contributes to it, or to a condition inside it.
    pub is_condition_only: bool,
}

/// A statement ready to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// What it does.
    pub kind: BoundKind,
    /// Columns of the result, or the columns written.
    pub columns: Vec<OutputColumn>,
    /// Base tables, one per occurrence.
    pub tables: Vec<BoundTable>,
    text: String,
    fingerprint: String,
    lineage: Option<WriteLineage>,
    returning: Option<Box<Bound>>,
    is_aggregated: bool,
    is_repeatable: bool,
}

impl Bound {
    /// The query for the engine, checked; no word of it is the caller's. For writes and EXPLAIN
    /// this is the query inside, for a change those of its steps; empty for SHOW TABLES.
    pub fn emit(&self) -> &str {
        &self.text
    }

    /// The query with dataset names for governed names and `?` for each literal.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// RETURNING: a query whose one table stands for the rows written or removed.
    pub fn returning(&self) -> Option<&Bound> {
        self.returning.as_deref()
    }

    /// Whether it leaves out groups that are too small: nothing may be evaluated on them.
    pub fn is_aggregated(&self) -> bool {
        self.is_aggregated
    }

    /// Whether the query answers the same over the same rows at any time.
    pub fn is_repeatable(&self) -> bool {
        self.is_repeatable
    }

    /// What a write takes from where.
    pub fn lineage(&self) -> Option<&WriteLineage> {
        self.lineage.as_ref()
    }
}

/// A name as close to `name` as is safe, and none of these.
fn apart(name: &str, taken: &HashSet<&str>) -> Ident {
    /// Longer names say no more.
    const LENGTH_MAX: usize = 40;
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let mut plain: String = name
        .chars()
        .take(LENGTH_MAX)
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if is_plain(c) { c } else { '_' })
        .collect();
    if !plain.starts_with(|c: char| c.is_ascii_lowercase()) {
        plain.insert(0, 'r');
    }
    let mut alias = plain.clone();
    let mut number = 2_usize;
    while taken.contains(alias.as_str()) {
        alias = format!("{plain}_{number}");
        number += 1;
    }
    Ident::quoted(alias)
}

/// The name of a governed table in the emitted text.
pub(crate) fn governed_name(occurrence: usize) -> String {
    format!("__t{occurrence}")
}

/// Binds a statement. `views` holds one view for each dataset of `tables.occurrences`.
///
/// # Errors
/// A name that is unknown or ambiguous, a limit, or a governed text that fails its recheck.
pub fn bind(
    statement: &Statement,
    tables: &Tables,
    views: &[TableView],
) -> Result<Bound, SqlError> {
    limits::on_large_stack(|| bind_here(statement, tables, views))
}

fn bind_here(
    statement: &Statement,
    tables: &Tables,
    views: &[TableView],
) -> Result<Bound, SqlError> {
    if let Kind::ExplainWrite(write, explained) = &statement.kind {
        let bound = bind_here(write, tables, views)?;
        return Ok(Bound {
            kind: BoundKind::ExplainWrite(Box::new(bound.kind), *explained),
            lineage: None,
            ..bound
        });
    }
    if let Kind::Change(change) = &statement.kind {
        let bound = change::bind(change, tables, views)?;
        let returning = change::returning(statement, tables, views)?;
        return Ok(Bound { returning, ..bound });
    }
    let Some(query) = statement.kind.query() else {
        return Ok(without_query(tables));
    };
    let mut binder = Binder::new(tables, views)?;
    let read = match statement.kind {
        Kind::Query(_) | Kind::Explain(_) | Kind::ExplainPolicy(_) => Read::Places,
        _ => Read::Names,
    };
    let bound = binder.query(query, read)?;
    let aggregated = binder.aggregated(&bound.query)?;
    let governed = aggregated.as_ref().unwrap_or(&bound.query);
    let text = emit::governed(governed);
    recheck::recheck(&text, governed, tables.occurrences.len())?;
    let fingerprint = emit::fingerprint(&bound.query, &tables.occurrences);
    let mut columns: Vec<OutputColumn> = bound
        .outputs
        .iter()
        .map(|output| binder.output_column(output))
        .collect();
    let (kind, lineage) = binder.kind(statement, &bound, &mut columns, (views, &fingerprint))?;
    let (all, tables) = (tables, binder.bound_tables());
    let is_repeatable = binder.is_repeatable;
    Ok(Bound {
        kind,
        columns,
        tables,
        text,
        fingerprint,
        lineage,
        returning: change::returning(statement, all, views)?,
        is_aggregated: aggregated.is_some(),
        is_repeatable,
    })
}

/// A statement that reads nothing: DROP VIEW, or SHOW TABLES.
fn without_query(tables: &Tables) -> Bound {
    let (kind, fingerprint) = match tables.target.clone() {
        Some(target) => {
            let fingerprint = format!("DROP VIEW {}", target.dataset);
            (BoundKind::DropView(target), fingerprint)
        }
        None => (BoundKind::ShowTables, "SHOW TABLES".to_owned()),
    };
    Bound {
        kind,
        columns: Vec::new(),
        tables: Vec::new(),
        text: String::new(),
        fingerprint,
        lineage: None,
        returning: None,
        is_aggregated: false,
        is_repeatable: false,
    }
}

/// Arguments that do not belong together.
fn mismatch(message: &str) -> SqlError {
    SqlError::new(SqlErrorKind::Recheck, message, Position::default())
}

/// A call that no caller wrote: an ordinary one of a function on the list.
fn added_call(name: &str, is_distinct: bool, arguments: Arguments) -> Result<Expr, SqlError> {
    let function = functions::lookup(name);
    let function = function.ok_or_else(|| mismatch(&format!("{name} is not on the list")))?;
    Ok(Expr::Call(Box::new(Call {
        function,
        is_distinct,
        arguments,
        order_by: Vec::new(),
        within_group: Vec::new(),
        filter: None,
        ignores_nulls: None,
        over: None,
        position: Position::default(),
    })))
}

/// A query whose names are resolved.
struct BoundQuery {
    query: Query,
    outputs: Vec<Output>,
    /// Sources that decide which rows there are.
    indirect: BTreeSet<Source>,
}

/// What one pass over a statement carries along.
struct Binder<'a> {
    tables: &'a Tables,
    /// The view of each occurrence.
    views: Vec<&'a TableView>,
    /// Columns used of each occurrence.
    used: Vec<BTreeSet<usize>>,
    /// Enclosing selects, innermost last.
    scopes: Vec<Scope>,
    /// Queries of WITH that are visible, innermost last.
    ctes: Vec<CteEntry>,
    /// Row-deciding sources of the enclosing queries, innermost last.
    indirect: Vec<BTreeSet<Source>>,
    /// Aliases of the FROM at hand so far.
    siblings: Vec<Ident>,
    /// Base tables so far, with each WITH reference replaced by its query.
    expanded: usize,
    /// Sources recorded so far.
    sources: usize,
    /// Queries of WITH RECURSIVE so far, for their marks.
    recursions: usize,
    /// Where the query at hand starts.
    place: Position,
    /// The innermost of `scopes` that has a column named since an aggregate began.
    nearest: Option<usize>,
    /// Whether no function so far draws or reads the clock.
    is_repeatable: bool,
}

impl<'a> Binder<'a> {
    fn new(tables: &'a Tables, views: &'a [TableView]) -> Result<Self, SqlError> {
        let by_dataset: BTreeMap<&DatasetId, &TableView> =
            views.iter().map(|view| (&view.dataset, view)).collect();
        let views = tables
            .occurrences
            .iter()
            .map(|occurrence| by_dataset.get(&occurrence.dataset).copied())
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| mismatch("a table of the statement has no view"))?;
        Ok(Self {
            tables,
            used: vec![BTreeSet::new(); views.len()],
            views,
            scopes: Vec::new(),
            ctes: Vec::new(),
            indirect: Vec::new(),
            siblings: Vec::new(),
            expanded: 0,
            sources: 0,
            recursions: 0,
            nearest: None,
            place: Position::default(),
            is_repeatable: true,
        })
    }

    /// What the statement does with the rows of its query, and what a write takes from where.
    fn kind(
        &self,
        statement: &Statement,
        bound: &BoundQuery,
        columns: &mut [OutputColumn],
        (views, fingerprint): (&[TableView], &str),
    ) -> Result<(BoundKind, Option<WriteLineage>), SqlError> {
        let tables = self.tables;
        Ok(match (&statement.kind, tables.target.clone()) {
            (Kind::CreateTableAs { .. }, Some(target)) => {
                let edges = self.created(bound, columns, target.position)?;
                let lineage = write::lineage(&target, true, edges, fingerprint);
                (BoundKind::CreateTableAs(target), Some(lineage))
            }
            (Kind::Insert { columns: named, .. }, Some(target)) => {
                let edges = self.inserted(bound, named, &target, columns)?;
                let lineage = write::lineage(&target, false, edges, fingerprint);
                (BoundKind::Insert(target), Some(lineage))
            }
            (
                Kind::CreateView {
                    is_replacing,
                    security,
                    columns: named,
                    ..
                },
                Some(target),
            ) => {
                view::rename(named, columns, target.position)?;
                let edges = self.created(bound, columns, target.position)?;
                let lineage = write::lineage(&target, true, edges, fingerprint);
                let sql = emit::stored(&bound.query, &tables.occurrences);
                view::check(&sql, tables, views, columns.len())?;
                let view = BoundView {
                    target,
                    is_replacing: *is_replacing,
                    security: *security,
                    sql,
                };
                (BoundKind::CreateView(view), Some(lineage))
            }
            (
                Kind::CreateTableAs { .. }
                | Kind::CreateView { .. }
                | Kind::DropView { .. }
                | Kind::Insert { .. },
                _,
            ) => {
                return Err(mismatch("a write has no target"));
            }
            (Kind::Explain(_), _) => (BoundKind::Explain, None),
            (Kind::ExplainPolicy(_), _) => (BoundKind::ExplainPolicy, None),
            (Kind::Query(_) | Kind::Change(_) | Kind::ExplainWrite(..) | Kind::ShowTables, _) => {
                (BoundKind::Query, None)
            }
        })
    }

    /// An alias for a relation of the FROM at hand. Neither another of this FROM has it nor one of an
    /// enclosing SELECT that can be seen from here, so no name can capture another. Elsewhere it may
    /// stand again: equal queries have equal texts.
    fn alias(&mut self, name: &str) -> Ident {
        let seen = self.scopes.iter().flat_map(|scope| &scope.relations);
        let seen = seen.map(|relation| &relation.engine_alias);
        let taken: HashSet<&str> = seen
            .chain(&self.siblings)
            .map(|alias| alias.value.as_str())
            .collect();
        let alias = apart(name, &taken);
        self.siblings.push(alias.clone());
        alias
    }

    /// A name for a query of WITH that none has which can be seen from here.
    fn cte_name(&self, name: &str) -> Ident {
        let seen = self.ctes.iter().map(|cte| cte.engine_name.value.as_str());
        apart(name, &seen.collect())
    }

    /// Counts base tables as the engine will see them.
    fn expand(&mut self, weight: usize, at: Position) -> Result<(), SqlError> {
        self.expanded = self.expanded.saturating_add(weight);
        if self.expanded > limits::EXPANDED_RELATIONS_MAX {
            return Err(limits::exceeded(
                "tables behind its WITH queries",
                limits::EXPANDED_RELATIONS_MAX,
                at,
            ));
        }
        Ok(())
    }

    /// Counts sources that are looked at or recorded.
    fn spend(&mut self, flow: &Flow) -> Result<(), SqlError> {
        self.sources = self.sources.saturating_add(flow.size());
        if self.sources > limits::FLOW_SOURCES_MAX {
            return Err(limits::exceeded(
                "column sources",
                limits::FLOW_SOURCES_MAX,
                self.place,
            ));
        }
        Ok(())
    }

    /// Notes sources that decide which rows the query at hand has.
    fn note_indirect(&mut self, sources: impl IntoIterator<Item = Source>) {
        if let Some(indirect) = self.indirect.last_mut() {
            indirect.extend(sources);
        }
    }

    fn is_condition_only(&self, source: Source) -> bool {
        self.views
            .get(source.occurrence)
            .and_then(|view| view.columns.get(source.column))
            .is_none_or(|column| column.is_condition_only)
    }

    fn is_masked(&self, source: Source) -> bool {
        self.views
            .get(source.occurrence)
            .and_then(|view| view.columns.get(source.column))
            .is_none_or(|column| column.is_masked)
    }

    fn output_column(&self, output: &Output) -> OutputColumn {
        OutputColumn {
            name: output.name.clone(),
            engine_name: output.engine_name.clone(),
            is_masked: output.flow.sources().any(|source| self.is_masked(source)),
            is_condition_only: output
                .flow
                .sources()
                .any(|source| self.is_condition_only(source)),
        }
    }

    fn bound_tables(&self) -> Vec<BoundTable> {
        self.tables
            .occurrences
            .iter()
            .zip(&self.views)
            .zip(&self.used)
            .enumerate()
            .map(|(index, ((occurrence, view), used))| BoundTable {
                governed_name: governed_name(index),
                dataset: occurrence.dataset.clone(),
                columns: used
                    .iter()
                    .filter_map(|column| view.columns.get(*column))
                    .map(|column| column.name.clone())
                    .collect(),
                position: occurrence.position,
            })
            .collect()
    }
}
