//! Attacks by writes: statements in every position of a write where a table or an expression can stand,
//! and random ones. Each ends the same in two worlds that differ only in what the caller may not know
//! (see `twins`), leaves the same visible rows, and leaves hidden rows and masked values as they are.
//!
//! `DATAOS_WRITES=100000` sets how many random statements instead of 400, `DATAOS_SEED=7` where to start.

use crate::{
    noninterference::{Draw, Names},
    twins::{End, Twins},
};

/// Random statements without another wish.
const STATEMENTS: u64 = 400;
/// Statements that one pair of worlds takes.
const STATEMENTS_PER_WORLD: u64 = 12;
/// Pairs of worlds side by side.
const TASKS: u64 = 2;
/// Levels of expressions.
const DEPTH: u32 = 2;

/// Places of an expression over the columns of `t` (`{e}`), which need not be a condition.
const EXPRESSIONS: &[&str] = &[
    "UPDATE t SET memo = 'x' WHERE {e} IS NOT NULL",
    "UPDATE t SET memo = 'x' WHERE tenant = 'b' OR {e} IS NULL",
    "UPDATE t SET memo = CAST({e} AS VARCHAR)",
    "UPDATE t SET id = CASE WHEN {e} IS NULL THEN 1 ELSE 2 END",
    "UPDATE t SET memo = 'x' WHERE id < 5 RETURNING {e}",
    "UPDATE t SET memo = u.region FROM u WHERE u.t_id = t.id",
    "UPDATE t SET memo = 'y' FROM u WHERE u.t_id = t.id AND {e} IS NOT NULL",
    "UPDATE u SET rank = 1 FROM t WHERE u.t_id = t.id AND {e} IS NOT NULL",
    "UPDATE u SET rank = (SELECT count({e}) FROM t WHERE t.id = u.t_id)",
    "DELETE FROM t WHERE {e} IS NULL",
    "DELETE FROM t WHERE id > 30 AND {e} IS NOT NULL RETURNING *",
    "DELETE FROM t USING v WHERE v.id = t.id AND {e} IS NOT NULL",
    "DELETE FROM u WHERE EXISTS (SELECT 1 FROM t WHERE t.id = u.t_id AND {e} IS NOT NULL)",
    "DELETE FROM t WHERE id < 3 RETURNING {e}",
    "INSERT INTO lake.main.u (id, rank, region) SELECT id, length(CAST({e} AS VARCHAR)), 'EMEA' FROM t",
    "INSERT INTO lake.main.t (id, tenant) SELECT id, 'a' FROM t WHERE {e} IS NOT NULL RETURNING id",
    "MERGE INTO t USING u ON t.id = u.t_id AND {e} IS NOT NULL WHEN MATCHED THEN DELETE",
    "MERGE INTO t USING u ON t.id = u.t_id WHEN MATCHED AND {e} IS NULL THEN DELETE \
     WHEN MATCHED THEN UPDATE SET memo = 'm'",
    "MERGE INTO u USING t ON t.id = u.t_id AND {e} IS NOT NULL \
     WHEN NOT MATCHED THEN INSERT (id, region) VALUES (t.id, 'EMEA')",
    "MERGE INTO u USING t ON t.id = u.t_id WHEN MATCHED THEN UPDATE SET rank = CAST({e} AS BIGINT)",
];

/// Expressions that fail on hidden rows or raw values only, or tell of them.
const PROBES: &[&str] = &[
    "1 / (amount - 777)",
    "CAST(memo AS BIGINT)",
    "(amount - 776) * 9223372036854775807",
    "1 / (salary - 877)",
    "CAST(note AS BIGINT)",
    "substr(email, 2)",
    "ssn",
    "born",
    "CASE WHEN tenant = 'b' THEN 1 / (amount - amount) ELSE 1 END",
];

