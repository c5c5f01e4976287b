//! Each statement is refused, at a place, with words that say what is wrong.

use dataos_sql::SqlErrorKind;

use crate::fixture::run;

/// The statement, and a part of the error.
type Case = (&'static str, &'static str);

fn check(cases: &[Case]) {
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(sql, part)| mistake(sql, part))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
}

fn mistake(sql: &str, expected: &str) -> Option<String> {
    let error = match run(sql) {
        Ok(bound) => return Some(format!("{sql}\n  not refused: {}", bound.emit())),
        Err(error) => error,
    };
    let text = error.to_string();
    let is_right = text.contains(expected)
        && error.line > 0
        && error.column > 0
        && error.kind != SqlErrorKind::Recheck;
    (!is_right).then(|| format!("{sql}\n  expected: {expected}\n  found:    {text}"))
}

const STATEMENTS: &[Case] = &[
    (
        "update main.people set (name, boss_id) = ('x', 'y')",
        "SET of several columns at once is not supported",
    ),
    (
        "update main.people set name = default",
        "DEFAULT is not supported",
    ),
    (
        "update main.people set people.name = 'x'",
        "a dotted name here is not supported",
    ),
    (
        "update main.people join customers on true set name = 'x'",
        "a join as the table to change is not supported",
    ),
    (
        "update (select * from main.people) as p set name = 'x'",
        "a query as the table to change is not supported",
    ),
    (
        "update main.people as p (a, b) set name = 'x'",
        "column aliases of the table to change is not supported",
    ),
    (
        "update main.people from customers set name = 'x'",
        "is not supported",
    ),
    (
        "select p + 1 from purchases p",
        "the whole row `p` here is not supported (line 1, column 8); name its columns; rows can be tested for NULL",
    ),
    (
        "select 1 from purchases p, archive.people q where p = q",
        "rows of 5 and 3 columns are compared (line 1, column 51)",
    ),
    (
        "select 1 from purchases p, purchases q where p < q",
        "the whole row `p` here is not supported",
    ),
    (
        "select 1 from purchases p where (select 1) = p",
        "the whole row `p` here is not supported",
    ),
    (
        "select 1 from purchases p where p in (select q from purchases q)",
        "the whole row `p` here is not supported",
    ),
    (
        "select case p when p then 1 end from purchases p",
        "the whole row `p` here is not supported",
    ),
    (
        "select max(p) from purchases p",
        "the whole row `p` in max is not supported (line 1, column 8); name its columns, or write row_to_json",
    ),
    (
        "select concat('x', customers) from customers",
        "the whole row `customers` in concat is not supported",
    ),
    (
        "select count(q.*) from purchases p",
        "`q` is not in FROM (line 1, column 14)",
    ),
    (
        "select b from odd.blind b",
        "no column is visible to stand for the row (line 1, column 1)",
    ),
    (
        "select (p).margin from purchases p",
        "column `p.margin` does not exist or is not visible",
    ),
    (
        "select (p.id).x from purchases p",
        "column `p.id.x` does not exist or is not visible",
    ),
    (
        "select (p).id[1] from purchases p",
        "access to a field or an element is not supported",
    ),
    (
        "select main.purchases from main.purchases, archive.people, hr.main.people as x where people is null and y is null",
        "column `y` does not exist or is not visible",
    ),
    (
        "select named_struct('a', 1, 'a', 2)",
        "named_struct has a name twice",
    ),
    (
        "select named_struct('a', 1, 'b')",
        "named_struct takes names and values in turn",
    ),
    (
        "select named_struct(name, 1) from customers",
        "named_struct takes names and values in turn",
    ),
    (
        "update main.people set name = 'x' where people = people",
        "the whole row of the table to change is not supported",
    ),
    (
        "select purchases from purchases p",
        "column `purchases` does not exist or is not visible",
    ),
    (
        "update main.people set name = 'x' order by id",
        "ORDER BY or LIMIT of UPDATE is not supported",
    ),
    (
        "update main.people set name = 'x' limit 1",
        "ORDER BY or LIMIT of UPDATE is not supported",
    ),
    (
        "update or ignore main.people set name = 'x'",
        "UPDATE OR .. is not supported",
    ),
    (
        "update main.people set name = max(name)",
        "an aggregate or window function of a change is not supported",
    ),
    (
        "update main.people set name = 'x' where row_number() over (order by id) = 1",
        "an aggregate or window function of a change is not supported",
    ),
    (
        "update main.people set name = 'x', name = 'y'",
        "column `name` is named twice",
    ),
    (
        "update main.people set nope = 'x'",
        "column `nope` does not exist or is not visible",
    ),
    (
        "update purchases set margin = '1'",
        "column `margin` does not exist or is not visible",
    ),
    (
        "update purchases set status = margin",
        "column `margin` does not exist or is not visible",
    ),
    (
        "update customers set email = 'x'",
        "column `email` is masked for you, so you may not change it",
    ),
    (
        "update customers set name = email",
        "column `name` would take a value that is masked for you from the same table",
    ),
    (
        "update customers set name = (select max(x) from (select ssn as x from customers) s)",
        "column `name` would take a value that is masked for you",
    ),
    (
        "update customers set name = case when email = 'a' then 'x' end",
        "column `name` would take a value that is masked for you",
    ),
    (
        "update customers set name = __row",
        "column `__row` does not exist or is not visible",
    ),
    (
        "delete from customers where __row = 1",
        "column `__row` does not exist or is not visible",
    ),
    (
        "delete main.people where id = 1",
        "DELETE without FROM is not supported",
    ),
    (
        "delete from main.people, customers",
        "DELETE from several tables is not supported",
    ),
    (
        "delete from main.people limit 1",
        "ORDER BY or LIMIT of DELETE is not supported",
    ),
    (
        "with c as (select 1) delete from main.people",
        "a write inside a query is not supported",
    ),
    (
        "merge into main.people a using b on a.x = b.x when not matched by source then delete",
        "WHEN NOT MATCHED BY SOURCE is not supported",
    ),
    (
        "merge into main.people p using customers c on p.id = c.id when matched then delete when matched then update set name = 'x'",
        "a WHEN behind one without AND is never reached",
    ),
    (
        "merge into main.people p using customers c on p.id = c.id when not matched then delete",
        "DELETE is not allowed in a NOT MATCHED merge clause",
    ),
    (
        "merge into main.people p using customers c on p.id = c.id when not matched then insert (id) values ('1'), ('2')",
        "several rows of VALUES in MERGE is not supported",
    ),
    (
        "merge into main.people p using customers c on p.id = c.id when not matched then insert (id, name) values (c.id)",
        "1 values for 2 columns",
    ),
    (
        "merge into main.people p using (select uuid() as id) c on p.id = c.id when matched then delete",
        "a function in MERGE that changes its answer is not supported",
    ),
    (
        "merge into customers a using customers b on a.id = b.id when matched then update set name = b.email",
        "column `name` would take a value that is masked for you",
    ),
    (
        "merge into customers a using customers b on a.id = b.id when not matched then insert (name) values (b.ssn)",
        "column `name` would take a value that is masked for you",
    ),
    (
        "merge into main.people p using customers c on p.id = c.id when matched then delete output id",
        "OUTPUT is not supported",
    ),
    (
        "merge main.people p using customers c on p.id = c.id when matched then delete",
        "MERGE without INTO is not supported",
    ),
    (
        "delete from main.people returning (select max(id) from customers)",
        "a query in RETURNING is not supported",
    ),
    (
        "delete from main.people returning count(*)",
        "an aggregate or window function of RETURNING is not supported",
    ),
    (
        "delete from main.people p using customers c where c.id = p.id returning c.name",
        "column `c.name` does not exist or is not visible",
    ),
    (
        "insert into sales.main.customers (name) select email from customers",
        "would take a value that is masked for you from the same table",
    ),
    (
        "create view v as select 1",
        "the name of a table to be written needs three parts",
    ),
    (
        "create materialized view a.b.v as select 1",
        "a materialized view is not supported",
    ),
    (
        "create view a.b.v with (security_barrier = true) as select 1",
        "CREATE VIEW with options is not supported",
    ),
    (
        "create temporary view a.b.v as select 1",
        "a temporary view is not supported",
    ),
    (
        "create view if not exists a.b.v as select 1",
        "IF NOT EXISTS is not supported",
    ),
    (
        "create view a.b.v (a, b) as select 1",
        "2 names for 1 columns",
    ),
    (
        "create view a.b.v as select 1 as x, 2 as \"X\"",
        "the new table would have two columns",
    ),
    ("drop view a.b.v, a.b.w", "DROP of several views"),
    ("drop view if exists a.b.v", "IF EXISTS is not supported"),
    ("drop view a.b.v cascade", "DROP VIEW with options"),
    (
        "drop table purchases",
        "the statement DROP is not supported",
    ),
    (
        "alter table purchases add column x int",
        "ALTER TABLE is not supported",
    ),
    ("truncate table purchases", "TRUNCATE is not supported"),
    ("copy purchases to 'x.csv'", "COPY is not supported"),
    ("copy (select 1) to program 'sh'", "COPY is not supported"),
    ("unload ('select 1') to 's3://x'", "is not supported"),
    ("grant select on purchases to bob", "GRANT is not supported"),
    ("set role admin", "SET is not supported"),
    ("set search_path = hr", "SET is not supported"),
    ("reset all", "RESET is not supported"),
    ("use hr", "USE is not supported"),
    ("prepare p as select 1", "PREPARE is not supported"),
    ("execute p", "EXECUTE is not supported"),
    ("execute immediate 'select 1'", "is not supported"),
    ("deallocate all", "DEALLOCATE is not supported"),
    ("declare c cursor for select 1", "DECLARE is not supported"),
    ("fetch next from c", "FETCH is not supported"),
    ("call p()", "CALL is not supported"),
    ("listen c", "Expected: an SQL statement"),
    ("notify c", "Expected: an SQL statement"),
    ("lock table purchases", "is not supported"),
    ("analyze purchases", "ANALYZE is not supported"),
    ("vacuum", "VACUUM is not supported"),
    ("kill query 7", "KILL is not supported"),
    ("begin", "START TRANSACTION is not supported"),
    ("commit", "COMMIT is not supported"),
    ("pragma table_info('x')", "PRAGMA is not supported"),
    ("attach 'x.db' as y", "ATTACH"),
    ("install httpfs", "INSTALL is not supported"),
    ("load httpfs", "LOAD is not supported"),
    ("show processlist", "is not supported"),
    ("show columns from people", "SHOW COLUMNS is not supported"),
    ("show create table people", "SHOW CREATE is not supported"),
    (
        "show tables from hr",
        "SHOW TABLES with options is not supported",
    ),
    (
        "show full tables",
        "SHOW TABLES with options is not supported",
    ),
    ("describe purchases", "EXPLAIN TABLE is not supported"),
    ("describe select 1", "DESCRIBE is not supported"),
    ("explain purchases", "EXPLAIN TABLE is not supported"),
    (
        "explain analyze select 1",
        "EXPLAIN ANALYZE is not supported",
    ),
    (
        "explain verbose select 1",
        "EXPLAIN VERBOSE is not supported",
    ),
    (
        "explain format json select 1",
        "EXPLAIN FORMAT is not supported",
    ),
    ("explain drop view a.b.v", "EXPLAIN DROP is not supported"),
    (
        "explain policy explain select 1",
        "EXPLAIN POLICY EXPLAIN is not supported",
    ),
    (
        "explain policy show tables",
        "EXPLAIN POLICY SHOW TABLES is not supported",
    ),
    (
        "explain policy explain policy select 1",
        "behind the statement",
    ),
    ("explain policy purchases", "Expected: an SQL statement"),
    (
        "comment on table purchases is 'x'",
        "COMMENT is not supported",
    ),
    (
        "create function f() returns int as 'select 1'",
        "CREATE FUNCTION is not supported",
    ),
    (
        "create table a.b.c (x int)",
        "a list of columns here is not supported",
    ),
    (
        "create table a.b.c",
        "CREATE TABLE without AS is not supported",
    ),
    ("create table c as select 1 as x", "needs three parts"),
    ("create table b.c as select 1 as x", "needs three parts"),
    (
        "create or replace table a.b.c as select 1 as x",
        "OR REPLACE is not supported",
    ),
    (
        "create temporary table a.b.c as select 1 as x",
        "a special kind of table",
    ),
    (
        "create external table a.b.c as select 1 as x",
        "behind the statement",
    ),
    (
        "create table if not exists a.b.c as select 1 as x",
        "IF NOT EXISTS is not supported",
    ),
    (
        "create table a.b.c as select 1 as x, 2 as X",
        "two columns `x`",
    ),
    (
        "create table a.b.c with (location = 'x') as select 1 as x",
        "options is not supported",
    ),
    (
        "create table a.b.c like hr.main.people",
        "LIKE or CLONE is not supported",
    ),
    ("insert into people select 1", "needs three parts"),
    (
        "insert into hr.main.people select 1",
        "1 values for 5 columns",
    ),
    (
        "insert into hr.main.people (id, id) select 1, 2",
        "named twice",
    ),
    (
        "insert into hr.main.people (nope) select 1",
        "does not exist in the target",
    ),
    (
        "insert into hr.main.nobody select 1",
        "does not exist or is not visible",
    ),
    (
        "insert into hr.main.people (id) values (1) returning nope",
        "column `nope` does not exist or is not visible",
    ),
    (
        "insert into hr.main.people (id) values (1) on conflict do nothing",
        "ON CONFLICT is not supported",
    ),
    (
        "insert into hr.main.people (id) values (1) on conflict (id) do update set name = excluded.name",
        "ON CONFLICT is not supported",
    ),
    (
        "insert overwrite hr.main.people select 1",
        "is not supported",
    ),
    (
        "insert into hr.main.people default values",
        "without a query or VALUES",
    ),
    (
        "insert into hr.main.people (id) values (1), (2, 3)",
        "differ in length",
    ),
    (
        "replace into hr.main.people (id) values (1)",
        "REPLACE INTO is not supported",
    ),
];

