//! What a caller may see of one dataset, made ready for the engine.
//!
//! A [`Grant`] is the PDP's answer checked against the catalogued schema: visible columns with the
//! type they show, and the rules that make each cell. Whatever does not fit is absent, never plain.

use std::{collections::BTreeSet, sync::Arc};

use dataos_model::{
    access::{CellOutcome, CellRule, DatasetAccess},
    dataset::{Column, ColumnType},
    decision::{Decision, Reason},
    depot::{Dataset, DatasetSource},
    fault::{Fault, FaultKind},
    mask::Mask,
    predicate::Predicate,
};
use dataos_sql::{GroupMinimum, ROW_COLUMN};

use crate::obligation;

/// What the names of columns that tell entities apart start with; no caller can name one.
const ENTITY_COLUMN: &str = "__entity";

/// A column that the caller sees.
#[derive(Clone, Debug)]
pub(crate) struct VisibleColumn {
    /// Its name.
    pub(crate) name: String,
    /// The column of the dataset that it shows.
    pub(crate) reads: String,
    /// Its type in the catalog.
    pub(crate) raw_type: ColumnType,
    /// Its type for this caller.
    pub(crate) shown_type: ColumnType,
    /// Whether it can be NULL for this caller; follows from catalog and policy, never from data.
    pub(crate) is_nullable: bool,
    /// Rules in order; empty if every row shows it as it is.
    pub(crate) rules: Vec<CellRule>,
}

/// A dataset as one caller sees it.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    /// The dataset.
    pub(crate) dataset: Arc<Dataset>,
    /// The PDP's answer.
    pub(crate) access: Arc<DatasetAccess>,
    /// Visible columns in the order of the catalog.
    pub(crate) columns: Vec<VisibleColumn>,
    /// If there are any, the dataset leaves in aggregates alone, and each group must meet all of them.
    pub(crate) minimums: Vec<GroupMinimum>,
    /// Columns behind the others by which minimums count, as they are in the dataset, whoever may see them.
    pub(crate) entities: Vec<VisibleColumn>,
    /// Whether it is a view below which nothing of its reader's is evaluated, though all of it is shown: one that
    /// leaves out groups, or that lends him rights to more than it shows.
    pub(crate) is_fenced: bool,
}

impl Grant {
    /// Joins the catalogued dataset with the PDP's answer about it.
    ///
    /// # Errors
    /// Denied, or an answer about another schema than the catalogued one.
    pub(crate) fn new(dataset: &Arc<Dataset>, access: Arc<DatasetAccess>) -> Result<Self, Fault> {
        if !access.decision.is_allowed() {
            return Err(denied(&access));
        }
        if access.dataset != dataset.id || access.schema_hash != dataset.schema.hash() {
            return Err(Fault::new(
                FaultKind::Conflict,
                format!(
                    "the columns of `{}` changed while the query was decided",
                    dataset.id
                ),
            )
            .with_reason("schema_changed")
            .with_hint("run the query again"));
        }
        obligation::check(&access.decision.obligations, &dataset.schema)?;
        let columns = dataset.schema.columns.iter().filter_map(|column| {
            let found = access
                .columns
                .iter()
                .find(|access| access.name == column.name)?;
            let rules = fitting(&found.rules, &column.column_type);
            VisibleColumn::new(&column.name, &column.column_type, column.is_nullable, rules)
        });
        let columns = columns.collect();
        let (minimums, entities) = minimums(dataset, &access)?;
        Ok(Self {
            dataset: Arc::clone(dataset),
            access,
            columns,
            minimums,
            entities,
            is_fenced: false,
        })
    }

    /// Whether the caller sees the dataset exactly as it is.
    pub(crate) fn is_transparent(&self) -> bool {
        self.access.rows == Predicate::ALWAYS
            && self.minimums.is_empty()
            && !self.is_fenced
            && self.columns.len() == self.dataset.schema.columns.len()
            && self.columns.iter().all(|column| column.rules.is_empty())
    }

    /// Whether the caller may use a column in conditions alone.
    pub(crate) fn is_condition_only(&self, column: &str) -> bool {
        obligation::is_condition_only(&self.access.decision.obligations, column)
    }

