//! What the README tells a new user to do, on a folder of files and a PostgreSQL server that are not
//! ours: attach, scan, tag, govern, query, look into the log.

use std::fs;

use dataos_tests::{
    ctl::Ctl,
    manifests::{OWN_REGION, governed_orders},
    peers::Postgres,
    server::{Options, Server, header},
};

const ORDERS: &str = "id,customer,region,amount,ordered_on\n\
    1,ana,EMEA,10.50,2026-01-02\n2,bo,AMER,20.00,2026-01-03\n3,cy,EMEA,30.25,2026-02-04\n";
const EVENTS: &str = "{\"id\":1,\"kind\":\"click\"}\n{\"id\":2,\"kind\":\"view\"}\n";

#[test]
#[expect(clippy::too_many_lines, reason = "one journey, told in order")]
fn a_folder_of_files_is_closed_until_a_policy_opens_it() {
    let files = tempfile::tempdir().unwrap();
    let folder = files.path().join("local");
    fs::create_dir_all(folder.join("web")).unwrap();
    fs::write(folder.join("orders.csv"), ORDERS).unwrap();
    fs::write(folder.join("web/events.json"), EVENTS).unwrap();
    let options = Options {
        data: Some(folder),
        ..Options::default()
    };
    let server = Server::start(&options).unwrap();
    let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();

    let found = admin.json(&["catalog", "search"]).unwrap();
    let names: Vec<&str> = found["datasets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|dataset| dataset["sql_name"].as_str().unwrap())
        .collect();
    let known = ["local.main.orders", "local.web.events", "system.log.audit"];
    assert_eq!(names, known);
    let report = admin.json(&["catalog", "scan", "local"]).unwrap();
    assert_eq!(report["unchanged"], 2, "{report}");
    let answer = admin
        .json(&[
            "query",
            "SELECT sum(amount) AS total FROM local.main.orders",
        ])
        .unwrap();
    assert_eq!(answer["rows"][0][0].to_string().trim_matches('"'), "60.75");

    let arguments = [
        "--tag",
        "users:dataos:analyst",
        "--attribute",
        "region=EMEA",
    ];
    let ana = admin.person(&server, "ana", &arguments).unwrap();
    let denied = ana
        .run(&["query", "SELECT * FROM local.main.orders"])
        .unwrap();
    assert_eq!(denied.code, 3, "{}", denied.stderr);
    assert!(
        denied.stderr.contains("reason: no_permit"),
        "{}",
        denied.stderr
    );

    admin
        .json(&[
            "catalog",
            "tag",
            "local.main.orders",
            "--column",
            "customer",
            "PII.name",
        ])
        .unwrap();
    admin
        .applied(&governed_orders(
            "local",
            &["local:main/orders"],
            OWN_REGION,
        ))
        .unwrap();
    let answer = ana
        .json(&["query", "SELECT * FROM local.main.orders ORDER BY id"])
        .unwrap();
    assert_eq!(answer["row_count"], 2, "{answer:#}");
    assert_eq!(answer["rows"][0][1], "(hidden)");
    assert_eq!(answer["rows"][1][2], "EMEA");
    let explained = ana
        .json(&["query", "EXPLAIN POLICY SELECT * FROM local.main.orders"])
        .unwrap()
        .to_string();
    assert!(
        explained.contains("mask-customer") && explained.contains("own-region"),
        "{explained}"
    );

    let (status, headers, _) = server
        .request(
            &[
                "-H",
                &format!("Authorization: Bearer {}", ana.key().unwrap()),
            ],
            "/api/v1/session",
        )
        .unwrap();
    assert_eq!(status, 200);
    let receipt = header(&headers, "DataOS-Receipt").unwrap();
    assert!(
        receipt.len() <= 2048,
        "a receipt of {} characters",
        receipt.len()
    );
    let verified = ana.json(&["audit", "verify", receipt]).unwrap();
    assert_eq!(verified["verified"][0]["action"], "call");
    let denials = admin
        .json(&["audit", "search", "--effect", "deny", "--principal", "ana"])
        .unwrap();
    assert_eq!(denials["entries"][0]["reason"], "no_permit", "{denials:#}");
}

#[test]
#[expect(clippy::too_many_lines, reason = "one journey, told in order")]
fn a_postgresql_database_is_attached_scanned_tagged_governed_and_queried() {
    let postgres = Postgres::start().unwrap();
    postgres
        .execute(
            "CREATE TABLE people (id int PRIMARY KEY, name text NOT NULL, email text, salary numeric(10,2), \
             region text NOT NULL, born date);\
             INSERT INTO people SELECT i, 'p' || i, 'p' || i || '@example.com', i * 100, \
             CASE WHEN i % 2 = 0 THEN 'EMEA' ELSE 'AMER' END, DATE '1980-01-01' + i FROM generate_series(1, 100) i",
        )
        .unwrap();
    let server = Server::start(&Options::default()).unwrap();
    let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
    admin
        .applied(&depot("hr", postgres.port, &postgres.password))
        .unwrap();
    let answer = admin
        .json(&[
            "query",
            "SELECT count(*), sum(salary) FROM hr.public.people WHERE region = 'EMEA'",
        ])
        .unwrap();
    assert_eq!(answer["rows"][0][0], 50);
    let ana = admin
        .person(&server, "ana", &["--tag", "users:dataos:analyst"])
        .unwrap();
    admin
        .json(&[
            "catalog",
            "tag",
            "hr.public.people",
            "--column",
            "email",
            "PII.email",
        ])
        .unwrap();
    admin
        .applied(
            r#"
name: hr-readers
version: v1
type: policy
policy:
  access:
    subjects: {tags: [["users:dataos:analyst"]]}
    predicates: [read]
    objects: {paths: ["dataos://hr:**"]}
    allow: true
---
name: hr-emea
version: v1
type: policy
policy:
  data:
    type: filter
    priority: 40
    depot: hr
    collection: public
    dataset: people
    selector: {user: {match: any, tags: ["users:dataos:analyst"]}}
    filters: [{column: region, operator: equals, value: EMEA}]
---
name: hr-email
version: v1
type: policy
policy:
  data:
    type: mask
    priority: 50
    depot: hr
    collection: public
    dataset: people
    selector:
      user: {match: any, tags: ["users:dataos:analyst"]}
      column: {tags: [PII.email]}
    mask: {operator: regex_replace, regex_replace: {pattern: "^[^@]*", replacement: "x"}}
"#,
        )
        .unwrap();
    let answer = ana
        .json(&["query", "SELECT min(region), max(region), count(*), min(email), max(email) FROM hr.public.people"])
        .unwrap();
    let expected = serde_json::json!(["EMEA", "EMEA", 50, "x@example.com", "x@example.com"]);
    assert_eq!(answer["rows"][0], expected);

    // The server goes away: that depot says so, the rest goes on.
    drop(postgres);
    let down = ana
        .run(&["query", "SELECT count(*) FROM hr.public.people"])
        .unwrap();
    assert_eq!(down.code, 4, "{}", down.stderr);
    assert!(down.stderr.contains("hr"), "{}", down.stderr);
    assert!(!down.stderr.contains("s3cret"), "{}", down.stderr);
    assert_eq!(ana.run(&["whoami"]).unwrap().code, 0);
}

fn depot(name: &str, port: u16, password: &str) -> String {
    format!(
        "name: {name}-login\nversion: v1\ntype: secret\nsecret:\n  type: key-value-properties\n  \
         data: {{username: dataos, password: \"{password}\"}}\n---\nname: {name}\nversion: v1\ntype: depot\n\
         depot:\n  type: POSTGRES\n  spec: {{host: 127.0.0.1, port: {port}, database: postgres, tls: off}}\n  \
         dataosSecrets:\n    - {{name: {name}-login, workspace: public}}\n"
    )
}

#[test]
fn a_copy_is_masked_on_its_first_read() {
    let files = tempfile::tempdir().unwrap();
    fs::write(files.path().join("orders.csv"), ORDERS).unwrap();
    let server = Server::start(&Options::default()).unwrap();
    let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
    admin.applied(&format!(
            "name: local\nversion: v1\ntype: depot\ndepot:\n  type: FILES\n  spec: {{path: \"{}\", writable: true}}\n",
            files.path().display()
        )).unwrap();
    admin
        .json(&[
            "catalog",
            "tag",
            "local.main.orders",
            "--column",
            "customer",
            "PII.name",
        ])
        .unwrap();
    admin
        .applied(&governed_orders("local", &["local:**"], OWN_REGION))
        .unwrap();
    let ana = admin
        .person(
            &server,
            "ana",
            &[
                "--tag",
                "users:dataos:analyst",
                "--attribute",
                "region=EMEA",
            ],
        )
        .unwrap();
    for (position, sql) in [
        "CREATE TABLE local.main.copy0 AS SELECT * FROM local.main.orders",
        "CREATE TABLE local.main.copy1 AS SELECT upper(customer) AS customer FROM local.main.orders",
        "CREATE TABLE local.main.copy2 AS WITH c AS (SELECT customer x FROM local.main.orders) SELECT x AS customer FROM c",
        "CREATE TABLE local.main.copy3 AS SELECT max(o.customer) AS customer FROM local.main.orders o",
        "CREATE TABLE local.main.copy4 AS SELECT customer FROM local.main.copy0 UNION ALL SELECT customer FROM local.main.orders",
    ]
    .iter()
    .enumerate()
    {
        admin.json(&["query", sql]).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let table = format!("local.main.copy{position}");
        let answer = ana.json(&["query", &format!("SELECT customer FROM {table}")]).unwrap();
        let rows = answer["rows"].as_array().unwrap();
        assert!(!rows.is_empty() && rows.iter().all(|row| row[0] == "(hidden)"), "{sql}: {answer:#}");
    }
}
