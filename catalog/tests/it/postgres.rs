//! Scanning a real PostgreSQL server.

use std::time::Instant;

use dataos_model::{
    dataset::DatasetId,
    depot::{DatasetSource, Depot, DepotSource, Tls},
    fault::FaultKind,
    seams::{Assets, ScanReport, Secrets},
    secret::{Secret, SecretName},
};
use dataos_store::test_server::{PASSWORD, TestServer};

use crate::fixtures::House;

fn depot(house: &House, port: u16) -> Depot {
    Depot {
        name: "pg".to_owned(),
        source: DepotSource::Postgres {
            host: "127.0.0.1".to_owned(),
            port,
            database: "dataos".to_owned(),
            user: "dataos".to_owned(),
            password: Some(SecretName("public/pg/password".to_owned())),
            tls: Tls::Off,
        },
        ..house.lake_depot()
    }
}

async fn house_of(port: u16, password: &str) -> House {
    let house = House::new().await;
    let name = SecretName("public/pg/password".to_owned());
    house
        .secrets
        .put(&name, Secret::new(password))
        .await
        .unwrap();
    house
        .catalog
        .register_depot(depot(&house, port))
        .await
        .unwrap();
    house
}

const SCHEMA: &str = "
    CREATE DOMAIN amount AS numeric(12, 2);
    CREATE DOMAIN price AS amount;
    CREATE TYPE mood AS ENUM ('good', 'bad');
    CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    CREATE SCHEMA sales;
    CREATE TABLE sales.kinds (
        b bool NOT NULL, i2 int2, i4 int4, i8 int8, f4 float4, f8 float8,
        n numeric, n12 numeric(12, 2), n40 numeric(40, 0), p price,
        t text, v varchar(20), c char(3), loose text COLLATE loose, by bytea, d date,
        ts timestamp, tz timestamptz, u uuid, j json, jb jsonb,
        ta text[], ia int4[], na numeric(4, 1)[], m mood, money money, net inet, iv interval
    );
    CREATE TABLE orders (id int PRIMARY KEY, placed timestamptz);
    INSERT INTO orders SELECT n, now() FROM generate_series(1, 1000) n;
    ANALYZE orders;
    CREATE VIEW recent AS SELECT id FROM orders;
    CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS n FROM orders;
    CREATE TABLE parted (id int, at date) PARTITION BY RANGE (at);
    CREATE TABLE parted_2024 PARTITION OF parted FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
    CREATE TABLE gone (a int, dropped int, z int);
    ALTER TABLE gone DROP COLUMN dropped;
    CREATE TABLE \"Odd name\" (\"a/b\" int, \"x\"\"y\" text);
    CREATE TABLE \"sl/ash\" (a int);
    CREATE TABLE nothing ();
";

const KINDS: &[&str] = &[
    "b boolean",
    "i2 smallint?",
    "i4 integer?",
    "i8 bigint?",
    "f4 real?",
    "f8 double?",
    "n unsupported(numeric)?",
    "n12 decimal(12,2)?",
    "n40 unsupported(numeric(40,0))?",
    "p decimal(12,2)?",
    "t text?",
    "v text?",
    "c text?",
    "loose unsupported(text with a nondeterministic collation)?",
    "by binary?",
    "d date?",
    "ts timestamp?",
    "tz timestamptz?",
    "u uuid?",
    "j json?",
    "jb json?",
    "ta text[]?",
    "ia integer[]?",
    "na unsupported(_numeric)?",
    "m unsupported(mood)?",
    "money unsupported(money)?",
    "net unsupported(inet)?",
    "iv unsupported(interval)?",
];

fn id(schema: &str, table: &str) -> DatasetId {
    DatasetId::new("pg", schema, table)
}

