//! `bucket_number`: the greatest bound that is not above the value.

use std::sync::Arc;

use datafusion::arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, new_null_array},
    datatypes::{
        DataType, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    },
};
use dataos_model::{annotation::Literal, dataset::ColumnType};

/// Bounds in the column's own type, ascending.
#[derive(Clone, Debug)]
pub(super) enum Buckets {
    /// Integers, and decimals in units of their scale.
    Exact(Vec<i128>),
    /// Floating point.
    Float(Vec<f64>),
}

impl Buckets {
    /// `bounds` rounded down to what the type can hold; `None` if it is no number.
    pub(super) fn new(bounds: &[Literal], column_type: &ColumnType) -> Option<Self> {
        match column_type {
            ColumnType::Int(_) => Some(Self::Exact(exact(bounds, 0)?)),
            ColumnType::Decimal { scale, .. } => Some(Self::Exact(exact(bounds, *scale)?)),
            ColumnType::Float(_) => {
                let bounds: Option<Vec<f64>> = bounds
                    .iter()
                    .map(|bound| text(bound)?.parse().ok())
                    .collect();
                Some(Self::Float(bounds?))
            }
            _ => None,
        }
    }

    /// The bound of every value; NULL for NULL, NaN and values below the first bound.
    pub(super) fn apply(&self, input: &dyn Array) -> ArrayRef {
        let bucketed = match (self, input.data_type()) {
            (Self::Exact(bounds), DataType::Int16) => each::<Int16Type>(input, |value| {
                i16::try_from(floor(bounds, value.into())?).ok()
            }),
            (Self::Exact(bounds), DataType::Int32) => each::<Int32Type>(input, |value| {
                i32::try_from(floor(bounds, value.into())?).ok()
            }),
            (Self::Exact(bounds), DataType::Int64) => each::<Int64Type>(input, |value| {
                i64::try_from(floor(bounds, value.into())?).ok()
            }),
            (Self::Exact(bounds), DataType::Decimal128(_, _)) => {
                each::<Decimal128Type>(input, |value| floor(bounds, value))
            }
            (Self::Float(bounds), DataType::Float32) => each::<Float32Type>(input, |value| {
                #[expect(clippy::cast_possible_truncation, reason = "rounded down just below")]
                floor_float(bounds, f64::from(value)).map(|bound| down(bound as f32, bound))
            }),
            (Self::Float(bounds), DataType::Float64) => {
                each::<Float64Type>(input, |value| floor_float(bounds, value))
            }
            _ => None,
        };
        bucketed.unwrap_or_else(|| new_null_array(input.data_type(), input.len()))
    }
}

fn each<T: ArrowPrimitiveType>(
    input: &dyn Array,
    change: impl Fn(T::Native) -> Option<T::Native>,
) -> Option<ArrayRef> {
    let values = input.as_primitive_opt::<T>()?;
    let changed: PrimitiveArray<T> = values.unary_opt(change);
    Some(Arc::new(changed.with_data_type(input.data_type().clone())))
}

fn floor(bounds: &[i128], value: i128) -> Option<i128> {
    let above = bounds.partition_point(|bound| *bound <= value);
    bounds.get(above.checked_sub(1)?).copied()
}

fn floor_float(bounds: &[f64], value: f64) -> Option<f64> {
    // Every comparison with NaN is false, so NaN has no bound below it.
    let above = bounds.partition_point(|bound| *bound <= value);
    bounds.get(above.checked_sub(1)?).copied()
}

/// A bound that 32 bits cannot hold is the next value below it.
fn down(rounded: f32, bound: f64) -> f32 {
    if f64::from(rounded) > bound {
        rounded.next_down()
    } else {
        rounded
    }
}

fn text(bound: &Literal) -> Option<String> {
    match bound {
        Literal::Integer(value) => Some(value.to_string()),
        Literal::Decimal(text) => Some(text.clone()),
        _ => None,
    }
}

fn exact(bounds: &[Literal], scale: u8) -> Option<Vec<i128>> {
    let mut bounds: Vec<i128> = bounds
        .iter()
        .map(|bound| rounded_down(&text(bound)?, scale))
        .collect::<Option<_>>()?;
    // Rounding can make two bounds one.
    bounds.dedup();
    Some(bounds)
}

/// A decimal number in units of 10^-scale, rounded towards negative infinity.
fn rounded_down(text: &str, scale: u8) -> Option<i128> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let kept: String = part
        .chars()
        .chain(std::iter::repeat('0'))
        .take(usize::from(scale))
        .collect();
    let is_cut = part
        .chars()
        .skip(usize::from(scale))
        .any(|digit| digit != '0');
    let units: i128 = format!("{whole}{kept}").parse().ok()?;
    if is_negative {
        units.checked_neg()?.checked_sub(i128::from(is_cut))
    } else {
        Some(units)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_round_down() {
        for (text, scale, expected) in [
            ("10", 0, 10),
            ("10.9", 0, 10),
            ("-10.1", 0, -11),
            ("-10.0", 0, -10),
            ("1.239", 2, 123),
            ("-1.239", 2, -124),
            ("5", 2, 500),
        ] {
            assert_eq!(
                rounded_down(text, scale),
                Some(expected),
                "{text} at scale {scale}"
            );
        }
    }
}
