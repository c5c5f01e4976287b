//! The gRPC service `dataos.heimdall.v1.Decisions`: messages in and out of the questions that AuthZEN
//! asks, with the same right to ask, decision and record.

use std::sync::Arc;

use dataos_model::fault::{Fault, Location};
use dataos_pdp::decisions;

use super::asking::{self, Decided};
use crate::{
    respond::Answer,
    rpc,
    serve::{Call, Gateway},
};

/// One question.
pub(crate) async fn decide(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let vocabulary = gateway.seams.explore.vocabulary();
    let evaluation = decisions::read_one(rpc::message(&call.body)?, &vocabulary)?;
    let decided = asking::one(&gateway, &call, evaluation).await?;
    let effect = decided.decision.effect;
    let answer = rpc::answer(&decisions::answer_one(message(&decided)))?;
    Ok(answer.with_fact("decision", effect))
}

/// Several questions. One that cannot be put refuses all, before anything is decided.
pub(crate) async fn decide_all(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let vocabulary = gateway.seams.explore.vocabulary();
    let (evaluations, semantic) = decisions::read_all(rpc::message(&call.body)?, &vocabulary)?;
    let items = evaluations.into_iter().map(Ok).collect();
    let items = asking::prepared(&gateway, &call, items).await?;
    if let Some((index, fault)) = items
        .iter()
        .enumerate()
        .find_map(|(index, item)| item.as_ref().err().map(|fault| (index, fault)))
    {
        return Err(inside(fault.clone(), index));
    }
    let decided = asking::several(&gateway, &call, items, semantic).await?;
    let decided = decided.into_iter().collect::<Result<Vec<_>, _>>()?;
    let messages: Vec<_> = decided.iter().map(message).collect();
    let count = messages.len();
    let answer = rpc::answer(&decisions::answer_all(messages))?;
    Ok(answer.with_fact("evaluations", count))
}

fn message(decided: &Decided) -> decisions::wire::Decision {
    decisions::decision(&decided.decision, decided.log_index)
}

/// The fault with its place counted from the top of the message.
fn inside(mut fault: Fault, index: usize) -> Fault {
    let inner = fault.location.take().and_then(|place| place.field);
    let path = match inner {
        Some(field) => format!("requests[{index}].{field}"),
        None => format!("requests[{index}]"),
    };
    fault.at(Location {
        field: Some(path),
        ..Location::default()
    })
}