    /// The query of a view.
    pub(crate) fn view(&self) -> Option<&str> {
        match &self.dataset.source {
            DatasetSource::View { sql, .. } => Some(sql),
            DatasetSource::Files { .. }
            | DatasetSource::Objects { .. }
            | DatasetSource::Table { .. }
            | DatasetSource::AuditLog => None,
        }
    }

    /// Who lends his rights to the readers of a view.
    pub(crate) fn definer(&self) -> Option<&str> {
        match &self.dataset.source {
            DatasetSource::View { definer, .. } => Some(definer.as_ref()?.user.as_str()),
            DatasetSource::Files { .. }
            | DatasetSource::Objects { .. }
            | DatasetSource::Table { .. }
            | DatasetSource::AuditLog => None,
        }
    }

    /// A view's, with the types that its columns have for this reader: a mask below it may have made text of
    /// one.
    ///
    /// # Errors
    /// A policy of the view itself speaks about such a column.
    pub(crate) fn retyped(&self, types: &[ColumnType]) -> Result<Self, Fault> {
        let mut dataset = Dataset::clone(&self.dataset);
        let mut columns = self.columns.clone();
        let schema = Arc::make_mut(&mut dataset.schema);
        for (column, now) in schema.columns.iter_mut().zip(types) {
            if column.column_type == *now {
                continue;
            }
            let ours = columns.iter().find(|ours| ours.name == column.name);
            let conditions = self.columns.iter().flat_map(|column| &column.rules);
            let is_read = self.access.rows.columns().contains(&column.name)
                || ours.is_some_and(VisibleColumn::is_masked)
                || conditions
                    .map(|rule| rule.when.columns())
                    .any(|names| names.contains(&column.name));
            if is_read {
                let message = format!(
                    "a policy of the view `{}` speaks about column `{}`, which is masked below it",
                    dataset.id, column.name
                );
                return Err(Fault::new(FaultKind::Unsupported, message)
                    .with_reason("view_types")
                    .with_hint("let the policy speak about the dataset behind the view"));
            }
            column.column_type = now.clone();
            let ours = columns.iter_mut().filter(|ours| ours.name == column.name);
            ours.for_each(|ours| {
                ours.raw_type = now.clone();
                ours.shown_type = now.clone();
            });
        }
        Ok(Self {
            dataset: Arc::new(dataset),
            columns,
            ..self.clone()
        })
    }

    /// The same with the number of each row, by which a change finds it.
    ///
    /// # Errors
    /// The dataset has a column of that name.
    pub(crate) fn numbered(&self) -> Result<Self, Fault> {
        let mut dataset = Dataset::clone(&self.dataset);
        if dataset.schema.column(ROW_COLUMN).is_some() {
            return Err(Fault::new(
                FaultKind::Unsupported,
                format!("`{}` has a column `{ROW_COLUMN}`", dataset.id),
            )
            .with_hint("rename the column: changes need the name"));
        }
        let column = Column {
            name: ROW_COLUMN.to_owned(),
            column_type: ColumnType::Int(64),
            is_nullable: false,
        };
        let mut columns = self.columns.clone();
        columns.push(VisibleColumn::plain(ROW_COLUMN.to_owned(), &column));
        Arc::make_mut(&mut dataset.schema).columns.push(column);
        Ok(Self {
            dataset: Arc::new(dataset),
            columns,
            ..self.clone()
        })
    }

    /// Raw columns that the row condition and the rules of these visible columns read.
    pub(crate) fn raw_columns<'a>(
        &'a self,
        visible: impl IntoIterator<Item = &'a VisibleColumn>,
    ) -> BTreeSet<String> {
        let mut names = self.access.rows.columns();
        for column in visible {
            names.insert(column.reads.clone());
            for rule in &column.rules {
                names.extend(rule.when.columns());
            }
        }
        names
    }
}

impl VisibleColumn {
    /// A column as it is, under a name.
    fn plain(name: String, column: &Column) -> Self {
        Self {
            name,
            reads: column.name.clone(),
            raw_type: column.column_type.clone(),
            shown_type: column.column_type.clone(),
            is_nullable: column.is_nullable,
            rules: Vec::new(),
        }
    }

