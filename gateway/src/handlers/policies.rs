//! The policies in force.

use std::sync::Arc;

use dataos_model::fault::Fault;
use serde_json::{Map, Value, json};

use super::wire;
use crate::{
    respond::Answer,
    serve::{Call, Gateway},
};

pub(crate) async fn list(gateway: Arc<Gateway>, _call: Arc<Call>) -> Result<Answer, Fault> {
    let info = gateway.seams.policies.info();
    let policies: Vec<Value> = gateway
        .seams
        .policies
        .list()
        .into_iter()
        .map(|policy| {
            let annotations: Map<String, Value> = policy
                .annotations
                .into_iter()
                .map(|(name, value)| (name, Value::String(value)))
                .collect();
            json!({
                "id": policy.id,
                "effect": policy.effect,
                "source": policy.source,
                "annotations": annotations,
                "text": policy.text,
            })
        })
        .collect();
    Ok(Answer::ok(&json!({
        "hash": info.hash.to_string(),
        "activated_at": wire::time(info.activated_at),
        "count": info.count,
        "load_error": info.load_error.map(|fault| fault.to_string()),
        "warnings": info.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "policies": policies,
    })))
}
