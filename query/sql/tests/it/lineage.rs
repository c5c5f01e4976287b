//! Edges of writes, and which columns of a result count as masked.

use dataos_sql::{BoundKind, OutputColumn};

use crate::fixture::run;

/// Edges as `source -> target kind`, with short dataset names.
fn edges(sql: &str) -> Vec<String> {
    let bound = run(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let lineage = bound.lineage().unwrap();
    lineage
        .edges
        .iter()
        .map(|edge| {
            let kind = match edge.transformation.name() {
                "IDENTITY" => "=",
                "TRANSFORMATION" => "f",
                "AGGREGATION" => "agg",
                _ => "?",
            };
            let source = format!("{}.{}", edge.source.name, edge.source_column);
            format!("{source} -> {} {kind}", edge.target_column)
        })
        .collect()
}

fn check(query: &str, expected: &[&str]) {
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    let mut found = edges(&format!("create table a.b.c as {query}"));
    found.sort_unstable();
    assert_eq!(found, expected, "{query}");
}

#[test]
fn direct() {
    check("select id from purchases", &["purchases.id -> id ="]);
    check(
        "select * from archive.people",
        &[
            "people.id -> id =",
            "people.name -> name =",
            "people.left_on -> left_on =",
        ],
    );
    check(
        "select id + amount as x, lower(status) as y, cast(id as text) as z from purchases",
        &[
            "purchases.id -> x f",
            "purchases.amount -> x f",
            "purchases.status -> y f",
            "purchases.id -> z f",
        ],
    );
    check(
        "select sum(amount + 1) as total from purchases",
        &["purchases.amount -> total agg"],
    );
    check("select count(*) as n from purchases", &[]);
    check(
        "select row_to_text(p) as x, count(p) as n from archive.people p where p is not null group by p",
        &[
            "people.id -> n ?",
            "people.id -> n agg",
            "people.id -> x ?",
            "people.id -> x f",
            "people.left_on -> n ?",
            "people.left_on -> n agg",
            "people.left_on -> x ?",
            "people.left_on -> x f",
            "people.name -> n ?",
            "people.name -> n agg",
            "people.name -> x ?",
            "people.name -> x f",
        ],
    );
    check(
        "select sum(amount) / 2 as half from purchases",
        &["purchases.amount -> half agg"],
    );
}

#[test]
fn indirect() {
    check(
        "select amount from purchases where status = 'x'",
        &[
            "purchases.amount -> amount =",
            "purchases.status -> amount ?",
        ],
    );
    check(
        "select p.amount, c.region from purchases p join customers c on c.id = p.customer_id",
        &[
            "purchases.amount -> amount =",
            "customers.region -> region =",
            "customers.id -> amount ?",
            "customers.id -> region ?",
            "purchases.customer_id -> amount ?",
            "purchases.customer_id -> region ?",
        ],
    );
    check(
        "select status, count(*) as n from purchases group by status having sum(amount) > 1",
        &[
            "purchases.status -> status =",
            "purchases.status -> status ?",
            "purchases.status -> n ?",
            "purchases.amount -> status ?",
            "purchases.amount -> n ?",
        ],
    );
    check(
        "select id from purchases order by amount limit 3",
        &["purchases.id -> id =", "purchases.amount -> id ?"],
    );
    check(
        "select rank() over (partition by status order by amount) as r, id from purchases",
        &[
            "purchases.status -> r ?",
            "purchases.amount -> r ?",
            "purchases.id -> id =",
        ],
    );
    check(
        "select case when status = 'x' then amount else 0 end as x, id from purchases",
        &[
            "purchases.amount -> x f",
            "purchases.status -> x ?",
            "purchases.id -> id =",
        ],
    );
    check(
        "select id from purchases p where exists (select * from customers c where c.id = p.customer_id)",
        &[
            "purchases.id -> id =",
            "purchases.customer_id -> id ?",
            "customers.id -> id ?",
        ],
    );
    check(
        "select id from purchases where customer_id in (select id from customers where region = 'x')",
        &[
            "purchases.id -> id =",
            "purchases.customer_id -> id ?",
            "customers.id -> id ?",
            "customers.region -> id ?",
        ],
    );
}

#[test]
fn through_queries() {
    check(
        "with t (x) as (select lower(name) from customers where region = 'e') select x as y from t",
        &["customers.name -> y f", "customers.region -> y ?"],
    );
    check(
        "select d.total from (select sum(amount) as total from purchases group by status) d",
        &[
            "purchases.amount -> total agg",
            "purchases.status -> total ?",
        ],
    );
    check(
        "select id, name from customers union all select id, status from purchases",
        &[
            "customers.id -> id =",
            "purchases.id -> id =",
            "customers.name -> name =",
            "purchases.status -> name =",
        ],
    );
    check(
        "select id from customers except select customer_id from purchases",
        &["customers.id -> id =", "purchases.customer_id -> id ?"],
    );
    check(
        "select (select max(amount) from purchases where status = 'x') as m, id from customers",
        &[
            "purchases.amount -> m agg",
            "purchases.status -> m ?",
            "purchases.status -> id ?",
            "customers.id -> id =",
        ],
    );
    check(
        "select id from archive.people full join customers using (id)",
        &[
            "people.id -> id f",
            "customers.id -> id f",
            "people.id -> id ?",
            "customers.id -> id ?",
        ],
    );
}

#[test]
fn inserts_name_the_columns_of_the_target() {
    assert_eq!(
        edges("insert into hr.archive.people (name, id) select status, amount from purchases"),
        ["purchases.amount -> id =", "purchases.status -> name ="]
    );
    assert_eq!(
        edges("insert into hr.archive.people select id, lower(name), name from customers"),
        [
            "customers.id -> id =",
            "customers.name -> left_on =",
            "customers.name -> name f"
        ]
    );
    let bound = run("insert into hr.archive.people (name, id) values ('secret', 1)").unwrap();
    assert!(bound.lineage().unwrap().edges.is_empty());
    assert!(matches!(&bound.kind, BoundKind::Insert(target) if target.dataset.name == "people"));
    let names: Vec<&str> = bound
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    assert_eq!(names, ["name", "id"]);
    assert_eq!(bound.emit(), "VALUES ('secret', 1)");
    assert_eq!(bound.lineage().unwrap().statement, "VALUES (?, ?)");
}

#[test]
fn changes() {
    assert_eq!(
        edges("update purchases set amount = amount + 1, status = 'x' where id = '7'"),
        [
            "purchases.amount -> amount f",
            "purchases.id -> amount ?",
            "purchases.id -> status ?",
        ]
    );
    assert_eq!(
        edges("update purchases p set status = (select region from customers c where c.id = p.id)"),
        [
            "customers.id -> status ?",
            "customers.region -> status f",
            "purchases.id -> status ?",
        ]
    );
    // What decides which rows go decides over every column, visible or not.
    assert_eq!(
        edges("delete from hr.main.people where salary = '1'"),
        [
            "people.salary -> boss_id ?",
            "people.salary -> hired_on ?",
            "people.salary -> id ?",
            "people.salary -> name ?",
            "people.salary -> salary ?",
        ]
    );
    assert!(edges("delete from purchases").is_empty());
    assert_eq!(
        edges("update purchases p set status = c.name from customers c where c.id = p.customer_id"),
        [
            "customers.id -> status ?",
            "customers.name -> status =",
            "purchases.customer_id -> status ?",
        ]
    );
    assert_eq!(
        edges(
            "merge into archive.people p using customers c on p.id = c.id and p.id > '1' \
             when matched and c.region = 'x' then update set name = c.name \
             when matched then delete \
             when not matched then insert (id, left_on) values (c.id, 'now')"
        ),
        [
            "people.id -> id ?",
            "people.id -> left_on ?",
            "people.id -> name ?",
            "customers.id -> id =",
            "customers.id -> id ?",
            "customers.id -> left_on ?",
            "customers.id -> name ?",
            "customers.name -> name =",
            "customers.region -> id ?",
            "customers.region -> left_on ?",
            "customers.region -> name ?",
        ]
    );
}

#[test]
fn a_change_is_a_query_that_numbers_rows() {
    let bound = run("update Purchases as P set Status = 'shut', \"amount\" = id where p.id = 'a'");
    let bound = bound.unwrap();
    let BoundKind::Change(change) = &bound.kind else {
        panic!("{bound:?}")
    };
    let rows = &change.steps[0].rows;
    let names: Vec<&str> = rows.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["status", "amount"]);
    assert_eq!(
        rows.emit(),
        r#"SELECT "p"."__row" AS "__row", 'shut' AS "value1", "p"."id" AS "value2" FROM "__t0" AS "p" WHERE "p"."id" = 'a'"#
    );
    assert_eq!(
        bound.lineage().unwrap().statement,
        r#"UPDATE sales:main/purchases: SELECT "p"."__row" AS "__row", ? AS "value1", "p"."id" AS "value2" FROM "sales"."main"."purchases" AS "p" WHERE "p"."id" = ?"#
    );
}

