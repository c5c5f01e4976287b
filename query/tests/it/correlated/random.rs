//! Random queries in queries, here and on a real PostgreSQL.

use std::fmt::Write as _;

use dataos_model::{
    query::{Dialect, QueryRequest},
    seams::RunQuery,
};

use super::{TABLES, world};
use crate::{noninterference::Draw, oracle::as_psql, postgres::server::Server};

/// How many without a wish.
const STATEMENTS: u64 = 150;

/// How deep queries stand in queries.
const DEPTH: u32 = 3;

/// How many PostgreSQL is asked at a time.
const AT_A_TIME: u64 = 100;

/// What stands between two answers.
const BETWEEN: &str = "-- next --\n";

/// `DATAOS_CORRELATED` statements from seed `DATAOS_SEED`.
#[tokio::test(flavor = "multi_thread")]
async fn random_ones_answer_what_postgresql_answers() {
    let wish = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let count: u64 = wish("DATAOS_CORRELATED").unwrap_or(STATEMENTS);
    let seed: u64 = wish("DATAOS_SEED").unwrap_or(1);
    let server = Server::start();
    server.psql(TABLES);
    let world = world();
    let seeds: Vec<u64> = (seed..seed + count).collect();
    let (mut rows, mut planless) = (0, 0);
    for seeds in seeds.chunks(usize::try_from(AT_A_TIME).unwrap()) {
        let statements: Vec<String> = seeds.iter().map(|seed| statement(*seed)).collect();
        let mut script = String::new();
        for sql in &statements {
            write!(script, "{sql};\n\\echo {BETWEEN}").unwrap();
        }
        let expected = server.answer(&script);
        let expected = expected.split(BETWEEN).map(sorted);
        for ((sql, expected), seed) in statements.iter().zip(expected).zip(seeds) {
            let request = QueryRequest {
                dialect: Dialect::Postgres,
                ..world.request(sql)
            };
            let found = match world.layer.run(request).await {
                Ok(answer) => as_psql(&String::from_utf8(answer.chunks.concat()).unwrap()),
                Err(fault) if fault.reason == "not_planned" => {
                    eprintln!("DATAOS_SEED={seed}: {sql}\n{}", fault.message);
                    planless += 1;
                    continue;
                }
                Err(fault) => panic!("DATAOS_SEED={seed}: {sql}\n{fault:?}"),
            };
            assert_eq!(sorted(&found), expected, "DATAOS_SEED={seed}: {sql}");
            rows += expected.len();
        }
    }
    eprintln!(
        "correlated: {count} statements from seed {seed}, {rows} rows, {planless} without a plan"
    );
    assert!(
        planless * 100 <= count,
        "{planless} of {count} have no plan"
    );
    assert!(u64::try_from(rows).unwrap() > count, "{rows} rows");
}

fn sorted(rows: &str) -> Vec<&str> {
    let mut rows: Vec<&str> = rows.lines().collect();
    rows.sort_unstable();
    rows
}

fn statement(seed: u64) -> String {
    let mut make = Make {
        draw: Draw::new(seed),
        aliases: 0,
    };
    let (from, scope) = make.from(&[], DEPTH);
    let (one, other) = (make.value(&scope, DEPTH), make.value(&scope, 1));
    let condition = make.condition(&scope, DEPTH);
    match make.draw.below(8) {
        0 => {
            let total = make.aggregate(&scope, 0, 1);
            format!("SELECT {total} AS a, count(*) AS b FROM {from} WHERE {condition}")
        }
        1 => format!(
            "SELECT {one} AS a, count(*) AS b, max({other}) AS c FROM {from} WHERE {condition} GROUP BY 1"
        ),
        2 => {
            let held = make.condition(&scope, DEPTH);
            format!("SELECT {one} AS a, ({held}) AS b FROM {from} WHERE {condition}")
        }
        3 => {
            let (order, rows) = (make.value(&scope, 2), make.draw.below(9));
            format!(
                "SELECT {one} AS a, {other} AS b FROM {from} WHERE {condition} ORDER BY {order} + 0, 1, 2 LIMIT {rows}"
            )
        }
        4 => {
            let (held, alias) = (make.query(&[], 1), make.alias());
            format!(
                "SELECT {one} AS a, count(*) AS b FROM {from} WHERE {condition} GROUP BY 1 \
                 HAVING count(*) + 20 <> ALL (SELECT {alias}.x FROM ({held}) {alias} (x))"
            )
        }
        5 => {
            let (part, order) = (make.value(&scope, 1), make.value(&scope, 1));
            format!(
                "SELECT {one} AS a, rank() OVER (PARTITION BY {part} ORDER BY {order} + 0) AS b, sum({other}) OVER (PARTITION BY {part}) AS c FROM {from} WHERE {condition}"
            )
        }
        _ => format!("SELECT {one} AS a, {other} AS b FROM {from} WHERE {condition}"),
    }
}

