//! Policy texts applied over REST, and candidates checked and tested against the live catalog.

use serde_json::{Value, json};

use crate::scene::{Scene, client, first, start};

const FORBID: &str = "@id(\"test.no-metrics\")\nforbid (principal, action == DataOS::Action::\"view_health\", \
                      resource == DataOS::ApiPath::\"/metrics\");\n";

async fn put(
    scene: &Scene,
    path: &str,
    condition: Option<(&str, &str)>,
    text: &str,
) -> (u16, Option<String>, Value) {
    let mut request = scene
        .client
        .put(scene.url(&format!("/api/v1/policies/texts/{path}")))
        .bearer_auth(&scene.key)
        .header("content-type", "text/plain")
        .body(text.to_owned());
    if let Some((name, value)) = condition {
        request = request.header(name, value);
    }
    let response = request.send().await.unwrap();
    let etag = response
        .headers()
        .get("etag")
        .map(|value| value.to_str().unwrap().to_owned());
    (
        response.status().as_u16(),
        etag,
        response.json().await.unwrap(),
    )
}

async fn delete(scene: &Scene, path: &str, etag: Option<&str>) -> u16 {
    let mut request = scene
        .client
        .delete(scene.url(&format!("/api/v1/policies/texts/{path}")))
        .bearer_auth(&scene.key);
    if let Some(etag) = etag {
        request = request.header("if-match", etag);
    }
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "the life of one text, told in order")]
async fn a_text_is_put_changed_kept_over_a_restart_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let scene = first(&data).await;
    let (status, etag, answer) = put(&scene, "night-shift", None, FORBID).await;
    assert_eq!(
        (status, &answer["policies"]),
        (201, &json!(["test.no-metrics"])),
        "{answer}"
    );
    let etag = etag.unwrap();
    assert_eq!(scene.get("/metrics").await.status(), 403);

    // Neither blindly, nor as if it were new, nor over another text than the one that was read.
    let other = FORBID.replace("/metrics", "/other");
    assert_eq!(put(&scene, "night-shift", None, &other).await.0, 428);
    assert_eq!(
        put(&scene, "night-shift", Some(("if-none-match", "*")), &other)
            .await
            .0,
        412
    );
    assert_eq!(
        put(&scene, "night-shift", Some(("if-match", "\"0\"")), &other)
            .await
            .0,
        412
    );
    assert_eq!(scene.get("/metrics").await.status(), 403);

    let (status, _, problem) = put(&scene, "bad", None, "@id(\"x\")\npermit (principal;\n").await;
    assert_eq!(
        (status, &problem["location"]["line"]),
        (400, &json!(2)),
        "{problem}"
    );
    for path in ["platform/access.cedar", "policy:v1:x"] {
        let (status, _, problem) = put(&scene, path, None, FORBID).await;
        assert_eq!(status, 409, "{problem}");
        assert!(problem["hint"].is_string(), "{problem}");
    }

    scene.app.shutdown().await;
    let app = start(&data, None).await.unwrap();
    let scene = Scene {
        client: client(&app),
        app,
        key: scene.key,
    };
    assert_eq!(scene.get("/metrics").await.status(), 403);
    let shown = scene.get("/api/v1/policies/texts/night-shift").await;
    assert_eq!(shown.headers()["etag"].to_str().unwrap(), etag);
    let shown: Value = shown.json().await.unwrap();
    assert_eq!(
        (&shown["cedar"], &shown["origin"]),
        (&json!(FORBID), &json!("applied"))
    );
    let texts = scene.json("/api/v1/policies/texts").await;
    let file = texts["texts"]
        .as_array()
        .unwrap()
        .iter()
        .find(|t| t["name"] == "platform/access.cedar");
    assert_eq!(file.unwrap()["origin"], "file", "{texts}");

    assert_eq!(
        put(&scene, "night-shift", Some(("if-match", &etag)), &other)
            .await
            .0,
        200
    );
    assert_eq!(scene.get("/metrics").await.status(), 200);
    assert_eq!(delete(&scene, "night-shift", None).await, 428);
    assert_eq!(delete(&scene, "night-shift", Some(&etag)).await, 412);
    assert_eq!(delete(&scene, "night-shift", Some("*")).await, 204);
    assert_eq!(delete(&scene, "night-shift", Some("*")).await, 404);

    let changes = scene.json("/api/v1/audit/entries?kind=policy_change").await;
    let actions: Vec<&str> = changes["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions,
        ["policy_text_deleted", "policy_text_put", "policy_text_put"]
    );
    scene.app.shutdown().await;
}

#[tokio::test]
async fn a_candidate_is_checked_and_tested_against_what_is_known_here() {
    let folder = tempfile::tempdir().unwrap();
    let scene = first(&folder.path().join("data")).await;
    let schema = dataos_pdp::shipped_policies()
        .find(|(path, _)| path.ends_with("schema"))
        .unwrap()
        .1;
    let case = "- name: nobody sees metrics\n  principal: {user: root, roles: [admin]}\n  action: view_health\n  \
                resource: ApiPath::\"/metrics\"\n  expect: {decision: deny, policies: [test.no-metrics]}\n\
                - name: wrong\n  principal: {user: root}\n  action: view_health\n  \
                resource: ApiPath::\"/metrics\"\n  expect: {decision: allow}\n";
    let body =
        json!({"schema": schema, "files": {"a.cedar": FORBID}, "tests": {"tests/a.yaml": case}});
    let report: Value = scene
        .post("/api/v1/policies/test", &body)
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(
        (&report["passed"], &report["failed"]),
        (&json!(1), &json!(1)),
        "{report}"
    );
    assert_eq!(report["uncovered"], json!([]));
    let body =
        json!({"schema": schema, "files": {"a.cedar": "permit (principal, action, resource);"}});
    let report: Value = scene
        .post("/api/v1/policies/check", &body)
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(report["errors"], 1, "{report}");
    assert_eq!(report["findings"][0]["rule"], "invalid", "{report}");
    assert_eq!(scene.get("/metrics").await.status(), 200);
    scene.app.shutdown().await;
}
