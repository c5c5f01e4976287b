//! The attack table: for each way around a policy that is known of this field, statements in every
//! position that a table or an expression can stand. A statement may be answered or refused; it must
//! end the same in two worlds that differ only in what the caller may not know (see `twins`).

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    back_ends::BackEnd,
    twins::{End, Governed, Twins},
};

/// Places of an expression over the columns of `t` (`{e}`), which need not be a condition.
const EXPRESSIONS: &[&str] = &[
    "SELECT {e} AS x FROM t ORDER BY id",
    "SELECT count(*) FROM t WHERE {e} IS NOT NULL",
    "SELECT count(*) FROM t WHERE tenant = 'b' OR {e} IS NULL",
    "SELECT id FROM t ORDER BY {e}, id LIMIT 5",
    "SELECT id, amount FROM t WHERE {e} IS NOT NULL ORDER BY amount DESC LIMIT 5",
    "SELECT t.id, u.rank FROM u JOIN t ON u.t_id = t.id AND {e} IS NOT NULL ORDER BY u.rank LIMIT 5",
    "SELECT {e} AS x, count(*) FROM t GROUP BY 1 ORDER BY 1",
    "SELECT count(*) FROM t GROUP BY tenant HAVING max({e}) IS NOT NULL",
    "SELECT count({e}) FILTER (WHERE {e} IS NOT NULL) FROM t",
    "SELECT id, row_number() OVER (PARTITION BY tenant ORDER BY {e}, id) FROM t ORDER BY id",
    "SELECT count(*) FROM u JOIN t ON u.t_id = t.id AND {e} IS NOT NULL",
    "SELECT count(*) FROM u LEFT JOIN t ON u.t_id = t.id AND {e} IS NULL",
    "SELECT count(*) FROM u WHERE EXISTS (SELECT 1 FROM t WHERE t.id = u.t_id AND {e} IS NOT NULL)",
    "SELECT CASE WHEN id >= 0 THEN {e} END AS x FROM t ORDER BY id",
    "SELECT count(*) FROM (SELECT {e} AS x FROM t) AS s WHERE x IS NOT NULL",
    "WITH c AS (SELECT * FROM t) SELECT count(*) FROM c AS t WHERE {e} IS NOT NULL",
    "SELECT {e} AS x FROM t UNION SELECT {e} FROM t ORDER BY 1",
    "SELECT id FROM t QUALIFY row_number() OVER (ORDER BY {e}, id) < 4 ORDER BY id",
    "SELECT t.id, x.v FROM t, LATERAL (SELECT {e} AS v FROM u WHERE u.t_id = t.id ORDER BY u.rank LIMIT 1) AS x ORDER BY 1",
    "SELECT id, (SELECT {e}) AS x FROM t ORDER BY id",
    "SELECT id FROM t WHERE (SELECT count(*) FROM u WHERE u.t_id <= t.id AND {e} IS NOT NULL) > 1 ORDER BY id",
    "SELECT id, {e} IN (SELECT {e} FROM t AS z) AS x FROM t ORDER BY id",
];

/// Places of a relation (`{r}`), with an alias behind it where one can stand.
const RELATIONS: &[&str] = &[
    "SELECT * FROM {r} AS x",
    "SELECT count(*) FROM {r}",
    "SELECT count(*) FROM v JOIN {r} AS x ON true",
    "SELECT count(*) FROM v LEFT JOIN {r} AS x ON v.id = 1",
    "SELECT count(*) FROM v, {r} AS x",
    "SELECT count(*) FROM (SELECT * FROM v) AS w, {r} AS x",
    "WITH w AS (SELECT * FROM v) SELECT x.* FROM w JOIN {r} AS x ON true",
    "SELECT (SELECT count(*) FROM {r} AS x) AS n",
    "SELECT id FROM v WHERE EXISTS (SELECT 1 FROM {r} AS x) ORDER BY id",
    "SELECT id FROM v WHERE id IN (SELECT 1 FROM {r} AS x) ORDER BY id",
    "SELECT id FROM v ORDER BY (SELECT count(*) FROM {r} AS x), id",
    "SELECT count(*) FROM v GROUP BY (SELECT count(*) FROM {r} AS x)",
    "SELECT count(*) FROM v HAVING count(*) > (SELECT count(*) FROM {r} AS x)",
    "WITH c AS (SELECT * FROM {r} AS x) SELECT count(*) FROM c",
    "WITH RECURSIVE c (n) AS (SELECT count(*) FROM {r} AS x UNION ALL SELECT n + 1 FROM c WHERE n < 3) SELECT max(n) FROM c",
    "SELECT count(*) FROM v, LATERAL (SELECT * FROM {r} AS x) AS y",
    "SELECT 1 AS n FROM v UNION ALL SELECT 2 FROM {r} AS x ORDER BY 1",
    "VALUES ((SELECT count(*) FROM {r} AS x))",
    "SELECT coalesce((SELECT count(*) FROM {r} AS x), 0)",
    "SELECT CASE WHEN (SELECT count(*) FROM {r} AS x) > 3 THEN 1 ELSE 0 END",
    "SELECT sum(id) FILTER (WHERE id < (SELECT count(*) FROM {r} AS x)) FROM v",
    "EXPLAIN SELECT * FROM {r} AS x",
    "SELECT id FROM v LIMIT (SELECT count(*) FROM {r} AS x)",
    "SELECT v.id, y.n FROM v, LATERAL (SELECT count(*) + v.id AS n FROM {r} AS x) AS y ORDER BY 1",
    "SELECT id, id NOT IN (SELECT 1 FROM {r} AS x) FROM v ORDER BY id",
    "SELECT id FROM v WHERE (id, 1) IN (SELECT count(*), 1 FROM {r} AS x) ORDER BY id",
    "SELECT id, (id, 1) NOT IN (SELECT 1, 1 FROM {r} AS x) FROM v ORDER BY id",
    "SELECT count(*) FROM (VALUES (1), ((SELECT count(*) FROM {r} AS x))) AS q (n) JOIN v ON v.id = q.n",
];

