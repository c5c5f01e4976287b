//! The catalog. Lists are narrowed to what the caller may see before they are counted or ranked.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use dataos_model::{
    action::Action,
    dataset::DatasetId,
    decision::Request,
    depot::AssetSnapshot,
    entity::EntityUid,
    fault::{Fault, FaultKind},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{body, bounded, wire};
use crate::{
    decide::dataset_id,
    respond::Answer,
    serve::{Call, Gateway},
};

/// Most datasets in one answer.
const DATASETS_MAX: usize = 1000;
const DATASETS_DEFAULT: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TagsBody {
    column: Option<String>,
    tags: Vec<String>,
}

/// The datasets among `ids` that the caller may see: by `view_asset`, or because it may read them.
async fn visible<'a>(
    gateway: &Gateway,
    call: &Call,
    ids: impl Iterator<Item = &'a DatasetId>,
) -> HashSet<DatasetId> {
    let ids: Vec<&DatasetId> = ids.collect();
    let ask = |action, uid: EntityUid| Request {
        context: call.context.clone(),
        ..Request::new(&call.principal, action, uid)
    };
    let requests: Vec<Request> = ids
        .iter()
        .flat_map(|id| {
            [
                ask(Action::ViewAsset, id.uid()),
                ask(Action::Select, id.uid()),
            ]
        })
        .collect();
    let decisions = gateway.seams.decide.decide_all(&requests).await;
    ids.into_iter()
        .zip(decisions.chunks(2))
        .filter(|(_, pair)| {
            pair.iter()
                .any(dataos_model::decision::Decision::is_allowed)
        })
        .map(|(id, _)| id.clone())
        .collect()
}

pub(crate) async fn depots(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let snapshot = gateway.seams.assets.snapshot().await?;
    let seen = visible(&gateway, &call, snapshot.datasets.keys()).await;
    let own = visible_depots(&gateway, &call, &snapshot).await;
    let depots: Vec<Value> = snapshot
        .depots
        .values()
        .filter_map(|depot| {
            let count = seen.iter().filter(|id| id.depot == depot.name).count();
            let is_visible = count > 0 || own.contains(&depot.name);
            is_visible.then(|| {
                json!({
                    "name": depot.name,
                    "description": depot.description,
                    "owner": depot.owner,
                    "kind": depot.source.kind(),
                    "dataset_count": count,
                })
            })
        })
        .collect();
    Ok(Answer::ok(&json!({"depots": depots})))
}

async fn visible_depots(
    gateway: &Gateway,
    call: &Call,
    snapshot: &AssetSnapshot,
) -> BTreeSet<String> {
    let requests: Vec<Request> = snapshot
        .depots
        .keys()
        .map(|name| Request {
            context: call.context.clone(),
            ..Request::new(
                &call.principal,
                Action::ViewAsset,
                dataos_model::entity::EntityType::DEPOT.id(name),
            )
        })
        .collect();
    let decisions = gateway.seams.decide.decide_all(&requests).await;
    snapshot
        .depots
        .keys()
        .zip(decisions)
        .filter(|(_, decision)| decision.is_allowed())
        .map(|(name, _)| name.clone())
        .collect()
}

pub(crate) async fn scan(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let report = gateway
        .seams
        .assets
        .scan(call.parameters.get("depot")?)
        .await?;
    let addresses = |ids: &[DatasetId]| {
        ids.iter()
            .map(|id| format!("dataos://{id}"))
            .collect::<Vec<_>>()
    };
    let unreadable: Vec<Value> = report
        .unreadable
        .iter()
        .map(|(name, reason)| json!({"name": name, "reason": reason}))
        .collect();
    Ok(Answer::ok(&json!({
        "added": addresses(&report.added),
        "changed": addresses(&report.changed),
        "dropped": addresses(&report.dropped),
        "unchanged": report.unchanged,
        "unreadable": unreadable,
    }))
    .with_fact("added", report.added.len())
    .with_fact("dropped", report.dropped.len()))
}

pub(crate) async fn search(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let limit = bounded(&call, "limit", DATASETS_DEFAULT, DATASETS_MAX)?;
    let depot = call.head.query.get("depot");
    let snapshot = gateway.seams.assets.snapshot().await?;
    let candidates = snapshot
        .datasets
        .keys()
        .filter(|id| depot.is_none_or(|depot| id.depot == depot));
    let seen = visible(&gateway, &call, candidates).await;
    let found: Vec<DatasetId> = match call.head.query.get("q") {
        Some(text) => {
            gateway
                .seams
                .assets
                .search(text, limit, &|id| seen.contains(id))
                .await?
        }
        None => {
            let mut all: Vec<DatasetId> = seen.iter().cloned().collect();
            all.sort();
            all
        }
    };
    let datasets: Vec<Value> = found
        .iter()
        .filter(|id| seen.contains(id))
        .filter_map(|id| snapshot.datasets.get(id))
        .take(limit)
        .map(|dataset| wire::dataset_summary(dataset))
        .collect();
    Ok(Answer::ok(&json!({"datasets": datasets})))
}

pub(crate) async fn dataset(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    one(&gateway, &dataset_id(&call.parameters)?).await
}

async fn one(gateway: &Gateway, id: &DatasetId) -> Result<Answer, Fault> {
    let snapshot = gateway.seams.assets.snapshot().await?;
    let found = snapshot
        .datasets
        .get(id)
        .zip(snapshot.depots.get(&id.depot));
    match found {
        Some((dataset, depot)) => Ok(Answer::ok(&wire::dataset(dataset, depot))),
        None => Err(Fault::not_found(
            "there is no such thing, or you may not see it",
        )),
    }
}

pub(crate) async fn set_tags(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let wire: TagsBody = body(&call)?;
    let id = dataset_id(&call.parameters)?;
    let tags = wire.tags.join(" ");
    gateway
        .seams
        .assets
        .set_tags(&id, wire.column.as_deref(), wire.tags)
        .await?;
    let answer = one(&gateway, &id).await?.with_fact("tags", tags);
    Ok(match wire.column {
        Some(column) => answer.with_fact("column", column),
        None => answer,
    })
}

pub(crate) async fn lineage(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let id = dataset_id(&call.parameters)?;
    let lineage = match gateway.seams.assets.lineage(&id).await {
        Err(fault) if fault.kind == FaultKind::NotFound => {
            return Err(Fault::not_found(
                "there is no such thing, or you may not see it",
            ));
        }
        other => other?,
    };
    let others: BTreeSet<&DatasetId> = lineage
        .upstream
        .iter()
        .map(|edge| &edge.source)
        .chain(lineage.downstream.iter().map(|(target, _)| target))
        .collect();
    let seen = visible(&gateway, &call, others.into_iter()).await;
    let edge = |other: &DatasetId, edge: &dataos_model::lineage::ColumnEdge| {
        json!({
            "dataset": format!("dataos://{other}"),
            "source_column": edge.source_column,
            "target_column": edge.target_column,
            "transformation": edge.transformation.name(),
        })
    };
    let upstream: Vec<Value> = lineage
        .upstream
        .iter()
        .filter(|item| seen.contains(&item.source))
        .map(|item| edge(&item.source, item))
        .collect();
    let downstream: Vec<Value> = lineage
        .downstream
        .iter()
        .filter(|(target, _)| seen.contains(target))
        .map(|(target, item)| edge(target, item))
        .collect();
    Ok(Answer::ok(
        &json!({"upstream": upstream, "downstream": downstream}),
    ))
}
