//! Groups that a source makes are the groups that the engine makes of its rows: random statements under
//! random policies over tables of each kind of database, one or several joined, against the same over files.
//!
//! `DATAOS_GROUPS=10000` sets how many statements instead of 400 for each database, `DATAOS_SEED=7` where to
//! start.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int16Array,
    Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use dataos_model::{dataset::DatasetId, predicate::Predicate, seams::RunQuery};
use dataos_query::QueryConfig;

use crate::{
    back_ends::{BackEnd, Columns, split},
    exactness::{LONGS, TEXTS, pick},
    noninterference::Draw,
    world::{World, equals},
};

/// Statements for each database without another wish.
const STATEMENTS: u64 = 400;
const ROWS: i64 = 300;
/// Of so many of them a second table has the same, to be joined with the first.
const OTHER_ROWS: usize = 40;

fn all<T>(value: impl Fn(i64) -> Option<T>) -> impl Iterator<Item = Option<T>> {
    (0..ROWS).map(value)
}

fn decimals(precision: u8, scale: i8, units: &[i128]) -> ArrayRef {
    let units = all(|row| pick(units, row, 5)).collect::<Decimal128Array>();
    Arc::new(units.with_precision_and_scale(precision, scale).unwrap())
}

/// Columns that every kind of database has.
pub(crate) fn common() -> Columns {
    let texts = |step| Arc::new(all(|row| pick(TEXTS, row, step)).collect::<StringArray>());
    let regions = all(|row| pick(&["EMEA", "emea", "EMEA ", "AMER"], row, 3));
    let instants = all(|row| pick(&[1_000_000, 1_000_999, 1_709_164_800_000_999], row, 7));
    let instants = instants.collect::<TimestampMicrosecondArray>();
    let uids = all(|row| Some(format!("a0eebc99-9c0b-4ef8-bb6d-{:012x}", row % 5)));
    vec![
        ("id", "bigint", Arc::new(all(Some).collect::<Int64Array>())),
        (
            "k",
            "bigint",
            Arc::new(all(|row| pick(&[1, 2, -3, 5], row, 1)).collect::<Int64Array>()),
        ),
        (
            "n",
            "bigint",
            Arc::new(all(|row| pick(LONGS, row, 1)).collect::<Int64Array>()),
        ),
        (
            "flag",
            "boolean",
            Arc::new(all(|row| pick(&[true, false], row, 3)).collect::<BooleanArray>()),
        ),
        ("name", "text", texts(1)),
        ("region", "text", Arc::new(regions.collect::<StringArray>())),
        (
            "day",
            "date",
            Arc::new(all(|row| pick(&[0, -25_567, 19_782], row, 5)).collect::<Date32Array>()),
        ),
        ("at", "timestamptz", Arc::new(instants.with_timezone("UTC"))),
        ("uid", "uuid", Arc::new(uids.collect::<StringArray>())),
        (
            "ratio",
            "double",
            Arc::new(all(|row| pick(&[0.5, 0.0, 1e300], row, 2)).collect::<Float64Array>()),
        ),
        (
            "bytes",
            "binary",
            Arc::new(all(|row| Some(vec![0, (row % 3) as u8])).collect::<BinaryArray>()),
        ),
    ]
}

/// Columns that SQLite has no exact form for.
fn others() -> Columns {
    vec![
        (
            "small",
            "smallint",
            Arc::new(all(|row| pick(&[i16::MIN, i16::MAX, 7], row, 4)).collect::<Int16Array>()),
        ),
        (
            "middle",
            "integer",
            Arc::new(all(|row| pick(&[i32::MIN, i32::MAX, 7], row, 4)).collect::<Int32Array>()),
        ),
        (
            "price",
            "decimal(12,2)",
            decimals(12, 2, &[0, 1, -1, 999_999_999_999, -999_999_999_999, 150]),
        ),
        (
            "wide",
            "decimal(38,3)",
            decimals(38, 3, &[10_i128.pow(38) - 1, 1, -10_i128.pow(37)]),
        ),
        (
            "rate",
            "decimal(4,2)",
            decimals(4, 2, &[5, 0, -7, 9_999, 100, -9_999, 8]),
        ),
        (
            "amount",
            "decimal(15,2)",
            decimals(
                15,
                2,
                &[1, 999_999_999_999_999, -1, 12_345, 0, -999_999_999_999_999],
            ),
        ),
    ]
}

/// All columns that a kind of database has some exact form for.
pub(crate) fn columns(back_end: &BackEnd) -> Columns {
    let mut columns = common();
    if !matches!(back_end, BackEnd::Sqlite(_)) {
        columns.extend(others());
    }
    columns
}

