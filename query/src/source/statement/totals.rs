//! What is told of groups in a statement, and the tests that the engine tells the same.

use dataos_model::dataset::{Column, ColumnType};

use super::Exact;
use crate::source::{
    decimal::text,
    select::Select,
    term::{DIGITS_MAX, Term},
    total::{Function, Total},
};

/// A term, as it is calculated.
fn number<D: Exact>(term: &Term<Column>, dialects: &[D]) -> Option<String> {
    Some(match term {
        Term::Column(column) => dialects.get(column.table)?.number(&column.what)?,
        Term::Literal(units, column_type) => {
            let scale = match column_type {
                ColumnType::Decimal { scale, .. } => *scale,
                _ => 0,
            };
            let literal = text(*units, scale);
            // Else the sign behind another would begin a comment.
            if *units < 0 {
                format!("({literal})")
            } else {
                literal
            }
        }
        // Of exact numbers, which are the same in every type.
        Term::Cast(term, _) => number(term, dialects)?,
        Term::Calculated(operation, terms) => {
            let [left, right] = terms.as_ref();
            let (left, right) = (number(left, dialects)?, number(right, dialects)?);
            format!("({left} {} {right})", operation.sign())
        }
    })
}

/// What is told of a group; of a mean, the sum.
pub(super) fn total<D: Exact>(total: &Total, dialects: &[D]) -> Option<String> {
    match total {
        Total::Rows => Some("count(*)".to_owned()),
        Total::Of(function, term) => of_term(*function, term, dialects),
    }
}

fn of_term<D: Exact>(function: Function, term: &Term<Column>, dialects: &[D]) -> Option<String> {
    if let Term::Column(column) = term {
        let dialect = dialects.get(column.table)?;
        return dialect.total(function, &column.what);
    }
    let is_exact = dialects.first()?.calculates(term.digits());
    is_exact.then(|| Some(function.of(&number(term, dialects)?)))?
}

/// How many numbers each mean is of.
pub(super) fn counts<D: Exact>(
    select: &Select,
    dialects: &[D],
) -> impl Iterator<Item = Option<String>> {
    let terms = select.means().filter_map(Total::term);
    terms.map(|term| of_term(Function::Present, term, dialects))
}

/// Whether a product has more digits in a row than the engine has.
pub(super) fn too_wide<D: Exact>(select: &Select, dialects: &[D]) -> Option<Vec<String>> {
    let mut products = Vec::new();
    let totals = select.items.totals.iter().flatten();
    for term in totals.filter_map(Total::term) {
        term.numbers(&mut products);
    }
    let mut tests = Vec::new();
    for (product, scale) in products {
        let limit = format!("1{}", "0".repeat((DIGITS_MAX - scale).into()));
        let test = format!("abs({}) >= {limit}", number(product, dialects)?);
        if !tests.contains(&test) {
            tests.push(test);
        }
    }
    Some(tests)
}

/// Whether the engine could make another sum, or a sum by which groups have another place in an order.
pub(super) fn overflows<D: Exact>(select: &Select, dialects: &[D]) -> Option<Vec<String>> {
    let first = dialects.first()?;
    let keys = select.top.iter().flat_map(|top| &top.keys);
    let sorted = keys.filter_map(|key| select.total(key.output));
    let wrapped = sorted.filter(|total| total.is_wrapped()).map(|sum| {
        let (least, most) = (i64::MIN.to_string(), i64::MAX.to_string());
        first.beyond(&total(sum, dialects)?, &least, &most)
    });
    let totals = select.items.totals.iter().flatten();
    let wide = totals.filter_map(|sum| Some((sum, sum.sum_max()?)));
    let wide = wide.map(|(sum, (most, scale))| {
        let (least, most) = (text(-most, scale), text(most, scale));
        first.beyond(&total(sum, dialects)?, &least, &most)
    });
    let means = select.means().filter_map(Total::term);
    let means = means.filter(|term| term.is_integer());
    let means = means.map(|term| Some(first.is_rounded(&number(term, dialects)?)));
    wrapped.chain(wide).chain(means).collect()
}
