//! The one table of what a process may ask of another. A call without a row does not exist.

use std::time::Duration;

use super::Role::{self, Gateway, Query};

/// Longest call that answers from memory.
const SHORT: Duration = Duration::from_secs(5);
/// Longest call that writes or reads disks.
const LONG: Duration = Duration::from_secs(30);
/// Longest statement, its wait for a place included.
const STATEMENT: Duration = Duration::from_secs(340);

macro_rules! methods {
    ($($(#[$doc:meta])* $variant:ident = $path:literal $calls:expr, $repeats:ident, $time:ident;)*) => {
        /// A method of a seam as another process may call it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Method {
            $($(#[$doc])* $variant,)*
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

/// What the query layer asks of the platform.
const BY_QUERY: &[(Role, Role)] = &[(Query, Gateway)];
/// What the gateway asks of the query layer.
const OF_QUERY: &[(Role, Role)] = &[(Gateway, Query)];
/// Everybody and the gateway.
const BOTH_WAYS: &[(Role, Role)] = &[(Query, Gateway), (Gateway, Query)];

methods! {
    /// Is it there?
    Ping = "Process/Ping" BOTH_WAYS, Safe, SHORT;
    /// A new certificate for the caller's role.
    Renew = "Process/Renew" BY_QUERY, Safe, SHORT;
    /// One decision.
    Decide = "Decide/Decide" BY_QUERY, Safe, SHORT;
    /// Several decisions.
    DecideAll = "Decide/DecideAll" BY_QUERY, Safe, SHORT;
    /// Rows and columns.
    Access = "Decide/Access" BY_QUERY, Safe, SHORT;
    /// Appends to the log.
    Append = "Log/Append" BY_QUERY, Never, LONG;
    /// Searches the log.
    SearchLog = "Log/Search" BY_QUERY, Safe, LONG;
    /// Reads a secret; [`may_read_secret`] narrows it.
    GetSecret = "Secrets/Get" BY_QUERY, Safe, SHORT;
    /// The catalog.
    Snapshot = "Assets/Snapshot" BY_QUERY, Safe, LONG;
    /// A write is about to begin.
    StageWrite = "Assets/StageWrite" BY_QUERY, Never, LONG;
    /// It succeeded.
    SettleWrite = "Assets/SettleWrite" BY_QUERY, Never, LONG;
    /// It did not happen.
    RetractWrite = "Assets/RetractWrite" BY_QUERY, Never, LONG;
    /// Runs a statement.
    Run = "Query/Run" OF_QUERY, Never, STATEMENT;
    /// Tells the columns of a statement.
    Describe = "Query/Describe" OF_QUERY, Never, STATEMENT;
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
