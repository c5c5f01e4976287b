//! Templates and links over REST: put, shown, kept over a restart, and who uses what.

use serde_json::{Value, json};

use crate::scene::{Scene, client, first, start};

const TEMPLATE: &str = "@id(\"no-path\")\nforbid (principal, action in [DataOS::Action::\"view_health\", \
                        DataOS::Action::\"call\"], resource == ?resource);\n";

async fn send(
    scene: &Scene,
    method: reqwest::Method,
    path: &str,
    condition: Option<(&str, &str)>,
    body: Option<&Value>,
) -> (u16, Option<String>, Value) {
    let mut request = scene
        .client
        .request(method, scene.url(path))
        .bearer_auth(&scene.key);
    if let Some((name, value)) = condition {
        request = request.header(name, value);
    }
    if let Some(body) = body {
        request = match body {
            Value::String(text) => request
                .header("content-type", "text/plain")
                .body(text.clone()),
            body => request.json(body),
        };
    }
    let response = request.send().await.unwrap();
    let etag = response.headers().get("etag");
    let etag = etag.map(|value| value.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    let answer = response.json().await.unwrap_or(Value::Null);
    (status, etag, answer)
}

const TEXT: &str = "/api/v1/policies/texts/paths";
const LINK: &str = "/api/v1/policy-links/no-metrics";

fn to(path: &str) -> Value {
    json!({"template": "no-path", "resource": path})
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "the life of one link, told in order")]
async fn a_link_is_put_changed_kept_over_a_restart_and_deleted() {
    use reqwest::Method;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let scene = first(&data).await;
    let put = Method::PUT;
    let missing = send(&scene, put.clone(), LINK, None, Some(&to("/metrics"))).await;
    assert_eq!(missing.0, 400, "{missing:?}");
    let text = json!(TEMPLATE);
    let (status, _, answer) = send(&scene, put.clone(), TEXT, None, Some(&text)).await;
    assert_eq!(
        (status, &answer["templates"]),
        (201, &json!(["no-path"])),
        "{answer}"
    );
    assert_eq!(answer["policies"], json!([]));
    assert_eq!(scene.get("/metrics").await.status(), 200);

    let (status, etag, answer) = send(&scene, put.clone(), LINK, None, Some(&to("/metrics"))).await;
    assert_eq!(status, 201, "{answer}");
    let etag = etag.unwrap();
    assert_eq!(scene.get("/metrics").await.status(), 403);
    // Not blindly, nor over another link than the one that was read, nor what does not fit.
    assert_eq!(
        send(&scene, put.clone(), LINK, None, Some(&to("/x")))
            .await
            .0,
        428
    );
    let other = Some(("if-match", "\"0\""));
    assert_eq!(
        send(&scene, put.clone(), LINK, other, Some(&to("/x")))
            .await
            .0,
        412
    );
    for wrong in [
        json!({"template": "no-path"}),
        json!({"template": "no-path", "resource": "nothing"}),
        json!({"template": "no-path", "resource": "/x", "principal": "user:a"}),
        json!({"template": "no-path", "resource": "/x", "more": 1}),
    ] {
        let (status, _, problem) = send(
            &scene,
            put.clone(),
            "/api/v1/policy-links/b",
            None,
            Some(&wrong),
        )
        .await;
        assert_eq!(status, 400, "{wrong}: {problem}");
    }
    let path = "/api/v1/policy-links/Wrong";
    assert_eq!(
        send(&scene, put.clone(), path, None, Some(&to("/x")))
            .await
            .0,
        400
    );
    // The template is in use.
    let any = Some(("if-match", "*"));
    let (status, _, problem) = send(&scene, Method::DELETE, TEXT, any, None).await;
    assert_eq!(status, 409, "{problem}");
    assert!(
        problem["detail"].as_str().unwrap().contains("no-metrics"),
        "{problem}"
    );

    scene.app.shutdown().await;
    let app = start(&data, None).await.unwrap();
    let scene = Scene {
        client: client(&app),
        app,
        key: scene.key,
    };
    assert_eq!(scene.get("/metrics").await.status(), 403);
    let (_, again, link) = send(&scene, Method::GET, LINK, None, None).await;
    assert_eq!(again.as_deref(), Some(etag.as_str()));
    assert_eq!(link["resource"], "DataOS::ApiPath::\"/metrics\"");
    let links = scene.json("/api/v1/policy-links").await;
    assert_eq!(links["links"][0]["id"], "no-metrics");
    let templates = scene.json("/api/v1/policy-templates").await;
    assert_eq!(templates["templates"][0]["slots"], json!(["resource"]));
    let template = scene.json("/api/v1/policy-templates/no-path").await;
    assert_eq!(template["links"], json!(["no-metrics"]));
    assert_eq!(
        scene.get("/api/v1/policy-templates/other").await.status(),
        404
    );

    // A change of the template is one of the link.
    let wider = json!(TEMPLATE.replace("resource);", "resource) when { context has purpose };"));
    let (status, _, answer) = send(&scene, put.clone(), TEXT, any, Some(&wider)).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(scene.get("/metrics").await.status(), 200);
    assert_eq!(
        send(&scene, put.clone(), TEXT, any, Some(&text)).await.0,
        200
    );
    assert_eq!(scene.get("/metrics").await.status(), 403);
    let same = Some(("if-match", etag.as_str()));
    assert_eq!(
        send(&scene, put, LINK, same, Some(&to("/other"))).await.0,
        200
    );
    assert_eq!(scene.get("/metrics").await.status(), 200);

    assert_eq!(send(&scene, Method::DELETE, LINK, None, None).await.0, 428);
    assert_eq!(send(&scene, Method::DELETE, LINK, same, None).await.0, 412);
    assert_eq!(send(&scene, Method::DELETE, LINK, any, None).await.0, 204);
    assert_eq!(send(&scene, Method::DELETE, LINK, any, None).await.0, 404);
    assert_eq!(send(&scene, Method::DELETE, TEXT, any, None).await.0, 204);
    let changes = scene.json("/api/v1/audit/entries?kind=policy_change").await;
    let actions: Vec<&str> = changes["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .filter(|action| action.contains("link"))
        .collect();
    assert_eq!(
        actions,
        ["policy_link_deleted", "policy_link_put", "policy_link_put"]
    );
    scene.app.shutdown().await;
}