/// Places of an expression over the columns of `t` (`{e}`) in queries that aggregate, and of what fails on small groups.
const GROUPS: &[&str] = &[
    "SELECT tenant, count(*), sum({e}) FROM t GROUP BY tenant ORDER BY 1",
    "SELECT count(*), count(DISTINCT {e}) FROM t",
    "SELECT count(*) FROM t WHERE {e} = {e}",
    "SELECT count(*) FROM t GROUP BY {e} ORDER BY 1",
    "SELECT min({e}), max({e}) FROM t",
    "SELECT tenant FROM t GROUP BY tenant HAVING count({e}) > 1 ORDER BY 1",
    "SELECT 1 / (count({e}) - 1) FROM t GROUP BY id",
    "SELECT * FROM (SELECT id, count({e}) AS n FROM t GROUP BY id) AS q WHERE 1 / (n - 1) < 5 ORDER BY 1",
    "SELECT * FROM (SELECT {e} AS x, count(*) AS n FROM t GROUP BY {e}) AS q WHERE 1 / (n - 1) < 5 ORDER BY 1",
    "SELECT count(*) FROM v JOIN (SELECT tenant, count({e}) AS n FROM t GROUP BY tenant) AS q ON v.id = q.n",
    "SELECT count(*) FROM t JOIN u ON t.id = u.t_id WHERE {e} IS NOT NULL",
    "SELECT v.word, count(*) FROM v LEFT JOIN t ON v.id = t.id AND {e} IS NOT NULL GROUP BY v.word ORDER BY 1",
    "SELECT id FROM v WHERE (SELECT count({e}) FROM t) > 3 ORDER BY id",
    "SELECT tenant, count(*) FROM t WHERE {e} IS NOT NULL GROUP BY ROLLUP (tenant) ORDER BY 1",
    "SELECT v.id, (SELECT count({e}) FROM t WHERE t.id >= v.id) AS n FROM v ORDER BY 1",
    "SELECT v.id, x.m FROM v, LATERAL (SELECT max({e}) AS m FROM t WHERE t.id > v.id) AS x ORDER BY 1",
    "SELECT sum((SELECT count(*) FROM v WHERE v.id < t.amount AND {e} IS NOT NULL)) FROM t",
];

/// Class of the design page, its places, and what is put there.
type Family = (u8, &'static [&'static str], &'static [&'static str]);

const AS_WRITTEN: &[&str] = &["{s}"];

