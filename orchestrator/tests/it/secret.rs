//! Secret values are where they belong, and nowhere else.

use std::{fs, path::Path};

use dataos_model::seams::Resources;

use crate::fakes::Bench;

const VALUE: &str = "hunter2-long-and-strange";

fn files_with(folder: &Path, text: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_with(&path, text, found);
        } else if fs::read(&path)
            .unwrap()
            .windows(text.len())
            .any(|w| w == text.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
}

#[tokio::test]
pub(crate) async fn a_step_reads_its_secret_from_a_file() {
    let bench = Bench::new().await;
    let text = format!(
        "name: s\ntype: secret\nsecret: {{type: key-value, data: {{key: {VALUE}, other: x}}}}\n---\n\
         name: pg\ntype: depot\ndepot: {{type: POSTGRES, spec: {{host: h, database: d}}, connectionSecret: [{{acl: rw, data: {{username: u, password: {VALUE}}}}}]}}\n---\n\
         name: w\ntype: workflow\nworkflow:\n  dag:\n  - name: a\n    spec:\n      stack: container\n      dataosSecrets: [{{name: s, keys: [key]}}]\n      \
         stackSpec:\n        command: [/bin/sh, -c, 'wc -c < $DATAOS_SECRET_S_KEY_FILE; stat -c %a $DATAOS_SECRET_S_KEY_FILE; env | grep -c hunter2; echo ${{DATAOS_SECRET_S_OTHER_FILE-none}}']\n"
    );
    bench.apply(&text).await.unwrap();
    let view = bench
        .until("workflow:v1:w:public", |view| view.runtime != "running:1")
        .await;
    assert_eq!(view.runtime, "succeeded", "{view:?}");
    let id = "workflow:v1:w:public".parse().unwrap();
    let log = bench.orchestrator.log(&id, None, 100).await.unwrap();
    let length = VALUE.len();
    assert_eq!(
        log,
        [
            format!("a | {length}"),
            "a | 600".to_owned(),
            "a | 0".to_owned(),
            "a | none".to_owned(),
            "a | [succeeded: exit code 0]".to_owned()
        ]
    );
    let depot = bench.world.depots.lock().unwrap()["pg"].clone();
    assert!(
        format!("{depot:?}").contains("SecretName(\"dataos/depot/pg/password\")"),
        "{depot:?}"
    );
    assert!(format!("{depot:?}").contains("user: \"u\""), "{depot:?}");
    let mut found = Vec::new();
    files_with(bench.folder.path(), VALUE, &mut found);
    assert_eq!(found, Vec::<String>::new());
    let shown = format!(
        "{:?}{:?}{:?}",
        bench.get("secret:v1:s:public").await,
        bench.get("depot:v1:pg").await,
        bench.world.entries.lock().unwrap()
    );
    assert!(!shown.contains(VALUE));
}

#[tokio::test]
pub(crate) async fn who_may_not_see_a_secret_may_not_use_it() {
    let bench = Bench::new().await;
    bench.apply(&format!("name: s\ntype: secret\nsecret: {{type: key-value, data: {{username: u, key: {VALUE}}}}}\n")).await.unwrap();
    bench.world.deny("get_resource secret:v1:s:public");
    let text = "name: w\ntype: workflow\nworkflow:\n  dag:\n  - name: a\n    retry: {count: 3}\n    spec: {stack: container, dataosSecrets: [{name: s}], stackSpec: {command: [touch, ran]}}\n---\n\
                name: pg\ntype: depot\ndepot: {type: POSTGRES, spec: {host: h, database: d}, dataosSecrets: [{name: s}]}\n";
    bench.apply_as("bob", text).await.unwrap();
    let view = bench
        .until("workflow:v1:w:public", |view| view.runtime == "failed")
        .await;
    assert_eq!(
        (view.nodes[0].phase.as_str(), view.nodes[0].attempt),
        ("denied", 1)
    );
    assert!(
        bench
            .get("depot:v1:pg")
            .await
            .message
            .starts_with("PolicyDenied: ")
    );
    assert!(!bench.world.depots.lock().unwrap().contains_key("pg"));
}

#[tokio::test]
pub(crate) async fn a_shown_manifest_does_not_wipe_out_the_values() {
    let bench = Bench::new().await;
    bench
        .apply(&format!(
            "name: s\ntype: secret\nsecret: {{type: key-value, data: {{key: {VALUE}}}}}\n"
        ))
        .await
        .unwrap();
    let shown = bench.get("secret:v1:s:public").await.manifest;
    let fault = bench.apply(&shown).await.unwrap_err();
    assert!(
        fault
            .message
            .contains("stands for a value that is not shown"),
        "{fault}"
    );
    assert_eq!(
        bench.world.secrets.lock().unwrap()["public/s/key"],
        VALUE.as_bytes()
    );
    bench
        .apply("name: s\ntype: secret\nsecret: {type: key-value, data: {other: x}}\n")
        .await
        .unwrap();
    assert_eq!(
        bench
            .world
            .secrets
            .lock()
            .unwrap()
            .keys()
            .collect::<Vec<_>>(),
        ["public/s/other"]
    );
}
