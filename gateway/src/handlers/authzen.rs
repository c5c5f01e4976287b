//! The OpenID AuthZEN Authorization API 1.0 over HTTPS. The mapping of bodies is the PDP's; here is
//! who may ask, what is recorded, and the pages of searches.

mod metadata;
pub(super) mod search;

use std::sync::Arc;

use dataos_model::fault::Fault;
use dataos_pdp::authzen::{self, Evaluation, Evaluations, Semantic};
use serde_json::{Value, json};

pub(crate) use metadata::{configuration, key_set};
pub(crate) use search::{actions, resources, subjects};

use super::asking;
use crate::{
    respond::Answer,
    serve::{Call, Gateway},
};

/// One evaluation.
pub(crate) async fn evaluation(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let vocabulary = gateway.seams.explore.vocabulary();
    let evaluation = Evaluation::read(&call.body, &vocabulary)?;
    single(&gateway, &call, evaluation).await
}

/// Several evaluations, or one.
pub(crate) async fn evaluations(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let vocabulary = gateway.seams.explore.vocabulary();
    match Evaluations::read(&call.body, &vocabulary)? {
        Evaluations::Single(evaluation) => single(&gateway, &call, *evaluation).await,
        Evaluations::Several(items, semantic) => several(&gateway, &call, items, semantic).await,
    }
}

async fn single(
    gateway: &Arc<Gateway>,
    call: &Call,
    evaluation: Evaluation,
) -> Result<Answer, Fault> {
    let decision = asking::one(gateway, call, evaluation).await?.decision;
    Ok(Answer::ok(&authzen::answer(&decision)).with_fact("decision", decision.effect))
}

async fn several(
    gateway: &Arc<Gateway>,
    call: &Call,
    items: Vec<Result<Evaluation, Fault>>,
    semantic: Semantic,
) -> Result<Answer, Fault> {
    let items = asking::prepared(gateway, call, items).await?;
    let outcomes = asking::several(gateway, call, items, semantic).await?;
    let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    let answers: Vec<Value> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Ok(decided) => authzen::answer(&decided.decision),
            Err(fault) => authzen::item_error(fault),
        })
        .collect();
    let count = answers.len();
    Ok(Answer::ok(&json!({"evaluations": answers}))
        .with_fact("evaluations", count)
        .with_fact("failed", failed))
}
