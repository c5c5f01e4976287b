//! Runs of workflows.

use dataos_model::{fault::FaultKind, seams::Resources};

use crate::fakes::Bench;

const ID: &str = "workflow:v1:w:public";

fn workflow(jobs: &[String]) -> String {
    format!(
        "name: w\ntype: workflow\nworkflow:\n  dag:\n{}",
        jobs.concat()
    )
}

fn job(name: &str, dependencies: &str, extra: &str, script: &str) -> String {
    format!(
        "  - name: {name}\n    dependencies: [{dependencies}]\n{extra}    spec: {{stack: container, stackSpec: {{command: [/bin/sh, -c, '{script}']}}}}\n"
    )
}

async fn finished(bench: &Bench) -> dataos_model::resource::ResourceView {
    bench
        .until(ID, |view| {
            matches!(view.runtime.as_str(), "succeeded" | "failed")
        })
        .await
}

async fn log(bench: &Bench) -> Vec<String> {
    bench
        .orchestrator
        .log(&ID.parse().unwrap(), None, 100)
        .await
        .unwrap()
}

#[tokio::test]
pub(crate) async fn jobs_run_in_order_of_their_dependencies() {
    let bench = Bench::new().await;
    let text = workflow(&[
        job("last", "left, right", "", "echo last; echo oops >&2"),
        job("left", "first", "", "echo left"),
        job("right", "first", "", "echo right"),
        job("first", "", "", "echo first"),
    ]);
    bench.apply(&text).await.unwrap();
    let view = finished(&bench).await;
    assert_eq!(view.runtime, "succeeded", "{view:?}");
    let mut lines = log(&bench).await;
    lines.retain(|line| !line.contains('['));
    assert_eq!(lines.first().map(String::as_str), Some("first | first"));
    assert_eq!(lines.split_off(3), ["last | last", "last | oops"]);
    let names: Vec<&str> = view.nodes.iter().map(|node| node.job.as_str()).collect();
    assert_eq!(names, ["last", "left", "right", "first"]);
    let lines = bench
        .orchestrator
        .log(&ID.parse().unwrap(), Some("last"), 2)
        .await
        .unwrap();
    assert_eq!(lines, ["last | oops", "last | [succeeded: exit code 0]"]);
    let fault = bench
        .orchestrator
        .log(&ID.parse().unwrap(), Some("lost"), 2)
        .await
        .unwrap_err();
    assert_eq!(fault.kind, FaultKind::NotFound);
}

#[tokio::test]
pub(crate) async fn a_failed_job_is_tried_again_and_then_skips_the_rest() {
    let bench = Bench::new().await;
    let retry = "    retry: {count: 2, strategy: OnFailure, duration: 1ms}\n";
    let text = workflow(&[
        job(
            "flaky",
            "",
            retry,
            "echo try $DATAOS_ATTEMPT; test $DATAOS_ATTEMPT = 3",
        ),
        job("broken", "flaky", retry, "exit 7"),
        job("after", "broken", "", "echo never"),
    ]);
    bench.apply(&text).await.unwrap();
    let view = finished(&bench).await;
    assert_eq!(view.runtime, "failed");
    assert_eq!(view.message, "job broken failed: exit code 7");
    let shown: Vec<String> = view
        .nodes
        .iter()
        .map(|n| format!("{} {} {} {}", n.job, n.attempt, n.phase, n.message))
        .collect();
    assert_eq!(
        shown,
        [
            "flaky 3 succeeded exit code 0",
            "broken 3 failed exit code 7",
            "after 0 skipped "
        ]
    );
    assert!(!log(&bench).await.iter().any(|line| line.contains("never")));
}

#[tokio::test]
pub(crate) async fn a_denied_step_never_starts() {
    let bench = Bench::new().await;
    bench.world.deny("run_step");
    let witness = bench.folder.path().join("witness");
    let script = format!("touch {}", witness.display());
    let retry = "    retry: {count: 5}\n";
    bench
        .apply(&workflow(&[
            job("a", "", retry, &script),
            job("b", "a", "", &script),
        ]))
        .await
        .unwrap();
    let view = finished(&bench).await;
    let phases: Vec<&str> = view.nodes.iter().map(|node| node.phase.as_str()).collect();
    assert_eq!(phases, ["denied", "skipped"]);
    assert_eq!(
        view.nodes[0].attempt, 1,
        "a denial is not tried again at once"
    );
    assert!(view.message.contains("PolicyDenied"), "{}", view.message);
    assert!(!witness.exists());
    let denials = bench
        .world
        .events()
        .iter()
        .filter(|e| e.contains("deny run_step"))
        .count();
    assert_eq!(denials, 1);
}

