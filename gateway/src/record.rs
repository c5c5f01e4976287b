//! What is written to the audit log around a call.
//!
//! The decision is a leaf before any byte of the answer leaves; the outcome follows and completes
//! it. Requests that are refused before authentication carry no governed byte: they are recorded
//! without waiting, and above a rate only counted.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use dataos_model::{
    action::Action,
    decision::{Decision, Effect, Request},
    entity::EntityUid,
    principal::Authentication,
    record::{Entry, EntryKind, TRACE_ID},
    seams::Record,
};
use dataos_pdp::Divergence;

use crate::{
    limits::{Head, Peer, new_request_id},
    recording::Level,
    respond::Answer,
    serve::Call,
};

/// Refusals recorded one by one in each second; more are counted in a gap entry.
const REFUSALS_PER_SECOND_MAX: u32 = 50;
/// How often a gap is written while refusals are being counted.
const GAP_EVERY: Duration = Duration::from_secs(1);
/// Longest path in a record; the digest commits to the whole.
const PATH_CHARACTERS_MAX: usize = 512;

/// The word for a way of authentication.
pub(crate) fn authentication_name(authentication: Authentication) -> &'static str {
    match authentication {
        Authentication::Anonymous => "anonymous",
        Authentication::Session => "session",
        Authentication::Password => "password",
        Authentication::ApiKey => "api_key",
        Authentication::Token => "token",
        Authentication::Certificate => "certificate",
        Authentication::Internal => "internal",
    }
}

/// The entry of a decision about a call.
pub(crate) fn decision(call: &Call, request: &Request, decision: &Decision, level: Level) -> Entry {
    if level == Level::None {
        let (principal, resource) = (&request.principal.uid, &request.resource);
        let mut entry = Entry::decided(&call.request_id, principal, resource, decision);
        entry.action = request.action.name().to_owned();
        entry.request_digest = call.digest;
        return entry;
    }
    let mut entry = Entry::decision(&call.request_id, request, decision);
    with_caller_facts(&mut entry, call);
    entry
}

/// The entry of a call that its own credential does not reach; no policy was asked.
pub(crate) fn refused_scope(
    call: &Call,
    action: Action,
    resource: &EntityUid,
    reason: &str,
) -> Entry {
    let mut entry = Entry::new(EntryKind::Decision, &call.request_id);
    entry.effect = Some(Effect::Deny);
    entry.action = action.name().to_owned();
    entry.principal = call.principal.uid.text();
    entry.resource = resource.to_string();
    entry.reason = reason.to_owned();
    with_caller_facts(&mut entry, call);
    entry
}

fn with_caller_facts(entry: &mut Entry, call: &Call) {
    entry.request_digest = call.digest;
    with_call_facts(entry, &call.head, &call.peer);
    let principal = &call.principal;
    let facts = &mut entry.facts;
    let way = authentication_name(principal.authentication);
    facts.insert("authentication".to_owned(), way.to_owned());
    facts.insert("issuer".to_owned(), principal.issuer.clone());
    if let Some(id) = &principal.credential_id {
        facts.insert("credential".to_owned(), id.clone());
    }
}

/// The entry of a log-in, which no policy decides; what it was by, or why not.
pub(crate) fn log_in(
    request_id: &str,
    user: &EntityUid,
    outcome: Result<&str, &str>,
    head: &Head,
    peer: &Peer,
) -> Entry {
    let mut entry = Entry::new(EntryKind::Decision, request_id);
    entry.effect = Some(if outcome.is_ok() {
        Effect::Allow
    } else {
        Effect::Deny
    });
    entry.action = "log_in".to_owned();
    entry.principal = user.to_string();
    entry.resource = head.path.text().to_owned();
    let (Ok(reason) | Err(reason)) = outcome;
    entry.reason = reason.to_owned();
    // Never over body or query: they hold passwords, codes and tokens.
    entry.request_digest = head.digest_of_place();
    with_call_facts(&mut entry, head, peer);
    entry
}

fn with_call_facts(entry: &mut Entry, head: &Head, peer: &Peer) {
    let path = head.path.text();
    // Most are short; the end of so many characters need not be looked for.
    let path = match path.len() {
        ..=PATH_CHARACTERS_MAX => path.to_owned(),
        _ => path.chars().take(PATH_CHARACTERS_MAX).collect(),
    };
    let facts = &mut entry.facts;
    facts.insert("method".to_owned(), head.verb.name().to_owned());
    facts.insert("path".to_owned(), path);
    facts.insert("peer".to_owned(), peer.network.clone());
    with_trace(entry, head);
}

