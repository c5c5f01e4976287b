//! Numbers that are calculated of the columns of a row, and whether a database gives those that the engine does.
//!
//! Databases calculate with decimals of as many digits as it takes, the engine within the bits of a type. Of columns
//! by their types it is known which numbers there can be: where none leaves the type that it has in the engine, both
//! give the same. A product of decimals that could is tested in each row, and so is a year, which databases count
//! otherwise before the first.

use std::ops::RangeInclusive;

use datafusion::logical_expr::Expr;
use dataos_model::dataset::{Column, ColumnType};

use super::select::Of;

/// Most digits of decimals in the engine.
pub(super) const DIGITS_MAX: u8 = 38;
/// Digits of a 64-bit integer, with a sign or without.
const INTEGER_DIGITS: u32 = 20;
/// The last year of four digits.
pub(super) const YEAR_MAX: i128 = 9_999;

/// A column of one of the tables, or what is calculated of some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Term<C> {
    Column(Of<C>),
    /// So many units of the last digit of the type.
    Literal(i128, ColumnType),
    Cast(Box<Term<C>>, ColumnType),
    Calculated(Operation, Box<[Term<C>; 2]>),
    /// The first of which the test is true, else the last, else NULL.
    Case(Vec<(Test<C>, Term<C>)>, Option<Box<Term<C>>>),
    /// Of a date.
    Part(DatePart, Of<C>),
}

/// A part of a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DatePart {
    Year,
    Month,
    Day,
}

impl DatePart {
    /// As databases and the engine write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Year => "YEAR",
            Self::Month => "MONTH",
            Self::Day => "DAY",
        }
    }

    /// The most that it is, if a year has four digits.
    fn most(self) -> i128 {
        match self {
            Self::Year => YEAR_MAX,
            Self::Month => 12,
            Self::Day => 31,
        }
    }
}

/// A condition over columns of the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Test<C> {
    /// Which calls the columns by their numbers.
    pub(crate) passes: Expr,
    pub(crate) columns: Vec<Of<C>>,
}

impl<C> Test<C> {
    /// The same over columns that others stand for, if all have one.
    pub(crate) fn over<D>(&self, column: &impl Fn(&Of<C>) -> Option<Of<D>>) -> Option<Test<D>> {
        Some(Test {
            passes: self.passes.clone(),
            columns: self.columns.iter().map(column).collect::<Option<_>>()?,
        })
    }
}

/// What is made of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Sum,
    Difference,
    Product,
}

impl Operation {
    pub(super) fn sign(self) -> char {
        match self {
            Self::Sum => '+',
            Self::Difference => '-',
            Self::Product => '*',
        }
    }
}

impl<C> Term<C> {
    /// The same over columns that others stand for, if all have one.
    pub(crate) fn over<D>(&self, column: &impl Fn(&Of<C>) -> Option<Of<D>>) -> Option<Term<D>> {
        Some(match self {
            Self::Column(of) => Term::Column(column(of)?),
            Self::Literal(units, column_type) => Term::Literal(*units, column_type.clone()),
            Self::Cast(term, column_type) => {
                Term::Cast(Box::new(term.over(column)?), column_type.clone())
            }
            Self::Calculated(operation, terms) => {
                let [left, right] = terms.as_ref();
                let terms = [left.over(column)?, right.over(column)?];
                Term::Calculated(*operation, Box::new(terms))
            }
            Self::Case(cases, last) => {
                let cases = cases.iter();
                let cases =
                    cases.map(|(test, term)| Some((test.over(column)?, term.over(column)?)));
                let last = match last {
                    Some(last) => Some(Box::new(last.over(column)?)),
                    None => None,
                };
                Term::Case(cases.collect::<Option<_>>()?, last)
            }
            Self::Part(part, of) => Term::Part(*part, column(of)?),
        })
    }

    /// The columns that it reads.
    pub(crate) fn columns(&self) -> Vec<&Of<C>> {
        match self {
            Self::Column(of) | Self::Part(_, of) => vec![of],
            Self::Literal(..) => Vec::new(),
            Self::Cast(term, _) => term.columns(),
            Self::Calculated(_, terms) => terms.iter().flat_map(Self::columns).collect(),
            Self::Case(cases, last) => {
                let of_tests = cases.iter().flat_map(|(test, _)| &test.columns);
                let of_terms = cases.iter().map(|(_, term)| term).chain(last.as_deref());
                of_tests.chain(of_terms.flat_map(Self::columns)).collect()
            }
        }
    }
}

/// Which numbers there can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    /// The type that they have in the engine.
    pub(super) column_type: ColumnType,
    /// In units of the last digit of the type.
    pub(super) units: RangeInclusive<i128>,
}

