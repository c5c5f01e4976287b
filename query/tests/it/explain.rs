//! EXPLAIN POLICY, EXPLAIN and SHOW TABLES.

use dataos_model::{access::CellOutcome, action::Action, mask::Mask};

use crate::world::{World, always, equals, when};

fn world() -> World {
    let world = World::new();
    let columns = &[
        ("id", "bigint"),
        ("name", "text"),
        ("region", "text"),
        ("note", "text"),
    ];
    let id = world.csv("people", columns, "1,ada,EMEA,x\n");
    world.desk.rows(&id, equals("region", "EMEA"));
    world.desk.cells(
        &id,
        "name",
        vec![
            when(equals("id", 1), CellOutcome::Plain),
            always(CellOutcome::Masked(Mask::parse("hash()").unwrap())),
        ],
    );
    world.desk.absent(&id, "note");
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_policy_says_what_is_enforced_and_why() {
    let world = world();
    let rows = world.rows("EXPLAIN POLICY SELECT id FROM people").await;
    let rows: Vec<[String; 6]> = serde_json::from_str(&rows).unwrap();
    let shown: Vec<[&str; 4]> = rows
        .iter()
        .map(|[_, column, what, policies, condition, _]| {
            [
                column.as_str(),
                what.as_str(),
                policies.as_str(),
                condition.as_str(),
            ]
        })
        .collect();
    assert_eq!(
        shown,
        [
            [
                "*",
                "rows",
                "rows",
                "region IS NOT NULL AND region = 'EMEA'"
            ],
            ["id", "plain", "cells", "always"],
            ["name", "plain", "cells", "id IS NOT NULL AND id = 1"],
            ["name", "hash()", "cells", "always"],
            ["region", "plain", "cells", "always"],
            ["note", "absent", "cells", "always"],
        ]
    );
    assert!(rows.iter().all(|row| row[0] == "lake:main/people"));
    assert!(rows.iter().all(|row| row[5].contains("is for")), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_shows_the_governed_statement_alone() {
    let world = world();
    let rows = world
        .rows("EXPLAIN SELECT id FROM people WHERE region = 'EMEA'")
        .await;
    assert!(rows.contains("__t0") && !rows.contains("hash"), "{rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn show_tables_lists_what_the_caller_may_name() {
    let world = world();
    for name in ["open", "closed"] {
        world.csv(name, &[("id", "bigint")], "1\n");
    }
    world.desk.deny(Action::Select, "lake:main/closed");
    world.desk.deny(Action::ViewAsset, "lake:main/closed");
    world.desk.deny(Action::Select, "lake:main/open");
    world
        .check(
            "SHOW TABLES",
            r#"[["lake","main","open","lake:main/open"],["lake","main","people","lake:main/people"]]"#,
        )
        .await;
}