struct Make {
    draw: Draw,
    aliases: u32,
}

impl Make {
    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("r{}", self.aliases)
    }

    fn column(&mut self, scope: &[String]) -> String {
        let count = u64::try_from(scope.len()).unwrap();
        // Near ones more often than those from outside.
        let (one, other) = (self.draw.below(count), self.draw.below(count));
        scope[usize::try_from(one.max(other)).unwrap()].clone()
    }

    /// FROM, and all that it lets an expression name: what is around goes first.
    fn from(&mut self, around: &[String], depth: u32) -> (String, Vec<String>) {
        let (first, mut scope) = self.table(around);
        if depth == 0 {
            return (first, scope);
        }
        match self.draw.below(9) {
            0 => {
                let (second, both) = self.table(&scope);
                let join = self.draw.of(&["JOIN", "LEFT JOIN", "FULL JOIN"]);
                let (one, other) = (scope.last().unwrap(), both.last().unwrap());
                (format!("{first} {join} {second} ON {one} = {other}"), both)
            }
            1 => {
                let (second, both) = self.table(&scope);
                let on = self.condition(&both, depth - 1);
                (format!("{first} JOIN {second} ON {on}"), both)
            }
            2 | 3 => {
                let (query, alias) = (self.query(&scope, depth - 1), self.alias());
                scope.push(format!("{alias}.x"));
                let left = self.draw.of(&[
                    "CROSS JOIN LATERAL ({}) {} (x)",
                    "LEFT JOIN LATERAL ({}) {} (x) ON true",
                    "LEFT JOIN LATERAL ({}) {} (x) ON {}.x > 20",
                ]);
                let text = left.replacen("{}", &query, 1).replace("{}", &alias);
                (format!("{first} {text}"), scope)
            }
            4 => {
                let (query, alias) = (self.query(around, depth - 1), self.alias());
                scope.push(format!("{alias}.x"));
                let one = scope[around.len()].clone();
                (
                    format!("{first} LEFT JOIN ({query}) {alias} (x) ON {one} = {alias}.x"),
                    scope,
                )
            }
            5 => {
                let (one, other, alias) = (
                    self.value(&scope, depth - 1),
                    self.value(&scope, depth - 1),
                    self.alias(),
                );
                let text = format!(
                    "{first} CROSS JOIN LATERAL (VALUES ({one}, 1), ({other}, 2)) {alias} (x, y)"
                );
                scope.extend(["x", "y"].map(|column| format!("{alias}.{column}")));
                (text, scope)
            }
            _ => (first, scope),
        }
    }

    fn table(&mut self, around: &[String]) -> (String, Vec<String>) {
        let (alias, mut scope) = (self.alias(), around.to_vec());
        let (table, columns) = match self.draw.one_in(2) {
            true => ("d", ["low", "high", "id"]),
            false => ("s", ["pay", "id", "dept"]),
        };
        scope.extend(columns.map(|column| format!("{alias}.{column}")));
        (format!("{table} AS {alias}"), scope)
    }

    /// A query of one column.
    fn query(&mut self, around: &[String], depth: u32) -> String {
        let (from, scope) = self.from(around, depth);
        let (value, condition) = (self.value(&scope, depth), self.condition(&scope, depth));
        let plain = format!("SELECT {value} AS x FROM {from} WHERE {condition}");
        let inner = depth.saturating_sub(1);
        match self.draw.below(15) {
            0 => format!("{plain} ORDER BY 1 LIMIT {}", self.draw.below(3)),
            1 => format!("{plain} ORDER BY 1 DESC NULLS LAST LIMIT 2 OFFSET 1"),
            2 => format!("SELECT DISTINCT {value} AS x FROM {from} WHERE {condition}"),
            3 => {
                let having = self.aggregate(&scope, around.len(), inner);
                format!(
                    "{plain} GROUP BY 1 HAVING {having} > {}",
                    self.draw.below(3)
                )
            }
            4 => format!(
                "SELECT {} AS x FROM {from} WHERE {condition}",
                self.aggregate(&scope, around.len(), inner)
            ),
            5 => {
                let of = self.draw.of(&["UNION", "UNION ALL", "INTERSECT", "EXCEPT"]);
                format!("({plain}) {of} ({})", self.query(around, inner))
            }
            6 => {
                let (part, own) = (self.value(&scope, 0), self.column(&scope[around.len()..]));
                format!(
                    "SELECT CAST(rank() OVER (PARTITION BY {part} ORDER BY {own}) AS bigint) AS x FROM {from} WHERE {condition}"
                )
            }
            7 if !around.is_empty() => format!("SELECT {} AS x", self.value(around, inner)),
            8 => {
                let (alias, of) = (
                    self.alias(),
                    self.draw.of(&["count(*)", "max({}.x)", "{}.x + 1"]),
                );
                format!(
                    "SELECT {} AS x FROM ({plain}) {alias}",
                    of.replace("{}", &alias)
                )
            }
            9..=11 => self.named(around, depth),
            _ => plain,
        }
    }

    /// A query of rows that have a name or none: VALUES, WITH and WITH RECURSIVE.
    fn named(&mut self, around: &[String], depth: u32) -> String {
        let (query, inner) = (
            self.query(around, depth.saturating_sub(1)),
            depth.saturating_sub(1),
        );
        let (alias, mut all) = (self.alias(), around.to_vec());
        all.push(format!("{alias}.x"));
        match self.draw.below(3) {
            0 => {
                let first = format!("SELECT max({alias}.x) FROM ({query}) {alias} (x)");
                let second = match around.is_empty() {
                    true => "30".to_owned(),
                    false => self.value(around, inner),
                };
                format!("SELECT {alias}.x FROM (VALUES (({first})), ({second})) {alias} (x)")
            }
            1 => {
                let second = self.alias();
                all.push(format!("{second}.x"));
                let (value, held) = (self.value(&all, inner), self.condition(&all, inner));
                let join = self.draw.of(&["JOIN", "LEFT JOIN"]);
                format!(
                    "WITH {alias} (x) AS ({query}) SELECT {value} AS x FROM {alias} {join} {alias} AS {second} \
                     ON {alias}.x > {second}.x WHERE {held}"
                )
            }
            _ => {
                let (held, of) = (self.condition(&all, inner), self.draw.of(&["", " ALL"]));
                let first = self.alias();
                format!(
                    "WITH RECURSIVE {alias} (x) AS (SELECT CAST({first}.x AS bigint) FROM ({query}) {first} (x) UNION{of} \
                     SELECT {alias}.x + 30 FROM {alias} WHERE {alias}.x < 60 AND ({held})) SELECT {alias}.x FROM {alias}"
                )
            }
        }
    }

    /// Of rows of its own query: one of columns from outside alone would be one of the query around.
    fn aggregate(&mut self, scope: &[String], own: usize, depth: u32) -> String {
        let own = self.column(&scope[own..]);
        let value = match self.draw.one_in(2) {
            true => own.clone(),
            false => format!("{own} + {}", self.value(scope, depth)),
        };
        let condition = format!("({own} > 2) = ({})", self.condition(scope, depth));
        match self.draw.below(5) {
            0 => "count(*)".to_owned(),
            1 => format!("count({value})"),
            2 => format!("max({value})"),
            3 => format!("count(*) FILTER (WHERE {condition})"),
            _ => format!("sum({value})"),
        }
    }

    fn value(&mut self, scope: &[String], depth: u32) -> String {
        let choice = self.draw.below(if depth == 0 { 6 } else { 13 });
        let inner = depth.saturating_sub(1);
        match choice {
            0 => self.draw.of(&["0", "1", "2", "30", "90"]).to_owned(),
            1 => format!("{} + {}", self.column(scope), self.draw.below(40)),
            2..=5 => self.column(scope),
            6 => {
                let (from, all) = self.from(scope, inner);
                let (total, condition) = (
                    self.aggregate(&all, scope.len(), inner),
                    self.condition(&all, inner),
                );
                format!("(SELECT {total} FROM {from} WHERE {condition})")
            }
            7 => {
                let (query, alias) = (self.query(scope, inner), self.alias());
                format!("(SELECT {alias}.x FROM ({query}) {alias} (x) ORDER BY 1 LIMIT 1)")
            }
            8 => {
                let condition = self.condition(scope, inner);
                format!(
                    "CASE WHEN {condition} THEN {} ELSE 7 END",
                    self.value(scope, inner)
                )
            }
            9 => {
                let function = self.draw.of(&["coalesce", "nullif", "greatest", "least"]);
                format!(
                    "{function}({}, {})",
                    self.value(scope, inner),
                    self.value(scope, inner)
                )
            }
            10 => format!(
                "CASE {} WHEN {} THEN 1 WHEN {} THEN 2 END",
                self.value(scope, inner),
                self.value(scope, inner),
                self.value(scope, inner)
            ),
            11 => format!("CAST(({}) AS int)", self.condition(scope, inner)),
            _ => format!(
                "({} - {})",
                self.value(scope, inner),
                self.value(scope, inner)
            ),
        }
    }

    fn condition(&mut self, scope: &[String], depth: u32) -> String {
        let inner = depth.saturating_sub(1);
        match self.draw.below(if depth == 0 { 4 } else { 16 }) {
            0 => format!("{} IS NOT NULL", self.column(scope)),
            1..=3 => {
                let operator = self.draw.of(&["=", "<", ">=", "<>"]);
                format!(
                    "{} {operator} {}",
                    self.column(scope),
                    self.value(scope, inner)
                )
            }
            4 => format!(
                "({} AND {})",
                self.condition(scope, inner),
                self.condition(scope, inner)
            ),
            5 => format!(
                "({} OR {})",
                self.condition(scope, inner),
                self.condition(scope, inner)
            ),
            6 => format!("NOT ({})", self.condition(scope, inner)),
            7 => format!("({}) IS NULL", self.condition(scope, inner)),
            8 | 9 => {
                let not = self.draw.of(&["", "NOT "]);
                format!("{not}EXISTS ({})", self.query(scope, inner))
            }
            10 => {
                let (value, not) = (self.value(scope, inner), self.draw.of(&["", "NOT "]));
                format!("{value} {not}IN ({})", self.query(scope, inner))
            }
            11..=14 => self.compared(scope, inner),
            _ => {
                let (operator, of) = (
                    self.draw.of(&["=", "<", ">"]),
                    self.draw.of(&["ANY", "ALL"]),
                );
                let (value, query, alias) = (
                    self.value(scope, inner),
                    self.query(scope, inner),
                    self.alias(),
                );
                format!("{value} {operator} {of} (SELECT {alias}.x FROM ({query}) {alias} (x))")
            }
        }
    }

    /// More than two values, or rows, or truths.
    fn compared(&mut self, scope: &[String], inner: u32) -> String {
        match self.draw.below(4) {
            0 => {
                let not = self.draw.of(&["", "NOT "]);
                let between = self.draw.of(&["BETWEEN {} AND {}", "IN (30, {}, {})"]);
                let (value, low, high) = (
                    self.value(scope, inner),
                    self.value(scope, inner),
                    self.value(scope, inner),
                );
                let within = between.replacen("{}", &low, 1).replacen("{}", &high, 1);
                format!("{value} {not}{within}")
            }
            1 => format!(
                "({} IS {}DISTINCT FROM {})",
                self.value(scope, inner),
                self.draw.of(&["", "NOT "]),
                self.value(scope, inner)
            ),
            2 => {
                let (one, other) = (self.value(scope, 0), self.value(scope, inner));
                let not = self.draw.of(&["", "NOT "]);
                let (from, all) = self.from(scope, inner);
                let (first, second) = (self.column(&all), self.value(&all, inner));
                let held = self.condition(&all, inner);
                format!(
                    "({one}, {other}) {not}IN (SELECT {first}, {second} FROM {from} WHERE {held})"
                )
            }
            _ => format!(
                "(({}) {} ({}))",
                self.condition(scope, inner),
                self.draw.of(&["=", "<>", "IS DISTINCT FROM"]),
                self.condition(scope, inner)
            ),
        }
    }
}
