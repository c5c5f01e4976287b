//! Queries that name columns from outside, in every position: those that the engine has a plan for, and those that are
//! run for each row.

mod random;

use std::{fmt::Write as _, sync::Arc, time::Duration};

use datafusion::arrow::array::{ArrayRef, Int64Array};
use dataos_model::fault::FaultKind;
use dataos_query::QueryConfig;

use crate::{
    back_ends::BackEnd,
    limits::numbers,
    oracle::same_as_postgresql,
    world::{World, equals},
};

const DEPT: &[(&str, &str)] = &[
    ("id", "bigint"),
    ("name", "text"),
    ("low", "bigint"),
    ("high", "bigint"),
];

const STAFF: &[(&str, &str)] = &[
    ("id", "bigint"),
    ("dept", "bigint"),
    ("pay", "bigint"),
    ("name", "text"),
];

const TABLES: &str = "
    CREATE TABLE d (id bigint, name text, low bigint, high bigint);
    INSERT INTO d VALUES (1, 'ops', 10, 50), (2, 'lab', 20, 90), (3, 'law', 0, 5), (4, NULL, NULL, 70), (NULL, 'x', 1, 2);
    CREATE TABLE s (id bigint, dept bigint, pay bigint, name text);
    INSERT INTO s VALUES (1, 1, 40, 'ada'), (2, 1, 60, 'bob'), (3, 2, 30, 'cy'), (4, 2, 30, 'di'), (5, NULL, 80, 'eve'),
        (6, 3, NULL, 'flo'), (7, 2, 95, NULL);
";

const D: &str = "1,ops,10,50\n2,lab,20,90\n3,law,0,5\n4,,,70\n,x,1,2\n";
const S: &str = "1,1,40,ada\n2,1,60,bob\n3,2,30,cy\n4,2,30,di\n5,,80,eve\n6,3,,flo\n7,2,95,\n";

