//! One call from the socket to the log and back.

use dataos_proof::{note::VerifierKey, receipt};
use serde_json::json;

use crate::scene::first;

#[tokio::test]
async fn each_governed_answer_has_a_receipt_that_verifies_offline() {
    let folder = tempfile::tempdir().unwrap();
    let scene = first(&folder.path().join("data")).await;
    let key = scene
        .client
        .get(scene.url("/log/key"))
        .send()
        .await
        .unwrap();
    let key: VerifierKey = key.text().await.unwrap().trim().parse().unwrap();
    let calls = [
        scene.get("/api/v1/session").await,
        scene.get("/api/v1/overview").await,
        scene.get("/metrics").await,
        scene
            .post("/api/v1/query", &json!({"sql": "SELECT 1 AS one"}))
            .await,
        scene.get("/api/v1/catalog/datasets/no/such/thing").await,
        scene.post("/api/v1/query", &json!({"sql": "SELEKT"})).await,
    ];
    let statuses: Vec<u16> = calls.iter().map(|call| call.status().as_u16()).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 404, 400]);
    for call in calls {
        let text = call.headers()["dataos-receipt"]
            .to_str()
            .unwrap()
            .to_owned();
        receipt::verify(&text, &key).unwrap();
        let mut forged = text.into_bytes();
        let middle = forged.len() / 2;
        forged[middle] = if forged[middle] == b'A' { b'B' } else { b'A' };
        assert!(receipt::verify(std::str::from_utf8(&forged).unwrap(), &key).is_err());
    }
    scene.app.shutdown().await;
}

#[tokio::test]
async fn the_log_tells_who_did_what_and_how_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let scene = first(&folder.path().join("data")).await;
    let user = json!({"user": "alice", "password": "correct horse", "roles": ["data-developer"]});
    let created = scene.post("/api/v1/users", &user).await;
    assert_eq!(created.status(), 201);
    let id = created.headers()["dataos-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let shown = created.text().await.unwrap();
    assert!(!shown.contains("horse"), "{shown}");
    // The outcome is appended behind the answer, which does not wait for it.
    let path = format!("/api/v1/audit/entries?request_id={id}");
    let mut found = scene.json(&path).await;
    for _ in 0..1200 {
        if found["entries"].as_array().unwrap().len() >= 3 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        found = scene.json(&path).await;
    }
    let entries = found["entries"].as_array().unwrap();
    let mut kinds: Vec<&str> = entries
        .iter()
        .map(|e| e["kind"].as_str().unwrap())
        .collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["decision", "identity_change", "outcome"]);
    let decision = entries.iter().find(|e| e["kind"] == "decision").unwrap();
    let outcome = entries.iter().find(|e| e["kind"] == "outcome").unwrap();
    assert_eq!(decision["action"], "manage_identity");
    assert_eq!(decision["policies"], json!(["platform.admin"]));
    assert_eq!(outcome["completes"], decision["index"]);
    assert_eq!(outcome["facts"]["status"], "201");
    let everything = scene
        .json("/api/v1/audit/entries?limit=1000")
        .await
        .to_string();
    for secret in ["correct horse", scene.key.as_str()] {
        assert!(!everything.contains(secret));
    }
    let index = decision["index"].as_u64().unwrap();
    let proof = scene
        .get(&format!("/api/v1/audit/entries/{index}/proof"))
        .await;
    assert_eq!(proof.status(), 200);
    scene.app.shutdown().await;
}

#[tokio::test]
async fn silent_connections_lose_their_place() {
    use std::{sync::Arc, time::Duration};
    use tokio::{io::AsyncReadExt, net::TcpStream};
    use tokio_rustls::{
        TlsConnector,
        rustls::{
            ClientConfig, RootCertStore,
            pki_types::{CertificateDer, ServerName, pem::PemObject},
        },
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dataos.toml");
    std::fs::write(
        &file,
        "[limits]\nhandshake_timeout = \"1s\"\nhead_timeout = \"1s\"\n",
    )
    .unwrap();
    let flags = dataos_gateway::config::Flags {
        listen: Some("127.0.0.1:0".to_owned()),
        data_dir: Some(folder.path().join("data")),
        config: Some(file),
        ..Default::default()
    };
    let config = dataos_gateway::config::Config::load(&flags, std::iter::empty()).unwrap();
    let app = dataos_gateway::app::App::start(config, |_| ())
        .await
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(app.ca_pem().as_bytes()).unwrap())
        .unwrap();
    let client = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(client));
    let mut before_tls = TcpStream::connect(app.address()).await.unwrap();
    let stream = TcpStream::connect(app.address()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut after_tls = connector.connect(name, stream).await.unwrap();
    let ended = async {
        let mut rest = Vec::new();
        // An end or a reset: either way the place is free.
        let _ = before_tls.read_to_end(&mut rest).await;
        let _ = after_tls.read_to_end(&mut rest).await;
    };
    tokio::time::timeout(Duration::from_secs(60), ended)
        .await
        .expect("still connected");
    app.shutdown().await;
}

#[tokio::test]
async fn plain_text_and_old_tls_do_not_get_in() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let folder = tempfile::tempdir().unwrap();
    let scene = first(&folder.path().join("data")).await;
    let mut stream = tokio::net::TcpStream::connect(scene.app.address())
        .await
        .unwrap();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    // A reset is as good as an end.
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "answered without TLS");
    let stranger = reqwest::Client::builder().no_proxy().build().unwrap();
    assert!(
        stranger.get(scene.url("/healthz")).send().await.is_err(),
        "a CA that nobody trusts"
    );
    let old = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(scene.app.ca_pem().as_bytes()).unwrap()])
        .tls_version_max(reqwest::tls::Version::TLS_1_2)
        .no_proxy()
        .build()
        .unwrap();
    assert!(
        old.get(scene.url("/healthz")).send().await.is_err(),
        "TLS 1.2 got in"
    );
    assert_eq!(scene.get("/healthz").await.status(), 200);
    scene.app.shutdown().await;
}
