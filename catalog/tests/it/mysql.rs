//! Scanning real servers of MariaDB and MySQL.

use dataos_model::{
    dataset::DatasetId,
    depot::{DatasetSource, Depot, DepotSource, Tls},
    fault::FaultKind,
    seams::{Assets, Secrets},
    secret::{Secret, SecretName},
};
use dataos_store::test_mysql::{MYSQL_PASSWORD, TestMySql};

use crate::fixtures::House;

const SCHEMA: &str = "
    SET sql_mode = '';
    CREATE DATABASE shop;
    CREATE DATABASE other;
    CREATE TABLE other.hidden (id int);
    CREATE TABLE shop.kinds (
        id bigint NOT NULL PRIMARY KEY, t1 tinyint(1), u1 tinyint unsigned, i3 mediumint, u4 int unsigned,
        u8 bigint unsigned, f4 float, f8 double, n12 decimal(12, 2), n65 decimal(65, 30), b1 bit, b8 bit(8),
        c char(3), v varchar(20) COLLATE utf8mb4_general_ci, big longtext, j json, k enum('a', 'b'),
        s set('a', 'b'), bin varbinary(9), d date, dt datetime(3), ts timestamp NULL, t time, y year, p point
    );
    INSERT INTO shop.kinds (id) VALUES (1), (2);
    ANALYZE TABLE shop.kinds;
    CREATE TABLE shop.`Odd name` (`a/b` int, `x``y` text);
    CREATE TABLE shop.`sl/ash` (a int);
    CREATE VIEW shop.seen AS SELECT id FROM shop.kinds;
";

/// What MariaDB alone has.
const MARIADB: &str = "
    ALTER TABLE shop.kinds ADD u uuid, ADD i inet6;
    CREATE SEQUENCE shop.counter;
";

const KINDS: &[&str] = &[
    "id bigint",
    "t1 smallint?",
    "u1 smallint?",
    "i3 integer?",
    "u4 bigint?",
    "u8 decimal(20,0)?",
    "f4 real?",
    "f8 double?",
    "n12 decimal(12,2)?",
    "n65 unsupported(decimal(65,30))?",
    "b1 boolean?",
    "b8 unsupported(bit(8))?",
    "c text?",
    "v text?",
    "big text?",
    "k text?",
    "s unsupported(set)?",
    "bin binary?",
    "d date?",
    "dt timestamp?",
    "ts timestamptz?",
    "t unsupported(time)?",
    "y smallint?",
    "p unsupported(point)?",
];

fn id(table: &str) -> DatasetId {
    DatasetId::new("shop", "shop", table)
}

async fn house_of(port: u16, password: &str, tls: Tls) -> House {
    let house = House::new().await;
    let name = SecretName("public/shop/password".to_owned());
    let secret = Secret::new(password);
    house.secrets.put(&name, secret).await.unwrap();
    let depot = Depot {
        name: "shop".to_owned(),
        source: DepotSource::MySql {
            host: "127.0.0.1".to_owned(),
            port,
            database: "shop".to_owned(),
            user: "dataos".to_owned(),
            password: Some(name),
            tls,
        },
        ..house.lake_depot()
    };
    house.catalog.register_depot(depot).await.unwrap();
    house
}

/// The columns, each of these behind the one that it names.
fn kinds(others: &[(&'static str, &'static str)]) -> Vec<&'static str> {
    let mut kinds = KINDS.to_vec();
    for (before, column) in others {
        let at = kinds.iter().position(|kind| kind.starts_with(before));
        kinds.insert(at.unwrap() + 1, column);
    }
    kinds
}

#[tokio::test]
async fn a_database_of_mariadb_is_catalogued() {
    let server = TestMySql::mariadb();
    server.sql("mysql", SCHEMA);
    server.sql("mysql", MARIADB);
    let own = kinds(&[
        ("big ", "j text?"),
        ("p ", "u uuid?"),
        ("u ", "i unsupported(inet6)?"),
    ]);
    let counter = [("shop.counter", "it is a sequence")];
    check_catalogue(&server, &own, &counter).await;
}

#[tokio::test]
async fn a_database_of_mysql_is_catalogued() {
    let server = TestMySql::mysql();
    server.sql("mysql", SCHEMA);
    check_catalogue(&server, &kinds(&[("big ", "j json?")]), &[]).await;
}

async fn check_catalogue(server: &TestMySql, columns: &[&str], others: &[(&str, &str)]) {
    let house = house_of(server.port, MYSQL_PASSWORD, Tls::Off).await;
    let report = house.catalog.scan("shop").await.unwrap();
    assert_eq!(report.added, [id("Odd name"), id("kinds")]);
    let unread: Vec<(&str, &str)> = report
        .unreadable
        .iter()
        .map(|(name, reason)| (name.as_str(), reason.as_str()))
        .collect();
    let (seen_others, [seen, slash]) = unread.split_at(others.len()) else {
        panic!("{unread:?}")
    };
    assert_eq!(seen_others, others);
    assert!(
        seen.0 == "shop.seen" && seen.1.starts_with("it is a view"),
        "{seen:?}"
    );
    assert_eq!(slash.0, "shop.sl/ash");
    assert_eq!(house.columns(&id("kinds")), columns);
    assert_eq!(
        house.columns(&id("Odd name")),
        ["a/b integer?", "x`y text?"]
    );
    let kinds = house.dataset(&id("kinds")).unwrap();
    assert_eq!(kinds.row_count, Some(2));
    let expected = DatasetSource::Table {
        schema: "shop".to_owned(),
        table: "kinds".to_owned(),
    };
    assert_eq!(kinds.source, expected);

    // What is catalogued survives, and the password is nowhere.
    house.tag(&id("kinds"), Some("v"), &["PII.name"]).await;
    let house = house.reopen().await;
    assert_eq!(house.columns(&id("kinds")), columns);
    let again = house.catalog.scan("shop").await.unwrap();
    assert!(
        again.added.is_empty() && again.changed.is_empty(),
        "{again:?}"
    );
    server.sql(
        "shop",
        "ALTER TABLE kinds DROP COLUMN p; DROP TABLE `Odd name`;",
    );
    let report = house.catalog.scan("shop").await.unwrap();
    assert_eq!(report.changed, [id("kinds")]);
    assert_eq!(report.dropped, [id("Odd name")]);
    assert_eq!(house.tags(&id("kinds"), "v"), "PII.name");
}

#[tokio::test]
async fn what_cannot_be_reached_names_the_depot_and_not_the_password() {
    let server = TestMySql::mariadb();
    server.sql("mysql", "CREATE DATABASE shop");
    for (port, password, tls) in [
        (server.port, "wrong-horse", Tls::Off),
        (
            server.port,
            MYSQL_PASSWORD,
            Tls::Verified { authorities: None },
        ),
        (1, MYSQL_PASSWORD, Tls::Off),
    ] {
        let house = house_of(port, password, tls).await;
        let fault = house.catalog.scan("shop").await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Unavailable, "{fault:?}");
        let text = format!("{fault} {fault:?}");
        assert!(text.contains("`shop`"), "{text}");
        assert!(!text.contains(password), "{text}");
    }
}
