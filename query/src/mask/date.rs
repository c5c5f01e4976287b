//! Masks of dates and timestamps, in UTC.

use std::sync::Arc;

use datafusion::arrow::{
    array::{Array, ArrayRef, AsArray, new_null_array},
    datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType},
};
use dataos_model::mask::DatePrecision;

use super::key::MaskKeys;
use crate::calendar::{civil_from_days, days_from_civil};

const MICROSECONDS_PER_HOUR: i64 = 3_600_000_000;
const MICROSECONDS_PER_DAY: i64 = 24 * MICROSECONDS_PER_HOUR;

/// The start of the hour, day, week (Monday), month or year; NULL stays NULL.
pub(super) fn truncate(input: &ArrayRef, precision: DatePrecision) -> ArrayRef {
    changed(
        input,
        |day| Some(start_of(day, precision)),
        |instant| {
            if precision == DatePrecision::Hour {
                let hours = instant.div_euclid(MICROSECONDS_PER_HOUR);
                return hours.checked_mul(MICROSECONDS_PER_HOUR);
            }
            let day = instant.div_euclid(MICROSECONDS_PER_DAY);
            start_of(day, precision).checked_mul(MICROSECONDS_PER_DAY)
        },
    )
}

/// Moved by up to `days` days in either direction, by as many for equal values; the time of the day
/// stays.
pub(super) fn shifted(input: &ArrayRef, days: u32, keys: Option<&MaskKeys>) -> ArrayRef {
    let moved_by = |value: i64| {
        let mut drawn = keys?.draw("shift_date", &value.to_be_bytes());
        i64::try_from(drawn.around_zero(i128::from(days))).ok()
    };
    changed(
        input,
        |day| day.checked_add(moved_by(day)?),
        |instant| instant.checked_add(moved_by(instant)?.checked_mul(MICROSECONDS_PER_DAY)?),
    )
}

/// Each date or timestamp changed; `None` is NULL.
fn changed(
    input: &ArrayRef,
    date: impl Fn(i64) -> Option<i64>,
    timestamp: impl Fn(i64) -> Option<i64>,
) -> ArrayRef {
    let changed: Option<ArrayRef> = match input.data_type() {
        DataType::Date32 => input.as_primitive_opt::<Date32Type>().map(|dates| {
            let dates =
                dates.unary_opt::<_, Date32Type>(|day| i32::try_from(date(i64::from(day))?).ok());
            Arc::new(dates) as ArrayRef
        }),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let instants = input.as_primitive_opt::<TimestampMicrosecondType>();
            instants.map(|instants| {
                let instants = instants.unary_opt::<_, TimestampMicrosecondType>(timestamp);
                Arc::new(instants.with_timezone_opt(zone.clone())) as ArrayRef
            })
        }
        _ => None,
    };
    changed.unwrap_or_else(|| new_null_array(input.data_type(), input.len()))
}

/// The first day of the period that holds `day`, in days since 1970-01-01 (a Thursday).
fn start_of(day: i64, precision: DatePrecision) -> i64 {
    let (year, month, _) = civil_from_days(day);
    match precision {
        DatePrecision::Hour | DatePrecision::Day => day,
        DatePrecision::Week => day - (day + 3).rem_euclid(7),
        DatePrecision::Month => days_from_civil(year, month, 1),
        DatePrecision::Year => days_from_civil(year, 1, 1),
    }
}
