//! Audit records: what is appended, what comes back, how the log is read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    asked,
    clock::Timestamp,
    decision::{Decision, Effect, Request},
    entity::EntityUid,
    hash::Hash,
};

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EntryKind {
    /// A decision of the PDP about a call, a query or a reconcile step.
    Decision,
    /// How an allowed call ended; linked to its decision.
    Outcome,
    /// The policy set changed.
    PolicyChange,
    /// A resource changed.
    ResourceChange,
    /// A user, group or API key changed.
    IdentityChange,
    /// Tags or lineage changed.
    MetadataChange,
    /// A signing key was made or retired.
    Key,
    /// Start, configuration.
    Config,
    /// Clean shutdown.
    Shutdown,
    /// Requests that were refused and not recorded one by one, with their count.
    Gap,
    /// What decisions are made from changed: see [`crate::state`].
    State,
}

impl EntryKind {
    /// All kinds; the position is the code in the binary form.
    pub const ALL: &[Self] = &[
        Self::Decision,
        Self::Outcome,
        Self::PolicyChange,
        Self::ResourceChange,
        Self::IdentityChange,
        Self::MetadataChange,
        Self::Key,
        Self::Config,
        Self::Shutdown,
        Self::Gap,
        Self::State,
    ];

    /// The word shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Decision => "decision",
            Self::Outcome => "outcome",
            Self::PolicyChange => "policy_change",
            Self::ResourceChange => "resource_change",
            Self::IdentityChange => "identity_change",
            Self::MetadataChange => "metadata_change",
            Self::Key => "key",
            Self::Config => "config",
            Self::Shutdown => "shutdown",
            Self::Gap => "gap",
            Self::State => "state",
        }
    }

    /// The kind that shows as `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

/// The fact that holds the question of a decision, as [`asked`] writes it.
pub const ASKED: &str = "asked";

/// The fact that holds the questions about the datasets that a statement reads, as
/// [`asked::write_access`] writes them: that of its caller, then on a line of its own that of each definer of
/// a view with whose rights something is read.
pub const ASKED_ACCESS: &str = "asked_access";

/// The fact that holds the questions about what a statement writes, each on a line of its own.
pub const ASKED_WRITE: &str = "asked_write";

/// The fact with the answers to both in short: those about the writing, then one for each dataset, with a
/// space between.
pub const ANSWERS: &str = "answers";

/// Behind the name of a fact whose value is the SHA-256 digest of what the log keeps beside its entries
/// ([`Records::content`](crate::seams::Records::content)), because the entry has no room for it.
pub const CONTENT_SUFFIX: &str = "@sha256";

/// Longest content that the log keeps beside an entry, in bytes.
pub const CONTENT_BYTES_MAX: usize = 16 << 20;

/// The fact that holds the id of the distributed trace that a call is part of.
pub const TRACE_ID: &str = "trace_id";

/// An entry to append. Header fields (kind, time, request id, effect, action, request digest, policy
/// set) are public in the tree; everything else is committed to by a salted digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is about.
    pub kind: EntryKind,
    /// Id of the request; the same in every entry of one call.
    pub request_id: String,
    /// Allow or deny, for decisions.
    pub effect: Option<Effect>,
    /// The action's name; empty where there is none.
    pub action: String,
    /// Digest of the canonical request.
    pub request_digest: Hash,
    /// Policy set that decided.
    pub policy_set: Hash,
    /// Entity snapshot that it looked at.
    pub entities: Hash,
    /// Who, as `User::"alice"` prints.
    pub principal: String,
    /// On what.
    pub resource: String,
    /// Reason code.
    pub reason: String,
    /// Determining policies by id.
    pub policies: Vec<String>,
    /// Obligations and masks, as annotations.
    pub obligations: Vec<String>,
    /// Index of the entry that this one completes (an outcome its decision).
    pub completes: Option<u64>,
    /// Everything else worth keeping, flat: `status`, `rows`, `bytes`, `latency_us`, `sql`, ...
    /// Never a secret, never a value of governed data.
    pub facts: BTreeMap<String, String>,
}

impl Entry {
    /// An entry of `kind` with nothing else known.
    pub fn new(kind: EntryKind, request_id: impl Into<String>) -> Self {
        Self {
            kind,
            request_id: request_id.into(),
            effect: None,
            action: String::new(),
            request_digest: Hash::default(),
            policy_set: Hash::default(),
            entities: Hash::default(),
            principal: String::new(),
            resource: String::new(),
            reason: String::new(),
            policies: Vec::new(),
            obligations: Vec::new(),
            completes: None,
            facts: BTreeMap::new(),
        }
    }

    /// The record of a decision, with the whole question, so that it can be decided again.
    pub fn decision(request_id: impl Into<String>, request: &Request, decision: &Decision) -> Self {
        let (principal, resource) = (&request.principal.uid, &request.resource);
        let mut entry = Self::decided(request_id, principal, resource, decision);
        entry.action = request.action.name().to_owned();
        entry.facts.insert(ASKED.to_owned(), asked::write(request));
        entry
    }

    /// The record of a decision on a question that never reached the PDP.
    pub fn decided(
        request_id: impl Into<String>,
        principal: &EntityUid,
        resource: &EntityUid,
        decision: &Decision,
    ) -> Self {
        Self {
            effect: Some(decision.effect),
            policy_set: decision.policy_set,
            entities: decision.entities,
            principal: principal.text(),
            resource: resource.text(),
            reason: decision.reason.code().to_owned(),
            policies: decision
                .policies
                .iter()
                .map(|policy| policy.id.clone())
                .collect(),
            obligations: decision
                .obligations
                .iter()
                .map(ToString::to_string)
                .collect(),
            ..Self::new(EntryKind::Decision, request_id)
        }
    }

