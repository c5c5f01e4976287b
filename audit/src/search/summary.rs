//! Counting: entries that are not sealed are read, packs are counted by their sets.

use std::{collections::HashMap, sync::Arc};

use dataos_model::{
    clock::Timestamp,
    fault::Fault,
    record::{
        RecordQuery, RecordSummary, SUMMARY_BARS_MAX, SUMMARY_TEXTS_MAX, StoredEntry, TextCount,
        TimeBar,
    },
};

use super::Reader;
use crate::sealed::{
    BLOCK_ROWS,
    index::{Field, Term},
    pack::Pack,
    postings::RowSet,
};

/// Most entries that one summary reads: all that usually are not sealed yet, in about two seconds.
const SUMMARY_ENTRIES_MAX: usize = 2 << 20;

/// Different texts of a field that are counted; what else there is is rare.
const TEXTS_COUNTED_MAX: usize = 100_000;

/// Entries of packs whose sets are intersected for one summary.
const PACK_ENTRIES_COUNTED_MAX: u64 = 1 << 27;

/// What was counted so far.
struct Counter {
    total: u64,
    is_complete: bool,
    texts: [HashMap<String, u64>; Field::ALL.len()],
    bars: Bars,
}

/// The histogram.
struct Bars {
    start_ms: i64,
    width_ms: i64,
    counts: Vec<u64>,
}

impl Reader {
    /// What the entries are that match a query.
    pub(crate) fn summary(&self, query: &RecordQuery) -> Result<RecordSummary, Fault> {
        let (sealed, packs, times) = self.with_view(|view| {
            let times = view.times();
            (view.sealed(), view.packs().to_vec(), times)
        });
        let query = &RecordQuery {
            before: None,
            after: None,
            limit: 0,
            ..query.clone()
        };
        let Some((oldest, newest)) = times else {
            return Ok(RecordSummary {
                is_complete: true,
                ..RecordSummary::default()
            });
        };
        let start = query.from.map_or(oldest, |from| from.0);
        let end = query.to.map_or(newest.saturating_add(1), |to| to.0);
        let mut counter = Counter::new(start, end);
        let mut budget = SUMMARY_ENTRIES_MAX;
        self.count_tail(query, sealed, &mut budget, &mut counter)?;
        let by_reading =
            query.text.is_some() || query.request_id.is_some() || query.trace.is_some();
        let mut counted = 0;
        for pack in packs.iter().rev() {
            let is_outside = query.from.is_some_and(|from| pack.last_time_ms() < from.0)
                || query.to.is_some_and(|to| pack.first_time_ms() >= to.0);
            if is_outside {
                continue;
            }
            if !counter.is_complete || counted >= PACK_ENTRIES_COUNTED_MAX {
                counter.is_complete = false;
                break;
            }
            if by_reading {
                let take = &mut |stored: StoredEntry| {
                    counter.add(&stored);
                    true
                };
                let all = (0..u64::MAX, usize::MAX);
                let stopped = self.visit_pack(pack, query, all, &mut budget, take)?;
                counter.is_complete = stopped.is_none_or(|at| at == pack.first());
            } else if self.count_pack(pack, query, &mut counter)? {
                counted += u64::from(pack.index.count);
            }
        }
        Ok(counter.finish())
    }

    /// Counts what is not sealed, newest first.
    fn count_tail(
        &self,
        query: &RecordQuery,
        sealed: u64,
        budget: &mut usize,
        counter: &mut Counter,
    ) -> Result<(), Fault> {
        let rest = self.visit(query, (sealed, usize::MAX), budget, &mut |stored| {
            counter.add(&stored);
            true
        })?;
        counter.is_complete = rest.is_none();
        Ok(())
    }

    /// Counts a pack by its sets; false if that needed no set of other fields.
    fn count_pack(
        &self,
        pack: &Arc<Pack>,
        query: &RecordQuery,
        counter: &mut Counter,
    ) -> Result<bool, Fault> {
        let mut rows = self.candidates(pack, query)?;
        if let Some(from) = query.from {
            rows.remove_range(..self.rows_before(pack, from.0)?);
        }
        if let Some(to) = query.to {
            rows.remove_range(self.rows_before(pack, to.0)?..);
        }
        if rows.is_empty() {
            return Ok(false);
        }
        counter.total += rows.len();
        let mut start = 0;
        for (bar, end_ms) in counter
            .bars
            .within(pack.first_time_ms(), pack.last_time_ms())
        {
            let end = match end_ms {
                Some(end_ms) => self.rows_before(pack, end_ms)?,
                None => pack.index.count,
            };
            if let Some(count) = counter.bars.counts.get_mut(bar) {
                *count += rows.range_cardinality(start..end.max(start));
            }
            start = end.max(start);
        }
        let is_whole = rows.len() == u64::from(pack.index.count);
        let rows = (!is_whole).then(|| RowSet::new(rows, pack.index.count));
        let counts = self.with_index(pack, |pack| {
            let index = &pack.index;
            let sets = match &rows {
                Some(_) => index.all_sets()?,
                None => Vec::new(),
            };
            let mut counts: Vec<(Term, u64)> = Vec::new();
            for term in index.all_terms()? {
                let count = match &rows {
                    Some(rows) => index.count_in(&term, rows, &sets)?,
                    None => u64::from(term.count),
                };
                if count > 0 {
                    counts.push((term, count));
                }
            }
            Ok(counts)
        })?;
        for (term, count) in counts {
            counter.add_text(term.field, &term.text, count);
        }
        Ok(!is_whole)
    }

