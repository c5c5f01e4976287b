//! What a role may name in calls that the table lets it make: its own things, and none of the platform's.

use dataos_model::{
    entity::{EntityChange, EntityType},
    fault::Fault,
    record::EntryKind,
    secret::SecretName,
};
use dataos_query::MASK_KEY;

use crate::roles::Role;

/// Secrets below this are the platform's own.
const PLATFORM_SECRETS: &str = "dataos/";

/// What it decides on, and how that ended.
pub(super) fn entry(caller: Role, kind: EntryKind) -> Result<(), Fault> {
    let is_allowed = match caller {
        Role::Query => matches!(kind, EntryKind::Decision | EntryKind::Outcome),
        Role::Orchestrator => matches!(
            kind,
            EntryKind::Decision | EntryKind::Outcome | EntryKind::ResourceChange
        ),
        Role::Catalog | Role::Gateway => false,
    };
    check(is_allowed, caller, || {
        format!("append an entry of kind `{}`", kind.name())
    })
}

/// Passwords of sources and secrets of manifests; of the platform's own none but the key of masks.
pub(super) fn secret_to_read(caller: Role, name: &SecretName) -> Result<(), Fault> {
    let is_own = name.0.starts_with(PLATFORM_SECRETS);
    let is_allowed = match caller {
        Role::Query => !is_own || name.0 == MASK_KEY,
        Role::Catalog | Role::Orchestrator => !is_own,
        Role::Gateway => false,
    };
    check(is_allowed, caller, || format!("read the secret `{name}`"))
}

/// Secrets of manifests.
pub(super) fn secret_to_write(caller: Role, name: &SecretName) -> Result<(), Fault> {
    let is_own = name.0.starts_with(PLATFORM_SECRETS);
    let is_allowed = caller == Role::Orchestrator && !is_own;
    check(is_allowed, caller, || format!("write the secret `{name}`"))
}

/// Entities of the types that it keeps; tags belong to both.
pub(super) fn entities(caller: Role, changes: &[EntityChange]) -> Result<(), Fault> {
    const OF_CATALOG: &[EntityType] = &[
        EntityType::DEPOT,
        EntityType::COLLECTION,
        EntityType::DATASET,
        EntityType::COLUMN,
        EntityType::TAG,
    ];
    const OF_ORCHESTRATOR: &[EntityType] = &[EntityType::RESOURCE, EntityType::TAG];
    let own = match caller {
        Role::Catalog => OF_CATALOG,
        Role::Orchestrator => OF_ORCHESTRATOR,
        Role::Query | Role::Gateway => &[],
    };
    let uid = |change: &'_ EntityChange| match change {
        EntityChange::Upsert(entity) => entity.uid.clone(),
        EntityChange::Remove(uid) => uid.clone(),
    };
    let foreign = changes
        .iter()
        .map(uid)
        .find(|uid| !own.contains(&uid.entity_type));
    match foreign {
        None => Ok(()),
        Some(uid) => check(false, caller, || format!("change the entity {uid}")),
    }
}

/// Policies of applied resources.
pub(super) fn policy_source(caller: Role, source: &str) -> Result<(), Fault> {
    let is_allowed = caller == Role::Orchestrator && dataos_orchestrator::is_policy_source(source);
    check(is_allowed, caller, || {
        format!("change the policies of `{source}`")
    })
}

fn check(is_allowed: bool, caller: Role, what: impl FnOnce() -> String) -> Result<(), Fault> {
    if is_allowed {
        return Ok(());
    }
    let what = what();
    tracing::error!(role = %caller, what, "a role asked for more than it may");
    let message = format!("the role `{caller}` may not {what}");
    Err(Fault::denied("role_call_denied", message))
}

#[cfg(test)]
mod tests {
    use dataos_model::entity::Entity;

    use super::*;

    fn name(name: &str) -> SecretName {
        SecretName(name.to_owned())
    }

    #[test]
    fn keys_of_the_platform_never_leave() {
        for own in [
            "dataos/ca-key",
            "dataos/audit-key",
            "dataos/api-key-pepper",
            "dataos/",
        ] {
            for role in Role::ALL {
                assert!(secret_to_read(*role, &name(own)).is_err(), "{role} {own}");
                assert!(secret_to_write(*role, &name(own)).is_err(), "{role} {own}");
            }
        }
        let readers = |secret: &str| {
            let roles = Role::ALL.iter().copied();
            let readers = roles.filter(|role| secret_to_read(*role, &name(secret)).is_ok());
            readers.collect::<Vec<Role>>()
        };
        assert_eq!(readers(MASK_KEY), [Role::Query]);
        let roles = [Role::Query, Role::Catalog, Role::Orchestrator];
        assert_eq!(readers("public/shop-login/password"), roles);
    }

    #[test]
    fn a_role_writes_what_it_does_and_nothing_else() {
        let kinds = |role: Role| {
            let all = EntryKind::ALL.iter();
            let allowed = all.filter(|kind| entry(role, **kind).is_ok());
            allowed.map(|kind| kind.name()).collect::<Vec<_>>()
        };
        assert_eq!(kinds(Role::Query), ["decision", "outcome"]);
        assert_eq!(
            kinds(Role::Orchestrator),
            ["decision", "outcome", "resource_change"]
        );
        assert!(kinds(Role::Catalog).is_empty() && kinds(Role::Gateway).is_empty());
    }

    #[test]
    fn nobody_makes_a_user_or_a_role() {
        for kind in EntityType::ALL {
            let made = [EntityChange::Upsert(Entity::new(kind.clone().id("x")))];
            let gone = [EntityChange::Remove(kind.clone().id("x"))];
            for role in Role::ALL {
                let own: &[&str] = match role {
                    Role::Catalog => &["Depot", "Collection", "Dataset", "Column", "Tag"],
                    Role::Orchestrator => &["Resource", "Tag"],
                    Role::Query | Role::Gateway => &[],
                };
                let is_allowed = own.contains(&kind.name());
                assert_eq!(
                    entities(*role, &made).is_ok(),
                    is_allowed,
                    "{role} {kind:?}"
                );
                assert_eq!(
                    entities(*role, &gone).is_ok(),
                    is_allowed,
                    "{role} {kind:?}"
                );
            }
        }
    }

    #[test]
    fn policies_of_others_are_out_of_reach() {
        for source in ["policy:v1:mask-email", "row filters"] {
            assert!(policy_source(Role::Orchestrator, source).is_ok());
            assert!(policy_source(Role::Query, source).is_err());
        }
        for source in [
            "roles/admin.cedar",
            "shop",
            "",
            "policy",
            "workflow:v1:x:public",
        ] {
            assert!(
                policy_source(Role::Orchestrator, source).is_err(),
                "{source}"
            );
        }
    }
}
