//! What was enforced: the certificate of an answer, and the records that commit to it.

use std::{collections::BTreeSet, sync::Arc};

use dataos_model::{
    access::CellOutcome,
    action::Action,
    decision::{Decision, Effect},
    entity::EntityUid,
    fault::{Fault, FaultKind},
    hash::Hash,
    predicate::Predicate,
    query::{Certificate, Dialect, Lent, QueryRequest, TableCertificate},
    record::{Entry, EntryKind},
};

use crate::{grant::Grant, questions::Questions, rights::Grants, shown::Shown};

/// Name of the embedded engine in certificates.
pub(crate) const ENGINE: &str = "embedded datafusion 55.2.0";
/// The fact with the users with whose rights something was read, or was not.
const DEFINERS: &str = "definers";
/// Longest text of one fact, in characters; the certificate has the whole.
const FACT_CHARACTERS_MAX: usize = 4_000;

/// The certificate of a statement of a dialect over these grants; `lent` is the digest of what is done with the rights of others.
pub(crate) fn certificate(
    dialect: Dialect,
    grants: &Grants,
    (governed_sql, lent): (&str, Hash),
    basis: Basis,
) -> Certificate {
    let tables = |grants: &[Arc<Shown>]| grants.iter().map(|grant| table(grant)).collect();
    let definers = grants.definers.iter();
    Certificate {
        policy_set: basis.policy_set,
        entities: basis.entities,
        statement: Hash::of(governed_sql),
        dialect,
        governed_sql: governed_sql.to_owned(),
        engine: ENGINE.to_owned(),
        tables: tables(&grants.caller),
        lent: Lent {
            statement: lent,
            tables: definers
                .map(|(user, grants)| (user.clone(), tables(grants)))
                .collect(),
        },
    }
}

fn table(grant: &Grant) -> TableCertificate {
    TableCertificate {
        dataset: grant.dataset.id.clone(),
        access: Arc::clone(&grant.access),
        definer: grant.definer().map(str::to_owned),
    }
}

/// The datasets as the resource of a record, each once.
pub(crate) fn resource(grants: &Grants) -> String {
    let mut addresses: Vec<String> = Vec::new();
    for grant in grants.all() {
        let address = grant.dataset.id.uid().to_string();
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses.join(", ")
}

/// Under which policies and entities a statement was decided.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Basis {
    pub(crate) policy_set: Hash,
    pub(crate) entities: Hash,
}

impl Basis {
    /// That of a decision.
    pub(crate) fn of(decision: &Decision) -> Self {
        Self {
            policy_set: decision.policy_set,
            entities: decision.entities,
        }
    }
}

/// The record of a statement that may run.
pub(crate) fn allowed(
    request: &QueryRequest,
    action: Action,
    resource: &str,
    certificate: &Certificate,
    grants: &Grants,
    (fingerprint, questions): (&str, &Questions),
) -> Entry {
    let mut entry = base(request);
    entry.effect = Some(Effect::Allow);
    entry.action = action.name().to_owned();
    entry.policy_set = certificate.policy_set;
    entry.entities = certificate.entities;
    entry.resource = resource.to_owned();
    entry.reason = "permitted".to_owned();
    entry.policies = grants
        .all()
        .flat_map(|grant| policies(grant))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    entry.obligations = grants.all().flat_map(|grant| obligations(grant)).collect();
    entry = entry
        .with_fact("sql", shortened(fingerprint))
        .with_fact("dialect", request.dialect.name())
        .with_fact("statement", certificate.statement)
        .with_fact("engine", &certificate.engine);
    for grant in &grants.caller {
        let rows = shortened(&grant.access.rows.to_string());
        entry = entry.with_fact(&format!("rows {}", grant.dataset.id), rows);
    }
    for (user, grants) in &grants.definers {
        for grant in grants {
            let rows = shortened(&grant.access.rows.to_string());
            entry = entry.with_fact(&format!("rows {} as {user}", grant.dataset.id), rows);
        }
    }
    if !grants.definers.is_empty() {
        let users: Vec<&str> = grants.definers.keys().map(String::as_str).collect();
        entry = entry
            .with_fact(DEFINERS, users.join(", "))
            .with_fact("lent_statement", certificate.lent.statement);
    }
    questions.put(&mut entry);
    entry
}

