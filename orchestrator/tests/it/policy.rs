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
        fault.message.contains("has format 9, this program knows up to 1"),
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
