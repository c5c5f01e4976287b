//! Truncation of dates and timestamps, in UTC.

use std::sync::Arc;

use datafusion::arrow::{
    array::{Array, ArrayRef, AsArray, new_null_array},
    datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType},
};
use dataos_model::mask::DatePrecision;

use crate::calendar::{civil_from_days, days_from_civil};

const MICROSECONDS_PER_HOUR: i64 = 3_600_000_000;
const MICROSECONDS_PER_DAY: i64 = 24 * MICROSECONDS_PER_HOUR;

/// The start of the hour, day, week (Monday), month or year; NULL stays NULL.
pub(super) fn truncate(input: &ArrayRef, precision: DatePrecision) -> ArrayRef {
    match input.data_type() {
        DataType::Date32 => match input.as_primitive_opt::<Date32Type>() {
            Some(dates) => Arc::new(dates.unary_opt::<_, Date32Type>(|day| {
                i32::try_from(start_of(i64::from(day), precision)).ok()
            })),
            None => new_null_array(input.data_type(), input.len()),
        },
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            match input.as_primitive_opt::<TimestampMicrosecondType>() {
                Some(instants) => Arc::new(
                    instants
                        .unary_opt::<_, TimestampMicrosecondType>(|instant| {
                            if precision == DatePrecision::Hour {
                                let hours = instant.div_euclid(MICROSECONDS_PER_HOUR);
                                return hours.checked_mul(MICROSECONDS_PER_HOUR);
                            }
                            let day = instant.div_euclid(MICROSECONDS_PER_DAY);
                            start_of(day, precision).checked_mul(MICROSECONDS_PER_DAY)
                        })
                        .with_timezone_opt(zone.clone()),
                ),
                None => new_null_array(input.data_type(), input.len()),
            }
        }
        other => new_null_array(other, input.len()),
    }
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