    /// The facts whose values are kept beside the log: the name of each without its suffix, and its
    /// digest as it stands there.
    pub fn contents(&self) -> Vec<(String, String)> {
        let facts = self.facts.iter();
        let contents = facts.filter_map(|(name, digest)| {
            let name = name.strip_suffix(CONTENT_SUFFIX)?;
            Some((name.to_owned(), digest.clone()))
        });
        contents.collect()
    }

    /// The same with one more fact.
    #[must_use]
    pub fn with_fact(mut self, name: &str, value: impl ToString) -> Self {
        self.facts.insert(name.to_owned(), value.to_string());
        self
    }
}

/// Proof that an entry is durable: its position and the compact receipt that goes to the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Position in the log.
    pub index: u64,
    /// The text of `DataOS-Receipt`: verifies offline with the log's public key alone.
    pub text: String,
}

/// An entry as read back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEntry {
    /// Position in the log.
    pub index: u64,
    /// When it was appended.
    pub time: Timestamp,
    /// The entry.
    pub entry: Entry,
}

/// A search; all given conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordQuery {
    /// Only entries at or after this time.
    pub from: Option<Timestamp>,
    /// Only entries before this time.
    pub to: Option<Timestamp>,
    /// Principal: the whole text, or the id alone.
    pub principal: Option<String>,
    /// Action name.
    pub action: Option<String>,
    /// Resource: the whole text, or the id alone.
    pub resource: Option<String>,
    /// Effect.
    pub effect: Option<Effect>,
    /// Kind.
    pub kind: Option<EntryKind>,
    /// Id of a determining policy.
    pub policy: Option<String>,
    /// Request id.
    pub request_id: Option<String>,
    /// Trace id: the fact `trace_id`.
    pub trace: Option<String>,
    /// Case-insensitive text anywhere in the entry.
    pub text: Option<String>,
    /// Only entries with an index below this one: the cursor of the next page.
    pub before: Option<u64>,
    /// Only entries with an index above this one: where who follows the log stands.
    pub after: Option<u64>,
    /// Most entries to return; at most [`PAGE_ENTRIES_MAX`].
    pub limit: usize,
}

/// Most entries in one page.
pub const PAGE_ENTRIES_MAX: usize = 1000;

/// A page of entries, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordPage {
    /// The entries.
    pub entries: Vec<StoredEntry>,
    /// Cursor of the next page, if there may be more.
    pub next_before: Option<u64>,
}

/// Most bars in the histogram of a summary.
pub const SUMMARY_BARS_MAX: usize = 60;

/// Most texts that a summary names of each field.
pub const SUMMARY_TEXTS_MAX: usize = 20;

/// What the entries that match a query are, without the entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordSummary {
    /// Number of matching entries.
    pub total: u64,
    /// False if the bound on work was hit: then the figures cover the newest entries only, and each
    /// is at most as large as it would be.
    pub is_complete: bool,
    /// By kind, most frequent first.
    pub kinds: Vec<TextCount>,
    /// By effect.
    pub effects: Vec<TextCount>,
    /// By action.
    pub actions: Vec<TextCount>,
    /// By principal.
    pub principals: Vec<TextCount>,
    /// By resource.
    pub resources: Vec<TextCount>,
    /// By determining policy; an entry counts for each of its policies.
    pub policies: Vec<TextCount>,
    /// Matching entries over time: at most [`SUMMARY_BARS_MAX`] bars of equal width, oldest first.
    pub histogram: Vec<TimeBar>,
}

/// A text and in how many entries it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextCount {
    /// The text.
    pub text: String,
    /// Number of entries.
    pub count: u64,
}

/// A bar of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeBar {
    /// Where it begins; it ends where the next begins.
    pub from: Timestamp,
    /// Number of entries.
    pub count: u64,
}

/// Figures about the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogStatus {
    /// Number of entries.
    pub size: u64,
    /// How many of them are in sealed files.
    pub sealed: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Root of the tree.
    pub root: Hash,
    /// Time of the newest signed checkpoint.
    pub checkpoint_at: Timestamp,
    /// Name of the log in notes.
    pub origin: String,
    /// Public key in the form of a note verifier.
    pub verifier_key: String,
    /// Why the log does not take entries, if it does not.
    pub stopped: Option<String>,
    /// Why the log takes no new entries for now, if it does not; it goes on by itself.
    pub full: Option<String>,
}

impl LogStatus {
    /// Why new entries are refused now, if they are: then nothing that is governed is answered.
    pub fn refuses(&self) -> Option<&str> {
        self.stopped.as_deref().or(self.full.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        action::Action, decision::Reason, entity::EntityType, principal::Principal, value::Value,
    };

    #[test]
    fn a_question_is_kept_whole() {
        let decision = Decision {
            effect: Effect::Deny,
            reason: Reason::NoPermit,
            policies: Vec::new(),
            errors: Vec::new(),
            obligations: Vec::new(),
            policy_set: Hash::default(),
            entities: Hash::default(),
            detail: String::new(),
        };
        let path = EntityType::API_PATH.id("/");
        let mut request = Request::new(&Principal::anonymous(), Action::Call, path);
        let long = Value::from("x".repeat(100_000));
        request.context.insert("purpose".to_owned(), long);
        let entry = Entry::decision("r", &request, &decision);
        assert_eq!(entry.action, "call");
        assert_eq!(
            asked::read(&entry.facts[ASKED]).unwrap().context,
            request.context
        );
    }
}
