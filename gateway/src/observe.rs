//! Figures of the running process: counters, latencies, the last minute, and one log line a call.

mod calls;
mod log;
mod minute;
pub(crate) mod spans;

use std::{
    collections::HashMap,
    fmt::Write,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use dataos_model::principal::Principal;
use http::StatusCode;
use tracing::Level;

pub(crate) use minute::Minute;

pub use calls::LogEnd;
pub use log::init as init_log;

/// Upper bounds of the latency buckets in microseconds; one more bucket holds the rest.
const BUCKETS_US: [u64; 18] = [
    50, 100, 200, 300, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000, 10_000, 25_000, 50_000,
    100_000, 500_000, 2_500_000, 10_000_000,
];
/// Most principals whose denials are counted by name.
const DENIED_NAMES_MAX: usize = 1000;

/// What is known of one finished call.
#[derive(Debug)]
pub(crate) struct CallFigures<'a> {
    pub(crate) route: &'static str,
    pub(crate) method: &'a str,
    pub(crate) status: StatusCode,
    pub(crate) is_denied: bool,
    pub(crate) principal: Option<&'a Principal>,
    pub(crate) request_id: &'a str,
    pub(crate) bytes: u64,
    pub(crate) took: Duration,
}

impl CallFigures<'_> {
    fn principal(&self) -> &str {
        self.principal
            .map_or("", |principal| principal.uid.id.as_str())
    }

    /// Writes the line of the call.
    fn log(&self, took_us: u64) {
        if !tracing::enabled!(target: calls::TARGET, Level::INFO) || calls::add(self, took_us) {
            return;
        }
        tracing::info!(
            target: calls::TARGET,
            request_id = self.request_id,
            method = self.method,
            route = self.route,
            status = self.status.as_u16(),
            denied = self.is_denied,
            principal = self.principal(),
            bytes = self.bytes,
            took_us,
        );
    }
}