/// Names of all columns but those that are calculated with alone.
pub(crate) fn names(columns: &Columns) -> Vec<&'static str> {
    let names = columns.iter().map(|(name, _, _)| *name);
    names
        .filter(|name| !matches!(*name, "rate" | "amount"))
        .collect()
}

/// Writes statements over a table `t` of some columns, or over joins of it and of `d`, which has the same.
pub(crate) struct Statements<'a> {
    pub(crate) draw: Draw,
    names: &'a [&'static str],
    /// What stands before the names: of each relation that the statement reads.
    relations: &'static [&'static str],
    /// Whether a total is of more than a column, or a mean.
    is_calculated: bool,
}

/// What totals are calculated of; the last are made here, for they could overflow or have no exact form.
const TERMS: &[&str] = &[
    "{}price * (1 - {}rate)",
    "{}price * (1 - {}rate) * (1 + {}rate)",
    "{}price + {}rate",
    "{}price - {}n",
    "CAST({}small AS bigint) * {}middle",
    "CAST({}middle AS bigint) - {}small",
    "{}small + 1",
    "2 * {}rate - {}small",
    "{}amount * (3 - {}rate)",
    "{}amount * {}price * (1 + {}rate)",
    "CAST({}price AS decimal(14,4)) * -3",
    "{}rate * CAST(1.25 AS decimal(3,2))",
    "CAST({}k AS decimal(20,0)) * {}rate",
    "{}amount * {}amount * {}rate * {}rate",
    "{}wide * {}rate",
    "{}wide + {}price",
    "{}small * {}middle",
    "{}n + 1",
    "-{}price",
    "CASE WHEN {}k > 1 THEN {}price ELSE 0 END",
    "CASE WHEN {}name = 'a' THEN 1 ELSE 0 END",
    "CASE WHEN {}flag THEN {}rate WHEN {}n < {}k THEN {}price * (1 - {}rate) END",
    "CASE WHEN {}name LIKE 'a%' OR {}region = 'EMEA' THEN 2 END",
    "{}rate * CASE WHEN {}day >= DATE '2000-01-01' THEN {}price ELSE -{}rate END",
    "extract(year FROM {}day)",
    "extract(month FROM {}day) * {}small",
    "CASE WHEN {}name < 'b' THEN 1 ELSE 0 END",
];
/// The same of integers alone.
const TERMS_OF_INTEGERS: &[&str] = &[
    "{}k * 2",
    "{}id - {}k",
    "{}id + 1",
    "CASE WHEN {}k = 2 THEN 1 ELSE 0 END",
    "CASE WHEN {}flag THEN 2 WHEN {}name IN ('a ', 'ss') THEN -3 END",
    "CASE WHEN {}name LIKE '%s' AND {}n > {}k THEN 1 END",
    "CASE WHEN {}day > DATE '1950-01-01' THEN {}id ELSE 0 END",
];

