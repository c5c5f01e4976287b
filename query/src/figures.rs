//! How statements ended, and which bounds they hit.

use std::sync::atomic::{AtomicU64, Ordering};

use dataos_model::{fault::Fault, query::QueryFigures};

/// How a statement that was permitted ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    Failed,
    Cancelled,
}

/// Their words, in the order of the variants.
const OUTCOMES: [&str; 3] = ["ok", "failed", "cancelled"];
/// The reasons of faults that are bounds; docs/sql.md says what each bounds.
const BOUNDS: [&str; 8] = [
    "busy",
    "time_limit",
    "memory_limit",
    "result_bytes",
    "result_rows",
    "kept_queries",
    "kept_bytes",
    "sql_too_large",
];

/// Counters since the start.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    ended: [AtomicU64; OUTCOMES.len()],
    bounds_hit: [AtomicU64; BOUNDS.len()],
}

impl Figures {
    pub(crate) fn note_ended(&self, outcome: Outcome) {
        if let Some(counter) = self.ended.get(outcome as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a fault that is a bound.
    pub(crate) fn note_fault(&self, fault: &Fault) {
        let bound = BOUNDS.iter().position(|bound| *bound == fault.reason);
        if let Some(counter) = bound.and_then(|bound| self.bounds_hit.get(bound)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was counted.
    pub(crate) fn read(&self) -> QueryFigures {
        let read = |names: &[&'static str], counters: &[AtomicU64]| {
            let counts = counters
                .iter()
                .map(|counter| counter.load(Ordering::Relaxed));
            names.iter().copied().zip(counts).collect()
        };
        QueryFigures {
            ended: read(&OUTCOMES, &self.ended),
            bounds_hit: read(&BOUNDS, &self.bounds_hit),
            ..QueryFigures::default()
        }
    }
}