/// All figures. Counters are monotonic since the start of the process.
#[derive(Debug)]
pub(crate) struct Figures {
    started: Instant,
    allow: AtomicU64,
    deny: AtomicU64,
    errors: AtomicU64,
    unrecorded: AtomicU64,
    connections_refused: AtomicU64,
    connections_open: AtomicU64,
    handshakes_failed: AtomicU64,
    buckets: [AtomicU64; BUCKETS_US.len() + 1],
    latency_sum_us: AtomicU64,
    /// By route and status class; bounded by the table.
    by_route: Mutex<HashMap<(&'static str, u16), u64>>,
    /// By reason code; bounded by the codes that there are.
    refused: Mutex<HashMap<&'static str, u64>>,
    denied: Mutex<HashMap<String, u64>>,
    minute: Mutex<Minute>,
}

impl Figures {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            allow: AtomicU64::new(0),
            deny: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            unrecorded: AtomicU64::new(0),
            connections_refused: AtomicU64::new(0),
            connections_open: AtomicU64::new(0),
            handshakes_failed: AtomicU64::new(0),
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            latency_sum_us: AtomicU64::new(0),
            by_route: Mutex::new(HashMap::new()),
            refused: Mutex::new(HashMap::new()),
            denied: Mutex::new(HashMap::new()),
            minute: Mutex::new(Minute::default()),
        }
    }

    /// Counts a finished call and writes its log line.
    pub(crate) fn note(&self, call: &CallFigures<'_>) {
        let took_us = u64::try_from(call.took.as_micros()).unwrap_or(u64::MAX);
        let is_error = call.status.is_server_error();
        let counter = match (call.is_denied, is_error) {
            (true, _) => &self.deny,
            (false, true) => &self.errors,
            (false, false) => &self.allow,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let index = BUCKETS_US.partition_point(|bound| *bound < took_us);
        if let Some(bucket) = self.buckets.get(index) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.latency_sum_us.fetch_add(took_us, Ordering::Relaxed);
        *lock(&self.by_route)
            .entry((call.route, call.status.as_u16()))
            .or_default() += 1;
        lock(&self.minute).note(self.started.elapsed().as_secs(), call.is_denied);
        if call.is_denied
            && let Some(principal) = call.principal
        {
            let mut denied = lock(&self.denied);
            if denied.len() < DENIED_NAMES_MAX || denied.contains_key(&principal.uid.id) {
                *denied.entry(principal.uid.id.clone()).or_default() += 1;
            }
        }
        call.log(took_us);
    }

    /// Counts an answer that was withheld because the log did not take its record.
    pub(crate) fn note_unrecorded(&self) {
        self.unrecorded.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what was refused before authentication, or by it.
    pub(crate) fn note_refused(&self, reason: &'static str) {
        *lock(&self.refused).entry(reason).or_default() += 1;
    }

    /// Counts a connection that was closed at once because there are too many.
    pub(crate) fn note_connection_refused(&self) {
        self.connections_refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a handshake that failed or took too long.
    pub(crate) fn note_handshake_failed(&self) {
        self.handshakes_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Sets the number of open connections.
    pub(crate) fn set_connections_open(&self, count: usize) {
        self.connections_open.store(count as u64, Ordering::Relaxed);
    }

    /// Time since the start.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Allowed, denied and failed calls.
    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (load(&self.allow), load(&self.deny), load(&self.errors))
    }

    /// Calls and denials in each of the last 60 seconds, newest last.
    pub(crate) fn minute(&self) -> (Vec<u32>, Vec<u32>) {
        lock(&self.minute).read(self.started.elapsed().as_secs())
    }

    /// The latency below which `share` of all calls stayed, as the bound of its bucket.
    pub(crate) fn latency_us(&self, share: f64) -> u64 {
        let counts: Vec<u64> = self
            .buckets
            .iter()
            .map(|b| b.load(Ordering::Relaxed))
            .collect();
        let total: u64 = counts.iter().sum();
        let mut sum = 0;
        for (count, bound) in counts.iter().zip(BUCKETS_US) {
            sum += count;
            if sum > 0 && sum as f64 >= share * total as f64 {
                return bound;
            }
        }
        if total == 0 {
            0
        } else {
            BUCKETS_US.last().copied().unwrap_or(0)
        }
    }

    /// The principals with the most denials.
    pub(crate) fn top_denied(&self, count: usize) -> Vec<(String, u64)> {
        let mut names: Vec<(String, u64)> = lock(&self.denied)
            .iter()
            .map(|(name, count)| (name.clone(), *count))
            .collect();
        names.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        names.truncate(count);
        names
    }

    /// Prometheus text.
    pub(crate) fn prometheus(&self) -> String {
        let mut text = String::new();
        let (allow, deny, errors) = self.counts();
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        for (name, kind, value) in [
            ("dataos_calls_allowed_total", "counter", allow),
            ("dataos_calls_denied_total", "counter", deny),
            ("dataos_calls_failed_total", "counter", errors),
            (
                "dataos_answers_withheld_total",
                "counter",
                load(&self.unrecorded),
            ),
            (
                "dataos_connections_refused_total",
                "counter",
                load(&self.connections_refused),
            ),
            (
                "dataos_handshakes_failed_total",
                "counter",
                load(&self.handshakes_failed),
            ),
            (
                "dataos_connections_open",
                "gauge",
                load(&self.connections_open),
            ),
            ("dataos_uptime_seconds", "gauge", self.uptime().as_secs()),
        ] {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# TYPE {name} {kind}\n{name} {value}");
        }
        let _ = writeln!(text, "# TYPE dataos_answers_total counter");
        let mut rows: Vec<_> = lock(&self.by_route)
            .iter()
            .map(|(key, count)| (*key, *count))
            .collect();
        rows.sort_unstable();
        for ((route, status), count) in rows {
            let _ = writeln!(
                text,
                "dataos_answers_total{{route=\"{route}\",status=\"{status}\"}} {count}"
            );
        }
        let _ = writeln!(text, "# TYPE dataos_refused_total counter");
        let refused = lock(&self.refused);
        let mut rows: Vec<_> = refused.iter().collect();
        rows.sort_unstable();
        for (reason, count) in rows {
            let _ = writeln!(text, "dataos_refused_total{{reason=\"{reason}\"}} {count}");
        }
        drop(refused);
        let name = "dataos_call_latency_seconds";
        let _ = writeln!(text, "# TYPE {name} histogram");
        let mut sum = 0;
        for (bucket, bound) in self.buckets.iter().zip(BUCKETS_US) {
            sum += load(bucket);
            let bound_s = bound as f64 / 1e6;
            let _ = writeln!(text, "{name}_bucket{{le=\"{bound_s}\"}} {sum}");
        }
        let total: u64 = self.buckets.iter().map(load).sum();
        let sum_s = load(&self.latency_sum_us) as f64 / 1e6;
        let _ = writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {total}");
        let _ = writeln!(text, "{name}_sum {sum_s}\n{name}_count {total}");
        text
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::{CallFigures, Figures};
    use dataos_model::{
        entity::EntityType,
        principal::{Authentication, Principal},
    };

    #[test]
    fn calls_are_counted_by_what_became_of_them() {
        let figures = Figures::new();
        let alice = Principal::new(EntityType::USER.id("alice"), Authentication::ApiKey);
        for (status, is_denied, took_us) in [
            (200, false, 90),
            (200, false, 400),
            (403, true, 90),
            (503, false, 99_999_999),
        ] {
            figures.note(&CallFigures {
                route: "/api/v1/query",
                method: "POST",
                status: StatusCode::from_u16(status).unwrap(),
                is_denied,
                principal: Some(&alice),
                request_id: "id",
                bytes: 10,
                took: Duration::from_micros(took_us),
            });
        }
        assert_eq!(figures.counts(), (2, 1, 1));
        assert_eq!(figures.latency_us(0.5), 100);
        assert_eq!(figures.latency_us(0.99), 10_000_000);
        assert_eq!(figures.top_denied(5), [("alice".to_owned(), 1)]);
        let (rates, denials) = figures.minute();
        assert_eq!((rates.len(), rates.iter().sum::<u32>()), (60, 4));
        assert_eq!(denials.iter().sum::<u32>(), 1);
        let text = figures.prometheus();
        for line in [
            "dataos_calls_denied_total 1",
            "dataos_answers_total{route=\"/api/v1/query\",status=\"200\"} 2",
            "dataos_call_latency_seconds_bucket{le=\"0.0001\"} 2",
            "dataos_call_latency_seconds_bucket{le=\"+Inf\"} 4",
            "dataos_call_latency_seconds_count 4",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} not in\n{text}"
            );
        }
    }
}
