//! SELECT beyond the core, word for word.

use crate::fixture::{compare, emitted, run};

/// A statement, and the text for the engine.
const CASES: &[(&str, &str)] = &[
    (
        "select n from (with recursive t (n) as (select 1 union all select n + 1 from t where n < 5) select n from t) d",
        r#"SELECT "d"."n" AS "n" FROM (WITH RECURSIVE "t" AS (SELECT 1 AS "column1" UNION ALL SELECT "t"."column1" + 1 AS "column1" FROM "t" AS "t" WHERE "t"."column1" < 5) SELECT "t"."column1" AS "n" FROM "t" AS "t") AS "d""#,
    ),
    (
        "with recursive t as (select id, boss_id from hr.main.people where boss_id is null union select p.id, p.boss_id from hr.main.people p join t on p.boss_id = t.id) select * from t",
        r#"WITH RECURSIVE "t" AS (SELECT "people"."id" AS "id", "people"."boss_id" AS "boss_id" FROM "__t0" AS "people" WHERE "people"."boss_id" IS NULL UNION SELECT "p"."id" AS "id", "p"."boss_id" AS "boss_id" FROM "__t1" AS "p" INNER JOIN "t" AS "t" ON "p"."boss_id" = "t"."id") SELECT "t"."id" AS "id", "t"."boss_id" AS "boss_id" FROM "t" AS "t""#,
    ),
    (
        "with recursive a as (select id from purchases), b as (select id from a union all select id from customers) select * from b",
        r#"WITH RECURSIVE "a" AS (SELECT "purchases"."id" AS "id" FROM "__t0" AS "purchases"), "b" AS (SELECT "a"."id" AS "id" FROM "a" AS "a" UNION ALL SELECT "customers"."id" AS "id" FROM "__t1" AS "customers") SELECT "b"."id" AS "id" FROM "b" AS "b""#,
    ),
    (
        "select status, count(*) from purchases group by rollup (status)",
        r#"SELECT "purchases"."status" AS "status", count(*) FROM "__t0" AS "purchases" GROUP BY ROLLUP (("purchases"."status"))"#,
    ),
    (
        "select status, placed_on, count(*) from purchases group by cube (status, placed_on)",
        r#"SELECT "purchases"."status" AS "status", "purchases"."placed_on" AS "placed_on", count(*) FROM "__t0" AS "purchases" GROUP BY CUBE (("purchases"."status"), ("purchases"."placed_on"))"#,
    ),
    (
        "select status, placed_on, count(*) from purchases group by grouping sets ((status, placed_on), (status), ())",
        r#"SELECT "purchases"."status" AS "status", "purchases"."placed_on" AS "placed_on", count(*) FROM "__t0" AS "purchases" GROUP BY GROUPING SETS (("purchases"."status", "purchases"."placed_on"), ("purchases"."status"), ())"#,
    ),
    (
        "select status, placed_on, id, count(*) from purchases group by rollup ((status, placed_on), id)",
        r#"SELECT "purchases"."status" AS "status", "purchases"."placed_on" AS "placed_on", "purchases"."id" AS "id", count(*) FROM "__t0" AS "purchases" GROUP BY GROUPING SETS (("purchases"."status", "purchases"."placed_on", "purchases"."id"), ("purchases"."status", "purchases"."placed_on"), ())"#,
    ),
    (
        "select status, placed_on, id, count(*) from purchases group by cube ((status, placed_on), id)",
        r#"SELECT "purchases"."status" AS "status", "purchases"."placed_on" AS "placed_on", "purchases"."id" AS "id", count(*) FROM "__t0" AS "purchases" GROUP BY GROUPING SETS (("purchases"."status", "purchases"."placed_on", "purchases"."id"), ("purchases"."id"), ("purchases"."status", "purchases"."placed_on"), ())"#,
    ),
    (
        "select status, id, count(*) from purchases group by status, rollup (id)",
        r#"SELECT "purchases"."status" AS "status", "purchases"."id" AS "id", count(*) FROM "__t0" AS "purchases" GROUP BY "purchases"."status", ROLLUP (("purchases"."id"))"#,
    ),
    (
        "select status, count(*) from purchases group by status with rollup",
        r#"SELECT "purchases"."status" AS "status", count(*) FROM "__t0" AS "purchases" GROUP BY ROLLUP (("purchases"."status"))"#,
    ),
    (
        "select count(*) from purchases group by ()",
        r#"SELECT count(*) FROM "__t0" AS "purchases" GROUP BY GROUPING SETS (())"#,
    ),
    (
        "select status, count(*), max(amount) + 1 from purchases group by all",
        r#"SELECT "purchases"."status" AS "status", count(*), max("purchases"."amount") + 1 FROM "__t0" AS "purchases" GROUP BY 1"#,
    ),
    (
        "select upper(status) as s, count(*) from purchases group by grouping sets ((s), ())",
        r#"SELECT upper("purchases"."status") AS "s", count(*) FROM "__t0" AS "purchases" GROUP BY GROUPING SETS ((upper("purchases"."status")), ())"#,
    ),
    (
        "select status, grouping(status) as g from purchases group by rollup (status) order by case when g = 0 then status end, -g",
        r#"SELECT "purchases"."status" AS "status", grouping("purchases"."status") AS "g" FROM "__t0" AS "purchases" GROUP BY ROLLUP (("purchases"."status")) ORDER BY CASE WHEN grouping("purchases"."status") = 0 THEN "purchases"."status" END, -grouping("purchases"."status")"#,
    ),
    (
        "select status, sum(amount) as total from purchases group by status having total > 5",
        r#"SELECT "purchases"."status" AS "status", sum("purchases"."amount") AS "total" FROM "__t0" AS "purchases" GROUP BY "purchases"."status" HAVING sum("purchases"."amount") > 5"#,
    ),
    (
        "select id, row_number() over (partition by status order by amount) as n from purchases qualify n = 1",
        r#"SELECT "purchases"."id" AS "id", row_number() OVER (PARTITION BY "purchases"."status" ORDER BY "purchases"."amount") AS "n" FROM "__t0" AS "purchases" QUALIFY row_number() OVER (PARTITION BY "purchases"."status" ORDER BY "purchases"."amount") = 1"#,
    ),
    (
        "select id from purchases where id > 1 qualify row_number() over (order by id) < 3 order by id limit 2",
        r#"SELECT "purchases"."id" AS "id" FROM "__t0" AS "purchases" WHERE "purchases"."id" > 1 QUALIFY row_number() OVER (ORDER BY "purchases"."id") < 3 ORDER BY 1 LIMIT 2"#,
    ),
    (
        "select sum(id) over w, rank() over (w order by amount) from purchases window w as (partition by status)",
        r#"SELECT sum("purchases"."id") OVER (PARTITION BY "purchases"."status"), rank() OVER (PARTITION BY "purchases"."status" ORDER BY "purchases"."amount") FROM "__t0" AS "purchases""#,
    ),
    (
        "select avg(id) over (w rows 1 preceding) from purchases window w as (partition by status order by id)",
        r#"SELECT avg("purchases"."id") OVER (PARTITION BY "purchases"."status" ORDER BY "purchases"."id" ROWS 1 PRECEDING) FROM "__t0" AS "purchases""#,
    ),
    (
        "select distinct on (status) status, id from purchases order by status, id desc",
        r#"SELECT DISTINCT ON ("purchases"."status") "purchases"."status" AS "status", "purchases"."id" AS "id" FROM "__t0" AS "purchases" ORDER BY 1, 2 DESC"#,
    ),
    (
        "select distinct on (1, x) status, id as x from purchases",
        r#"SELECT DISTINCT ON ("purchases"."status", "purchases"."id") "purchases"."status" AS "status", "purchases"."id" AS "x" FROM "__t0" AS "purchases""#,
    ),
    (
        "select * except (id, status) from purchases",
        r#"SELECT "purchases"."customer_id" AS "customer_id", "purchases"."amount" AS "amount", "purchases"."placed_on" AS "placed_on" FROM "__t0" AS "purchases""#,
    ),
    (
        "select p.* exclude id from purchases p",
        r#"SELECT "p"."customer_id" AS "customer_id", "p"."amount" AS "amount", "p"."placed_on" AS "placed_on", "p"."status" AS "status" FROM "__t0" AS "p""#,
    ),
    (
        "select * replace (amount * 2 as amount) rename (amount as twice, id as i) from purchases",
        r#"SELECT "purchases"."id" AS "i", "purchases"."customer_id" AS "customer_id", "purchases"."amount" * 2 AS "twice", "purchases"."placed_on" AS "placed_on", "purchases"."status" AS "status" FROM "__t0" AS "purchases""#,
    ),
    (
        "select * ilike 'c%_id' from purchases",
        r#"SELECT "purchases"."customer_id" AS "customer_id" FROM "__t0" AS "purchases""#,
    ),
    (
        "select * from purchases natural join hr.archive.people",
        r#"SELECT "purchases"."id" AS "id", "purchases"."customer_id" AS "customer_id", "purchases"."amount" AS "amount", "purchases"."placed_on" AS "placed_on", "purchases"."status" AS "status", "people"."name" AS "name", "people"."left_on" AS "left_on" FROM "__t0" AS "purchases" INNER JOIN "__t1" AS "people" ON "purchases"."id" = "people"."id""#,
    ),
    (
        "select region from customers natural full join (values (1, 'x')) v (id, area)",
        r#"SELECT "customers"."region" AS "region" FROM "__t0" AS "customers" FULL JOIN (VALUES (1, 'x')) AS "v" ON "customers"."id" = "v"."column1""#,
    ),
    (
        "select 1 from purchases p natural join (select 1 as q) x",
        r#"SELECT 1 AS "column1" FROM "__t0" AS "p" CROSS JOIN (SELECT 1 AS "q") AS "x""#,
    ),
    (
        "select p.id, x.n from purchases p, lateral (select count(*) as n from customers c where c.id = p.customer_id) x",
        r#"SELECT "p"."id" AS "id", "x"."n" AS "n" FROM "__t0" AS "p", LATERAL (SELECT count(*) AS "n" FROM "__t1" AS "c" WHERE "c"."id" = "p"."customer_id") AS "x""#,
    ),
    (
        "select * from purchases p left join lateral (select c.name from customers c where c.id = p.customer_id) x on true",
        r#"SELECT "p"."id" AS "id", "p"."customer_id" AS "customer_id", "p"."amount" AS "amount", "p"."placed_on" AS "placed_on", "p"."status" AS "status", "x"."name" AS "name" FROM "__t0" AS "p" LEFT JOIN LATERAL (SELECT "c"."name" AS "name" FROM "__t1" AS "c" WHERE "c"."id" = "p"."customer_id") AS "x" ON TRUE"#,
    ),
    (
        "select p.id, name from purchases p cross apply (select name from customers c where c.id = p.customer_id) x",
        r#"SELECT "p"."id" AS "id", "x"."name" AS "name" FROM "__t0" AS "p" CROSS JOIN LATERAL (SELECT "c"."name" AS "name" FROM "__t1" AS "c" WHERE "c"."id" = "p"."customer_id") AS "x""#,
    ),
    (
        "select p.id, name from purchases p outer apply (select name from customers c where c.id = p.customer_id) x",
        r#"SELECT "p"."id" AS "id", "x"."name" AS "name" FROM "__t0" AS "p" LEFT JOIN LATERAL (SELECT "c"."name" AS "name" FROM "__t1" AS "c" WHERE "c"."id" = "p"."customer_id") AS "x" ON TRUE"#,
    ),
    (
        "select p.id from purchases p semi join customers c on c.id = p.customer_id",
        r#"SELECT "p"."id" AS "id" FROM "__t0" AS "p" LEFT SEMI JOIN "__t1" AS "c" ON "c"."id" = "p"."customer_id""#,
    ),
    (
        "select p.id from purchases p left anti join customers c on c.id = p.customer_id join customers d using (id)",
        r#"SELECT "p"."id" AS "id" FROM "__t0" AS "p" LEFT ANTI JOIN "__t1" AS "c" ON "c"."id" = "p"."customer_id" INNER JOIN "__t2" AS "d" ON "p"."id" = "d"."id""#,
    ),
    (
        "select id from purchases where amount > all (select amount from purchases where status = 'x')",
        r#"SELECT "purchases"."id" AS "id" FROM "__t0" AS "purchases" WHERE "purchases"."amount" > ALL(SELECT "purchases_2"."amount" AS "amount" FROM "__t1" AS "purchases_2" WHERE "purchases_2"."status" = 'x')"#,
    ),
    (
        "select id from purchases where amount + 1 <= some (select amount from purchases) and id <> all (select id from customers)",
        r#"SELECT "purchases"."id" AS "id" FROM "__t0" AS "purchases" WHERE "purchases"."amount" + 1 <= ANY(SELECT "purchases_2"."amount" AS "amount" FROM "__t1" AS "purchases_2") AND "purchases"."id" NOT IN (SELECT "customers"."id" AS "id" FROM "__t2" AS "customers")"#,
    ),
    (
        "select percentile_cont(0.5) within group (order by amount desc) from purchases",
        r#"SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY "purchases"."amount" DESC) FROM "__t0" AS "purchases""#,
    ),
    (
        "select id & 6 | 1, (id | 1) & 6, id & 2 = 2 from purchases",
        r#"SELECT "purchases"."id" & 6 | 1, ("purchases"."id" | 1) & 6 AS "column2", ("purchases"."id" & 2) = 2 AS "column3" FROM "__t0" AS "purchases""#,
    ),
    (
        "select status ~ '^a' and not status !~* 'b' from purchases",
        r#"SELECT "purchases"."status" ~ '^a' AND NOT ("purchases"."status" !~* 'b') FROM "__t0" AS "purchases""#,
    ),
    (
        "select overlay(status placing 'xx' from 2 for 3) from purchases",
        r#"SELECT overlay("purchases"."status", 'xx', 2, 3) FROM "__t0" AS "purchases""#,
    ),
    (
        "select id from purchases limit 2, 5",
        r#"SELECT "purchases"."id" AS "id" FROM "__t0" AS "purchases" LIMIT 5 OFFSET 2"#,
    ),
    (
        "select id, amount from purchases order by amount * 2 + id",
        r#"SELECT "purchases"."id" AS "id", "purchases"."amount" AS "amount" FROM "__t0" AS "purchases" ORDER BY "purchases"."amount" * 2 + "purchases"."id""#,
    ),
];

