//! What is told of a group of rows, how a database tells it, and what is made of that here.

use dataos_model::dataset::{Column, ColumnType};

use super::{
    batch::{Cell, TOO_LARGE, Unfit},
    select::Of,
    term::{DIGITS_MAX, Term},
};

/// Digits that a sum has more than what it adds up, as in the engine.
const SUM_DIGITS: u8 = 10;
/// Digits that a mean has more behind the point than what it is of, as in the engine.
const MEAN_DIGITS: u8 = 4;
/// Sums of integers up to here are exact as doubles, whatever the order.
pub(super) const DOUBLE_MAX: i64 = 1 << 53;
/// What a sum of integers comes as.
const INTEGER_SUM: ColumnType = ColumnType::Decimal {
    precision: DIGITS_MAX,
    scale: 0,
};

/// What is no total at all.
const OTHER_FORM: Unfit = "a total in another form";

/// What is told of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Total {
    /// How many rows it has.
    Rows,
    Of(Function, Term<Column>),
}

/// What is told of the values that a term has in the rows of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    /// How many there are.
    Present,
    /// How many different ones there are.
    Distinct,
    /// Their sum, within the bits of its type.
    Sum,
    /// Their sum divided by how many there are.
    Mean,
    Least,
    Greatest,
}

impl Function {
    /// How databases write it of numbers; a mean as its sum.
    pub(super) fn of(self, number: &str) -> String {
        match self {
            Self::Present => format!("count({number})"),
            Self::Distinct => format!("count(DISTINCT {number})"),
            Self::Sum | Self::Mean => format!("sum({number})"),
            Self::Least => format!("min({number})"),
            Self::Greatest => format!("max({number})"),
        }
    }
}

/// How a total comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// As what it is.
    Whole,
    /// As a decimal of all digits.
    Integer,
    /// As a sum of decimals of this scale, and behind all totals how many were added up.
    Mean(u8),
    /// As a sum of integers, likewise.
    MeanOfIntegers,
}

impl Total {
    pub(super) fn term(&self) -> Option<&Term<Column>> {
        match self {
            Self::Rows => None,
            Self::Of(_, term) => Some(term),
        }
    }

    pub(super) fn is_mean(&self) -> bool {
        matches!(self, Self::Of(Function::Mean, _))
    }

    /// Whether it is a sum of integers.
    pub(super) fn is_wrapped(&self) -> bool {
        matches!(self, Self::Of(Function::Sum, term) if term.is_integer())
    }

    pub(super) fn arrival(&self) -> Arrival {
        let Self::Of(function, term) = self else {
            return Arrival::Whole;
        };
        match (function, term.column_type()) {
            (Function::Sum, Some(ColumnType::Int(_))) => Arrival::Integer,
            (Function::Least | Function::Greatest, _) => Arrival::of(term),
            (Function::Mean, Some(ColumnType::Decimal { scale, .. })) => Arrival::Mean(scale),
            (Function::Mean, _) => Arrival::MeanOfIntegers,
            _ => Arrival::Whole,
        }
    }

    /// The most that a sum of decimals may be, in units of its last digit, and its scale; `None` if it is none, or has
    /// room for more rows than there are in any table.
    pub(super) fn sum_max(&self) -> Option<(i128, u8)> {
        let Self::Of(function @ (Function::Sum | Function::Mean), term) = self else {
            return None;
        };
        let ColumnType::Decimal { scale, .. } = term.column_type()? else {
            return None;
        };
        // The engine multiplies a sum before it divides it.
        let digits = match function {
            Function::Mean => DIGITS_MAX - MEAN_DIGITS,
            _ => DIGITS_MAX,
        };
        let room = 10_i128.checked_pow((digits - SUM_DIGITS).into())?;
        let magnitude = term.numbers(&mut Vec::new())?.magnitude();
        let has_room = magnitude < room.unsigned_abs();
        (!has_room).then_some((10_i128.checked_pow(digits.into())? - 1, scale))
    }