/// Places of a relation (`{r}`), with an alias behind it.
const RELATIONS: &[&str] = &[
    "UPDATE u SET rank = 1 FROM {r} AS x",
    "UPDATE u SET rank = (SELECT count(*) FROM {r} AS x)",
    "UPDATE u SET rank = 3 WHERE EXISTS (SELECT 1 FROM {r} AS x WHERE x.id = u.id)",
    "UPDATE u SET rank = 4 WHERE id IN (SELECT x.id FROM {r} AS x)",
    "DELETE FROM u USING {r} AS x WHERE x.id = u.id",
    "DELETE FROM u WHERE id < (SELECT count(*) FROM {r} AS x)",
    "DELETE FROM {r} AS x",
    "UPDATE {r} AS x SET id = 1",
    "MERGE INTO u USING {r} AS x ON x.id = u.id WHEN MATCHED THEN DELETE",
    "MERGE INTO u USING {r} AS x ON x.id = u.id WHEN NOT MATCHED THEN INSERT (id, region) VALUES (x.id, 'EMEA')",
    "MERGE INTO {r} AS x USING v ON x.id = v.id WHEN MATCHED THEN DELETE",
    "INSERT INTO lake.main.u (id, region) SELECT id, 'EMEA' FROM {r} AS x",
    "DELETE FROM u RETURNING (SELECT count(*) FROM {r} AS x)",
];

const SOURCES: &[&str] = &[
    "t",
    "u",
    "v",
    "\"__t0\"",
    "(SELECT * FROM t)",
    "(SELECT 1 / (amount - 777) AS q, id FROM t)",
    "(SELECT id, ssn FROM t)",
    "(SELECT id, email AS q FROM t)",
];

const AS_WRITTEN: &[&str] = &[
    // What decides over masks and rows.
    "UPDATE t SET amount = 1003",
    "UPDATE t SET amount = 1003 WHERE id = 1 RETURNING note",
    "UPDATE t SET tenant = 'b'",
    "UPDATE t SET tenant = 'b' WHERE salary > 877",
    "UPDATE u SET region = 'EMEA'",
    "MERGE INTO t USING v ON t.id = v.id WHEN MATCHED THEN UPDATE SET amount = 1003",
    // Masked values on their way back.
    "UPDATE t SET memo = email",
    "UPDATE t SET memo = note",
    "UPDATE t SET memo = b.email FROM t AS b WHERE b.id = t.id",
    "UPDATE t SET memo = (SELECT max(email) FROM t AS b)",
    "UPDATE t SET memo = q FROM (SELECT id AS i, upper(note) AS q FROM t) AS b WHERE b.i = t.id",
    "UPDATE t SET email = memo",
    "UPDATE t SET ssn = 'x'",
    "UPDATE u SET label = 'x'",
    "INSERT INTO lake.main.t (id, tenant, email) SELECT id, tenant, email FROM t",
    "INSERT INTO lake.main.t (id, tenant, memo) SELECT id, tenant, note FROM t",
    "MERGE INTO t USING t AS b ON t.id = b.id WHEN MATCHED THEN UPDATE SET memo = b.email",
    "MERGE INTO t USING t AS b ON t.id = b.id + 1000 WHEN NOT MATCHED THEN INSERT (id, tenant, memo) VALUES (b.id, 'a', b.note)",
    // From one table into the other, what the caller sees is his.
    "UPDATE u SET rank = salary FROM t WHERE t.id = u.id",
    "UPDATE t SET memo = label FROM u WHERE u.id = t.id",
    // Rows of others.
    "INSERT INTO lake.main.t (id, tenant) VALUES (1, 'b')",
    "INSERT INTO lake.main.t (id) VALUES (1)",
    "INSERT INTO lake.main.t (id, tenant, ssn) VALUES (1, 'a', 'mine') RETURNING *",
    "INSERT INTO lake.main.u (id, region) VALUES (1, 'EMEA') RETURNING region",
    // Names that are ours.
    "UPDATE t SET id = __row",
    "UPDATE t SET id = t.\"__row\"",
    "DELETE FROM t WHERE __row = 3",
    "DELETE FROM t RETURNING __row",
    "UPDATE t AS \"__t0\" SET memo = 'x' FROM t AS \"__t1\" WHERE \"__t0\".id = \"__t1\".id",
    // More than one row for one.
    "UPDATE t SET memo = 'x' FROM v",
    "DELETE FROM t USING t AS b WHERE t.tenant = b.tenant",
    "MERGE INTO t USING (SELECT 1 AS id UNION ALL SELECT 1) AS s ON t.id = s.id WHEN MATCHED THEN DELETE",
    // Forms that are refused.
    "INSERT INTO lake.main.t (id) VALUES (1) ON CONFLICT DO NOTHING",
    "INSERT INTO lake.main.t (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET memo = excluded.ssn",
    "WITH c AS (SELECT ssn FROM t) UPDATE t SET memo = c.ssn FROM c",
    "WITH c AS (DELETE FROM t RETURNING ssn) SELECT * FROM c",
    "UPDATE ONLY t SET memo = 'x'",
    "UPDATE t SET (memo, id) = (SELECT ssn, id FROM t)",
    "UPDATE t SET memo = 'x' WHERE CURRENT OF c",
    "DELETE t FROM t JOIN u ON t.id = u.id",
    "TRUNCATE TABLE t",
    "EXPLAIN UPDATE t SET memo = ssn",
    "EXPLAIN POLICY UPDATE t SET memo = email WHERE 1 / (amount - 777) < 5",
    "EXPLAIN POLICY DELETE FROM t WHERE 1 / (amount - 777) < 5 RETURNING note",
    "EXPLAIN ANALYZE DELETE FROM t",
    // Where nothing is hidden, the order and the number of rows stay visible.
    "UPDATE t SET memo = memo || '!' WHERE amount IS NULL RETURNING id, memo, salary, email, note, born",
    "DELETE FROM t WHERE note LIKE 'open%' RETURNING note, amount",
    "DELETE FROM t",
    "DELETE FROM u RETURNING *",
];