    /// `None` if no row shows anything of the column.
    fn new(
        name: &str,
        raw_type: &ColumnType,
        is_nullable: bool,
        rules: Vec<CellRule>,
    ) -> Option<Self> {
        if rules.iter().all(|rule| rule.outcome == CellOutcome::Absent) {
            return None;
        }
        let is_plain = rules.iter().all(|rule| rule.outcome == CellOutcome::Plain);
        let is_hashed = rules
            .iter()
            .any(|rule| rule.outcome == CellOutcome::Masked(Mask::Hash));
        let shown_type = if is_hashed {
            ColumnType::Text
        } else {
            raw_type.clone()
        };
        Some(Self {
            name: name.to_owned(),
            reads: name.to_owned(),
            raw_type: raw_type.clone(),
            shown_type,
            is_nullable: is_nullable || !is_plain,
            rules: if is_plain { Vec::new() } else { rules },
        })
    }

    /// Whether some row may show something else than the raw value.
    pub(crate) fn is_masked(&self) -> bool {
        !self.rules.is_empty()
    }
}

/// The minimums that obligations ask for, and the columns that they count.
fn minimums(
    dataset: &Dataset,
    access: &DatasetAccess,
) -> Result<(Vec<GroupMinimum>, Vec<VisibleColumn>), Fault> {
    let (mut minimums, mut entities) = (Vec::new(), Vec::new());
    for (key, size) in obligation::minimums(&access.decision.obligations) {
        let column = key.and_then(|key| dataset.schema.column(key));
        let entity = column.map(|column| {
            let name = format!("{ENTITY_COLUMN}{}", entities.len());
            entities.push(VisibleColumn::plain(name.clone(), column));
            name
        });
        minimums.push(GroupMinimum { size, entity });
    }
    let mut names = entities.iter().map(|entity| &entity.name);
    match names.find(|name| dataset.schema.column(name).is_some()) {
        Some(name) => Err(Fault::new(
            FaultKind::Unsupported,
            format!("`{}` has a column `{name}`", dataset.id),
        )
        .with_hint("rename the column: the count of entities needs the name")),
        None => Ok((minimums, entities)),
    }
}

/// The rules as far as they can apply: up to the first unconditional one, a mask that does not fit
/// the type hides the cell, and a cell that no rule covers is hidden.
fn fitting(rules: &[CellRule], column_type: &ColumnType) -> Vec<CellRule> {
    let mut fitting = Vec::with_capacity(rules.len());
    for rule in rules {
        let mut rule = rule.clone();
        if let CellOutcome::Masked(mask) = &rule.outcome {
            if *mask == Mask::PassThrough {
                rule.outcome = CellOutcome::Plain;
            } else if !mask.fits(column_type) {
                rule.outcome = CellOutcome::Absent;
            }
        }
        let is_last = rule.when == Predicate::ALWAYS;
        if rule.when != Predicate::NEVER {
            fitting.push(rule);
        }
        if is_last {
            return fitting;
        }
    }
    fitting.push(CellRule {
        when: Predicate::ALWAYS,
        outcome: CellOutcome::Absent,
        policy: None,
    });
    fitting
}

/// What to do next about a deny of `action`.
pub(crate) fn next(decision: &Decision, action: &str) -> String {
    if decision.reason == Reason::ObligationUnknown {
        return "ask for a policy without `@obligation`, or take it off".to_owned();
    }
    format!("ask the owner for a policy that permits `{action}`")
}

/// The refusal that a deny becomes.
pub(crate) fn denied(access: &DatasetAccess) -> Fault {
    let decision = &access.decision;
    if let Some(fault) = decision.not_asked() {
        return fault;
    }
    let detail = if decision.detail.is_empty() {
        String::new()
    } else {
        format!(": {}", decision.detail)
    };
    let mut fault = Fault::denied(
        decision.reason.code(),
        format!("reading `{}` is not permitted{detail}", access.dataset),
    )
    .with_hint(next(decision, "select"));
    fault.policies = decision
        .policies
        .iter()
        .map(|policy| policy.id.clone())
        .collect();
    fault
}
