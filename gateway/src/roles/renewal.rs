//! Keeps the identity of a process fresh: files that change are taken up, the gateway's own is made anew by the
//! built-in CA, and a role has its own renewed by the gateway while it is valid.

use std::{sync::Arc, time::Duration};

use dataos_model::{clock::Clock, fault::Fault, secret::Secret};
use rcgen::{CertificateParams, KeyPair};

use super::{
    identity::{self, Identity, Pem, Renewed},
    link::Link,
    method::Method,
};
use crate::certificates::tls::Watched;

/// How often files and the age of the certificate are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Pause after a renewal that failed.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// Keeps `identity` fresh for as long as the process runs; a role has a link to the `gateway`.
pub(crate) async fn keep_fresh(
    identity: Arc<Identity>,
    gateway: Option<Arc<Link>>,
    clock: Arc<dyn Clock>,
) {
    let mut watched = identity.watched();
    let mut pause = LOOK_EVERY;
    loop {
        tokio::time::sleep(pause).await;
        pause = LOOK_EVERY;
        let done = look(&identity, gateway.as_deref(), clock.as_ref(), &mut watched).await;
        if let Err(fault) = done {
            let left_s = (identity.current().not_after().0 - clock.now().0) / 1000;
            tracing::error!(%fault, left_s, "the identity of this role stays as it is");
            pause = RETRY_AFTER;
        }
    }
}

async fn look(
    identity: &Identity,
    gateway: Option<&Link>,
    clock: &dyn Clock,
    watched: &mut Watched,
) -> Result<(), Fault> {
    if watched.has_changed() {
        identity.take_up(clock.now())?;
        tracing::info!("identity files were taken up");
    }
    if identity.reissue(clock.now())? {
        tracing::info!("issued a new certificate of the role `gateway`");
    }
    let (Some(gateway), Some(folder)) = (gateway, identity.own_folder()) else {
        return Ok(());
    };
    let current = identity.current();
    // The gateway trusts another set of CAs than we: one is rolled over.
    let is_rolled_over = gateway
        .roots()
        .is_some_and(|roots| roots != current.roots_digest());
    if !current.is_half_over(clock.now()) && !is_rolled_over {
        return Ok(());
    }
    let pem = renewed(gateway).await?;
    identity.replace(&pem, clock.now())?;
    tracing::info!("this role has a new certificate");
    if let Err(fault) = identity::write(folder, &pem) {
        tracing::warn!(%fault, "the new certificate is in memory alone; a start finds the old one");
    }
    // What we wrote ourselves is no news.
    watched.has_changed();
    Ok(())
}

/// A new key, which never leaves this process but for its own file, and a certificate over it.
async fn renewed(gateway: &Link) -> Result<Pem, Fault> {
    let failed = |error: rcgen::Error| Fault::internal(format!("no signing request: {error}"));
    let key = KeyPair::generate().map_err(failed)?;
    let request = CertificateParams::default().serialize_request(&key);
    let request = request.map_err(failed)?.der().to_vec();
    let renewed: Renewed = gateway.call(Method::Renew, &request).await?;
    Ok(Pem {
        chain: renewed.chain,
        key: Secret::new(key.serialize_pem()),
        roots: renewed.roots,
        lists: None,
    })
}