impl<'a> Statements<'a> {
    pub(crate) fn new(number: u64, names: &'a [&'static str]) -> Self {
        Self {
            draw: Draw::new(number),
            names,
            relations: &[],
            is_calculated: false,
        }
    }

    /// Whether what was read last is a join.
    pub(crate) fn is_joined(&self) -> bool {
        self.relations.len() > 1
    }

    /// Often one that every database joins by.
    fn bare(&mut self) -> &'static str {
        if self.draw.one_in(2) {
            return self.draw.of(&["id", "k", "n"]);
        }
        let names = self.names;
        names[usize::try_from(self.draw.below(names.len() as u64)).unwrap()]
    }

    fn relation(&mut self) -> &'static str {
        let relations = self.relations;
        relations[usize::try_from(self.draw.below(relations.len() as u64)).unwrap()]
    }

    pub(crate) fn name(&mut self) -> String {
        let (relation, name) = (self.relation(), self.bare());
        format!("{relation}{name}")
    }

    pub(crate) fn total(&mut self) -> String {
        let name = self.name();
        match self.draw.below(12) {
            0 | 1 => "count(*)".to_owned(),
            8 | 9 => self.of_term(),
            10 | 11 => self.mean(),
            2 => format!("count({name})"),
            3 => format!("min({name})"),
            4 => format!("max({name})"),
            5 => format!("count(DISTINCT {name})"),
            _ => {
                let summed = self.draw.of(&["id", "k", "n"]);
                let has_more = self.has_decimals();
                let more = self.draw.of(&["small", "middle", "price"]);
                let summed = if has_more && self.draw.one_in(2) {
                    more
                } else {
                    summed
                };
                format!("sum({}{summed})", self.relation())
            }
        }
    }

    fn has_decimals(&self) -> bool {
        self.names.contains(&"price")
    }

    /// A pattern over columns of the relations.
    fn filled(&mut self, pattern: &str) -> String {
        let mut parts = pattern.split("{}");
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |filled, part| {
            format!("{filled}{}{part}", self.relation())
        })
    }

    fn of_term(&mut self) -> String {
        self.is_calculated = true;
        let terms = match self.has_decimals() {
            true => TERMS,
            false => TERMS_OF_INTEGERS,
        };
        let term = self.draw.of(terms);
        let term = self.filled(term);
        let function = self.draw.of(&["sum", "sum", "min", "max", "count"]);
        format!("{function}({term})")
    }

    /// Of integers so that they are exact in every order of the rows, but for those of one table.
    fn mean(&mut self) -> String {
        self.is_calculated = true;
        let integers: &[&str] = match self.is_joined() {
            true => &["{}id", "{}k"],
            false => &["{}id", "{}k", "{}n"],
        };
        let decimals = &[
            "{}small",
            "CAST({}middle AS bigint) - {}small",
            "{}price",
            "{}rate",
            "{}amount",
            "{}wide",
            "{}price * (1 - {}rate)",
            "{}amount * (1 - {}rate) * (1 + {}rate)",
            "CAST({}n AS decimal(20,0)) * {}rate",
        ];
        let has_more = self.has_decimals() && !self.draw.one_in(3);
        let of = match has_more {
            true => self.draw.of(decimals),
            false => self.draw.of(integers),
        };
        format!("avg({})", self.filled(of))
    }

    fn condition(&mut self) -> String {
        let test = self.draw.of(&[
            "{}k = 2",
            "{}k > 1",
            "{}n <= 9007199254740993",
            "{}n = -9223372036854775808 OR {}n = 7",
            "{}name = 'a'",
            "{}name IN ('a ', 'A', 'ss')",
            "{}region = 'EMEA'",
            "{}flag = true",
            "{}region IS NOT NULL",
            "{}id < 200",
            "{}k <> 2",
            "{}flag",
            "{}region IS NULL",
            "{}name LIKE 'a%'",
            "{}name NOT LIKE '%s'",
            "{}name LIKE '%a%' OR {}name LIKE 'S%s'",
            "{}day < DATE '2024-02-29' OR {}day IS NULL",
            "{}day <> DATE '1970-01-01'",
            "{}at >= TIMESTAMP '2024-02-28 00:00:00Z'",
            "{}at = '1970-01-01T00:00:01.000999Z'",
            "{}k < {}id",
            "{}n <> {}k AND NOT {}flag",
            "{}k = 2 OR {}k = -3 AND {}region = 'AMER'",
            // These stay here.
            "{}id % 2 = 0",
            "{}name LIKE 'a_'",
            "{}name < {}region",
        ]);
        self.filled(test)
    }

    /// Columns of `a` and `b` that are equal.
    fn pair(&mut self) -> String {
        let bare = self.bare();
        match self.draw.below(6) {
            0 => "a.id = b.id".to_owned(),
            1 => "a.k = b.id".to_owned(),
            2 => "a.n = b.k".to_owned(),
            _ => format!("a.{bare} = b.{bare}"),
        }
    }

    /// FROM and WHERE.
    pub(crate) fn rows(&mut self) -> String {
        let (from, condition) = self.from();
        let mut conditions: Vec<String> = condition.into_iter().collect();
        if !self.draw.one_in(3) {
            conditions.extend((0..=self.draw.below(2)).map(|_| format!("({})", self.condition())));
        }
        if self.draw.one_in(3) {
            conditions.push(self.met());
        }
        match conditions.as_slice() {
            [] => from,
            conditions => format!("{from} WHERE {}", conditions.join(" AND ")),
        }
    }

    /// That rows of another table are met, or are not.
    fn met(&mut self) -> String {
        let (inner, table) = (self.bare(), self.draw.of(&["t", "d"]));
        let outer = format!("{}{inner}", self.relation());
        let relations = std::mem::replace(&mut self.relations, &["e."]);
        let mut condition = match self.draw.one_in(2) {
            true => format!(" AND ({})", self.condition()),
            false => String::new(),
        };
        self.relations = relations;
        if self.draw.one_in(4) {
            condition = format!("{condition} AND e.id <> {}id", self.relation());
        }
        let not = self.draw.of(&["", "NOT "]);
        match self.draw.below(5) {
            0 | 1 => format!(
                "{outer} {not}IN (SELECT e.{inner} FROM {table} AS e WHERE e.id > 3{condition})"
            ),
            2 => format!(
                "{not}EXISTS (SELECT 1 FROM {table} AS e JOIN d AS f ON e.id = f.id WHERE e.{inner} = {outer}{condition})"
            ),
            _ => format!(
                "{not}EXISTS (SELECT 1 FROM {table} AS e WHERE e.{inner} = {outer}{condition})"
            ),
        }
    }

    /// What is read, and a condition on it.
    fn from(&mut self) -> (String, Option<String>) {
        self.relations = &[""];
        if self.draw.one_in(2) {
            return ("t".to_owned(), None);
        }
        self.relations = &["a.", "b."];
        let (left, right) = self
            .draw
            .of(&[&("t", "d"), &("d", "t"), &("t", "t"), &("d", "d")]);
        let pair = self.pair();
        match self.draw.below(8) {
            0 => (format!("{left} AS a, {right} AS b"), Some(pair)),
            1 => (
                format!("{left} AS a LEFT JOIN {right} AS b ON {pair}"),
                None,
            ),
            2 => {
                let other = self.pair();
                (
                    format!("{left} AS a JOIN {right} AS b ON {pair} AND {other}"),
                    None,
                )
            }
            3 => {
                let condition = self.condition();
                (
                    format!("{left} AS a JOIN {right} AS b ON {pair} AND ({condition})"),
                    None,
                )
            }
            4 => (
                format!("{left} AS a JOIN {right} AS b ON {pair} AND a.id < b.id"),
                None,
            ),
            5 => {
                self.relations = &["a.", "b.", "c."];
                let third =
                    format!("{left} AS a JOIN {right} AS b ON {pair} JOIN d AS c ON b.id = c.id");
                (third, None)
            }
            _ => (format!("{left} AS a JOIN {right} AS b ON {pair}"), None),
        }
    }

    /// Keys and totals; of some statements such as all databases have a form for, and only what is calculated.
    fn items(&mut self) -> (Vec<String>, Vec<String>) {
        if self.draw.one_in(3) {
            let keys = (0..self.draw.below(2)).map(|_| match self.draw.below(6) {
                0 => self.filled("extract(year FROM {}day)"),
                1 => self.filled("{}k * 2 - 1"),
                2 => self.filled("CASE WHEN {}k > {}id THEN {}k ELSE 7 END"),
                _ => self.filled("{}k"),
            });
            let keys = keys.collect();
            let totals = (0..=self.draw.below(2)).map(|_| match self.draw.one_in(2) {
                true => self.of_term(),
                false => self.mean(),
            });
            return (keys, totals.collect());
        }
        let keys = (0..self.draw.below(3)).map(|_| self.name()).collect();
        let totals = (0..=self.draw.below(3)).map(|_| self.total());
        (keys, totals.collect())
    }

    /// A statement; whether it joins, and whether it calculates.
    fn statement(mut self) -> (String, bool, bool) {
        let rows = self.rows();
        let (keys, totals) = self.items();
        let items = keys.iter().chain(&totals).enumerate();
        let items = items.map(|(at, item)| format!("{item} AS c{at}"));
        let items = items.collect::<Vec<_>>().join(", ");
        let mut sql = format!("SELECT {items} FROM {rows}");
        if !keys.is_empty() {
            sql = format!("{sql} GROUP BY {}", keys.join(", "));
        }
        let sql = match self.draw.below(7) {
            0 => format!("{sql} HAVING count(*) > 20"),
            1 => format!("SELECT count(*), max(c0) FROM ({sql}) AS s"),
            2 => format!(
                "SELECT s.c0, u.n FROM ({sql}) AS s LEFT JOIN t AS u ON s.c0 IS NOT NULL AND u.id = 3"
            ),
            3 => format!("SELECT DISTINCT {} FROM {rows}", self.name()),
            4 => {
                let (key, counted, summed) = (self.name(), self.name(), self.total());
                format!(
                    "SELECT {key}, count(DISTINCT {counted}), {summed} FROM {rows} GROUP BY {key}"
                )
            }
            _ => sql,
        };
        (sql, self.is_joined(), self.is_calculated)
    }
}

