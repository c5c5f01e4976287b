//! Policies that were applied are in force again after a restart, before anything else happens.

use crate::fakes::{Bench, open};

const MASK: &str = "name: mask\ntype: policy\npolicy: {data: {type: mask, selector: {user: {tags: ['users:id:*']}, column: {tags: [PII]}}, mask: {operator: hash}}}\n";

#[tokio::test]
pub(crate) async fn policies_survive() {
    let mut bench = Bench::new().await;
    bench.apply(MASK).await.unwrap();
    let before = bench.world.policies.lock().unwrap().clone();
    assert!(before["policy:v1:mask"].contains("@mask(\"hash()\")"));
    bench.world.policies.lock().unwrap().clear();
    bench.restart().await;
    assert_eq!(*bench.world.policies.lock().unwrap(), before);
}

#[tokio::test]
pub(crate) async fn a_change_that_was_denied_does_not_come_into_force_by_a_restart() {
    let mut bench = Bench::new().await;
    bench.apply(MASK).await.unwrap();
    let before = bench.world.policies.lock().unwrap().clone();
    bench.world.deny("create_child");
    bench
        .apply(&MASK.replace("hash", "pass_through"))
        .await
        .unwrap();
    bench.world.policies.lock().unwrap().clear();
    bench.restart().await;
    assert_eq!(*bench.world.policies.lock().unwrap(), before);
}

fn filter(name: &str, priority: u8, user: &str) -> String {
    format!(
        "name: {name}\ntype: policy\npolicy: {{data: {{type: filter, priority: {priority}, selector: {{user: \
         {{tags: ['users:id:{user}']}}}}, filters: [{{column: c, operator: equals, value: 1}}]}}}}\n"
    )
}

/// What the PDP was told of policies.
fn changes(bench: &Bench) -> Vec<String> {
    let is_change = |event: &String| event.starts_with("put ") || event.starts_with("remove ");
    let changes = bench.world.events().into_iter().filter(is_change).collect();
    bench.world.forget();
    changes
}

/// The selectors that the filter `worse` stands aside for.
fn aside(bench: &Bench) -> Vec<String> {
    let policies = bench.world.policies.lock().unwrap();
    let text = &policies["row filters"];
    let worse = text.split("@id(\"policy:worse:filter\")").nth(1).unwrap();
    let lines = worse.split(';').next().unwrap().lines();
    lines
        .filter_map(|line| line.strip_prefix("unless { "))
        .filter(|line| !line.contains("resource has c"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
pub(crate) async fn each_change_of_a_better_filter_reaches_the_worse_ones_in_the_same_change() {
    let mut bench = Bench::new().await;
    bench.apply(&filter("worse", 50, "ann")).await.unwrap();
    assert_eq!(changes(&bench), ["put row filters"]);
    assert!(aside(&bench).is_empty());

    bench.apply(&filter("better", 10, "bob")).await.unwrap();
    assert_eq!(changes(&bench), ["put row filters"]);
    assert_eq!(aside(&bench), ["principal == DataOS::User::\"bob\" }"]);

    bench.apply(&filter("better", 10, "cy")).await.unwrap();
    assert_eq!(changes(&bench), ["put row filters"]);
    assert_eq!(aside(&bench), ["principal == DataOS::User::\"cy\" }"]);

    let before = bench.world.policies.lock().unwrap().clone();
    bench.world.policies.lock().unwrap().clear();
    bench.restart().await;
    assert_eq!(*bench.world.policies.lock().unwrap(), before);
    assert_eq!(changes(&bench), ["put row filters"]);

    bench.apply(&filter("better", 60, "cy")).await.unwrap();
    assert_eq!(changes(&bench), ["put row filters"]);
    assert!(aside(&bench).is_empty());

    bench.apply(&filter("better", 10, "cy")).await.unwrap();
    bench.delete("policy:v1:better").await.unwrap();
    assert_eq!(changes(&bench), ["put row filters", "put row filters"]);
    assert!(aside(&bench).is_empty());

    bench.delete("policy:v1:worse").await.unwrap();
    assert_eq!(changes(&bench), ["remove row filters"]);
    assert!(bench.world.policies.lock().unwrap().is_empty());
}

#[tokio::test]
pub(crate) async fn the_filters_of_a_stream_come_into_force_together() {
    let bench = Bench::new().await;
    bench.apply(&filter("worse", 50, "ann")).await.unwrap();
    bench.world.forget();
    let stream = [filter("one", 10, "bob"), filter("two", 10, "bob")].join("---\n");
    bench.apply(&stream).await.unwrap();
    assert_eq!(changes(&bench), ["put row filters"]);
    assert_eq!(aside(&bench), ["principal == DataOS::User::\"bob\" }"]);
    // The same again changes nothing.
    bench.apply(&stream).await.unwrap();
    assert!(changes(&bench).is_empty());

    // The last one is refused: the others come into force all the same.
    bench.world.deny("create_child policy:v1:four");
    let stream = [filter("three", 5, "cy"), filter("four", 5, "cy")].join("---\n");
    bench.apply(&stream).await.unwrap();
    assert_eq!(
        aside(&bench),
        ["principal == DataOS::User::\"bob\" || principal == DataOS::User::\"cy\" }"]
    );
    let text = bench.world.policies.lock().unwrap()["row filters"].clone();
    assert!(!text.contains("four"), "{text}");
}

#[tokio::test]
pub(crate) async fn a_policy_that_becomes_another_kind_is_never_absent() {
    let bench = Bench::new().await;
    let filter = filter("mask", 50, "ann");
    bench.apply(MASK).await.unwrap();
    bench.world.forget();
    bench.apply(&filter).await.unwrap();
    assert_eq!(
        changes(&bench),
        ["put row filters", "remove policy:v1:mask"]
    );
    bench.apply(MASK).await.unwrap();
    assert_eq!(
        changes(&bench),
        ["put policy:v1:mask", "remove row filters"]
    );
    bench.delete("policy:v1:mask").await.unwrap();
    assert_eq!(changes(&bench), ["remove policy:v1:mask"]);
}

#[tokio::test]
async fn a_store_of_another_format_or_damaged_is_refused() {
    let bench = Bench::new().await;
    bench.orchestrator.close().await;
    let path = bench.folder.path().join("orchestrator.db");
    let mut bytes = std::fs::read(&path).unwrap();
    // `user_version` is a big-endian number at offset 60 of the file.
    bytes[63] = 9;
    std::fs::write(&path, bytes).unwrap();
    let fault = open(&bench.world, bench.folder.path()).await.unwrap_err();
    assert!(
        fault
            .message
            .contains("has format 9, this program knows up to 1"),
        "{fault}"
    );
    std::fs::write(
        &path,
        "no database at all, but long enough to be looked at ".repeat(40),
    )
    .unwrap();
    let fault = open(&bench.world, bench.folder.path()).await.unwrap_err();
    assert!(fault.message.contains("is damaged"), "{fault}");
}