#[test]
fn statements() {
    check(STATEMENTS);
}

const TEXTS: &[Case] = &[
    ("", "the statement is empty"),
    ("  -- only a comment", "the statement is empty"),
    (";", "Expected: an SQL statement"),
    (
        "select 1; select 2",
        "more than one statement is not supported (line 1, column 11)",
    ),
    (
        "select 1;\n drop table people",
        "more than one statement is not supported (line 2",
    ),
    ("select 1 select 2", "behind the statement"),
    (
        "select 1 \u{0}",
        "control or invisible character (line 1, column 10)",
    ),
    (
        "\u{feff}select 1",
        "control or invisible character (line 1, column 1)",
    ),
    ("select 'a\u{202e}b'", "control or invisible character"),
    (
        "select id from pur\u{200b}chases",
        "control or invisible character",
    ),
    ("select 1 /* /* */", "comment"),
    ("select 'open", "Unterminated string literal"),
    ("select \"open", "Expected close delimiter"),
    ("selec 1", "Expected"),
    ("select from purchases", "is not supported"),
    (
        "select idé from purchases",
        "this name without quotes is not supported",
    ),
    (
        "select id from #temp",
        "this name without quotes is not supported",
    ),
    ("select id from @stage", "is not supported"),
    ("select `id` from purchases", "quoting names with `"),
    ("select id from [purchases]", "xpected"),
    ("select \"\" from purchases", "a name is empty"),
    ("select \"e\u{301}\" from purchases", "combining"),
    ("select E'\\x41'", "this form of literal is not supported"),
    ("select U&'\\0041'", "this form of literal is not supported"),
    ("select N'a'", "this form of literal is not supported"),
    ("select X'41'", "this form of literal is not supported"),
    ("select $$a$$", "this form of literal is not supported"),
    ("select $1", "a parameter is not supported"),
    (
        "select id from purchases where id = ?",
        "a parameter is not supported",
    ),
    ("select :name", "a parameter is not supported"),
    ("select 1L", "this form of number is not supported"),
];

