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
    let found = scene
        .json(&format!("/api/v1/audit/entries?request_id={id}"))
        .await;
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
