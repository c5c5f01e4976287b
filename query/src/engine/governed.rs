//! The only tables that a session of the engine holds.
//!
//! `scan` gives `BarrierExec(masks(filter(raw scan)))`: whatever statement reaches the engine, it
//! sees visible rows and shown values. A table that the caller sees exactly as it is passes its scan
//! through unchanged, so governance costs such a query nothing.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use async_trait::async_trait;
use datafusion::{
    arrow::datatypes::{Field, Schema, SchemaRef},
    catalog::{ScanArgs, ScanResult, Session, TableProvider},
    common::{DFSchema, Result, Statistics, internal_err},
    logical_expr::{Expr, Operator, TableProviderFilterPushDown, TableType},
    physical_expr::{PhysicalExpr, expressions::BinaryExpr},
    physical_plan::{
        ExecutionPlan,
        empty::EmptyExec,
        filter::FilterExec,
        projection::{ProjectionExec, ProjectionExpr},
    },
};
use dataos_model::{dataset::Column, depot::DatasetSource, fault::Fault, predicate::Predicate};

use crate::{
    cell::cell,
    column::arrow_type,
    engine::{
        barrier::BarrierExec,
        counts::{Counted, Counts, Known},
        failure::raised,
        leakproof::is_leakproof,
    },
    grant::{Grant, VisibleColumn},
    mask::key::MaskKeys,
    predicate::{RawColumns, compile},
    source::table::{Part, Table},
};

/// A dataset as one caller sees it.
#[derive(Debug)]
pub(crate) struct GovernedTable {
    grant: Arc<Grant>,
    raw: Arc<dyn TableProvider>,
    schema: SchemaRef,
    keys: Option<MaskKeys>,
    /// For estimates of how many rows there are.
    counted: Option<Counted>,
}