impl Numbers {
    /// All of a type; `None` if it is not of exact numbers.
    fn of(column_type: &ColumnType) -> Option<Self> {
        let units = match column_type {
            ColumnType::Int(16) => i16::MIN.into()..=i16::MAX.into(),
            ColumnType::Int(32) => i32::MIN.into()..=i32::MAX.into(),
            ColumnType::Int(_) => i64::MIN.into()..=i64::MAX.into(),
            ColumnType::Decimal { precision, .. } => {
                let most = 10_i128.checked_pow((*precision).into())? - 1;
                -most..=most
            }
            _ => return None,
        };
        let column_type = column_type.clone();
        Some(Self { column_type, units })
    }

    /// Those of the type, if they are all.
    fn within(units: RangeInclusive<i128>, column_type: ColumnType) -> Option<Self> {
        let all = Self::of(&column_type)?.units;
        let is_within = all.contains(units.start()) && all.contains(units.end());
        is_within.then_some(Self { column_type, units })
    }

    pub(super) fn scale(&self) -> u8 {
        match self.column_type {
            ColumnType::Decimal { scale, .. } => scale,
            _ => 0,
        }
    }

    /// The greatest, whatever the sign.
    pub(super) fn magnitude(&self) -> u128 {
        let (least, most) = (self.units.start(), self.units.end());
        least.unsigned_abs().max(most.unsigned_abs())
    }

    /// The same in units of a decimal of this scale, if no more digits than there are.
    fn scaled(&self, scale: u8) -> Option<RangeInclusive<i128>> {
        let factor = 10_i128.checked_pow(scale.checked_sub(self.scale())?.into())?;
        let scaled = |units: &i128| units.saturating_mul(factor);
        let units = scaled(self.units.start())..=scaled(self.units.end());
        let widest = ColumnType::Decimal {
            precision: DIGITS_MAX,
            scale,
        };
        Some(Self::within(units, widest)?.units)
    }

    /// Those of either.
    fn or(&self, other: &Self) -> Option<Self> {
        let (one, others) = (&self.units, &other.units);
        let least = *one.start().min(others.start());
        let most = *one.end().max(others.end());
        let column_type = self.column_type.clone();
        (column_type == other.column_type).then_some(Self {
            column_type,
            units: least..=most,
        })
    }

    /// As another type, if nothing is lost or refused.
    fn cast(&self, column_type: &ColumnType) -> Option<Self> {
        let units = match (&self.column_type, column_type) {
            (ColumnType::Int(_), ColumnType::Int(_)) => self.units.clone(),
            (_, ColumnType::Decimal { scale, .. }) => self.scaled(*scale)?,
            _ => return None,
        };
        Self::within(units, column_type.clone())
    }

    /// What the operation gives; also whether it has to be tested that it has no more digits than there are.
    fn calculated(operation: Operation, left: &Self, right: &Self) -> Option<(Self, bool)> {
        let product = operation == Operation::Product;
        let (one, other) = match (&left.column_type, &right.column_type) {
            (ColumnType::Int(one), ColumnType::Int(other)) if one == other => {
                let units = units(operation, &left.units, &right.units);
                return Some((Self::within(units, left.column_type.clone())?, false));
            }
            (
                ColumnType::Decimal {
                    precision: one,
                    scale: _,
                },
                ColumnType::Decimal {
                    precision: other,
                    scale: _,
                },
            ) => (*one, *other),
            _ => return None,
        };
        let (one_scale, other_scale) = (left.scale(), right.scale());
        if product {
            let scale = one_scale + other_scale;
            let precision = (one + other + 1).min(DIGITS_MAX);
            let column_type = ColumnType::Decimal { precision, scale };
            let all = Self::of(&column_type).filter(|_| scale <= DIGITS_MAX)?;
            let units = units(operation, &left.units, &right.units);
            let known = Self::within(units, column_type);
            let is_tested = known.is_none();
            return Some((known.unwrap_or(all), is_tested));
        }
        let whole = one.checked_sub(one_scale)?;
        let whole = whole.max(other.checked_sub(other_scale)?);
        let scale = one_scale.max(other_scale);
        let precision = (scale + whole + 1).min(DIGITS_MAX);
        let units = units(operation, &left.scaled(scale)?, &right.scaled(scale)?);
        let numbers = Self::within(units, ColumnType::Decimal { precision, scale })?;
        Some((numbers, false))
    }
}