/// The record of a statement that may not run.
pub(crate) fn refused(request: &QueryRequest, refusal: &Refusal) -> Entry {
    let mut entry = base(request);
    entry.effect = Some(Effect::Deny);
    entry.action = refusal.action.name().to_owned();
    entry.reason = reason(&refusal.fault);
    if let Some((resource, decision)) = &refusal.decision {
        entry.resource = resource.to_string();
        entry.policy_set = decision.policy_set;
        entry.entities = decision.entities;
        entry.policies = decision
            .policies
            .iter()
            .map(|policy| policy.id.clone())
            .collect();
        let obligations = decision.obligations.iter();
        entry.obligations = obligations.map(ToString::to_string).collect();
        refusal.questions.put(&mut entry);
    }
    if let Some(Unlent { definer, cause }) = &refusal.unlent {
        entry = entry
            .with_fact(DEFINERS, definer)
            .with_fact("cause", shortened(cause));
    }
    // Parsing may have failed, so literals cannot be told from the rest: only the digest stays.
    entry
        .with_fact("sql_digest", Hash::of(&request.sql))
        .with_fact("dialect", request.dialect.name())
        .with_fact("status", "refused")
}

/// Why a statement does not run.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// What the caller hears.
    pub(crate) fault: Fault,
    /// What was about to be done.
    pub(crate) action: Action,
    /// The decision behind it, if the PDP was asked.
    pub(crate) decision: Option<(EntityUid, Box<Decision>)>,
    /// What the PDP was asked before.
    pub(crate) questions: Questions,
    /// Whose rights did not reach, if they are not the caller's. The caller does not hear of it.
    pub(crate) unlent: Option<Unlent>,
}

/// A definer whose rights do not reach what his view reads.
#[derive(Clone, Debug)]
pub(crate) struct Unlent {
    /// His user id.
    pub(crate) definer: String,
    /// Why.
    pub(crate) cause: String,
}

impl Unlent {
    /// With the fault that tells it.
    pub(crate) fn new(definer: &str, cause: Fault) -> Self {
        Self {
            definer: definer.to_owned(),
            cause: cause.message,
        }
    }
}

impl<T: Into<Fault>> From<T> for Refusal {
    fn from(fault: T) -> Self {
        Self {
            fault: fault.into(),
            action: Action::Query,
            decision: None,
            questions: Questions::default(),
            unlent: None,
        }
    }
}

/// The record of how a statement ended.
pub(crate) fn outcome(request: &QueryRequest, completes: Option<u64>, latency_us: u128) -> Entry {
    let mut entry = base(request);
    entry.kind = EntryKind::Outcome;
    entry.action = Action::Query.name().to_owned();
    entry.completes = completes;
    entry.with_fact("latency_us", latency_us)
}

fn base(request: &QueryRequest) -> Entry {
    let mut entry = Entry::new(EntryKind::Decision, &request.request_id);
    entry.principal = request.principal.uid.to_string();
    let context = request
        .context
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    entry.request_digest = Hash::of_parts(
        [
            entry.principal.clone(),
            Action::Query.name().to_owned(),
            request.dialect.name().to_owned(),
            request.sql.clone(),
        ]
        .into_iter()
        .chain(context),
    );
    entry
}

/// The stable code of a fault.
pub(crate) fn reason(fault: &Fault) -> String {
    if !fault.reason.is_empty() {
        return fault.reason.clone();
    }
    match fault.kind {
        FaultKind::Invalid => "invalid",
        FaultKind::Unauthenticated => "unauthenticated",
        FaultKind::Denied => "denied",
        FaultKind::NotFound => "not_found",
        FaultKind::Conflict => "conflict",
        FaultKind::TooLarge => "too_large",
        FaultKind::Unavailable => "unavailable",
        FaultKind::Timeout => "timeout",
        FaultKind::Unsupported => "unsupported",
        FaultKind::Damaged => "damaged",
        _ => "internal",
    }
    .to_owned()
}

/// Ids of all policies that had a say about the dataset.
pub(crate) fn policies(grant: &Grant) -> BTreeSet<String> {
    let access = &grant.access;
    access
        .decision
        .policies
        .iter()
        .chain(&access.row_policies)
        .chain(access.columns.iter().flat_map(|column| &column.policies))
        .map(|policy| policy.id.clone())
        .collect()
}

fn obligations(grant: &Grant) -> Vec<String> {
    let stated = grant
        .access
        .decision
        .obligations
        .iter()
        .map(ToString::to_string);
    let masks = grant.columns.iter().flat_map(|column| {
        column.rules.iter().filter_map(|rule| match &rule.outcome {
            CellOutcome::Masked(mask) => {
                let column = format!("{}/{}", grant.dataset.id, column.name);
                Some(match &rule.when {
                    Predicate::Constant(_) => format!("{mask} on {column}"),
                    when => shortened(&format!("{mask} on {column} where {when}")),
                })
            }
            CellOutcome::Plain | CellOutcome::Absent => None,
        })
    });
    stated.chain(masks).collect()
}

fn shortened(text: &str) -> String {
    if text.chars().nth(FACT_CHARACTERS_MAX).is_none() {
        return text.to_owned();
    }
    let head: String = text.chars().take(FACT_CHARACTERS_MAX).collect();
    format!("{head}…")
}
