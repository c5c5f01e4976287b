//! Masks of numbers: `bucket_number`, the greatest bound that is not above the value; `noise`,
//! `round`, `clamp`, `truncate`.

use std::sync::Arc;

use datafusion::arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, new_null_array},
    datatypes::{
        DataType, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    },
};
use dataos_model::{annotation::Literal, dataset::ColumnType};

use super::key::MaskKeys;

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
        match self {
            Self::Exact(bounds) => changed(input, |value| floor(bounds, value), |_| None),
            Self::Float(bounds) => changed(input, |_| None, |value| floor_float(bounds, value)),
        }
    }
}

/// A change of numbers, in the column's own type.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// Up to so much in either direction: integers and units of decimals, or floats.
    Noise(i128, f64),
    /// Down to a multiple.
    Round(i128, f64),
    /// Within bounds.
    Clamp((i128, i128), (f64, f64)),
    /// Towards zero, to a power of ten: in units of the scale, or in digits behind the point.
    Truncate(i128, f64),
}

impl Change {
    /// Noise of up to `amount`.
    pub(super) fn noise(amount: &Literal, column_type: &ColumnType) -> Option<Self> {
        Some(Self::Noise(units(amount, column_type)?, size(amount)?))
    }

    /// Multiples of `to`; of the smallest step of the type, if that is larger.
    pub(super) fn round(to: &Literal, column_type: &ColumnType) -> Option<Self> {
        Some(Self::Round(units(to, column_type)?.max(1), size(to)?))
    }

    /// Bounds, rounded down to what the type can hold.
    pub(super) fn clamp(low: &Literal, high: &Literal, column_type: &ColumnType) -> Option<Self> {
        let exact = (units(low, column_type)?, units(high, column_type)?);
        Some(Self::Clamp(exact, (size(low)?, size(high)?)))
    }

    /// So many digits behind the point.
    pub(super) fn truncate(digits: u32, column_type: &ColumnType) -> Option<Self> {
        let cut = match column_type {
            ColumnType::Decimal { scale, .. } => u32::from(*scale).saturating_sub(digits),
            _ => 0,
        };
        let places = i32::try_from(digits).ok()?;
        Some(Self::Truncate(
            10_i128.checked_pow(cut)?,
            10_f64.powi(places),
        ))
    }

    /// NULL for NULL, for NaN, and where the type has no room for the result.
    pub(super) fn apply(&self, input: &dyn Array, keys: Option<&MaskKeys>) -> ArrayRef {
        let exact = |value: i128| match self {
            Self::Noise(amount, _) => {
                let mut drawn = keys?.draw("noise", &value.to_be_bytes());
                value.checked_add(drawn.around_zero(*amount))
            }
            Self::Round(to, _) => value.checked_sub(value.checked_rem_euclid(*to)?),
            Self::Clamp((low, high), _) => Some(value.max(*low).min(*high)),
            Self::Truncate(unit, _) => value.checked_sub(value.checked_rem(*unit)?),
        };
        let float = |value: f64| match self {
            Self::Noise(_, amount) => {
                // Both zeros are one value.
                let mut drawn = keys?.draw("noise", &(value + 0.0).to_be_bytes());
                Some(value + drawn.ratio() * amount)
            }
            Self::Round(_, to) => Some((value / to).floor() * to),
            Self::Clamp(_, (low, high)) => Some(value.max(*low).min(*high)),
            Self::Truncate(_, unit) => Some((value * unit).trunc() / unit),
        };
        changed(input, exact, |value| {
            if value.is_nan() { None } else { float(value) }
        })
    }
}

/// Each number changed, in its own type; `None` is NULL.
fn changed(
    input: &dyn Array,
    exact: impl Fn(i128) -> Option<i128>,
    float: impl Fn(f64) -> Option<f64>,
) -> ArrayRef {
    let changed = match input.data_type() {
        DataType::Int16 => {
            each::<Int16Type>(input, |value| i16::try_from(exact(value.into())?).ok())
        }
        DataType::Int32 => {
            each::<Int32Type>(input, |value| i32::try_from(exact(value.into())?).ok())
        }
        DataType::Int64 => {
            each::<Int64Type>(input, |value| i64::try_from(exact(value.into())?).ok())
        }
        DataType::Decimal128(precision, _) => {
            let most = 10_i128
                .checked_pow(u32::from(*precision))
                .unwrap_or(i128::MAX);
            each::<Decimal128Type>(input, |value| {
                exact(value).filter(|value| value.unsigned_abs() < most.unsigned_abs())
            })
        }
        DataType::Float32 => each::<Float32Type>(input, |value| {
            #[expect(clippy::cast_possible_truncation, reason = "rounded down just below")]
            float(f64::from(value)).map(|bound| down(bound as f32, bound))
        }),
        DataType::Float64 => each::<Float64Type>(input, float),
        _ => None,
    };
    changed.unwrap_or_else(|| new_null_array(input.data_type(), input.len()))
}

/// A number in whole steps of the column's type, rounded down; anything for floats.
fn units(literal: &Literal, column_type: &ColumnType) -> Option<i128> {
    match column_type {
        ColumnType::Decimal { scale, .. } => rounded_down(&text(literal)?, *scale),
        _ => rounded_down(&text(literal)?, 0),
    }
}

fn size(literal: &Literal) -> Option<f64> {
    text(literal)?.parse().ok()
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
