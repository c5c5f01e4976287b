//! The one place that asks the operating system for the time of day.

use std::time::{SystemTime, UNIX_EPOCH};

use dataos_model::clock::{Clock, Timestamp};

/// Wall-clock time.
#[derive(Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let milliseconds = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            // A clock before 1970 is not set; 0 makes every expiry look far away from now.
            Err(_) => 0,
        };
        Timestamp(milliseconds)
    }
}
