//! Whether the committer rests before it takes what waits, so that more of them share a signature and a sync.
//!
//! Where a sync takes less than a signature and two system calls, batches of whatever came meanwhile are of two or
//! three, and cost as much as their entries. That is well as long as few come: each is durable soonest. When many
//! come, their cost is what holds them up. How many would come while one batch is written, were it not for rests,
//! tells the two apart.

use std::time::{Duration, Instant};

/// The committer rests while at least so many entries come during the writing of one batch.
const BUSY_ENTRIES: f64 = 3.0;

/// Weight of the newest batch in the averages.
const WEIGHT: f64 = 1.0 / 16.0;

/// What the committer's own thread has seen of late, on average of its batches.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Number of entries of a batch.
    entries: f64,
    /// Seconds from one batch to the next, waiting included.
    round_s: f64,
    /// Seconds that one is written.
    work_s: f64,
    took_at: Option<Instant>,
}

impl Pace {
    /// Whether to rest now.
    pub(crate) fn rests(&self) -> bool {
        self.entries * self.work_s > BUSY_ENTRIES * self.round_s
    }

    /// A batch of so many entries was taken.
    pub(crate) fn took(&mut self, entries: usize) {
        self.took_after(entries, Instant::now());
    }

    /// It is written.
    pub(crate) fn committed(&mut self) {
        let work = self.took_at.map(|took_at| took_at.elapsed());
        self.worked(work.unwrap_or_default());
    }

    fn took_after(&mut self, entries: usize, now: Instant) {
        if let Some(before) = self.took_at.replace(now) {
            average(&mut self.entries, entries as f64);
            average(&mut self.round_s, (now - before).as_secs_f64());
        }
    }

    fn worked(&mut self, work: Duration) {
        average(&mut self.work_s, work.as_secs_f64());
    }
}

fn average(of: &mut f64, newest: f64) {
    *of += WEIGHT * (newest - *of);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it rests after many batches of so many entries, so long from one to the next, so long written.
    fn rests(entries: usize, round_us: u64, work_us: u64) -> bool {
        let mut pace = Pace::default();
        let mut now = Instant::now();
        for _ in 0..200 {
            now += Duration::from_micros(round_us);
            pace.took_after(entries, now);
            pace.worked(Duration::from_micros(work_us));
        }
        pace.rests()
    }

    #[test]
    fn it_rests_when_many_come_and_not_when_few_do() {
        assert!(!Pace::default().rests());
        // 1 000 and 12 000 a second, each batch written in 150 us.
        assert!(!rests(1, 1000, 150));
        assert!(!rests(2, 166, 150));
        // 40 000 a second: as they come, and in the batches that rests make of them.
        assert!(rests(6, 150, 150));
        assert!(rests(16, 400, 150));
        // The batches of rests, but fewer come: the rests have made them.
        assert!(!rests(4, 450, 150));
    }
}
