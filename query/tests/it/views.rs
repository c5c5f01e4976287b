//! Views: made, read with their reader's rights, replaced and removed.

use dataos_model::{
    access::CellOutcome,
    action::Action,
    dataset::DatasetId,
    depot::DatasetSource,
    fault::{Fault, FaultKind},
};

use crate::world::{World, always, equals};

fn world() -> (World, DatasetId) {
    let world = World::new();
    let columns = &[
        ("id", "bigint"),
        ("name", "text"),
        ("region", "text"),
        ("pay", "bigint"),
    ];
    let body = "1,ada,EMEA,10\n2,bela,EMEA,20\n3,cleo,AMER,30\n";
    let id = world.csv("people", columns, body);
    (world, id)
}

impl World {
    async fn make(&self, sql: &str) {
        let made = self.run(sql).await;
        made.unwrap_or_else(|fault| panic!("{sql}: {fault:?}"));
    }
}

fn view(name: &str) -> DatasetId {
    DatasetId::new("lake", "main", name)
}

fn reason(fault: &Fault) -> (FaultKind, &str) {
    (fault.kind, fault.reason.as_str())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_is_its_query_in_full_names_and_its_lineage() {
    let (world, _) = world();
    world
        .make(
            "CREATE VIEW lake.main.paid (who, total) AS \
             SELECT p.name, pay * 2 FROM people AS p WHERE region <> 'none'",
        )
        .await;
    let dataset = world.catalog.dataset(&view("paid")).unwrap();
    let DatasetSource::View { sql, definer: None } = &dataset.source else {
        panic!("{dataset:?}")
    };
    assert!(
        sql.contains(r#"FROM "lake"."main"."people" AS "p""#),
        "{sql}"
    );
    assert!(sql.contains("'none'"), "{sql}");
    let columns: Vec<String> = dataset
        .schema
        .columns
        .iter()
        .map(|column| format!("{} {}", column.name, column.column_type))
        .collect();
    assert_eq!(columns, ["who text", "total bigint"]);
    assert_eq!(dataset.owner.as_deref(), Some("alice"));
    assert_eq!(
        world.catalog.calls(),
        ["stage lake:main/paid", "settle 7 lake:main/paid"]
    );
    let [lineage] = world.catalog.lineage_of_writes().try_into().unwrap();
    let mut edges: Vec<String> = lineage
        .edges
        .iter()
        .map(|edge| {
            format!(
                "{} -> {} {:?}",
                edge.source_column, edge.target_column, edge.transformation
            )
        })
        .collect();
    edges.sort();
    assert_eq!(
        edges,
        [
            "name -> who Identity",
            "pay -> total Transformation",
            "region -> total Indirect",
            "region -> who Indirect",
        ]
    );
    world
        .check(
            "SELECT who, total FROM paid ORDER BY total DESC LIMIT 2",
            r#"[["cleo",60],["bela",40]]"#,
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_goes_together_with_tables_and_queries() {
    let (world, _) = world();
    world
        .make("CREATE VIEW lake.main.paid (who, total) AS SELECT name, pay * 2 FROM people")
        .await;
    // A star is what it was when the view was made.
    world
        .make("CREATE VIEW lake.main.everything AS SELECT * FROM people")
        .await;
    world
        .check(
            "SELECT * FROM everything WHERE id = 1",
            r#"[[1,"ada","EMEA",10]]"#,
        )
        .await;
    // Views, tables and queries of WITH go together.
    world
        .check(
            "WITH p AS (SELECT * FROM paid) SELECT e.id, p.total FROM everything e JOIN p ON e.name = p.who \
             WHERE e.id IN (SELECT id FROM people WHERE pay > 10) ORDER BY 1",
            "[[2,40],[3,60]]",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_is_read_under_its_readers_policies_below_it_and_on_it() {
    let (world, people) = world();
    world
        .make("CREATE VIEW lake.main.v AS SELECT id, name, pay, region FROM people")
        .await;
    world.desk.rows(&people, equals("region", "EMEA"));
    world
        .desk
        .mask(&people, "name", "redact(replacement = '(hidden)')");
    let answer = world
        .run("SELECT name, pay FROM v ORDER BY id")
        .await
        .unwrap();
    assert_eq!(
        answer.chunks.concat(),
        br#"[["(hidden)",10],["(hidden)",20]]"#
    );
    let masked: Vec<bool> = answer
        .columns
        .iter()
        .map(|column| column.is_masked)
        .collect();
    assert_eq!(masked, [true, false]);
    let tables: Vec<String> = answer
        .certificate
        .tables
        .iter()
        .map(|table| table.dataset.to_string())
        .collect();
    assert_eq!(tables, ["lake:main/v", "lake:main/people"]);
    assert!(
        answer
            .certificate
            .governed_sql
            .contains("; VIEW lake:main/v: SELECT")
    );
    // Its own policies come on top: rows, masks, columns.
    world.desk.rows(&view("v"), equals("id", 2));
    world
        .desk
        .mask(&view("v"), "pay", "bucket_number(buckets = [0, 15])");
    world.desk.absent(&view("v"), "region");
    world
        .check("SELECT * FROM v", r#"[[2,"(hidden)",15]]"#)
        .await;
    let entry = world.log.entries().into_iter().rev().nth(1).unwrap();
    assert_eq!(
        entry.resource,
        "DataOS::Dataset::\"lake:main/v\", DataOS::Dataset::\"lake:main/people\""
    );
    assert!(
        entry.facts.contains_key("rows lake:main/people"),
        "{entry:?}"
    );
    let fault = world.refused("SELECT region FROM v").await;
    assert_eq!(reason(&fault), (FaultKind::NotFound, "sql_unknown_name"));
    // A user's expression meets no row that the view's policy hides.
    world.check("SELECT 1 / (id - 1) FROM v", "[[1]]").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reader_may_not_see_makes_a_view_unreadable_and_is_not_named() {
    let (world, people) = world();
    world
        .make("CREATE VIEW lake.main.v AS SELECT id, pay FROM people")
        .await;
    world
        .make("CREATE VIEW lake.main.w AS SELECT id FROM v")
        .await;
    world.desk.absent(&people, "pay");
    for name in ["v", "w"] {
        let fault = world.refused(&format!("SELECT id FROM {name}")).await;
        assert_eq!(reason(&fault), (FaultKind::Denied, "view_unreadable"));
        assert!(!fault.to_string().contains("pay"), "{fault:?}");
    }
    world
        .desk
        .cells(&people, "pay", vec![always(CellOutcome::Plain)]);
    world.check("SELECT id FROM w WHERE id = 1", "[[1]]").await;
    world.desk.deny(Action::Select, "lake:main/people");
    let fault = world.refused("SELECT id FROM w").await;
    assert_eq!(reason(&fault), (FaultKind::Denied, "no_permit"));
    assert!(!format!("{fault:?}").contains("people"), "{fault:?}");
    assert!(fault.policies.is_empty());
    let entry = world.log.entries().pop().unwrap();
    assert_eq!(entry.resource, "DataOS::Dataset::\"lake:main/people\"");
    // Named by the caller himself, it is named to him.
    let fault = world.refused("SELECT w.id FROM w, people").await;
    assert!(fault.message.contains("lake:main/people"), "{fault:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mask_that_changes_a_type_goes_through_a_view_or_is_refused() {
    let (world, people) = world();
    world.vault.keep(dataos_query::MASK_KEY, b"key");
    world
        .make("CREATE VIEW lake.main.v AS SELECT id, pay FROM people")
        .await;
    world.desk.mask(&people, "pay", "hash()");
    let answer = world.run("SELECT pay FROM v").await.unwrap();
    assert_eq!(answer.columns[0].column_type.to_string(), "text");
    let base = world.rows("SELECT pay FROM people").await;
    assert_eq!(String::from_utf8(answer.chunks.concat()).unwrap(), base);
    world.desk.rows(&view("v"), equals("pay", 10));
    let fault = world.refused("SELECT id FROM v").await;
    assert_eq!(reason(&fault), (FaultKind::Unsupported, "view_types"));
}

/// Statements about the view `v` that are refused.
const REFUSED: &[(&str, FaultKind)] = &[
    (
        "CREATE VIEW lake.main.v AS SELECT name FROM people",
        FaultKind::Conflict,
    ),
    (
        "CREATE TABLE lake.main.v AS SELECT 1 AS id",
        FaultKind::Conflict,
    ),
    (
        "CREATE OR REPLACE VIEW lake.main.people AS SELECT 1 AS id",
        FaultKind::Conflict,
    ),
    (
        "CREATE OR REPLACE VIEW lake.main.v AS SELECT * FROM v",
        FaultKind::Invalid,
    ),
    ("DROP VIEW lake.main.people", FaultKind::Invalid),
    ("DROP VIEW lake.main.nothing", FaultKind::NotFound),
    (
        "CREATE VIEW lake.main.x (a) AS SELECT id, name FROM people",
        FaultKind::Invalid,
    ),
    (
        "CREATE VIEW lake.main.x AS SELECT id, name AS ID FROM people",
        FaultKind::Invalid,
    ),
    (
        "CREATE VIEW lake.main.\"X\" AS SELECT id FROM people",
        FaultKind::Invalid,
    ),
    ("CREATE VIEW x AS SELECT id FROM people", FaultKind::Invalid),
    (
        "CREATE MATERIALIZED VIEW lake.main.x AS SELECT id FROM people",
        FaultKind::Unsupported,
    ),
    (
        "CREATE VIEW IF NOT EXISTS lake.main.x AS SELECT 1 AS id",
        FaultKind::Unsupported,
    ),
    ("DROP VIEW IF EXISTS lake.main.v", FaultKind::Unsupported),
    ("DROP VIEW lake.main.v CASCADE", FaultKind::Unsupported),
    ("DROP TABLE lake.main.v", FaultKind::Unsupported),
    ("UPDATE v SET id = 1", FaultKind::Unsupported),
    ("DELETE FROM v", FaultKind::Unsupported),
    ("INSERT INTO lake.main.v VALUES (1)", FaultKind::Unsupported),
    (
        "EXPLAIN POLICY DROP VIEW lake.main.v",
        FaultKind::Unsupported,
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn views_are_replaced_and_removed_by_who_may() {
    let (world, _) = world();
    world
        .make("CREATE VIEW lake.main.v AS SELECT id FROM people")
        .await;
    for (sql, kind) in REFUSED {
        let fault = world.refused(sql).await;
        assert_eq!(fault.kind, *kind, "{sql}: {fault:?}");
    }
    world
        .make("CREATE VIEW lake.main.w AS SELECT id AS i FROM v")
        .await;
    let fault = world
        .refused("CREATE OR REPLACE VIEW lake.main.v AS SELECT i AS id FROM w")
        .await;
    assert_eq!(fault.kind, FaultKind::Invalid, "in a circle: {fault:?}");
    world
        .make(
            "CREATE OR REPLACE VIEW lake.main.v AS SELECT id + 100 AS id FROM people WHERE id = 1",
        )
        .await;
    world.check("SELECT * FROM w", "[[101]]").await;
    world.desk.deny(Action::Delete, "lake:main/v");
    for sql in [
        "CREATE OR REPLACE VIEW lake.main.v AS SELECT 1 AS id",
        "DROP VIEW lake.main.v",
    ] {
        let fault = world.refused(sql).await;
        assert_eq!(reason(&fault), (FaultKind::Denied, "no_permit"), "{sql}");
    }
    world.desk.deny(Action::CreateDataset, "lake:main");
    let fault = world
        .refused("CREATE VIEW lake.main.x AS SELECT 1 AS id")
        .await;
    assert_eq!(fault.kind, FaultKind::Denied);
    world.make("DROP VIEW lake.main.w").await;
    assert!(world.catalog.dataset(&view("w")).is_none());
    let fault = world.refused("SELECT * FROM w").await;
    assert_eq!(fault.kind, FaultKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn views_behind_views_are_bounded() {
    let (world, _) = world();
    let put = |name: &str, sql: String| {
        world.catalog.add(
            &view(name),
            &[("id", "bigint")],
            DatasetSource::View { sql, definer: None },
        );
    };
    let of = |name: &str| {
        format!("SELECT \"b\".\"id\" AS \"id\" FROM \"lake\".\"main\".\"{name}\" AS \"b\"")
    };
    put("v0", of("people"));
    for level in 1..12 {
        put(&format!("v{level}"), of(&format!("v{}", level - 1)));
    }
    world.check("SELECT count(*) FROM v7", "[[3]]").await;
    let fault = world.refused("SELECT count(*) FROM v9").await;
    assert_eq!(reason(&fault), (FaultKind::TooLarge, "sql_too_large"));
    let all = "SELECT count(*) FROM v0, v1, v2, v3, v4, v5, v6, v7, v8";
    let fault = world.refused(all).await;
    assert_eq!(reason(&fault), (FaultKind::TooLarge, "sql_too_large"));
    // A circle, as only a damaged catalog has one.
    put("a", of("b"));
    put("b", of("a"));
    let fault = world.refused("SELECT count(*) FROM a").await;
    assert_eq!(reason(&fault), (FaultKind::TooLarge, "sql_too_large"));
    // Few views that read each other often.
    put("d0", of("people"));
    for level in 1..8 {
        let one = |alias: &str| format!("\"lake\".\"main\".\"d{}\" AS \"{alias}\"", level - 1);
        let (x, y, z) = (one("x"), one("y"), one("z"));
        put(
            &format!("d{level}"),
            format!("SELECT \"x\".\"id\" AS \"id\" FROM {x}, {y}, {z}"),
        );
    }
    let fault = world.refused("SELECT count(*) FROM d7").await;
    assert_eq!(reason(&fault), (FaultKind::TooLarge, "sql_too_large"));
    // A text that nobody could have stored here.
    put("e", "SELECT id FROM people".to_owned());
    let fault = world.refused("SELECT id FROM e").await;
    assert_eq!(reason(&fault), (FaultKind::Denied, "view_unreadable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_policy_shows_what_is_behind_a_view() {
    let (world, people) = world();
    world
        .make("CREATE VIEW lake.main.v AS SELECT id, name FROM people")
        .await;
    world.desk.rows(&people, equals("region", "EMEA"));
    world.desk.mask(&people, "name", "redact()");
    let rows = world.rows("EXPLAIN POLICY SELECT id FROM v").await;
    let rows: Vec<[String; 6]> = serde_json::from_str(&rows).unwrap();
    let shown: Vec<[&str; 4]> = rows
        .iter()
        .map(|[table, column, what, _, condition, _]| {
            [table, column, what, condition].map(String::as_str)
        })
        .collect();
    let people = "lake:main/people";
    assert_eq!(
        shown,
        [
            ["lake:main/v", "*", "view", "always"],
            ["lake:main/v", "*", "rows", "always"],
            ["lake:main/v", "id", "plain", "always"],
            ["lake:main/v", "name", "plain", "always"],
            [
                people,
                "*",
                "rows",
                "region IS NOT NULL AND region = 'EMEA'"
            ],
            [people, "id", "plain", "always"],
            [
                people,
                "name",
                "redact(replacement = '[redacted]')",
                "always"
            ],
            [people, "region", "plain", "always"],
            [people, "pay", "plain", "always"],
        ]
    );
    assert!(
        rows[0][5].contains("FROM \"lake\".\"main\".\"people\""),
        "{rows:?}"
    );
    // Clients find it as a view.
    world
        .check(
            "SELECT table_name, table_type FROM information_schema.tables WHERE table_name IN ('v', 'people') ORDER BY 1",
            r#"[["people","BASE TABLE"],["v","VIEW"]]"#,
        )
        .await;
    world
        .check(
            "SELECT relkind FROM pg_catalog.pg_class WHERE relname = 'v'",
            r#"[["v"]]"#,
        )
        .await;
}
