//! What the gateway alone has: decisions, the log, secrets.

use std::sync::Arc;

use dataos_model::{
    access::AccessRequest,
    decision::Request,
    fault::{Fault, FaultKind},
    record::{Entry, EntryKind, Receipt, RecordQuery},
    seams::{Decide, Record, Records, Secrets},
    secret::SecretName,
};
use dataos_query::MASK_KEY;
use futures::future::join_all;
use serde::{Deserialize, Serialize};

use super::elsewhere;
use crate::roles::{
    Role,
    method::Method,
    wire::{Answer, read},
};

/// Most entries of one call; a caller has more of them wait.
pub(crate) const ENTRIES_MAX: usize = 512;
/// Secrets below this are the platform's own.
const PLATFORM_SECRETS: &str = "dataos/";

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
    pub(crate) decide: Arc<dyn Decide>,
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
                Answer::of(&self.decide.decide(&request).await)
            }
            Method::DecideAll => {
                let requests: Vec<Request> = read(arguments)?;
                Answer::of(&self.decide.decide_all(&requests).await)
            }
            Method::Access => {
                let request: AccessRequest = read(arguments)?;
                Answer::of(&self.decide.access(&request).await)
            }
            Method::Append => {
                let entries: Vec<Appended> = read(arguments)?;
                Answer::of(&self.append(caller, entries).await?)
            }
            Method::SearchLog => {
                let query: RecordQuery = read(arguments)?;
                Answer::of(&self.records.search(&query).await?)
            }
            Method::GetSecret => {
                let name: SecretName = read(arguments)?;
                if !may_read_secret(caller, &name) {
                    return Err(not_allowed(caller, &format!("read the secret `{name}`")));
                }
                let secret = self.secrets.get(&name).await?;
                Answer::of(&secret.expose())
            }
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
        if let Some(kind) = kinds.find(|kind| !may_append(caller, *kind)) {
            let what = format!("append an entry of kind `{}`", kind.name());
            return Err(not_allowed(caller, &what));
        }
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

/// Which kinds of entries a role writes: what it decides on, and how that ended.
fn may_append(caller: Role, kind: EntryKind) -> bool {
    match caller {
        Role::Query => matches!(kind, EntryKind::Decision | EntryKind::Outcome),
        Role::Gateway => false,
    }
}

/// Which secrets a role reads: passwords of sources, of the platform's own none but the key of masks.
fn may_read_secret(caller: Role, name: &SecretName) -> bool {
    match caller {
        Role::Query => name.0 == MASK_KEY || !name.0.starts_with(PLATFORM_SECRETS),
        Role::Gateway => false,
    }
}

fn not_allowed(caller: Role, what: &str) -> Fault {
    tracing::error!(role = %caller, what, "a role asked for more than it may");
    Fault::denied(
        "role_call_denied",
        format!("the role `{caller}` may not {what}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_ca_and_of_the_log_never_leave() {
        let name = |name: &str| SecretName(name.to_owned());
        for own in [
            "dataos/ca-key",
            "dataos/audit-key",
            "dataos/api-key-pepper",
            "dataos/",
        ] {
            for role in Role::ALL {
                assert!(!may_read_secret(*role, &name(own)), "{role} {own}");
            }
        }
        assert!(may_read_secret(Role::Query, &name(MASK_KEY)));
        assert!(may_read_secret(
            Role::Query,
            &name("public/shop-login/password")
        ));
    }

    #[test]
    fn a_role_writes_what_it_does_and_nothing_else() {
        for kind in EntryKind::ALL {
            let is_own = matches!(kind, EntryKind::Decision | EntryKind::Outcome);
            assert_eq!(may_append(Role::Query, *kind), is_own, "{kind:?}");
        }
    }
}
