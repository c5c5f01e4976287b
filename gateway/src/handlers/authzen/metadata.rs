//! What the decision point says about itself.

use std::sync::Arc;

use dataos_model::fault::Fault;
use dataos_pdp::authzen::OBLIGATION_TYPES;
use serde_json::{Value, json};

use crate::{
    respond::Answer,
    serve::{Call, Gateway},
};

/// Parameters of the metadata and the paths behind them.
const ENDPOINTS: &[(&str, &str)] = &[
    ("access_evaluation_endpoint", "/access/v1/evaluation"),
    ("access_evaluations_endpoint", "/access/v1/evaluations"),
    ("search_subject_endpoint", "/access/v1/search/subject"),
    ("search_resource_endpoint", "/access/v1/search/resource"),
    ("search_action_endpoint", "/access/v1/search/action"),
    ("jwks_uri", "/.well-known/jwks.json"),
];

/// The metadata document, plain and signed.
pub(crate) async fn configuration(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let base = match &gateway.authzen.url {
        Some(url) => url.clone(),
        None => format!("https://{}", call.head.host),
    };
    let mut document = document(&base);
    let mut claims = document.clone();
    if let (Some(claims), Some(fields)) = (claims.as_object_mut(), document.as_object_mut()) {
        let now = gateway.seams.clock.now().0 / 1000;
        claims.insert("iss".to_owned(), json!(base));
        claims.insert("iat".to_owned(), json!(now));
        let signed = gateway.authzen_keys.signed(&json!(claims));
        fields.insert("signed_metadata".to_owned(), json!(signed));
    }
    Ok(Answer::ok(&document))
}

fn document(base: &str) -> Value {
    let mut document = json!({"policy_decision_point": base});
    if let Some(fields) = document.as_object_mut() {
        for (name, path) in ENDPOINTS {
            fields.insert((*name).to_owned(), json!(format!("{base}{path}")));
        }
        fields.insert("supported_obligations".to_owned(), json!(OBLIGATION_TYPES));
    }
    document
}

/// The key that signs the metadata.
pub(crate) async fn key_set(gateway: Arc<Gateway>, _call: Arc<Call>) -> Result<Answer, Fault> {
    Ok(Answer::ok(&gateway.authzen_keys.key_set()))
}