fn with_trace(entry: &mut Entry, head: &Head) {
    if let Some(id) = head.trace_id() {
        entry.facts.insert(TRACE_ID.to_owned(), id.to_owned());
    }
}

/// The entry of how an allowed call ended.
pub(crate) fn outcome(
    call: &Call,
    action: Action,
    completes: u64,
    answer: &Answer,
    took: Duration,
) -> Entry {
    let mut entry = Entry::new(EntryKind::Outcome, &call.request_id);
    entry.action = action.name().to_owned();
    entry.principal = call.principal.uid.text();
    entry.completes = Some(completes);
    add_outcome(&mut entry, answer, took);
    with_trace(&mut entry, &call.head);
    entry
}

/// Adds how a call ended: to an entry of its own, or to that of its decision.
pub(crate) fn add_outcome(entry: &mut Entry, answer: &Answer, took: Duration) {
    let facts = [
        ("status", answer.status.as_u16().to_string()),
        ("bytes", answer.body.len_bytes().to_string()),
        ("latency_us", took.as_micros().to_string()),
    ];
    for (name, value) in facts.into_iter().chain(answer.facts.iter().cloned()) {
        entry.facts.insert(name.to_owned(), value);
    }
}

/// The entry of a live decision that stock Cedar, asked again, decided otherwise.
pub(crate) fn diverged(divergence: &Divergence) -> Entry {
    let mut entry = Entry::new(EntryKind::Config, new_request_id())
        .with_fact("ours", divergence.ours.effect)
        .with_fact("stock", divergence.stock.effect)
        .with_fact("asked_action", divergence.request.action)
        .with_fact("asked_principal", &divergence.request.principal.uid);
    entry.action = "decision_diverged".to_owned();
    entry.resource = divergence.request.resource.to_string();
    entry.policy_set = divergence.stock.policy_set;
    entry
}

/// Records refusals that nobody waits for.
#[derive(Debug)]
pub(crate) struct Refusals {
    record: Arc<dyn Record>,
    /// Start of the running second and refusals recorded in it.
    window: Mutex<(Instant, u32)>,
    uncounted: AtomicU64,
}

impl Refusals {
    pub(crate) fn new(record: Arc<dyn Record>) -> Self {
        Self {
            record,
            window: Mutex::new((Instant::now(), 0)),
            uncounted: AtomicU64::new(0),
        }
    }

    /// Records one refusal, or counts it for the next gap entry.
    pub(crate) fn note(&self, request_id: &str, reason: &str, head: Option<&Head>, peer: &Peer) {
        let mut entry = Entry::new(EntryKind::Decision, request_id);
        entry.effect = Some(Effect::Deny);
        entry.action = "refused_pre_auth".to_owned();
        entry.reason = reason.to_owned();
        match head {
            Some(head) => {
                entry.request_digest = head.digest(b"");
                with_call_facts(&mut entry, head, peer);
            }
            None => {
                let network = peer.network.clone();
                entry.facts.insert("peer".to_owned(), network);
            }
        }
        self.append_or_count(entry);
    }

    /// Queues the entry of a refusal, or counts it for the next gap entry.
    pub(crate) fn append_or_count(&self, entry: Entry) {
        if self.is_within_rate() {
            // The entry is queued by this call; nobody waits for it to be durable.
            self.record.append_behind(entry);
        } else {
            self.uncounted.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes the count of refusals that were not recorded, if there are any.
    pub(crate) fn write_gap(&self) {
        let count = self.uncounted.swap(0, Ordering::Relaxed);
        if count > 0 {
            let entry =
                Entry::new(EntryKind::Gap, new_request_id()).with_fact("refused_pre_auth", count);
            self.record.append_behind(entry);
        }
    }

    /// Writes gaps for as long as the process runs.
    pub(crate) async fn keep_writing(self: Arc<Self>) {
        let mut tick = tokio::time::interval(GAP_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.write_gap();
        }
    }

    fn is_within_rate(&self) -> bool {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.0.elapsed() >= Duration::from_secs(1) {
            *window = (Instant::now(), 0);
        }
        window.1 += 1;
        window.1 <= REFUSALS_PER_SECOND_MAX
    }
}
