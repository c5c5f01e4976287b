//! Changes: each step is bound as the query that it is, and finds rows by their number.

use std::collections::BTreeSet;

use dataos_model::lineage::{ColumnEdge, Transformation};

use super::{
    Binder, Bound, BoundKind, BoundQuery, OutputColumn, TableView, column::unknown,
    expr::computes_over_rows, mismatch, scope::Read, write,
};
use crate::{
    change::{Change, Step, StepAction, Verb},
    emit,
    error::{SqlError, SqlErrorKind},
    ir::{Body, Expr, Ident, Query, Relation, SelectItem},
    limits::{self, LINEAGE_EDGES_MAX},
    names::{Tables, Target},
    parse::{Kind, Statement},
    recheck,
};

/// The column by which a step finds rows of the table that is changed: each row's number in the order
/// in which the table is read. The first governed table of a step has it, and no caller can name it.
pub const ROW_COLUMN: &str = "__row";

/// A change ready to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundChange {
    /// The word that it starts with.
    pub verb: Verb,
    /// The table.
    pub target: Target,
    /// What happens, in order.
    pub steps: Vec<BoundStep>,
}

/// A step of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundStep {
    /// What happens to each row found.
    pub kind: StepKind,
    /// The query: [`ROW_COLUMN`] unless rows are added, then the values of the columns in [`Bound::columns`], which go by
    /// the names of the target's columns.
    pub rows: Bound,
}

/// What happens to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// Columns of it take other values.
    Update,
    /// It goes.
    Delete,
    /// It is added to the table.
    Insert,
}

/// Binds a change.
pub(super) fn bind(
    change: &Change,
    tables: &Tables,
    views: &[TableView],
) -> Result<Bound, SqlError> {
    let target = tables
        .target
        .clone()
        .ok_or_else(|| mismatch("a change has no target"))?;
    if change.steps.len() != tables.steps.len() {
        return Err(mismatch("a change has other steps"));
    }
    let (mut steps, mut edges) = (Vec::new(), BTreeSet::new());
    for (step, of_step) in change.steps.iter().zip(&tables.steps) {
        let (bound, found) = Binder::new(of_step, views)?.step(step, &target)?;
        edges.extend(found);
        steps.push(bound);
    }
    if edges.len() > LINEAGE_EDGES_MAX {
        let at = target.position;
        return Err(limits::exceeded("lineage edges", LINEAGE_EDGES_MAX, at));
    }
    let of_steps = |text: fn(&Bound) -> &str| {
        let texts: Vec<&str> = steps.iter().map(|step| text(&step.rows)).collect();
        texts.join("; ")
    };
    let (word, fingerprints) = (change.verb.name(), of_steps(Bound::fingerprint));
    let fingerprint = format!("{word} {}: {fingerprints}", target.dataset);
    let edges = edges.into_iter().collect();
    let lineage = write::lineage(&target, false, edges, &fingerprint);
    Ok(Bound {
        text: of_steps(Bound::emit),
        kind: BoundKind::Change(Box::new(BoundChange {
            verb: change.verb,
            target,
            steps,
        })),
        columns: Vec::new(),
        tables: Vec::new(),
        fingerprint,
        lineage: Some(lineage),
        returning: None,
        is_aggregated: false,
        is_repeatable: false,
    })
}

