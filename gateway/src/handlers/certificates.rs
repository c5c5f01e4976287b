//! Client certificates of services, and the built-in CA that issues them.

use std::sync::Arc;

use dataos_model::{
    fault::{Fault, Location},
    record::{Entry, EntryKind},
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::{body, wire};
use crate::{
    authenticate::certificate::{NAME_BYTES_MAX, is_service_name},
    certificates::authority::{Authority, Step},
    respond::Answer,
    serve::{Call, Gateway},
};

/// Life where nobody says how long.
const LIFE_S_DEFAULT: i64 = 30 * 86_400;
/// Longest life: there is no revocation list, so a lost key works until its certificate ends.
const LIFE_S_MAX: i64 = 398 * 86_400;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RollOverBody {
    step: Step,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewCertificateBody {
    service: String,
    expires_in_seconds: Option<i64>,
}

/// Issues a certificate by the built-in CA; its key is in the answer and nowhere else.
pub(crate) async fn create(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let wire: NewCertificateBody = body(&call)?;
    if !is_service_name(&wire.service) {
        let message = format!(
            "`{}` is no name of a service: 1 to {NAME_BYTES_MAX} of A-Z, a-z, 0-9, `.`, `_`, `-`, \
             a letter or digit first, and not the platform's own",
            wire.service
        );
        return Err(Fault::invalid(message).at(Location {
            field: Some("service".to_owned()),
            ..Location::default()
        }));
    }
    let life_s = wire.expires_in_seconds.unwrap_or(LIFE_S_DEFAULT);
    if !(1..=LIFE_S_MAX).contains(&life_s) {
        let problem = format!("expires_in_seconds is not from 1 to {LIFE_S_MAX}");
        return Err(Fault::invalid(problem));
    }
    let now = gateway.seams.clock.now();
    let issued = gateway
        .certificates()?
        .issue_client(&wire.service, life_s, now)?;
    let mut entry = Entry::new(EntryKind::IdentityChange, &call.request_id)
        .with_fact("identity", &issued.identity)
        .with_fact("fingerprint", issued.fingerprint);
    entry.action = "certificate_issued".to_owned();
    entry.principal = call.principal.uid.to_string();
    entry.resource.clone_from(&wire.service);
    entry.request_digest = call.digest;
    gateway.seams.record.append(entry).await?;
    Ok(Answer::json(
        StatusCode::CREATED,
        &json!({
            "service": wire.service,
            "identity": issued.identity,
            "fingerprint": issued.fingerprint.to_string(),
            "expires_at": wire::time(issued.expires_at),
            "certificate": issued.certificate_pem,
            "key": issued.key_pem,
            "ca": issued.ca_pem,
        }),
    ))
}

/// The built-in CA: what clients must trust, and where its roll-over stands.
pub(crate) async fn authority(gateway: Arc<Gateway>, _call: Arc<Call>) -> Result<Answer, Fault> {
    told(gateway.certificates()?.authority()?)
}

/// Takes a step of the CA's roll-over.
pub(crate) async fn roll_over(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let wire: RollOverBody = body(&call)?;
    let certificates = gateway.certificates()?;
    let phase = certificates
        .roll_over(wire.step, gateway.seams.clock.now())
        .await?;
    let mut entry = Entry::new(EntryKind::IdentityChange, &call.request_id);
    for ca in certificates.authority()?.told()? {
        entry = entry.with_fact(ca.role, ca.fingerprint);
    }
    entry.action = "certificate_authority_rolled".to_owned();
    entry.principal = call.principal.uid.to_string();
    phase.name().clone_into(&mut entry.resource);
    entry.request_digest = call.digest;
    gateway.seams.record.append(entry).await?;
    told(certificates.authority()?)
}

fn told(authority: &Authority) -> Result<Answer, Fault> {
    let authorities = authority.told()?;
    let authorities = authorities.iter().map(|ca| {
        json!({
            "role": ca.role,
            "subject": ca.subject,
            "fingerprint": ca.fingerprint.to_string(),
            "expires_at": wire::time(ca.expires_at),
        })
    });
    Ok(Answer::json(
        StatusCode::OK,
        &json!({
            "phase": authority.phase().name(),
            "authorities": authorities.collect::<Vec<_>>(),
            "ca": authority.bundle(),
        }),
    ))
}