fn statements() -> Vec<String> {
    let mut all = Vec::new();
    let filled = [(EXPRESSIONS, "{e}", PROBES), (RELATIONS, "{r}", SOURCES)];
    for (places, hole, things) in filled {
        for place in places {
            all.extend(things.iter().map(|thing| place.replace(hole, thing)));
        }
    }
    all.extend(AS_WRITTEN.iter().map(ToString::to_string));
    all.sort();
    all.dedup();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn no_write_tells_two_worlds_apart() {
    let statements = statements();
    let (mut answered, mut leaks) = (0, Vec::new());
    for sql in &statements {
        // Worlds of its own, so that each statement meets all rows.
        match Twins::of_stored().compare_write(sql).await {
            Ok(End::Answered) => answered += 1,
            Ok(End::Refused) => {}
            Err(leak) => leaks.push(leak),
        }
    }
    eprintln!(
        "writes: {} attacks, {answered} answered, {} leaks",
        statements.len(),
        leaks.len()
    );
    assert!(statements.len() >= 250, "{}", statements.len());
    assert!(answered * 4 >= statements.len(), "{answered}");
    assert!(leaks.is_empty(), "\n{}", leaks.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn random_writes_do_not_tell_two_worlds_apart() {
    let wish = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let count: u64 = wish("DATAOS_WRITES").unwrap_or(STATEMENTS);
    let seed: u64 = wish("DATAOS_SEED").unwrap_or(1);
    let tasks = (0..TASKS).map(|task| tokio::spawn(random(task, count, seed)));
    let (mut answered, mut refused) = (0, 0);
    for task in tasks.collect::<Vec<_>>() {
        let ended = task.await.unwrap();
        answered += ended.0;
        refused += ended.1;
    }
    eprintln!("writes: {count} statements from seed {seed}, {answered} answered");
    assert_eq!(answered + refused, count);
    assert!(answered * 3 > count && refused > 0, "{answered} of {count}");
}

/// Every so manieth block of statements; how many were answered, and refused.
async fn random(task: u64, count: u64, seed: u64) -> (u64, u64) {
    let (mut answered, mut refused) = (0, 0);
    let (mut twins, mut has_parts) = (Twins::of_stored(), false);
    for number in (0..count).filter(|number| number / STATEMENTS_PER_WORLD % TASKS == task) {
        if number % STATEMENTS_PER_WORLD == 0 || has_parts {
            twins = Twins::of_stored();
        }
        let sql = Draw::new(seed.wrapping_add(number).wrapping_mul(31)).write();
        // After an INSERT there are two parts, whose order chance gives.
        has_parts = sql.starts_with("INSERT");
        match twins.compare_write(&sql).await {
            Ok(End::Answered) => answered += 1,
            Ok(End::Refused) => refused += 1,
            Err(leak) => panic!("DATAOS_SEED={}: {leak}", seed.wrapping_add(number)),
        }
    }
    (answered, refused)
}

impl Draw {
    /// A write to `t` (as `a`) or `u` (as `b`).
    fn write(&mut self) -> String {
        let (a, b) = (Names::of("t", "a"), Names::of("u", "b"));
        let both = a.and(&b);
        match self.below(9) {
            0 | 1 => {
                let (set, filter) = (self.set_of_t(&a), self.filter(&a));
                let returning = self.returning(&a);
                format!("UPDATE t AS a SET {set}{filter}{returning}")
            }
            2 => {
                let (set, filter) = (self.set_of_u(&b), self.filter(&b));
                format!("UPDATE u AS b SET {set}{filter}")
            }
            3 => {
                let (key, filter) = (self.below(40), self.condition(&a, DEPTH));
                let returning = self.returning(&a);
                format!("DELETE FROM t AS a WHERE a.id >= {key} AND {filter}{returning}")
            }
            4 => {
                let (set, filter) = (self.set_of_t(&both), self.condition(&both, DEPTH));
                format!("UPDATE t AS a SET {set} FROM u AS b WHERE a.id = b.t_id AND {filter}")
            }
            5 => {
                let filter = self.condition(&both, DEPTH);
                format!("DELETE FROM u AS b USING t AS a WHERE a.id = b.t_id AND {filter}")
            }
            6 => {
                let (id, memo) = (self.number(&b, DEPTH), self.text(&b, DEPTH));
                let (tenant, filter) = (
                    self.of(&["'a'", "'a'", "'a'", "'b'"]).to_owned(),
                    self.filter(&b),
                );
                format!(
                    "INSERT INTO lake.main.t (id, tenant, memo) SELECT {id}, {tenant}, {memo} FROM u AS b{filter} RETURNING id, memo, salary"
                )
            }
            _ => self.merge(&a, &b, &both),
        }
    }

    fn merge(&mut self, a: &Names, b: &Names, both: &Names) -> String {
        let (first, second) = (self.condition(both, DEPTH), self.condition(a, 1));
        let (set, value) = (self.set_of_u(both), self.number(a, DEPTH));
        let _ = b;
        let action = match self.below(3) {
            0 => "DELETE".to_owned(),
            _ => format!("UPDATE SET {set}"),
        };
        format!(
            "MERGE INTO u AS b USING t AS a ON a.id = b.t_id WHEN MATCHED AND {first} THEN {action} \
             WHEN MATCHED THEN UPDATE SET rank = 9 WHEN NOT MATCHED AND {second} \
             THEN INSERT (id, t_id, rank, region) VALUES (a.id, {value}, 2, 'EMEA')"
        )
    }

    fn set_of_t(&mut self, names: &Names) -> String {
        match self.below(10) {
            0..=3 => format!("memo = {}", self.text(names, DEPTH)),
            4 | 5 => format!("id = {}", self.number(names, DEPTH)),
            6 => format!(
                "memo = {}, id = {}",
                self.text(names, 1),
                self.number(names, 1)
            ),
            7 => format!("tenant = {}", self.text(names, 1)),
            8 => format!("amount = {}", self.number(names, 1)),
            _ => format!(
                "{} = {}",
                self.of(&["note", "email", "ssn"]),
                self.text(names, 1)
            ),
        }
    }

    fn set_of_u(&mut self, names: &Names) -> String {
        match self.below(5) {
            0 | 1 => format!("rank = {}", self.number(names, DEPTH)),
            2 => format!("t_id = {}, rank = 5", self.number(names, 1)),
            3 => format!("id = {}", self.number(names, 1)),
            _ => format!("label = {}", self.text(names, 1)),
        }
    }

    fn filter(&mut self, names: &Names) -> String {
        if self.one_in(4) {
            return String::new();
        }
        format!(" WHERE {}", self.condition(names, DEPTH))
    }

    /// Expressions of one row, in the names of the table itself.
    fn returning(&mut self, names: &Names) -> String {
        match self.below(4) {
            0 => " RETURNING *".to_owned(),
            1 => format!(" RETURNING {}", self.value(names, 0)),
            _ => String::new(),
        }
    }
}