impl Binder<'_> {
    fn step(
        mut self,
        step: &Step,
        target: &Target,
    ) -> Result<(BoundStep, Vec<ColumnEdge>), SqlError> {
        let Kind::Query(query) = &step.rows.kind else {
            return Err(mismatch("a step of a change is no query"));
        };
        self.refuse_aggregated()?;
        check_values(query, "a change")?;
        let mut bound = self.query(query, Read::Names)?;
        let mut columns: Vec<OutputColumn> = bound
            .outputs
            .iter()
            .map(|output| self.output_column(output))
            .collect();
        let (kind, edges) = match &step.action {
            StepAction::Update(named) => {
                self.updated(named, target, &bound, &mut columns)?;
                let edges = self.edges(&bound, &columns, step.position)?;
                (StepKind::Update, edges)
            }
            StepAction::Delete => (StepKind::Delete, self.thinned(&bound, target)),
            StepAction::Insert(named) => {
                let edges = self.inserted(&bound, named, target, &mut columns)?;
                (StepKind::Insert, edges)
            }
        };
        if kind != StepKind::Insert {
            number_rows(&mut bound.query)?;
        }
        let text = emit::governed(&bound.query);
        let occurrences = &self.tables.occurrences;
        recheck::recheck(&text, &bound.query, occurrences.len())?;
        let rows = Bound {
            kind: BoundKind::Query,
            columns,
            tables: self.bound_tables(),
            text,
            fingerprint: emit::fingerprint(&bound.query, occurrences),
            lineage: None,
            returning: None,
            is_aggregated: false,
            is_repeatable: false,
        };
        Ok((BoundStep { kind, rows }, edges))
    }

    /// Gives `columns` the names of the columns that SET names; each must be visible and not masked,
    /// and no value may come from a masked column of the same table.
    fn updated(
        &self,
        named: &[Ident],
        target: &Target,
        bound: &BoundQuery,
        columns: &mut [OutputColumn],
    ) -> Result<(), SqlError> {
        let view = self.views.first().copied();
        let view = view.filter(|view| view.dataset == target.dataset);
        let view = view.ok_or_else(|| mismatch("a step reads another table first"))?;
        if named.len() != bound.outputs.len() || named.len() != columns.len() {
            return Err(mismatch("a step has other columns"));
        }
        let mut seen = BTreeSet::new();
        for ((name, output), column) in named.iter().zip(&bound.outputs).zip(columns) {
            let found = Ident::meant(|fits| {
                let columns = view.columns.iter();
                columns.filter(|known| fits(name, &known.name)).collect()
            });
            let [found] = found.as_slice() else {
                return Err(unknown(std::slice::from_ref(name), Vec::new()));
            };
            if !seen.insert(&found.name) {
                let text = format!("column `{}` is named twice", found.name);
                return Err(SqlError::new(SqlErrorKind::Ambiguous, text, name.position));
            }
            if found.is_masked {
                let text = format!(
                    "column `{}` is masked for you, so you may not change it",
                    found.name
                );
                return Err(SqlError::new(SqlErrorKind::Denied, text, name.position)
                    .with_hint("ask the owner for a policy that shows it to you as it is"));
            }
            self.refuse_masked(output, target, name)?;
            column.name.clone_from(&found.name);
        }
        Ok(())
    }

    /// A masked value is never written back into the table that it came from.
    pub(super) fn refuse_masked(
        &self,
        output: &super::scope::Output,
        target: &Target,
        name: &Ident,
    ) -> Result<(), SqlError> {
        let comes_back = output.flow.sources().any(|source| {
            let view = self.views.get(source.occurrence);
            view.is_none_or(|view| view.dataset == target.dataset) && self.is_masked(source)
        });
        if !comes_back {
            return Ok(());
        }
        let text = format!(
            "column `{}` would take a value that is masked for you from the same table",
            name.value
        );
        Err(SqlError::new(SqlErrorKind::Denied, text, name.position)
            .with_hint("a masked value is never written back into the table it came from"))
    }

    /// Edges of a step that takes rows away: what decides over them decides over every column.
    fn thinned(&self, bound: &BoundQuery, target: &Target) -> Vec<ColumnEdge> {
        let columns = target.schema.iter().flat_map(|schema| &schema.columns);
        columns
            .flat_map(|column| {
                let sources = bound.indirect.iter();
                sources
                    .filter_map(|source| self.edge(*source, &column.name, Transformation::Indirect))
            })
            .collect()
    }
}

/// Binds RETURNING of a write.
pub(super) fn returning(
    write: &Statement,
    tables: &Tables,
    views: &[TableView],
) -> Result<Option<Box<Bound>>, SqlError> {
    let (Some(returning), Some(of)) = (write.returning(), &tables.returning) else {
        return Ok(None);
    };
    if let Some(query) = returning.kind.query() {
        check_values(query, "RETURNING")?;
    }
    Ok(Some(Box::new(super::bind_here(returning, of, views)?)))
}

/// A value or condition of a change is about one row.
fn check_values(query: &Query, place: &str) -> Result<(), SqlError> {
    let Body::Select(select) = &query.body else {
        return Err(mismatch("a step of a change is no SELECT"));
    };
    let values = select.items.iter().filter_map(|item| match item {
        SelectItem::Expr { expr, alias: _ } => Some(expr),
        SelectItem::Star(..) | SelectItem::QualifiedStar(..) => None,
    });
    if values.chain(&select.filter).any(computes_over_rows) {
        let what = format!("an aggregate or window function of {place}");
        return Err(SqlError::unsupported(what, query.position)
            .with_hint("compute it in a subquery, such as SET x = (SELECT max(y) FROM t)"));
    }
    Ok(())
}

/// Adds the number of the row of the first relation, in front.
fn number_rows(query: &mut Query) -> Result<(), SqlError> {
    let no_table = || mismatch("a step reads no table first");
    let at = query.position;
    let Body::Select(select) = &mut query.body else {
        return Err(no_table());
    };
    let alias = match select.from.first() {
        Some(Relation::Table {
            alias: Some(alias), ..
        }) => alias,
        // The one thing that comes around a table.
        Some(Relation::Derived { .. }) => {
            let what = "the whole row of the table to change";
            return Err(SqlError::unsupported(what, at).with_hint("name its columns"));
        }
        _ => return Err(no_table()),
    };
    let row = Ident::quoted(ROW_COLUMN);
    let number = SelectItem::Expr {
        expr: Expr::Column(vec![alias.name.clone(), row.clone()]),
        alias: Some(row),
    };
    select.items.insert(0, number);
    Ok(())
}
