//! `retry` of a job: how often, when, and after which kind of failure.

use std::time::Duration;

use dataos_model::fault::Fault;

use crate::fields::Fields;

/// Most retries of one job.
const RETRIES_MAX: i64 = 100;
/// Longest wait that a manifest may ask for, in hours.
const WAIT_HOURS_MAX: u64 = 24 * 7;

/// When a failed attempt is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryStrategy {
    /// After any failure.
    Always,
    /// After a failure of the job's own: an exit code, a refused statement.
    OnFailure,
    /// After a failure of the platform: not started, lost with the server, source down.
    OnError,
}

/// How a job is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retry {
    /// Attempts after the first.
    pub(crate) count: u32,
    pub(crate) strategy: RetryStrategy,
    /// Wait before each retry.
    pub(crate) wait: Duration,
    /// No retry starts later than this after the first start.
    pub(crate) wait_total_max: Option<Duration>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            count: 0,
            strategy: RetryStrategy::Always,
            wait: Duration::ZERO,
            wait_total_max: None,
        }
    }
}

/// Reads `retry` of a job.
pub(super) fn read(job: &Fields<'_>) -> Result<Retry, Fault> {
    let Some(fields) = job.fields("retry")? else {
        return Ok(Retry::default());
    };
    let count = fields.integer("count", 0..=RETRIES_MAX)?.unwrap_or(0);
    let strategy = match fields.text("strategy")? {
        None | Some("Always") => RetryStrategy::Always,
        Some("OnFailure") => RetryStrategy::OnFailure,
        // Which errors are transient is not told apart: every error of the platform counts.
        Some("OnError" | "OnTransientError") => RetryStrategy::OnError,
        Some(word) => {
            return Err(fields
                .fault("strategy", format!("unknown retry strategy `{word}`"))
                .with_hint("known: Always, OnFailure, OnError, OnTransientError"));
        }
    };
    let wait = duration(&fields, "duration")?.unwrap_or(Duration::ZERO);
    let wait_total_max = duration(&fields, "maxDuration")?;
    fields.finish()?;
    Ok(Retry {
        count: u32::try_from(count).unwrap_or(0),
        strategy,
        wait,
        wait_total_max,
    })
}

/// `500ms`, `30s`, `5m`, `1h`, or whole seconds.
fn duration(fields: &Fields<'_>, name: &'static str) -> Result<Option<Duration>, Fault> {
    let Some(text) = fields.text(name)? else {
        return Ok(None);
    };
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    let unit_ms = match text.strip_prefix(digits.as_str()) {
        Some("ms") => 1,
        Some("" | "s") => 1000,
        Some("m") => 60_000,
        Some("h") => 3_600_000,
        _ => 0,
    };
    match digits
        .parse::<u64>()
        .ok()
        .and_then(|value| value.checked_mul(unit_ms))
    {
        Some(ms) if unit_ms > 0 && ms <= WAIT_HOURS_MAX * 3_600_000 => {
            Ok(Some(Duration::from_millis(ms)))
        }
        _ => Err(fields
            .fault(name, format!("`{text}` is not a duration"))
            .with_hint("write 500ms, 30s, 5m or 1h; at most a week")),
    }
}