#[test]
fn texts() {
    check(TEXTS);
}

const RELATIONS: &[Case] = &[
    (
        "select * from read_csv('x.csv')",
        "a table function is not supported",
    ),
    (
        "select * from read_parquet('/etc/passwd')",
        "a table function is not supported",
    ),
    (
        "select * from generate_series(1, 10)",
        "a table function is not supported",
    ),
    (
        "select * from table(f(1))",
        "a table function is not supported",
    ),
    (
        "select * from lateral f(1) as x",
        "a table function is not supported",
    ),
    (
        "select * from purchases, unnest(id)",
        "UNNEST is not supported",
    ),
    ("select * from 'x.csv'", "is not supported"),
    (
        "select * from \"/tmp/x.csv\"",
        "does not exist or is not visible",
    ),
    (
        "select * from purchases tablesample bernoulli (10)",
        "TABLESAMPLE is not supported",
    ),
    (
        "select * from purchases with (nolock)",
        "a table hint is not supported",
    ),
    (
        "select * from purchases use index (i)",
        "behind the statement",
    ),
    (
        "select * from purchases partition (p)",
        "PARTITION is not supported",
    ),
    (
        "select * from purchases for system_time as of '2026-01-01'",
        "xpected",
    ),
    (
        "select * from purchases version as of 3",
        "behind the statement",
    ),
    (
        "select * from \"purchases$files\"",
        "does not exist or is not visible",
    ),
    (
        "select * from information_schema.tables",
        "does not exist or is not visible",
    ),
    (
        "select * from pg_catalog.pg_stats",
        "does not exist or is not visible",
    ),
    (
        "select * from a.b.c.d",
        "more than three parts is not supported",
    ),
    (
        "select * from nobody",
        "table `nobody` does not exist or is not visible (line 1, column 15)",
    ),
    ("select * from people", "hr.main.people, hr.archive.people"),
    ("select * from hr.people", "table `hr.people` is ambiguous"),
    (
        "select * from \"PURCHASES\"",
        "does not exist or is not visible",
    ),
    (
        "select * from purchases pivot (sum(id) for status in ('a'))",
        "PIVOT is not supported",
    ),
    (
        "select * from purchases unpivot (v for n in (id))",
        "UNPIVOT is not supported",
    ),
    (
        "select * from purchases match_recognize (order by id measures a.id as x \
             pattern (a) define a as a.id > 1)",
        "MATCH_RECOGNIZE is not supported",
    ),
    (
        "select * from purchases lateral view explode(id) t as x",
        "LATERAL VIEW",
    ),
    (
        "select 1 from purchases, purchases",
        "`purchases` is twice in FROM",
    ),
    (
        "select 1 from purchases x join customers x using (id)",
        "`x` is twice in FROM",
    ),
    (
        "select * from purchases asof join customers match_condition (a >= b)",
        "ASOF JOIN",
    ),
    (
        "select * from purchases straight_join customers on true",
        "behind the statement",
    ),
    (
        "select * from purchases join customers",
        "needs ON or USING",
    ),
    (
        "select * from purchases cross join customers on true",
        "behind the statement",
    ),
    (
        "select * from purchases join customers using (nope)",
        "of USING does not exist",
    ),
    (
        "select * from (purchases cross join customers) x",
        "in parentheses is not supported",
    ),
    (
        "select * from purchases as p (a, b, c, d, e, f)",
        "6 names are given for 5 columns",
    ),
    (
        "select * from xmltable('/a' passing x columns y int)",
        "XMLTABLE is not supported",
    ),
    (
        "select * from json_table('[]', '$' columns (x int path '$'))",
        "JSON_TABLE",
    ),
    ("select * from openjson('[]')", "OPENJSON is not supported"),
    ("select * from semantic_view(v metrics m)", "Expected: )"),
    ("select 1 union table purchases", "TABLE is not supported"),
    ("table purchases", "Expected: an SQL statement"),
    ("select * from blind", "no column is visible"),
];