#[tokio::test]
pub(crate) async fn no_step_without_a_record_or_an_owner() {
    let bench = Bench::new().await;
    let witness = bench.folder.path().join("witness");
    let script = format!("touch {}", witness.display());
    bench.world.users.lock().unwrap().clear();
    bench
        .apply(&workflow(&[job("a", "", "", &script)]))
        .await
        .unwrap();
    let view = finished(&bench).await;
    assert_eq!(view.nodes[0].phase, "denied");
    assert!(
        view.nodes[0].message.contains("the owner cannot act"),
        "{view:?}"
    );
    assert!(!witness.exists());
}

#[tokio::test]
pub(crate) async fn each_step_is_decided_recorded_run_recorded() {
    let bench = Bench::new().await;
    let text = "name: w\ntype: workflow\nworkflow:\n  dag:\n  - {name: q, spec: {stack: sql, stackSpec: {sql: select 1}}}\n  - {name: s, dependencies: [q], spec: {stack: scanner, stackSpec: {depot: d}}}\n";
    let depot = "name: d\ntype: depot\ndepot: {type: FILES, spec: {path: /data}}\n";
    bench.apply(depot).await.unwrap();
    bench.world.forget();
    bench.apply(text).await.unwrap();
    let view = finished(&bench).await;
    assert_eq!(view.runtime, "succeeded", "{view:?}");
    assert_eq!(view.nodes[0].message, "1 rows");
    let events = bench.world.events();
    let from = events
        .iter()
        .position(|event| event.contains("run_step"))
        .unwrap();
    let events: Vec<&str> = events
        .iter()
        .skip(from)
        .map(String::as_str)
        .filter(|event| !event.contains("create_child"))
        .collect();
    assert_eq!(
        events,
        [
            "decision allow run_step DataOS::Resource::\"workflow:v1:w:public\"",
            "query alice select 1",
            "outcome run_step DataOS::Resource::\"workflow:v1:w:public\"",
            "decision allow run_step DataOS::Resource::\"workflow:v1:w:public\"",
            "decision allow scan_depot DataOS::Depot::\"d\"",
            "scan d",
            "outcome scan_depot DataOS::Depot::\"d\"",
            "outcome run_step DataOS::Resource::\"workflow:v1:w:public\"",
        ]
    );
    let log = log(&bench).await;
    assert!(!log.concat().contains("governed value"), "{log:?}");
}

#[tokio::test]
pub(crate) async fn a_denied_query_fails_the_step() {
    let bench = Bench::new().await;
    let text = "name: w\ntype: workflow\nworkflow:\n  dag:\n  - {name: q, retry: {count: 2}, spec: {stack: sql, stackSpec: {sql: select forbidden}}}\n";
    bench.apply(text).await.unwrap();
    let view = finished(&bench).await;
    assert_eq!(
        (view.nodes[0].phase.as_str(), view.nodes[0].attempt),
        ("denied", 1)
    );
}

#[tokio::test]
pub(crate) async fn a_missing_program_is_told() {
    let bench = Bench::new().await;
    let text = "name: w\ntype: workflow\nworkflow:\n  dag:\n  - {name: q, spec: {stack: container, stackSpec: {command: [no-such-program]}}}\n";
    bench.apply(text).await.unwrap();
    let view = finished(&bench).await;
    assert!(
        view.nodes[0]
            .message
            .starts_with("`no-such-program` cannot be started"),
        "{view:?}"
    );
}

#[tokio::test]
pub(crate) async fn a_new_revision_replaces_the_run_and_delete_ends_it() {
    let bench = Bench::new().await;
    bench
        .apply(&workflow(&[job("a", "", "", "echo $$; sleep 600")]))
        .await
        .unwrap();
    bench
        .until(ID, |view| view.nodes[0].phase == "running")
        .await;
    bench
        .apply(&workflow(&[job("a", "", "", "echo new; sleep 600")]))
        .await
        .unwrap();
    for _ in 0..1000 {
        if log(&bench).await.contains(&"a | new".to_owned()) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(log(&bench).await, ["a | new"]);
    assert_eq!(bench.get(ID).await.revision, 2);
    bench.delete(ID).await.unwrap();
    let left: Vec<_> = std::fs::read_dir(bench.folder.path().join("runs"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
pub(crate) async fn what_a_job_writes_cannot_steer_a_terminal() {
    let bench = Bench::new().await;
    bench
        .apply(&workflow(&[job(
            "a",
            "",
            "",
            "printf \"\\\\033[31mred\\\\tx\"",
        )]))
        .await
        .unwrap();
    finished(&bench).await;
    assert_eq!(
        log(&bench).await.first().map(String::as_str),
        Some("a | \u{fffd}[31mred\tx")
    );
}