#[test]
fn a_new_table_is_named_as_written() {
    let bound = run("create table Lake.main.\"Copy\" as select id from purchases").unwrap();
    let lineage = bound.lineage().unwrap();
    assert_eq!(lineage.target.to_string(), "lake:main/Copy");
    assert!(lineage.creates);
    assert!(matches!(&bound.kind, BoundKind::CreateTableAs(target) if target.schema.is_none()));
    assert!(run("select id from purchases").unwrap().lineage().is_none());
}

#[test]
fn masks_reach_all_that_derives_from_them() {
    let masked = |sql: &str| -> Vec<bool> {
        let bound = run(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        bound
            .columns
            .iter()
            .map(|column: &OutputColumn| column.is_masked)
            .collect()
    };
    for (sql, expected) in [
        ("select id, email from customers", vec![false, true]),
        (
            "select * from customers",
            vec![false, false, true, false, true],
        ),
        (
            "select email || 'x', lower(name) from customers",
            vec![true, false],
        ),
        (
            "select max(ssn), count(*), count(email) from customers",
            vec![true, false, true],
        ),
        (
            "select case when ssn = '1' then 1 else 2 end from customers",
            vec![true],
        ),
        (
            "select x from (select email as x from customers) d",
            vec![true],
        ),
        (
            "with t (y) as (select ssn from customers) select y, 1 from t",
            vec![true, false],
        ),
        (
            "select name from customers union select ssn from customers",
            vec![true],
        ),
        (
            "select (select max(salary) from hr.main.people), id from customers",
            vec![true, false],
        ),
        (
            "select row_number() over (order by ssn) from customers",
            vec![true],
        ),
        ("select id from customers where ssn = 'x'", vec![false]),
    ] {
        assert_eq!(masked(sql), expected, "{sql}");
    }
}
