//! Questions as the messages of `proto/dataos/heimdall/v1/decisions.proto` and back: pure, no gRPC.
//!
//! Enters: one message. Leaves: the evaluations that it asks for, which go the way of AuthZEN's from
//! there on, and decisions as messages. Stricter than AuthZEN: a batch with one malformed question is
//! refused as a whole. Never done here: a decision, a look at a credential.

mod value;

/// The messages, generated from the `.proto`; `tests/it/wire.rs` keeps them fresh.
pub mod wire {
    include!("decisions/dataos.heimdall.v1.rs");
}

use dataos_model::{
    decision::Decision,
    entity::EntityUid,
    fault::{Fault, FaultKind},
    vocabulary::Vocabulary,
};
use prost::Message;
use serde_json::{Map, Value as Json, json};

use crate::authzen::{
    EVALUATIONS_MAX, Evaluation, Semantic, action_named, at, entity_named, obligations,
};
use value::{nested_too_deep, object};

/// Full name of the service.
pub const SERVICE: &str = "dataos.heimdall.v1.Decisions";
/// Most bytes of one message; the edge may set less. Decoded, it takes up to fifty times as much.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Most entries of `supported_obligations.types`.
const OBLIGATION_TYPES_MAX: usize = 64;
/// Where an enforcement point's obligations stand in an evaluation.
const SUPPORTED: &str = "supported_obligations";

/// Reads a `DecideRequest`.
///
/// # Errors
/// A message that is malformed or above a bound, a field that is missing or does not fit, or a name
/// that means several own types or actions; the fault names the bound or field.
pub fn read_one(bytes: &[u8], vocabulary: &Vocabulary) -> Result<Evaluation, Fault> {
    evaluation(decode(bytes, "DecideRequest")?, "", vocabulary)
}

/// Reads a `DecideAllRequest`.
///
/// # Errors
/// As of [`read_one`]; also no question, or too many.
pub fn read_all(
    bytes: &[u8],
    vocabulary: &Vocabulary,
) -> Result<(Vec<Evaluation>, Semantic), Fault> {
    check_size(bytes)?;
    // Counted before anything is decoded: an empty question takes two bytes, and hundreds in memory.
    if questions(bytes) > EVALUATIONS_MAX {
        let message = format!("`requests` has more than {EVALUATIONS_MAX} questions");
        return Err(Fault::new(FaultKind::TooLarge, message).at(at("requests")));
    }
    let request: wire::DecideAllRequest = decode(bytes, "DecideAllRequest")?;
    if request.requests.is_empty() {
        return Err(Fault::invalid("`requests` is empty").at(at("requests")));
    }
    let semantic = semantic(request.semantic)?;
    let evaluations = request.requests.into_iter().enumerate();
    let evaluations = evaluations
        .map(|(index, request)| evaluation(request, &format!("requests[{index}]."), vocabulary));
    Ok((evaluations.collect::<Result<_, _>>()?, semantic))
}

fn check_size(bytes: &[u8]) -> Result<(), Fault> {
    if bytes.len() <= MESSAGE_BYTES_MAX {
        return Ok(());
    }
    let message = format!("the message is above {MESSAGE_BYTES_MAX} bytes");
    Err(Fault::new(FaultKind::TooLarge, message))
}

fn decode<M: Message + Default>(bytes: &[u8], name: &str) -> Result<M, Fault> {
    check_size(bytes)?;
    M::decode(bytes).map_err(|error| {
        let problem = error.to_string();
        // The decoder's own bound lies above ours.
        if problem.contains("recursion limit") {
            return nested_too_deep(name);
        }
        Fault::invalid(format!("the message is no {name}: {problem}"))
    })
}