#[test]
fn relations() {
    check(RELATIONS);
}

const QUERIES: &[Case] = &[
    (
        "with t as materialized (select 1 as x) select * from t",
        "Expected: (",
    ),
    (
        "with recursive t as (select id from t union all select 1) select * from t",
        "may name itself only once",
    ),
    (
        "with recursive t as (select 1 as n union all select a.n from t a, t b) select n from t",
        "may name itself only once",
    ),
    (
        "with recursive t as (select n from t) select n from t",
        "may name itself only once",
    ),
    (
        "with recursive t as (select 1 as n union all select n, n from t) select n from t",
        "has 1 and 2 columns",
    ),
    (
        "with recursive t as (select 1 as n union all select n from t limit 3) select n from t",
        "LIMIT of a UNION in WITH RECURSIVE",
    ),
    (
        "with recursive t as (select 1 as n except select n from t) select n from t",
        "may name itself only once",
    ),
    (
        "select * except (nope) from purchases",
        "`nope` is not among those of the star",
    ),
    (
        "select * except (margin) from purchases",
        "`margin` is not among those of the star",
    ),
    (
        "select * replace (margin as id) from purchases",
        "does not exist or is not visible",
    ),
    (
        "select 1 from purchases group by rollup (1)",
        "a position in ROLLUP",
    ),
    (
        "select 1 from purchases group by rollup (margin)",
        "does not exist or is not visible",
    ),
    (
        "select 1 from purchases group by cube (id, id, id, id, id, id, id, id, id)",
        "sets of keys in GROUP BY: at most 256",
    ),
    ("select rollup(id) from purchases", "not on the allow-list"),
    (
        "select id from purchases group by id with totals",
        "WITH TOTALS is not supported",
    ),
    (
        "select (select 1) as x from purchases order by x + 1",
        "the alias `x` of a query or of a volatile function",
    ),
    (
        "select random() as x from purchases order by x + 1",
        "the alias `x` of a query or of a volatile function",
    ),
    (
        "select distinct on (x) random() as x from purchases",
        "DISTINCT ON a query or a volatile function",
    ),
    (
        "select distinct on ((select 1), 2) *, 5 from purchases",
        "a position behind `*` beside DISTINCT ON a query",
    ),
    (
        "select distinct on ((select 1)) *, 5 from purchases order by (select 1), 2",
        "a position here is not supported",
    ),
    (
        "select distinct on ((select 1)) id from purchases qualify row_number() over () = 1",
        "DISTINCT ON a query beside QUALIFY",
    ),
    (
        "select * from purchases right join lateral (select 1) x on true",
        "RIGHT or FULL JOIN with LATERAL",
    ),
    (
        "select * from purchases p cross apply customers",
        "APPLY of something other than a query",
    ),
    (
        "select customers.id from purchases semi join customers on true",
        "does not exist or is not visible",
    ),
    (
        "select 1 from purchases semi join customers using (id)",
        "USING or NATURAL with SEMI or ANTI JOIN",
    ),
    (
        "select 1 from purchases right semi join customers on true",
        "RIGHT SEMI or ANTI JOIN is not supported",
    ),
    (
        "select 1 from purchases natural join (customers a cross join customers b)",
        "is ambiguous on one side",
    ),
    (
        "select x.id from (select p.id) x, lateral purchases p",
        "xpected",
    ),
    (
        "select * from (select p.id) x, purchases p",
        "`p.id` does not exist or is not visible",
    ),
    (
        "select id like any (select 1) from purchases",
        "is not supported",
    ),
    (
        "select sum(id) over (w partition by id) from purchases window w as (order by id)",
        "PARTITION BY behind the name of a window",
    ),
    (
        "select sum(id) over w from purchases window w as (order by id), w as (order by id)",
        "WINDOW defines `w` twice",
    ),
    (
        "select sum(id) over w from purchases window w as (order by margin)",
        "does not exist or is not visible",
    ),
    (
        "with t as (select 1), t as (select 2) select 1",
        "WITH defines `t` twice",
    ),
    (
        "with t as (select * from t) select * from t",
        "table `t` does not exist",
    ),
    (
        "with t as (insert into a.b.c select 1) select 1",
        "a write inside a query",
    ),
    (
        "with t as (delete from people) select 1",
        "a write inside a query",
    ),
    (
        "with t (a, b) as (select 1) select 1",
        "2 names are given for 1 columns",
    ),
    (
        "select id into x from purchases",
        "SELECT INTO is not supported",
    ),
    ("select top 5 id from purchases", "TOP is not supported"),
    (
        "select id from purchases prewhere id = 1",
        "PREWHERE is not supported",
    ),
    (
        "select id from purchases connect by prior id = id",
        "is not supported",
    ),
    ("select id from purchases cluster by id", "CLUSTER BY"),
    (
        "from purchases select id",
        "FROM before SELECT is not supported",
    ),
    ("from purchases", "FROM before SELECT is not supported"),
    (
        "select id from purchases |> limit 1",
        "the pipe operator |> is not supported",
    ),
    (
        "select * ilike 'x' from purchases",
        "no column is visible to stand for *",
    ),
    ("select *", "* needs a FROM"),
    ("select x.* from purchases", "`x` is not in FROM"),
    (
        "select id from purchases group by 2",
        "position 2 is not in the select list",
    ),
    ("select id from purchases order by 0", "must be a position"),
    (
        "select id from purchases order by all",
        "column `all` does not exist",
    ),
    (
        "select id as a, amount as a from purchases order by a",
        "names several output columns",
    ),
    (
        "select id from purchases for update",
        "FOR UPDATE or FOR SHARE is not supported",
    ),
    ("select id from purchases for xml auto", "is not supported"),
    (
        "select id from purchases limit (select 1)",
        "a row count that is not a whole number",
    ),
    (
        "select id from purchases limit 1 + 1",
        "a row count that is not a whole number",
    ),
    (
        "select id from purchases limit 1.5",
        "a row count that is not a whole number",
    ),
    (
        "select id from purchases limit -1",
        "a row count that is not a whole number",
    ),
    (
        "select id from purchases limit 1 by id",
        "LIMIT BY is not supported",
    ),
    (
        "select id from purchases fetch first 1 rows with ties",
        "WITH TIES is not supported",
    ),
    (
        "select id from purchases fetch first 10 percent rows only",
        "PERCENT is not supported",
    ),
    (
        "select 1 union by name select 2",
        "UNION BY NAME is not supported",
    ),
    ("select 1 minus select 2", "MINUS is not supported"),
    (
        "select 1 as x union select 2 order by y",
        "`y` is not an output column",
    ),
    (
        "select id from purchases window w as (order by id)",
        "WINDOW defines `w`, and nothing uses it",
    ),
    (
        "select id from purchases settings x = 1",
        "SETTINGS is not supported",
    ),
    (
        "select id from purchases format json",
        "FORMAT is not supported",
    ),
];

