//! What goes to the engine, word for word.

use crate::fixture::{compare, emitted, run};

fn check(cases: &[(&str, &str)]) {
    compare(cases, emitted);
}

#[test]
fn names() {
    check(&[
        (
            "select id from purchases",
            r#"SELECT "purchases"."id" AS "id" FROM "__t0" AS "purchases""#,
        ),
        (
            "SELECT ID FROM Purchases",
            r#"SELECT "purchases"."id" AS "id" FROM "__t0" AS "purchases""#,
        ),
        (
            "select sales.main.purchases.id from sales.main.purchases",
            r#"SELECT "purchases"."id" AS "id" FROM "__t0" AS "purchases""#,
        ),
        (
            "select main.purchases.id from sales.purchases",
            r#"SELECT "purchases"."id" AS "id" FROM "__t0" AS "purchases""#,
        ),
        (
            "select * from blind b, purchases p where b.x = 1",
            "error: column `b.x` does not exist or is not visible (line 1, column 42)",
        ),
        (
            "select id as \"A \"\"b\"\"\" from purchases",
            r#"SELECT "purchases"."id" AS "A ""b""" FROM "__t0" AS "purchases""#,
        ),
        (
            "select Total from Mixed",
            r#"SELECT "mixed"."Total" AS "Total" FROM "__t0" AS "mixed""#,
        ),
        (
            "select ID from mixed",
            r#"SELECT "mixed"."Id" AS "Id" FROM "__t0" AS "mixed""#,
        ),
        (
            "select name, \"Name\" from mixed",
            r#"SELECT "mixed"."name" AS "name", "mixed"."Name" AS "Name" FROM "__t0" AS "mixed""#,
        ),
        (
            "select a.id, b.id from purchases a, purchases b",
            r#"SELECT "a"."id" AS "id", "b"."id" AS "id_2" FROM "__t0" AS "a", "__t1" AS "b""#,
        ),
        (
            "select \"__t1\".id from purchases as \"__t1\", customers",
            r#"SELECT "r__t1"."id" AS "id" FROM "__t0" AS "r__t1", "__t1" AS "customers""#,
        ),
        (
            "select count(*) from purchases",
            r#"SELECT count(*) FROM "__t0" AS "purchases""#,
        ),
        (
            "select 1, 2 from purchases",
            r#"SELECT 1 AS "column1", 2 AS "column2" FROM "__t0" AS "purchases""#,
        ),
        ("select 1", r#"SELECT 1 AS "column1""#),
    ]);
}

#[test]
fn stars() {
    check(&[
        (
            "select * from hr.archive.people",
            r#"SELECT "people"."id" AS "id", "people"."name" AS "name", "people"."left_on" AS "left_on" FROM "__t0" AS "people""#,
        ),
        (
            "select p.*, 1 as one from hr.archive.people as p (number)",
            r#"SELECT "p"."id" AS "number", "p"."name" AS "name", "p"."left_on" AS "left_on", 1 AS "one" FROM "__t0" AS "p""#,
        ),
        (
            "select * from hr.archive.people a join mixed m using (id)",
            r#"SELECT "a"."id" AS "id", "a"."name" AS "name", "a"."left_on" AS "left_on", "m"."name" AS "name_2", "m"."Name" AS "Name", "m"."Total" AS "Total" FROM "__t0" AS "a" INNER JOIN "__t1" AS "m" ON "a"."id" = "m"."Id""#,
        ),
        (
            "select id from hr.archive.people a full join mixed m using (id)",
            r#"SELECT coalesce("a"."id", "m"."Id") AS "id" FROM "__t0" AS "a" FULL JOIN "__t1" AS "m" ON "a"."id" = "m"."Id""#,
        ),
        (
            "select 1 from purchases p where exists (select * from customers c where c.id = p.id)",
            r#"SELECT 1 AS "column1" FROM "__t0" AS "p" WHERE EXISTS (SELECT * FROM "__t1" AS "c" WHERE "c"."id" = "p"."id")"#,
        ),
    ]);
}

#[test]
fn scopes() {
    check(&[
        // A WITH query hides a table, but not inside itself.
        (
            "with purchases as (select id as x from purchases) select x from purchases",
            r#"WITH "purchases" AS (SELECT "purchases"."id" AS "x" FROM "__t0" AS "purchases") SELECT "purchases"."x" AS "x" FROM "purchases" AS "purchases""#,
        ),
        // One that is inside another of its name is another.
        (
            "with a as (select id from purchases) select (with a as (select max(id) as id from a) select id from a) from a",
            r#"WITH "a" AS (SELECT "purchases"."id" AS "id" FROM "__t0" AS "purchases") SELECT (WITH "a_2" AS (SELECT max("a_2"."id") AS "id" FROM "a" AS "a_2") SELECT "a_2"."id" AS "id" FROM "a_2" AS "a_2") AS "id" FROM "a" AS "a""#,
        ),
        // Equal queries are equal texts, but for the governed names.
        (
            "select id from purchases where amount > (select max(x.id) from customers x) or amount < (select max(x.id) from customers x)",
            r#"SELECT "purchases"."id" AS "id" FROM "__t0" AS "purchases" WHERE "purchases"."amount" > (SELECT max("x"."id") FROM "__t1" AS "x") OR "purchases"."amount" < (SELECT max("x"."id") FROM "__t2" AS "x")"#,
        ),
        // What a query beside another cannot see it need not be told from.
        (
            "select p.id from purchases p, (select p.id from customers p) d, lateral (select p.amount from customers d) e",
            r#"SELECT "p"."id" AS "id" FROM "__t0" AS "p", (SELECT "p"."id" AS "id" FROM "__t1" AS "p") AS "d", LATERAL (SELECT "p"."amount" AS "amount" FROM "__t2" AS "d_2") AS "e""#,
        ),
        // An alias that is the name of another table is still an alias.
        (
            "select customers.amount from purchases as customers",
            r#"SELECT "customers"."amount" AS "amount" FROM "__t0" AS "customers""#,
        ),
        // The inner alias hides the outer, and the text cannot confuse them.
        (
            "select p.id from purchases p where p.id in (select p.id from customers p where region = status)",
            r#"SELECT "p"."id" AS "id" FROM "__t0" AS "p" WHERE "p"."id" IN (SELECT "p_2"."id" AS "id" FROM "__t1" AS "p_2" WHERE "p_2"."region" = "p"."status")"#,
        ),
        (
            "select p.amount from purchases p where exists (select 1 from customers p where p.amount = 1)",
            "error: column `p.amount` does not exist or is not visible (line 1, column 80)",
        ),
        (
            "select x from (select id as x from purchases) where x > 1",
            r#"SELECT "derived"."x" AS "x" FROM (SELECT "purchases"."id" AS "x" FROM "__t0" AS "purchases") AS "derived" WHERE "derived"."x" > 1"#,
        ),
        (
            "select a.id from purchases a, (select a.id from customers c) b",
            "error: column `a.id` does not exist or is not visible (line 1, column 39); did you mean id?",
        ),
        (
            "select 1 from purchases a, customers b join mixed m on a.id = m.id",
            "error: column `a.id` does not exist or is not visible (line 1, column 56); did you mean Id, id?",
        ),
        (
            "select v.a from (values (1, 2), (3, 4)) as v (a)",
            r#"SELECT "v"."column1" AS "a" FROM (VALUES (1, 2), (3, 4)) AS "v""#,
        ),
    ]);
}

#[test]
fn keys() {
    check(&[
        (
            "select id, amount as a from purchases order by a desc nulls last, id, status",
            r#"SELECT "purchases"."id" AS "id", "purchases"."amount" AS "a" FROM "__t0" AS "purchases" ORDER BY 2 DESC NULLS LAST, 1, "purchases"."status""#,
        ),
        (
            "select status as s, count(*) as n from purchases group by s having count(*) > 1 order by 2",
            r#"SELECT "purchases"."status" AS "s", count(*) AS "n" FROM "__t0" AS "purchases" GROUP BY 1 HAVING count(*) > 1 ORDER BY 2"#,
        ),
        (
            "select lower(status) as status from purchases group by status",
            r#"SELECT lower("purchases"."status") AS "status" FROM "__t0" AS "purchases" GROUP BY "purchases"."status""#,
        ),
        (
            "select id from purchases union all select id from customers order by id limit 3 offset 1",
            r#"SELECT "purchases"."id" AS "id" FROM "__t0" AS "purchases" UNION ALL SELECT "customers"."id" AS "id" FROM "__t1" AS "customers" ORDER BY 1 LIMIT 3 OFFSET 1"#,
        ),
        (
            "values (1), (2) order by 1 fetch first row only",
            "VALUES (1), (2) ORDER BY 1 LIMIT 1",
        ),
    ]);
}

#[test]
fn grouping_of_operators_is_kept() {
    check(&[
        (
            "select (1 + 2) * 3 - (4 - 5)",
            r#"SELECT (1 + 2) * 3 - (4 - 5)"#,
        ),
        (
            "select 1 - 2 - 3, 1 - (2 - 3)",
            r#"SELECT 1 - 2 - 3, 1 - (2 - 3) AS "column2""#,
        ),
        (
            "select - - 1, -(-1), 1 - -1",
            r#"SELECT -(-1), -(-1) AS "column2", 1 - -1 AS "column3""#,
        ),
        (
            "select not (true and false) or true",
            r#"SELECT NOT (TRUE AND FALSE) OR TRUE"#,
        ),
        (
            "select (true or false) and true",
            r#"SELECT (TRUE OR FALSE) AND TRUE"#,
        ),
        ("select not 1 = 2", r#"SELECT NOT (1 = 2)"#),
        (
            "select (1 = 2) is null, 1 = (2 is null)",
            r#"SELECT (1 = 2) IS NULL, 1 = (2 IS NULL) AS "column2""#,
        ),
        (
            "select 'a' || 'b' like 'c' || 'd'",
            r#"SELECT 'a' || 'b' LIKE 'c' || 'd'"#,
        ),
        (
            "select (1 is distinct from 2) and true",
            r#"SELECT (1 IS DISTINCT FROM 2) AND TRUE"#,
        ),
        (
            "select 1 between 2 and 3 and true",
            r#"SELECT 1 BETWEEN 2 AND 3 AND TRUE"#,
        ),
        (
            "select (select 1) in (select 2)",
            r#"SELECT (SELECT 1 AS "column1") IN (SELECT 2 AS "column1") AS "column1""#,
        ),
        (
            "select not (exists (select 1)), not exists (select 1)",
            r#"SELECT NOT EXISTS (SELECT 1 AS "column1") AS "exists", NOT EXISTS (SELECT 1 AS "column1") AS "exists_2""#,
        ),
        (
            "select 1 = any (select 2), 1 <> all (select 2)",
            r#"SELECT 1 IN (SELECT 2 AS "column1") AS "column1", 1 NOT IN (SELECT 2 AS "column1") AS "column2""#,
        ),
        (
            "(select 1 union select 2) intersect select 3",
            r#"(SELECT 1 AS "column1" UNION SELECT 2 AS "column1") INTERSECT SELECT 3 AS "column1""#,
        ),
        (
            "select 1 union select 2 intersect select 3",
            r#"SELECT 1 AS "column1" UNION SELECT 2 AS "column1" INTERSECT SELECT 3 AS "column1""#,
        ),
        (
            "select 1 except (select 2 except select 3)",
            r#"SELECT 1 AS "column1" EXCEPT (SELECT 2 AS "column1" EXCEPT SELECT 3 AS "column1")"#,
        ),
        (
            "(select 1 limit 1) union all (select 2 order by 1)",
            r#"(SELECT 1 AS "column1" LIMIT 1) UNION ALL (SELECT 2 AS "column1" ORDER BY 1)"#,
        ),
    ]);
}

#[test]
fn forms_with_keywords() {
    check(&[
        (
            "select trim(both 'x' from name), substring(name from 2 for 3), position('a' in name), ceil(id) from customers",
            r#"SELECT btrim("customers"."name", 'x'), substr("customers"."name", 2, 3), strpos("customers"."name", 'a'), ceil("customers"."id") FROM "__t0" AS "customers""#,
        ),
        (
            "select date '2026-01-31' + interval '3' months, interval '1 day 2 hours', timestamp '2026-01-31 00:00:00'",
            r#"SELECT DATE '2026-01-31' + INTERVAL '3' MONTH, INTERVAL '1 day 2 hours' AS "column2", TIMESTAMP '2026-01-31 00:00:00' AS "column3""#,
        ),
        (
            "select cast(id as decimal(10,2)), id::text, try_cast(id as double precision) from customers",
            r#"SELECT CAST("customers"."id" AS DECIMAL(10, 2)), CAST("customers"."id" AS VARCHAR) AS "id_2", TRY_CAST("customers"."id" AS DOUBLE) AS "id_3" FROM "__t0" AS "customers""#,
        ),
        (
            "select extract(dow from placed_on), case status when 'a' then 1 else 2 end from purchases",
            r#"SELECT EXTRACT(DOW FROM "purchases"."placed_on"), CASE "purchases"."status" WHEN 'a' THEN 1 ELSE 2 END FROM "__t0" AS "purchases""#,
        ),
        (
            "select lag(id) ignore nulls over (partition by status order by id desc), sum(amount) over (order by id rows between 2 preceding and current row) from purchases",
            r#"SELECT lag("purchases"."id") IGNORE NULLS OVER (PARTITION BY "purchases"."status" ORDER BY "purchases"."id" DESC), sum("purchases"."amount") OVER (ORDER BY "purchases"."id" ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM "__t0" AS "purchases""#,
        ),
        (
            "select count(distinct id) filter (where status = 'it''s'), string_agg(status, ',' order by id) from purchases",
            r#"SELECT count(DISTINCT "purchases"."id") FILTER (WHERE "purchases"."status" = 'it''s'), string_agg("purchases"."status", ',' ORDER BY "purchases"."id") FROM "__t0" AS "purchases""#,
        ),
        (
            "select current_date, now(), name not ilike 'a\\%' escape '\\' from customers",
            r#"SELECT current_date(), now(), "customers"."name" NOT ILIKE 'a\%' ESCAPE '\' FROM "__t0" AS "customers""#,
        ),
    ]);
}

#[test]
fn only_columns_that_are_used_are_asked_for() {
    let columns = |sql: &str| -> Vec<Vec<String>> {
        run(sql)
            .unwrap()
            .tables
            .into_iter()
            .map(|table| table.columns)
            .collect()
    };
    assert_eq!(
        columns("select count(*) from purchases"),
        [Vec::<String>::new()]
    );
    assert_eq!(
        columns("select p.amount from purchases p join customers c on c.id = p.customer_id"),
        [vec!["customer_id", "amount"], vec!["id"]]
    );
    assert_eq!(
        columns("select x from (select *, id as x from purchases) d"),
        [vec!["id", "customer_id", "amount", "placed_on", "status"]]
    );
    assert_eq!(
        columns("select * from purchases p join customers c using (id)")[0].len(),
        5
    );
}

#[test]
fn tables_of_one_name_are_apart_by_longer_names() {
    check(&[(
        "select main.people.id, hr.archive.people.left_on from hr.main.people, hr.archive.people",
        r#"SELECT "people"."id" AS "id", "people_2"."left_on" AS "left_on" FROM "__t0" AS "people", "__t1" AS "people_2""#,
    )]);
}

#[test]
fn comments_and_hints_do_not_pass() {
    for sql in [
        "select /* full(p) */ id from purchases p -- secret",
        "select id from purchases p; -- end",
    ] {
        assert_eq!(
            emitted(sql),
            r#"SELECT "p"."id" AS "id" FROM "__t0" AS "p""#,
            "{sql}"
        );
    }
}

#[test]
fn the_fingerprint_has_no_literals() {
    let bound =
        run("select id, 'x' from purchases where status = 'secret' and id in (1, 2) limit 5");
    assert_eq!(
        bound.unwrap().fingerprint(),
        r#"SELECT "purchases"."id" AS "id", ? AS "column2" FROM "sales"."main"."purchases" AS "purchases" WHERE "purchases"."status" = ? AND "purchases"."id" IN (?, ?) LIMIT 5"#
    );
}

#[test]
fn whole_rows() {
    check(&[
        (
            "select c from customers c",
            r#"SELECT "c"."whole_row" AS "c" FROM (SELECT "c"."id" AS "id", "c"."name" AS "name", "c"."email" AS "email", "c"."region" AS "region", "c"."ssn" AS "ssn", named_struct('id', "c"."id", 'name', "c"."name", 'email', "c"."email", 'region', "c"."region", 'ssn', "c"."ssn") AS "whole_row" FROM "__t0" AS "c") AS "c""#,
        ),
        (
            "select count(c.*), c::text from customers as c (id, \"N\") group by c",
            r#"SELECT count("c"."whole_row"), row_to_text("c"."whole_row") FROM (SELECT "c"."id" AS "id", "c"."name" AS "name", "c"."email" AS "email", "c"."region" AS "region", "c"."ssn" AS "ssn", named_struct('id', "c"."id", 'N', "c"."name", 'email', "c"."email", 'region', "c"."region", 'ssn', "c"."ssn") AS "whole_row" FROM "__t0" AS "c") AS "c" GROUP BY 2"#,
        ),
        (
            "select 1 from hr.main.people p left join archive.people a on p.id = a.id where a is not null and p is null",
            r#"SELECT 1 AS "column1" FROM "__t0" AS "p" LEFT JOIN "__t1" AS "a" ON "p"."id" = "a"."id" WHERE "a"."id" IS NOT NULL AND "a"."name" IS NOT NULL AND "a"."left_on" IS NOT NULL AND ("p"."id" IS NULL AND "p"."name" IS NULL AND "p"."salary" IS NULL AND "p"."boss_id" IS NULL AND "p"."hired_on" IS NULL)"#,
        ),
        (
            "select 1 from archive.people p join archive.people q on p = q and p is distinct from q",
            r#"SELECT 1 AS "column1" FROM (SELECT "p"."id" AS "id", "p"."name" AS "name", "p"."left_on" AS "left_on", named_struct('id', "p"."id", 'name', "p"."name", 'left_on', "p"."left_on") AS "whole_row" FROM "__t0" AS "p") AS "p" INNER JOIN (SELECT "q"."id" AS "id", "q"."name" AS "name", "q"."left_on" AS "left_on", named_struct('id', "q"."id", 'name', "q"."name", 'left_on', "q"."left_on") AS "whole_row" FROM "__t1" AS "q") AS "q" ON CASE WHEN "p"."whole_row" IS NULL OR "q"."whole_row" IS NULL THEN NULL ELSE ("p"."id" IS NOT DISTINCT FROM "q"."id") AND ("p"."name" IS NOT DISTINCT FROM "q"."name") AND ("p"."left_on" IS NOT DISTINCT FROM "q"."left_on") END AND NOT ("p"."whole_row" IS NULL AND "q"."whole_row" IS NULL OR "p"."whole_row" IS NOT NULL AND "q"."whole_row" IS NOT NULL AND (("p"."id" IS NOT DISTINCT FROM "q"."id") AND ("p"."name" IS NOT DISTINCT FROM "q"."name") AND ("p"."left_on" IS NOT DISTINCT FROM "q"."left_on")))"#,
        ),
        (
            "with w as (select id, id as whole_row from purchases) select w from w where exists (select w from purchases)",
            r#"WITH "w" AS (SELECT "purchases"."id" AS "id", "purchases"."id" AS "whole_row" FROM "__t0" AS "purchases") SELECT "w"."whole_row_2" AS "w" FROM (SELECT "w"."id" AS "id", "w"."whole_row" AS "whole_row", named_struct('id', "w"."id", 'whole_row', "w"."whole_row") AS "whole_row_2" FROM "w" AS "w") AS "w" WHERE EXISTS (SELECT "w"."whole_row_2" AS "w" FROM "__t1" AS "purchases")"#,
        ),
        (
            "select customers.name, (customers).name from customers where customers is null and name = 'x'",
            r#"SELECT "customers"."name" AS "name", "customers"."name" AS "name_2" FROM "__t0" AS "customers" WHERE "customers"."id" IS NULL AND "customers"."name" IS NULL AND "customers"."email" IS NULL AND "customers"."region" IS NULL AND "customers"."ssn" IS NULL AND "customers"."name" = 'x'"#,
        ),
        (
            "select name || 'x' as x from customers order by x || 'y'",
            r#"SELECT "customers"."name" || 'x' AS "x" FROM "__t0" AS "customers" ORDER BY "customers"."name" || 'x' || 'y'"#,
        ),
    ]);
}
