//! How many rows callers see of a table, learned as they read it.
//!
//! Joins are ordered by how large tables are. A source knows how many rows it has, but hidden ones are among
//! them, and a plan made by that would tell of them. What came through a barrier to its end is what the caller
//! may count himself, and so may whoever sees the same rows: counts go by dataset and by what its visible
//! rows satisfy. A count is of the last whole read, or, until there was one, of the largest part that a
//! condition of a statement left; it is an estimate from then on. Only statements that ran to their ends teach
//! one, and none with a limit: how far reads come that are broken off is chance.
//!
//! Of columns of whole numbers that are shown as they are it is told how many values there may be between the least
//! and the greatest. The bounds themselves are not: the engine takes them for true, and they may be old.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use datafusion::{
    arrow::{
        array::{Array, AsArray, RecordBatch},
        compute,
        datatypes::{DataType, Int16Type, Int32Type, Int64Type, Schema},
    },
    common::{Statistics, stats::Precision},
    logical_expr::{Expr, Operator},
};
use dataos_model::{dataset::DatasetId, predicate::Predicate};

/// Most counts. With more they are all learned anew.
const COUNTS_MAX: usize = 10_000;
/// One of so many rows is expected to pass the conditions of a statement that are for values, and the others.
/// After P. Selinger et al., "Access Path Selection in a Relational Database Management System", 1979.
const PASSING_EQUAL: usize = 10;
const PASSING: usize = 3;

/// The rows of a dataset that some callers see.
type Seen = (DatasetId, Predicate);

/// What is known of them.
#[derive(Clone, Debug, Default)]
struct Count {
    rows: usize,
    /// Whether these were all.
    is_whole: bool,
    /// By column: how many values it may have at most.
    values: BTreeMap<String, usize>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<HashMap<Seen, Arc<Count>>>);

impl Counts {
    fn find(&self, seen: &Seen) -> Option<Arc<Count>> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(seen).cloned()
    }

    fn keep(&self, seen: &Seen, count: Count) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = counts.get_mut(seen) {
            if count.is_whole || !known.is_whole {
                *known = Arc::new(count.after(known));
            }
            return;
        }
        if counts.len() >= COUNTS_MAX {
            counts.clear();
        }
        counts.insert(seen.clone(), Arc::new(count));
    }
}

impl Count {
    /// The same with what was known before. Of columns that were not read now, that stays.
    fn after(mut self, known: &Self) -> Self {
        if !self.is_whole {
            self.rows = self.rows.max(known.rows);
        }
        for (name, values) in &known.values {
            let ours = self.values.entry(name.clone()).or_insert(*values);
            if !self.is_whole {
                *ours = (*ours).max(*values);
            }
        }
        self
    }
}

/// The counts, and of which rows a table gives.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    counts: Arc<Counts>,
    seen: Arc<Seen>,
}

impl Counted {
    pub(crate) fn new(counts: Arc<Counts>, dataset: DatasetId, rows: Predicate) -> Self {
        Self {
            counts,
            seen: Arc::new((dataset, rows)),
        }
    }

    /// What is known of these columns of the rows that `filters` leave. `plain` are columns that are shown as they
    /// are.
    pub(super) fn known(&self, schema: &Schema, plain: &[usize], filters: &[Expr]) -> Known {
        let mut expected = Statistics::new_unknown(schema);
        let Some(known) = self.counts.find(&self.seen) else {
            return Known {
                expected,
                is_all: false,
            };
        };
        let of_all = if known.is_whole { passing(filters) } else { 1 };
        expected.num_rows = Precision::Inexact(known.rows.div_ceil(of_all));
        let mut is_all = known.is_whole || !filters.is_empty();
        let counted = plain.iter().copied().filter(|at| is_counted(schema, *at));
        for at in counted {
            let field = schema.fields().get(at);
            let values = field.and_then(|field| known.values.get(field.name()));
            let column = expected.column_statistics.get_mut(at);
            match (values, column) {
                (Some(values), Some(column)) => column.distinct_count = Precision::Inexact(*values),
                _ => is_all = false,
            }
        }
        Known { expected, is_all }
    }

    /// Counts the rows of one read, of all of them or of those that a condition leaves. `plain` are columns that are
    /// shown as they are.
    pub(super) fn reading(&self, schema: &Schema, plain: &[usize], is_whole: bool) -> Reading {
        let columns = plain.iter().copied().filter(|at| is_counted(schema, *at));
        let columns = columns.map(|at| (at, schema.field(at).name().clone()));
        Reading::of(self.clone(), columns.collect(), is_whole)
    }
}

/// What is known before a read.
pub(super) struct Known {
    pub(super) expected: Statistics,
    /// Whether the read has nothing to teach.
    pub(super) is_all: bool,
}

/// One read, by partitions.
#[derive(Debug)]
pub(super) struct Reading {
    counted: Counted,
    is_whole: bool,
    /// Whether rows may be left out by what operators find out as they run.
    is_narrowed: AtomicBool,
    rows: AtomicUsize,
    /// Partitions that were read to their ends.
    ended: AtomicUsize,
    /// Places and names of columns whose values are counted.
    columns: Arc<[(usize, String)]>,
    /// The least and the greatest value of each of them so far.
    bounds: Mutex<Vec<Option<(i64, i64)>>>,
}

