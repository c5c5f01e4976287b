//! The log followed as it grows: server-sent events, each with the index of its entry as id.
//!
//! What a client has not read yet is kept in the log and nowhere else: a stream knows where it stands, and reads
//! on when there is room. Before anything of the log is sent, its reader is authenticated and decided on again.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use dataos_model::{
    action::Action,
    decision::Decision,
    fault::Fault,
    hash::Hash,
    record::{PAGE_ENTRIES_MAX, RecordQuery},
};
use futures::stream;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;
use tokio::time::Instant;

use super::{query, wrong};
use crate::{
    accounts::Scopes,
    authenticate::AuthenticationFault,
    decide,
    handlers::{bounded, wire},
    load::streams::OpenStream,
    record,
    recording::Level,
    respond::{
        self, Answer, AnswerBody,
        events::{EVENT_STREAM, EventPart, EventText, Events, WindUp},
    },
    serve::{Call, Gateway, OUT_OF_SCOPE},
};

/// How often it is looked whether there is something new, and whether the reader may still have it: events
/// come a few times a second, and who may not read on is told well within one.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Longest silence; where a client must take something of its answer more often, a third of that time.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// After which time a client whose stream ended comes back.
const RETRY_MS: u64 = 1000;
/// Most entries that are read, and sent, at once.
const ENTRIES_AT_ONCE: u64 = 256;
/// Most entries that are looked at at once where few match.
const WINDOW_ENTRIES_MAX: u64 = 1 << 16;
/// A client that is so many entries behind is told so.
const LAGGED_ENTRIES: u64 = 10_000;
/// nginx and others like it are not to collect what is sent.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

pub(crate) async fn follow(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let place = match gateway.streams.enter(&call.principal.uid) {
        Ok(place) => place,
        Err(refusal) => {
            gateway.figures.note_refused(refusal.reason);
            let soon = HeaderValue::from_static("1");
            let answer = respond::refusal(&refusal, &call.request_id);
            return Ok(answer.with_header(header::RETRY_AFTER, soon));
        }
    };
    let query = query(&call)?;
    let (first, next) = beginning(&gateway, &call, &query).await?;
    let wind_up = WindUp::default();
    let follower = Follower {
        basis: None,
        first: Some(first),
        query,
        next,
        window: ENTRIES_AT_ONCE,
        silence_max: SILENCE_MAX.min(gateway.limits.send_timeout / 3),
        sent_at: Instant::now(),
        is_lagging: false,
        wind_up: wind_up.clone(),
        gateway,
        call,
        _place: place,
    };
    let parts = stream::unfold(Some(Box::new(follower)), async |follower| {
        let mut follower = follower?;
        match follower.part().await {
            Ok(text) => Some((EventPart::Events(text), Some(follower))),
            Err(ended) => Some((ended.part(), None)),
        }
    });
    let mut answer = Answer::bytes(StatusCode::OK, EVENT_STREAM, Bytes::new())
        .with_header(ACCEL_BUFFERING, HeaderValue::from_static("no"))
        .with_fact("from_index", next);
    answer.body = AnswerBody::of_events(Events::new(parts, wind_up));
    Ok(answer)
}

/// What is sent first, and the entry at which to go on. Where a client comes back, that is behind the last
/// that it saw; else behind the newest one now, before which it may have some.
async fn beginning(
    gateway: &Gateway,
    call: &Call,
    query: &RecordQuery,
) -> Result<(EventText, u64), Fault> {
    let size = gateway.seams.records.status().size;
    let mut text = EventText::default();
    text.retry(RETRY_MS);
    let asked = call.head.query.get("after").map(|after| ("after", after));
    let last_seen = call.head.last_event_id.as_deref();
    let place = last_seen.map(|id| ("Last-Event-ID", id)).or(asked);
    let next = match place {
        Some((name, index)) => {
            let index: u64 = index.parse().map_err(|_| wrong(name, "an index"))?;
            if index >= size {
                let what = format!("an entry of this log, which has {size}");
                return Err(wrong(name, &what).with_hint("begin without it"));
            }
            index + 1
        }
        None => size,
    };
    if place.is_none() && call.head.query.get("newest").is_some() {
        let page = RecordQuery {
            before: Some(size),
            limit: bounded(call, "newest", 1, PAGE_ENTRIES_MAX)?,
            ..query.clone()
        };
        let page = gateway.seams.records.search(&page).await?;
        for stored in page.entries.iter().rev() {
            text.event("entry", Some(stored.index), &wire::audit_entry(stored));
        }
    }
    text.place(next.checked_sub(1));
    Ok((text, next))
}

/// Where a stream stands.
struct Follower {
    gateway: Arc<Gateway>,
    call: Arc<Call>,
    query: RecordQuery,
    /// What is still to be sent before all else.
    first: Option<EventText>,
    /// The first entry that was not looked at.
    next: u64,
    /// How many are looked at at once.
    window: u64,
    /// What the decision rests on by which its reader reads.
    basis: Option<Basis>,
    silence_max: Duration,
    sent_at: Instant,
    is_lagging: bool,
    wind_up: WindUp,
    _place: OpenStream,
}

/// What a decision rests on: with the same, there is nothing new to record.
#[derive(PartialEq, Eq)]
struct Basis {
    policy_set: Hash,
    policies: Vec<String>,
}