const FAMILIES: &[Family] = &[
    // Error side channels: each fails on hidden rows or on raw values, and on no visible one.
    (
        1,
        EXPRESSIONS,
        &[
            "1 / (amount - 777)",
            "amount % (amount - 777)",
            "CAST(memo AS BIGINT)",
            "(amount - 776) * 9223372036854775807",
            "CAST(amount * 43 AS SMALLINT)",
            "to_date(memo, '%Y')",
            "substr(memo, 1, CAST(amount - 778 AS BIGINT))",
            "1 / (salary - 877)",
            "CAST(note AS BIGINT)",
        ],
    ),
    // Functions that are not known, that log, or that answer otherwise each time.
    (
        2,
        EXPRESSIONS,
        &["leak(memo)", "pg_sleep(amount)", "arrow_typeof(ssn)"],
    ),
    // Aliases, and the same table twice.
    (
        3,
        AS_WRITTEN,
        &[
            "SELECT a.id, b.id FROM t a, t b WHERE a.id = b.id ORDER BY 1, 2",
            "SELECT \"t\".label FROM u AS \"t\" ORDER BY 1",
            "SELECT u.memo FROM t AS u JOIN u AS t ON t.t_id = u.id ORDER BY 1",
            "SELECT t.ssn FROM t AS t",
            "SELECT a.ssn FROM t a JOIN t b ON a.ssn = b.ssn",
            "SELECT x.* FROM (SELECT * FROM t) x JOIN t ON t.id = x.id ORDER BY x.id",
            "SELECT count(*) FROM t AS \"__t0\", u AS \"__t1\"",
            "SELECT \"__t0\".ssn FROM t",
            "SELECT count(*) FROM \"__t0\"",
            "SELECT count(*) FROM t a JOIN t b ON a.amount = b.amount AND a.id <> b.id",
            "SELECT count(*) FROM t, u AS T2, t AS t3",
            "SELECT main.t.amount FROM t ORDER BY 1",
            "SELECT other.t.amount FROM t ORDER BY 1",
        ],
    ),
    // WITH that shadows.
    (
        4,
        AS_WRITTEN,
        &[
            "WITH t AS (SELECT * FROM u) SELECT * FROM t ORDER BY id",
            "WITH t AS (SELECT * FROM t) SELECT * FROM t ORDER BY id",
            "WITH u AS (SELECT id, memo AS region FROM t) SELECT * FROM u ORDER BY id",
            "WITH \"__t0\" AS (SELECT * FROM t) SELECT count(*) FROM \"__t0\"",
            "WITH tenant AS (SELECT 'a' AS tenant) SELECT count(*) FROM t, tenant",
            "WITH a AS (SELECT 'b' AS tenant) SELECT count(*) FROM t JOIN a USING (tenant)",
            "WITH t AS (WITH t AS (SELECT * FROM t) SELECT * FROM t) SELECT count(*) FROM t",
            "WITH \"T\" AS (SELECT 1 AS id) SELECT count(*) FROM t",
            "WITH t (id, ssn) AS (SELECT id, memo FROM t) SELECT ssn FROM t ORDER BY id",
            "WITH c AS (SELECT ssn FROM t) SELECT * FROM c",
            "WITH c AS (SELECT * FROM t) SELECT c.ssn FROM c",
        ],
    ),
    // Recursion and nested WITH.
    (
        5,
        AS_WRITTEN,
        &[
            "WITH RECURSIVE c AS (SELECT id FROM t WHERE id = 0 UNION SELECT t.id FROM t JOIN c ON t.id = c.id + 1) SELECT count(*) FROM c",
            "WITH RECURSIVE c (n, m) AS (SELECT 0, CAST('' AS VARCHAR) UNION ALL SELECT n + 1, memo FROM t JOIN c ON t.id = n + 1) SELECT * FROM c ORDER BY 1",
            "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT count(*) FROM t",
            "WITH RECURSIVE t AS (SELECT * FROM t) SELECT count(*) FROM t",
            "WITH RECURSIVE c AS (SELECT amount FROM t UNION SELECT 1 / (c.amount - 777) FROM c) SELECT count(*) FROM c",
            "WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT * FROM a) SELECT * FROM a",
            "SELECT * FROM (WITH a AS (WITH b AS (SELECT memo FROM t) SELECT * FROM b) SELECT * FROM a) x ORDER BY 1",
            "SELECT count(*) FROM v WHERE id IN (WITH RECURSIVE c AS (SELECT id FROM t UNION SELECT id + 1 FROM c WHERE id < 50) SELECT id FROM c)",
            "WITH RECURSIVE c AS (SELECT ssn FROM t UNION SELECT ssn FROM c) SELECT * FROM c",
            "WITH c AS (DELETE FROM t RETURNING *) SELECT * FROM c",
            "WITH c AS (UPDATE t SET amount = 1 RETURNING *) SELECT * FROM c",
        ],
    ),
    // Subqueries everywhere: the plain tables in each place.
    (
        6,
        RELATIONS,
        &[
            "t",
            "u",
            "(SELECT * FROM t)",
            "(SELECT 1 / (amount - 777) AS q FROM t)",
        ],
    ),
    // USING and NATURAL.
    (
        7,
        AS_WRITTEN,
        &[
            "SELECT * FROM t JOIN u USING (id) ORDER BY id",
            "SELECT * FROM t NATURAL JOIN u ORDER BY id",
            "SELECT * FROM t NATURAL FULL JOIN u ORDER BY id",
            "SELECT id, ssn FROM t NATURAL JOIN u",
            "SELECT count(*) FROM t a JOIN t b USING (ssn)",
            "SELECT count(*) FROM t a JOIN t b USING (email)",
            "SELECT count(*) FROM t a JOIN t b USING (salary, born)",
            "SELECT count(*) FROM t a NATURAL JOIN t b",
            "SELECT count(*) FROM u NATURAL JOIN (SELECT 'AMER' AS region) x",
            "SELECT count(*) FROM t NATURAL JOIN (SELECT 'b' AS tenant) x",
            "SELECT count(*) FROM u JOIN (SELECT 'AMER' AS region) x USING (region)",
            "SELECT label, count(*) FROM u a FULL JOIN u b USING (label) GROUP BY label",
        ],
    ),
    // Stars and whole rows.
    (
        8,
        AS_WRITTEN,
        &[
            "SELECT * FROM t ORDER BY id",
            "SELECT t.* FROM t ORDER BY id",
            "SELECT * EXCEPT (id) FROM t ORDER BY memo, amount, email",
            "SELECT * EXCEPT (ssn) FROM t",
            "SELECT * EXCLUDE (tenant) FROM t ORDER BY id",
            "SELECT * REPLACE (ssn AS memo) FROM t",
            "SELECT * REPLACE (1 / (amount - 777) AS amount) FROM t ORDER BY id",
            "SELECT * RENAME (ssn AS memo) FROM t",
            "SELECT * RENAME (note AS x) FROM t ORDER BY id",
            "SELECT * ILIKE '%s%' FROM t ORDER BY 1",
            "SELECT * ILIKE 'ssn' FROM t",
            "SELECT t FROM t",
            "SELECT (t).ssn FROM t",
            "SELECT (t.*)::text FROM t",
            "SELECT row_to_json(t) FROM t",
            "SELECT count(t.*) FROM t",
            "SELECT count(DISTINCT t) FROM t",
            "SELECT t::text FROM t ORDER BY id",
            "SELECT count(*) FROM t WHERE t IS NOT NULL",
            "SELECT count(*) FROM t WHERE t IS NULL",
            "SELECT t FROM t ORDER BY t DESC LIMIT 3",
            "SELECT t, count(*) FROM t GROUP BY t ORDER BY t LIMIT 3",
            "SELECT count(*) FROM t a JOIN t b ON a = b",
            "SELECT count(*) FROM t a JOIN t b ON a IS DISTINCT FROM b",
            "SELECT u.id, t FROM u LEFT JOIN t ON u.t_id = t.id ORDER BY u.id",
            "SELECT u.id, count(t) FROM u LEFT JOIN t ON u.t_id = t.id GROUP BY u.id ORDER BY 1",
            "SELECT id FROM t WHERE row_to_text(t) LIKE '%777%' ORDER BY id",
            "SELECT id, lag(t) OVER (ORDER BY id) FROM t ORDER BY id",
            "SELECT array_agg(t ORDER BY id) FROM t",
            "SELECT (SELECT row_to_json(t) FROM u WHERE u.t_id = t.id LIMIT 1) FROM t ORDER BY id",
            "SELECT named_struct('a', ssn) FROM t",
            "SELECT named_struct('a', email, 'b', t) FROM t ORDER BY id",
            "SELECT t.\"__row\" FROM t",
            "SELECT t.whole_row, t FROM t",
            "SELECT x.whole_row FROM (SELECT t FROM t) x",
            "WITH c AS (SELECT t FROM t) SELECT c, row_to_text(c.t) FROM c ORDER BY 2",
            "SELECT struct(*) FROM t",
            "SELECT t['ssn'] FROM t",
            "SELECT u.*, t.* FROM u, t ORDER BY u.id, t.id",
        ],
    ),
    // Columns of the system.
    (
        9,
        EXPRESSIONS,
        &[
            "ctid",
            "xmin",
            "t.tableoid",
            "\"$path\"",
            "_rowid",
            "_metadata",
        ],
    ),
    // Metadata tables.
    (
        10,
        RELATIONS,
        &["\"t$files\"", "\"t$partitions\"", "t.files", "\"t@main\""],
    ),
    // Time travel.
    (
        11,
        RELATIONS,
        &[
            "t FOR SYSTEM_TIME AS OF '2020-01-01'",
            "t FOR VERSION AS OF 1",
            "t AT (TIMESTAMP => '2020-01-01')",
        ],
    ),
    // Samples, hints, partitions.
    (
        12,
        RELATIONS,
        &[
            "t TABLESAMPLE BERNOULLI (50)",
            "t TABLESAMPLE SYSTEM (10 ROWS)",
            "t WITH (NOLOCK)",
            "t PARTITION (p0)",
            "t FINAL",
        ],
    ),
    // Forms that hide a table.
    (
        13,
        RELATIONS,
        &[
            "t PIVOT (count(id) FOR tenant IN ('a', 'b'))",
            "t UNPIVOT (v FOR n IN (memo, note))",
            "t MATCH_RECOGNIZE (ORDER BY id MEASURES a.id AS x PATTERN (a) DEFINE a AS a.id > 1)",
            "(t CROSS JOIN u)",
        ],
    ),
    (
        13,
        AS_WRITTEN,
        &[
            "SELECT * FROM t LATERAL VIEW explode(memo) e AS x",
            "SELECT id FROM t CONNECT BY PRIOR id = id",
            "SELECT id FROM t |> WHERE amount = 777",
            "FROM t SELECT ssn",
            "SELECT * FROM t ARRAY JOIN memo",
            "SELECT count(*) FROM v CROSS APPLY (SELECT * FROM t WHERE 1 / (amount - 777) < 5) x",
            "SELECT count(*) FROM v OUTER APPLY (SELECT * FROM t WHERE amount = 777) x",
        ],
    ),
    // Table functions.
    (
        14,
        RELATIONS,
        &[
            "read_parquet('t.parquet')",
            "read_csv('u.csv')",
            "'t.parquet'",
            "\"t.parquet\"",
            "dblink('host=127.0.0.1', 'SELECT 1')",
            "generate_series(1, 10)",
            "TABLE(t)",
            "unnest(array[1])",
        ],
    ),
    (
        14,
        EXPRESSIONS,
        &["query_to_xml('SELECT * FROM t')", "pg_read_file('t')"],
    ),
    // TABLE.
    (
        15,
        AS_WRITTEN,
        &[
            "TABLE t",
            "TABLE u",
            "SELECT * FROM (TABLE t) x",
            "WITH c AS (TABLE t) SELECT * FROM c",
            "SELECT 1 UNION TABLE t",
            "SELECT (TABLE t)",
            "SELECT 1 WHERE EXISTS (TABLE t)",
            "CREATE TABLE lake.main.copied AS TABLE t",
            "EXPLAIN TABLE t",
            "SELECT 1 WHERE 1 IN (TABLE u)",
        ],
    ),
    // Views.
    (
        16,
        AS_WRITTEN,
        &[
            "CREATE VIEW w AS SELECT * FROM t",
            "CREATE OR REPLACE VIEW t AS SELECT 1",
            "CREATE MATERIALIZED VIEW w AS SELECT * FROM t",
            "CREATE VIEW w WITH (security_invoker = true) AS SELECT ssn FROM t",
            "ALTER VIEW w AS SELECT 1",
            "DROP VIEW w",
            "REFRESH MATERIALIZED VIEW w",
            "CREATE TEMPORARY VIEW t AS SELECT 1",
            "SELECT * FROM (SELECT * FROM t) AS w WHERE w.ssn = '1'",
            "SELECT * FROM (SELECT * FROM t) AS w WHERE 1 / (w.amount - 777) < 5 ORDER BY id",
        ],
    ),
    // Copies.
    (
        17,
        AS_WRITTEN,
        &[
            "CREATE TABLE lake.main.copied AS SELECT * FROM t WHERE 1 / (amount - 777) < 5",
            "CREATE TABLE lake.main.copied2 AS SELECT ssn FROM t",
            "CREATE TABLE lake.main.copied3 AS SELECT * FROM u",
            "SELECT DISTINCT * FROM copied ORDER BY id, memo",
            "SELECT * FROM copied3 ORDER BY id",
            "INSERT INTO lake.main.copied SELECT * FROM t",
            "INSERT INTO lake.main.copied (id) SELECT 1 / (amount - 777) FROM t",
            "INSERT INTO lake.main.copied (memo) SELECT ssn FROM t",
            "SELECT count(*) FROM copied",
            "SELECT * INTO x FROM t",
            "COPY t TO '/tmp/x'",
            "COPY (SELECT * FROM t) TO PROGRAM 'cat'",
            "COPY t FROM PROGRAM 'cat'",
            "UNLOAD (SELECT * FROM t) TO 's3://x'",
            "EXPORT DATA OPTIONS (uri = 'x') AS SELECT * FROM t",
        ],
    ),
    // Writes that answer.
    (
        18,
        AS_WRITTEN,
        &[
            "UPDATE t SET amount = 1 WHERE 1 / (amount - 777) < 5",
            "UPDATE t SET memo = ssn RETURNING *",
            "DELETE FROM t WHERE ssn = '1' RETURNING *",
            "MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN DELETE",
            "INSERT INTO v (id) VALUES (1) RETURNING *",
            "INSERT INTO t (id) VALUES (1) ON CONFLICT DO UPDATE SET memo = excluded.memo",
            "INSERT INTO t SELECT * FROM t",
            "REPLACE INTO t VALUES (1)",
            "INSERT OVERWRITE t SELECT 1",
            "TRUNCATE TABLE t",
            "SELECT * FROM t FOR UPDATE",
        ],
    ),
    // Statements that carry statements.
    (
        19,
        AS_WRITTEN,
        &[
            "PREPARE p AS SELECT * FROM t",
            "EXECUTE p",
            "EXECUTE IMMEDIATE 'SELECT * FROM t'",
            "DEALLOCATE p",
            "DECLARE c CURSOR FOR SELECT * FROM t",
            "FETCH ALL FROM c",
            "DO $$ BEGIN PERFORM 1; END $$",
            "CALL p()",
            "BEGIN",
            "SELECT * FROM t WHERE id = ?",
            "SELECT * FROM t WHERE id = $1",
            "CREATE FUNCTION f() RETURNS text AS 'SELECT ssn FROM t'",
        ],
    ),
    // The same statement again: nothing is kept between worlds and callers.
    (
        20,
        AS_WRITTEN,
        &[
            "SELECT sum(amount), count(*) FROM t",
            "SELECT  sum(amount), count(*) FROM t",
            "SELECT sum(amount), count(*) FROM t -- again",
            "SELECT /* other */ sum(amount), count(*) FROM t",
            "select sum(amount), count(*) from t",
            "SELECT sum(rank), count(*) FROM u",
            "SELECT sum(rank) AS s, count(*) FROM u",
            "SELECT min(amount), max(amount) FROM t",
            "SELECT max(salary), min(born) FROM t",
            "SELECT count(*) FROM t; ",
        ],
    ),
    // Plans and statistics.
    (
        21,
        AS_WRITTEN,
        &[
            "EXPLAIN SELECT * FROM t",
            "EXPLAIN SELECT * FROM t WHERE 1 / (amount - 777) < 5",
            "EXPLAIN SELECT ssn FROM t",
            "EXPLAIN POLICY SELECT * FROM t",
            "EXPLAIN POLICY SELECT * FROM t JOIN u ON t.id = u.t_id",
            "EXPLAIN ANALYZE SELECT * FROM t",
            "EXPLAIN VERBOSE SELECT * FROM t",
            "EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM t",
            "EXPLAIN FORMAT JSON SELECT * FROM t",
            "EXPLAIN ESTIMATE SELECT * FROM t",
            "SHOW STATS FOR t",
            "ANALYZE TABLE t",
            "DESCRIBE t",
        ],
    ),
    // Catalogs.
    (
        22,
        RELATIONS,
        &[
            "information_schema.columns",
            "pg_catalog.pg_stats",
            "pg_catalog.pg_class",
            "sqlite_master",
        ],
    ),
    (
        22,
        AS_WRITTEN,
        &[
            "SHOW TABLES",
            "SHOW COLUMNS FROM t",
            "SHOW CREATE TABLE t",
            "SHOW ALL",
        ],
    ),
    // Comments, stacked statements, invisible signs.
    (
        23,
        AS_WRITTEN,
        &[
            "SELECT/**/memo/**/FROM/**/t ORDER BY id",
            "SELECT memo FROM t -- WHERE tenant = 'a'",
            "SELECT memo FROM t /*! OR 1 = 1 */ ORDER BY id",
            "SELECT /*+ NO_POLICY */ memo FROM t ORDER BY id",
            "SELECT memo FROM t /* /* nested */ */ ORDER BY id",
            "SELECT memo FROM t; SELECT ssn FROM t",
            "SELECT memo FROM t;; ",
            "SELECT memo FROM t /*",
            "SELECT memo FROM t \u{0}",
            "\u{feff}SELECT memo FROM t",
            "SELECT memo FROM t\u{200b}",
            "SELECT me\u{200d}mo FROM t",
            "--\nSELECT memo FROM t ORDER BY id",
            "# SELECT memo\nSELECT ssn FROM t",
        ],
    ),
    // Quoting and spelling of names.
    (
        24,
        AS_WRITTEN,
        &[
            "SELECT SSN FROM T",
            "SELECT \"SSN\" FROM t",
            "SELECT \"ssn\" FROM \"t\"",
            "SELECT `ssn` FROM `t`",
            "SELECT [ssn] FROM [t]",
            "SELECT U&\"\\0073sn\" FROM t",
            "SELECT ｓｓｎ FROM t",
            "SELECT \"ſsn\" FROM t",
            "SELECT s\u{301}sn FROM t",
            "SELECT \"s\u{301}sn\" FROM t",
            "SELECT Memo, MEMO FROM LAKE.MAIN.T ORDER BY 1",
            "SELECT \"Memo\" FROM t",
            "SELECT \"memo\"\"\" FROM t",
            "SELECT $1 FROM t",
        ],
    ),
    // Readings that differ between parsers.
    (
        25,
        AS_WRITTEN,
        &[
            "SELECT memo FROM t WHERE memo = E'\\'' OR 1 = 1 --'",
            "SELECT memo FROM t WHERE memo = '\\' OR 1 = 1 --' ORDER BY id",
            "SELECT memo FROM t WHERE memo = $$ ' $$",
            "SELECT memo FROM t WHERE NOT amount = 777 IS NULL ORDER BY id",
            "SELECT memo FROM t WHERE amount < > 777",
            "SELECT memo FROM t WHERE amount <> 777 AND 1 = 1 OR 2 = 3 ORDER BY id",
            "SELECT - - amount FROM t ORDER BY id",
            "SELECT 'a' 'b' FROM t",
            "SELECT 'a''b' || memo FROM t ORDER BY id",
            "SELECT memo FROM t WHERE amount IS DISTINCT FROM 777 ORDER BY id",
            "SELECT amount & 1, amount | 1 FROM t ORDER BY id",
            "SELECT memo !~ '1' FROM t ORDER BY id",
        ],
    ),
    // Settings of the session.
    (
        26,
        AS_WRITTEN,
        &[
            "SET search_path = 'x'",
            "SET ROLE postgres",
            "SET SESSION AUTHORIZATION postgres",
            "SET row_security = off",
            "SET datafusion.execution.batch_size = 1",
            "RESET ALL",
            "USE lake",
            "SHOW search_path",
            "CREATE TEMPORARY TABLE t AS SELECT 1 AS id",
            "CREATE TABLE t AS SELECT 1 AS id",
            "CREATE SCHEMA s",
        ],
    ),
    // Set operations as an oracle of equality.
    (
        27,
        AS_WRITTEN,
        &[
            "SELECT email FROM t UNION SELECT memo FROM t ORDER BY 1",
            "SELECT email FROM t INTERSECT SELECT 'acanary1'",
            "SELECT email FROM t EXCEPT SELECT 'acanary2' ORDER BY 1",
            "SELECT salary FROM t INTERSECT SELECT 177",
            "SELECT born FROM t EXCEPT ALL SELECT born FROM t",
            "SELECT DISTINCT note FROM t ORDER BY 1",
            "SELECT DISTINCT ON (email) email, id FROM t ORDER BY email, id",
            "SELECT count(DISTINCT salary), count(DISTINCT born) FROM t",
            "SELECT label FROM u UNION ALL VALUES ('x') ORDER BY 1",
            "SELECT region FROM u EXCEPT SELECT 'EMEA'",
            "SELECT id FROM t EXCEPT SELECT t_id FROM u ORDER BY 1",
            "SELECT amount FROM t INTERSECT SELECT 777",
            "SELECT salary FROM t UNION SELECT 1 / (amount - 777) FROM t ORDER BY 1",
        ],
    ),
    // Masked columns in conditions, orders and groups.
    (
        28,
        EXPRESSIONS,
        &[
            "email",
            "salary",
            "born",
            "note",
            "salary > 150",
            "email LIKE '%canary1'",
            "born = DATE '2011-01-02'",
            "ssn",
        ],
    ),
    // First rows and limits.
    (
        29,
        AS_WRITTEN,
        &[
            "SELECT id FROM t ORDER BY amount DESC NULLS LAST, id LIMIT 3",
            "SELECT id FROM t ORDER BY amount, id LIMIT 3",
            "SELECT id FROM t ORDER BY salary DESC, id LIMIT 3",
            "SELECT count(*) FROM (SELECT id FROM t LIMIT 50) x",
            "SELECT id FROM t ORDER BY id OFFSET 35",
            "SELECT min(id), max(id) FROM t",
            "SELECT max(amount) FROM t",
            "SELECT id FROM t ORDER BY id FETCH FIRST 2 ROWS ONLY",
            "SELECT count(*) FROM (SELECT DISTINCT tenant FROM t) x",
            "SELECT id FROM (SELECT id FROM t ORDER BY id LIMIT 60) x WHERE id > 30 ORDER BY id",
            "SELECT first_value(memo ORDER BY amount), last_value(memo ORDER BY amount, id) FROM t",
            "SELECT id FROM t LIMIT 0",
            "SELECT id, amount FROM t ORDER BY amount DESC LIMIT 50",
            "SELECT amount FROM t ORDER BY amount NULLS FIRST LIMIT 6 OFFSET 4",
            "SELECT amount, count(*) FROM t GROUP BY amount ORDER BY 2 DESC LIMIT 2",
            "SELECT rank, max(t_id) FROM u GROUP BY rank ORDER BY max(t_id) DESC LIMIT 1",
            "SELECT t.id, u.rank FROM t JOIN u ON t.id = u.t_id",
            "SELECT t.amount, u.id FROM t JOIN u ON t.amount = u.t_id",
            "SELECT t.id, u.rank FROM t JOIN u ON t.id = u.t_id ORDER BY u.rank DESC LIMIT 4",
            "SELECT t.amount FROM t JOIN u ON t.amount = u.t_id ORDER BY 1 LIMIT 4",
            "SELECT a.amount, b.salary FROM t a JOIN t b ON a.id = b.id ORDER BY a.amount LIMIT 4",
            "SELECT a.id FROM t a JOIN t b ON a.salary = b.salary ORDER BY a.amount LIMIT 4",
        ],
    ),
    // Counts and groups.
    (
        30,
        AS_WRITTEN,
        &[
            "SELECT tenant, count(*) FROM t GROUP BY tenant",
            "SELECT amount, count(*) FROM t GROUP BY amount ORDER BY 1",
            "SELECT count(*), count(amount), sum(amount), avg(amount) FROM t",
            "SELECT tenant, amount, count(*) FROM t GROUP BY ROLLUP (tenant, amount) ORDER BY 1, 2",
            "SELECT tenant, memo, count(*) FROM t GROUP BY CUBE (tenant, memo) ORDER BY 1, 2",
            "SELECT memo, count(*) FROM t GROUP BY GROUPING SETS ((memo), ()) ORDER BY 1",
            "SELECT approx_distinct(amount), median(amount) FROM t",
            "SELECT percentile_cont(0.9) WITHIN GROUP (ORDER BY amount) FROM t",
            "SELECT corr(amount, salary), stddev(amount) FROM t",
            "SELECT rank, count(*) FROM u GROUP BY rank ORDER BY 1",
            "SELECT count(*) FROM u WHERE rank = 777",
            "SELECT string_agg(memo, ',' ORDER BY id) FROM t",
        ],
    ),
    // Groups of joins, which a database that has both tables may make.
    (
        30,
        AS_WRITTEN,
        &[
            "SELECT t.tenant, count(*) FROM t JOIN u ON t.id = u.t_id GROUP BY t.tenant",
            "SELECT t.amount, count(*), sum(u.rank) FROM t JOIN u ON t.id = u.t_id GROUP BY t.amount",
            "SELECT u.rank, count(*), max(t.amount) FROM u JOIN t ON t.amount = u.t_id GROUP BY u.rank",
            "SELECT u.rank, count(*) FROM t JOIN u ON t.amount = u.rank GROUP BY u.rank",
            "SELECT count(*), count(DISTINCT t.amount), count(DISTINCT u.rank) FROM t JOIN u ON t.id = u.id",
            "SELECT a.amount, count(*), sum(b.amount) FROM t a JOIN t b ON a.amount = b.amount GROUP BY a.amount",
            "SELECT a.id, count(*) FROM t a JOIN t b ON a.amount = b.amount AND a.id = b.id WHERE b.amount > 5 GROUP BY a.id",
            "SELECT a.rank, count(*) FROM u a JOIN t ON a.t_id = t.id JOIN u b ON b.id = a.id GROUP BY a.rank",
            "SELECT t.tenant, count(*) FROM t JOIN u ON t.id = u.t_id WHERE u.rank = 777 OR t.amount = 777 GROUP BY t.tenant",
            "SELECT t.salary, count(*) FROM t JOIN u ON t.id = u.t_id GROUP BY t.salary",
            "SELECT u.rank, count(*) FROM t JOIN u ON t.salary = u.t_id GROUP BY u.rank",
            "SELECT u.rank, count(t.ssn) FROM t JOIN u ON t.id = u.t_id GROUP BY u.rank",
            "SELECT u.region, count(*) FROM t JOIN u ON t.id = u.t_id GROUP BY u.region",
            "SELECT t.memo, count(*) FROM t JOIN u ON t.tenant = u.label GROUP BY t.memo",
            "SELECT u.rank, count(*) FROM u LEFT JOIN t ON t.id = u.t_id AND t.amount > 5 GROUP BY u.rank",
            "SELECT count(*) FROM (SELECT DISTINCT t.amount FROM t JOIN u ON t.id = u.t_id) AS s",
        ],
    ),
    (
        30,
        GROUPS,
        &[
            "1 / (amount - 777)",
            "CAST(memo AS BIGINT)",
            "amount",
            "memo",
            "salary",
            "CASE WHEN id = 7 THEN amount END",
        ],
    ),
    // Reads of no column.
    (
        31,
        AS_WRITTEN,
        &[
            "SELECT count(*) FROM t",
            "SELECT count(1) FROM u",
            "SELECT 1 FROM t",
            "SELECT 'x' FROM u LIMIT 100",
            "SELECT 1 WHERE EXISTS (SELECT * FROM t WHERE amount = 777)",
            "SELECT 1 WHERE EXISTS (SELECT 1 FROM u WHERE rank = 777)",
            "SELECT count(*) FROM t, u",
            "SELECT count(*) FROM t CROSS JOIN t AS t2",
            "SELECT count(*) FROM (SELECT 1 FROM t UNION ALL SELECT 1 FROM u) x",
            "SELECT now() IS NULL FROM t",
            "SELECT row_number() OVER () FROM t",
        ],
    ),
    // NULL in filters and conditions.
    (
        32,
        AS_WRITTEN,
        &[
            "SELECT count(*) FROM t WHERE amount IS NULL",
            "SELECT count(*) FROM t WHERE NOT (amount = 777)",
            "SELECT count(*) FROM t WHERE amount = 777 IS NOT TRUE",
            "SELECT count(*) FROM t WHERE amount NOT IN (777, NULL)",
            "SELECT count(*) FROM t WHERE NULL",
            "SELECT count(*) FROM u WHERE rank IS DISTINCT FROM 777",
            "SELECT count(*) FROM u WHERE rank > ALL (SELECT amount FROM t)",
            "SELECT count(*) FROM u WHERE rank < ANY (SELECT amount FROM t)",
            "SELECT count(*) FROM t WHERE coalesce(amount, 777) = 777",
            "SELECT count(*) FROM t LEFT JOIN u ON u.t_id = t.id WHERE u.id IS NULL",
            "SELECT count(*) FROM t LEFT ANTI JOIN u ON u.t_id = t.id",
            "SELECT count(*) FROM u LEFT SEMI JOIN t ON u.t_id = t.id AND t.amount = 777",
        ],
    ),
    // The server and other callers.
    (
        33,
        AS_WRITTEN,
        &[
            "LISTEN x",
            "NOTIFY x",
            "LOCK TABLE t",
            "ANALYZE",
            "VACUUM t",
            "OPTIMIZE TABLE t",
            "KILL 1",
            "SHOW PROCESSLIST",
            "SHOW STATUS",
            "CHECKPOINT",
            "GRANT SELECT ON t TO public",
            "ATTACH DATABASE 'x' AS y",
            "LOAD 'x'",
        ],
    ),
    // Text that sources compare otherwise.
    (
        34,
        EXPRESSIONS,
        &[
            "memo || email",
            "upper(memo) = 'CANARY1'",
            "memo LIKE 'CANARY%'",
            "memo < 'D'",
            "tenant = 'B'",
        ],
    ),
];

