//! What the gateway alone has: decisions, policies, entities, accounts, the log, secrets.

mod allowed;
mod gate;

use std::sync::Arc;

use dataos_model::{
    access::AccessRequest,
    decision::Request,
    entity::EntityChange,
    fault::{Fault, FaultKind},
    policy::PolicyText,
    record::{Entry, Receipt, RecordQuery},
    seams::{Decide, EntitySink, Identities, Policies, Record, Records, Secrets},
    secret::{Secret, SecretName},
};
use futures::future::join_all;
use serde::{Deserialize, Serialize};

use super::elsewhere;
use crate::roles::{
    Role,
    method::Method,
    wire::{Answer, read},
};
pub(crate) use gate::Gate;

/// Most entries of one call; a caller has more of them wait.
pub(crate) const ENTRIES_MAX: usize = 512;

/// An entry that another role appends.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Appended {
    pub(crate) entry: Entry,
    /// Whether somebody waits until it is durable.
    pub(crate) is_awaited: bool,
}

/// The seams that no role but the gateway has.
#[derive(Debug)]
pub(crate) struct Platform {
    pub(crate) gate: Arc<Gate>,
    pub(crate) policies: Arc<dyn Policies>,
    pub(crate) sink: Arc<dyn EntitySink>,
    pub(crate) identities: Arc<dyn Identities>,
    pub(crate) record: Arc<dyn Record>,
    pub(crate) records: Arc<dyn Records>,
    pub(crate) secrets: Arc<dyn Secrets>,
}

impl Platform {
    pub(super) async fn call(
        &self,
        caller: Role,
        method: Method,
        arguments: &[u8],
    ) -> Result<Answer, Fault> {
        match method {
            Method::Decide => {
                let request: Request = read(arguments)?;
                Answer::of(&self.gate.decide(&request).await)
            }
            Method::DecideAll => {
                let requests: Vec<Request> = read(arguments)?;
                Answer::of(&self.gate.decide_all(&requests).await)
            }
            Method::Access => {
                let requests: Vec<AccessRequest> = read(arguments)?;
                let answers = self.gate.access_all(&requests).await;
                let answers = answers
                    .iter()
                    .map(|answers| answers.iter().map(Arc::as_ref).collect::<Vec<_>>());
                Answer::of(&answers.collect::<Vec<_>>())
            }
            Method::Append => {
                let entries: Vec<Appended> = read(arguments)?;
                Answer::of(&self.append(caller, entries).await?)
            }
            Method::SearchLog => {
                let query: RecordQuery = read(arguments)?;
                Answer::of(&self.records.search(&query).await?)
            }
            Method::GetPrincipal => {
                let user: String = read(arguments)?;
                Answer::of(&self.identities.principal(&user).await?)
            }
            Method::ApplyEntities => {
                let changes: Vec<EntityChange> = read(arguments)?;
                allowed::entities(caller, &changes)?;
                Answer::of(&self.sink.apply(changes)?)
            }
            Method::GetSecret | Method::PutSecret | Method::RemoveSecret => {
                self.secret(caller, method, arguments).await
            }
            other => self.policy(caller, other, arguments).await,
        }
    }

    async fn secret(
        &self,
        caller: Role,
        method: Method,
        arguments: &[u8],
    ) -> Result<Answer, Fault> {
        match method {
            Method::GetSecret => {
                let name: SecretName = read(arguments)?;
                allowed::secret_to_read(caller, &name)?;
                Answer::of(&self.secrets.get(&name).await?.expose())
            }
            Method::PutSecret => {
                let (name, bytes): (SecretName, Vec<u8>) = read(arguments)?;
                let secret = Secret::new(bytes);
                allowed::secret_to_write(caller, &name)?;
                Answer::of(&self.secrets.put(&name, secret).await?)
            }
            Method::RemoveSecret => {
                let name: SecretName = read(arguments)?;
                allowed::secret_to_write(caller, &name)?;
                Answer::of(&self.secrets.remove(&name).await?)
            }
            other => Err(elsewhere(other)),
        }
    }

    async fn policy(
        &self,
        caller: Role,
        method: Method,
        arguments: &[u8],
    ) -> Result<Answer, Fault> {
        match method {
            Method::CheckPolicies => {
                let texts: Vec<PolicyText> = read(arguments)?;
                Answer::of(&self.policies.check(&texts).await?)
            }
            Method::PutPolicy => {
                let text: PolicyText = read(arguments)?;
                allowed::policy_source(caller, &text.source)?;
                Answer::of(&self.policies.put(text).await?)
            }
            Method::RemovePolicy => {
                let source: String = read(arguments)?;
                allowed::policy_source(caller, &source)?;
                Answer::of(&self.policies.remove(&source).await?)
            }
            Method::PolicySet => Answer::of(&self.policies.info().hash),
            other => Err(elsewhere(other)),
        }
    }

    /// Appends in order; every entry says which role it came from. Nothing is appended if one may not be.
    async fn append(
        &self,
        caller: Role,
        entries: Vec<Appended>,
    ) -> Result<Vec<Option<Result<Receipt, Fault>>>, Fault> {
        if entries.len() > ENTRIES_MAX {
            let message = format!("more than {ENTRIES_MAX} entries in one call");
            return Err(Fault::new(FaultKind::TooLarge, message));
        }
        let mut kinds = entries.iter().map(|appended| appended.entry.kind);
        kinds.try_for_each(|kind| allowed::entry(caller, kind))?;
        let pending = entries.into_iter().map(|appended| {
            let entry = appended.entry.with_fact("role", caller);
            if appended.is_awaited {
                return Some(self.record.append(entry));
            }
            self.record.append_behind(entry);
            None
        });
        // All are queued, in order, before the first is waited for.
        let pending: Vec<_> = pending.collect();
        let pending = pending.into_iter().map(|one| async {
            match one {
                Some(pending) => Some(pending.await),
                None => None,
            }
        });
        Ok(join_all(pending).await)
    }
}
