//! The policies folder is in force as it stands.

use std::fs;

use crate::scene::first;

#[tokio::test]
async fn a_changed_policy_takes_hold_and_is_recorded_and_a_bad_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let scene = first(&folder.path().join("data")).await;
    let policies = scene.app.data_dir().join("policies");
    assert_eq!(scene.get("/metrics").await.status(), 200);
    let forbid = "@id(\"test.no-metrics\")\nforbid (principal, \
                  action == DataOS::Action::\"view_health\", \
                  resource == DataOS::ApiPath::\"/metrics\");\n";
    fs::write(policies.join("test.cedar"), forbid).unwrap();
    let denied: serde_json::Value = scene.until("/metrics", 403).await.json().await.unwrap();
    assert_eq!(denied["reason"], "forbidden");
    assert_eq!(denied["policies"], serde_json::json!(["test.no-metrics"]));

    // A set that does not load changes nothing and says so.
    fs::write(policies.join("bad.cedar"), "permit (principal").unwrap();
    let mut overview = scene.json("/api/v1/overview").await;
    for _ in 0..3000 {
        if !overview["policy_set"]["load_error"].is_null() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        overview = scene.json("/api/v1/overview").await;
    }
    let problem = overview["policy_set"]["load_error"].as_str().unwrap();
    assert!(problem.contains("bad.cedar"), "{problem}");
    assert_eq!(scene.get("/metrics").await.status(), 403);
    assert_eq!(scene.get("/readyz").await.status(), 200);

    fs::remove_file(policies.join("bad.cedar")).unwrap();
    fs::remove_file(policies.join("test.cedar")).unwrap();
    scene.until("/metrics", 200).await;
    let changes = scene.json("/api/v1/audit/entries?kind=policy_change").await;
    let actions: Vec<&str> = changes["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    assert!(actions.contains(&"policies_loaded") && actions.contains(&"policies_refused"));
    scene.app.shutdown().await;
}
