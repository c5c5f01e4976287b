//! The seams of catalog, query layer and orchestrator.

use std::collections::BTreeSet;

use super::elsewhere;
use crate::roles::{
    method::Method,
    wire::{Answer, read},
};
use dataos_model::{
    dataset::DatasetId,
    depot::{AssetSnapshot, Dataset, Depot},
    fault::Fault,
    hash::Hash,
    lineage::WriteLineage,
    principal::Principal,
    query::{Certificate, QueryRequest, ResultColumn},
    record::Receipt,
    resource::{ResourceFilter, ResourceId},
    seams::{Assets, Resources, RunQuery},
};
use serde::{Deserialize, Serialize};

/// All of an answer to a query but its rows.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct QueryHead {
    pub(crate) columns: Vec<ResultColumn>,
    pub(crate) row_count: u64,
    pub(crate) is_truncated: bool,
    pub(crate) certificate: Certificate,
    pub(crate) receipt: Receipt,
}

pub(super) async fn assets(
    assets: &dyn Assets,
    method: Method,
    arguments: &[u8],
) -> Result<Answer, Fault> {
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
        Method::RegisterDepot => {
            let depot: Depot = read(arguments)?;
            Answer::of(&assets.register_depot(depot).await?)
        }
        Method::RemoveDepot => {
            let name: String = read(arguments)?;
            Answer::of(&assets.remove_depot(&name).await?)
        }
        Method::Scan => {
            let name: String = read(arguments)?;
            Answer::of(&assets.scan(&name).await?)
        }
        Method::SetTags => {
            let (dataset, column, tags): (DatasetId, Option<String>, Vec<String>) =
                read(arguments)?;
            Answer::of(&assets.set_tags(&dataset, column.as_deref(), tags).await?)
        }
        Method::SearchAssets => {
            let (text, limit, visible): (String, usize, BTreeSet<DatasetId>) = read(arguments)?;
            let is_visible = |id: &DatasetId| visible.contains(id);
            Answer::of(&assets.search(&text, limit, &is_visible).await?)
        }
        Method::GetLineage => {
            let dataset: DatasetId = read(arguments)?;
            Answer::of(&assets.lineage(&dataset).await?)
        }
        other => Err(elsewhere(other)),
    }
}

pub(super) async fn query(
    query: &dyn RunQuery,
    method: Method,
    arguments: &[u8],
) -> Result<Answer, Fault> {
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

pub(super) async fn resources(
    resources: &dyn Resources,
    method: Method,
    arguments: &[u8],
) -> Result<Answer, Fault> {
    match method {
        Method::Apply => {
            let (principal, request_id, workspace, manifests, plan): (
                Principal,
                String,
                String,
                String,
                Option<Hash>,
            ) = read(arguments)?;
            let applied = resources.apply(&principal, &request_id, &workspace, &manifests, plan);
            Answer::of(&applied.await?)
        }
        Method::PlanResources => {
            let (principal, workspace, manifests): (Principal, String, String) = read(arguments)?;
            Answer::of(&resources.plan(&principal, &workspace, &manifests).await?)
        }
        Method::ListResources => {
            let filter: ResourceFilter = read(arguments)?;
            Answer::of(&resources.list(&filter).await?)
        }
        Method::GetResource => {
            let id: ResourceId = read(arguments)?;
            Answer::of(&resources.get(&id).await?)
        }
        Method::DeleteResource => {
            let (principal, request_id, id): (Principal, String, ResourceId) = read(arguments)?;
            Answer::of(&resources.delete(&principal, &request_id, &id).await?)
        }
        Method::ResourceLog => {
            let (id, job, lines): (ResourceId, Option<String>, usize) = read(arguments)?;
            Answer::of(&resources.log(&id, job.as_deref(), lines).await?)
        }
        other => Err(elsewhere(other)),
    }
}