/// How often field 1 stands at the top of a message; of a malformed one, up to where it is malformed.
fn questions(mut rest: &[u8]) -> usize {
    let mut count = 0;
    while let Some(key) = varint(&mut rest) {
        count += usize::from(key >> 3 == 1);
        let skipped = match key & 7 {
            0 => varint(&mut rest).map(|_| 0),
            1 => Some(8),
            2 => varint(&mut rest),
            5 => Some(4),
            _ => None,
        };
        let after = skipped
            .and_then(|bytes| usize::try_from(bytes).ok())
            .and_then(|bytes| rest.get(bytes..));
        match after {
            Some(after) => rest = after,
            None => break,
        }
    }
    count
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn semantic(number: i32) -> Result<Semantic, Fault> {
    match wire::Semantic::try_from(number) {
        Ok(wire::Semantic::Unspecified | wire::Semantic::ExecuteAll) => Ok(Semantic::ExecuteAll),
        Ok(wire::Semantic::DenyOnFirstDeny) => Ok(Semantic::DenyOnFirstDeny),
        Ok(wire::Semantic::PermitOnFirstPermit) => Ok(Semantic::PermitOnFirstPermit),
        Err(_) => {
            Err(Fault::invalid(format!("`semantic` has no value {number}")).at(at("semantic")))
        }
    }
}

fn evaluation(
    request: wire::DecideRequest,
    place: &str,
    vocabulary: &Vocabulary,
) -> Result<Evaluation, Fault> {
    let field = |name: &str| format!("{place}{name}");
    let missing = |name: &str| {
        let path = field(name);
        Fault::invalid(format!("`{path}` is missing")).at(at(path))
    };
    let subject = request.subject.ok_or_else(|| missing("subject"))?;
    let action = request.action.ok_or_else(|| missing("action"))?;
    let resource = request.resource.ok_or_else(|| missing("resource"))?;
    if action.name.is_empty() {
        return Err(missing("action.name"));
    }
    let mut context = object(request.context, &field("context"))?;
    if context.contains_key(SUPPORTED) {
        let path = format!("{}.{SUPPORTED}", field("context"));
        return Err(Fault::invalid(format!("`{path}` is a field of its own"))
            .at(at(path))
            .with_hint("send `supported_obligations` beside the context"));
    }
    if let Some(supported) = request.supported_obligations {
        if supported.types.len() > OBLIGATION_TYPES_MAX {
            let path = field("supported_obligations.types");
            let message = format!("`{path}` has more than {OBLIGATION_TYPES_MAX} entries");
            return Err(Fault::new(FaultKind::TooLarge, message).at(at(path)));
        }
        context.insert(SUPPORTED.to_owned(), json!(supported.types));
    }
    let (subject, subject_properties) = party(subject, &field("subject"), vocabulary)?;
    let (resource, resource_properties) = party(resource, &field("resource"), vocabulary)?;
    let named = action_named(&action.name, Some(&resource.entity_type), vocabulary)?;
    Ok(Evaluation {
        subject,
        subject_properties,
        action_properties: object(action.properties, &field("action.properties"))?,
        action: named.map_or(action.name, |action| action.name().to_owned()),
        resource,
        resource_properties,
        context,
    })
}

fn party(
    sent: wire::Entity,
    path: &str,
    vocabulary: &Vocabulary,
) -> Result<(EntityUid, Map<String, Json>), Fault> {
    for (text, name) in [(&sent.r#type, "type"), (&sent.id, "id")] {
        if text.is_empty() {
            let path = format!("{path}.{name}");
            return Err(Fault::invalid(format!("`{path}` is missing")).at(at(path)));
        }
    }
    let uid = entity_named(&sent.r#type, &sent.id, vocabulary, path)?;
    Ok((uid, object(sent.properties, &format!("{path}.properties"))?))
}

/// A decision, and the index of its record in the log, as it is answered.
pub fn decision(decision: &Decision, log_index: u64) -> wire::Decision {
    let effect = if decision.is_allowed() {
        wire::Effect::Allow
    } else {
        wire::Effect::Deny
    };
    let text = |json: &Json, name: &str| json.get(name).and_then(Json::as_str).map(str::to_owned);
    let obligations = obligations(&decision.obligations);
    let obligations = obligations.iter().map(|json| wire::Obligation {
        id: text(json, "id").unwrap_or_default(),
        r#type: text(json, "type").unwrap_or_default(),
        properties_json: json
            .get("properties")
            .map(Json::to_string)
            .unwrap_or_default(),
    });
    wire::Decision {
        effect: effect.into(),
        reason: decision.reason.code().to_owned(),
        detail: decision.detail.clone(),
        policies: decision
            .policies
            .iter()
            .map(|policy| policy.id.clone())
            .collect(),
        policy_set: decision.policy_set.to_string(),
        obligations: obligations.collect(),
        log_index,
    }
}

/// The answer to one question.
pub fn answer_one(decision: wire::Decision) -> Vec<u8> {
    let decision = Some(decision);
    wire::DecideResponse { decision }.encode_to_vec()
}

/// The answer to several.
pub fn answer_all(decisions: Vec<wire::Decision>) -> Vec<u8> {
    wire::DecideAllResponse { decisions }.encode_to_vec()
}

#[cfg(test)]
mod tests;
