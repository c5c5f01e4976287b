//! Which rows: filters under joins, aggregates, subqueries and shadowing names.

use dataos_model::{action::Action, fault::FaultKind, predicate::Predicate};

use crate::world::{World, equals};

const PEOPLE: &[(&str, &str)] = &[
    ("id", "bigint"),
    ("name", "text"),
    ("region", "text"),
    ("salary", "bigint"),
];

const BODY: &str =
    "1,ada,EMEA,100\n2,bela,AMER,200\n3,caro,EMEA,300\n4,dimo,,400\n5,edda,APAC,500\n";

fn world() -> World {
    let world = World::new();
    let id = world.csv("people", PEOPLE, BODY);
    world.desk.rows(&id, equals("region", "EMEA"));
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn only_permitted_rows_are_seen_wherever_the_table_stands() {
    let world = world();
    for (sql, expected) in [
        (
            "SELECT id, name FROM people ORDER BY id",
            r#"[[1,"ada"],[3,"caro"]]"#,
        ),
        (
            "SELECT * FROM lake.main.people ORDER BY id",
            r#"[[1,"ada","EMEA",100],[3,"caro","EMEA",300]]"#,
        ),
        ("SELECT count(*) FROM people", "[[2]]"),
        (
            "SELECT count(*), sum(salary), max(id) FROM people",
            "[[2,400,3]]",
        ),
        (
            "SELECT count(*) FROM people WHERE region = 'AMER' OR TRUE",
            "[[2]]",
        ),
        ("SELECT count(*) FROM people WHERE region IS NULL", "[[0]]"),
        ("SELECT id FROM people ORDER BY id DESC LIMIT 1", "[[3]]"),
        (
            "SELECT count(*) FROM people a JOIN people b ON a.id < b.id",
            "[[1]]",
        ),
        ("SELECT count(*) FROM people a CROSS JOIN people b", "[[4]]"),
        (
            "WITH people AS (SELECT id + 10 AS id FROM people) SELECT sum(id) FROM people",
            "[[24]]",
        ),
        (
            "SELECT count(*) FROM people WHERE id IN (SELECT id FROM people)",
            "[[2]]",
        ),
        ("SELECT (SELECT max(salary) FROM people)", "[[300]]"),
        ("SELECT id FROM people EXCEPT SELECT 1 ORDER BY 1", "[[3]]"),
        (
            "SELECT region, count(*) FROM people GROUP BY region HAVING count(*) > 0",
            r#"[["EMEA",2]]"#,
        ),
        (
            "SELECT a.id, b.id FROM people a FULL JOIN (VALUES (2), (3)) AS b (id) ON a.id = b.id \
             ORDER BY a.id NULLS LAST",
            "[[1,null],[3,3],[null,2]]",
        ),
        (
            "SELECT id, row_number() OVER (ORDER BY id DESC) FROM people ORDER BY id",
            "[[1,2],[3,1]]",
        ),
    ] {
        world.check(sql, expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_see_columns_that_the_caller_does_not() {
    let world = world();
    let id = dataos_model::dataset::DatasetId::new("lake", "main", "people");
    world.desk.absent(&id, "region");
    world
        .check(
            "SELECT * FROM people ORDER BY id",
            r#"[[1,"ada",100],[3,"caro",300]]"#,
        )
        .await;
    let fault = world.refused("SELECT region FROM people").await;
    let other = world.refused("SELECT regime FROM people").await;
    assert_eq!(fault.kind, other.kind);
    assert_eq!(
        fault.message.replace("region", "x"),
        other.message.replace("regime", "x")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_no_row_meets_gives_no_rows() {
    let world = world();
    let id = dataos_model::dataset::DatasetId::new("lake", "main", "people");
    world.desk.rows(&id, Predicate::NEVER);
    world.check("SELECT * FROM people", "[]").await;
    world.check("SELECT count(*) FROM people", "[[0]]").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn negated_and_alternative_conditions_keep_unknown_rows_apart() {
    let world = world();
    let id = dataos_model::dataset::DatasetId::new("lake", "main", "people");
    // Not(EMEA) holds for the row without region: the forbid does not apply to it.
    world.desk.rows(&id, equals("region", "EMEA").negated());
    world
        .check("SELECT id FROM people ORDER BY id", "[[2],[4],[5]]")
        .await;
    world.desk.rows(
        &id,
        Predicate::all([
            Predicate::any([equals("region", "EMEA"), equals("salary", 500)]),
            equals("name", "ada").negated(),
        ]),
    );
    world
        .check("SELECT id FROM people ORDER BY id", "[[3],[5]]")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_table_denies_the_statement() {
    let world = world();
    world.csv("secrets", &[("id", "bigint")], "1\n");
    world.desk.deny(Action::Select, "lake:main/secrets");
    let fault = world.refused("SELECT people.id FROM people, secrets").await;
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::Denied, "no_permit")
    );
    assert!(fault.message.contains("lake:main/secrets"), "{fault:?}");
    assert_eq!(world.desk.accesses(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_about_another_schema_is_refused() {
    let world = world();
    world.desk.be_stale();
    let fault = world.refused("SELECT id FROM people").await;
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::Conflict, "schema_changed")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_resolved_among_what_the_caller_may_see() {
    let world = world();
    let id = dataos_model::dataset::DatasetId::new("lake", "other", "people");
    let path = world.path("other.csv");
    std::fs::write(&path, "id\n9\n").unwrap();
    let source = dataos_model::depot::DatasetSource::Files {
        format: dataos_model::depot::FileFormat::Csv,
        paths: vec![path],
    };
    world.catalog.add(&id, &[("id", "bigint")], source);
    let fault = world.refused("SELECT id FROM people").await;
    assert_eq!(fault.reason, "sql_ambiguous_name");
    for action in [Action::Select, Action::ViewAsset] {
        world.desk.deny(action, "lake:other/people");
    }
    world.check("SELECT count(*) FROM people", "[[2]]").await;
    world
        .check("SELECT name FROM PEOPLE WHERE id = 1", r#"[["ada"]]"#)
        .await;
}
