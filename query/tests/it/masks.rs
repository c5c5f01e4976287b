//! Masked columns in statements: what is computed with is what is shown.

use dataos_model::{
    access::CellOutcome, dataset::ColumnType, dataset::DatasetId, fault::FaultKind, mask::Mask,
    predicate::Predicate,
};
use dataos_query::MASK_KEY;

use crate::world::{World, always, equals, when};

const PEOPLE: &[(&str, &str)] = &[
    ("id", "bigint"),
    ("name", "text"),
    ("region", "text"),
    ("salary", "bigint"),
    ("born", "date"),
];

const BODY: &str = "1,ada,EMEA,100,1990-05-17\n2,bela,AMER,200,1985-01-02\n3,caro,EMEA,,\n";

fn world() -> (World, DatasetId) {
    let world = World::new();
    let id = world.csv("people", PEOPLE, BODY);
    (world, id)
}

fn masked(mask: &str) -> CellOutcome {
    CellOutcome::Masked(Mask::parse(mask).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_clause_sees_the_masked_value() {
    let (world, id) = world();
    world.desk.mask(&id, "name", "partial(first = 1)");
    world.desk.mask(&id, "salary", "redact(replacement = '0')");
    world
        .desk
        .mask(&id, "born", "bucket_date(precision = 'year')");
    for (sql, expected) in [
        (
            "SELECT name, salary, born FROM people ORDER BY id",
            r#"[["a**",0,"1990-01-01"],["b***",0,"1985-01-01"],["c***",0,null]]"#,
        ),
        ("SELECT id FROM people WHERE name = 'ada'", "[]"),
        ("SELECT id FROM people WHERE name = 'a**'", "[[1]]"),
        ("SELECT count(*) FROM people WHERE salary > 0", "[[0]]"),
        ("SELECT count(*) FROM people WHERE salary = 0", "[[3]]"),
        (
            "SELECT sum(salary), max(name) FROM people",
            r#"[[0,"c***"]]"#,
        ),
        ("SELECT count(DISTINCT salary) FROM people", "[[1]]"),
        (
            "SELECT id FROM people ORDER BY salary, id DESC",
            "[[3],[2],[1]]",
        ),
        (
            "SELECT a.id FROM people a JOIN people b ON a.name = b.name WHERE a.id = 1",
            "[[1]]",
        ),
        (
            "SELECT upper(name) FROM people WHERE id = 1",
            r#"[["A**"]]"#,
        ),
        (
            "SELECT 100 / (salary + 1) FROM people WHERE id = 1",
            "[[100]]",
        ),
    ] {
        world.check(sql, expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pseudonyms_join_and_the_column_is_text() {
    let (world, id) = world();
    world.desk.mask(&id, "salary", "hash()");
    let answer = world
        .run("SELECT id, salary AS pay FROM people ORDER BY id")
        .await
        .unwrap();
    let column = &answer.columns[1];
    assert_eq!(
        (column.name.as_str(), &column.column_type),
        ("pay", &ColumnType::Text)
    );
    assert!(column.is_masked && !answer.columns[0].is_masked);
    world
        .check(
            "SELECT count(*) FROM people a JOIN people b ON a.salary = b.salary",
            "[[2]]",
        )
        .await;
    world
        .check("SELECT id FROM people WHERE salary IS NULL", "[[3]]")
        .await;
    world
        .check(
            "SELECT count(DISTINCT length(salary)), max(length(salary)) FROM people",
            "[[1,64]]",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_apply_in_order_on_raw_values() {
    let (world, id) = world();
    world.desk.cells(
        &id,
        "salary",
        vec![
            when(equals("region", "EMEA"), CellOutcome::Plain),
            when(equals("salary", 200), masked("constant(value = -1)")),
            always(CellOutcome::Absent),
        ],
    );
    world.desk.mask(&id, "region", "null()");
    world
        .check(
            "SELECT id, salary FROM people ORDER BY id",
            "[[1,100],[2,-1],[3,null]]",
        )
        .await;
    // Absent in some rows is NULL there, not a missing column.
    world.desk.cells(
        &id,
        "salary",
        vec![
            when(equals("id", 1), CellOutcome::Plain),
            always(CellOutcome::Absent),
        ],
    );
    world
        .check(
            "SELECT id, salary FROM people ORDER BY id",
            "[[1,100],[2,null],[3,null]]",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_hashing_rule_makes_the_whole_column_text() {
    let (world, id) = world();
    world.desk.cells(
        &id,
        "born",
        vec![
            when(equals("id", 1), CellOutcome::Plain),
            when(equals("id", 2), masked("bucket_date(precision = 'month')")),
            always(masked("hash()")),
        ],
    );
    world
        .check(
            "SELECT born FROM people ORDER BY id",
            r#"[["1990-05-17"],["1985-01-01"],[null]]"#,
        )
        .await;
    let answer = world.run("SELECT born FROM people").await.unwrap();
    assert_eq!(answer.columns[0].column_type, ColumnType::Text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mask_that_does_not_fit_hides_the_column() {
    let (world, id) = world();
    world.desk.mask(&id, "salary", "partial(first = 1)");
    world
        .check(
            "SELECT * FROM people WHERE id = 2",
            r#"[[2,"bela","AMER","1985-01-02"]]"#,
        )
        .await;
    assert_eq!(
        world.refused("SELECT salary FROM people").await.reason,
        "sql_unknown_name"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_constant_that_does_not_fit_is_refused() {
    let (world, id) = world();
    world.desk.mask(&id, "salary", "constant(value = 'none')");
    let fault = world.refused("SELECT salary FROM people").await;
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::Denied, "mask_not_typed")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_key_a_keyed_mask_shows_nothing() {
    let (world, id) = world();
    world.vault.forget(MASK_KEY);
    for (column, mask) in [
        ("name", "hash()"),
        ("name", "token()"),
        ("name", "format_preserving()"),
        ("name", "rand_pattern(pattern = '###')"),
        ("name", "rand_regexify(pattern = '[a-z]+')"),
        ("salary", "noise(amount = 5)"),
        ("born", "shift_date(days = 5)"),
    ] {
        world.desk.mask(&id, column, mask);
        let fault = world.refused("SELECT name FROM people").await;
        assert_eq!(
            (fault.kind, fault.reason.as_str()),
            (FaultKind::Unavailable, "mask_key"),
            "{mask}"
        );
        world
            .desk
            .cells(&id, column, vec![always(CellOutcome::Plain)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn drawn_texts_are_stable_within_one_statement_alone() {
    let (world, id) = world();
    let drawn = "rand_pattern(pattern = '################')";
    world.desk.mask(&id, "name", drawn);
    let pairs = "SELECT count(*) FROM people a JOIN people b ON a.name = b.name";
    world.check(pairs, "[[3]]").await;
    let names = "SELECT name FROM people ORDER BY id";
    assert_ne!(world.rows(names).await, world.rows(names).await);
    // In rows where no policy masks, the value is there.
    let rules = vec![
        when(equals("region", "AMER"), CellOutcome::Plain),
        always(masked(drawn)),
    ];
    world.desk.cells(&id, "name", rules);
    world
        .check("SELECT id FROM people WHERE name = 'bela'", "[[2]]")
        .await;
    world.check(pairs, "[[3]]").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pseudonyms_are_the_same_in_every_statement() {
    let (world, id) = world();
    for (column, mask) in [
        ("name", "token(length = 20)"),
        ("salary", "noise(amount = 50)"),
        ("born", "shift_date(days = 300)"),
    ] {
        let sql = format!("SELECT {column} FROM people ORDER BY id");
        let plain = world.rows(&sql).await;
        world.desk.mask(&id, column, mask);
        let shown = world.rows(&sql).await;
        assert_eq!(shown, world.rows(&sql).await, "{mask}");
        assert_ne!(shown, plain, "{mask}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn masks_and_filters_read_each_others_raw_columns() {
    let (world, id) = world();
    world.desk.mask(&id, "region", "constant(value = 'AMER')");
    world.desk.rows(&id, equals("region", "EMEA"));
    world
        .check(
            "SELECT id, region FROM people ORDER BY id",
            r#"[[1,"AMER"],[3,"AMER"]]"#,
        )
        .await;
    world
        .check("SELECT count(*) FROM people WHERE region = 'EMEA'", "[[0]]")
        .await;
    world.desk.rows(&id, Predicate::ALWAYS);
    world.check("SELECT count(*) FROM people", "[[3]]").await;
}