#[test]
fn queries() {
    check(QUERIES);
}

const EXPRESSIONS: &[Case] = &[
    (
        "select nope from purchases",
        "column `nope` does not exist or is not visible",
    ),
    (
        "select margin from purchases",
        "column `margin` does not exist or is not visible",
    ),
    (
        "select p.margin from purchases p",
        "column `p.margin` does not exist or is not visible",
    ),
    (
        "select 1 from purchases where margin > 1",
        "does not exist or is not visible",
    ),
    (
        "select 1 from purchases order by margin",
        "does not exist or is not visible",
    ),
    (
        "select 1 from purchases group by margin",
        "does not exist or is not visible",
    ),
    (
        "select count(margin) from purchases",
        "does not exist or is not visible",
    ),
    ("select amuont from purchases", "did you mean amount?"),
    (
        "select id from purchases, customers",
        "it may be purchases.id, customers.id",
    ),
    (
        "select purchases.id from purchases p",
        "does not exist or is not visible",
    ),
    (
        "select main.p.id from purchases p",
        "does not exist or is not visible",
    ),
    (
        "select ctid from purchases",
        "does not exist or is not visible",
    ),
    (
        "select \"$path\" from purchases",
        "does not exist or is not visible",
    ),
    (
        "select _metadata from purchases",
        "does not exist or is not visible",
    ),
    (
        "select id.x.y.z.w from purchases",
        "more than four parts is not supported",
    ),
    (
        "select (id).x from purchases",
        "column `id.x` does not exist or is not visible (line 1, column 9)",
    ),
    (
        "select id[1] from purchases",
        "access to a field or an element is not supported",
    ),
    (
        "select id:a.b from purchases",
        "a JSON path is not supported",
    ),
    (
        "select id -> 'a' from purchases",
        "the operator -> is not supported",
    ),
    (
        "select id ->> 'a' from purchases",
        "the operator ->> is not supported",
    ),
    (
        "select id ^ 2 from purchases",
        "the operator ^ is not supported",
    ),
    (
        "select id xor id from purchases",
        "the operator XOR is not supported",
    ),
    (
        "select ~id from purchases",
        "the operator ~ is not supported",
    ),
    (
        "select id operator(pg_catalog.+) 1 from purchases",
        "is not supported",
    ),
    (
        "select id collate \"C\" from purchases",
        "COLLATE is not supported",
    ),
    (
        "select placed_on at time zone 'UTC' from purchases",
        "AT TIME ZONE is not supported",
    ),
    (
        "select id similar to 'a' from purchases",
        "SIMILAR TO is not supported",
    ),
    (
        "select id rlike 'a' from purchases",
        "RLIKE or REGEXP is not supported",
    ),
    (
        "select id like any ('a') from purchases",
        "is not supported",
    ),
    (
        "select id in unnest(id) from purchases",
        "IN UNNEST is not supported",
    ),
    (
        "select (id, id) from purchases",
        "a row of several values is not supported",
    ),
    (
        "select (id, id) is null from purchases",
        "a row of several values is not supported",
    ),
    (
        "select (id, id) = 1 from purchases",
        "a row of several values is not supported",
    ),
    (
        "select (id, id) in (1, (2, 3)) from purchases",
        "a value in an IN list of rows is not supported",
    ),
    (
        "select (id, id) in ((1, 2, 3)) from purchases",
        "rows of 2 and of 3 values cannot be compared",
    ),
    (
        "select (id, id) < (1, 2, 3) from purchases",
        "rows of 2 and of 3 values cannot be compared",
    ),
    (
        "select (id, id) in (select 1, 2, 3) from purchases",
        "rows of 2 and of 3 values cannot be compared",
    ),
    (
        "select (id, id) in (select * from purchases) from purchases",
        "a row of several values beside a query of `*`",
    ),
    (
        "select (id, id) + (1, 2) from purchases",
        "the operator + of rows of several values",
    ),
    (
        "select (count(*), 1) in (select 1, 2) from purchases",
        "an aggregate, a window or a volatile function in a row beside a query",
    ),
    (
        "select (rank() over (order by id), 1) not in (select 1, 2) from purchases",
        "an aggregate, a window or a volatile function in a row beside a query",
    ),
    (
        "select 1 from purchases where (random(), 1) in (select 1.0, 2)",
        "an aggregate, a window or a volatile function in a row beside a query",
    ),
    (
        "select (random(), id) in ((1, 2), (3, 4)) from purchases",
        "a query or a volatile function in a row that is compared more than once",
    ),
    (
        "select ((select 1), id) < (1, 2) from purchases",
        "a query or a volatile function in a row that is compared more than once",
    ),
    (
        "select lag(id, (select 1)) over (order by id) from purchases",
        "a query in place of a literal in lag",
    ),
    (
        "select ntile((select 1)) over (order by id) from purchases",
        "a query in place of a literal in ntile",
    ),
    (
        "select string_agg(status, (select ',')) from purchases",
        "a query in place of a literal in string_agg",
    ),
    (
        "select id in (select id, amount from purchases) from purchases",
        "needs one column, not 2",
    ),
    (
        "select id = any (array[1]) from purchases",
        "of something other than a query",
    ),
    ("select array[1, 2]", "an array is not supported"),
    ("select {'a': 1}", "a struct or map is not supported"),
    ("select struct(1 as a)", "is not supported"),
    (
        "select cast(id as regclass) from purchases",
        "this type is not supported",
    ),
    (
        "select id::varchar(3) from purchases",
        "a text type with a length is not supported",
    ),
    (
        "select cast(id as decimal(60, 2)) from purchases",
        "of this precision and scale",
    ),
    (
        "select safe_cast(id as int) from purchases",
        "SAFE_CAST is not supported",
    ),
    ("select convert(int, id) from purchases", "is not supported"),
    (
        "select extract(century from placed_on) from purchases",
        "this date field",
    ),
    (
        "select interval '1' year to month",
        "an interval with two fields is not supported",
    ),
    (
        "select interval amount day from purchases",
        "an interval that is not a literal",
    ),
    ("select {d '2026-01-01'}", "is not supported"),
    (
        "select id is distinct from 1 and true from purchases",
        "put the comparison in parentheses",
    ),
    (
        "select id is normalized from purchases",
        "IS NORMALIZED is not supported",
    ),
    (
        "select (select id, amount from purchases)",
        "needs one column, not 2",
    ),
    (
        "select id like 'a' escape 'ab' from purchases",
        "text of one character",
    ),
    ("select id in () from purchases", "Expected: an expression"),
    ("select id(+) from purchases", "Expected: an expression"),
    ("select x -> x + 1", "is not supported"),
];