const SAME: &[&str] = &[
    // LATERAL: columns from outside wherever they can stand.
    "SELECT d.id, t.x FROM d, LATERAL (SELECT d.low + 1 AS x) t ORDER BY 1",
    "SELECT d.id, t.a, t.b FROM d, LATERAL (VALUES (d.low, 'low'), (d.high, 'high')) t (a, b) ORDER BY 1, 3",
    "SELECT d.id, t.id, t.pay FROM d, LATERAL (SELECT s.id, s.pay FROM s WHERE s.dept = d.id ORDER BY s.pay DESC NULLS LAST, s.id LIMIT 1) t ORDER BY 1",
    "SELECT d.id, t.id, t.pay FROM d LEFT JOIN LATERAL (SELECT s.id, s.pay FROM s WHERE s.dept = d.id ORDER BY s.pay DESC NULLS LAST, s.id LIMIT 2) t ON true ORDER BY 1, 2",
    "SELECT d.id, t.id FROM d LEFT JOIN LATERAL (SELECT s.id, s.pay FROM s WHERE s.dept = d.id ORDER BY s.id LIMIT 3 OFFSET 1) t ON t.pay < d.high ORDER BY 1, 2",
    "SELECT d.id, t.x FROM d, LATERAL (SELECT s.pay FROM s WHERE s.dept = d.id UNION SELECT d.low) t (x) ORDER BY 1, 2",
    "SELECT d.id, t.x FROM d, LATERAL (SELECT s.pay FROM s WHERE s.dept = d.id EXCEPT SELECT d.high - 10 UNION ALL SELECT 7) t (x) ORDER BY 1, 2",
    "SELECT d.id, t.x FROM d, LATERAL (SELECT s.pay FROM s INTERSECT SELECT p.pay FROM s AS p WHERE p.pay > d.low) t (x) ORDER BY 1, 2",
    "SELECT d.id, t.n, t.m FROM d, LATERAL (SELECT count(*) AS n, max(s.pay - d.low) AS m FROM s WHERE s.pay BETWEEN d.low AND d.high) t ORDER BY 1",
    "SELECT d.id, t.n FROM d, LATERAL (SELECT s.dept = d.id AS is_own, count(*) AS n FROM s GROUP BY s.dept = d.id HAVING count(*) > d.low / 10) t ORDER BY 1, 2",
    "SELECT d.id, t.id, t.r FROM d, LATERAL (SELECT s.id, rank() OVER (ORDER BY s.pay + d.low) AS r FROM s WHERE s.dept <= d.id) t ORDER BY 1, 2",
    "SELECT d.id, t.sum FROM d, LATERAL (SELECT DISTINCT sum(s.pay) OVER (PARTITION BY s.dept > d.id) AS sum FROM s) t ORDER BY 1, 2",
    "SELECT d.id, t.pay, u.x FROM d, LATERAL (SELECT s.pay FROM s WHERE s.dept = d.id) t, LATERAL (SELECT t.pay + d.low AS x) u ORDER BY 1, 2",
    "SELECT d.id, t.x FROM d, LATERAL (SELECT u.x FROM s, LATERAL (SELECT s.pay + d.low AS x) u WHERE s.dept = d.id) t ORDER BY 1, 2",
    "SELECT d.id, t.n FROM d CROSS JOIN LATERAL (SELECT DISTINCT ON (s.dept) s.dept, s.name AS n FROM s WHERE s.pay > d.low ORDER BY s.dept, s.pay DESC, s.id) t ORDER BY 1, 2",
    "SELECT d.id, t.n FROM d, LATERAL (WITH RECURSIVE r (n) AS (SELECT d.low UNION ALL SELECT n + 5 FROM r WHERE n + 5 <= d.high AND n < 30) SELECT n FROM r) t ORDER BY 1, 2",
    "SELECT d.id, t.n FROM d, LATERAL (WITH w AS (SELECT s.pay FROM s WHERE s.dept = d.id) SELECT count(*) + (SELECT count(*) FROM w AS v WHERE v.pay > 30) AS n FROM w) t ORDER BY 1",
    "SELECT d.id, t.a, t.b FROM d, LATERAL (SELECT a.id AS a, b.id AS b FROM s AS a LEFT JOIN s AS b ON a.pay + d.low = b.pay WHERE a.dept = d.id) t ORDER BY 1, 2, 3",
    "SELECT d.id, t.a, t.b FROM d, LATERAL (SELECT a.id AS a, b.id AS b FROM (SELECT * FROM s WHERE pay > d.low) a FULL JOIN (SELECT * FROM s WHERE pay < d.high) b ON a.id = b.id) t ORDER BY 1, 2, 3",
    "SELECT d.id, t.row FROM d, LATERAL (SELECT coalesce(d.name, 'none') || '/' || count(*) AS row FROM s WHERE s.dept IS NOT DISTINCT FROM d.id) t ORDER BY 1",
    // Queries as values.
    "SELECT d.id, (SELECT s.name FROM s WHERE s.dept = d.id ORDER BY s.pay DESC NULLS LAST, s.id LIMIT 1) FROM d ORDER BY 1",
    "SELECT d.id, (SELECT count(*) FROM s WHERE s.pay < d.high) FROM d ORDER BY 1",
    "SELECT d.id, (SELECT d.low) FROM d ORDER BY 1",
    "SELECT d.id, (SELECT d.low + max(s.pay) FROM s WHERE s.dept = d.id) FROM d ORDER BY 1",
    "SELECT d.id, (SELECT sum(s.pay) FILTER (WHERE s.pay > d.low) FROM s) FROM d ORDER BY 1",
    "SELECT d.id, (SELECT s.id FROM s WHERE s.pay = d.high - 10 AND s.dept = d.id) FROM d ORDER BY 1",
    "SELECT d.id FROM d WHERE (SELECT s.name FROM s WHERE s.dept = d.id ORDER BY s.id LIMIT 1) < 'c' ORDER BY 1",
    "SELECT d.id FROM d WHERE d.low < (SELECT avg(s.pay) FROM s WHERE s.dept <> d.id) AND d.high > 5 ORDER BY 1",
    "SELECT d.id, coalesce((SELECT min(s.pay) FROM s WHERE s.pay > d.low), -1) + 1 AS m FROM d ORDER BY 2, 1",
    "SELECT d.low, count(*), (SELECT s.name FROM s WHERE s.pay > d.low ORDER BY s.id LIMIT 1) FROM d GROUP BY d.low ORDER BY 1",
    "SELECT sum((SELECT count(*) FROM s WHERE s.pay > d.low)), max((SELECT d.low + d.high)) FROM d",
    "SELECT (SELECT count(*) FROM s WHERE s.pay < d.high) AS n, count(*) FROM d GROUP BY 1 ORDER BY 1",
    "SELECT d.low, count(*) FROM d GROUP BY d.low HAVING (SELECT count(*) FROM s WHERE s.pay > 3 * d.low) > 3 ORDER BY 1",
    "SELECT d.id FROM d ORDER BY (SELECT count(*) FROM s WHERE s.pay > d.low), d.id",
    "SELECT d.id, sum((SELECT count(*) FROM s WHERE s.pay > d.low)) OVER (ORDER BY d.id) FROM d ORDER BY 1",
    "SELECT d.id, (SELECT string_agg(s.name, ',' ORDER BY s.name) FROM s WHERE s.pay > d.low AND s.dept = d.id) FROM d ORDER BY 1",
    "SELECT d.id, (SELECT x.n FROM (SELECT s.dept, count(*) AS n FROM s GROUP BY s.dept) x WHERE x.dept = d.id) FROM d ORDER BY 1",
    "SELECT d.id, (SELECT (SELECT p.name FROM s AS p WHERE p.pay > s.pay ORDER BY p.pay LIMIT 1) FROM s WHERE s.dept = d.id ORDER BY s.pay, s.id LIMIT 1) FROM d ORDER BY 1",
    // EXISTS, IN, ANY and ALL.
    "SELECT d.id, CASE WHEN EXISTS (SELECT 1 FROM s WHERE s.dept = d.id AND s.pay > d.high) THEN 'over' ELSE 'ok' END FROM d ORDER BY 1",
    "SELECT d.id, EXISTS (SELECT 1 FROM s WHERE s.pay < d.low), NOT EXISTS (SELECT 1 FROM s WHERE s.dept = d.id) FROM d ORDER BY 1",
    "SELECT d.id, d.low + 20 IN (SELECT s.pay - d.low FROM s), d.low NOT IN (SELECT s.pay FROM s WHERE s.dept = d.id) FROM d ORDER BY 1",
    "SELECT d.id FROM d WHERE 20 IN (SELECT s.pay - d.low FROM s) ORDER BY 1",
    "SELECT d.id FROM d WHERE d.high NOT IN (SELECT s.pay + d.low FROM s WHERE s.dept = d.id) ORDER BY 1",
    "SELECT d.id FROM d WHERE d.id IN (SELECT s.dept FROM s WHERE s.pay > d.low ORDER BY s.pay LIMIT 2) ORDER BY 1",
    "SELECT d.id FROM d WHERE EXISTS (SELECT s.dept FROM s GROUP BY s.dept HAVING count(*) > d.low / 10) ORDER BY 1",
    "SELECT d.id FROM d WHERE EXISTS (SELECT s.pay FROM s WHERE s.dept = d.id UNION ALL SELECT s.pay FROM s WHERE s.pay = d.high + 5) ORDER BY 1",
    "SELECT d.id FROM d WHERE NOT EXISTS (SELECT 1 FROM s WHERE s.dept = d.id OFFSET 1) ORDER BY 1",
    "SELECT d.id, d.low < ANY (SELECT s.pay FROM s WHERE s.dept = d.id), d.low < ALL (SELECT s.pay FROM s WHERE s.dept = d.id) FROM d ORDER BY 1",
    "SELECT d.id FROM d WHERE d.high > ALL (SELECT s.pay - d.low FROM s WHERE s.dept = d.id) ORDER BY 1",
    "SELECT d.id, d.high >= ANY (SELECT s.pay + d.low FROM s) OR d.id = 3 FROM d ORDER BY 1",
    "SELECT d.id FROM d WHERE (d.id = 3 OR EXISTS (SELECT 1 FROM s WHERE s.pay = d.high - d.low)) AND d.low >= 0 ORDER BY 1",
    "SELECT (SELECT count(*) FROM s WHERE s.dept = d.id) IN (SELECT s.dept FROM s WHERE s.pay > d.low) FROM d ORDER BY d.id",
    // What an engine that makes joins of them gets wrong: the row of an aggregate of none, windows, LIMIT, NULL.
    "SELECT d.id FROM d WHERE EXISTS (SELECT count(*) FROM s WHERE s.dept = d.id) ORDER BY 1",
    "SELECT d.id FROM d WHERE NOT EXISTS (SELECT max(s.pay) FROM s WHERE s.dept = d.id HAVING count(*) = 0) ORDER BY 1",
    "SELECT d.id FROM d WHERE d.low * 0 IN (SELECT count(*) FROM s WHERE s.dept = d.id) ORDER BY 1",
    "SELECT d.id, (SELECT count(*) FROM (SELECT count(*) AS n FROM s WHERE s.dept = d.id) x) FROM d ORDER BY 1",
    "SELECT d.id, t.n FROM d, LATERAL (SELECT sum(x.n) + 1 AS n FROM (SELECT count(*) AS n FROM s WHERE s.dept = d.id) x) t ORDER BY 1",
    "SELECT d.id FROM d WHERE EXISTS (SELECT 1 FROM (SELECT s.pay FROM s WHERE s.dept = d.id ORDER BY s.pay LIMIT 1) x WHERE x.pay > 35) ORDER BY 1",
    "SELECT d.id FROM d WHERE EXISTS (SELECT 1 FROM (SELECT rank() OVER (ORDER BY s.pay, s.id) AS r FROM s WHERE s.dept = d.id) x WHERE x.r = 2) ORDER BY 1",
    "SELECT d.id FROM d WHERE 2 IN (SELECT row_number() OVER (ORDER BY s.id) FROM s WHERE s.dept = d.id) ORDER BY 1",
    "SELECT d.id FROM d WHERE 30 IN (SELECT x.pay FROM (SELECT DISTINCT ON (s.name IS NULL) s.pay, s.dept FROM s WHERE s.dept = d.id ORDER BY s.name IS NULL, s.pay) x) ORDER BY 1",
    "SELECT d.id FROM d WHERE EXISTS (SELECT s.name, count(*) FROM s WHERE s.dept = d.id GROUP BY ROLLUP (s.name) HAVING count(*) > 1) ORDER BY 1",
    "SELECT d.id FROM d WHERE EXISTS (SELECT 1 FROM s WHERE s.dept = d.id LIMIT 0) ORDER BY 1",
    "SELECT d.id FROM d WHERE EXISTS (SELECT 1 FROM s WHERE s.dept = d.id LIMIT 1) ORDER BY 1",
    "SELECT d.id FROM d WHERE NOT (d.low IN (SELECT s.pay FROM s) AND d.high > 0) ORDER BY 1",
    "SELECT d.id FROM d WHERE (d.low IN (SELECT s.pay FROM s)) IS NULL ORDER BY 1",
    "SELECT d.id FROM d WHERE (d.low IN (SELECT s.pay - 20 FROM s WHERE s.dept = d.id)) IS NULL ORDER BY 1",
    "SELECT d.id FROM d WHERE NOT (d.low IN (SELECT s.pay - 20 FROM s WHERE s.dept = d.id) AND d.high > 0) ORDER BY 1",
    "SELECT d.id, d.low IN (SELECT s.pay FROM s), d.id NOT IN (SELECT s.dept FROM s) FROM d ORDER BY 1",
    "SELECT d.id, d.id IN (SELECT s.dept FROM s WHERE s.dept IS NOT NULL) FROM d ORDER BY 1",
    "SELECT d.id FROM d WHERE d.id NOT IN (SELECT s.dept FROM s) ORDER BY 1",
    "SELECT d.id FROM d WHERE d.id NOT IN (SELECT s.dept FROM s WHERE s.pay > 30 AND s.dept > 0) ORDER BY 1",
    "SELECT d.id FROM d WHERE d.id NOT IN (SELECT s.dept FROM s WHERE s.pay > 300) ORDER BY 1",
    "SELECT d.id FROM d WHERE 20 NOT IN (SELECT s.pay FROM s) ORDER BY 1",
    "SELECT d.id FROM d WHERE CAST(NULL AS bigint) NOT IN (SELECT s.pay FROM s WHERE s.pay > 0) ORDER BY 1",
    "SELECT d.id FROM d WHERE nullif(d.id, 2) + 1 NOT IN (SELECT 90 FROM s) ORDER BY 1",
    "SELECT d.id FROM d WHERE nullif(length(coalesce(d.name, 'x')), 1) NOT IN (SELECT 90 FROM s) ORDER BY 1",
    "SELECT d.id FROM d WHERE CAST(d.id AS int) NOT IN (SELECT s.dept FROM s WHERE s.dept IS NOT NULL) ORDER BY 1",
    "SELECT d.id, (SELECT count(s.dept) FROM s WHERE d.id NOT IN (SELECT 90 FROM s AS p WHERE p.dept IS NOT NULL)) FROM d ORDER BY 1",
    "SELECT d.id, t.x FROM d LEFT JOIN LATERAL (SELECT CASE WHEN d.id IS NOT NULL THEN s.dept ELSE 7 END AS x FROM s ORDER BY 1 LIMIT 9) t ON true ORDER BY 1, 2",
    "SELECT d.id, t.x FROM d, LATERAL (SELECT CASE WHEN d.id IS NOT NULL THEN d.low ELSE 7 END AS x, count(*) FROM s GROUP BY 1) t ORDER BY 1, 2",
    "SELECT d.id FROM d WHERE coalesce(d.id NOT IN (SELECT s.dept FROM s), true) ORDER BY 1",
    "SELECT d.id, d.low > ALL (SELECT s.pay FROM s WHERE s.pay > 100), d.low < ALL (SELECT s.pay FROM s) FROM d ORDER BY 1",
    // Over two levels and three.
    "SELECT d.id FROM d WHERE EXISTS (SELECT 1 FROM s WHERE s.dept = d.id AND EXISTS (SELECT 1 FROM s AS p WHERE p.pay > s.pay AND p.pay < d.high)) ORDER BY 1",
    "SELECT d.id FROM d WHERE EXISTS (SELECT 1 FROM s WHERE s.pay = (SELECT max(p.pay) FROM s AS p WHERE p.dept = d.id)) ORDER BY 1",
    "SELECT d.id, (SELECT count(*) FROM s WHERE s.dept = d.id AND s.pay > (SELECT avg(p.pay) FROM s AS p WHERE p.dept = d.id)) FROM d ORDER BY 1",
    "SELECT d.id, (SELECT count(*) FROM s WHERE s.pay > (SELECT min(p.pay) FROM s AS p WHERE EXISTS (SELECT 1 FROM d AS q WHERE q.id = s.dept AND q.low < d.high AND p.dept = q.id))) FROM d ORDER BY 1",
    "SELECT d.id, t.n FROM d, LATERAL (SELECT (SELECT max(s.pay) FROM s WHERE s.dept = d.id) AS n) t ORDER BY 1",
    "SELECT d.id, t.n FROM d, LATERAL (SELECT s.id AS n FROM s WHERE s.pay IN (SELECT p.pay FROM s AS p WHERE p.dept = d.id AND p.id <> s.id)) t ORDER BY 1, 2",
    "SELECT x.id, x.n FROM (SELECT d.id, (SELECT s.id FROM s WHERE s.dept = d.id ORDER BY s.pay, s.id LIMIT 1) AS n FROM d) x WHERE x.n IS NOT NULL ORDER BY 1",
    "SELECT t::text, d.id FROM d, LATERAL (SELECT d.low + 1 AS x, d.id) t ORDER BY 2",
    "SELECT d.id, count(t) FROM d LEFT JOIN LATERAL (SELECT s.id FROM s WHERE s.pay > d.low ORDER BY s.id LIMIT 2) t ON true GROUP BY d.id ORDER BY 1",
    "SELECT d.id, (SELECT count(s.dept) FROM s CROSS JOIN LATERAL (SELECT 0 AS x FROM d AS q WHERE q.high = s.id OFFSET 1) t), (SELECT sum(t.x) FROM s, LATERAL (SELECT s.pay + 1 AS x) t) FROM d ORDER BY 1",
    "SELECT d.id, t.x FROM d LEFT JOIN LATERAL (SELECT (SELECT q.x FROM ((SELECT 1 AS x FROM s WHERE s.dept IS NOT NULL) UNION ALL (SELECT d.id AS x FROM s ORDER BY 1 LIMIT 0)) q (x) ORDER BY 1 LIMIT 1) AS x) t ON t.x > 0 WHERE t.x >= t.x ORDER BY 1",
    "SELECT d.id FROM d WHERE (d.low IN (SELECT s.pay FROM s)) IN (SELECT s.pay > 50 FROM s WHERE s.dept = d.id) ORDER BY 1",
    // In every other position.
    "SELECT sum(q.x) FROM (SELECT rank() OVER (PARTITION BY 1 + 2 ORDER BY 1 + 1) AS x FROM s) q",
    "SELECT d.id, (SELECT sum(q.x) FROM (SELECT rank() OVER (PARTITION BY d.id ORDER BY 1 + 1) AS x FROM s) q) FROM d ORDER BY 1",
    "SELECT d.id, (SELECT sum(q.x) FROM (SELECT rank() OVER (PARTITION BY d.id ORDER BY d.low) AS x FROM s WHERE d.id IS NOT NULL) q) FROM d ORDER BY 1",
    "SELECT sum(q.x) FROM s JOIN (VALUES (10), (70)) q (x) ON s.pay > q.x",
    "SELECT sum(q.x) FROM s JOIN (SELECT 10 AS x UNION ALL SELECT 70) q ON s.pay > q.x",
    "SELECT sum(q.x) FROM d CROSS JOIN (SELECT 10 AS x UNION ALL SELECT 70) q",
    "SELECT sum(q.x) FROM s JOIN (SELECT 40 AS x UNION ALL SELECT 70) q ON s.pay = q.x",
    "SELECT sum(q.x) FROM (SELECT 10 AS x UNION ALL SELECT 70) q LEFT JOIN s ON s.pay > q.x",
    "SELECT sum(q.x), count(*) FROM s LEFT JOIN (SELECT 10 AS x) q ON s.pay = q.x WHERE s.dept IS NOT NULL",
    "SELECT d.id, (SELECT sum(q.x) FROM s LEFT JOIN (SELECT d.id AS x) q ON s.pay = q.x WHERE s.dept IS NOT NULL) FROM d ORDER BY 1",
    "SELECT d.id, (SELECT sum(q.x) FROM s LEFT JOIN (SELECT d.id + 1 AS x FROM s AS y) q ON s.pay = q.x WHERE s.dept IS NOT NULL) FROM d ORDER BY 1",
    "SELECT (SELECT 1 FROM s WHERE s.id > 1000) + 1, (SELECT 1 FROM s WHERE s.id > 1000) IS NULL",
    "SELECT d.id FROM d WHERE (SELECT 1 FROM s WHERE s.id > 1000 LIMIT 1) IS NULL AND (SELECT 2 FROM s WHERE s.id = d.id) IS NOT NULL ORDER BY 1",
    "SELECT count(*) FILTER (WHERE (r1.id > 2) = (2 IN ((SELECT r16.dept AS x FROM s AS r16 WHERE r1.id IS NOT NULL) UNION ALL (SELECT rank() OVER (PARTITION BY r17.low ORDER BY r1.id + 0) AS x FROM d AS r17 WHERE r17.low IS NOT NULL)))) AS a FROM d AS r1",
    "SELECT r1.high NOT IN (SELECT (SELECT r10.x FROM (SELECT r9.id AS x FROM d AS r9 WHERE r9.high = r2.id) r10 (x) ORDER BY 1 LIMIT 1) AS x FROM d AS r2) FROM d AS r1",
    "SELECT (SELECT r12.x FROM (SELECT r1.id AS x FROM d AS r11 WHERE r2.id < r1.high) r12 (x) ORDER BY 1 LIMIT 1) IN (SELECT count(r15.x) AS x FROM s AS r13 LEFT JOIN LATERAL (SELECT rank() OVER (PARTITION BY r14.low + 16 ORDER BY r13.id + 0) AS x FROM d AS r14 WHERE r13.id <> r2.id) r15 (x) ON true WHERE r1.high < r13.pay) FROM d AS r1, d AS r2 ORDER BY r1.id, r2.id",
    "SELECT d.id, 2 IN ((SELECT s.dept FROM s WHERE d.id IS NOT NULL) UNION ALL (SELECT rank() OVER (ORDER BY d.id + 0) FROM d AS q)) FROM d ORDER BY 1",
    "SELECT count(*) FILTER (WHERE EXISTS (SELECT 1 FROM s WHERE s.pay > d.high)), count(*) FILTER (WHERE d.id IN (SELECT s.dept FROM s)) FROM d",
    "SELECT string_agg(d.name, ',' ORDER BY (SELECT count(*) FROM s WHERE s.pay > d.low), d.id) FROM d",
    "SELECT d.id, rank() OVER (PARTITION BY EXISTS (SELECT 1 FROM s WHERE s.pay < d.low + 35) ORDER BY (SELECT count(*) FROM s WHERE s.dept = d.id), d.id) FROM d ORDER BY 1",
    "SELECT DISTINCT d.low > ALL (SELECT s.pay - 20 FROM s WHERE s.dept = d.id) FROM d ORDER BY 1",
    "SELECT d.name IN (SELECT s.name FROM s) OR d.low > 5, count(*) FROM d GROUP BY 1 ORDER BY 1",
    "SELECT d.low > 5, count(*) FROM d GROUP BY d.low > 5 HAVING max(d.low) IN (SELECT s.pay - 10 FROM s) ORDER BY 1",
    "SELECT d.id FROM d ORDER BY d.id IN (SELECT s.dept FROM s WHERE s.pay > 60), d.id DESC",
    "SELECT d.id, x.n FROM d LEFT JOIN (SELECT s.dept, EXISTS (SELECT 1 FROM d AS q WHERE q.low = s.pay - 10) AS n FROM s) x ON x.dept = d.id AND x.n ORDER BY 1, 2",
    "VALUES ((SELECT 1)), (2) ORDER BY 1",
    "SELECT s.id FROM s WHERE s.id IN (VALUES (1), ((SELECT 3)), (7)) ORDER BY 1",
    "SELECT v.a, v.b FROM (VALUES (1, NULL), ((SELECT 3), 'y'), (5, (SELECT min(s.name) FROM s)), (NULL, 'z')) v (a, b) ORDER BY 1, 2",
    "SELECT d.id, t.a FROM d, LATERAL (VALUES (d.low), ((SELECT count(*) FROM s WHERE s.dept = d.id))) t (a) ORDER BY 1, 2",
    "VALUES ((SELECT max(d.low) FROM d), EXISTS (SELECT 1 FROM s WHERE s.pay > 90)), (2, false) ORDER BY 1",
    "SELECT EXISTS (SELECT 1 FROM s WHERE s.pay > 90), 30 IN (SELECT s.pay FROM s), 31 NOT IN (SELECT s.pay FROM s)",
    "SELECT d.id, t.n FROM d, LATERAL (SELECT count(*) AS n FROM s WHERE s.pay > d.low AND s.dept IN (SELECT q.id FROM d AS q WHERE q.low <> d.low)) t ORDER BY 1",
    "SELECT d.id, d.low BETWEEN (SELECT min(s.pay) - 30 FROM s WHERE s.dept <= d.id) AND (SELECT max(s.pay) FROM s WHERE s.dept = d.id) FROM d ORDER BY 1",
    "SELECT d.id, (SELECT d.name) LIKE (SELECT min(s.name) || '%' FROM s WHERE s.dept = d.id) FROM d ORDER BY 1",
    // In conditions of joins, in WITH, beside other queries.
    "SELECT d.id, s.id FROM d JOIN s ON s.dept = d.id AND s.pay > (SELECT min(p.pay) FROM s AS p WHERE p.dept = d.id) ORDER BY 1, 2",
    "SELECT d.id, s.id FROM d LEFT JOIN s ON s.dept = d.id AND s.pay >= (SELECT max(p.pay) FROM s AS p WHERE p.dept = s.dept AND p.id <= s.id) ORDER BY 1, 2",
    "SELECT d.id, s.id FROM d LEFT JOIN s ON s.dept = d.id AND EXISTS (SELECT 1 FROM s AS p WHERE p.pay = d.high + 10) ORDER BY 1, 2",
    "SELECT d.id, s.id FROM d LEFT JOIN s ON s.dept = d.id AND EXISTS (SELECT 1 FROM s AS p WHERE p.pay BETWEEN d.low AND s.pay - 1) ORDER BY 1, 2",
    "SELECT d.id, s.id FROM d RIGHT JOIN s ON s.dept >= d.id AND (SELECT count(*) FROM s AS p WHERE p.pay > d.low AND p.id <> s.id) < 5 ORDER BY 1, 2",
    "SELECT d.id, s.id, p.id FROM d LEFT JOIN s ON d.high - s.pay IN (SELECT q.pay - s.pay FROM s AS q WHERE q.dept = d.id) LEFT JOIN s AS p ON p.id = s.id AND p.pay > (SELECT avg(q.pay) FROM s AS q WHERE q.dept IN (d.id, p.dept)) ORDER BY 1, 2, 3",
    "SELECT d.id, (SELECT count(p.id) FROM s LEFT JOIN s AS p ON s.id < p.id AND EXISTS (SELECT 1 FROM s AS q WHERE q.pay BETWEEN s.pay AND p.pay + d.low)) FROM d ORDER BY 1",
    "SELECT d.id, s.id FROM d LEFT JOIN s ON s.dept NOT IN (SELECT q.id FROM d AS q WHERE q.low < d.high AND q.high > s.pay) ORDER BY 1, 2",
    "SELECT (SELECT count(*) FROM s WHERE s.pay < d.high) AS n, count(*) FROM d GROUP BY (SELECT count(*) FROM s WHERE s.pay < d.high) ORDER BY 1",
    "SELECT (SELECT count(*) FROM s WHERE s.pay < d.high) + 1 AS n, count(*) FROM d GROUP BY (SELECT count(*) FROM s WHERE s.pay < d.high) + 1 ORDER BY (SELECT count(*) FROM s WHERE s.pay < d.high) + 1 DESC",
    "SELECT EXISTS (SELECT 1 FROM s WHERE s.pay < d.low + 35), count(*) FROM d GROUP BY EXISTS (SELECT 1 FROM s WHERE s.pay < d.low + 35) HAVING count(*) > 1 ORDER BY 1",
    "SELECT DISTINCT EXISTS (SELECT 1 FROM s WHERE s.pay < d.low + 35) FROM d ORDER BY EXISTS (SELECT 1 FROM s WHERE s.pay < d.low + 35)",
    "SELECT DISTINCT ON (n) (SELECT d.low > 5) AS n, d.id FROM d ORDER BY n, d.id",
    "SELECT DISTINCT ON (n, d.low) (SELECT count(*) FROM s WHERE s.dept = d.id) AS n, * FROM d ORDER BY n, low, d.id",
    "SELECT DISTINCT ON (EXISTS (SELECT 1 FROM s WHERE s.dept = d.low)) max(d.high), d.low FROM d GROUP BY d.low ORDER BY EXISTS (SELECT 1 FROM s WHERE s.dept = d.low), max(d.high) DESC",
    "SELECT (SELECT max(s.pay) FROM s) AS n, count(*) FROM d GROUP BY (SELECT max(s.pay) FROM s) ORDER BY 1",
    "SELECT DISTINCT ON ((SELECT count(*) FROM s WHERE s.dept = d.id)) d.id FROM d ORDER BY (SELECT count(*) FROM s WHERE s.dept = d.id), d.id",
    "SELECT DISTINCT ON (n) (SELECT count(*) FROM s WHERE s.dept = d.id) AS n, d.id FROM d ORDER BY n, d.id",
    "SELECT DISTINCT ON (1) (SELECT count(*) FROM s WHERE s.dept = d.id) AS n, d.id FROM d ORDER BY 1, d.id",
    "SELECT d.id, q.id FROM d, LATERAL (SELECT DISTINCT ON ((SELECT count(*) FROM s AS p WHERE p.dept = s.dept AND p.pay > d.low)) s.id FROM s ORDER BY (SELECT count(*) FROM s AS p WHERE p.dept = s.dept AND p.pay > d.low), s.id) q ORDER BY 1, 2",
    "WITH w AS (SELECT d.id, (SELECT s.name FROM s WHERE s.pay > d.low ORDER BY s.pay, s.id LIMIT 1) AS n FROM d) SELECT a.id, b.id FROM w AS a JOIN w AS b ON a.n = b.n ORDER BY 1, 2",
    "SELECT id FROM d WHERE id IN (SELECT p.dept FROM s AS p, LATERAL (SELECT p.pay + 1 AS x) t WHERE t.x > 40) ORDER BY 1",
    "SELECT d.id, (SELECT max(s.pay) FROM s WHERE s.dept = d.id), (SELECT s.id FROM s WHERE s.dept = d.id ORDER BY s.id LIMIT 1) FROM d ORDER BY 1",
    "SELECT d.id FROM d UNION ALL SELECT s.id FROM s WHERE (SELECT count(*) FROM s AS p WHERE p.pay < s.pay) > 2 ORDER BY 1",
    "WITH RECURSIVE r (n) AS (SELECT CAST(1 AS bigint) UNION ALL SELECT n + (SELECT count(*) FROM s WHERE s.pay < 10 * r.n) + 1 FROM r WHERE n < 20) SELECT n FROM r ORDER BY 1",
    "SELECT t.id, u.id FROM d AS t, d AS u WHERE (SELECT count(*) FROM s WHERE s.pay BETWEEN t.low AND u.high) > 3 ORDER BY 1, 2",
    "SELECT max(s.id) - (SELECT min(d.low) FROM d WHERE d.id = s.dept) FROM s GROUP BY s.dept ORDER BY 1",
    "SELECT max(d.id) + (SELECT min(s.pay) FROM s), count(*) FROM d GROUP BY d.low ORDER BY 1, 2",
    // A CASE in an IN list, and in VALUES.
    "SELECT d.id, 5 NOT IN (30, CASE WHEN d.id = 1 THEN 1 WHEN d.id = d.low THEN 2 END) FROM d ORDER BY 1",
    "SELECT d.id, d.high + 1 IN (6, 51, CASE WHEN d.id = 2 THEN 91 WHEN d.low > 0 THEN 2 END, 7) FROM d ORDER BY 1",
    "SELECT d.id, (SELECT count(*) FROM s WHERE s.dept = d.id) IN (1, CASE WHEN d.id = 2 THEN 3 WHEN d.low > 0 THEN 2 END, d.low) FROM d ORDER BY 1",
    "SELECT d.id FROM d WHERE (SELECT max(s.pay) FROM s WHERE s.dept = d.id) NOT IN (30, d.high, d.low) ORDER BY 1",
    "SELECT d.id, x.v FROM d, LATERAL (VALUES (CASE WHEN d.low > 5 THEN CAST(d.low AS int) ELSE d.high END)) x (v) ORDER BY 1",
    // Rows of several values.
    "SELECT s.id FROM s WHERE (s.dept, s.pay) IN (SELECT d.id, d.low + 30 FROM d) ORDER BY 1",
    "SELECT s.id FROM s WHERE (s.dept, s.pay) NOT IN (SELECT d.id, d.low + 30 FROM d) ORDER BY 1",
    "SELECT s.id FROM s WHERE NOT (s.dept, s.pay) IN (SELECT d.id, d.low + 30 FROM d) AND s.id > 1 ORDER BY 1",
    "SELECT s.id FROM s WHERE (s.dept, s.pay) NOT IN (SELECT d.id, d.low + 30 FROM d WHERE d.id < 3 AND d.low > 0) ORDER BY 1",
    "SELECT s.id, (s.dept, s.pay) IN (SELECT d.id, d.low + 30 FROM d), (s.dept, s.pay) NOT IN (SELECT d.id, d.low + 30 FROM d) FROM s ORDER BY 1",
    "SELECT s.id, ((s.dept, s.pay) IN (SELECT d.id, s.pay FROM d WHERE d.low IS NOT NULL)) IS NULL FROM s ORDER BY 1",
    "SELECT s.id, (s.dept, s.pay) < (2, 60), (s.dept, s.pay) <= (2, 30), (s.pay, s.dept) > (30, 1), (s.dept, s.pay, s.id) >= (2, 30, 4) FROM s ORDER BY 1",
    "SELECT s.id, (s.dept, s.pay) = (2, 30), (s.dept, s.pay) <> (2, 30), (s.dept, s.name) IN ((1, 'ada'), (2, NULL), (3, 'flo')) FROM s ORDER BY 1",
    "SELECT s.id, (s.dept, s.name) NOT IN ((1, 'ada'), (2, NULL), (3, 'flo')) FROM s ORDER BY 1",
    "SELECT s.id, (s.dept, s.pay) > ANY (SELECT d.id, d.low FROM d), (s.dept, s.pay) <= ALL (SELECT d.id, d.high FROM d WHERE d.id > 1) FROM s ORDER BY 1",
    "SELECT s.id, (s.dept, s.pay) = ANY (SELECT d.id, d.low + 30 FROM d), (s.dept, s.pay) <> ALL (SELECT d.id, d.low + 30 FROM d) FROM s ORDER BY 1",
    "SELECT s.id, (s.dept, s.pay) > ALL (SELECT d.id, d.low FROM d WHERE d.id > 7) FROM s ORDER BY 1",
    "SELECT d.id, s.id FROM d LEFT JOIN s ON s.dept = d.id AND (s.id, d.low) IN (SELECT p.id, p.pay - 30 FROM s AS p) ORDER BY 1, 2",
    "SELECT d.id FROM d WHERE (d.id, (SELECT count(*) FROM s WHERE s.dept = d.id)) IN (SELECT s.dept, count(*) FROM s GROUP BY s.dept) ORDER BY 1",
    "SELECT d.id FROM d WHERE (d.id, 1) IN (SELECT s.dept, rank() OVER (PARTITION BY s.dept ORDER BY s.pay) FROM s WHERE s.pay > d.low) ORDER BY 1",
    "SELECT d.id FROM d WHERE (d.id, d.low) IN (VALUES (1, 10), (2, 7), ((SELECT 3), 0)) ORDER BY 1",
    "SELECT v.column1 FROM (VALUES (1, 10), (2, 7)) v WHERE (column1, column2) IN (SELECT id, low FROM d) ORDER BY 1",
    "SELECT d.id FROM d WHERE (d.id, d.low) IN (SELECT s.dept, 20 FROM s UNION SELECT 1, 10) ORDER BY 1",
    "SELECT d.id, (SELECT count(*) FROM s WHERE (s.dept, s.id) IN (SELECT q.id, d.id FROM d AS q)) FROM d ORDER BY 1",
    "SELECT s.dept, count(*) FROM s GROUP BY s.dept HAVING (s.dept, 2) NOT IN (SELECT d.id, d.low / 10 FROM d WHERE d.low > 0) ORDER BY 1",
    "SELECT (1, NULL) = (1, 2), (1, NULL) = (2, 2), (1, NULL) < (2, 0), (NULL, 1) < (1, 2), (1, (2)) = (1, 2)",
    "SELECT d.id, t.v FROM d, LATERAL (SELECT s.id, d FROM s WHERE s.dept = d.id ORDER BY s.id LIMIT 1) q, LATERAL (SELECT q.id + d.low AS v) t ORDER BY 1",
];