/// What the caller may see of both tables.
pub(crate) fn govern((world, ids): &(World, [DatasetId; 2]), number: u64) {
    for (id, number) in ids.iter().zip([number, number / 5]) {
        govern_one(world, id, number);
    }
}

fn govern_one(world: &World, id: &DatasetId, number: u64) {
    world.desk.rows(
        id,
        match number % 4 {
            0 => Predicate::ALWAYS,
            1 => equals("region", "EMEA"),
            2 => Predicate::all([equals("k", 2), equals("flag", true)]),
            _ => equals("region", "EMEA").negated(),
        },
    );
    if number.is_multiple_of(3) {
        world.desk.mask(id, "n", "redact(replacement = '0')");
        world.desk.mask(id, "region", "partial(first = 1)");
    } else {
        world.desk.plain(id, "n");
        world.desk.plain(id, "region");
    }
}

/// The rows in an order of their own, or the fault.
async fn answer((world, ids): &(World, [DatasetId; 2]), sql: &str) -> String {
    match world.layer.run(world.request(sql)).await {
        Ok(answer) => {
            let rows: Vec<serde_json::Value> =
                serde_json::from_slice(&answer.chunks.concat()).unwrap();
            let mut rows: Vec<String> = rows.iter().map(ToString::to_string).collect();
            rows.sort();
            format!("{:?} {rows:?}", answer.columns)
        }
        Err(fault) => ids.iter().fold(format!("{fault:?}"), |text, id| {
            text.replace(&id.to_string(), &id.name)
        }),
    }
}

