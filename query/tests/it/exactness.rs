//! For each kind of source: the rows that a policy lets through are the rows for which the policy holds
//! when it is asked row by row, whatever of it the source computes.
//!
//! `DATAOS_EXACTNESS=4000` sets how many policies instead of 320 for each source, `DATAOS_SEED=7` where
//! to start.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use dataos_model::{
    predicate::{Comparison, Expression, LikePiece, Predicate, SetTest},
    value::Value,
};

use crate::{
    back_ends::{BackEnd, Columns, split},
    noninterference::Draw,
    world::World,
};

/// Policies for each source without another wish.
const POLICIES: u64 = 320;
const ROWS: i64 = 320;

/// Texts that some source takes for others: case, accents, composition, padding, wildcards, quotes.
pub(crate) const TEXTS: &[&str] = &[
    "",
    " ",
    "a",
    "A",
    "a ",
    " a",
    "a  ",
    "á",
    "a\u{301}",
    "ä",
    "ae",
    "æ",
    "ß",
    "ss",
    "SS",
    "ı",
    "i",
    "I",
    "İ",
    "%",
    "_",
    "a%",
    "a_b",
    "ab",
    "\\",
    "\\\\",
    "a\\b",
    "\\'",
    "'",
    "''",
    "' OR 1=1 --",
    "\"",
    "`",
    "a\nb",
    "a\tb",
    "日本",
    "😀",
    "0",
    "00",
    "0.0",
    "1",
    "1e0",
    "true",
    "NULL",
    "null",
    "\u{feff}a",
    "a\u{200b}",
    "ﬀ",
    "ff",
    "x'61'",
];
pub(crate) const LONGS: &[i64] = &[
    0,
    1,
    -1,
    7,
    127,
    128,
    255,
    32_767,
    65_535,
    2_147_483_647,
    -2_147_483_648,
    4_294_967_296,
    9_007_199_254_740_993,
    9_007_199_254_740_992,
    i64::MAX,
    i64::MAX - 1,
    i64::MIN,
    i64::MIN + 1,
];
/// In units of 10^-4; the column has two decimal places.
const UNITS: &[i64] = &[
    0,
    1,
    100,
    -100,
    12_300,
    -12_300,
    12_345,
    99_999_999_990_000,
    i64::MAX,
    i64::MIN,
];
const MILLISECONDS: &[i64] = &[
    0,
    1,
    -1,
    999,
    86_400_000,
    -86_400_000,
    1_709_164_800_000,
    1_709_164_800_001,
    i64::MAX,
];

pub(crate) fn pick<T: Copy>(values: &[T], row: i64, step: i64) -> Option<T> {
    let index = usize::try_from(row * step + row / 7).unwrap();
    (row % 9 != step % 9).then(|| values[index % values.len()])
}

fn day(row: i64) -> Option<i32> {
    pick(&[0, 1, -1, 19_782, -25_567, 11_016], row, 5)
}

fn instant(row: i64) -> Option<i64> {
    // MariaDB's instants begin with 1970.
    pick(
        &[
            1_000_000,
            1_000_999,
            1_001_000,
            1_709_164_800_000_000,
            1_709_164_800_000_999,
            86_400_000_000,
        ],
        row,
        7,
    )
}

fn texts(step: i64) -> ArrayRef {
    let texts = (0..ROWS).map(|row| pick(TEXTS, row, step));
    Arc::new(texts.collect::<StringArray>())
}

fn longs(step: i64) -> ArrayRef {
    let longs = (0..ROWS).map(|row| pick(LONGS, row, step));
    Arc::new(longs.collect::<Int64Array>())
}

fn flag(row: i64) -> Option<bool> {
    pick(&[true, false], row, 3)
}

/// The rows.
fn columns(has_decimals: bool) -> Columns {
    let all = || 0..ROWS;
    let instants = all().map(instant).collect::<TimestampMicrosecondArray>();
    let mut columns: Columns = vec![
        (
            "id",
            "bigint",
            Arc::new(Int64Array::from_iter_values(all())),
        ),
        ("n", "bigint", longs(1)),
        ("m", "bigint", longs(2)),
        (
            "flag",
            "boolean",
            Arc::new(all().map(flag).collect::<BooleanArray>()),
        ),
        ("name", "text", texts(1)),
        ("nick", "text", texts(4)),
        (
            "day",
            "date",
            Arc::new(all().map(day).collect::<Date32Array>()),
        ),
        ("at", "timestamptz", Arc::new(instants.with_timezone("UTC"))),
    ];
    if has_decimals {
        let prices = all().map(price).collect::<Decimal128Array>();
        let prices = prices.with_precision_and_scale(12, 2).unwrap();
        columns.push(("price", "decimal(12,2)", Arc::new(prices)));
    }
    columns
}

