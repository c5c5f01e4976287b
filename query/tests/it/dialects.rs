//! Statements in the dialects of their callers, run: what each means is what the engine answers.

use dataos_model::{
    fault::{Fault, FaultKind},
    query::{Dialect, QueryRequest},
    seams::RunQuery,
};

use crate::world::World;

const COLUMNS: &[(&str, &str)] = &[
    ("id", "bigint"),
    ("Half", "bigint"),
    ("price", "decimal(10,2)"),
    ("word", "text"),
];

fn world() -> World {
    let world = World::new();
    world.csv("p", COLUMNS, "1,0,2.50,a\\b\n2,,7.00,axb\n3,2,0.00,c\n");
    world
}

async fn answer(world: &World, dialect: Dialect, sql: &str) -> Result<String, Fault> {
    let request = QueryRequest {
        dialect,
        ..world.request(sql)
    };
    let answer = world.layer.run(request).await?;
    assert_eq!(answer.certificate.dialect, dialect);
    Ok(String::from_utf8(answer.chunks.concat()).unwrap())
}

async fn check(world: &World, dialect: Dialect, sql: &str, expected: &str) {
    let rows = answer(world, dialect, sql).await;
    let rows = rows.unwrap_or_else(|fault| panic!("{sql}: {fault:?}"));
    assert_eq!(rows, expected, "{dialect:?}: {sql}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_means_what_mysql_means() {
    let world = world();
    for (sql, expected) in [
        ("select `ID`, \"id\" from p where id = 1", r#"[[1,"id"]]"#),
        ("select half from p order by HALF, id", "[[null],[0],[2]]"),
        ("select id from p order by half desc", "[[3],[1],[2]]"),
        (
            "select id, id % half from p order by id",
            "[[1,null],[2,null],[3,1]]",
        ),
        (
            "select id, mod(id, 2) from p order by id",
            "[[1,1],[2,0],[3,1]]",
        ),
        (
            "select id, 5.0 / price is null from p order by id",
            "[[1,false],[2,false],[3,true]]",
        ),
        (
            "select id, cast(5 as signed) div cast(half as signed) from p order by id",
            "[[1,null],[2,null],[3,2]]",
        ),
        (
            "select id from p where not half <=> 2 order by 1",
            "[[1],[2]]",
        ),
        ("select id from p where !(id = 1) && id < 3", "[[2]]"),
        ("select concat(word, null) from p where id = 1", "[[null]]"),
        (
            "select if(id > 1, 'x', 'y'), length('é') from p where id = 1",
            r#"[["y",2]]"#,
        ),
        ("select id from p order by id limit 1, 1", "[[2]]"),
        (
            r"select 'it\'s' from p where word = 'a\\b'",
            r#"[["it's"]]"#,
        ),
        ("select id from p where id = 3 # and id = 4", "[[3]]"),
    ] {
        check(&world, Dialect::MySql, sql, expected).await;
    }
    let quotient = answer(
        &world,
        Dialect::MySql,
        "select 5.0 / price from p where id = 1",
    )
    .await;
    assert!(quotient.unwrap().contains('2'));
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_means_what_postgresql_means() {
    let world = world();
    for (sql, expected) in [
        ("select ID, \"Half\" from P where id = 3", "[[3,2]]"),
        (
            "select id from p order by \"Half\" desc, id",
            "[[2],[3],[1]]",
        ),
        (
            "select id / 2, id::text from p where id = 3",
            r#"[[1,"3"]]"#,
        ),
        (r"select E'a\\b' = word from p where id = 1", "[[true]]"),
        ("select $$it's$$ from p where id = 1", r#"[["it's"]]"#),
        (
            "select id from p where word ~ '^a.b$' order by id",
            "[[1],[2]]",
        ),
        (
            "select E'a\\nb' ~ 'a.b', E'a\\nb' ~ '^a[^x]b$' from p where id = 1",
            "[[true,true]]",
        ),
        (
            "select concat(word, null) from p where id = 3",
            r#"[["c"]]"#,
        ),
    ] {
        check(&world, Dialect::Postgres, sql, expected).await;
    }
    let fault = answer(&world, Dialect::Postgres, "select Half from p").await;
    assert_eq!(fault.unwrap_err().reason, "sql_unknown_name");
}

#[tokio::test(flavor = "multi_thread")]
async fn ansi_means_what_trino_means() {
    let world = world();
    for (sql, expected) in [
        ("select \"ID\", HALF from P where id = 3", "[[3,2]]"),
        ("select id from p order by half desc, id", "[[3],[1],[2]]"),
        (r"select id from p where word like 'a\_'", "[[1]]"),
        (r"select id from p where word like 'a\b'", "[[1]]"),
        (
            r"select id from p where word like word order by id",
            "[[1],[2],[3]]",
        ),
        (
            r"select id from p where word like 'a!_b' escape '\' order by id",
            "[]",
        ),
        ("select concat(word, null) from p where id = 3", "[[null]]"),
        (
            "select id from p order by id offset 1 fetch first 1 rows only",
            "[[2]]",
        ),
    ] {
        check(&world, Dialect::Ansi, sql, expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_text_in_two_dialects_is_two_statements() {
    let world = world();
    let sql = "select \"word\" from p where id = 3";
    for _ in 0..2 {
        check(&world, Dialect::DataFusion, sql, r#"[["c"]]"#).await;
        check(&world, Dialect::MySql, sql, r#"[["word"]]"#).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_names_the_dialect() {
    let world = world();
    check(
        &world,
        Dialect::MySql,
        "select `id` from p where id = 1",
        "[[1]]",
    )
    .await;
    let fault = answer(&world, Dialect::MySql, "select id || 1 from p").await;
    assert_eq!(fault.unwrap_err().kind, FaultKind::Unsupported);
    world.check("select id from p where id = 1", "[[1]]").await;
    let entries = world.log.entries();
    let dialects: Vec<&str> = entries
        .iter()
        .filter_map(|entry| entry.facts.get("dialect").map(String::as_str))
        .collect();
    assert_eq!(dialects, ["mysql", "mysql", "datafusion"]);
}
