//! A text that was governed before is governed anew as soon as anything that it depends on is another: the
//! caller, what the PDP answers, the catalog.

use dataos_model::{
    action::Action,
    dataset::DatasetId,
    depot::{DatasetSource, FileFormat},
    entity::EntityType,
    fault::FaultKind,
    hash::Hash,
    predicate::Predicate,
    principal::{Authentication, Principal},
    seams::RunQuery,
};

use crate::world::{World, equals};

const COLUMNS: &[(&str, &str)] = &[("id", "bigint"), ("word", "text")];
const SQL: &str = "SELECT * FROM p ORDER BY 1";
const ROWS: &str = r#"[[1,"one"],[2,"two"]]"#;

fn world() -> (World, DatasetId) {
    let world = World::new();
    let p = world.csv("p", COLUMNS, "1,one\n2,two\n");
    (world, p)
}

/// Twice, so that the second time finds what the first one left.
async fn twice(world: &World, rows: &str) {
    world.check(SQL, rows).await;
    world.check(SQL, rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_pdp_answers_now_counts() {
    let (world, p) = world();
    twice(&world, ROWS).await;
    world.desk.rows(&p, equals("word", "two"));
    twice(&world, r#"[[2,"two"]]"#).await;
    world.desk.mask(&p, "word", "shorten(length = 1)");
    twice(&world, r#"[[2,"t"]]"#).await;
    world.desk.rows(&p, Predicate::ALWAYS);
    twice(&world, r#"[[1,"o"],[2,"t"]]"#).await;
    world.desk.absent(&p, "word");
    twice(&world, "[[1],[2]]").await;
    world
        .desk
        .oblige_on("lake:main/p", "no_projection(column = 'id')");
    for _ in 0..2 {
        assert_eq!(world.refused(SQL).await.reason, "no_projection");
    }
    world.desk.deny(Action::Select, "lake:main/p");
    for _ in 0..2 {
        assert_eq!(world.refused(SQL).await.kind, FaultKind::Denied);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_and_record_are_of_the_policies_and_of_the_caller_of_now() {
    let (world, _) = world();
    world.run(SQL).await.unwrap();
    world.desk.reload();
    let reloaded = world.run(SQL).await.unwrap();
    assert_eq!(reloaded.certificate.policy_set, Hash::of("policies 1"));
    world.desk.change_entities();
    let mut request = world.request(SQL);
    request.principal = Principal::new(EntityType::USER.id("bob"), Authentication::Token);
    request.context.clear();
    for _ in 0..2 {
        let answer = world.layer.run(request.clone()).await.unwrap();
        assert_eq!(answer.certificate.entities, Hash::of("entities 1"));
    }
    let entries = world.log.entries();
    let decisions: Vec<_> = entries.iter().step_by(2).collect();
    let [first, reloaded, bobs, again] = decisions.as_slice() else {
        panic!("{entries:#?}")
    };
    assert_ne!(first.policy_set, reloaded.policy_set);
    assert_eq!(bobs.facts, again.facts);
    assert_eq!(
        first.facts.keys().collect::<Vec<_>>(),
        bobs.facts.keys().collect::<Vec<_>>()
    );
    for (entry, who) in [
        (first, "alice"),
        (reloaded, "alice"),
        (bobs, "bob"),
        (again, "bob"),
    ] {
        assert!(entry.principal.contains(who), "{entry:#?}");
        assert!(entry.facts["asked_access"].contains(who), "{entry:#?}");
    }
}

/// However often policies changed before.
#[tokio::test(flavor = "multi_thread")]
async fn a_text_is_known_under_the_newest_answers() {
    let (world, _) = world();
    for _ in 0..12 {
        world.desk.reload();
        world.check(SQL, ROWS).await;
    }
    let before = world.desk.accesses();
    world.check(SQL, ROWS).await;
    // Who governs it anew asks a second time.
    assert_eq!(world.desk.accesses(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_and_views_mean_now_counts() {
    let (world, p) = world();
    twice(&world, ROWS).await;
    // The table lies elsewhere, with a column more.
    let path = world.path("q.csv");
    std::fs::write(&path, "id,word,more\n3,three,x\n").unwrap();
    let columns = [COLUMNS, &[("more", "text")]].concat();
    let source = DatasetSource::Files {
        format: FileFormat::Csv,
        paths: vec![path],
    };
    world.catalog.add(&p, &columns, source.clone());
    twice(&world, r#"[[3,"three","x"]]"#).await;
    // Another one of its name: who may see both has to say which, who may not is told of none.
    let other = DatasetId::new("lake", "other", "p");
    world.catalog.add(&other, &columns, source);
    assert_eq!(world.refused(SQL).await.reason, "sql_ambiguous_name");
    for action in [Action::Select, Action::ViewAsset] {
        world.desk.deny(action, "lake:other/p");
    }
    twice(&world, r#"[[3,"three","x"]]"#).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_says_something_else_now_is_read_anew() {
    let (world, _) = world();
    world
        .run("CREATE VIEW lake.main.v AS SELECT id FROM p")
        .await
        .unwrap();
    let sql = "SELECT * FROM v ORDER BY 1";
    for _ in 0..2 {
        world.check(sql, "[[1],[2]]").await;
    }
    let replaced = "CREATE OR REPLACE VIEW lake.main.v AS SELECT word FROM p";
    world.run(replaced).await.unwrap();
    for _ in 0..2 {
        world.check(sql, r#"[["one"],["two"]]"#).await;
    }
    // What is behind it is asked about too.
    world.desk.deny(Action::Select, "lake:main/p");
    assert_eq!(world.refused(sql).await.kind, FaultKind::Denied);
}
