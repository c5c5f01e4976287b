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

use super::asking::{self, Question};
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
    if !asking::is_own(call, &evaluation.subject) {
        ask(gateway, call, &evaluation.subject.to_string()).await?;
    }
    let question = asking::question(gateway, call, &evaluation).await?;
    let supported = evaluation.supported_obligations()?;
    let decided = asking::decisions(gateway, std::slice::from_ref(&question)).await;
    let decision = decided
        .into_iter()
        .next()
        .ok_or_else(|| Fault::internal("no decision came"))?;
    let decision = authzen::enforceable(decision, supported.as_deref());
    let entry = asking::entry(call, &evaluation, &decision);
    asking::durable(vec![asking::append(gateway, entry)]).await?;
    Ok(Answer::ok(&authzen::answer(&decision)).with_fact("decision", decision.effect))
}

async fn ask(gateway: &Gateway, call: &Call, about: &str) -> Result<(), Fault> {
    asking::permitted(
        gateway,
        call,
        dataos_model::action::Action::AskDecision,
        about,
    )
    .await
}

/// An item of a batch on its way.
enum Item {
    Asked(Box<Evaluation>, Option<Vec<String>>),
    Failed(Fault),
}

async fn several(
    gateway: &Arc<Gateway>,
    call: &Call,
    items: Vec<Result<Evaluation, Fault>>,
    semantic: Semantic,
) -> Result<Answer, Fault> {
    let others = items.iter().flatten();
    let others = others
        .filter(|item| !asking::is_own(call, &item.subject))
        .count();
    if others > 0 {
        ask(gateway, call, &format!("{others} evaluations")).await?;
    }
    let mut asked = Vec::with_capacity(items.len());
    let mut questions = Vec::with_capacity(items.len());
    for item in items {
        match prepared(gateway, call, item).await {
            Ok((evaluation, supported, question)) => {
                questions.push(question);
                asked.push(Item::Asked(evaluation, supported));
            }
            Err(fault) => asked.push(Item::Failed(fault)),
        }
    }
    let mut decided = asking::decisions(gateway, &questions).await.into_iter();
    let (mut answers, mut pending, mut failed): (Vec<Value>, _, _) = (Vec::new(), Vec::new(), 0);
    for (position, item) in asked.into_iter().enumerate() {
        let decision = match item {
            Item::Failed(fault) => {
                failed += 1;
                answers.push(authzen::item_error(&fault));
                None
            }
            Item::Asked(evaluation, supported) => decided.next().map(|decision| {
                let decision = authzen::enforceable(decision, supported.as_deref());
                let entry = asking::entry(call, &evaluation, &decision);
                pending.push(asking::append(gateway, entry.with_fact("item", position)));
                answers.push(authzen::answer(&decision));
                decision
            }),
        };
        if semantic.stops_at(decision.is_some_and(|decision| decision.is_allowed())) {
            break;
        }
    }
    asking::durable(pending).await?;
    Ok(Answer::ok(&json!({"evaluations": answers}))
        .with_fact("evaluations", answers.len())
        .with_fact("failed", failed))
}

async fn prepared(
    gateway: &Gateway,
    call: &Call,
    item: Result<Evaluation, Fault>,
) -> Result<(Box<Evaluation>, Option<Vec<String>>, Question), Fault> {
    let evaluation = item?;
    let supported = evaluation.supported_obligations()?;
    let question = asking::question(gateway, call, &evaluation).await?;
    Ok((Box::new(evaluation), supported, question))
}