    /// What it comes out as, as in the engine; `None` if it is not exact anywhere.
    pub(super) fn output(&self) -> Option<Of<Column>> {
        let Self::Of(function, term) = self else {
            return Some(Of {
                table: 0,
                what: Column {
                    name: "count".to_owned(),
                    column_type: ColumnType::Int(64),
                    is_nullable: false,
                },
            });
        };
        let of = term.columns().first().copied()?.clone();
        let column_type = match (function, term.column_type()?) {
            (Function::Distinct, _) if !matches!(term, Term::Column(_)) => return None,
            (Function::Present | Function::Distinct, of) if !of.is_read() => return None,
            (Function::Present | Function::Distinct, _) => ColumnType::Int(64),
            (Function::Sum, ColumnType::Int(_)) => ColumnType::Int(64),
            (Function::Sum, ColumnType::Decimal { precision, scale }) => ColumnType::Decimal {
                precision: (precision + SUM_DIGITS).min(DIGITS_MAX),
                scale,
            },
            (Function::Mean, ColumnType::Int(_)) => ColumnType::Float(64),
            (Function::Mean, ColumnType::Decimal { precision, scale }) => ColumnType::Decimal {
                precision: (precision + MEAN_DIGITS).min(DIGITS_MAX),
                scale: Some(scale + MEAN_DIGITS).filter(|scale| *scale <= DIGITS_MAX)?,
            },
            (Function::Sum | Function::Mean, _) => return None,
            (Function::Least | Function::Greatest, column_type) => column_type,
        };
        let is_nullable = !matches!(function, Function::Present | Function::Distinct);
        Some(Of {
            table: of.table,
            what: Column {
                name: of.what.name,
                column_type,
                is_nullable,
            },
        })
    }
}

impl Term<Column> {
    /// What it comes out as; `None` if it is not exact anywhere.
    pub(super) fn output(&self) -> Option<Of<Column>> {
        let of = self.columns().first().copied()?.clone();
        Some(Of {
            table: of.table,
            what: Column {
                column_type: self.column_type()?,
                is_nullable: of.what.is_nullable || !matches!(self, Self::Column(_)),
                ..of.what
            },
        })
    }
}

impl Arrival {
    /// Of a term as it is: databases calculate with decimals alone.
    pub(super) fn of(term: &Term<Column>) -> Self {
        match term {
            Term::Column(_) => Self::Whole,
            _ if term.is_integer() => Self::Integer,
            _ => Self::Whole,
        }
    }

    pub(super) fn is_mean(&self) -> bool {
        matches!(self, Self::Mean(_) | Self::MeanOfIntegers)
    }

    /// What comes as the total, which comes out as this type.
    pub(super) fn column_type(&self, output: &ColumnType) -> ColumnType {
        match self {
            Self::Whole => output.clone(),
            Self::Integer | Self::MeanOfIntegers => INTEGER_SUM,
            Self::Mean(scale) => ColumnType::Decimal {
                precision: DIGITS_MAX,
                scale: *scale,
            },
        }
    }

    /// What the engine would make; `count` is of a mean.
    ///
    /// # Errors
    /// What came instead of a number.
    pub(super) fn made<'a>(
        &self,
        sent: Cell<'a>,
        count: impl FnOnce() -> Result<Cell<'a>, Unfit>,
    ) -> Result<Cell<'a>, Unfit> {
        let sum = match (self, sent) {
            (Self::Whole, sent) => return Ok(sent),
            (_, Cell::Null) => return Ok(Cell::Null),
            (Self::Integer, Cell::Decimal(sum)) => return Ok(wrapped(sum)),
            (_, Cell::Decimal(sum)) => sum,
            _ => return Err(OTHER_FORM),
        };
        let count = match count()? {
            Cell::Int(count) if count > 0 => count,
            _ => return Err(OTHER_FORM),
        };
        match self {
            Self::Mean(_) => mean(sum, count),
            _ => mean_of_integers(sum, count),
        }
    }
}

/// A sum of integers as the engine has it: the low 64 bits.
fn wrapped(sum: i128) -> Cell<'static> {
    let bits = u64::try_from(sum.rem_euclid(1 << 64)).unwrap_or_default();
    Cell::Int(bits.cast_signed())
}

/// Cut off behind its digits, and not rounded, as in the engine.
fn mean(sum: i128, count: i64) -> Result<Cell<'static>, Unfit> {
    let units = sum.checked_mul(10_i128.pow(MEAN_DIGITS.into()));
    let mean = units.and_then(|units| units.checked_div(count.into()));
    mean.map(Cell::Decimal).ok_or(TOO_LARGE)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the sum has no more bits than a double, and the engine takes the count so too"
)]
fn mean_of_integers(sum: i128, count: i64) -> Result<Cell<'static>, Unfit> {
    let is_exact = sum.unsigned_abs() <= DOUBLE_MAX.unsigned_abs().into();
    let mean = is_exact.then(|| Cell::Double(sum as f64 / count as f64));
    mean.ok_or(TOO_LARGE)
}

#[cfg(test)]
mod tests;
