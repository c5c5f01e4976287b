//! Start, restart, and what refuses to start.

use dataos_gateway::app::App;
use dataos_gateway::config::Config;
use dataos_model::fault::FaultKind;

use crate::scene::{client, first, start};

#[tokio::test]
async fn a_restart_keeps_accounts_keys_records_and_the_ca() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let scene = first(&path).await;
    let ca = scene.app.ca_pem().to_owned();
    let size = scene.json("/api/v1/audit/status").await["size"]
        .as_u64()
        .unwrap();
    let log_key = scene
        .client
        .get(scene.url("/log/key"))
        .send()
        .await
        .unwrap();
    let log_key = log_key.text().await.unwrap();
    let key = scene.key.clone();
    scene.app.shutdown().await;

    let app = start(&path, None).await.unwrap();
    assert!(app.first_login().is_none(), "a second administrator");
    assert_eq!(app.ca_pem(), ca);
    let client = client(&app);
    let scene = crate::scene::Scene { app, client, key };
    assert_eq!(scene.json("/api/v1/session").await["user"], "admin");
    assert!(
        scene.json("/api/v1/audit/status").await["size"]
            .as_u64()
            .unwrap()
            > size
    );
    let again = scene
        .client
        .get(scene.url("/log/key"))
        .send()
        .await
        .unwrap();
    assert_eq!(again.text().await.unwrap(), log_key);
    scene.app.shutdown().await;
}

#[tokio::test]
async fn what_is_taken_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let app = start(&path, None).await.unwrap();
    let fault = start(&path, None).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Conflict);
    assert!(
        fault.to_string().contains("choose another --data-dir"),
        "{fault}"
    );
    let config = Config::for_demo(&folder.path().join("other"), app.address()).unwrap();
    let fault = App::start(config, |_| ()).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Conflict);
    assert!(fault.to_string().contains("--listen"), "{fault}");
    assert!(
        !folder.path().join("other").exists(),
        "made a directory before it knew"
    );
    app.shutdown().await;
}

#[tokio::test]
async fn broken_policies_and_secrets_stop_the_start_and_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    start(&path, None).await.unwrap().shutdown().await;
    let policy = path.join("policies/mine.cedar");
    std::fs::write(&policy, "permit (principal action resource);").unwrap();
    let fault = start(&path, None).await.unwrap_err();
    assert!(fault.to_string().contains("mine.cedar"), "{fault}");
    std::fs::remove_file(&policy).unwrap();
    let sealed = path.join("secrets.sealed");
    let mut bytes = std::fs::read(&sealed).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&sealed, &bytes).unwrap();
    let fault = start(&path, None).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Damaged);
    assert_eq!(std::fs::read(&sealed).unwrap(), bytes);
    bytes[40] ^= 1;
    std::fs::write(&sealed, &bytes).unwrap();
    start(&path, None).await.unwrap().shutdown().await;
}
