//! Against a real redis-server, which goes away and comes back.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use dataos_model::secret::Secret;

use crate::rate::{Quota, RateConfig, Rates, RedisConfig};

const ADDRESS: &str = "10.0.0.1";

/// A server that ends with the test.
struct Redis {
    process: Child,
    port: u16,
}

impl Redis {
    fn start(port: u16, arguments: &[&str]) -> Self {
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--dir", "/tmp"])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed; see tests/run");
        let redis = Self { process, port };
        for _ in 0..3000 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return redis;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("redis-server does not listen on {port}");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn rates(port: u16, count: u64, password: Option<&str>) -> Rates {
    Rates::new(RateConfig {
        address: Quota::new(count, Duration::from_secs(3600)),
        redis: Some(RedisConfig {
            address: format!("127.0.0.1:{port}"),
            password: password.map(|text| Secret::new(text.as_bytes())),
        }),
        ..RateConfig::default()
    })
}

async fn passes(rates: &Rates) -> bool {
    let address = ADDRESS.parse().unwrap();
    rates.take_address(address).await.is_ok()
}

async fn passed_of(rates: &[&Rates], calls: usize) -> usize {
    let mut passed = 0;
    for _ in 0..calls {
        for rates in rates {
            passed += usize::from(passes(rates).await);
        }
    }
    passed
}

async fn until_away(rates: &Rates, is_away: bool) {
    for _ in 0..3000 {
        if rates.is_redis_away() == Some(is_away) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("Redis is still {}", if is_away { "there" } else { "away" });
}

#[tokio::test]
async fn replicas_share_one_quota_and_count_alone_while_redis_is_away() {
    let redis = Redis::start(free_port(), &[]);
    let port = redis.port;
    let (one, two) = (rates(port, 20, None), rates(port, 20, None));
    assert_eq!(passed_of(&[&one, &two], 30).await, 20);
    let left = one
        .take_address(ADDRESS.parse().unwrap())
        .await
        .unwrap_err();
    assert!(
        left.wait > Duration::ZERO && left.wait <= Duration::from_secs(180),
        "{left:?}"
    );
    until_away(&one, false).await;

    drop(redis);
    let started = Instant::now();
    // Each has the whole quota in its own process, and no more.
    assert_eq!(passed_of(&[&one], 100).await, 20);
    assert_eq!(passed_of(&[&two], 100).await, 20);
    assert!(
        started.elapsed() < Duration::from_secs(60),
        "{:?}",
        started.elapsed()
    );
    until_away(&one, true).await;

    let _redis = Redis::start(port, &[]);
    until_away(&one, false).await;
    until_away(&two, false).await;
    assert_eq!(passed_of(&[&one, &two], 30).await, 20);
}

#[tokio::test]
async fn calls_at_once_go_out_together_and_are_counted_each() {
    let redis = Redis::start(free_port(), &[]);
    let rates = std::sync::Arc::new(rates(redis.port, 300, None));
    // So that no call is the first to connect.
    assert!(passes(&rates).await);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..500 {
        let rates = std::sync::Arc::clone(&rates);
        calls.spawn(async move { passes(&rates).await });
    }
    let passed = calls
        .join_all()
        .await
        .into_iter()
        .filter(|passed| *passed)
        .count();
    assert_eq!(passed, 299);
}

#[tokio::test]
async fn the_password_is_sent_and_a_wrong_one_is_like_no_redis() {
    let redis = Redis::start(free_port(), &["--requirepass", "secret"]);
    let right = rates(redis.port, 5, Some("secret"));
    assert_eq!(passed_of(&[&right], 10).await, 5);
    until_away(&right, false).await;
    for wrong in [Some("other"), None] {
        let wrong = rates(redis.port, 5, wrong);
        assert_eq!(passed_of(&[&wrong], 10).await, 5);
        until_away(&wrong, true).await;
    }
}

#[tokio::test]
async fn a_silent_redis_holds_a_call_so_long_and_no_longer() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let rates = rates(silent.local_addr().unwrap().port(), 5, None);
    // One waits its time, and all behind it not at all: else this would take ten times as long.
    let started = Instant::now();
    assert_eq!(passed_of(&[&rates], 10).await, 5);
    assert!(
        started.elapsed() < Duration::from_secs(60),
        "{:?}",
        started.elapsed()
    );
    until_away(&rates, true).await;
}
