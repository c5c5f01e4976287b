//! State survives restarts.

use std::{fs, time::Duration};

use dataos_model::seams::Resources;

use crate::fakes::Bench;

const ID: &str = "workflow:v1:w:public";

fn workflow(folder: &std::path::Path, retry: &str) -> String {
    let folder = folder.display();
    format!(
        "name: w\ntype: workflow\nworkflow:\n  dag:\n\
         \x20 - {{name: once, spec: {{stack: container, stackSpec: {{command: [/bin/sh, -c, 'echo x >> {folder}/once']}}}}}}\n\
         \x20 - {{name: slow, dependencies: [once], retry: {retry}, spec: {{stack: container, stackSpec: {{command: [/bin/sh, -c, 'echo x >> {folder}/slow; test -e {folder}/go || sleep 600']}}}}}}\n"
    )
}

async fn lines(path: &std::path::Path, wanted: usize) {
    for _ in 0..4000 {
        if fs::read_to_string(path).unwrap_or_default().lines().count() == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{}: {:?}", path.display(), fs::read_to_string(path));
}

#[tokio::test]
pub(crate) async fn a_run_goes_on_and_no_finished_step_runs_again() {
    let mut bench = Bench::new().await;
    let folder = tempfile::tempdir().unwrap();
    let text = workflow(folder.path(), "{count: 3, strategy: OnError}");
    bench.apply(&text).await.unwrap();
    lines(&folder.path().join("slow"), 1).await;
    bench.restart().await;
    lines(&folder.path().join("slow"), 2).await;
    fs::write(folder.path().join("go"), "").unwrap();
    bench.restart().await;
    let view = bench.until(ID, |view| view.runtime == "succeeded").await;
    assert_eq!(view.nodes[1].attempt, 3);
    lines(&folder.path().join("once"), 1).await;
    let log = bench
        .orchestrator
        .log(&ID.parse().unwrap(), Some("slow"), 10)
        .await
        .unwrap();
    assert_eq!(
        log,
        [
            "slow | [failed: lost: stopped while it ran]",
            "slow | [failed: lost: stopped while it ran]",
            "slow | [succeeded: exit code 0]"
        ]
    );
    bench.restart().await;
    assert_eq!(
        bench.get(ID).await,
        view,
        "at rest a restart changes nothing"
    );
}

#[tokio::test]
pub(crate) async fn a_lost_step_without_retry_fails_the_run() {
    let mut bench = Bench::new().await;
    let folder = tempfile::tempdir().unwrap();
    bench
        .apply(&workflow(folder.path(), "{count: 3, strategy: OnFailure}"))
        .await
        .unwrap();
    lines(&folder.path().join("slow"), 1).await;
    bench.restart().await;
    let view = bench.until(ID, |view| view.runtime == "failed").await;
    assert_eq!(view.nodes[1].message, "lost: stopped while it ran");
    lines(&folder.path().join("slow"), 1).await;
}

#[tokio::test]
pub(crate) async fn resources_survive() {
    let mut bench = Bench::new().await;
    bench
        .apply("name: d\ntype: depot\ntags: [a]\ndepot: {type: FILES, spec: {path: /data}}\n")
        .await
        .unwrap();
    let before = bench.get("depot:v1:d").await;
    bench.world.forget();
    bench.restart().await;
    assert_eq!(bench.get("depot:v1:d").await, before);
    assert_eq!(bench.world.events(), ["entity depot:v1:d"]);
}