/// Statements that are large rather than clever.
fn oversized() -> Vec<String> {
    let n = |text: &str, times: usize| text.repeat(times);
    vec![
        format!("SELECT {}1 FROM t", n("1+", 3_000)),
        format!("SELECT {}1{} FROM t", n("(", 60), n(")", 60)),
        format!("SELECT {}1{} FROM t", n("abs(", 100), n(")", 100)),
        format!("SELECT id IN (1{}) FROM t", n(",1", 11_000)),
        format!("SELECT id IN (1{}) FROM t", n(",2", 900)),
        format!("SELECT 1 FROM t{}", n(", t", 200)),
        format!("SELECT 1{} FROM t", n(" UNION SELECT 1", 100)),
        format!("SELECT '{}' FROM t", n("x", 300_000)),
        format!("SELECT id FROM t WHERE {}true", n("NOT ", 3_000)),
        format!("SELECT {}id FROM t", n("id, ", 10_001)),
        format!("WITH a AS (SELECT 1 AS n FROM t){} SELECT 1", doubling(30)),
        format!("SELECT id FROM t GROUP BY CUBE (id{})", n(", id", 30)),
    ]
}

/// Queries of WITH that each read the one before twice.
fn doubling(levels: usize) -> String {
    let name = |level: usize| format!("a{}", "a".repeat(level));
    let levels = 1..=levels;
    let level = levels.map(|level| {
        let (new, old) = (name(level), name(level - 1));
        format!(", {new} AS (SELECT x.n FROM {old} x, {old} y)")
    });
    level.collect()
}

