//! A MariaDB server over TLS and a SQLite file, attached as a new user attaches them, governed like
//! everything else, and joined with each other.

use dataos_store::test_mysql::{MYSQL_PASSWORD, TestMySql};
use dataos_tests::{
    ctl::Ctl,
    server::{Options, Server},
};
use serde_json::json;

const POLICIES: &str = r#"
name: shop-readers
version: v1
type: policy
policy:
  access:
    subjects: {tags: [["users:dataos:analyst"]]}
    predicates: [read]
    objects: {paths: ["dataos://shop:**", "dataos://notes:**"]}
    allow: true
---
name: shop-emea
version: v1
type: policy
policy:
  data:
    type: filter
    priority: 40
    depot: shop
    collection: shop
    dataset: people
    selector: {user: {match: any, tags: ["users:dataos:analyst"]}}
    filters: [{column: region, operator: equals, value: EMEA}]
---
name: shop-email
version: v1
type: policy
policy:
  data:
    type: mask
    priority: 50
    depot: shop
    collection: shop
    dataset: people
    selector:
      user: {match: any, tags: ["users:dataos:analyst"]}
      column: {tags: [PII.email]}
    mask: {operator: regex_replace, regex_replace: {pattern: "^[^@]*", replacement: "x"}}
"#;

fn maria_db() -> (TestMySql, String) {
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (own.cert.pem(), own.signing_key.serialize_pem());
    let server = TestMySql::mariadb_with(
        &[
            "--ssl-cert={folder}/server.pem",
            "--ssl-key={folder}/server.key",
            "--require-secure-transport=ON",
        ],
        &[("server.pem", &certificate), ("server.key", &key)],
    );
    server.sql(
        "mysql",
        "CREATE DATABASE shop; USE shop;
         CREATE TABLE people (id int PRIMARY KEY, email varchar(50), salary decimal(10,2),
             region varchar(10) NOT NULL);
         INSERT INTO people SELECT seq, concat('p', seq, '@example.com'), seq * 100,
             IF(seq % 2 = 0, 'EMEA', 'emea') FROM seq_1_to_100;",
    );
    (server, certificate)
}

/// The two depots; the authority is a block of the YAML text.
fn depots(port: u16, certificate: &str, file: &std::path::Path) -> String {
    let authority: String = certificate
        .lines()
        .map(|line| format!("      {line}\n"))
        .collect();
    format!(
        "name: shop-login\nversion: v1\ntype: secret\nsecret:\n  type: key-value-properties\n  \
         data: {{username: dataos, password: \"{MYSQL_PASSWORD}\"}}\n---\n\
         name: shop\nversion: v1\ntype: depot\ndepot:\n  type: MARIADB\n  spec:\n    host: 127.0.0.1\n    \
         port: {port}\n    database: shop\n    authorities: |\n{authority}  \
         dataosSecrets:\n    - {{name: shop-login, workspace: public}}\n---\n\
         name: notes\nversion: v1\ntype: depot\ndepot:\n  type: SQLITE\n  spec: {{path: \"{}\"}}\n",
        file.display()
    )
}

#[test]
fn a_mariadb_server_and_a_sqlite_file_are_governed_and_joined() {
    let (maria_db, certificate) = maria_db();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.db");
    let made = std::process::Command::new("sqlite3")
        .arg(&file)
        .arg("CREATE TABLE notes (person INTEGER, note TEXT); INSERT INTO notes VALUES (2, 'two'), (3, 'three');")
        .status();
    assert!(
        made.is_ok_and(|status| status.success()),
        "install it with: apt-get install sqlite3"
    );
    let server = Server::start(&Options::default()).unwrap();
    let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
    admin
        .applied(&depots(maria_db.port, &certificate, &file))
        .unwrap();
    let kinds = admin.json(&["catalog", "depots"]).unwrap().to_string();
    assert!(
        kinds.contains("\"mysql\"") && kinds.contains("\"sqlite\""),
        "{kinds}"
    );
    let counted = "SELECT count(*), sum(salary) FROM shop.shop.people";
    assert_eq!(
        admin.json(&["query", counted]).unwrap()["rows"][0],
        json!([100, 505_000.0])
    );
    let ana = admin
        .person(&server, "ana", &["--tag", "users:dataos:analyst"])
        .unwrap();
    let tag = [
        "catalog",
        "tag",
        "shop.shop.people",
        "--column",
        "email",
        "PII.email",
    ];
    admin.json(&tag).unwrap();
    admin.applied(POLICIES).unwrap();

    // To the server's collation `emea` is EMEA, to a policy it is not.
    let sql = "SELECT count(*), min(region), min(email), max(email) FROM shop.shop.people";
    let answer = ana.json(&["query", sql]).unwrap();
    assert_eq!(
        answer["rows"][0],
        json!([50, "EMEA", "x@example.com", "x@example.com"])
    );
    let sql =
        "SELECT p.id, n.note FROM shop.shop.people p JOIN notes.main.notes n ON n.person = p.id";
    assert_eq!(
        ana.json(&["query", sql]).unwrap()["rows"],
        json!([[2, "two"]])
    );
    let write = ["query", "DELETE FROM shop.shop.people"];
    let refused = admin.run(&write).unwrap();
    assert!(
        refused.code != 0 && refused.stderr.contains("not writable"),
        "{}",
        refused.stderr
    );

    // The server goes away: that depot says so, the rest goes on.
    drop(maria_db);
    let down = ana.run(&["query", counted]).unwrap();
    assert_eq!(down.code, 4, "{}", down.stderr);
    assert!(down.stderr.contains("shop"), "{}", down.stderr);
    assert!(!down.stderr.contains(MYSQL_PASSWORD), "{}", down.stderr);
    let sql = "SELECT count(*) FROM notes.main.notes";
    assert_eq!(ana.json(&["query", sql]).unwrap()["rows"], json!([[2]]));
}
