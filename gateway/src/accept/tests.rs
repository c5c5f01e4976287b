//! The front as a peer meets it: bytes and frames over real TLS sockets.

mod client;
mod ending;
mod http1;
mod http2;
mod limits;
mod paths;
mod streams;

use std::{net::SocketAddr, sync::Arc};

use dataos_model::record::EntryKind;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::{net::TcpListener, sync::watch};

use super::Acceptor;
use crate::{
    certificates::tls::Tls,
    config::Limits,
    serve::tests::fakes::{Scene, scene_with},
};
use client::Client;

/// How often something is looked for, each 10 ms; the machine may be busy.
const LOOKS: usize = 6000;

/// A front that listens, with fakes behind it.
struct Front {
    scene: Scene,
    address: SocketAddr,
    client: ClientConfig,
    tls: Arc<Tls>,
    stop: watch::Sender<bool>,
}

async fn front(limits: Limits) -> Front {
    let scene = scene_with(limits.clone()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (stop, stopped) = watch::channel(false);
    let gateway = Arc::clone(&scene.gateway);
    let tls = Tls::fixed(tls);
    let acceptor = Acceptor::new(listener, Arc::clone(&tls), gateway, limits);
    tokio::spawn(acceptor.run(stopped));
    Front {
        scene,
        address,
        client,
        tls,
        stop,
    }
}

impl Front {
    async fn connect(&self, protocol: &str) -> Client {
        let mut config = self.client.clone();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Client::connect(self.address, config).await
    }

    /// Refusals by reason, as the metrics tell.
    fn refused(&self, reason: &str) -> u64 {
        let text = self.scene.gateway.figures.prometheus();
        let line = format!("dataos_refused_total{{reason=\"{reason}\"}} ");
        let found = text.lines().find_map(|found| found.strip_prefix(&line));
        found.map_or(0, |count| count.parse().unwrap())
    }

    /// All refusals in the log: recorded one by one, or counted in a gap.
    fn recorded(&self) -> u64 {
        self.scene.gateway.refusals.write_gap();
        let entries = self.scene.record.entries.lock().unwrap();
        let count = |entry: &dataos_model::record::Entry| match entry.kind {
            EntryKind::Gap => entry.facts["refused_pre_auth"].parse().unwrap(),
            _ => u64::from(entry.action == "refused_pre_auth"),
        };
        entries.iter().map(count).sum()
    }

    /// Waits until exactly so many refusals are in the log: a peer may notice its own before that.
    async fn until_recorded(&self, count: u64) {
        for _ in 0..LOOKS {
            if self.recorded() >= count {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let figures = self.scene.gateway.figures.prometheus();
        assert_eq!(self.recorded(), count, "{figures}");
    }

    /// Waits until so many refusals of this reason are counted.
    async fn until_refused(&self, reason: &str, count: u64) {
        for _ in 0..LOOKS {
            if self.refused(reason) >= count {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!(
            "{reason} is not {count}:\n{}",
            self.scene.gateway.figures.prometheus()
        );
    }
}
