//! What a process answers other roles with: each call as a plain call of the seam behind it.

mod platform;

use std::sync::Arc;

use dataos_model::{
    clock::Clock,
    depot::{AssetSnapshot, Dataset},
    fault::{Fault, FaultKind},
    hash::Hash,
    lineage::WriteLineage,
    query::{Certificate, QueryRequest, ResultColumn},
    record::Receipt,
    seams::{Assets, RunQuery},
};
use serde::{Deserialize, Serialize};

use super::{
    Role,
    identity::Identity,
    link::Pong,
    method::Method,
    wire::{Answer, read},
};
pub(crate) use platform::Platform;
pub(super) use platform::{Appended, ENTRIES_MAX};

/// What a process has for others.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) identity: Arc<Identity>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Of the gateway.
    pub(crate) platform: Option<Platform>,
    pub(crate) assets: Option<Arc<dyn Assets>>,
    pub(crate) query: Option<Arc<dyn RunQuery>>,
}

/// All of an answer to a query but its rows.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct QueryHead {
    pub(super) columns: Vec<ResultColumn>,
    pub(super) row_count: u64,
    pub(super) is_truncated: bool,
    pub(super) certificate: Certificate,
    pub(super) receipt: Receipt,
}

impl Served {
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
        match method {
            Method::Ping => Answer::of(&Pong {
                roots: self.identity.current().roots_digest(),
            }),
            Method::Renew => {
                let request: Vec<u8> = read(arguments)?;
                let issuer = self.identity.issuer().ok_or_else(|| {
                    let message =
                        "certificates of roles come from files here, not from the built-in CA";
                    Fault::new(FaultKind::Unsupported, message)
                })?;
                tracing::info!(role = %caller, "a role gets a new certificate");
                Answer::of(&issuer.renew(caller, &request, self.clock.now())?)
            }
            Method::Decide
            | Method::DecideAll
            | Method::Access
            | Method::Append
            | Method::SearchLog
            | Method::GetSecret => {
                let platform = there(self.platform.as_ref())?;
                platform.call(caller, method, arguments).await
            }
            Method::Snapshot | Method::StageWrite | Method::SettleWrite | Method::RetractWrite => {
                assets(there(self.assets.as_deref())?, method, arguments).await
            }
            Method::Run | Method::Describe => {
                query(there(self.query.as_deref())?, method, arguments).await
            }
        }
    }
}

/// What the table says is here.
fn there<T>(seam: Option<T>) -> Result<T, Fault> {
    seam.ok_or_else(|| Fault::internal("the table of calls names a seam that this process has not"))
}

/// A call that another group of methods answers.
fn elsewhere(method: Method) -> Fault {
    Fault::internal(format!("{} is answered elsewhere", method.path()))
}

async fn assets(assets: &dyn Assets, method: Method, arguments: &[u8]) -> Result<Answer, Fault> {
    match method {
        Method::Snapshot => {
            let known: Option<(u64, Hash)> = read(arguments)?;
            let snapshot = assets.snapshot().await?;
            let is_known = known == Some((snapshot.transaction, snapshot.hash));
            let changed: Option<&AssetSnapshot> = (!is_known).then_some(&snapshot);
            Answer::of(&changed)
        }
        Method::StageWrite => {
            let (target, lineage): (Dataset, WriteLineage) = read(arguments)?;
            Answer::of(&assets.stage_write(target, lineage).await?)
        }
        Method::SettleWrite => {
            let (stage, target): (u64, Dataset) = read(arguments)?;
            Answer::of(&assets.settle_write(stage, target).await?)
        }
        Method::RetractWrite => Answer::of(&assets.retract_write(read(arguments)?).await?),
        other => Err(elsewhere(other)),
    }
}

async fn query(query: &dyn RunQuery, method: Method, arguments: &[u8]) -> Result<Answer, Fault> {
    let request: QueryRequest = read(arguments)?;
    if method == Method::Describe {
        return Answer::of(&query.describe(request).await?);
    }
    let answered = query.run(request).await?;
    let mut answer = Answer::of(&QueryHead {
        columns: answered.columns,
        row_count: answered.row_count,
        is_truncated: answered.is_truncated,
        certificate: answered.certificate,
        receipt: answered.receipt,
    })?;
    answer.rows = answered.chunks;
    Ok(answer)
}