impl Reading {
    fn of(counted: Counted, columns: Arc<[(usize, String)]>, is_whole: bool) -> Self {
        Self {
            counted,
            is_whole,
            is_narrowed: AtomicBool::new(false),
            rows: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            bounds: Mutex::new(vec![None; columns.len()]),
            columns,
        }
    }

    /// The same read of another plan.
    pub(super) fn again(&self) -> Self {
        let (counted, columns) = (self.counted.clone(), Arc::clone(&self.columns));
        Self {
            is_narrowed: AtomicBool::new(self.is_narrowed.load(Ordering::Relaxed)),
            ..Self::of(counted, columns, self.is_whole)
        }
    }

    /// From now on rows may be left out.
    pub(super) fn narrow(&self) {
        self.is_narrowed.store(true, Ordering::Relaxed);
    }

    /// These rows passed.
    pub(super) fn pass(&self, batch: &RecordBatch) {
        if self.is_narrowed.load(Ordering::Relaxed) {
            return;
        }
        self.rows.fetch_add(batch.num_rows(), Ordering::Relaxed);
        // Before the lock: partitions are read side by side.
        let columns = self.columns.iter();
        let found = columns.map(|(at, _)| bounds_of(batch.columns().get(*at)?));
        let found: Vec<Option<(i64, i64)>> = found.collect();
        let mut bounds = self.bounds.lock().unwrap_or_else(PoisonError::into_inner);
        for (bounds, found) in bounds.iter_mut().zip(found) {
            *bounds = match (*bounds, found) {
                (Some((low, high)), Some((least, greatest))) => {
                    Some((low.min(least), high.max(greatest)))
                }
                (known, found) => found.or(known),
            };
        }
    }

    /// A partition was read to its end.
    pub(super) fn end(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// Keeps what was counted, if all of so many partitions were read to their ends.
    pub(super) fn keep(&self, partition_count: usize) {
        let is_over = self.ended.load(Ordering::Relaxed) == partition_count;
        if !is_over || self.is_narrowed.load(Ordering::Relaxed) {
            return;
        }
        let rows = self.rows.load(Ordering::Relaxed);
        let bounds = self.bounds.lock().unwrap_or_else(PoisonError::into_inner);
        let columns = self.columns.iter().zip(bounds.iter());
        let values = columns.map(|((_, name), bounds)| {
            let between = bounds.map_or(0, |(least, greatest)| greatest.abs_diff(least));
            let between = usize::try_from(between).unwrap_or(usize::MAX);
            (name.clone(), between.saturating_add(1).min(rows))
        });
        let count = Count {
            rows,
            is_whole: self.is_whole,
            values: values.collect(),
        };
        self.counted.counts.keep(&self.counted.seen, count);
    }
}

/// Of how many rows one is expected to pass.
pub(crate) fn passing(filters: &[Expr]) -> usize {
    let for_values = filters.iter().filter(|filter| is_for_value(filter)).count();
    let equal = if for_values > 0 { PASSING_EQUAL } else { 1 };
    let other = if for_values < filters.len() {
        PASSING
    } else {
        1
    };
    equal * other
}

/// Whether a condition is for one value of a column or for one of several. Its depth is that of the statement.
fn is_for_value(filter: &Expr) -> bool {
    match filter {
        Expr::BinaryExpr(binary) => match binary.op {
            Operator::Eq => true,
            Operator::Or => is_for_value(&binary.left) && is_for_value(&binary.right),
            _ => false,
        },
        Expr::InList(list) => !list.negated,
        Expr::IsNull(_) => true,
        _ => false,
    }
}

/// Whether values of a column are counted.
fn is_counted(schema: &Schema, at: usize) -> bool {
    let field = schema.fields().get(at);
    field.is_some_and(|field| {
        matches!(
            field.data_type(),
            DataType::Int16 | DataType::Int32 | DataType::Int64
        )
    })
}

/// The least and the greatest of whole numbers.
fn bounds_of(array: &dyn Array) -> Option<(i64, i64)> {
    macro_rules! bounds {
        ($type:ty) => {{
            let array = array.as_primitive_opt::<$type>()?;
            (compute::min(array)?.into(), compute::max(array)?.into())
        }};
    }
    Some(match array.data_type() {
        DataType::Int16 => bounds!(Int16Type),
        DataType::Int32 => bounds!(Int32Type),
        DataType::Int64 => bounds!(Int64Type),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    #[test]
    fn conditions_for_values_leave_less_than_others_and_both_the_least() {
        let value = || col("a").eq(lit(1)).or(col("a").eq(lit(2)));
        let listed = || col("a").in_list(vec![lit(1), lit(2)], false);
        let range = || col("b").gt(lit(1));
        assert_eq!(passing(&[]), 1);
        assert_eq!(passing(&[range(), range()]), PASSING);
        assert_eq!(passing(&[value().or(range())]), PASSING);
        assert_eq!(passing(&[value(), listed()]), PASSING_EQUAL);
        assert_eq!(passing(&[range(), value()]), PASSING * PASSING_EQUAL);
    }
}
