//! Which conditions of the caller may be evaluated on hidden rows.
//!
//! Only those that cannot fail, whatever the value, and that read no masked column: comparisons of a
//! plain column with a literal of its own type or with another plain column of it, lists of such literals,
//! tests for NULL, and AND, OR and NOT of these. They prune files, and what they leave is what passes the
//! barrier, so their result tells nothing new. Databases evaluate more of that kind: patterns without escapes,
//! booleans.

use datafusion::{
    common::ScalarValue,
    logical_expr::{BinaryExpr, Expr, Operator},
};
use dataos_model::dataset::ColumnType;

use crate::{column::arrow_type, grant::VisibleColumn};

/// See the module.
pub(super) fn is_leakproof(filter: &Expr, columns: &[VisibleColumn], is_in_database: bool) -> bool {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And | Operator::Or => [left, right]
                .into_iter()
                .all(|side| is_leakproof(side, columns, is_in_database)),
            Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq => match (left.as_ref(), right.as_ref()) {
                (column, Expr::Literal(value, _)) | (Expr::Literal(value, _), column) => {
                    is_same_type(column, value, columns)
                }
                (left, right) => {
                    let types = [left, right].map(|side| Some(&plain(side, columns)?.raw_type));
                    let is_list = |of: &ColumnType| matches!(of, ColumnType::List(_));
                    matches!(types, [Some(one), Some(other)] if one == other && !is_list(one))
                }
            },
            _ => false,
        },
        Expr::Column(_) if is_in_database => {
            plain(filter, columns).is_some_and(|column| column.raw_type == ColumnType::Bool)
        }
        Expr::Like(like) if is_in_database => {
            let pattern = match like.pattern.as_ref() {
                Expr::Literal(pattern, _) => pattern.try_as_str().flatten(),
                _ => None,
            };
            // What an escape without a character behind it is, is not the same everywhere.
            let is_plain = pattern.is_some_and(|pattern| !pattern.contains('\\'));
            let is_text = |column: &VisibleColumn| column.raw_type == ColumnType::Text;
            let of = plain(&like.expr, columns);
            is_plain && like.escape_char.is_none() && of.is_some_and(is_text)
        }
        Expr::Not(inner) => is_leakproof(inner, columns, is_in_database),
        Expr::IsNull(inner) | Expr::IsNotNull(inner) => plain(inner, columns).is_some(),
        Expr::InList(list) => list.list.iter().all(|item| match item {
            Expr::Literal(value, _) => is_same_type(&list.expr, value, columns),
            _ => false,
        }),
        _ => false,
    }
}

/// The unmasked visible column that the expression is.
fn plain<'a>(expression: &Expr, columns: &'a [VisibleColumn]) -> Option<&'a VisibleColumn> {
    let Expr::Column(reference) = expression else {
        return None;
    };
    columns
        .iter()
        .find(|column| column.name == reference.name && !column.is_masked())
}

fn is_same_type(expression: &Expr, value: &ScalarValue, columns: &[VisibleColumn]) -> bool {
    plain(expression, columns)
        .is_some_and(|column| arrow_type(&column.raw_type) == value.data_type())
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{cast, col, lit};
    use dataos_model::{
        access::{CellOutcome, CellRule},
        predicate::Predicate,
    };

    use super::*;

    fn column(name: &str, raw_type: ColumnType, is_masked: bool) -> VisibleColumn {
        let rule = CellRule {
            when: Predicate::ALWAYS,
            outcome: CellOutcome::Absent,
            policy: None,
        };
        VisibleColumn {
            name: name.to_owned(),
            reads: name.to_owned(),
            shown_type: raw_type.clone(),
            raw_type,
            is_nullable: true,
            rules: is_masked.then_some(rule).into_iter().collect(),
        }
    }

    #[test]
    fn what_cannot_fail_and_reads_no_mask_goes_below() {
        let columns = [
            column("a", ColumnType::Int(64), false),
            column("b", ColumnType::Int(64), false),
            column("text", ColumnType::Text, false),
            column("masked", ColumnType::Int(64), true),
            column("flag", ColumnType::Bool, false),
        ];
        let goes = |filter: &Expr, is_in_database| is_leakproof(filter, &columns, is_in_database);
        for filter in [
            col("a").gt(lit(1_i64)),
            col("a").lt_eq(col("b")),
            col("a").eq(col("b")).and(col("text").is_null()),
            col("a").in_list(vec![lit(1_i64)], true),
        ] {
            assert!(goes(&filter, false) && goes(&filter, true), "{filter}");
        }
        for filter in [col("flag"), col("text").like(lit("a%"))] {
            assert!(!goes(&filter, false) && goes(&filter, true), "{filter}");
        }
        for filter in [
            col("a").gt(col("masked")),
            col("masked").is_null(),
            col("a").eq(col("text")),
            (col("a") / col("b")).gt(lit(1_i64)),
            cast(col("text"), arrow_type(&ColumnType::Int(64))).eq(col("a")),
            col("text").like(lit("a\\\\%")),
        ] {
            assert!(!goes(&filter, false) && !goes(&filter, true), "{filter}");
        }
    }
}
