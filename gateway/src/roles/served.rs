//! What a process answers other roles with: each call as a plain call of the seam behind it.

mod platform;
mod rooms;

use std::sync::Arc;

use arc_swap::ArcSwap;
use dataos_model::{
    clock::Clock,
    fault::{Fault, FaultKind},
    seams::{Assets, Resources, RunQuery},
};

use super::{
    Role,
    identity::Identity,
    link::{AWAY, Pong},
    method::Method,
    wire::{Answer, read},
};
pub(crate) use platform::{Gate, Platform};
pub(super) use {
    platform::{Appended, ENTRIES_MAX},
    rooms::QueryHead,
};

/// What a process has for others.
#[derive(Debug)]
pub(crate) struct Served {
    identity: Arc<Identity>,
    clock: Arc<dyn Clock>,
    /// Empty until they are open.
    rooms: ArcSwap<Rooms>,
}

/// The seams of a process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rooms {
    /// The run of the gateway's process that they were opened for; none for the gateway's own.
    pub(crate) opened_for: Option<u128>,
    /// Of the gateway.
    pub(crate) platform: Option<Arc<Platform>>,
    pub(crate) assets: Option<Arc<dyn Assets>>,
    pub(crate) query: Option<Arc<dyn RunQuery>>,
    pub(crate) resources: Option<Arc<dyn Resources>>,
}

impl Rooms {
    /// Whether a process may call what is here. A gateway that was started anew may find a role that has not
    /// noticed yet, and is about to close and open again for it.
    fn is_open(&self, caller: u128) -> bool {
        let is_any = self.platform.is_some()
            || self.assets.is_some()
            || self.query.is_some()
            || self.resources.is_some();
        is_any && self.opened_for.is_none_or(|process| process == caller)
    }
}

impl Served {
    /// Nothing yet.
    pub(crate) fn new(identity: Arc<Identity>, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            identity,
            clock,
            rooms: ArcSwap::default(),
        })
    }

    /// From now on, these.
    pub(crate) fn open(&self, rooms: Rooms) {
        self.rooms.store(Arc::new(rooms));
    }

    /// From now on, nothing.
    pub(crate) fn close(&self) {
        self.rooms.store(Arc::default());
    }

    /// Answers a call that the table allows.
    ///
    /// # Errors
    /// What the seam answers with, or arguments that are malformed.
    pub(super) async fn call(
        &self,
        caller: Role,
        method: Method,
        arguments: &[u8],
    ) -> Result<Answer, Fault> {
        let rooms = self.rooms.load_full();
        if method == Method::Ping {
            return Answer::of(&Pong {
                roots: self.identity.current().roots_digest(),
                process: self.identity.process(),
                is_open: rooms.is_open(read(arguments)?),
            });
        }
        if method == Method::Renew {
            return self.renewed(caller, arguments);
        }
        let group = method.path().rsplit('.').next().unwrap_or_default();
        match group.split('/').next().unwrap_or_default() {
            "Assets" => rooms::assets(there(&rooms.assets)?.as_ref(), method, arguments).await,
            "Query" => rooms::query(there(&rooms.query)?.as_ref(), method, arguments).await,
            "Resources" => {
                rooms::resources(there(&rooms.resources)?.as_ref(), method, arguments).await
            }
            _ => {
                let platform = there(&rooms.platform)?;
                if method == Method::PoliciesRestored {
                    let process: u128 = read(arguments)?;
                    return Answer::of(&self.restored(platform, process)?);
                }
                platform.call(caller, method, arguments).await
            }
        }
    }

    fn renewed(&self, caller: Role, arguments: &[u8]) -> Result<Answer, Fault> {
        let request: Vec<u8> = read(arguments)?;
        let issuer = self.identity.issuer().ok_or_else(|| {
            let message = "certificates of roles come from files here, not from the built-in CA";
            Fault::new(FaultKind::Unsupported, message)
        })?;
        tracing::info!(role = %caller, "a role gets a new certificate");
        Answer::of(&issuer.renew(caller, &request, self.clock.now())?)
    }

    /// The policies were put in force in the process that the caller knew; another one has not seen them.
    fn restored(&self, platform: &Platform, process: u128) -> Result<(), Fault> {
        if process != self.identity.process() {
            let message = "the gateway was started anew meanwhile";
            return Err(Fault::unavailable(message));
        }
        platform.gate.open();
        Ok(())
    }
}

/// What the table says is here, once it is open.
fn there<T>(seam: &Option<T>) -> Result<&T, Fault> {
    seam.as_ref().ok_or_else(|| {
        Fault::unavailable("the role is not open yet")
            .with_reason(AWAY)
            .with_hint("try again later")
    })
}

/// A call that another group of methods answers.
fn elsewhere(method: Method) -> Fault {
    Fault::internal(format!("{} is answered elsewhere", method.path()))
}
