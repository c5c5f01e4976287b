//! The physical expression of one visible column: its rules in order, over raw values.

use std::sync::Arc;

use datafusion::{
    common::ScalarValue,
    physical_expr::{
        PhysicalExpr,
        expressions::{CaseExpr, Literal},
    },
};
use dataos_model::{access::CellOutcome, dataset::ColumnType, fault::Fault, predicate::Predicate};

use crate::{
    column::arrow_type,
    grant::VisibleColumn,
    mask::{MaskExpr, key::MaskKeys},
    predicate::{RawColumns, compile},
};

/// What the caller gets to see of a column, computed from the raw row.
///
/// # Errors
/// A mask that does not fit, a keyed one without key, or a column that the batch lacks.
pub(crate) fn cell(
    column: &VisibleColumn,
    raw: &RawColumns,
    keys: Option<&MaskKeys>,
) -> Result<Arc<dyn PhysicalExpr>, Fault> {
    let (_, input) = raw
        .find(&column.reads)
        .ok_or_else(|| Fault::internal(format!("column `{}` was not scanned", column.reads)))?;
    if column.rules.is_empty() {
        return Ok(input);
    }
    let mut branches = Vec::new();
    let mut otherwise = None;
    for rule in &column.rules {
        let shown = outcome(&rule.outcome, column, Arc::clone(&input), keys)?;
        if rule.when == Predicate::ALWAYS {
            otherwise = Some(shown);
            break;
        }
        branches.push((compile(&rule.when, raw), shown));
    }
    let otherwise = match otherwise {
        Some(shown) => shown,
        None => absent(&column.shown_type)?,
    };
    if branches.is_empty() {
        return Ok(otherwise);
    }
    let case = CaseExpr::try_new(None, branches, Some(otherwise))
        .map_err(|_| Fault::internal(format!("the rules of column `{}`", column.name)))?;
    Ok(Arc::new(case))
}

fn outcome(
    outcome: &CellOutcome,
    column: &VisibleColumn,
    input: Arc<dyn PhysicalExpr>,
    keys: Option<&MaskKeys>,
) -> Result<Arc<dyn PhysicalExpr>, Fault> {
    let shown_as_text = |value: Arc<dyn PhysicalExpr>, value_type: &ColumnType| {
        let is_text = *value_type == ColumnType::Text;
        if column.shown_type == ColumnType::Text && !is_text {
            Arc::new(MaskExpr::canonical_text(value, value_type)) as Arc<dyn PhysicalExpr>
        } else {
            value
        }
    };
    Ok(match outcome {
        CellOutcome::Plain => shown_as_text(input, &column.raw_type),
        CellOutcome::Masked(mask) => {
            let masked = MaskExpr::new(input, &column.raw_type, mask, keys)?;
            shown_as_text(Arc::new(masked), &mask.result_type(&column.raw_type))
        }
        CellOutcome::Absent => absent(&column.shown_type)?,
    })
}

fn absent(shown_type: &ColumnType) -> Result<Arc<dyn PhysicalExpr>, Fault> {
    let null = ScalarValue::try_from(&arrow_type(shown_type))
        .map_err(|_| Fault::internal(format!("no NULL of type {shown_type}")))?;
    Ok(Arc::new(Literal::new(null)))
}