/// A row as a policy sees it.
fn seen(row: i64, has_decimals: bool) -> BTreeMap<String, Value> {
    let day = day(row).map(|day| Value::DateTime(i64::from(day) * 86_400_000));
    let price = price(row).filter(|_| has_decimals);
    let price = price.map(|units| Value::Decimal(i64::try_from(units * 100).unwrap()));
    let values = [
        ("id", Some(Value::Long(row))),
        ("n", pick(LONGS, row, 1).map(Value::Long)),
        ("m", pick(LONGS, row, 2).map(Value::Long)),
        ("flag", flag(row).map(Value::Bool)),
        ("name", pick(TEXTS, row, 1).map(Value::from)),
        ("nick", pick(TEXTS, row, 4).map(Value::from)),
        ("day", day),
        (
            "at",
            instant(row).map(|at| Value::DateTime(at.div_euclid(1_000))),
        ),
        ("price", price),
    ];
    let present = values.into_iter();
    present
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

fn price(row: i64) -> Option<i128> {
    pick(
        &[0, 1, 123, -123, 999_999_999_999, -999_999_999_999],
        row,
        5,
    )
}

/// A policy: what policies are mostly, conjunctions of guarded tests, and anything else.
struct Policies<'a> {
    draw: Draw,
    columns: &'a [(&'static str, &'static str)],
}

impl Policies<'_> {
    fn one<T: Clone>(&mut self, items: &[T]) -> T {
        items[usize::try_from(self.draw.below(items.len() as u64)).unwrap()].clone()
    }

    fn predicate(&mut self, depth: u32) -> Predicate {
        match self.draw.below(if depth == 0 { 3 } else { 7 }) {
            0..=2 => Predicate::Satisfied(self.expression(2)),
            3 | 4 => Predicate::all(
                (0..2)
                    .map(|_| self.predicate(depth - 1))
                    .collect::<Vec<_>>(),
            ),
            5 => Predicate::any(
                (0..2)
                    .map(|_| self.predicate(depth - 1))
                    .collect::<Vec<_>>(),
            ),
            _ => self.predicate(depth - 1).negated(),
        }
    }

    fn expression(&mut self, depth: u32) -> Expression {
        match depth {
            0 => self.test(),
            _ => match self.draw.below(7) {
                6 => Expression::If(
                    Box::new(self.test()),
                    Box::new(self.expression(depth - 1)),
                    Box::new(self.expression(depth - 1)),
                ),
                0 => Expression::And(
                    Box::new(self.expression(depth - 1)),
                    Box::new(self.expression(depth - 1)),
                ),
                1 => Expression::Or(
                    Box::new(self.expression(depth - 1)),
                    Box::new(self.expression(depth - 1)),
                ),
                2 => Expression::Not(Box::new(self.expression(depth - 1))),
                _ => self.test(),
            },
        }
    }

    fn test(&mut self) -> Expression {
        let (name, kind) = self.one(self.columns);
        let column = || Box::new(Expression::Column(name.to_owned()));
        let comparison = self.one(&[
            Comparison::Equal,
            Comparison::Equal,
            Comparison::Less,
            Comparison::LessOrEqual,
        ]);
        let literal = Box::new(Expression::Literal(self.value(kind)));
        let test = match self.draw.below(7) {
            0 if kind == "boolean" => return Expression::Column(name.to_owned()),
            0 => return Expression::Present(name.to_owned()),
            1 | 2 => Expression::Compare(comparison, column(), literal),
            3 => Expression::Compare(comparison, literal, column()),
            4 => {
                let items: BTreeSet<Value> = (0..3).map(|_| self.value(kind)).collect();
                let set = Box::new(Expression::Literal(Value::Set(items)));
                Expression::Sets(SetTest::Contains, set, column())
            }
            5 => {
                let text = LikePiece::Text(self.one(TEXTS).to_owned());
                let pieces = self.one(&[
                    vec![text.clone(), LikePiece::Any],
                    vec![LikePiece::Any, text.clone()],
                    vec![text],
                ]);
                Expression::Like(column(), pieces)
            }
            _ => {
                let (other, _) = self.one(self.columns);
                let other = Box::new(Expression::Column(other.to_owned()));
                Expression::Compare(comparison, column(), other)
            }
        };
        let guard = Box::new(Expression::Present(name.to_owned()));
        Expression::And(guard, Box::new(test))
    }

    fn value(&mut self, kind: &str) -> Value {
        match kind {
            "boolean" => Value::Bool(self.draw.one_in(2)),
            "bigint" => Value::Long(self.one(LONGS)),
            "text" => Value::from(self.one(TEXTS)),
            "decimal(12,2)" => Value::Decimal(self.one(UNITS)),
            _ => Value::DateTime(self.one(MILLISECONDS)),
        }
    }
}