/// What an operation gives of numbers of these ranges, or up to the last 128-bit numbers.
fn units(
    operation: Operation,
    left: &RangeInclusive<i128>,
    right: &RangeInclusive<i128>,
) -> RangeInclusive<i128> {
    let (a, b) = (*left.start(), *left.end());
    let (c, d) = (*right.start(), *right.end());
    match operation {
        Operation::Sum => a.saturating_add(c)..=b.saturating_add(d),
        Operation::Difference => a.saturating_sub(d)..=b.saturating_sub(c),
        Operation::Product => {
            let corners = [(a, c), (a, d), (b, c), (b, d)];
            let corners = corners.map(|(one, other)| one.saturating_mul(other));
            let [first, rest @ ..] = corners;
            let least = rest.into_iter().fold(first, i128::min);
            let most = rest.into_iter().fold(first, i128::max);
            least..=most
        }
    }
}

/// Digits of a number before and behind the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digits {
    pub(super) whole: u32,
    pub(super) scale: u32,
}

impl Digits {
    /// Those of a type of exact numbers.
    pub(super) fn of(column_type: &ColumnType) -> Self {
        match column_type {
            ColumnType::Decimal { precision, scale } => Self {
                whole: precision.saturating_sub(*scale).into(),
                scale: (*scale).into(),
            },
            _ => Self {
                whole: INTEGER_DIGITS,
                scale: 0,
            },
        }
    }
}

impl Term<Column> {
    /// Which numbers it gives; `None` if it is not known to be exact. Beside it the products that are only where each
    /// is tested to have no more digits than there are, and of which scale they are; and the years, which are only where
    /// each is tested to be one of four digits.
    pub(super) fn numbers<'a>(&'a self, tested: &mut Vec<(&'a Self, u8)>) -> Option<Numbers> {
        match self {
            Self::Column(of) => Numbers::of(&of.what.column_type),
            Self::Literal(units, column_type) => {
                Numbers::within(*units..=*units, column_type.clone())
            }
            Self::Cast(term, column_type) => term.numbers(tested)?.cast(column_type),
            Self::Calculated(operation, terms) => {
                let [left, right] = terms.as_ref();
                let (left, right) = (left.numbers(tested)?, right.numbers(tested)?);
                let (numbers, is_tested) = Numbers::calculated(*operation, &left, &right)?;
                if is_tested {
                    tested.push((self, numbers.scale()));
                }
                Some(numbers)
            }
            Self::Case(cases, last) => {
                let terms = cases.iter().map(|(_, term)| term).chain(last.as_deref());
                let numbers = terms.map(|term| term.numbers(tested));
                numbers.reduce(|one, other| one?.or(&other?))?
            }
            Self::Part(part, of) => {
                if *part == DatePart::Year {
                    tested.push((self, 0));
                }
                let is_date = of.what.column_type == ColumnType::Date;
                let units = 1..=part.most();
                is_date.then(|| Numbers::within(units, ColumnType::Int(32)))?
            }
        }
    }

    /// What it is in the engine.
    pub(super) fn column_type(&self) -> Option<ColumnType> {
        match self {
            Self::Column(of) => Some(of.what.column_type.clone()),
            _ => Some(self.numbers(&mut Vec::new())?.column_type),
        }
    }

    pub(crate) fn is_integer(&self) -> bool {
        matches!(self.column_type(), Some(ColumnType::Int(_)))
    }

    /// Most digits that a database has for its numbers.
    pub(super) fn digits(&self) -> Digits {
        match self {
            Self::Column(of) => Digits::of(&of.what.column_type),
            Self::Literal(units, column_type) => {
                let scale = Digits::of(column_type).scale;
                let all = units.unsigned_abs().checked_ilog10().unwrap_or_default() + 1;
                let whole = all.saturating_sub(scale).max(1);
                Digits { whole, scale }
            }
            Self::Cast(term, _) => term.digits(),
            Self::Calculated(operation, terms) => {
                let [left, right] = terms.as_ref();
                let (left, right) = (left.digits(), right.digits());
                match operation {
                    Operation::Product => Digits {
                        whole: left.whole + right.whole,
                        scale: left.scale + right.scale,
                    },
                    Operation::Sum | Operation::Difference => Digits {
                        whole: left.whole.max(right.whole) + 1,
                        scale: left.scale.max(right.scale),
                    },
                }
            }
            Self::Case(cases, last) => {
                let terms = cases.iter().map(|(_, term)| term).chain(last.as_deref());
                let none = Digits { whole: 1, scale: 0 };
                terms.map(Self::digits).fold(none, |one, other| Digits {
                    whole: one.whole.max(other.whole),
                    scale: one.scale.max(other.scale),
                })
            }
            Self::Part(..) => Digits { whole: 4, scale: 0 },
        }
    }
}

#[cfg(test)]
mod tests;
