//! Numbers that are calculated of the columns of a row, and whether a database gives those that the engine does.
//!
//! Databases calculate with decimals of as many digits as it takes, the engine within the bits of a type. Of columns
//! by their types it is known which numbers there can be: where none leaves the type that it has in the engine, both
//! give the same. A product of decimals that could is tested in each row.

use std::ops::RangeInclusive;

use dataos_model::dataset::{Column, ColumnType};

use super::select::Of;

/// Most digits of decimals in the engine.
pub(super) const DIGITS_MAX: u8 = 38;
/// Digits of a 64-bit integer, with a sign or without.
const INTEGER_DIGITS: u32 = 20;

/// A column of one of the tables, or what is calculated of some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Term<C> {
    Column(Of<C>),
    /// So many units of the last digit of the type.
    Literal(i128, ColumnType),
    Cast(Box<Term<C>>, ColumnType),
    Calculated(Operation, Box<[Term<C>; 2]>),
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
        })
    }

    /// The columns that it reads.
    pub(crate) fn columns(&self) -> Vec<&Of<C>> {
        match self {
            Self::Column(of) => vec![of],
            Self::Literal(..) => Vec::new(),
            Self::Cast(term, _) => term.columns(),
            Self::Calculated(_, terms) => terms.iter().flat_map(Self::columns).collect(),
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
    /// is tested to have no more digits than there are, and of which scale they are.
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
        }
    }
}

#[cfg(test)]
mod tests;
