//! Ways around a filter or a mask. Each statement is refused, or every base table in its text is a
//! governed one. The numbers are the bypass classes of the design page.

use std::collections::BTreeSet;

use dataos_sql::Dialect;

use crate::fixture::run;

/// Class, and statements that must pass with governed tables only.
const GOVERNED: &[(u8, &str)] = &[
    (1, "select id from purchases where 1 / (amount - 777) < 5"),
    (1, "select id from purchases where cast(status as int) = 1"),
    (1, "select substr(status, amount) from purchases"),
    (1, "select regexp_like(status, '(a+)+b') from purchases"),
    (
        3,
        "select a.id, b.id from customers a, customers b where a.id = b.id",
    ),
    (
        3,
        "select \"purchases\".ssn from customers as \"purchases\"",
    ),
    (
        3,
        "select x.id from purchases x join customers purchases on purchases.id = x.id",
    ),
    (3, "select sales.main.customers.ssn from customers"),
    (
        4,
        "with customers as (select id from purchases) select id from customers",
    ),
    (
        4,
        "with customers as (select * from customers) select ssn from customers",
    ),
    (
        4,
        "with __t0 as (select id from purchases) select id from __t0",
    ),
    (
        4,
        "with \"__t1\" as (select id from purchases) select a.id from \"__t1\" a, customers",
    ),
    (
        5,
        "with a as (with b as (select id from purchases) select id from b) select id from a",
    ),
    (
        5,
        "select * from (with b as (select ssn from customers) select * from b) d",
    ),
    (
        5,
        "select id from purchases where id in (with c as (select id from customers) select id from c)",
    ),
    (6, "select (select ssn from customers limit 1)"),
    (
        6,
        "select 1 where exists (select 1 from customers where ssn = '1')",
    ),
    (
        6,
        "select case when (select 1 from customers limit 1) = 1 then 1 end",
    ),
    (
        6,
        "select id from purchases order by (select max(ssn) from customers)",
    ),
    (
        6,
        "select count(*) from purchases group by (select max(ssn) from customers)",
    ),
    (
        6,
        "select count(*) from purchases having count(*) > (select count(*) from customers)",
    ),
    (6, "values ((select max(ssn) from customers))"),
    (6, "select coalesce((select max(ssn) from customers), 'x')"),
    (
        6,
        "select sum(id) filter (where id in (select id from customers)) from purchases",
    ),
    (
        6,
        "select sum(id) over (partition by (select max(ssn) from customers)) from purchases",
    ),
    (
        6,
        "select * from purchases p join customers c on c.id = (select max(id) from mixed)",
    ),
    (
        6,
        "select 1 between (select 1 from customers limit 1) and 2",
    ),
    (
        6,
        "select id like (select max(ssn) from customers) from purchases",
    ),
    (
        6,
        "select id in (1, (select max(id) from customers)) from purchases",
    ),
    (
        6,
        "select id = any (select id from customers) from purchases",
    ),
    (
        6,
        "select id <> all (select id from customers) from purchases",
    ),
    (6, "select cast((select max(ssn) from customers) as int)"),
    (
        6,
        "select extract(year from (select max(placed_on) from purchases))",
    ),
    (7, "select * from customers a join customers b using (ssn)"),
    (
        7,
        "select ssn from customers a full join customers b using (ssn)",
    ),
    (
        7,
        "select * from customers a left join customers b using (id) join customers c using (id)",
    ),
    (8, "select * from customers"),
    (8, "select c.* from customers c"),
    (8, "select c.*, d.* from customers c, customers d"),
    (21, "explain select ssn from customers"),
    (21, "explain policy select ssn from customers"),
    (23, "select id/* */from/* x */purchases -- y"),
    (23, "select id from purchases;;"),
    (24, "SELECT Id FROM SALES.Main.PURCHASES"),
    (24, "select \"id\" from \"purchases\""),
    (
        25,
        "select 'it''s \\' || '\"' || '--' || '/*' from purchases",
    ),
    (
        25,
        "select 1 <> 2, 1 != 2, -1 - -1, not not true from purchases",
    ),
    (
        27,
        "select ssn from customers union select name from customers",
    ),
    (
        27,
        "select ssn from customers intersect select '123-45-6789'",
    ),
    (
        27,
        "select ssn from customers except all (values ('a'), ('b'))",
    ),
    (27, "select distinct ssn from customers"),
    (
        28,
        "select id from customers where ssn = '123' order by ssn",
    ),
    (
        28,
        "select ssn, count(*) from customers group by ssn having min(ssn) > 'a'",
    ),
    (28, "select median(salary), max(salary) from hr.main.people"),
    (
        29,
        "select id from hr.main.people order by salary desc limit 1",
    ),
    (31, "select count(*) from customers"),
    (31, "select 1 from customers"),
    (
        31,
        "select 1 from purchases where exists (select * from customers)",
    ),
    (31, "select count(*) from (select 1 from customers) d"),
    (17, "create table lake.main.copy as select * from customers"),
    (
        17,
        "insert into hr.archive.people select id, ssn, email from customers",
    ),
    (
        17,
        "insert into hr.archive.people (id) values ((select max(ssn) from customers))",
    ),
];

#[test]
fn every_base_table_is_governed() {
    for (class, sql) in GOVERNED {
        let bound = run(sql).unwrap_or_else(|error| panic!("class {class}: {sql}: {error}"));
        let text = bound.emit();
        for name in ["purchases", "customers", "people", "Mixed"] {
            // Unless a WITH of the text itself defines the name.
            let is_defined = text.contains(&format!("\"{name}\" AS ("));
            for relation in [format!("FROM \"{name}\" "), format!("JOIN \"{name}\" ")] {
                assert!(
                    is_defined || !text.contains(&relation),
                    "class {class}: {sql}\n{text}"
                );
            }
        }
        let found: BTreeSet<&str> = text
            .split('"')
            .filter(|part| part.starts_with("__t"))
            .collect();
        let expected: BTreeSet<&str> = bound
            .tables
            .iter()
            .map(|table| table.governed_name.as_str())
            .collect();
        assert_eq!(found, expected, "class {class}: {sql}\n{text}");
        assert!(!expected.is_empty(), "class {class}: {sql}");
    }
}

#[test]
fn the_text_is_a_fixpoint() {
    // The governed text, with the governed names as the only tables, is governed to itself.
    for (class, sql) in GOVERNED {
        let bound = run(sql).unwrap();
        let again = dataos_sql::parse(Dialect::DataFusion, bound.emit()).unwrap();
        let names: Vec<String> = again.tables.iter().map(|table| table.display()).collect();
        let expected: Vec<&str> = bound
            .tables
            .iter()
            .map(|table| table.governed_name.as_str())
            .collect();
        assert_eq!(names, expected, "class {class}: {sql}");
    }
}

#[test]
fn no_word_of_the_callers_reaches_the_engine() {
    let sql = "select /* c0mment */ \"odd name\".id as \"Quoted\" -- c0mment\n\
               from purchases \"odd name\" where \"odd name\".status = 'literal'";
    let text = run(sql).unwrap().emit().to_owned();
    assert_eq!(
        text,
        r#"SELECT "odd_name"."id" AS "Quoted" FROM "__t0" AS "odd_name" WHERE "odd_name"."status" = 'literal'"#
    );
}
