//! What is calculated in a statement and told of groups, and the tests that the engine does the same.

use dataos_model::dataset::{Column, ColumnType};

use super::{Exact, tested};
use crate::source::{
    condition::Parameter,
    decimal::text,
    select::Select,
    term::{DIGITS_MAX, Term, YEAR_MAX},
    total::{Function, Total},
};

/// A term as it is calculated, if that is exact.
pub(super) fn calculated<D: Exact>(
    term: &Term<Column>,
    dialects: &[D],
    parameters: &mut Vec<Parameter>,
) -> Option<String> {
    let is_exact = dialects.first()?.calculates(term.digits());
    is_exact.then(|| number(term, dialects, parameters))?
}

fn number<D: Exact>(
    term: &Term<Column>,
    dialects: &[D],
    parameters: &mut Vec<Parameter>,
) -> Option<String> {
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
        Term::Cast(term, _) => number(term, dialects, parameters)?,
        Term::Calculated(operation, terms) => {
            let [left, right] = terms.as_ref();
            let left = number(left, dialects, parameters)?;
            let right = number(right, dialects, parameters)?;
            format!("({left} {} {right})", operation.sign())
        }
        Term::Case(cases, last) => {
            let mut choice = "(CASE".to_owned();
            for (test, term) in cases {
                let test = tested(test, dialects, parameters)?.test;
                let number = number(term, dialects, parameters)?;
                choice = format!("{choice} WHEN {test} THEN {number}");
            }
            if let Some(last) = last {
                choice = format!("{choice} ELSE {}", number(last, dialects, parameters)?);
            }
            let first = dialects.first()?;
            first.chosen(&format!("{choice} END)"), term.digits())
        }
        Term::Part(part, column) => dialects.get(column.table)?.part(*part, &column.what)?,
    })
}

/// What is told of a group; of a mean, the sum.
pub(super) fn total<D: Exact>(
    total: &Total,
    dialects: &[D],
    parameters: &mut Vec<Parameter>,
) -> Option<String> {
    match total {
        Total::Rows => Some("count(*)".to_owned()),
        Total::Of(function, term) => of_term(*function, term, dialects, parameters),
    }
}

pub(super) fn of_term<D: Exact>(
    function: Function,
    term: &Term<Column>,
    dialects: &[D],
    parameters: &mut Vec<Parameter>,
) -> Option<String> {
    if let Term::Column(column) = term {
        let dialect = dialects.get(column.table)?;
        return dialect.total(function, &column.what);
    }
    let number = calculated(term, dialects, parameters)?;
    Some(dialects.first()?.told(function, &number))
}

/// Whether a product has more digits in a row than the engine has, or a year other ones.
pub(super) fn beyond_digits<D: Exact>(
    select: &Select,
    dialects: &[D],
    parameters: &mut Vec<Parameter>,
) -> Option<Vec<String>> {
    let mut tested = Vec::new();
    let totals = select.items.totals.iter().flatten();
    for term in select
        .items
        .columns
        .iter()
        .chain(totals.filter_map(Total::term))
    {
        term.numbers(&mut tested);
    }
    let mut once: Vec<(&Term<Column>, u8)> = Vec::new();
    for test in tested {
        if !once.contains(&test) {
            once.push(test);
        }
    }
    let tests = once.into_iter().map(|(term, scale)| {
        let number = number(term, dialects, parameters)?;
        if let Term::Part(..) = term {
            return Some(format!("{number} NOT BETWEEN 1 AND {YEAR_MAX}"));
        }
        let limit = format!("1{}", "0".repeat((DIGITS_MAX - scale).into()));
        Some(format!("abs({number}) >= {limit}"))
    });
    tests.collect()
}

/// Whether the engine could make another sum, or a sum by which groups have another place in an order.
pub(super) fn overflows<D: Exact>(
    select: &Select,
    dialects: &[D],
    parameters: &mut Vec<Parameter>,
) -> Option<Vec<String>> {
    let first = dialects.first()?;
    let keys = select.top.iter().flat_map(|top| &top.keys);
    let sorted = keys.filter_map(|key| select.total(key.output));
    let wrapped = sorted.filter(|total| total.is_wrapped());
    let wrapped = wrapped.map(|sum| (sum, i64::MIN.to_string(), i64::MAX.to_string()));
    let totals = select.items.totals.iter().flatten();
    let wide = totals.filter_map(|sum| {
        let (most, scale) = sum.sum_max()?;
        Some((sum, text(-most, scale), text(most, scale)))
    });
    let mut tests = Vec::new();
    for (sum, least, most) in wrapped.chain(wide) {
        tests.push(first.beyond(&total(sum, dialects, parameters)?, &least, &most)?);
    }
    let means = select.means().filter_map(Total::term);
    for term in means.filter(|term| term.is_integer()) {
        tests.push(first.is_rounded(&number(term, dialects, parameters)?));
    }
    Some(tests)
}
