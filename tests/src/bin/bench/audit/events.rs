//! Events like those of a gateway: decisions and their outcomes, a few principals and resources far
//! more often than most, unique digests and trace ids. Event `n` is always the same, so what a search
//! must find is known without keeping it.

use std::sync::atomic::{AtomicU64, Ordering};

use dataos_model::{
    clock::{Clock, Timestamp},
    decision::Effect,
    hash::Hash,
    record::{Entry, EntryKind},
};

/// When event 0 happened.
const START_MS: i64 = 1_790_000_000_000;

/// 100 million events are 30 days.
const EVENTS_A_DAY: u64 = 3_333_333;

pub(crate) const DAY_MS: i64 = 86_400_000;

/// Marks the call that stands in place of the outcome of a denied one.
const NEXT_CALL: u64 = 1 << 40;

/// What a number is drawn for, so that draws are independent.
#[derive(Clone, Copy)]
enum Draw {
    Principal,
    Resource,
    Denied,
    Action,
    Policy,
    PolicyNumber,
    Peer,
    Bytes,
    Rows,
    Latency,
    Request,
    Trace,
}

/// The time of the event that is appended next.
#[derive(Debug, Default)]
pub(crate) struct EventClock(AtomicU64);

impl EventClock {
    pub(crate) fn set(&self, event: u64) {
        self.0.store(event, Ordering::Relaxed);
    }
}

impl Clock for EventClock {
    fn now(&self) -> Timestamp {
        Timestamp(time_ms(self.0.load(Ordering::Relaxed)))
    }
}

fn time_ms(event: u64) -> i64 {
    let since = u128::from(event) * DAY_MS as u128 / u128::from(EVENTS_A_DAY);
    START_MS + since as i64
}

/// Start of one of the days that so many events fill, or of the only one.
pub(crate) fn day(events: u64, number: u64) -> i64 {
    let days = (events / EVENTS_A_DAY).max(1);
    START_MS + (number % days) as i64 * DAY_MS
}

/// A well mixed number.
pub(crate) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn draw(call: u64, what: Draw) -> u64 {
    mix(mix(call) ^ what as u64)
}

/// 0..n, where the number k comes about 1 / k as often as the first.
fn skewed(call: u64, what: Draw, n: u64) -> u64 {
    let uniform = (draw(call, what) >> 11) as f64 / (1_u64 << 53) as f64;
    ((n as f64).powf(uniform) - 1.0) as u64
}

/// Of a call, which is two events: the decision, then the outcome or, if it was denied, the next call.
pub(crate) fn request_id(call: u64) -> String {
    let random = u128::from(draw(call, Draw::Request)) << 64 | u128::from(mix(call));
    let version = 7 << 76 | 2 << 62;
    let time = time_ms((call & !NEXT_CALL) * 2) as u128;
    let id = time << 80 | (random >> 48 & !(0xf << 76 | 3 << 62)) | version;
    let hex = format!("{id:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32];
    parts
        .map(|part| hex.get(part).unwrap_or_default())
        .join("-")
}

pub(crate) fn trace_id(call: u64) -> String {
    let half = draw(call, Draw::Trace);
    format!("{half:016x}{:016x}", mix(half))
}

/// The id of a principal, the frequent ones first.
pub(crate) fn principal(number: u64) -> String {
    format!("user-{number:05}")
}

/// The id of a resource, the frequent ones first.
pub(crate) fn resource(number: u64) -> String {
    format!("lake:db{}/table_{number:04}", number % 20)
}

/// An event.
pub(crate) fn event(number: u64) -> Entry {
    let call = number / 2;
    let is_denied = |call| draw(call, Draw::Denied).is_multiple_of(20);
    match number % 2 {
        1 if is_denied(call) => decision(number, call | NEXT_CALL, true),
        1 => outcome(number, call),
        _ => decision(number, call, is_denied(call)),
    }
}

fn action(call: u64) -> String {
    let actions = ["select", "select", "select", "describe", "insert", "read"];
    let number = draw(call, Draw::Action) as usize % actions.len();
    actions.get(number).copied().unwrap_or_default().to_owned()
}

fn principal_of(call: u64) -> String {
    let number = skewed(call, Draw::Principal, 10_000);
    format!("DataOS::User::\"{}\"", principal(number))
}

fn decision(number: u64, call: u64, is_denied: bool) -> Entry {
    let team = draw(call, Draw::Policy) % 30;
    let policy = draw(call, Draw::PolicyNumber) % 4;
    let (net, host) = (skewed(call, Draw::Peer, 16), mix(call) % 200);
    let resource = resource(skewed(call, Draw::Resource, 5_000));
    let mut entry = Entry::new(EntryKind::Decision, request_id(call));
    entry.effect = Some(if is_denied {
        Effect::Deny
    } else {
        Effect::Allow
    });
    entry.action = action(call);
    entry.request_digest = Hash::of(number.to_be_bytes());
    entry.policy_set = Hash::of((number / 500_000).to_be_bytes());
    entry.entities = Hash::of((number / 20_000).to_be_bytes());
    entry.principal = principal_of(call);
    entry.resource = format!("DataOS::Dataset::\"{resource}\"");
    entry.reason = if is_denied { "no_permit" } else { "permitted" }.to_owned();
    entry.policies = vec![format!("policies/team-{team}.cedar#{policy}")];
    if call.is_multiple_of(4) {
        entry.obligations = vec!["row_filter(column = \"region\", value = \"eu\")".to_owned()];
    }
    entry
        .with_fact("method", "POST")
        .with_fact("path", "/api/v1/query")
        .with_fact("peer", format!("10.0.{net}.{host}"))
        .with_fact("authentication", "token")
        .with_fact("issuer", "https://idp.example/realms/main")
        .with_fact("trace_id", trace_id(call))
}

fn outcome(number: u64, call: u64) -> Entry {
    let mut entry = Entry::new(EntryKind::Outcome, request_id(call));
    entry.action = action(call);
    entry.principal = principal_of(call);
    entry.completes = Some(number - 1);
    entry
        .with_fact("status", 200)
        .with_fact("bytes", draw(call, Draw::Bytes) % 50_000)
        .with_fact("latency_us", 300 + draw(call, Draw::Latency) % 20_000)
        .with_fact("trace_id", trace_id(call))
        .with_fact("rows", draw(call, Draw::Rows) % 1000)
}