fn world() -> World {
    let world = World::new();
    world.csv("d", DEPT, D);
    world.csv("s", STAFF, S);
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn they_answer_what_postgresql_answers() {
    same_as_postgresql(&world(), TABLES, SAME).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_see_what_their_caller_may_see() {
    let world = World::new();
    let d = world.csv("d", DEPT, D);
    let s = world.csv("s", STAFF, S);
    world.desk.rows(&d, equals("id", 2));
    world.desk.rows(&s, equals("dept", 2));
    world.desk.mask(&s, "name", "partial(first = 1)");
    world.desk.absent(&s, "id");
    world
        .check_all(&[
            (
                "SELECT d.id, t.pay, t.name FROM d, LATERAL (SELECT s.pay, s.name FROM s WHERE s.pay > d.low ORDER BY s.name LIMIT 1) t",
                r#"[[2,30,"c*"]]"#,
            ),
            (
                "SELECT d.id, (SELECT count(*) FROM s WHERE s.pay <> d.low), 80 IN (SELECT s.pay FROM s) FROM d",
                "[[2,3,false]]",
            ),
            (
                "SELECT d.id, (SELECT sum(1 / (s.pay - 60)) FROM s WHERE s.pay > d.low) FROM d",
                "[[2,0]]",
            ),
        ])
        .await;
    let hidden = "SELECT (SELECT s.id FROM s WHERE s.pay = d.low LIMIT 1) FROM d";
    let fault = world.refused(hidden).await;
    assert_eq!(fault.reason, "sql_unknown_name", "{fault:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn views_and_writes_have_them() {
    let world = world();
    let make = "CREATE VIEW lake.main.best AS SELECT d.id, \
                (SELECT s.name FROM s WHERE s.dept = d.id ORDER BY s.pay DESC NULLS LAST LIMIT 1) AS name FROM d";
    world.run(make).await.unwrap();
    let best = [
        (
            "SELECT * FROM best WHERE name IS NOT NULL ORDER BY id",
            r#"[[1,"bob"],[3,"flo"]]"#,
        ),
        (
            "SELECT b.id, t.x FROM best b, LATERAL (SELECT b.name || '!' AS x) t WHERE b.id = 1",
            r#"[[1,"bob!"]]"#,
        ),
    ];
    world.check_all(&best).await;
    let make = "CREATE TABLE lake.main.c AS SELECT d.id, d.low FROM d WHERE d.id IS NOT NULL";
    world.run(make).await.unwrap();
    world
        .check(
            "UPDATE c SET low = (SELECT s.pay FROM s WHERE s.dept = c.id ORDER BY s.pay LIMIT 1)",
            "[[4]]",
        )
        .await;
    world
        .check(
            "SELECT * FROM c ORDER BY id",
            "[[1,40],[2,30],[3,null],[4,null]]",
        )
        .await;
    world
        .check(
            "DELETE FROM c WHERE NOT (low IN (SELECT s.pay FROM s WHERE s.dept <> c.id) OR low = 40)",
            "[[0]]",
        )
        .await;
    world
        .check(
            "DELETE FROM c WHERE (SELECT count(*) FROM s WHERE s.pay > c.low) < 4",
            "[[3]]",
        )
        .await;
    world.check("SELECT id FROM c", "[[2]]").await;
}

/// Joins that PostgreSQL has no words for.
#[tokio::test(flavor = "multi_thread")]
async fn conditions_of_semi_joins_are_those_of_exists() {
    let world = world();
    let fits = "EXISTS (SELECT 1 FROM s AS p WHERE p.pay BETWEEN d.low AND s.pay - 1)";
    for (join, not) in [("SEMI", ""), ("ANTI", "NOT")] {
        let exists = format!("{not} EXISTS (SELECT 1 FROM s WHERE {fits})");
        let expected = format!("SELECT d.id FROM d WHERE {exists} ORDER BY 1");
        let expected = world.rows(&expected).await;
        assert!(expected.len() > "[]".len(), "{join}: {expected}");
        let found = format!("SELECT d.id FROM d LEFT {join} JOIN s ON {fits} ORDER BY 1");
        assert_eq!(world.rows(&found).await, expected, "{join}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_has_one_row_at_most() {
    let world = world();
    for sql in [
        "SELECT d.id, (SELECT s.id FROM s WHERE s.dept = d.id) FROM d",
        "SELECT (SELECT s.id FROM s)",
    ] {
        let fault = world.refused(sql).await;
        assert_eq!(
            (fault.kind, fault.reason.as_str()),
            (FaultKind::Invalid, "many_rows"),
            "{sql}: {fault:?}"
        );
    }
}

/// Each run has one text of a batch of all of them.
#[tokio::test(flavor = "multi_thread")]
async fn texts_of_many_runs_fit_the_memory() {
    let world = World::new();
    numbers(&world, 6_000);
    let own = "SELECT count(*) FROM numbers n WHERE (SELECT m.text FROM numbers m WHERE m.id = n.id) = n.text";
    world.check(own, "[[6000]]").await;
}

/// In SQL such an aggregate is one of the query that has the columns.
#[tokio::test(flavor = "multi_thread")]
async fn an_aggregate_of_columns_from_outside_alone_is_refused() {
    let world = world();
    for sql in [
        "SELECT (SELECT max(d.low) FROM s) FROM d",
        "SELECT d.id FROM d GROUP BY d.id HAVING EXISTS (SELECT 1 FROM s WHERE s.pay > sum(d.low))",
        "SELECT (SELECT count(d) FROM s) FROM d",
    ] {
        let fault = world.refused(sql).await;
        assert_eq!(fault.reason, "sql_unsupported", "{sql}: {fault:?}");
        assert!(fault.message.contains("from outside alone"), "{fault:?}");
    }
    world
        .check_all(&[
            (
                "SELECT d.id, (SELECT max(d.low + s.pay) FROM s) FROM d WHERE d.id < 3 ORDER BY 1",
                "[[1,105],[2,115]]",
            ),
            (
                "SELECT d.id, (SELECT count(d.id) FILTER (WHERE s.pay > 50) FROM s) FROM d WHERE d.id = 1",
                "[[1,3]]",
            ),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_that_change_their_answer_are_asked_for_each_row() {
    let world = World::new();
    numbers(&world, 200);
    let sql = "SELECT count(DISTINCT t.x) FROM numbers n, \
               LATERAL (SELECT random() + n.id * 0 AS x LIMIT 1) t";
    world.check(sql, "[[200]]").await;
    // Once for the row, and not once for each row of the query.
    let sql = "SELECT count(*) FROM numbers n WHERE CAST(floor(random() * 200) AS BIGINT) = ANY (SELECT m.id FROM numbers m) IS TRUE";
    world.check(sql, "[[200]]").await;
}

/// A query for each of so many rows that each reads as many.
const LONG: &str = "SELECT sum(t.n) FROM numbers a, LATERAL (SELECT count(*) AS n FROM numbers b, numbers c \
                    WHERE a.id + b.id < c.id) t";

#[tokio::test(flavor = "multi_thread")]
async fn they_end_with_the_time_of_their_statement() {
    let world = World::with(QueryConfig {
        time_max: Duration::from_millis(400),
        ..QueryConfig::default()
    });
    numbers(&world, 5_000);
    let fault = world.refused(LONG).await;
    assert_eq!(fault.reason, "time_limit", "{fault:?}");
    world
        .check("SELECT count(*) FROM numbers", "[[5000]]")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_hold_what_they_read_within_the_memory_of_statements() {
    let world = World::with(QueryConfig {
        memory_bytes_max: 1 << 20,
        ..QueryConfig::default()
    });
    numbers(&world, 60_000);
    for sql in [
        "SELECT a.id, t.text FROM (SELECT 1 AS id) a, LATERAL (SELECT b.text FROM numbers b WHERE b.id > a.id ORDER BY b.id LIMIT 1) t",
        "SELECT a.id, t.x FROM (SELECT 1 AS id) a, LATERAL (SELECT repeat('x', 3000000 + a.id) AS x) t",
        "SELECT count(*) FROM numbers a, LATERAL (SELECT b.id FROM (SELECT id FROM numbers WHERE id < 3000) b WHERE b.id >= a.id OFFSET 1) t WHERE a.id < 3000",
    ] {
        let fault = world.refused(sql).await;
        assert_eq!(
            (fault.kind, fault.reason.as_str()),
            (FaultKind::TooLarge, "memory_limit"),
            "{sql}: {fault:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_around_them_and_in_them_come_whole() {
    let world = World::new();
    let mut body = String::new();
    for id in 0..20_000 {
        writeln!(body, "{id},{}", id % 7).unwrap();
    }
    world.csv("many", &[("id", "bigint"), ("k", "bigint")], &body);
    world.csv("few", &[("k", "bigint")], "0\n1\n3\n9\n");
    world
        .check_all(&[
            // Many rows, few different.
            (
                "SELECT count(*), sum(t.k) FROM many m, LATERAL (SELECT f.k FROM few f WHERE f.k >= m.k ORDER BY f.k LIMIT 1) t",
                "[[20000,97138]]",
            ),
            // Few rows with many each.
            (
                "SELECT f.k, count(*), max(t.id) FROM few f, LATERAL (SELECT m.id FROM many m WHERE m.k <= f.k ORDER BY m.id OFFSET 1) t GROUP BY f.k ORDER BY 1",
                "[[0,2857,19999],[1,5714,19999],[3,11428,19999],[9,19999,19999]]",
            ),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_are_asked_once_for_all_rows() {
    let column = |values: &[i64]| -> ArrayRef { Arc::new(Int64Array::from(values.to_vec())) };
    for back_end in BackEnd::all() {
        let world = World::new();
        let columns = &[("id", "bigint"), ("k", "bigint"), ("other", "bigint")];
        let rows = vec![
            column(&[1, 2, 3, 4, 5]),
            column(&[10, 20, 30, 40, 50]),
            column(&[0, 0, 0, 0, 0]),
        ];
        back_end.fill(&world, "applied", "near", columns, rows);
        let few = vec![column(&[15, 35, 60])];
        back_end.fill(&world, "applied", "few", &[("k", "bigint")], few);
        let sql = "SELECT f.k, t.id FROM few f LEFT JOIN LATERAL \
                   (SELECT n.id FROM near n WHERE n.k > f.k ORDER BY n.k LIMIT 1) t ON true ORDER BY 1";
        world.check(sql, "[[15,2],[35,4],[60,null]]").await;
        if let BackEnd::Postgres(server) = &back_end {
            let asked = server.selects("near");
            assert_eq!(asked.lines().count(), 1, "{asked}");
            assert!(!asked.contains("other"), "{asked}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn they_nest_as_deeply_as_statements_may() {
    let world = world();
    let nested = |depth: usize| {
        let mut sql = String::from("SELECT a0.id FROM d AS a0 WHERE true");
        for level in 1..=depth {
            let (near, far) = (level - 1, level.saturating_sub(2));
            write!(
                sql,
                " AND EXISTS (SELECT 1 FROM d AS a{level} WHERE a{level}.id = a{near}.id AND a{level}.id >= a{far}.id"
            )
            .unwrap();
        }
        sql + &")".repeat(depth)
    };
    for depth in [3, 10, 15] {
        let rows = world.run(&nested(depth)).await.unwrap().row_count;
        assert_eq!(rows, 4, "{depth}");
    }
    let fault = world.refused(&nested(60)).await;
    assert_eq!(fault.reason, "sql_too_large", "{fault:?}");
}

/// On a thread as those of the server are.
#[test]
fn many_of_them_stand_in_one_statement() {
    let mut items = String::new();
    for number in 0..120 {
        write!(
            items,
            ", (SELECT max(s.pay) + {number} FROM s WHERE s.dept = d.id)"
        )
        .unwrap();
    }
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        runtime.block_on(async {
            let world = world();
            for first in [
                "(SELECT max(s.id) FROM s WHERE s.dept = d.id)",
                "(SELECT s.id FROM s WHERE s.pay > d.low ORDER BY s.id LIMIT 1)",
            ] {
                let sql = format!("SELECT d.id, {first}{items} FROM d");
                assert_eq!(world.run(&sql).await.unwrap().row_count, 5, "{first}");
            }
        });
    };
    let thread = std::thread::Builder::new().stack_size(dataos_query::THREAD_STACK_BYTES);
    thread.spawn(run).unwrap().join().unwrap();
}
