//! Callers of all replicas, counted in Redis by one script.
//!
//! One connection, and one task that owns it: calls that come together go out together. Redis is
//! never waited for longer than [`WAIT`], and for [`PAUSE`] after a failure not at all; who asks
//! meanwhile hears nothing and counts for itself.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dataos_model::{hash::Hash, secret::Secret};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    RedisConfig, Scope,
    gcra::{Quota, Verdict},
};

/// Longest wait for an answer, and for a connection; in tests, which may run on a busy machine, one that tells a
/// Redis that is away from one that is slow.
const WAIT: Duration = Duration::from_millis(if cfg!(test) { 10_000 } else { 200 });
/// How long Redis is left alone after a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// Most calls that wait to be sent.
const QUEUE_MAX: usize = 1024;
/// Most calls that go out together.
const BATCH_MAX: usize = 64;
/// Longest line of an answer.
const LINE_BYTES_MAX: u64 = 1024;

/// The algorithm of `gcra`, by the clock of Redis, so that replicas need not agree on the time.
const SCRIPT: &str = "\
local t = redis.call('TIME') \
local now = t[1] * 1000000 + t[2] \
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + ARGV[1] \
local wait = full - now - ARGV[2] \
if wait > 0 then return {0, wait} end \
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000) + 1) \
return {1, full - now}";

/// One call to be counted.
#[derive(Debug)]
struct Asked {
    key: String,
    quota: Quota,
    answer: oneshot::Sender<Verdict>,
}

/// Counts in Redis.
#[derive(Debug)]
pub(super) struct Shared {
    queue: mpsc::Sender<Asked>,
    /// Whether the last batch failed.
    is_away: Arc<AtomicBool>,
}

impl Shared {
    /// Starts the task; it ends with this.
    pub(super) fn start(config: RedisConfig) -> Self {
        let (queue, asked) = mpsc::channel(QUEUE_MAX);
        let is_away = Arc::new(AtomicBool::new(false));
        tokio::spawn(work(config, asked, Arc::clone(&is_away)));
        Self { queue, is_away }
    }

    /// Counts a call of the caller `key`; nothing if Redis does not answer in time.
    pub(super) async fn take(&self, scope: Scope, quota: Quota, key: &str) -> Option<Verdict> {
        if self.is_away() {
            return None;
        }
        let (answer, answered) = oneshot::channel();
        // Names of callers are nobody's business in Redis.
        let key = format!("dataos:rate:{}:{}", scope.name(), Hash::of(key));
        let asked = Asked { key, quota, answer };
        self.queue.try_send(asked).ok()?;
        timeout(WAIT, answered).await.ok()?.ok()
    }

    pub(super) fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
    }
}

async fn work(config: RedisConfig, mut queue: mpsc::Receiver<Asked>, is_away: Arc<AtomicBool>) {
    let mut connection = None;
    let mut batch = Vec::new();
    loop {
        // Whoever asks while Redis is away is not queued, so see by ourselves when it is back.
        if is_away.load(Ordering::Relaxed) {
            tokio::time::sleep(PAUSE).await;
            if queue.is_closed() {
                return;
            }
        } else if queue.recv_many(&mut batch, BATCH_MAX).await == 0 {
            return;
        }
        let done = timeout(WAIT, exchange(&config, &mut connection, &batch)).await;
        let done = done.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let was_away = is_away.swap(done.is_err(), Ordering::Relaxed);
        match done {
            Ok(verdicts) => {
                if was_away {
                    tracing::info!("Redis is back: quotas are shared again");
                }
                for (asked, verdict) in batch.drain(..).zip(verdicts) {
                    // Who asked may have given up.
                    let _ = asked.answer.send(verdict);
                }
            }
            Err(error) => {
                if !was_away {
                    tracing::warn!(address = config.address, %error, "Redis is away: this process counts quotas by itself");
                }
                // An answer that is still to come would be taken for that of another call.
                connection = None;
                batch.clear();
            }
        }
    }
}

type Connection = BufReader<TcpStream>;

/// Sends a batch and reads its answers; connects first where there is no connection.
async fn exchange(
    config: &RedisConfig,
    slot: &mut Option<Connection>,
    batch: &[Asked],
) -> io::Result<Vec<Verdict>> {
    let mut connection = match slot.take() {
        Some(connection) => connection,
        None => connect(config).await?,
    };
    let mut bytes = Vec::new();
    for asked in batch {
        let interval_us = asked.quota.interval_us().to_string();
        let window_us = asked.quota.window().as_micros().to_string();
        command(
            &mut bytes,
            &["EVAL", SCRIPT, "1", &asked.key, &interval_us, &window_us],
        );
    }
    connection.write_all(&bytes).await?;
    let mut verdicts = Vec::with_capacity(batch.len());
    for asked in batch {
        let (passed, us) = pair(&mut connection).await?;
        verdicts.push(asked.quota.verdict(passed == 1, us));
    }
    *slot = Some(connection);
    Ok(verdicts)
}

async fn connect(config: &RedisConfig) -> io::Result<Connection> {
    let stream = TcpStream::connect(&config.address).await?;
    stream.set_nodelay(true)?;
    let mut connection = BufReader::new(stream);
    let mut bytes = Vec::new();
    if let Some(password) = config.password.as_ref().and_then(text_of) {
        command(&mut bytes, &["AUTH", password]);
    } else {
        command(&mut bytes, &["PING"]);
    }
    connection.write_all(&bytes).await?;
    match line(&mut connection).await?.as_str() {
        "+OK" | "+PONG" => Ok(connection),
        told => Err(io::Error::other(format!("Redis says {told}"))),
    }
}

fn text_of(password: &Secret) -> Option<&str> {
    std::str::from_utf8(password.expose()).ok()
}

/// Appends a command in the protocol's form.
fn command(bytes: &mut Vec<u8>, words: &[&str]) {
    bytes.extend(format!("*{}\r\n", words.len()).into_bytes());
    for word in words {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
    }
}

/// An answer of two numbers.
async fn pair(connection: &mut Connection) -> io::Result<(u64, u64)> {
    let told = line(connection).await?;
    if told != "*2" {
        return Err(io::Error::other(format!("Redis says {told}")));
    }
    let mut number = async || {
        let told = line(connection).await?;
        let number = told.strip_prefix(':').and_then(|text| text.parse().ok());
        number.ok_or_else(|| io::Error::other(format!("Redis says {told}")))
    };
    Ok((number().await?, number().await?))
}

async fn line(connection: &mut Connection) -> io::Result<String> {
    let mut text = String::new();
    let read = connection.take(LINE_BYTES_MAX).read_line(&mut text).await?;
    match text.strip_suffix("\r\n") {
        Some(line) => Ok(line.to_owned()),
        None if read == 0 => Err(io::ErrorKind::UnexpectedEof.into()),
        None => Err(io::Error::other("an answer of Redis is malformed")),
    }
}

#[cfg(test)]
mod tests;