#[test]
fn expressions() {
    check(EXPRESSIONS);
}

const FUNCTIONS: &[Case] = &[
    (
        "select dblink('x', 'select 1')",
        "the function dblink is not on the allow-list",
    ),
    (
        "select postgres_query('x', 'y')",
        "is not on the allow-list",
    ),
    (
        "select query_to_xml('select 1')",
        "is not on the allow-list",
    ),
    ("select pg_sleep(10)", "is not on the allow-list"),
    (
        "select pg_read_file('/etc/passwd')",
        "is not on the allow-list",
    ),
    ("select current_setting('x')", "is not on the allow-list"),
    ("select current_user", "is not on the allow-list"),
    ("select version()", "is not on the allow-list"),
    (
        "select input_file_name() from purchases",
        "is not on the allow-list",
    ),
    (
        "select json_agg(p) from purchases p",
        "is not on the allow-list",
    ),
    (
        "select arrow_cast(id, 'Utf8') from purchases",
        "is not on the allow-list",
    ),
    (
        "select hr.lower(name) from customers",
        "a function name with a point",
    ),
    (
        "select \"LOWER\"(name) from customers",
        "the function LOWER is not on the allow-list",
    ),
    ("select lowr(name) from customers", "did you mean lower?"),
    ("select lower(*) from customers", "lower(*) has no meaning"),
    (
        "select lower() from customers",
        "lower takes 1 to 1 arguments, not 0",
    ),
    (
        "select count(id, *) from purchases p",
        "a star among arguments is not supported",
    ),
    (
        "select lower(distinct name) from customers",
        "cannot have DISTINCT",
    ),
    (
        "select lower(name) over () from customers",
        "lower cannot have OVER",
    ),
    (
        "select lower(name) filter (where true) from customers",
        "FILTER",
    ),
    ("select rank() from purchases", "rank needs OVER"),
    (
        "select count(distinct *) from purchases",
        "count cannot have DISTINCT",
    ),
    (
        "select lower(name => 'x')",
        "a named argument is not supported",
    ),
    (
        "select sum(id) within group (order by id) from purchases",
        "sum cannot have WITHIN GROUP",
    ),
    (
        "select string_agg(name, ',' order by 1) from customers",
        "ORDER BY a number inside a call",
    ),
    (
        "select rank() over w from purchases",
        "WINDOW does not define `w`",
    ),
    (
        "select sum(id) over (rows amount preceding) from purchases",
        "not a literal",
    ),
    ("select lower((select 1), select 1)", "xpected"),
    ("select count(select 1)", "Expected: )"),
    ("select {fn lower('x')}", "is not supported"),
    (
        "select ceil(amount to day) from purchases",
        "with a field or a scale",
    ),
    (
        "select group_concat(name separator ',') from customers",
        "allow-list",
    ),
];

#[test]
fn functions() {
    check(FUNCTIONS);
}