#[tokio::test]
async fn a_database_is_catalogued() {
    let server = TestServer::start();
    server.psql("dataos", SCHEMA);
    let house = house_of(server.port, PASSWORD).await;
    let report = house.catalog.scan("pg").await.unwrap();
    let public = ["Odd name", "gone", "orders", "parted", "recent", "totals"];
    let mut expected: Vec<_> = public.iter().map(|table| id("public", table)).collect();
    expected.push(id("sales", "kinds"));
    assert_eq!(report.added, expected);
    let unread: Vec<&str> = report
        .unreadable
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(unread, ["public.nothing", "public.sl/ash"]);

    assert_eq!(house.columns(&id("sales", "kinds")), KINDS);
    assert_eq!(
        house.columns(&id("public", "orders")),
        ["id integer", "placed timestamptz?"]
    );
    assert_eq!(
        house.columns(&id("public", "gone")),
        ["a integer?", "z integer?"]
    );
    assert_eq!(
        house.columns(&id("public", "Odd name")),
        ["a/b integer?", "x\"y text?"]
    );
    let orders = house.dataset(&id("public", "orders")).unwrap();
    assert_eq!(orders.row_count, Some(1000));
    let source = DatasetSource::Table {
        schema: "public".to_owned(),
        table: "orders".to_owned(),
    };
    assert_eq!(orders.source, source);
    assert_eq!(
        house.dataset(&id("public", "recent")).unwrap().row_count,
        None
    );
}

#[tokio::test]
async fn a_database_is_followed() {
    let server = TestServer::start();
    server.psql("dataos", SCHEMA);
    let house = house_of(server.port, PASSWORD).await;
    house.catalog.scan("pg").await.unwrap();
    let report = house.catalog.scan("pg").await.unwrap();
    assert_eq!(
        (report.unchanged, report.changed.len(), report.dropped.len()),
        (7, 0, 0)
    );

    house
        .tag(&id("public", "orders"), Some("placed"), &["PII"])
        .await;
    server.psql(
        "dataos",
        "ALTER TABLE orders ADD note text; DROP VIEW recent; CREATE TABLE late (a int);",
    );
    let report = house.catalog.scan("pg").await.unwrap();
    let expected = ScanReport {
        added: vec![id("public", "late")],
        changed: vec![id("public", "orders")],
        dropped: vec![id("public", "recent")],
        unchanged: 5,
        unreadable: report.unreadable.clone(),
    };
    assert_eq!(report, expected);
    assert_eq!(house.tags(&id("public", "orders"), "placed"), "PII");

    // The server goes away: what is known stays, and the fault tells no secret.
    drop(server);
    let fault = house.catalog.scan("pg").await.unwrap_err();
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::Unavailable, "depot_unreachable")
    );
    assert!(fault.message.contains("`pg`"), "{fault}");
    assert!(house.dataset(&id("public", "orders")).is_some());
    for name in ["catalog.db", "catalog.db-wal"] {
        let bytes = std::fs::read(house.folder.path().join("catalog").join(name)).unwrap();
        let is_password = |window: &[u8]| window == PASSWORD.as_bytes();
        assert!(!bytes.windows(PASSWORD.len()).any(is_password), "{name}");
    }
}

