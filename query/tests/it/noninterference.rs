//! Random statements over two worlds that differ only in what the caller may not know (see `twins`):
//! rows, errors, counts, columns, certificates, plans and records are the same.
//!
//! `DATAOS_NONINTERFERENCE=1000000` sets how many statements instead of 5 000, `DATAOS_SEED=7` where to
//! start.

use std::fmt::Write as _;

use crate::{
    back_ends::BackEnd,
    twins::{End, Twins},
};

/// Statements without another wish.
const STATEMENTS: u64 = 5_000;
/// Worlds side by side.
const TASKS: u64 = 2;
/// Of so many statements one has its plans compared.
const PLAN_EVERY: u64 = 20;
/// Levels of expressions and queries.
const DEPTH: u32 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn random_statements_do_not_tell_two_worlds_apart() {
    let wish = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let count: u64 = wish("DATAOS_NONINTERFERENCE").unwrap_or(STATEMENTS);
    let seed: u64 = wish("DATAOS_SEED").unwrap_or(1);
    let tasks = (0..TASKS).map(|task| {
        tokio::spawn(async move {
            let twins = Twins::of(&BackEnd::Files);
            let (mut answered, mut refused) = (0_u64, 0_u64);
            for number in (0..count).filter(|number| number / PLAN_EVERY % TASKS == task) {
                let sql = Draw::new(seed.wrapping_add(number)).statement();
                // Planning takes most of the time: one in some is planned again for its text.
                let ended = if number % PLAN_EVERY == 0 {
                    twins.compare_with_plan(&sql).await
                } else {
                    twins.compare(&sql).await
                };
                match ended {
                    Ok(End::Answered) => answered += 1,
                    Ok(End::Refused) => refused += 1,
                    Err(leak) => panic!("DATAOS_SEED={}: {leak}", seed.wrapping_add(number)),
                }
            }
            (answered, refused)
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let (mut answered, mut refused) = (0, 0);
    for task in tasks {
        let ended = task.await.unwrap();
        answered += ended.0;
        refused += ended.1;
    }
    eprintln!("non-interference: {count} statements from seed {seed}, {answered} answered");
    assert_eq!(answered + refused, count);
    // A generator of nonsense would prove nothing.
    assert!(answered * 2 > count, "{answered} of {count}");
    assert!(count < 1_000 || refused > 0, "no statement failed");
}

/// Of so many statements one is run on each of the databases too.
const DATABASES_EVERY: u64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn random_statements_do_not_tell_two_worlds_of_databases_apart() {
    let wish = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let count: u64 = wish("DATAOS_NONINTERFERENCE").unwrap_or(STATEMENTS) / DATABASES_EVERY;
    let seed: u64 = wish("DATAOS_SEED").unwrap_or(1);
    for back_end in BackEnd::all().into_iter().skip(1) {
        let (twins, mut answered) = (Twins::of(&back_end), 0);
        let (mut grouped, mut joined, mut first, mut met) = (0, 0, 0, 0);
        for number in (0..count).map(|number| seed.wrapping_add(number)) {
            let sql = Draw::new(number).statement();
            match twins.compare(&sql).await {
                Ok(End::Answered) => answered += 1,
                Ok(End::Refused) => {}
                Err(leak) => panic!("{}: DATAOS_SEED={number}: {leak}", back_end.name()),
            }
            if [" JOIN ", " LIMIT ", "EXISTS"]
                .iter()
                .any(|word| sql.contains(word))
            {
                let there = twins.made_there(&sql).await;
                let joins = there.contains(" AS r1");
                grouped += u64::from(joins && there.contains(" GROUP BY "));
                joined += u64::from(joins);
                first += u64::from(there.contains(" LIMIT "));
                met += u64::from(there.contains("EXISTS (SELECT 1 FROM"));
            }
        }
        let name = back_end.name();
        eprintln!(
            "non-interference, {name}: {count} statements, {answered} answered, {joined} joined there, \
             {grouped} of them grouped, {first} cut to the first rows there, {met} by rows that meet others"
        );
        assert!(answered * 2 > count, "{name}: {answered} of {count}");
        let is_database = match back_end {
            BackEnd::Postgres(_) | BackEnd::MySql(_) | BackEnd::Sqlite(_) => true,
            BackEnd::Files | BackEnd::Avro | BackEnd::Objects(_) => false,
        };
        let is_made_there = grouped > 0 && joined > grouped && first > 0;
        assert!(!is_database || count < 200 || is_made_there, "{name}");
    }
}

/// Columns that a place can name, by type.
#[derive(Clone, Default)]
pub(crate) struct Names {
    numbers: Vec<String>,
    texts: Vec<String>,
    dates: Vec<String>,
    /// Relations whose rows are values.
    rows: Vec<String>,
}

impl Names {
    pub(crate) fn of(relation: &str, alias: &str) -> Self {
        let named = |columns: &[&str]| columns.iter().map(|c| format!("{alias}.{c}")).collect();
        let rows = vec![alias.to_owned()];
        match relation {
            "t" => Self {
                numbers: named(&["id", "amount", "salary"]),
                texts: named(&["tenant", "memo", "email", "note"]),
                dates: named(&["born"]),
                rows,
            },
            "u" => Self {
                numbers: named(&["id", "t_id", "rank"]),
                texts: named(&["label"]),
                dates: Vec::new(),
                rows,
            },
            _ => Self {
                numbers: named(&["id"]),
                texts: named(&["word"]),
                dates: Vec::new(),
                rows,
            },
        }
    }

    pub(crate) fn and(&self, other: &Self) -> Self {
        let mut all = self.clone();
        all.numbers.extend(other.numbers.iter().cloned());
        all.texts.extend(other.texts.iter().cloned());
        all.dates.extend(other.dates.iter().cloned());
        all.rows.extend(other.rows.iter().cloned());
        all
    }
}

/// A source of choices: splitmix64.
pub(crate) struct Draw {
    state: u64,
    aliases: u32,
}

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            aliases: 0,
        }
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub(crate) fn one_in(&mut self, odds: u64) -> bool {
        self.below(odds) == 0
    }

    pub(crate) fn of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }

    fn any(&mut self, names: &[String], otherwise: &str) -> String {
        if names.is_empty() {
            return otherwise.to_owned();
        }
        names[usize::try_from(self.below(names.len() as u64)).unwrap()].clone()
    }

    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("r{}", self.aliases)
    }

    fn statement(&mut self) -> String {
        match self.below(18) {
            0 => self.grouped(),
            14 | 15 => self.joined_groups(),
            16 | 17 => self.first_rows(),
            1 => self.sets(),
            2 => self.windowed(),
            3 => {
                let query = self.plain();
                let of = self.of(&[
                    "SELECT count(*) FROM",
                    "SELECT * FROM",
                    "SELECT DISTINCT * FROM",
                ]);
                format!("{of} ({query}) AS q")
            }
            4 => self.recursive(),
            5 => {
                let query = self.plain();
                format!(
                    "WITH c AS ({query}) SELECT count(*) FROM c AS a JOIN c AS b ON true LIMIT 5"
                )
            }
            6 => {
                let of = self.of(&["EXPLAIN ", "EXPLAIN POLICY ", ""]);
                format!("{of}{}", self.starred())
            }
            _ => self.plain(),
        }
    }

    /// FROM, and what it lets an expression name.
    fn from(&mut self, depth: u32) -> (String, Names) {
        let table = self.of(&["t", "t", "t", "u", "u", "v"]);
        let alias = self.alias();
        let names = Names::of(table, &alias);
        if depth == 0 || !self.one_in(3) {
            return (format!("{table} AS {alias}"), names);
        }
        let (right, more) = self.from(0);
        let both = names.and(&more);
        let on = self.condition(&both, 1);
        let join = self.of(&["JOIN", "LEFT JOIN", "FULL JOIN", "RIGHT JOIN"]);
        match self.below(5) {
            0 => (format!("{table} AS {alias}, {right}"), both),
            1 => {
                let half = self.of(&["LEFT SEMI JOIN", "LEFT ANTI JOIN"]);
                (format!("{table} AS {alias} {half} {right} ON {on}"), names)
            }
            2 => {
                // A key, so that few pairs meet.
                let (left, key) = (self.any(&names.numbers, "1"), self.any(&more.numbers, "1"));
                (
                    format!("{table} AS {alias} {join} {right} ON {left} = {key}"),
                    both,
                )
            }
            3 => {
                let inner = self.alias();
                let value = self.number(&names, 1);
                let lateral = Names {
                    numbers: vec![format!("{inner}.x")],
                    ..Names::default()
                };
                let (other, order) = (self.valued(&names), self.below(3));
                let query = match self.below(4) {
                    0 => format!("SELECT {value} AS x"),
                    3 => format!("SELECT y.x FROM (VALUES ({value}), ({other})) AS y (x)"),
                    1 => format!("SELECT {value} AS x UNION SELECT {other}"),
                    _ => format!(
                        "SELECT z.id + {value} AS x FROM u AS z ORDER BY z.id LIMIT {order}"
                    ),
                };
                let text = format!("{table} AS {alias}, LATERAL ({query}) AS {inner}");
                (text, names.and(&lateral))
            }
            _ => (format!("{table} AS {alias} {join} {right} ON {on}"), both),
        }
    }

    fn plain(&mut self) -> String {
        let (from, names) = self.from(1);
        let mut sql = String::from("SELECT ");
        if self.one_in(8) {
            sql.push_str("DISTINCT ");
        }
        let columns = 1 + self.below(3);
        for column in 0..columns {
            let value = match self.below(10) {
                0 => self.whole_row(&names),
                _ => self.value(&names, DEPTH),
            };
            let comma = if column > 0 { ", " } else { "" };
            write!(sql, "{comma}{value} AS c{column}").unwrap();
        }
        write!(sql, " FROM {from}").unwrap();
        if !self.one_in(3) {
            write!(sql, " WHERE {}", self.condition(&names, DEPTH)).unwrap();
            if self.one_in(8) {
                write!(sql, " AND {}", self.row_condition(&names)).unwrap();
            }
        }
        self.ordered(&mut sql, columns);
        sql
    }

    /// A row of a relation, as a value or as a text.
    fn whole_row(&mut self, names: &Names) -> String {
        let row = self.any(&names.rows, "NULL");
        match self.below(5) {
            0 => row,
            1 => format!("row_to_json({row})"),
            2 => format!("CAST({row} AS VARCHAR)"),
            3 => format!("CASE WHEN {} THEN {row} END", self.condition(names, 1)),
            _ => format!("({row}).id"),
        }
    }

    fn row_condition(&mut self, names: &Names) -> String {
        let (one, other) = (self.any(&names.rows, "x"), self.any(&names.rows, "x"));
        match self.below(4) {
            0 => format!("{one} IS NOT NULL"),
            1 => format!("NOT {one} IS NULL"),
            2 => format!("{one} = {other}"),
            _ => format!("EXISTS (SELECT 1 FROM t AS z WHERE z IS DISTINCT FROM {one})"),
        }
    }

    fn ordered(&mut self, sql: &mut String, columns: u64) {
        if self.one_in(2) {
            write!(sql, " ORDER BY {}", 1 + self.below(columns)).unwrap();
            sql.push_str(self.of(&["", " DESC", " NULLS FIRST"]));
        }
        if self.one_in(3) {
            write!(sql, " LIMIT {}", self.below(60)).unwrap();
        }
    }

    fn starred(&mut self) -> String {
        let (from, names) = self.from(0);
        let star = self.of(&[
            "*",
            "* EXCEPT (id)",
            "* ILIKE '%e%'",
            "* REPLACE (id + 1 AS id)",
        ]);
        format!(
            "SELECT {star} FROM {from} WHERE {}",
            self.condition(&names, 2)
        )
    }

    fn grouped(&mut self) -> String {
        let (from, names) = self.from(1);
        let (key, other) = (self.value(&names, 1), self.value(&names, 1));
        let sum = self.aggregate(&names);
        let (filter, having) = (self.condition(&names, 2), self.aggregate(&names));
        let (items, groups) = match self.below(5) {
            0 => (format!("{key} AS k, {sum} AS s"), "ALL".to_owned()),
            1 => (format!("{sum} AS s, {having} AS h"), "()".to_owned()),
            2 => (format!("{key} AS k, {sum} AS s"), format!("ROLLUP ({key})")),
            3 if key != other => (
                format!("{key} AS k, {other} AS o, {sum} AS s"),
                format!("GROUPING SETS (({key}, {other}), ({key}), ())"),
            ),
            _ => (format!("{key} AS k, {sum} AS s"), "1".to_owned()),
        };
        let mut sql = format!("SELECT {items} FROM {from} WHERE {filter} GROUP BY {groups}");
        if self.one_in(3) {
            write!(sql, " HAVING {having} IS NOT NULL").unwrap();
        }
        sql
    }

    /// Groups of two tables that meet by keys, which a database that has both may make.
    fn joined_groups(&mut self) -> String {
        let (left, right) = (self.of(&["t", "u"]), self.of(&["t", "u"]));
        let (of_left, of_right) = (Names::of(left, "a"), Names::of(right, "b"));
        let (one, other) = (
            self.any(&of_left.numbers, "1"),
            self.any(&of_right.numbers, "1"),
        );
        let both = of_left.and(&of_right);
        let join = self.of(&["JOIN", "JOIN", "JOIN", "LEFT JOIN"]);
        let (key, total) = (self.any(&both.numbers, "1"), self.any(&both.numbers, "1"));
        let function = self.of(&["sum(", "min(", "count(", "count(DISTINCT "]);
        let filter = match self.below(4) {
            0 => format!("WHERE {} ", self.condition(&both, 1)),
            1 => format!("WHERE {} < 1005 ", self.any(&both.numbers, "1")),
            _ => String::new(),
        };
        format!(
            "SELECT {key} AS k, count(*) AS n, {function}{total}) AS x FROM {left} AS a {join} {right} AS b \
             ON {one} = {other} {filter}GROUP BY 1"
        )
    }

    /// The first rows of a table or of two that meet by keys, or all of these, which a database that has them may give.
    fn first_rows(&mut self) -> String {
        let table = self.of(&["t", "u"]);
        let (mut from, mut names) = (format!("{table} AS a"), Names::of(table, "a"));
        let is_joined = self.one_in(2);
        if is_joined {
            let (other, one) = (self.of(&["t", "u"]), self.any(&names.numbers, "1"));
            let more = Names::of(other, "b");
            write!(
                from,
                " JOIN {other} AS b ON {one} = {}",
                self.any(&more.numbers, "1")
            )
            .unwrap();
            names = names.and(&more);
        }
        let columns = 1 + self.below(3);
        let items = (0..columns).map(|column| {
            let name = match self.below(6) {
                0 => self.value(&names, 0),
                _ => self.any(&names.numbers, "1"),
            };
            format!("{name} AS c{column}")
        });
        let items = items.collect::<Vec<_>>().join(", ");
        let filter = match self.below(4) {
            0 => format!(" WHERE {}", self.condition(&names, 1)),
            1 => format!(" WHERE {} < 1005", self.any(&names.numbers, "1")),
            _ => String::new(),
        };
        let is_met = self.one_in(3);
        let met = match (is_met, filter.is_empty()) {
            (false, _) => String::new(),
            (true, true) => format!(" WHERE {}", self.met(&names)),
            (true, false) => format!(" AND {}", self.met(&names)),
        };
        let mut sql = format!("SELECT {items} FROM {from}{filter}{met}");
        if !(is_joined || is_met) || !self.one_in(3) {
            let way = self.of(&["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]);
            let (key, rows) = (1 + self.below(columns), self.below(30));
            write!(sql, " ORDER BY {key}{way} LIMIT {rows}").unwrap();
            sql.push_str(self.of(&["", "", " OFFSET 3"]));
        }
        sql
    }

    /// That rows of another table meet these by a key, or that none does.
    fn met(&mut self, names: &Names) -> String {
        let (table, key) = (self.of(&["t", "u"]), self.any(&names.numbers, "1"));
        let inside = Names::of(table, "z").numbers;
        let filter = match self.one_in(2) {
            true => format!(" AND {} < 1005", self.any(&inside, "1")),
            false => String::new(),
        };
        let (not, inside) = (self.of(&["", "NOT "]), self.any(&inside, "1"));
        format!("{not}EXISTS (SELECT * FROM {table} AS z WHERE {inside} = {key}{filter})")
    }

    /// A table, two of its columns and one of the rows around a query of it.
    fn within(&mut self, names: &Names) -> (&'static str, String, String, String) {
        let table = self.of(&["t", "u"]);
        let inside = Names::of(table, "z").numbers;
        let (one, other) = (self.any(&inside, "1"), self.any(&inside, "1"));
        (table, one, other, self.any(&names.numbers, "1"))
    }

    /// A query for each row, as a value.
    fn valued(&mut self, names: &Names) -> String {
        let (table, one, other, key) = self.within(names);
        match self.below(6) {
            0 => format!("(SELECT {key} * 2)"),
            1 => format!(
                "(SELECT {one} FROM {table} AS z WHERE {other} <= {key} ORDER BY z.id DESC, 1 LIMIT 1)"
            ),
            2 => format!("(SELECT count(*) FROM {table} AS z WHERE {other} < {key})"),
            3 => format!("(SELECT max({one} - {key}) FROM {table} AS z WHERE z.id < 1005)"),
            4 => format!("(SELECT sum(1 / ({one} - 777)) FROM {table} AS z WHERE {other} = {key})"),
            _ => format!(
                "(SELECT count(*) FROM {table} AS z WHERE EXISTS \
                 (SELECT 1 FROM u AS y WHERE y.t_id = {one} AND y.rank < {key}))"
            ),
        }
    }

    /// A query for each row, as a condition.
    fn held(&mut self, names: &Names) -> String {
        let (table, one, other, key) = self.within(names);
        let near = self.any(&names.numbers, "1");
        match self.below(7) {
            0 => format!("{key} NOT IN (SELECT {one} FROM {table} AS z WHERE {other} = {near})"),
            1 => format!("({key} IN (SELECT {one} FROM {table} AS z)) IS NULL"),
            2 => {
                let (operator, of) = (self.of(&["=", "<", ">="]), self.of(&["ANY", "ALL"]));
                format!(
                    "{key} {operator} {of} (SELECT {one} FROM {table} AS z WHERE {other} < {near})"
                )
            }
            3 => format!(
                "EXISTS (SELECT {one} FROM {table} AS z WHERE {other} < {key} ORDER BY 1 LIMIT 2 OFFSET 1)"
            ),
            4 => format!("{key} IN (VALUES ({near} + 1), ({}))", self.valued(names)),
            5 => format!("({near}, {key}) NOT IN (SELECT {one}, {other} FROM {table} AS z)"),
            _ => format!("{} > {near}", self.valued(names)),
        }
    }

    fn aggregate(&mut self, names: &Names) -> String {
        match self.below(8) {
            0 => "count(*)".to_owned(),
            7 => {
                let distinct = self.of(&["", "DISTINCT "]);
                format!("count({distinct}{})", self.any(&names.rows, "1"))
            }
            1 => format!("sum({})", self.number(names, 2)),
            2 => format!("min({})", self.text(names, 2)),
            3 => format!("max({})", self.value(names, 2)),
            4 => format!("count(DISTINCT {})", self.value(names, 2)),
            5 => {
                let condition = self.condition(names, 1);
                format!(
                    "count({}) FILTER (WHERE {condition})",
                    self.number(names, 1)
                )
            }
            _ => format!("avg({})", self.number(names, 1)),
        }
    }

    fn windowed(&mut self) -> String {
        let (from, names) = self.from(0);
        let (id, order) = (self.any(&names.numbers, "1"), self.value(&names, 2));
        let function = match self.below(4) {
            0 => "row_number()".to_owned(),
            1 => "rank()".to_owned(),
            2 => format!("lag({})", self.number(&names, 1)),
            _ => format!("sum({})", self.number(&names, 1)),
        };
        let partition = if self.one_in(2) {
            format!("PARTITION BY {} ", self.text(&names, 1))
        } else {
            String::new()
        };
        let mut sql = format!(
            "SELECT {id} AS i, {function} OVER ({partition}ORDER BY {order}, {id}) AS w FROM {from}"
        );
        if self.one_in(2) {
            sql.push_str(" QUALIFY w < 5");
        }
        sql
    }

    fn sets(&mut self) -> String {
        let ((left, of_left), (right, of_right)) = (self.from(0), self.from(0));
        let operator = self.of(&["UNION", "UNION ALL", "INTERSECT", "EXCEPT"]);
        let (a, b) = if self.one_in(2) {
            (self.number(&of_left, 2), self.number(&of_right, 2))
        } else {
            (self.text(&of_left, 2), self.text(&of_right, 2))
        };
        format!("SELECT {a} AS c FROM {left} {operator} SELECT {b} FROM {right} ORDER BY 1")
    }

    fn recursive(&mut self) -> String {
        let (from, names) = self.from(0);
        let (start, step) = (self.number(&names, 1), self.below(5));
        format!(
            "WITH RECURSIVE c (n, level) AS (SELECT {start}, 0 FROM {from} UNION ALL \
             SELECT n + {step}, level + 1 FROM c WHERE level < 2) SELECT count(*), min(n), max(n) FROM c"
        )
    }

    pub(crate) fn value(&mut self, names: &Names, depth: u32) -> String {
        match self.below(5) {
            0 | 1 => self.number(names, depth),
            2 | 3 => self.text(names, depth),
            _ => self.any(&names.dates, "DATE '2011-02-01'"),
        }
    }

    pub(crate) fn number(&mut self, names: &Names, depth: u32) -> String {
        if depth == 0 || self.one_in(3) {
            return match self.below(5) {
                0 => self.of(&["0", "1", "7", "777", "1003", "877"]).to_owned(),
                _ => self.any(&names.numbers, "1"),
            };
        }
        let depth = depth - 1;
        let one = self.number(names, depth);
        match self.below(12) {
            0 | 1 => format!("({one} + {})", self.number(names, depth)),
            2 => format!("({one} - {})", self.number(names, depth)),
            3 => format!("({one} * {})", self.number(names, depth)),
            // These fail on some values: on hidden ones, if they ever got there.
            4 => format!("(1 / ({one} - 777))"),
            5 => format!("({one} % ({} - 777))", self.number(names, depth)),
            6 => format!("CAST({} AS BIGINT)", self.any(&names.texts, "'3'")),
            7 => format!("length({})", self.text(names, depth)),
            8 => format!("coalesce({one}, {})", self.number(names, depth)),
            9 => {
                let condition = self.condition(names, depth);
                format!("CASE WHEN {condition} THEN {one} ELSE 0 END")
            }
            10 => {
                let table = self.of(&["t", "u"]);
                match self.one_in(2) {
                    true => self.valued(names),
                    false => format!("(SELECT count(*) FROM {table} AS z WHERE z.id = 3)"),
                }
            }
            _ => format!(
                "extract(day FROM {})",
                self.any(&names.dates, "DATE '2011-02-01'")
            ),
        }
    }

    pub(crate) fn text(&mut self, names: &Names, depth: u32) -> String {
        if depth == 0 || self.one_in(2) {
            return match self.below(5) {
                0 => self
                    .of(&["''", "'a'", "'1'", "'shut'", "'open 3'"])
                    .to_owned(),
                _ => self.any(&names.texts, "'x'"),
            };
        }
        let depth = depth - 1;
        let one = self.text(names, depth);
        match self.below(7) {
            0 => format!("({one} || {})", self.text(names, depth)),
            1 => format!("upper({one})"),
            2 => format!("substr({one}, 1, 2)"),
            3 => format!("replace({one}, 'a', 'b')"),
            4 => format!("CAST({} AS VARCHAR)", self.number(names, depth)),
            5 => format!("nullif({one}, 'a')"),
            _ => format!("left({one}, 3)"),
        }
    }

    pub(crate) fn condition(&mut self, names: &Names, depth: u32) -> String {
        let inner = depth.saturating_sub(1);
        match self.below(if depth == 0 { 5 } else { 14 }) {
            0 => format!("{} IS NOT NULL", self.value(names, inner)),
            1 | 2 => {
                let operator = self.of(&["=", "<", ">=", "<>"]);
                format!(
                    "{} {operator} {}",
                    self.number(names, inner),
                    self.number(names, 0)
                )
            }
            3 => format!("{} LIKE '%1%'", self.text(names, inner)),
            4 => {
                let (key, other) = (self.any(&names.numbers, "1"), self.number(names, inner));
                format!("{key} IN (1, 777, 1003, {other})")
            }
            5 => format!("{} = {}", self.text(names, inner), self.text(names, 0)),
            6 => format!(
                "({} AND {})",
                self.condition(names, inner),
                self.condition(names, inner)
            ),
            7 => format!(
                "({} OR {})",
                self.condition(names, inner),
                self.condition(names, inner)
            ),
            8 => format!("NOT ({})", self.condition(names, inner)),
            9 => {
                let key = self.any(&names.numbers, "1");
                let inside = self.of(&["z.t_id", "z.rank", "z.id"]);
                match self.one_in(2) {
                    true => self.held(names),
                    false => format!("EXISTS (SELECT 1 FROM u AS z WHERE {inside} = {key})"),
                }
            }
            10 => {
                let key = self.any(&names.numbers, "1");
                let inside = self.of(&["amount", "salary", "id", "1 / (amount - 777)"]);
                format!("{key} IN (SELECT {inside} FROM t AS z)")
            }
            11 => format!("{} LIKE 'a%'", self.any(&names.texts, "'a'")),
            _ => format!("1 / ({} - 777) < 5", self.any(&names.numbers, "1")),
        }
    }
}
