//! Callers that ask without a pause while something happens to the platform, and what the log says of them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use dataos_model::hash::Hash;
use dataos_proof::{entry::EntryRef, receipt};
use dataos_tests::server::Server;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until something holds.
pub(crate) fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How a caller speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    /// HTTP/2 with a key.
    Http2,
    /// HTTP/1.1 with a key, over connections that are kept.
    Http1,
    /// HTTP/2 with a client certificate.
    Certificate,
}

/// What callers hold.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// PEM of the CAs that they trust.
    pub(crate) trusted: Vec<u8>,
    pub(crate) key: String,
    /// Certificate and key in PEM, if any caller speaks by one.
    pub(crate) identity: Vec<u8>,
}

/// Callers, each over connections of its own.
pub(crate) struct Load {
    runtime: tokio::runtime::Runtime,
    shared: Arc<Shared>,
    callers: Vec<tokio::task::JoinHandle<Answered>>,
}

/// The policy set that each call was decided under, by the request's id, as its receipt says.
pub(crate) type Answered = BTreeMap<String, String>;

struct Shared {
    url: String,
    held: Mutex<Held>,
    /// How often that changed.
    changes: AtomicUsize,
    ends: AtomicBool,
    answered: AtomicUsize,
}

impl Shared {
    fn held(&self) -> (usize, Held) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        (self.changes.load(Ordering::Acquire), held.clone())
    }
}

impl Load {
    /// Starts callers with what they hold.
    pub(crate) fn start(server: &Server, held: Held, speeches: &[Speech]) -> Self {
        // Another test may have chosen already; all choose the same.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let shared = Arc::new(Shared {
            url: format!("{}/api/v1/session", server.url),
            held: Mutex::new(held),
            changes: AtomicUsize::new(0),
            ends: AtomicBool::new(false),
            answered: AtomicUsize::new(0),
        });
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let caller = |(number, speech): (usize, &Speech)| {
            runtime.spawn(call(number, *speech, Arc::clone(&shared)))
        };
        let callers = speeches.iter().enumerate().map(caller).collect();
        Self {
            runtime,
            shared,
            callers,
        }
    }

    /// Gives callers something else to hold; each takes it up with its next call, over new connections.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Held)) {
        let mut held = self.shared.held.lock().unwrap();
        change(&mut held);
        self.shared.changes.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn answered(&self) -> usize {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Waits until so many calls more were answered.
    pub(crate) fn goes_on(&self, calls: usize) {
        let before = self.answered();
        until("calls go on", || {
            let has_ended = self
                .callers
                .iter()
                .any(tokio::task::JoinHandle::is_finished);
            assert!(!has_ended, "a call failed; see above");
            self.answered() >= before + calls
        });
    }

    /// Ends all callers. Each of their calls was answered.
    pub(crate) fn end(self) -> Answered {
        self.shared.ends.store(true, Ordering::Relaxed);
        let callers = self.callers.into_iter();
        callers
            .flat_map(|caller| self.runtime.block_on(caller).unwrap())
            .collect()
    }
}

fn client(speech: Speech, held: &Held) -> reqwest::Client {
    let trusted = reqwest::Certificate::from_pem_bundle(&held.trusted).unwrap();
    let builder = reqwest::Client::builder()
        .tls_certs_only(trusted)
        .timeout(Duration::from_secs(60));
    let builder = match speech {
        Speech::Http2 => builder,
        Speech::Http1 => builder.http1_only(),
        Speech::Certificate => {
            builder.identity(reqwest::Identity::from_pem(&held.identity).unwrap())
        }
    };
    builder.build().unwrap()
}

/// Asks who it is until told to end.
async fn call(number: usize, speech: Speech, shared: Arc<Shared>) -> Answered {
    let mut answered = BTreeMap::new();
    let (mut seen, mut held) = shared.held();
    let mut http = client(speech, &held);
    while !shared.ends.load(Ordering::Relaxed) {
        if shared.changes.load(Ordering::Acquire) != seen {
            (seen, held) = shared.held();
            http = client(speech, &held);
        }
        let id = format!("load-{number}-{}", answered.len());
        let mut request = http.get(&shared.url).header("x-request-id", &id);
        if speech != Speech::Certificate {
            request = request.bearer_auth(&held.key);
        }
        let answer = request.send().await;
        assert!(answer.is_ok(), "{speech:?} {id}: {answer:?}");
        let answer = answer.unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{speech:?} {id}");
        let policy_set = decided_under(&id, answer.headers());
        let body = answer.bytes().await;
        assert!(body.is_ok(), "{speech:?} {id}: {body:?}");
        answered.insert(id, policy_set);
        shared.answered.fetch_add(1, Ordering::Relaxed);
    }
    answered
}

/// The policy set in the receipt of this very call.
fn decided_under(id: &str, headers: &http::HeaderMap) -> String {
    let receipt = headers
        .get("dataos-receipt")
        .and_then(|value| value.to_str().ok());
    let receipt = receipt::decode(receipt.unwrap_or_default());
    let entry = receipt.map(|receipt| {
        EntryRef::decode(&receipt.entry).map(|entry| {
            (
                entry.request_id.to_owned(),
                Hash(*entry.policy_set).to_string(),
            )
        })
    });
    assert!(
        matches!(&entry, Ok(Ok((named, _))) if named == id),
        "{id}: {entry:?}"
    );
    entry.unwrap().unwrap().1
}

/// The policy set of each call in the log, by the request's id; no id has two.
pub(crate) fn recorded(server: &Server, key: &str) -> Answered {
    let (mut found, mut before) = (BTreeMap::new(), String::new());
    loop {
        let page = format!("/api/v1/audit/entries?limit=1000&kind=decision&action=call{before}");
        let (status, page) = server.get(key, &page).unwrap();
        assert_eq!(status, 200, "{page}");
        let entries = page["entries"].as_array().unwrap();
        for entry in entries {
            let text = |field: &str| entry[field].as_str().unwrap().to_owned();
            let other = found.insert(text("request_id"), text("policy_set"));
            let is_one = other.is_none_or(|other| other == entry["policy_set"]);
            assert!(is_one, "{entry:#}");
        }
        let Some(last) = entries.last() else {
            return found;
        };
        before = format!("&before={}", last["index"]);
    }
}