    /// The number of rows of a pack that are older than a time.
    fn rows_before(&self, pack: &Pack, time_ms: i64) -> Result<u32, Fault> {
        let blocks = &pack.index.blocks;
        let block = blocks.partition_point(|(_, last)| *last < time_ms);
        let number = u32::try_from(block).unwrap_or(u32::MAX);
        match blocks.get(block) {
            Some((first, _)) if *first < time_ms => {
                let times = self.times(pack, number)?;
                let older = times.partition_point(|time| *time < time_ms);
                Ok(number * BLOCK_ROWS + u32::try_from(older).unwrap_or(u32::MAX))
            }
            _ => Ok(number.saturating_mul(BLOCK_ROWS)),
        }
    }
}

impl Counter {
    fn new(start_ms: i64, end_ms: i64) -> Self {
        Self {
            total: 0,
            is_complete: true,
            texts: Default::default(),
            bars: Bars::new(start_ms, end_ms),
        }
    }

    fn add(&mut self, stored: &StoredEntry) {
        let entry = &stored.entry;
        self.total += 1;
        self.bars.add(stored.time.0);
        self.add_text(Field::Kind, entry.kind.name(), 1);
        if let Some(effect) = entry.effect {
            self.add_text(Field::Effect, effect.name(), 1);
        }
        self.add_text(Field::Action, &entry.action, 1);
        self.add_text(Field::Principal, &entry.principal, 1);
        self.add_text(Field::Resource, &entry.resource, 1);
        let mut policies: Vec<&String> = entry.policies.iter().collect();
        policies.sort_unstable();
        policies.dedup();
        for policy in policies {
            self.add_text(Field::Policy, policy, 1);
        }
    }

    fn add_text(&mut self, field: Field, text: &str, count: u64) {
        let Some(texts) = self
            .texts
            .get_mut(field as usize)
            .filter(|_| !text.is_empty())
        else {
            return;
        };
        if let Some(sum) = texts.get_mut(text) {
            *sum += count;
        } else if texts.len() < TEXTS_COUNTED_MAX {
            texts.insert(text.to_owned(), count);
        } else {
            self.is_complete = false;
        }
    }

    fn finish(self) -> RecordSummary {
        let [kinds, effects, actions, principals, resources, policies] =
            self.texts.map(most_frequent);
        RecordSummary {
            total: self.total,
            is_complete: self.is_complete,
            kinds,
            effects,
            actions,
            principals,
            resources,
            policies,
            histogram: self.bars.finish(),
        }
    }
}

fn most_frequent(texts: HashMap<String, u64>) -> Vec<TextCount> {
    let texts = texts.into_iter();
    let mut counts: Vec<TextCount> = texts
        .map(|(text, count)| TextCount { text, count })
        .collect();
    counts.sort_unstable_by(|a, b| (b.count, &a.text).cmp(&(a.count, &b.text)));
    counts.truncate(SUMMARY_TEXTS_MAX);
    counts
}

impl Bars {
    fn new(start_ms: i64, end_ms: i64) -> Self {
        let span = end_ms.saturating_sub(start_ms).max(1);
        let bars = i64::try_from(SUMMARY_BARS_MAX).unwrap_or(1);
        let width_ms = (span - 1) / bars + 1;
        let count = usize::try_from((span - 1) / width_ms + 1).unwrap_or(1);
        Self {
            start_ms,
            width_ms,
            counts: vec![0; count.min(SUMMARY_BARS_MAX)],
        }
    }

    fn of(&self, time_ms: i64) -> usize {
        let bar = time_ms.saturating_sub(self.start_ms) / self.width_ms;
        usize::try_from(bar)
            .unwrap_or(0)
            .min(self.counts.len().saturating_sub(1))
    }

    fn add(&mut self, time_ms: i64) {
        let bar = self.of(time_ms);
        if let Some(count) = self.counts.get_mut(bar) {
            *count += 1;
        }
    }

    /// The bars that reach into a span, each with its end; none for the last bar.
    fn within(&self, first_ms: i64, last_ms: i64) -> Vec<(usize, Option<i64>)> {
        let bars = self.of(first_ms)..=self.of(last_ms);
        bars.map(|bar| {
            (
                bar,
                (bar + 1 < self.counts.len()).then(|| self.start_of(bar + 1)),
            )
        })
        .collect()
    }

    fn start_of(&self, bar: usize) -> i64 {
        let offset = i64::try_from(bar)
            .unwrap_or(i64::MAX)
            .saturating_mul(self.width_ms);
        self.start_ms.saturating_add(offset)
    }

    fn finish(self) -> Vec<TimeBar> {
        let starts = (0..self.counts.len()).map(|bar| Timestamp(self.start_of(bar)));
        starts
            .zip(&self.counts)
            .map(|(from, count)| TimeBar {
                from,
                count: *count,
            })
            .collect()
    }
}