impl GovernedTable {
    /// `raw` gives all columns of the catalog, in its order and with the types of `arrow_schema`.
    pub(crate) fn new(
        grant: Arc<Grant>,
        raw: Arc<dyn TableProvider>,
        keys: Option<MaskKeys>,
    ) -> Self {
        let fields = grant.columns.iter().chain(&grant.entities).map(|column| {
            let is_unread = !column.shown_type.is_read();
            let data_type = arrow_type(&column.shown_type);
            Field::new(&column.name, data_type, column.is_nullable || is_unread)
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Self {
            grant,
            raw,
            schema,
            keys,
            counted: None,
        }
    }

    /// The same, of which the engine is told how many rows the caller saw before, if it lies in files. Of those whose
    /// groups must have a size, and of those behind a view, it is told nothing: he may not count them. Nor of tables
    /// of databases: a join should hold the keys that these are asked for, however many there are.
    pub(crate) fn counted(self, counts: &Arc<Counts>) -> Self {
        let grant = &self.grant;
        let is_in_files = match &grant.dataset.source {
            DatasetSource::Files { .. } | DatasetSource::Objects { .. } => true,
            DatasetSource::Table { .. } | DatasetSource::View { .. } | DatasetSource::AuditLog => {
                false
            }
        };
        let is_countable = is_in_files && grant.minimums.is_empty() && !grant.is_fenced;
        let counted = is_countable.then(|| {
            let (dataset, rows) = (grant.dataset.id.clone(), grant.access.rows.clone());
            Counted::new(Arc::clone(counts), dataset, rows)
        });
        Self { counted, ..self }
    }

    /// Whether nothing of the caller's is evaluated on rows that he may not see.
    pub(super) fn is_fenced(&self) -> bool {
        self.grant.is_fenced
    }

    /// A raw column that the caller sees as it is.
    pub(super) fn plain(&self, name: &str) -> Option<Column> {
        let mut columns = self.grant.columns.iter().chain(&self.grant.entities);
        let found = columns.find(|column| column.name == name && !column.is_masked())?;
        self.grant.dataset.schema.column(&found.reads).cloned()
    }

    /// Whether its rows lie in a database, which may have a part in a statement.
    pub(super) fn is_in_database(&self) -> bool {
        self.raw.downcast_ref::<Table>().is_some()
    }

    /// Its part in a statement to its source: the rows that policy and `filters` let through, with `columns`. What
    /// arrives is of rows that the caller sees; nothing of his is evaluated there on others but what may be
    /// evaluated below the barrier, and such tests of plain columns of several tables.
    pub(super) fn part(&self, filters: Vec<Expr>, columns: BTreeSet<String>) -> Option<Part> {
        let rows = &self.grant.access.rows;
        let may_go = filters.iter().all(|filter| self.lets_below(filter));
        if *rows == Predicate::NEVER || !may_go {
            return None;
        }
        let table = self.raw.downcast_ref::<Table>()?;
        table.part(rows, filters, columns)
    }

    /// Whether a condition of the reader's may be evaluated below the barrier. Below a fence none is: a column of a
    /// view is an expression, which would be evaluated on rows that its query leaves out.
    fn lets_below(&self, filter: &Expr) -> bool {
        !self.is_fenced() && is_leakproof(filter, &self.grant.columns, self.is_in_database())
    }

    /// The columns that a scan wants.
    fn wanted(&self, projection: Option<&[usize]>) -> Vec<&VisibleColumn> {
        let columns = self.grant.columns.iter().chain(&self.grant.entities);
        let columns: Vec<&VisibleColumn> = columns.collect();
        match projection {
            Some(indexes) => indexes
                .iter()
                .filter_map(|index| columns.get(*index).copied())
                .collect(),
            None => columns,
        }
    }

    async fn scan_governed(
        &self,
        state: &dyn Session,
        wanted: &[&VisibleColumn],
        filters: &[Expr],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let output = self.output(wanted);
        if self.grant.access.rows == Predicate::NEVER {
            return Ok(Arc::new(EmptyExec::new(output)));
        }
        if let Some(filter) = filters.iter().find(|filter| !self.lets_below(filter)) {
            return internal_err!("a filter that is not for below the barrier: {filter}");
        }
        let mut names = self.grant.raw_columns(wanted.iter().copied());
        for filter in filters {
            names.extend(
                filter
                    .column_refs()
                    .into_iter()
                    .map(|column| column.name.clone()),
            );
        }
        let columns = &self.grant.dataset.schema.columns;
        let indexes: Vec<usize> = columns
            .iter()
            .enumerate()
            .filter_map(|(index, column)| names.contains(&column.name).then_some(index))
            .collect();
        // Raw rows may be left out where they cannot satisfy the statement; what the source lets pass is
        // filtered here, as it would be above.
        let scan = self.raw.scan(state, Some(&indexes), filters, None).await?;
        let raw = RawColumns::new(self.grant.dataset.schema.clone(), scan.schema());
        let mut conjuncts = Vec::new();
        if self.grant.access.rows != Predicate::ALWAYS {
            conjuncts.push(compile(&self.grant.access.rows, &raw));
        }
        let scanned = DFSchema::try_from(scan.schema())?;
        for filter in filters {
            conjuncts.push(state.create_physical_expr(filter.clone(), &scanned)?);
        }
        let filtered = filtered(scan, conjuncts)?;
        let shown = wanted
            .iter()
            .map(|column| {
                let expr = cell(column, &raw, self.keys.as_ref()).map_err(raised)?;
                Ok(ProjectionExpr {
                    expr,
                    alias: column.name.clone(),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let masked = Arc::new(ProjectionExec::try_new(shown, filtered)?);
        Ok(Arc::new(self.barrier(masked, output, wanted, filters)))
    }

    fn barrier(
        &self,
        masked: Arc<dyn ExecutionPlan>,
        output: SchemaRef,
        wanted: &[&VisibleColumn],
        filters: &[Expr],
    ) -> BarrierExec {
        let plain = plain(wanted);
        let Some(counted) = &self.counted else {
            return BarrierExec::new(masked, output, self.open(plain, false));
        };
        let Known { expected, is_all } = counted.known(&output, &plain, filters);
        let reading = counted.reading(&output, &plain, filters.is_empty());
        BarrierExec::new(masked, output, self.open(plain, is_all)).counted(expected, reading)
    }

    /// Columns over which what operators find out may reach the source: those that are shown as they are, of
    /// databases and of files that are counted. Of others no row is left out, so that they are.
    fn open(&self, plain: Vec<usize>, is_known: bool) -> HashSet<usize> {
        let is_table = matches!(self.grant.dataset.source, DatasetSource::Table { .. });
        plain.into_iter().filter(|_| is_table || is_known).collect()
    }

    fn output(&self, wanted: &[&VisibleColumn]) -> SchemaRef {
        let fields = wanted.iter().filter_map(|column| {
            self.schema
                .column_with_name(&column.name)
                .map(|(_, field)| field.clone())
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

#[async_trait]
impl TableProvider for GovernedTable {
    fn schema(&self) -> SchemaRef {
        if self.grant.is_transparent() {
            self.raw.schema()
        } else {
            Arc::clone(&self.schema)
        }
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let args = ScanArgs::default()
            .with_projection(projection.map(Vec::as_slice))
            .with_filters(Some(filters))
            .with_limit(limit);
        Ok(self.scan_with_args(state, args).await?.into_inner())
    }

    async fn scan_with_args<'a>(
        &self,
        state: &dyn Session,
        args: ScanArgs<'a>,
    ) -> Result<ScanResult> {
        let wanted = self.wanted(args.projection());
        if let Some(column) = wanted.iter().find(|column| !column.raw_type.is_read()) {
            return Err(raised(unread(&self.grant, column)));
        }
        if self.grant.is_transparent() {
            return self.raw.scan_with_args(state, args).await;
        }
        // A limit below the policy's filter would count hidden rows.
        let filters = args.filters().unwrap_or_default();
        Ok(self.scan_governed(state, &wanted, filters).await?.into())
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        if self.grant.is_transparent() {
            return self.raw.supports_filters_pushdown(filters);
        }
        let support = filters.iter().map(|filter| {
            if self.lets_below(filter) {
                TableProviderFilterPushDown::Exact
            } else {
                TableProviderFilterPushDown::Unsupported
            }
        });
        Ok(support.collect())
    }

    fn statistics(&self) -> Option<Statistics> {
        if self.grant.is_transparent() {
            self.raw.statistics()
        } else {
            None
        }
    }
}

/// Places of the columns that are shown as they are.
fn plain(wanted: &[&VisibleColumn]) -> Vec<usize> {
    let columns = wanted.iter().enumerate();
    columns
        .filter(|(_, column)| !column.is_masked())
        .map(|(at, _)| at)
        .collect()
}

fn filtered(
    scan: Arc<dyn ExecutionPlan>,
    conjuncts: Vec<Arc<dyn PhysicalExpr>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let predicate = conjuncts.into_iter().reduce(|left, right| {
        Arc::new(BinaryExpr::new(left, Operator::And, right)) as Arc<dyn PhysicalExpr>
    });
    Ok(match predicate {
        Some(predicate) => Arc::new(FilterExec::try_new(predicate, scan)?),
        None => scan,
    })
}

fn unread(grant: &Grant, column: &VisibleColumn) -> Fault {
    Fault::new(
        dataos_model::fault::FaultKind::Unsupported,
        format!(
            "column `{}` of `{}` has the type {}, which is not read",
            column.name, grant.dataset.id, column.raw_type
        ),
    )
    .with_hint("name the other columns instead of `*`, or cast the column in a view at the source")
}
