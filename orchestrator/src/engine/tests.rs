use super::*;
use crate::manifest::{Body, parse};

fn workflow(jobs: &str) -> Workflow {
    let text = format!("name: w\ntype: workflow\nworkflow:\n  dag: {jobs}");
    match parse(&text, "public").unwrap().remove(0).body {
        Body::Workflow(workflow) => workflow,
        other => panic!("{other:?}"),
    }
}

fn job(name: &str, extra: &str) -> String {
    format!("{{name: {name}, spec: {{stack: sql, stackSpec: {{sql: s}}}}{extra}}}")
}

fn ended(job: &str, number: u32, ending: Ending, at: i64) -> AttemptRow {
    let (phase, failure) = ending.words();
    AttemptRow {
        job: job.to_owned(),
        number,
        phase: phase.to_owned(),
        failure: failure.to_owned(),
        message: String::new(),
        process: String::new(),
        started_at: Timestamp(at),
        finished_at: Some(Timestamp(at)),
    }
}

fn check(jobs: &[String], attempts: &[AttemptRow], now: i64, expected: Next) {
    let workflow = workflow(&format!("[{}]", jobs.join(", ")));
    assert_eq!(
        next(&workflow, attempts, &BTreeSet::new(), Timestamp(now)),
        expected
    );
}

fn start(list: &[(&str, u32)]) -> Next {
    Next::Start(
        list.iter()
            .map(|(job, number)| ((*job).to_owned(), *number))
            .collect(),
    )
}

#[test]
fn jobs_start_when_all_before_them_succeeded() {
    let jobs = [
        job("c", ", dependencies: [a, b]"),
        job("a", ""),
        job("b", ""),
    ];
    check(&jobs, &[], 0, start(&[("a", 1), ("b", 1)]));
    let a = ended("a", 1, Ending::Succeeded, 0);
    let b = ended("b", 1, Ending::Succeeded, 0);
    check(&jobs, std::slice::from_ref(&a), 0, start(&[("b", 1)]));
    check(&jobs, &[a.clone(), b.clone()], 0, start(&[("c", 1)]));
    check(
        &jobs,
        &[a, b, ended("c", 1, Ending::Succeeded, 0)],
        0,
        Next::Done(true),
    );
}

#[test]
fn what_waits_for_a_failed_job_is_skipped() {
    let jobs = [
        job("a", ""),
        job("b", ", dependencies: [a]"),
        job("c", ", dependencies: [b]"),
    ];
    let failed = [ended("a", 1, Ending::Failure, 0)];
    check(&jobs, &failed, 0, Next::Done(false));
    let workflow = workflow(&format!("[{}]", jobs.join(", ")));
    let phases: Vec<String> = nodes(&workflow, &failed)
        .into_iter()
        .map(|n| n.phase)
        .collect();
    assert_eq!(phases, ["failed", "skipped", "skipped"]);
}

#[test]
fn retries_by_strategy() {
    use Ending::{Denied, Error, Failure};
    for (strategy, ending, is_retried) in [
        ("Always", Failure, true),
        ("Always", Error, true),
        ("OnFailure", Failure, true),
        ("OnFailure", Error, false),
        ("OnError", Failure, false),
        ("OnError", Error, true),
        ("OnTransientError", Error, true),
        ("Always", Denied, false),
    ] {
        let jobs = [job(
            "a",
            &format!(", retry: {{count: 1, strategy: {strategy}}}"),
        )];
        let expected = if is_retried {
            start(&[("a", 2)])
        } else {
            Next::Done(false)
        };
        check(&jobs, &[ended("a", 1, ending, 0)], 0, expected);
        check(
            &jobs,
            &[ended("a", 1, ending, 0), ended("a", 2, ending, 0)],
            0,
            Next::Done(false),
        );
    }
}

#[test]
fn retries_wait_and_end() {
    let jobs = [job(
        "a",
        ", retry: {count: 9, duration: 10s, maxDuration: 15s}",
    )];
    let first = ended("a", 1, Ending::Failure, 1000);
    check(
        &jobs,
        std::slice::from_ref(&first),
        1000,
        Next::Wait(Some(Timestamp(11_000))),
    );
    check(
        &jobs,
        std::slice::from_ref(&first),
        11_000,
        start(&[("a", 2)]),
    );
    check(
        &jobs,
        &[first, ended("a", 2, Ending::Failure, 11_000)],
        30_000,
        Next::Done(false),
    );
}