/// Whether a source makes a part of a statement.
pub(crate) async fn is_cut(world: &World, sql: &str) -> bool {
    !world.made_there(sql).await.unwrap().is_empty()
}

pub(crate) fn world(back_end: &BackEnd, columns: &Columns) -> (World, [DatasetId; 2]) {
    let world = World::with(QueryConfig {
        partitions: 1,
        ..QueryConfig::default()
    });
    let (columns, arrays) = split(columns);
    let some = arrays.iter().map(|array| array.slice(0, OTHER_ROWS));
    let others = back_end.fill(&world, "grouped", "d", &columns, some.collect());
    let all = back_end.fill(&world, "grouped", "t", &columns, arrays);
    (world, [all, others])
}

/// How many statements there were of a kind, and of how many of them a source made groups.
#[derive(Debug, Default)]
struct Count {
    all: u64,
    answered: u64,
    cut: u64,
}

impl Count {
    /// What a source made of a statement; none if it was a fault.
    fn note(&mut self, made: Option<&str>) {
        self.all += 1;
        self.answered += u64::from(made.is_some());
        self.cut += u64::from(made.is_some_and(|made| !made.is_empty()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_a_source_are_those_of_the_engine() {
    let wish = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let count: u64 = wish("DATAOS_GROUPS").unwrap_or(STATEMENTS);
    let seed: u64 = wish("DATAOS_SEED").unwrap_or(1);
    for back_end in BackEnd::databases() {
        let columns = columns(&back_end);
        let (here, there) = (world(&BackEnd::Files, &columns), world(&back_end, &columns));
        let names = names(&columns);
        let (mut single, mut joined) = (Count::default(), Count::default());
        let (mut calculated, mut terms, mut means) = (Count::default(), 0_u64, 0_u64);
        for number in (0..count).map(|number| seed.wrapping_add(number)) {
            let (sql, is_joined, is_calculated) = Statements::new(number, &names).statement();
            for world in [&here, &there] {
                govern(world, number);
            }
            let expected = answer(&here, &sql).await;
            let found = answer(&there, &sql).await;
            let name = back_end.name();
            assert_eq!(found, expected, "{name}: DATAOS_SEED={number}: {sql}");
            let made = match found.contains("Fault {") {
                true => None,
                false => Some(there.0.made_there(&sql).await.unwrap()),
            };
            if is_joined { &mut joined } else { &mut single }.note(made.as_deref());
            if is_calculated {
                calculated.note(made.as_deref());
            }
            let made = made.unwrap_or_default();
            let made = made.replace("SELECT * FROM", "");
            let has_term = [" * ", " + ", " - "].iter().any(|sign| made.contains(sign));
            terms += u64::from(has_term);
            means += u64::from(sql.contains("avg(") && made.contains("sum("));
        }
        let name = back_end.name();
        eprintln!("groups, {name}: of one table: {single:?}, of several: {joined:?}");
        eprintln!(
            "groups, {name}: with terms or means: {calculated:?}, {terms} terms, {means} means"
        );
        let is_sqlite = matches!(back_end, BackEnd::Sqlite(_));
        // That one calculates choices of small integers alone, and has means of integers alone.
        let least = if is_sqlite { 100 } else { 40 };
        assert!(terms * least > count, "{name}: {terms} terms");
        let least = if is_sqlite { 80 } else { 40 };
        assert!(means * least > count, "{name}: {means} means");
        // Else the sources computed little, and little was proven.
        for count in [single, joined] {
            assert!(count.answered * 10 > count.all * 9, "{name}: {count:?}");
            assert!(count.cut * 20 > count.all, "{name}: {count:?}");
        }
    }
}

/// What a server was sent since its log was forgotten, of statements that read a table. One that asks for its types
/// joins none of its rows.
fn sent(back_end: &BackEnd, table: &str) -> Vec<String> {
    let (log, ran) = match back_end {
        BackEnd::Postgres(server) => (server.logged(&format!("\"{table}\"")), "execute "),
        BackEnd::MySql(server) => (server.logged(&format!("`{table}`")), "Execute"),
        _ => panic!("{} has no log", back_end.name()),
    };
    let ran = log
        .lines()
        .filter(|line| line.contains(ran) && !line.ends_with(" ON FALSE"));
    ran.map(str::to_owned).collect()
}

/// The one statement over the first table that a server was sent for another.
pub(crate) fn only_sent(back_end: &BackEnd, sql: &str) -> String {
    match <[String; 1]>::try_from(sent(back_end, "t")) {
        Ok([sent]) => sent,
        Err(sent) => panic!("{}: {sql}: {sent:?}", back_end.name()),
    }
}

pub(crate) fn forget(back_end: &BackEnd) {
    match back_end {
        BackEnd::Postgres(server) => server.forget_log(),
        BackEnd::MySql(server) => server.forget_log(),
        _ => {}
    }
}

/// Sends a statement, and sees to it that one was sent, for groups and with these columns alone.
async fn check_sent(
    back_end: &BackEnd,
    world: &(World, [DatasetId; 2]),
    columns: &Columns,
    (sql, needed): (&str, &[&str]),
) {
    forget(back_end);
    let answer = answer(world, sql).await;
    assert!(!answer.contains("Fault {"), "{answer}");
    let sent = only_sent(back_end, sql);
    let (order, quote) = match back_end {
        BackEnd::MySql(_) => (" ORDER BY g.c0", '`'),
        _ => (" ORDER BY 1", '"'),
    };
    assert!(
        sent.contains(" GROUP BY 1") && sent.contains(order),
        "{sent}"
    );
    let distinct = |text: &str| text.matches("count(DISTINCT ").count();
    assert_eq!(distinct(&sent), distinct(sql), "{sent}");
    let mut wanted: Vec<String> = Vec::new();
    for (table, names) in needed.iter().enumerate() {
        let names = names.split(' ');
        wanted.extend(names.map(|name| format!("r{table}.{quote}{name}{quote}")));
    }
    for table in 0..=needed.len() {
        for (name, _, _) in columns {
            let name = format!("r{table}.{quote}{name}{quote}");
            assert_eq!(
                sent.contains(&name),
                wanted.contains(&name),
                "{name}: {sent}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_statement_is_sent_and_names_what_query_and_policy_need() {
    let mut columns = common();
    columns.extend(others());
    for back_end in [BackEnd::postgres(), BackEnd::maria_db()] {
        let world = world(&back_end, &columns);
        let (desk, [id, other]) = (&world.0.desk, &world.1);
        desk.rows(
            id,
            Predicate::any([equals("region", "EMEA"), equals("k", 5).negated()]),
        );
        desk.mask(id, "name", "partial(first = 1)");
        desk.rows(other, equals("n", 7).negated());
        let check = async |sql: &str, needed: &[&str]| {
            check_sent(&back_end, &world, &columns, (sql, needed)).await;
        };
        check(
            "SELECT k, count(*), sum(id), max(price) FROM t WHERE middle <> 7 GROUP BY k",
            &["k id price middle region"],
        )
        .await;
        check(
            "SELECT d.k, count(*), sum(t.id) FROM t JOIN d ON t.wide = d.wide WHERE d.middle <> 7 GROUP BY d.k",
            &["id wide k region", "k n wide middle"],
        )
        .await;
        check(
            "SELECT a.price, count(*), count(DISTINCT b.small), count(DISTINCT a.id) FROM t a JOIN t b ON a.id = b.n \
             AND a.k = b.k GROUP BY a.price",
            &["id k price region", "small n k region"],
        )
        .await;

        check(
            "SELECT k, count(DISTINCT small), sum(id), min(price) FROM t GROUP BY k",
            &["k small id price region"],
        )
        .await;
        check(
            "SELECT a.k, count(DISTINCT b.small) FROM t a JOIN d b ON a.id = b.id GROUP BY a.k",
            &["k id region", "small id n"],
        )
        .await;

        check(
            "SELECT k, sum(price * (1 - rate)), avg(amount), avg(small) FROM t GROUP BY k",
            &["k price rate amount small region"],
        )
        .await;
        check(
            "SELECT b.k, max(a.price + b.rate), count(*) FROM t a JOIN d b ON a.id = b.id GROUP BY b.k",
            &["id price k region", "id rate k n"],
        )
        .await;

        // Masks are computed here, and so is what they are in, or what they join.
        desk.mask(id, "middle", "redact(replacement = '0')");
        for sql in [
            "SELECT name, count(*) FROM t GROUP BY name",
            "SELECT t.k, count(*) FROM t JOIN d ON t.name = d.name GROUP BY t.k",
            "SELECT d.k, count(t.name) FROM t JOIN d ON t.id = d.id GROUP BY d.k",
            "SELECT k, sum(price * middle) FROM t GROUP BY k",
            "SELECT d.k, max(d.price + t.middle) FROM t JOIN d ON t.id = d.id GROUP BY d.k",
            "SELECT k, avg(middle) FROM t GROUP BY k",
        ] {
            forget(&back_end);
            world.0.rows(sql).await;
            let sent = self::sent(&back_end, "t");
            assert!(!sent.is_empty(), "{sql}");
            assert!(
                sent.iter().all(|sent| !sent.contains("GROUP BY")),
                "{sent:?}"
            );
        }
    }
}

/// What a server is asked for a term and a mean.
fn terms_of(back_end: &BackEnd) -> [&'static str; 4] {
    match back_end {
        BackEnd::MySql(_) => [
            "sum((CAST(r0.`price` AS DECIMAL(12, 2)) * (1 - CAST(r0.`rate` AS DECIMAL(4, 2))))) AS c1, \
             sum(r0.`small`) AS c2, sum(r0.`price`) AS c3, sum(r0.`id`) AS c4, \
             min((CAST(r0.`small` AS DECIMAL(20, 0)) * CAST(r0.`middle` AS DECIMAL(20, 0)))) AS c5, \
             count(r0.`small`) AS c6, count(r0.`price`) AS c7, ",
            " OR sum(abs(CAST(r0.`small` AS DECIMAL(20, 0)))) > 9007199254740992) OVER () AS c8 FROM ",
            "abs(((CAST(r0.`amount` AS DECIMAL(15, 2)) * CAST(r0.`amount` AS DECIMAL(15, 2))) * CAST(r0.`amount` AS DECIMAL(15, 2)))) >= ",
            "sum(r0.`wide`) NOT BETWEEN -99999999999999999999999999999999999.999 AND ",
        ],
        _ => [
            "sum((r0.\"price\" * (1 - r0.\"rate\"))) AS c1, sum(r0.\"small\"::bigint) AS c2, \
             sum(r0.\"price\") AS c3, sum(r0.\"id\"::bigint) AS c4, \
             min((r0.\"small\"::numeric * r0.\"middle\"::numeric)) AS c5, \
             count(r0.\"small\") AS c6, count(r0.\"price\") AS c7, ",
            " OR sum(abs(r0.\"small\"::numeric)) > 9007199254740992) OVER ()",
            "abs(((r0.\"amount\" * r0.\"amount\") * r0.\"amount\")) >= ",
            "sum(r0.\"wide\") NOT BETWEEN -99999999999999999999999999999999999.999 AND ",
        ],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_are_sent_and_what_could_be_another_is_tested_there() {
    let columns = columns(&BackEnd::Files);
    for back_end in [BackEnd::postgres(), BackEnd::maria_db()] {
        let world = world(&back_end, &columns);
        let [totals, rounded, product, wide] = terms_of(&back_end);
        for (sql, parts) in [
            (
                "SELECT k, sum(price * (1 - rate)), avg(small), avg(price), sum(id), min(CAST(small AS bigint) * middle) FROM t GROUP BY k",
                &[totals, rounded][..],
            ),
            (
                "SELECT k, count(amount * amount * amount), sum(wide) FROM t WHERE id < 0 GROUP BY k",
                &[product, wide][..],
            ),
        ] {
            forget(&back_end);
            answer(&world, sql).await;
            let sent = only_sent(&back_end, sql);
            for part in parts {
                assert!(sent.contains(part), "{part}: {sent}");
            }
        }
    }
}

/// Totals that a database was asked for, and whether the engine has others, which the database then tells.
const TOLD: &[(&str, bool)] = &[
    ("SELECT avg(n) FROM t", true),
    ("SELECT k, avg(n) FROM t GROUP BY k", true),
    ("SELECT avg(n) FROM t WHERE n <= 100000 AND n >= 0", false),
    ("SELECT avg(n) FROM t WHERE n < 0 AND id < 0", false),
    (
        "SELECT avg(CAST(small AS bigint) * middle) FROM t WHERE middle = 7",
        false,
    ),
    (
        "SELECT sum(amount * amount * amount) FROM t WHERE amount < 1000000 AND amount > -1000000",
        false,
    ),
    ("SELECT count(amount * amount * amount) FROM t", true),
    (
        "SELECT k, max(amount * amount * rate * rate) FROM t GROUP BY k",
        false,
    ),
    ("SELECT sum(wide) FROM t", true),
    ("SELECT avg(wide) FROM t", true),
    ("SELECT sum(wide * rate) FROM t", true),
];

/// Totals that no database is asked for.
const NOT_ASKED: &[&str] = &[
    "SELECT sum(n + 1) FROM t",
    "SELECT sum(k * id) FROM t",
    "SELECT sum(small * middle) FROM t WHERE middle = 7",
    "SELECT sum(small * n) FROM t",
    "SELECT sum(wide + price) FROM t",
    "SELECT max(CAST(price AS decimal(12,1))) FROM t",
    "SELECT sum(price / 3) FROM t",
    "SELECT sum(ratio * 2) FROM t",
    "SELECT avg(ratio) FROM t WHERE id < 3",
    "SELECT avg(CAST(price AS double)) FROM t WHERE id < 3",
    "SELECT avg(DISTINCT price), count(*) FROM t",
];

#[tokio::test(flavor = "multi_thread")]
async fn totals_that_the_engine_has_others_of_are_made_here() {
    let columns = columns(&BackEnd::Files);
    let here = world(&BackEnd::Files, &columns);
    for back_end in [BackEnd::postgres(), BackEnd::maria_db()] {
        let (there, name) = (world(&back_end, &columns), back_end.name());
        for (sql, is_told) in TOLD {
            assert!(is_cut(&there.0, sql).await, "{name}: {sql}");
            let expected = answer(&here, sql).await;
            forget(&back_end);
            assert_eq!(answer(&there, sql).await, expected, "{name}: {sql}");
            let sent = sent(&back_end, "t").len();
            // If it told so, its rows were read after all.
            assert_eq!(sent, 1 + usize::from(*is_told), "{name}: {sql}");
        }
        for sql in NOT_ASKED {
            assert!(!is_cut(&there.0, sql).await, "{name}: {sql}");
            let expected = answer(&here, sql).await;
            assert_eq!(answer(&there, sql).await, expected, "{name}: {sql}");
        }
        // What comes for a mean is in another order.
        let sql = "SELECT k, avg(id) AS m FROM t GROUP BY k ORDER BY m LIMIT 2";
        let made = there.0.made_there(sql).await.unwrap();
        assert!(
            made.contains(" GROUP BY ") && !made.contains(" LIMIT "),
            "{made}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn means_of_a_file_are_those_of_the_engine() {
    let columns = common();
    let back_end = BackEnd::sqlite();
    let (here, there) = (world(&BackEnd::Files, &columns), world(&back_end, &columns));
    for sql in [
        "SELECT k, avg(id), avg(k), sum(n) FROM t GROUP BY k",
        "SELECT avg(n) FROM t",
        "SELECT avg(n) FROM t WHERE n <= 100000 AND n > -7",
        "SELECT avg(n) FROM t WHERE n < 0 AND id < 0",
        "SELECT avg(a.k) FROM t AS a JOIN d AS b ON a.id = b.id",
    ] {
        assert!(is_cut(&there.0, sql).await, "{sql}");
        let expected = answer(&here, sql).await;
        assert_eq!(answer(&there, sql).await, expected, "{sql}");
    }
    for sql in ["SELECT sum(k * 2) FROM t", "SELECT avg(id - k) FROM t"] {
        assert!(!is_cut(&there.0, sql).await, "{sql}");
        let expected = answer(&here, sql).await;
        assert_eq!(answer(&there, sql).await, expected, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_two_depots_are_joined_here() {
    let columns = common();
    let (elsewhere, database) = (BackEnd::sqlite(), BackEnd::postgres());
    let (here, there) = (world(&BackEnd::Files, &columns), world(&database, &columns));
    let (columns, arrays) = split(&columns);
    elsewhere.fill(&there.0, "elsewhere", "e", &columns, arrays);
    let joined = "SELECT t.k, count(*) FROM t JOIN d ON t.id = d.id GROUP BY t.k";
    assert!(is_cut(&there.0, joined).await);
    let sql = "SELECT t.k, count(*) FROM t JOIN e AS d ON t.id = d.id GROUP BY t.k";
    assert!(!is_cut(&there.0, sql).await);
    let expected = answer(&here, &sql.replace("JOIN e", "JOIN t")).await;
    assert_eq!(answer(&there, sql).await, expected);
}
