//! The one table of what a process may ask of another. A call without a row does not exist.

use std::time::Duration;

use super::Role::{self, Catalog, Gateway, Orchestrator, Query};

/// Longest call that answers from memory.
const SHORT: Duration = Duration::from_secs(5);
/// Longest call that writes or reads disks.
const LONG: Duration = Duration::from_secs(30);
/// Longest statement, scan or apply, a wait for its turn included.
const WORK: Duration = Duration::from_secs(340);

macro_rules! methods {
    ($($variant:ident = $path:literal $calls:expr, $repeats:ident, $time:ident;)*) => {
        /// A method of a seam as another process may call it; `proto/dataos/role/v1/role.proto` says what each is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Method {
            $($variant,)*
        }

        impl Method {
            /// All of them.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Path of the call.
            pub(crate) fn path(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!("/dataos.role.v1.", $path),)*
                }
            }

            /// Who may call whom.
            fn calls(self) -> &'static [(Role, Role)] {
                match self {
                    $(Self::$variant => $calls,)*
                }
            }

            /// Whether a second call does no more than one.
            pub(crate) fn repeats(self) -> bool {
                match self {
                    $(Self::$variant => Repeats::$repeats == Repeats::Safe,)*
                }
            }

            /// Longest call.
            pub(crate) fn time_max(self) -> Duration {
                match self {
                    $(Self::$variant => $time,)*
                }
            }
        }
    };
}

/// Whether a call may be made again after nobody knows what became of the first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeats {
    Safe,
    Never,
}

const BY_QUERY: &[(Role, Role)] = &[(Query, Gateway)];
const BY_ORCHESTRATOR: &[(Role, Role)] = &[(Orchestrator, Gateway)];
/// Enforcement points.
const BY_DECIDING: &[(Role, Role)] = &[(Query, Gateway), (Orchestrator, Gateway)];
/// Rooms with entities of their own.
const BY_FEEDING: &[(Role, Role)] = &[(Catalog, Gateway), (Orchestrator, Gateway)];
const BY_ALL: &[(Role, Role)] = &[
    (Query, Gateway),
    (Catalog, Gateway),
    (Orchestrator, Gateway),
];
const BOTH_WAYS: &[(Role, Role)] = &[
    (Query, Gateway),
    (Catalog, Gateway),
    (Orchestrator, Gateway),
    (Gateway, Query),
    (Gateway, Catalog),
    (Gateway, Orchestrator),
];
const OF_QUERY: &[(Role, Role)] = &[(Gateway, Query)];
const OF_CATALOG: &[(Role, Role)] = &[(Gateway, Catalog)];
const OF_ORCHESTRATOR: &[(Role, Role)] = &[(Gateway, Orchestrator)];
// The gateway hands on what one role wants of another.
const SNAPSHOT: &[(Role, Role)] = &[
    (Query, Gateway),
    (Orchestrator, Gateway),
    (Gateway, Catalog),
];
const WRITE: &[(Role, Role)] = &[(Query, Gateway), (Gateway, Catalog)];
const DEPOT: &[(Role, Role)] = &[(Orchestrator, Gateway), (Gateway, Catalog)];
const RUN: &[(Role, Role)] = &[(Gateway, Query), (Orchestrator, Gateway)];

methods! {
    Ping = "Process/Ping" BOTH_WAYS, Safe, SHORT;
    Renew = "Process/Renew" BY_ALL, Safe, SHORT;

    Decide = "Decide/Decide" BY_DECIDING, Safe, SHORT;
    DecideAll = "Decide/DecideAll" BY_DECIDING, Safe, SHORT;
    Access = "Decide/Access" BY_QUERY, Safe, SHORT;

    Append = "Log/Append" BY_DECIDING, Never, LONG;
    SearchLog = "Log/Search" BY_QUERY, Safe, LONG;

    GetSecret = "Secrets/Get" BY_ALL, Safe, SHORT;
    PutSecret = "Secrets/Put" BY_ORCHESTRATOR, Safe, LONG;
    RemoveSecret = "Secrets/Remove" BY_ORCHESTRATOR, Safe, LONG;

    GetPrincipal = "Identities/Principal" BY_DECIDING, Safe, SHORT;
    ApplyEntities = "Entities/Apply" BY_FEEDING, Safe, LONG;
    CheckPolicies = "Policies/Check" BY_ORCHESTRATOR, Safe, LONG;
    PutPolicy = "Policies/Put" BY_ORCHESTRATOR, Safe, LONG;
    RemovePolicy = "Policies/Remove" BY_ORCHESTRATOR, Safe, LONG;
    PolicySet = "Policies/Hash" BY_ORCHESTRATOR, Safe, SHORT;
    PoliciesRestored = "Policies/Restored" BY_ORCHESTRATOR, Safe, SHORT;

    Snapshot = "Assets/Snapshot" SNAPSHOT, Safe, LONG;
    StageWrite = "Assets/StageWrite" WRITE, Never, LONG;
    SettleWrite = "Assets/SettleWrite" WRITE, Never, LONG;
    RetractWrite = "Assets/RetractWrite" WRITE, Never, LONG;
    RegisterDepot = "Assets/RegisterDepot" DEPOT, Safe, LONG;
    RemoveDepot = "Assets/RemoveDepot" DEPOT, Never, LONG;
    Scan = "Assets/Scan" DEPOT, Never, WORK;
    SetTags = "Assets/SetTags" OF_CATALOG, Safe, LONG;
    SearchAssets = "Assets/Search" OF_CATALOG, Safe, LONG;
    GetLineage = "Assets/Lineage" OF_CATALOG, Safe, LONG;

    Run = "Query/Run" RUN, Never, WORK;
    Describe = "Query/Describe" OF_QUERY, Never, WORK;

    Apply = "Resources/Apply" OF_ORCHESTRATOR, Never, WORK;
    PlanResources = "Resources/Plan" OF_ORCHESTRATOR, Safe, LONG;
    ListResources = "Resources/List" OF_ORCHESTRATOR, Safe, LONG;
    GetResource = "Resources/Get" OF_ORCHESTRATOR, Safe, LONG;
    DeleteResource = "Resources/Delete" OF_ORCHESTRATOR, Never, WORK;
    ResourceLog = "Resources/Log" OF_ORCHESTRATOR, Safe, LONG;
}

impl Method {
    /// The method of a path.
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.path() == path)
    }

    /// Whether a row lets `caller` call this at `callee`.
    pub(crate) fn allows(self, caller: Role, callee: Role) -> bool {
        self.calls().contains(&(caller, callee))
    }
}

/// Roles that any row lets call `callee`.
pub(crate) fn callers(callee: Role) -> Vec<Role> {
    let may_call = |caller: &Role| {
        let mut methods = Method::ALL.iter();
        methods.any(|method| method.allows(*caller, callee))
    };
    Role::ALL.iter().copied().filter(may_call).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_speak_to_the_gateway_alone() {
        for method in Method::ALL {
            for (caller, callee) in method.calls() {
                assert_ne!(caller, callee, "{method:?}");
                assert!([caller, callee].contains(&&Gateway), "{method:?}");
            }
        }
        for role in [Query, Catalog, Orchestrator] {
            assert_eq!(callers(role), [Gateway]);
        }
    }

    #[test]
    fn paths_tell_methods_apart() {
        for method in Method::ALL {
            assert_eq!(Method::of_path(method.path()), Some(*method));
        }
        assert_eq!(Method::of_path("/dataos.role.v1.Process/ping"), None);
    }
}
