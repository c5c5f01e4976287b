//! A bucket of an S3-compatible server over TLS, attached as a new user attaches one: what is governed is shown as over
//! the same files in a folder, and the secret key appears nowhere.

use std::{io::Result, path::Path};

use dataos_objects::test_server::{ACCESS_KEY, BUCKET, REGION, SECRET_KEY, TestStore};
use dataos_tests::{
    ctl::Ctl,
    server::{Options, Server, bytes_below},
};
use serde_json::Value;

const FILES: [(&str, &str); 3] = [
    (
        "people.csv",
        "id,email,region\n1,p1@example.com,EMEA\n2,p2@example.com,emea\n3,p3@example.com,EMEA\n4,,AMER\n",
    ),
    (
        "crm/events/part-1.jsonl",
        "{\"id\":1,\"note\":\"planted one\"}\n{\"id\":2,\"note\":null}\n",
    ),
    ("crm/events/part-2.jsonl", "{\"id\":3,\"note\":\"three\"}\n"),
];

const STATEMENTS: [&str; 5] = [
    "SELECT * FROM {d}.main.people ORDER BY id",
    "SELECT region, count(*), min(email) FROM {d}.main.people GROUP BY region ORDER BY 1",
    "SELECT p.id, e.note FROM {d}.main.people p JOIN {d}.crm.events e ON p.id = e.id ORDER BY 1",
    "SELECT count(*) FROM {d}.main.people WHERE email LIKE 'p%'",
    "SELECT id FROM {d}.crm.events WHERE note = 'three'",
];

/// The bucket and the folder; the authority is a block of the YAML text.
fn depots(store: &TestStore, secret: &str, certificate: &str, folder: &Path) -> String {
    let authority: String = certificate
        .lines()
        .map(|line| format!("      {line}\n"))
        .collect();
    format!(
        "name: cloud-key\nversion: v1\ntype: secret\nsecret:\n  type: key-value-properties\n  \
         data: {{accesskeyid: {ACCESS_KEY}, secretkey: \"{secret}\"}}\n---\n\
         name: cloud\nversion: v1\ntype: depot\ndepot:\n  type: S3\n  spec:\n    endpoint: {}\n    \
         bucket: {BUCKET}\n    prefix: data\n    region: {REGION}\n    authorities: |\n{authority}  \
         dataosSecrets:\n    - {{name: cloud-key, workspace: public}}\n---\n\
         name: local\nversion: v1\ntype: depot\ndepot:\n  type: FILES\n  spec: {{path: \"{}\"}}\n",
        store.endpoint(),
        folder.display()
    )
}

/// The same for both depots.
fn policies(depot: &str) -> String {
    let people = format!("depot: {depot}\n    collection: main\n    dataset: people");
    let analysts = "user: {match: any, tags: [\"users:dataos:analyst\"]}";
    format!(
        "name: {depot}-readers\nversion: v1\ntype: policy\npolicy:\n  access:\n    \
         subjects: {{tags: [[\"users:dataos:analyst\"]]}}\n    predicates: [read]\n    \
         objects: {{paths: [\"dataos://{depot}:**\"]}}\n    allow: true\n---\n\
         name: {depot}-emea\nversion: v1\ntype: policy\npolicy:\n  data:\n    type: filter\n    priority: 40\n    \
         {people}\n    selector: {{{analysts}}}\n    \
         filters: [{{column: region, operator: equals, value: EMEA}}]\n---\n\
         name: {depot}-email\nversion: v1\ntype: policy\npolicy:\n  data:\n    type: mask\n    priority: 50\n    \
         {people}\n    selector:\n      {analysts}\n      column: {{tags: [PII.email]}}\n    \
         mask: {{operator: regex_replace, regex_replace: {{pattern: \"^[^@]*\", replacement: \"x\"}}}}\n---\n"
    )
}

fn rows(person: &Ctl, sql: &str, depot: &str) -> Result<Value> {
    let sql = sql.replace("{d}", depot);
    let mut answer = person.json(&["query", &sql])?;
    Ok(answer["rows"].take())
}

#[test]
fn a_bucket_is_governed_as_a_folder_is() {
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let certificate = own.cert.pem();
    let store = TestStore::start_with_tls(&certificate, &own.signing_key.serialize_pem());
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in FILES {
        store.put(&format!("data/{path}"), content.as_bytes());
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let server = Server::start(&Options::default()).unwrap();
    let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
    let declared = depots(&store, SECRET_KEY, &certificate, folder.path());
    let applied = admin.apply(&declared).unwrap();
    assert_eq!(applied.code, 0, "{}{}", applied.stdout, applied.stderr);
    let mut shown = applied.stdout + &applied.stderr;
    for depot in ["cloud", "local"] {
        let people = format!("{depot}.main.people");
        let tag = ["catalog", "tag", &people, "--column", "email", "PII.email"];
        admin.json(&tag).unwrap();
        admin.applied(&policies(depot)).unwrap();
    }
    let ana = admin
        .person(&server, "ana", &["--tag", "users:dataos:analyst"])
        .unwrap();
    for sql in STATEMENTS {
        for person in [&admin, &ana] {
            assert_eq!(
                rows(person, sql, "cloud").unwrap(),
                rows(person, sql, "local").unwrap(),
                "{sql}"
            );
        }
        assert_ne!(
            rows(&admin, STATEMENTS[0], "cloud").unwrap(),
            rows(&ana, STATEMENTS[0], "cloud").unwrap()
        );
    }

    // A wrong key says what to do, here and in the state of the resource; the right one mends it.
    let wrong = depots(
        &store,
        &format!("{SECRET_KEY}-wrong"),
        &certificate,
        folder.path(),
    );
    shown += &admin.apply(&wrong).unwrap().stdout;
    let refused = ana
        .run(&["query", "SELECT * FROM cloud.main.people"])
        .unwrap();
    assert_eq!(refused.code, 4, "{}", refused.stderr);
    assert!(refused.stderr.contains("`secretkey`"), "{}", refused.stderr);
    shown += &refused.stderr;
    admin.applied(&declared).unwrap();
    rows(&ana, STATEMENTS[0], "cloud").unwrap();
    drop(store);
    let down = ana
        .run(&["query", "SELECT * FROM cloud.main.people"])
        .unwrap();
    assert_eq!(down.code, 4, "{}", down.stderr);
    assert!(down.stderr.contains("cloud"), "{}", down.stderr);
    shown += &(down.stderr + &admin.run(&["get", "--json"]).unwrap().stdout + &server.printed());
    assert!(!shown.contains(SECRET_KEY), "{shown}");
    for (path, bytes) in &bytes_below(&server.data_dir).unwrap() {
        let needle = SECRET_KEY.as_bytes();
        let is_found = bytes.windows(needle.len()).any(|window| window == needle);
        assert!(!is_found, "{} holds the secret key", path.display());
    }
}
