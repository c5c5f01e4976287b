//! Roles as processes of their own: the seams of `dataos_model` over gRPC between them.
//!
//! Enters: a call of a seam in one process. Leaves: its answer, made in another. Every role speaks to the
//! gateway alone, and the gateway to every role, over TLS 1.3 in which both sides prove a role by an
//! X.509-SVID; [`method`] is the one table of who may call what. Never done here: a call without a row,
//! an answer for a caller whose deadline passed, a second try of what may have happened already.
//!
//! In order: who a process is ([`identity`]), what can be called ([`method`], [`wire`]), the side that
//! calls ([`link`], [`remote`]), and the side that answers ([`door`], [`served`]).

pub(crate) mod identity;
pub(crate) mod renewal;

pub(crate) mod method;
mod wire;

pub use wire::VERSION as BUILD;

mod breaker;
mod budget;
pub(crate) mod deadline;
pub(crate) mod link;
pub(crate) mod remote;

pub(crate) mod door;
pub(crate) mod served;

use std::fmt;

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Edge, decision point, audit log, accounts, secrets, console.
    Gateway,
    /// The query layer.
    Query,
    /// The catalog.
    Catalog,
    /// The orchestrator.
    Orchestrator,
}

impl Role {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Gateway,
        Self::Query,
        Self::Catalog,
        Self::Orchestrator,
    ];

    /// As settings and certificates name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Query => "query",
            Self::Catalog => "catalog",
            Self::Orchestrator => "orchestrator",
        }
    }

    /// The role of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|role| role.name() == name)
    }

    /// The URI in its certificate.
    pub(crate) fn uri(self, trust_domain: &str) -> String {
        format!("spiffe://{trust_domain}/role/{}", self.name())
    }

    /// The role that a URI names.
    pub(crate) fn of_uri(uri: &str, trust_domain: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|role| role.uri(trust_domain) == uri)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests;