impl Basis {
    fn of(decision: &Decision) -> Self {
        let policies = decision.policies.iter();
        Self {
            policy_set: decision.policy_set,
            policies: policies.map(|policy| policy.id.clone()).collect(),
        }
    }
}

/// Why a stream ends.
enum Ended {
    /// The connection is to end: the client comes back and goes on where it was.
    Stopping,
    /// The credential does not count any more, by this reason code.
    Credential(&'static str),
    /// Its scopes do not reach this any more.
    OutOfScope,
    /// By a policy.
    Denied(Fault),
    /// The credential cannot be checked, a new decision not recorded, or the log not read.
    Failed(Fault),
}

impl Ended {
    fn part(self) -> EventPart {
        let (reason, detail) = match self {
            Self::Stopping => ("stopping", "come back: the server goes on".to_owned()),
            Self::Credential(code) => {
                tracing::debug!(code, "a stream ends with its credential");
                let detail = "the credential is not valid any more";
                ("credential", detail.to_owned())
            }
            Self::OutOfScope => (
                OUT_OF_SCOPE,
                "the key does not reach this any more".to_owned(),
            ),
            Self::Denied(fault) => ("denied", fault.message),
            Self::Failed(fault) => {
                tracing::error!(%fault, "a stream of the log ends");
                (
                    respond::problem_kind(fault.kind).0,
                    "come back later".to_owned(),
                )
            }
        };
        let mut text = EventText::default();
        text.event("end", None, &json!({"reason": reason, "detail": detail}));
        EventPart::End(text, reason)
    }
}

impl Follower {
    /// What is sent next.
    async fn part(&mut self) -> Result<EventText, Ended> {
        loop {
            if self.wind_up.is_said() {
                return Err(Ended::Stopping);
            }
            self.check().await?;
            let size = self.gateway.seams.records.status().size;
            let text = match self.first.take() {
                Some(first) => first,
                None => self.newer(size).await.map_err(Ended::Failed)?,
            };
            if !text.is_empty() {
                self.sent_at = Instant::now();
                return Ok(text);
            }
            if self.next >= size {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }

    /// Whether the reader may go on.
    async fn check(&mut self) -> Result<(), Ended> {
        let (gateway, call) = (&self.gateway, &self.call);
        let caller = gateway.authenticator.still(&call.head, &call.peer).await;
        let caller = caller.map_err(|fault| match fault {
            AuthenticationFault::Unavailable(_) => Ended::Failed(Fault::unavailable(
                "the issuer of a credential cannot be asked",
            )),
            fault => Ended::Credential(fault.code()),
        })?;
        if caller.principal.uid != call.principal.uid {
            return Err(Ended::Credential("principal_changed"));
        }
        let (verb, path) = (call.head.verb, call.head.path.text());
        let allow = |scopes: &Scopes| scopes.allow(Action::SearchAudit, verb, path);
        if !caller.scopes.as_deref().is_none_or(allow) {
            return Err(Ended::OutOfScope);
        }
        let log = decide::audit_log();
        let request = decide::request(&caller.principal, Action::SearchAudit, log, &call.context);
        let decision = decide::ask(&gateway.seams.decide, &request).await;
        let basis = Basis::of(&decision);
        let is_known = self.basis.as_ref().is_none_or(|known| *known == basis);
        if !(is_known && decision.is_allowed()) {
            let level = Level::of_decision(&decision);
            let entry = record::decision(call, &request, &decision, level);
            let recorded = gateway.append(entry, &call.request_id).await;
            recorded.map_err(Ended::Failed)?;
        }
        if !decision.is_allowed() {
            return Err(Ended::Denied(decide::denial(&decision)));
        }
        self.basis = Some(basis);
        Ok(())
    }

    /// The entries that match among the next ones; else, after a silence, where the stream stands.
    async fn newer(&mut self, size: u64) -> Result<EventText, Fault> {
        let mut text = EventText::default();
        if self.next < size {
            let end = size.min(self.next.saturating_add(self.window));
            let query = RecordQuery {
                after: self.next.checked_sub(1),
                before: Some(end),
                limit: ENTRIES_AT_ONCE as usize,
                ..self.query.clone()
            };
            let page = self.gateway.seams.records.search(&query).await?;
            if page.next_before.is_some() {
                // The oldest are missing.
                self.window = (self.window / 2).max(1);
                return Ok(text);
            }
            for stored in page.entries.iter().rev() {
                text.event("entry", Some(stored.index), &wire::audit_entry(stored));
            }
            self.next = end;
            let are_few = page.entries.len() < ENTRIES_AT_ONCE as usize / 4;
            if are_few {
                self.window = (self.window * 2).min(WINDOW_ENTRIES_MAX);
            }
            let behind = size - end;
            if behind > LAGGED_ENTRIES && !self.is_lagging {
                text.event("lagged", None, &json!({"behind": behind}));
            }
            self.is_lagging = behind > 0 && (self.is_lagging || behind > LAGGED_ENTRIES);
        }
        if text.is_empty() && self.sent_at.elapsed() >= self.silence_max {
            text.place(self.next.checked_sub(1));
        }
        Ok(text)
    }
}