#[test]
fn each_form_has_one_text() {
    compare(CASES, emitted);
}

/// Whether each output column may hold something of a masked column.
#[test]
fn masks_are_known_through_each_form() {
    for (sql, expected) in [
        (
            "select * except (ssn, email) from customers",
            "false false false",
        ),
        (
            "select * rename ssn as x from customers",
            "false false true false true",
        ),
        (
            "select * replace (ssn as id) from customers",
            "true false true false true",
        ),
        (
            "select id, x from customers c, lateral (select c.ssn as x) d",
            "false true",
        ),
        (
            "with recursive t (a, b, c) as (select id, name, ssn from customers union all \
             select a, c, b from t where a < 3) select a, b, c from t",
            "false true true",
        ),
        (
            "with recursive t (n) as (select 1 union all select n + 1 from t) select n from t",
            "false",
        ),
        (
            "select percentile_cont(0.5) within group (order by ssn) from customers",
            "true",
        ),
        (
            "select id < any (select ssn from customers) from purchases",
            "true",
        ),
        (
            "select a.id from customers a semi join customers b on a.ssn = b.ssn",
            "false",
        ),
        (
            "select row_number() over w from customers window w as (order by ssn)",
            "true",
        ),
        (
            "select sum(id) as x from customers group by rollup (ssn) order by -x",
            "false",
        ),
    ] {
        let bound = run(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let masked: Vec<String> = bound
            .columns
            .iter()
            .map(|column| column.is_masked.to_string())
            .collect();
        assert_eq!(masked.join(" "), expected, "{sql}");
    }
}

#[test]
fn only_columns_behind_the_star_are_used() {
    let bound = run("select * except (ssn, email) replace (1 as region) from customers").unwrap();
    assert_eq!(bound.tables[0].columns, ["id", "name"]);
}
