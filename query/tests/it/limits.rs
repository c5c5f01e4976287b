//! Bounds: rows, bytes, memory, time, and queries at a time.

use std::{
    fmt::Write as _,
    sync::mpsc::{Sender, channel},
    time::Duration,
};

use dataos_model::{fault::FaultKind, seams::RunQuery};
use dataos_query::QueryConfig;

use crate::world::{World, equals};

pub(crate) fn numbers(world: &World, count: u64) -> dataos_model::dataset::DatasetId {
    let mut body = String::new();
    for id in 0..count {
        writeln!(body, "{id},row number {id}").unwrap();
    }
    world.csv("numbers", &[("id", "bigint"), ("text", "text")], &body)
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_cut_and_the_answer_says_so() {
    let world = World::new();
    numbers(&world, 12_000);
    let answer = world.run("SELECT id FROM numbers").await.unwrap();
    assert_eq!((answer.row_count, answer.is_truncated), (10_000, true));
    let mut request = world.request("SELECT id FROM numbers");
    request.rows_max = Some(12_000);
    let answer = world.layer.run(request).await.unwrap();
    assert_eq!((answer.row_count, answer.is_truncated), (12_000, false));
    let mut request = world.request("SELECT id FROM numbers ORDER BY id");
    request.rows_max = Some(2);
    let answer = world.layer.run(request).await.unwrap();
    assert_eq!(answer.chunks.concat(), b"[[0],[1]]");
    assert!(answer.is_truncated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_is_too_large_fails() {
    let config = QueryConfig {
        result_bytes_max: 50_000,
        ..QueryConfig::default()
    };
    let world = World::with(config);
    numbers(&world, 5_000);
    let fault = world.refused("SELECT id, text FROM numbers").await;
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::TooLarge, "result_bytes")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_needs_too_much_memory_fails_alone() {
    let config = QueryConfig {
        memory_bytes_max: 1 << 20,
        ..QueryConfig::default()
    };
    let world = World::with(config);
    numbers(&world, 40_000);
    let sql = "SELECT count(*) FROM (SELECT DISTINCT a.text AS x, b.id AS y FROM numbers a \
               JOIN numbers b ON a.id = b.id) AS s";
    let fault = world.refused(sql).await;
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::TooLarge, "memory_limit")
    );
    world
        .check("SELECT count(*) FROM numbers", "[[40000]]")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_without_an_equality_that_needs_too_much_memory_fails() {
    let config = QueryConfig {
        memory_bytes_max: 1 << 20,
        ..QueryConfig::default()
    };
    let world = World::with(config);
    numbers(&world, 40_000);
    for sql in [
        "SELECT count(*) FROM numbers a, numbers b, numbers c WHERE a.id + b.id + c.id < 0",
        "SELECT count(*) FROM (SELECT DISTINCT a.id, a.text FROM numbers a) AS a LEFT JOIN numbers b \
         ON a.id + b.id < 5 AND a.text < b.text",
    ] {
        let fault = world.refused(sql).await;
        assert_eq!(
            (fault.kind, fault.reason.as_str()),
            (FaultKind::TooLarge, "memory_limit"),
            "{sql}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_runs_too_long_is_ended() {
    let config = QueryConfig {
        time_max: Duration::from_millis(300),
        ..QueryConfig::default()
    };
    let world = World::with(config);
    let id = numbers(&world, 3_000);
    world.desk.rows(&id, equals("id", 1).negated());
    let sql = "SELECT count(*) FROM numbers a, numbers b, numbers c WHERE a.id + b.id + c.id < 0";
    let fault = world.refused(sql).await;
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::Timeout, "time_limit")
    );
    let outcome = world.log.entries().pop().unwrap();
    assert_eq!(
        (outcome.reason.as_str(), outcome.facts["status"].as_str()),
        ("time_limit", "failed")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_wait_for_a_place_and_not_for_ever() {
    let config = QueryConfig {
        queries_max: 1,
        queue_time_max: Duration::from_millis(50),
        time_max: Duration::from_secs(5),
        ..QueryConfig::default()
    };
    let world = World::with(config);
    numbers(&world, 3_000);
    let layer = world.layer.clone();
    let slow = world.request(
        "SELECT count(*) FROM numbers a, numbers b, numbers c WHERE a.id + b.id + c.id < 0",
    );
    let running = tokio::spawn(async move { layer.run(slow).await });
    while world.log.entries().is_empty() {
        tokio::task::yield_now().await;
    }
    let fault = world.refused("SELECT 1").await;
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::Unavailable, "busy")
    );
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    world.check("SELECT 1", "[[1]]").await;
    let cancelled = world.log.entries();
    assert!(
        cancelled
            .iter()
            .any(|entry| entry.facts.get("status").is_some_and(|s| s == "cancelled"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn impossible_limits_are_refused() {
    let world = World::new();
    let seams = dataos_query::QuerySeams {
        decide: world.desk.clone(),
        record: world.log.clone(),
        records: None,
        assets: world.catalog.clone(),
        identities: world.accounts.clone(),
        secrets: world.vault.clone(),
        clock: std::sync::Arc::new(Midnight),
    };
    let config = QueryConfig {
        queries_max: 0,
        ..QueryConfig::default()
    };
    let fault = dataos_query::QueryLayer::open(config, seams).unwrap_err();
    assert!(fault.message.contains("queries_max"), "{fault:?}");
}

#[derive(Debug)]
struct Midnight;

impl dataos_model::clock::Clock for Midnight {
    fn now(&self) -> dataos_model::clock::Timestamp {
        dataos_model::clock::Timestamp(0)
    }
}

/// What `work` tells, so many times, from threads of its own: one that never comes back would hold up the test too.
fn told<T, W>(count: usize, work: impl FnOnce(Sender<T>) -> W + Send + 'static) -> Vec<T>
where
    T: Send + 'static,
    W: Future<Output = ()>,
{
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(work(tell));
    });
    let next = |_| {
        told.recv_timeout(Duration::from_secs(120))
            .expect("a thread of the engine never comes back")
    };
    (0..count).map(next).collect()
}

/// A caller leaves a statement after this time, which it has not ended by then; the next one finds a thread.
async fn left(world: &World, sql: &str, after: Duration) {
    let ended = tokio::time::timeout(after, world.run(sql)).await;
    assert!(ended.is_err(), "{sql}: {ended:?}");
    world
        .check("SELECT count(*) FROM numbers", "[[400000]]")
        .await;
}

/// A join may give rows for minutes without reading any; its caller has left, or his time is over. Of two tables, so
/// that what it keeps of one is small: else memory would be over first.
#[test]
fn a_join_without_end_ends_with_its_caller() {
    told(3, |tell| async move {
        let world = World::new();
        numbers(&world, 400_000);
        for joined in [
            "numbers a CROSS JOIN numbers b",
            "numbers a JOIN numbers b ON a.id <> b.id",
            "numbers a JOIN numbers b ON a.id % 2 = b.id % 2",
        ] {
            let sql = format!("SELECT count(*) FROM {joined}");
            left(&world, &sql, Duration::from_secs(1)).await;
            tell.send(joined).unwrap();
        }
    });
}

/// A join that gives no rows, or marks those of one side, compares for minutes before it gives way. Its caller hears at
/// once that his time is over, and one who leaves leaves no thread behind that goes on: with one there is no other.
#[test]
fn a_join_that_finds_nothing_ends_with_its_time_and_with_its_caller() {
    let joined = [
        "numbers a JOIN numbers b ON a.id + b.id < 0",
        "numbers a JOIN numbers b ON a.id % 1 = b.id % 1 AND a.id + b.id < 0",
        "numbers a WHERE a.id % 1 IN (SELECT b.id % 1 FROM numbers b)",
        "(SELECT id % 1 AS id FROM numbers) a WHERE a.id NOT IN (SELECT b.id % 1 FROM numbers b)",
        "numbers a WHERE a.id < 0 OR a.id % 1 IN (SELECT b.id % 1 FROM numbers b)",
    ];
    for partitions in [1, 2] {
        let config = QueryConfig {
            partitions,
            ..QueryConfig::default()
        };
        let impatient = QueryConfig {
            time_max: Duration::from_millis(300),
            ..config.clone()
        };
        let reasons = told(joined.len(), move |tell| async move {
            let (world, impatient) = (World::with(config), World::with(impatient));
            for world in [&world, &impatient] {
                numbers(world, 400_000);
            }
            for joined in joined {
                let sql = format!("SELECT count(*) FROM {joined}");
                let fault = impatient.refused(&sql).await;
                left(&world, &sql, Duration::from_millis(300)).await;
                tell.send(fault.reason).unwrap();
            }
        });
        assert_eq!(reasons, ["time_limit"; 5]);
    }
}
