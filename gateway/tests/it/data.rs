//! A folder of the user's own files.

use std::fs;

use dataos_model::fault::FaultKind;
use serde_json::json;

use crate::scene::{Scene, client, first, start};

#[tokio::test]
async fn a_folder_is_a_depot_within_one_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let scene = first(&path).await;
    let key = scene.key.clone();
    scene.app.shutdown().await;
    let files = folder.path().join("My Files-1");
    fs::create_dir(&files).unwrap();
    fs::write(files.join("people.csv"), "id,name\n1,Ada\n2,Grace\n").unwrap();
    let app = start(&path, Some(&files)).await.unwrap();
    let attached = app.attach_data().await.unwrap().unwrap();
    assert_eq!(attached.depot, "myfiles1");
    assert_eq!(
        attached.datasets,
        [("dataos://myfiles1:main/people".to_owned(), 2)]
    );
    let scene = Scene {
        client: client(&app),
        app,
        key,
    };
    let sql = json!({"sql": "SELECT name FROM myfiles1.main.people ORDER BY id"});
    let answer: serde_json::Value = scene
        .post("/api/v1/query", &sql)
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(answer["rows"], json!([["Ada"], ["Grace"]]));
    let dataset = scene
        .json("/api/v1/catalog/datasets/myfiles1/main/people")
        .await;
    assert_eq!(dataset["sql_name"], "myfiles1.main.people");
    assert_eq!(dataset["format"], "csv");

    closed_to_bob(&scene, &sql).await;
    scene.app.shutdown().await;
}

/// Closed to everyone but the administrator, and not even there for them.
async fn closed_to_bob(scene: &Scene, sql: &serde_json::Value) {
    let user = json!({"user": "bob", "password": "correct horse"});
    assert_eq!(scene.post("/api/v1/users", &user).await.status(), 201);
    let response = scene
        .client
        .post(scene.url("/api/v1/session"))
        .json(&user)
        .send()
        .await
        .unwrap();
    let cookie = response.headers()["set-cookie"]
        .to_str()
        .unwrap()
        .to_owned();
    let as_bob = |request: reqwest::RequestBuilder| {
        request
            .header("cookie", cookie.split(';').next().unwrap())
            .header("x-dataos-csrf", "1")
    };
    let denied = as_bob(scene.client.post(scene.url("/api/v1/query")).json(sql));
    let denied = denied.send().await.unwrap();
    assert_ne!(denied.status(), 200);
    let text = denied.text().await.unwrap();
    assert!(!text.contains("Ada"), "{text}");
    let path = scene.url("/api/v1/catalog/datasets/myfiles1/main/people");
    assert_eq!(
        as_bob(scene.client.get(path))
            .send()
            .await
            .unwrap()
            .status(),
        404
    );
    for (path, list) in [
        ("/api/v1/catalog/datasets", "datasets"),
        ("/api/v1/catalog/depots", "depots"),
    ] {
        let seen = as_bob(scene.client.get(scene.url(path)))
            .send()
            .await
            .unwrap();
        let seen: serde_json::Value = seen.json().await.unwrap();
        assert_eq!(seen[list], json!([]), "{path}");
    }
}

#[tokio::test]
async fn a_data_directory_is_not_taken_for_data() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    for data in [path.clone(), folder.path().to_owned()] {
        let fault = start(&path, Some(&data)).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Invalid, "{}", data.display());
    }
    let fault = start(&path, Some(&folder.path().join("missing")))
        .await
        .unwrap_err();
    assert!(fault.to_string().contains("missing"), "{fault}");
}