#[tokio::test]
async fn views_carry_the_tags_of_what_they_read() {
    let server = TestServer::start();
    server.psql(
        "dataos",
        "CREATE TABLE people (id int, email text, phone text);
         CREATE VIEW mails AS SELECT id AS n, lower(email) AS m FROM people;
         CREATE VIEW again AS SELECT m FROM mails;
         CREATE VIEW ids AS SELECT id FROM people;
         CREATE VIEW docs AS SELECT row_to_json(p) AS doc FROM people p WHERE p.id > 0;
         CREATE MATERIALIZED VIEW kept AS SELECT max(phone) AS p FROM people;
         CREATE TABLE parted (id int, at date) PARTITION BY RANGE (at);
         CREATE TABLE part PARTITION OF parted DEFAULT;
         CREATE VIEW of_part AS SELECT id FROM part;",
    );
    let house = house_of(server.port, PASSWORD).await;
    let report = house.catalog.scan("pg").await.unwrap();
    let unread: Vec<&str> = report
        .unreadable
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(unread, ["public.of_part"]);
    let people = id("public", "people");
    house.tag(&people, Some("email"), &["PII.email"]).await;
    house.tag(&people, Some("phone"), &["PII.phone"]).await;
    for (view, column, expected) in [
        ("mails", "m", "PII.email"),
        ("mails", "n", "PII.email"),
        ("again", "m", "PII.email"),
        ("ids", "id", ""),
        ("docs", "doc", "PII.email PII.phone"),
        ("kept", "p", "PII.phone"),
    ] {
        let view = id("public", view);
        assert_eq!(house.tags(&view, column), expected, "{view} {column}");
        assert_eq!(
            house.sink.tags_of(&view.column_uid(column)).len(),
            expected.split_whitespace().count()
        );
    }

    server.psql(
        "dataos",
        "CREATE OR REPLACE VIEW mails AS SELECT id AS n, 'none' AS m FROM people;",
    );
    house.catalog.scan("pg").await.unwrap();
    assert_eq!(house.tags(&id("public", "again"), "m"), "");
    let house = house.reopen().await;
    assert_eq!(house.tags(&id("public", "kept"), "p"), "PII.phone");
    assert_eq!(house.tags(&id("public", "mails"), "m"), "");
}

#[tokio::test]
async fn a_refused_login_names_the_depot_and_not_the_password() {
    let server = TestServer::start();
    let house = house_of(server.port, "wrong-horse").await;
    let fault = house.catalog.scan("pg").await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unavailable);
    let text = format!("{fault} {fault:?}");
    assert!(
        text.contains("`pg`") && text.contains("authentication"),
        "{text}"
    );
    assert!(!text.contains("wrong-horse"), "{text}");

    let name = SecretName("public/pg/password".to_owned());
    house.secrets.remove(&name).await.unwrap();
    assert_eq!(
        house.catalog.scan("pg").await.unwrap_err().kind,
        FaultKind::NotFound
    );
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let house = house_of(silent.local_addr().unwrap().port(), PASSWORD).await;
    let started = Instant::now();
    let fault = house.catalog.scan("pg").await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Timeout, "{fault}");
    assert!(started.elapsed().as_secs() < 60);
}

#[tokio::test]
async fn the_server_must_prove_who_it_is() {
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let server = TestServer::start();
    server.psql("dataos", "CREATE TABLE t (id bigint)");
    let house = house_of(server.port, PASSWORD).await;
    let verified = |authorities: Option<String>| Tls::Verified { authorities };
    let trusted = verified(Some(own.cert.pem()));
    let scan = async |at: &str, with: &Tls| {
        let mut depot = depot(&house, server.port);
        if let DepotSource::Postgres { host, tls, .. } = &mut depot.source {
            (*host, *tls) = (at.to_owned(), with.clone());
        }
        house.catalog.register_depot(depot).await.unwrap();
        house.catalog.scan("pg").await
    };
    let refused = async |at: &str, with: &Tls| {
        let fault = scan(at, with).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Unavailable, "{at}: {fault:?}");
        let hint = fault.hint.clone().unwrap();
        assert!(hint.contains("`authorities`"), "{at}: {fault:?}");
        assert!(!format!("{fault:?}").contains(PASSWORD), "{fault:?}");
    };
    refused("127.0.0.1", &trusted).await;
    server.turn_on_tls(&own.cert.pem(), &own.signing_key.serialize_pem());
    let report = scan("127.0.0.1", &trusted).await.unwrap();
    assert_eq!(report.added.len() + report.unchanged, 1, "{report:?}");
    refused("127.0.0.1", &verified(None)).await;
    refused("127.0.0.1", &verified(Some(other.cert.pem()))).await;
    // The certificate is of another name.
    refused("localhost", &trusted).await;
}