/// All statements, by class.
fn statements() -> BTreeMap<u8, BTreeSet<String>> {
    let mut all: BTreeMap<u8, BTreeSet<String>> = BTreeMap::new();
    for (class, places, things) in FAMILIES {
        for place in *places {
            for thing in *things {
                let text = ["{e}", "{r}", "{s}"]
                    .iter()
                    .fold((*place).to_owned(), |text, hole| text.replace(hole, thing));
                all.entry(*class).or_default().insert(text);
            }
        }
    }
    all.insert(35, oversized().into_iter().collect());
    all
}

/// Whether the engine's plans are compared too, which takes several draws of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compared {
    Answers,
    Plans,
}

async fn attack(back_end: BackEnd) {
    let answered = run(&Twins::of(&back_end), back_end.name(), Compared::Plans).await;
    assert!(answered.0 * 4 >= answered.1, "{answered:?}");
}

async fn attack_views(back_end: BackEnd, governed: Governed) {
    let twins = Twins::of_views(&back_end, governed);
    let name = format!("{}, views, governed: {governed:?}", back_end.name());
    let answered = run(&twins, &name, Compared::Answers).await;
    assert!(answered.0 * 4 >= answered.1, "{answered:?}");
}

/// Runs the table, and prints a line for each class; how many statements were answered, of how many.
async fn run(twins: &Twins, back_end: &str, compared: Compared) -> (usize, usize) {
    let mut leaks = Vec::new();
    let (mut statements_run, mut answered_all) = (0, 0);
    for (class, statements) in statements() {
        let (mut answered, count) = (0, statements.len());
        for sql in statements {
            let ended = match compared {
                Compared::Answers => twins.compare(&sql).await,
                Compared::Plans => twins.compare_with_plan(&sql).await,
            };
            match ended {
                Ok(End::Answered) => answered += 1,
                Ok(End::Refused) => {}
                Err(leak) => leaks.push(format!("class {class}: {leak}")),
            }
        }
        eprintln!("{back_end}: class {class:2}: {count:3} statements, {answered:3} answered");
        statements_run += count;
        answered_all += answered;
    }
    eprintln!(
        "{back_end}: {statements_run} statements, {answered_all} answered, {} leaks",
        leaks.len()
    );
    assert!(statements_run >= 600, "{statements_run}");
    assert!(leaks.is_empty(), "\n{}", leaks.join("\n\n"));
    (answered_all, statements_run)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_tells_two_worlds_of_files_apart() {
    attack(BackEnd::Files).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_tells_two_worlds_of_postgresql_apart() {
    attack(BackEnd::postgres()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_tells_two_worlds_of_mariadb_apart() {
    attack(BackEnd::maria_db()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_tells_two_worlds_of_mysql_apart() {
    attack(BackEnd::my_sql()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_tells_two_worlds_of_sqlite_apart() {
    attack(BackEnd::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_tells_two_worlds_of_objects_apart() {
    attack(BackEnd::objects()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_tells_two_worlds_apart_by_views_of_governed_files() {
    attack_views(BackEnd::Files, Governed::Below).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_tells_two_worlds_apart_by_governed_views() {
    attack_views(BackEnd::Files, Governed::Views).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_tells_two_worlds_apart_by_views_of_tables() {
    attack_views(BackEnd::postgres(), Governed::Below).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_tells_two_worlds_apart_by_what_a_definer_may_not_see() {
    attack_views(BackEnd::Files, Governed::Definer).await;
    attack_views(BackEnd::postgres(), Governed::Definer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_tells_two_worlds_apart_by_what_governed_definers_views_hide() {
    attack_views(BackEnd::Files, Governed::DefinerViews).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_tells_two_worlds_apart_by_what_a_definers_query_leaves_out() {
    attack_views(BackEnd::Files, Governed::Queries).await;
    attack_views(BackEnd::postgres(), Governed::Queries).await;
}

/// Each table leaves in aggregates alone, of groups that are larger than it is: all that tells the worlds apart leaks.
async fn attack_groups(back_end: BackEnd, compared: Compared) {
    let name = format!("{}, groups too small", back_end.name());
    let (answered, _) = run(&Twins::withheld(&back_end), &name, compared).await;
    assert!(answered >= 50, "{answered}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_tells_of_groups_of_files_that_are_too_small() {
    attack_groups(BackEnd::Files, Compared::Plans).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_tells_of_groups_of_postgresql_that_are_too_small() {
    attack_groups(BackEnd::postgres(), Compared::Answers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_tells_of_groups_of_mariadb_that_are_too_small() {
    attack_groups(BackEnd::maria_db(), Compared::Answers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_tells_of_groups_of_mysql_that_are_too_small() {
    attack_groups(BackEnd::my_sql(), Compared::Answers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_tells_of_groups_of_sqlite_that_are_too_small() {
    attack_groups(BackEnd::sqlite(), Compared::Answers).await;
}

#[test]
fn every_class_has_statements() {
    let statements = statements();
    for class in 1..=35 {
        assert!(statements[&class].len() >= 10, "class {class}");
    }
}