/// Whether a policy with these tests passes validation: types that are compared are the same.
fn is_valid(policy: &Predicate, columns: &[(&str, &str)]) -> bool {
    match policy {
        Predicate::Constant(_) => true,
        Predicate::Satisfied(expression) => is_typed(expression, columns),
        Predicate::All(parts) | Predicate::Any(parts) => {
            parts.iter().all(|part| is_valid(part, columns))
        }
        Predicate::Not(inner) => is_valid(inner, columns),
    }
}

fn is_typed(expression: &Expression, columns: &[(&str, &str)]) -> bool {
    let kind = |expression: &Expression| match expression {
        Expression::Column(name) => {
            let column = columns.iter().find(|(column, _)| column == name);
            match column.unwrap().1 {
                "date" | "timestamptz" => "datetime",
                kind => kind,
            }
        }
        _ => "",
    };
    match expression {
        Expression::And(left, right) | Expression::Or(left, right) => {
            is_typed(left, columns) && is_typed(right, columns)
        }
        Expression::Not(inner) => is_typed(inner, columns),
        Expression::If(condition, yes, no) => {
            let mut parts = [condition, yes, no].into_iter();
            parts.all(|part| is_typed(part, columns))
        }
        // Literals are of the type of their column.
        Expression::Compare(comparison, left, right) => {
            let (left, right) = (kind(left), kind(right));
            let is_same = left == right || left.is_empty() || right.is_empty();
            let is_ordered = ![left, right]
                .iter()
                .any(|kind| matches!(*kind, "text" | "boolean"));
            is_same && (*comparison == Comparison::Equal || is_ordered)
        }
        Expression::Like(of, _) => kind(of) == "text",
        _ => true,
    }
}

async fn check(back_end: &BackEnd, seed: u64, count: u64) {
    let has_decimals = !matches!(back_end, BackEnd::Sqlite(_));
    let columns = columns(has_decimals);
    let rows: Vec<_> = (0..ROWS).map(|row| seen(row, has_decimals)).collect();
    let world = World::new();
    let (columns, arrays) = split(&columns);
    let id = back_end.fill(&world, "exact", "rows", &columns, arrays);
    let (mut split_count, mut valid_count, mut whole_count) = (0, 0, 0);
    for number in (0..count).map(|number| seed.wrapping_add(number)) {
        let mut policies = Policies {
            draw: Draw::new(number),
            columns: &columns,
        };
        let policy = policies.predicate(2);
        let expected: Vec<String> = (0..ROWS)
            .zip(&rows)
            .filter(|(_, row)| policy.holds(*row))
            .map(|(id, _)| id.to_string())
            .collect();
        split_count += u64::from(!expected.is_empty() && expected.len() < rows.len());
        world.desk.rows(&id, policy.clone());
        let here = "SELECT id FROM rows ORDER BY id";
        // Whole at the source, so that nothing filters again what it lets through.
        let there = "SELECT id, count(*) FROM rows GROUP BY id ORDER BY id";
        let is_whole = !world.made_there(there).await.unwrap().is_empty();
        let is_valid = is_valid(&policy, &columns);
        valid_count += u64::from(is_valid);
        whole_count += u64::from(is_valid && is_whole);
        for (sql, rest, is_asked) in [(here, "", true), (there, ",1", is_whole)] {
            if !is_asked {
                continue;
            }
            let rows = expected.iter().map(|id| format!("[{id}{rest}]"));
            let rows = rows.collect::<Vec<_>>().join(",");
            assert_eq!(
                world.rows(sql).await,
                format!("[{rows}]"),
                "{}: DATAOS_SEED={number}: {policy}: {sql}",
                back_end.name()
            );
        }
    }
    let name = back_end.name();
    if back_end.is_database() {
        eprintln!(
            "exactness, {name}: {whole_count} of {valid_count} valid policies go along whole"
        );
        assert!(valid_count * 5 > count, "{name}: {valid_count} of {count}");
        assert!(
            whole_count * 100 >= valid_count * 95,
            "{name}: {whole_count} of {valid_count}"
        );
    }
    let pairs = count * rows.len() as u64;
    eprintln!(
        "exactness, {name}: {pairs} pairs of policy and row, {split_count} policies split them"
    );
    // Policies that let all rows through, or none, would prove little.
    assert!(
        split_count * 5 > count * 2,
        "{name}: {split_count} of {count}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_source_gives_the_rows_that_the_policy_allows_one_by_one() {
    let wish = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let count: u64 = wish("DATAOS_EXACTNESS").unwrap_or(POLICIES);
    let seed: u64 = wish("DATAOS_SEED").unwrap_or(1);
    for back_end in BackEnd::all() {
        if let BackEnd::MySql(server) = &back_end {
            server.forget_log();
        }
        check(&back_end, seed, count).await;
        if let BackEnd::MySql(server) = &back_end {
            // Else the source computed nothing, and nothing was proven.
            let sent = server.logged("FROM `exact`.`rows` AS r0 WHERE ");
            assert!(sent.lines().count() as u64 > count / 4, "{sent}");
        }
    }
}
