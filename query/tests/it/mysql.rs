//! Tables of real servers of MariaDB and MySQL, read with least data, over TLS, and governed like files.

use std::time::{Duration, Instant};

use dataos_model::{
    dataset::DatasetId,
    depot::{DatasetSource, DepotSource, Tls},
    fault::{Fault, FaultKind},
    predicate::Predicate,
    seams::RunQuery,
    secret::SecretName,
    value::Value,
};
use dataos_query::QueryConfig;
use dataos_store::test_mysql::{MYSQL_PASSWORD, TestMySql};

use crate::world::{World, equals};

/// Settings that change what statements mean for whoever does not set his own.
const HOSTILE: &[&str] = &[
    "--sql-mode=ANSI_QUOTES,PIPES_AS_CONCAT,PAD_CHAR_TO_FULL_LENGTH",
    "--default-time-zone=+05:00",
];

const SETUP: &str = "
    SET time_zone = '+00:00', sql_mode = '';
    CREATE DATABASE shop;
    CREATE TABLE shop.people (
        id bigint PRIMARY KEY, tiny tinyint, digit tinyint(1) unsigned, small smallint unsigned,
        middle mediumint, whole int, wide int unsigned, huge bigint unsigned, flag bit(1), ratio float,
        doubled double, price decimal(12,2), name varchar(20), code char(8),
        latin varchar(20) CHARACTER SET latin1, kind enum('big', 'small'), day date, at timestamp(6) NULL,
        local datetime(6), since year, doc json, bytes varbinary(8), uid {uuid}, odd time,
        region varchar(10)
    );
    INSERT INTO shop.people VALUES
        (1, -1, 200, 65535, -8388608, 7, 4294967295, 18446744073709551615, b'1', 0.1, 0.25, -12.30, 'ada',
         'x', 'é', 'big', '2024-02-29', '2024-02-29 10:00:00.5', '1999-12-31 23:59:59', 2024,
         '{\"b\": 1, \"a\": [true]}', X'00ff', {id}, '10:00', 'EMEA'),
        (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
         NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'AMER'),
        (3, 3, 0, 0, 0, -3, 0, 0, b'0', 1.5, 1e10, 0, '', '', '', 'small', '1000-01-01',
         '1970-01-01 00:00:01', '9999-12-31 23:59:59.999999', 1901, '[]', '',
         '00000000-0000-0000-0000-000000000000', '10:00', 'EMEA'),
        (4, 0, 1, 1, 1, 7, 1, 1, b'1', 1, 1, 1, 'x', 'X', 'x', 'big', '2024-01-01', '2024-01-01',
         '2024-01-01', 2000, '1', '', '00000000-0000-0000-0000-000000000000', '10:00', 'emea '),
        (5, 0, 1, 1, 1, 7, 1, 1, b'1', 1, 1, 1, 'x', 'x', 'x', 'big', '2024-01-01', '2024-01-01',
         '2024-01-01', 2000, '1', '', '00000000-0000-0000-0000-000000000000', '10:00', 'EMEÀ');
    CREATE TABLE shop.many AS {numbers} SELECT seq AS id, repeat('row ', 50) AS note, 1000 + seq % 7 AS salary,
        IF(seq % 10 < 6, 'a', 'b') AS tenant FROM {sequence};
    UPDATE shop.many SET salary = 777 WHERE tenant = 'b';
    CREATE TABLE shop.dates (id bigint, day date, at datetime);
    CREATE TABLE shop.named (`1` bigint);
    INSERT INTO shop.named VALUES (7), (9);
    INSERT INTO shop.dates VALUES (1, '2024-01-01', '2024-01-01'), (2, '0000-00-00', '2024-01-01'),
        (3, '2024-00-10', '2024-01-01'), (4, NULL, '0000-00-00');
    CREATE VIEW shop.slow AS SELECT 1 AS id, sleep(30) AS x;
    SET GLOBAL sql_select_limit = 2;
";

/// What servers have each in their own way.
fn setup(server: &TestMySql) -> String {
    let own = match server.product {
        "mariadb" => [
            "uuid",
            "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'",
            "",
            "seq_1_to_100000",
        ],
        _ => [
            "char(36)",
            "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
            "WITH RECURSIVE numbers AS (SELECT 1 AS seq UNION ALL SELECT seq + 1 FROM numbers WHERE seq < 100000)",
            "numbers",
        ],
    };
    let names = ["{uuid}", "{id}", "{numbers}", "{sequence}"];
    let named = names.iter().zip(own);
    named.fold(SETUP.to_owned(), |text, (name, own)| {
        text.replace(name, own)
    })
}

const PEOPLE: &[(&str, &str)] = &[
    ("id", "bigint"),
    ("tiny", "smallint"),
    ("digit", "smallint"),
    ("small", "integer"),
    ("middle", "integer"),
    ("whole", "integer"),
    ("wide", "bigint"),
    ("huge", "decimal(20,0)"),
    ("flag", "boolean"),
    ("ratio", "real"),
    ("doubled", "double"),
    ("price", "decimal(12,2)"),
    ("name", "text"),
    ("code", "text"),
    ("latin", "text"),
    ("kind", "text"),
    ("day", "date"),
    ("at", "timestamptz"),
    ("local", "timestamp"),
    ("since", "smallint"),
    ("doc", "text"),
    ("bytes", "binary"),
    ("uid", "uuid"),
    ("odd", "unsupported(time)"),
    ("region", "text"),
];

const MANY: &[(&str, &str)] = &[
    ("id", "bigint"),
    ("note", "text"),
    ("salary", "bigint"),
    ("tenant", "text"),
];

pub(crate) fn depot(port: u16, database: &str, tls: Tls) -> DepotSource {
    DepotSource::MySql {
        host: "127.0.0.1".to_owned(),
        port,
        database: database.to_owned(),
        user: "dataos".to_owned(),
        password: Some(SecretName("public/shop/password".to_owned())),
        tls,
    }
}

fn table(world: &World, name: &str, columns: &[(&str, &str)]) -> DatasetId {
    let id = DatasetId::new("shop", "shop", name);
    let source = DatasetSource::Table {
        schema: "shop".to_owned(),
        table: name.to_owned(),
    };
    world.catalog.add(&id, columns, source);
    id
}

fn world(server: &TestMySql, config: QueryConfig) -> (World, DatasetId, DatasetId) {
    let world = World::with(config);
    let source = depot(server.port, "shop", Tls::Off);
    world.catalog.add_depot("shop", source);
    world
        .vault
        .keep("public/shop/password", MYSQL_PASSWORD.as_bytes());
    let types = PEOPLE.iter().map(|(name, kind)| match *name {
        "doc" if server.product == "mysql" => (*name, "json"),
        "uid" if server.product == "mysql" => (*name, "text"),
        _ => (*name, *kind),
    });
    let people = table(&world, "people", &types.collect::<Vec<_>>());
    let many = table(&world, "many", MANY);
    (world, people, many)
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_mariadb_are_governed_like_files() {
    check_all(TestMySql::mariadb_with(HOSTILE, &[])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_mysql_are_governed_like_files() {
    let depth = "--cte-max-recursion-depth=100000";
    let options: Vec<&str> = HOSTILE.iter().copied().chain([depth]).collect();
    check_all(TestMySql::mysql_with(&options, &[])).await;
}

/// One server for all: starting one takes seconds.
async fn check_all(server: TestMySql) {
    server.sql("mysql", &setup(&server));
    let (world, people, many) = world(&server, QueryConfig::default());
    types_arrive_exactly(&world, &server).await;
    dates_that_are_no_days_are_faults(&world).await;
    little_is_fetched(&world, &server, &people, &many).await;
    equality_is_by_code_point(&world, &people).await;
    hidden_rows_stay_hidden(&world, &many).await;
    what_nobody_waits_for_is_killed(&server).await;
    connections_are_used_again(&world, &server).await;
    statements_stay_prepared(&world, &server).await;
    a_column_may_have_any_name(&world, &server).await;
    nothing_is_written(&world, &server).await;
    faults_name_the_depot(&world, &server).await;
}

async fn types_arrive_exactly(world: &World, server: &TestMySql) {
    // MySQL has a type for documents, and keeps their keys in order; MariaDB has a text.
    let (mariadb, mysql) = (
        r#""{\"b\": 1, \"a\": [true]}""#,
        r#""{\"a\": [true], \"b\": 1}""#,
    );
    let document = if server.product == "mariadb" {
        mariadb
    } else {
        mysql
    };
    let columns = "id, tiny, digit, small, middle, whole, wide, huge, flag, ratio, doubled, price, name, \
                   code, latin, kind, day, at, local, since, doc, bytes, uid, region";
    world
        .check(
            &format!("SELECT {columns} FROM people WHERE id < 4 ORDER BY id"),
            &concat!(
                r#"[[1,-1,200,65535,-8388608,7,4294967295,"18446744073709551615",true,0.1,0.25,-12.30,"#,
                r#""ada","x","é","big","2024-02-29","2024-02-29T10:00:00.5Z","1999-12-31T23:59:59",2024,"#,
                r#"DOCUMENT,"00ff","a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11","EMEA"],"#,
                r#"[2,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,"#,
                r#"null,null,null,null,null,null,"AMER"],"#,
                r#"[3,3,0,0,0,-3,0,0,false,1.5,10000000000,0.00,"","","","small","1000-01-01","#,
                r#""1970-01-01T00:00:01Z","9999-12-31T23:59:59.999999",1901,"[]","","#,
                r#""00000000-0000-0000-0000-000000000000","EMEA"]]"#
            )
            .replace("DOCUMENT", document),
        )
        .await;
    let fault = world.refused("SELECT odd FROM people").await;
    assert_eq!(fault.kind, FaultKind::Unsupported);
    // More rows than the server's own limit, also without columns.
    world.check("SELECT count(*) FROM people", "[[5]]").await;
    world.check("SELECT count(*) FROM many", "[[100000]]").await;
}

async fn dates_that_are_no_days_are_faults(world: &World) {
    let columns = [("id", "bigint"), ("day", "date"), ("at", "timestamp")];
    let id = table(world, "dates", &columns);
    world.check("SELECT count(id) FROM dates", "[[4]]").await;
    for (column, row) in [("day", 2), ("day", 3), ("at", 4)] {
        world.desk.rows(&id, equals("id", row));
        let fault = world.refused(&format!("SELECT {column} FROM dates")).await;
        assert_eq!(fault.kind, FaultKind::Unsupported, "{fault:?}");
        let text = format!("column `{column}` of `shop:shop/dates`");
        assert!(fault.message.contains(&text), "{fault:?}");
        assert!(fault.message.contains("zero date"), "{fault:?}");
    }
    world.desk.rows(&id, equals("id", 4));
    world.check("SELECT day FROM dates", "[[null]]").await;
}

async fn little_is_fetched(
    world: &World,
    server: &TestMySql,
    people: &DatasetId,
    many: &DatasetId,
) {
    server.forget_log();
    world.desk.rows(
        people,
        Predicate::all([
            equals("region", "EMEA"),
            equals("whole", 7),
            equals("price", Value::Decimal(-123_000)),
        ]),
    );
    world.desk.mask(people, "name", "partial(first = 1)");
    world
        .check("SELECT name FROM people WHERE name = 'a**'", r#"[["a**"]]"#)
        .await;
    let sent = server.logged("FROM `shop`.`people`");
    assert!(sent.contains("Execute\t"), "{sent}");
    for part in [
        "r0.`region` = 'EMEA' AND CAST(CONVERT(r0.`region` USING utf8mb4) AS BINARY) = CAST('EMEA' AS BINARY)",
        "`whole` = 7",
        "`price` = -12.3000",
        "`region` IS NOT NULL",
        "SELECT `whole`, `price`, `name`, `region` FROM",
    ] {
        assert!(sent.contains(part), "{part}: {sent}");
    }
    assert!(!sent.contains("a**"), "the caller's text was sent: {sent}");
    server.forget_log();
    world.desk.rows(many, equals("tenant", "a"));
    world
        .check("SELECT count(*) FROM many WHERE id <= 10", "[[6]]")
        .await;
    let sent = server.logged("FROM `shop`.`many`");
    assert!(
        sent.contains("`tenant`") && !sent.contains("note"),
        "{sent}"
    );
    // What the caller compares plain columns with goes along too, his text does not.
    assert!(sent.contains("AND r0.`id` <= 10"), "{sent}");
    world.desk.rows(many, Predicate::ALWAYS);
    for (sql, expected, parts) in [
        (
            "SELECT salary FROM many WHERE id IN (7, 9) AND salary > 5 AND 1 / id < 2 ORDER BY id",
            "[[777],[777]]",
            ["`id` = 7", "`salary` > 5"],
        ),
        (
            "SELECT count(*) FROM many WHERE tenant = 'A' AND 8 >= id AND note LIKE 'r_'",
            "[[0]]",
            ["`tenant` = 'A' AND CAST(", "r0.`id` <= 8"],
        ),
    ] {
        server.forget_log();
        world.check(sql, expected).await;
        let sent = server.logged("FROM `shop`.`many`");
        for part in parts {
            assert!(sent.contains(part), "{part}: {sent}");
        }
        assert!(!sent.contains("1 /") && !sent.contains("LIKE"), "{sent}");
    }
}

/// The server's own comparison folds case, accents and spaces at the end.
async fn equality_is_by_code_point(world: &World, people: &DatasetId) {
    for (column, value, expected) in [
        ("region", "EMEA", "[[1],[3]]"),
        ("region", "emea ", "[[4]]"),
        ("region", "EMEÀ", "[[5]]"),
        ("region", "EMEA ", "[]"),
        ("region", "", "[]"),
        ("name", "", "[[3]]"),
        ("code", "x", "[[1],[5]]"),
        ("code", "x ", "[]"),
        ("code", "X", "[[4]]"),
        ("latin", "é", "[[1]]"),
        ("latin", "e\u{301}", "[]"),
        ("latin", "日", "[]"),
        ("latin", "E", "[]"),
        ("kind", "BIG", "[]"),
        ("kind", "small", "[[3]]"),
        ("region", "\\' OR 1=1 -- ", "[]"),
        ("region", "a\0b", "[]"),
    ] {
        world.desk.rows(people, equals(column, value));
        world
            .check("SELECT id FROM people ORDER BY id", expected)
            .await;
    }
}

async fn hidden_rows_stay_hidden(world: &World, many: &DatasetId) {
    // Once with a condition that the server computes, once with one that only we compute.
    for rows in [equals("tenant", "a"), equals("tenant", "b").negated()] {
        world.desk.rows(many, rows);
        for sql in [
            "SELECT count(*) FROM many WHERE 1 / (salary - 777) < 5",
            "SELECT count(*) FROM (SELECT 1 / (salary - 777) AS x FROM many) AS s WHERE x < 5",
        ] {
            world.check(sql, "[[60000]]").await;
        }
    }
    world.desk.rows(many, Predicate::ALWAYS);
}

/// A read that is given up, and one that takes too long.
async fn what_nobody_waits_for_is_killed(server: &TestMySql) {
    let config = QueryConfig {
        time_max: Duration::from_secs(2),
        ..QueryConfig::default()
    };
    let (world, ..) = self::world(server, config);
    table(&world, "slow", &[("id", "bigint"), ("x", "integer")]);
    server.forget_log();
    let started = Instant::now();
    let request = world.request("SELECT x FROM slow");
    let given_up = tokio::time::timeout(Duration::from_millis(500), world.layer.run(request));
    assert!(given_up.await.is_err());
    idle(server).await;
    let sent = server.logged("KILL QUERY");
    assert!(sent.contains("KILL QUERY"), "{sent}");
    let fault = world.refused("SELECT x FROM slow").await;
    assert_eq!(fault.kind, FaultKind::Timeout, "{fault:?}");
    idle(server).await;
    assert!(started.elapsed() < Duration::from_secs(25));
    // Rows that are not taken are not read: far more lie there than wait anywhere.
    world
        .check(
            "SELECT count(*) FROM (SELECT note FROM many LIMIT 5)",
            "[[5]]",
        )
        .await;
    idle(server).await;
}

/// Waits until the server runs nothing for us.
async fn idle(server: &TestMySql) {
    let running = "SELECT count(*) FROM information_schema.processlist \
                   WHERE user = 'dataos' AND command NOT IN ('Sleep', 'Killed')";
    for _ in 0..100 {
        if server.sql("mysql", running).trim() == "0" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{}", server.sql("mysql", "SHOW FULL PROCESSLIST"));
}

async fn connections_are_used_again(world: &World, server: &TestMySql) {
    world.check("SELECT count(*) FROM many", "[[100000]]").await;
    server.forget_log();
    for _ in 0..5 {
        world.check("SELECT count(*) FROM many", "[[100000]]").await;
    }
    let connects = server.logged("Connect\t");
    assert_eq!(connects, "", "each read made a connection");
}

/// What closes a statement has no answer, and holds up the next one: the connection is given up instead.
async fn statements_stay_prepared(world: &World, server: &TestMySql) {
    const TEXTS: usize = 120;
    server.forget_log();
    for text in 0..TEXTS {
        let column = ["id", "tenant", "note", "salary"][text % 4];
        let ids: Vec<String> = (0..=text / 4).map(|id| id.to_string()).collect();
        let sql = format!(
            "SELECT count({column}) FROM many WHERE id IN ({})",
            ids.join(", ")
        );
        for _ in 0..2 {
            world.check(&sql, &format!("[[{}]]", text / 4)).await;
        }
    }
    let count = |what: &str| server.logged(what).lines().count();
    // Each also asks for the types of its columns, as a statement of its own.
    assert_eq!(count("Execute\t"), 4 * TEXTS);
    assert_eq!(count("Close stmt"), 0);
    assert_eq!((count("Quit"), count("Connect\t")), (1, 1));
    let prepared = count("Prepare\t");
    assert!((TEXTS..TEXTS + 12).contains(&prepared), "{prepared}");
}

/// Also that of the one column of the row which is joined to ask for types.
async fn a_column_may_have_any_name(world: &World, server: &TestMySql) {
    table(world, "named", &[("1", "bigint")]);
    server.forget_log();
    world
        .check(
            r#"SELECT "1" FROM named ORDER BY "1" DESC LIMIT 1"#,
            "[[9]]",
        )
        .await;
    assert!(server.logged("`shop`.`named`").contains(" LIMIT 1"));
}

async fn nothing_is_written(world: &World, server: &TestMySql) {
    server.forget_log();
    for sql in [
        "INSERT INTO shop.shop.many SELECT * FROM shop.shop.many",
        "UPDATE shop.shop.many SET salary = 1",
        "DELETE FROM shop.shop.many",
        "MERGE INTO shop.shop.many AS m USING shop.shop.people AS p ON m.id = p.id WHEN MATCHED THEN DELETE",
        "CREATE TABLE shop.shop.copy AS SELECT 1 AS x",
    ] {
        let fault = world.refused(sql).await;
        assert_eq!(fault.kind, FaultKind::Unsupported, "{sql}: {fault:?}");
    }
    for word in ["INSERT", "UPDATE", "DELETE", "CREATE"] {
        assert_eq!(server.logged(word), "");
    }
}

async fn faults_name_the_depot(world: &World, server: &TestMySql) {
    let check = |fault: Fault, kind, text: &str| {
        assert_eq!(fault.kind, kind, "{fault:?}");
        assert!(
            fault.message.contains("`shop`") && fault.message.contains(text),
            "{fault:?}"
        );
        assert!(!format!("{fault:?}").contains(MYSQL_PASSWORD), "{fault:?}");
    };
    let people = DatasetId::new("shop", "shop", "people");
    world.desk.rows(&people, Predicate::ALWAYS);
    server.sql("shop", "ALTER TABLE people DROP COLUMN code");
    let fault = world.refused("SELECT code FROM people").await;
    check(fault, FaultKind::Conflict, "not what the catalog knows");
    for (change, column) in [
        ("MODIFY whole int unsigned, MODIFY day datetime", "day"),
        ("MODIFY latin varbinary(20)", "latin"),
        ("MODIFY price double", "price"),
    ] {
        server.sql(
            "shop",
            &format!("SET sql_mode = ''; UPDATE people SET whole = 1; ALTER TABLE people {change}"),
        );
        let fault = world.refused(&format!("SELECT {column} FROM people")).await;
        assert_eq!(
            (fault.kind, fault.reason.as_str()),
            (FaultKind::Conflict, "schema_changed"),
            "{fault:?}"
        );
    }
    server.sql(
        "mysql",
        "REVOKE SELECT ON *.* FROM dataos; GRANT SELECT ON shop.many TO dataos",
    );
    let fault = world.refused("SELECT id FROM people").await;
    check(fault, FaultKind::Unavailable, "may not read the table");

    world.vault.keep("public/shop/password", b"wrong");
    let fault = world.refused("SELECT id FROM many").await;
    check(fault, FaultKind::Unavailable, "refuses the log-in");
    let password = MYSQL_PASSWORD.as_bytes();
    world.vault.keep("public/shop/password", password);
    for (port, database, tls, text) in [
        (server.port, "nowhere", Tls::Off, "no such database"),
        // Port 1 of this machine answers nothing.
        (1, "shop", Tls::Off, "does not answer"),
        (
            server.port,
            "shop",
            Tls::Verified { authorities: None },
            "no TLS",
        ),
    ] {
        world.catalog.add_depot("shop", depot(port, database, tls));
        let fault = world.refused("SELECT id FROM many").await;
        check(fault, FaultKind::Unavailable, text);
    }
    world.vault.forget("public/shop/password");
    let fault = world.refused("SELECT id FROM many").await;
    check(fault, FaultKind::Unavailable, "password");
}

/// Without TLS a password goes to the server as hashes alone, which it takes if it has seen the password itself.
#[tokio::test(flavor = "multi_thread")]
async fn mysql_has_to_know_a_password_before_it_is_used_without_tls() {
    let server = TestMySql::mysql();
    let password = MYSQL_PASSWORD.replace('\'', "''");
    server.sql(
        "mysql",
        &format!(
            "ALTER USER dataos IDENTIFIED WITH caching_sha2_password BY '{password}'; CREATE DATABASE shop; \
             CREATE TABLE shop.many (id bigint); INSERT INTO shop.many VALUES (7)"
        ),
    );
    let (world, ..) = world(&server, QueryConfig::default());
    table(&world, "many", &[("id", "bigint")]);
    let fault = world.refused("SELECT id FROM many").await;
    assert_eq!(fault.kind, FaultKind::Unavailable, "{fault:?}");
    let hint = fault.hint.unwrap();
    assert!(hint.contains("caching_sha2_password over TLS"), "{hint}");
    server.log_in();
    world.check("SELECT id FROM many", "[[7]]").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_protected_and_the_server_is_who_it_should_be() {
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let options = [
        "--ssl-cert={folder}/server.pem",
        "--ssl-key={folder}/server.key",
        "--require-secure-transport=ON",
    ];
    let (certificate, key) = (own.cert.pem(), own.signing_key.serialize_pem());
    let files = [
        ("server.pem", certificate.as_str()),
        ("server.key", key.as_str()),
    ];
    let server = TestMySql::mariadb_with(&options, &files);
    let setup = "CREATE DATABASE shop; CREATE TABLE shop.many (id bigint); INSERT INTO shop.many VALUES (7);";
    server.sql("mysql", setup);
    let (world, ..) = world(&server, QueryConfig::default());
    table(&world, "many", &[("id", "bigint")]);
    let verified = |authorities: Option<String>| Tls::Verified { authorities };
    server.forget_log();
    let protected = depot(server.port, "shop", verified(Some(certificate.clone())));
    world.catalog.add_depot("shop", protected);
    world.check("SELECT id FROM many", "[[7]]").await;
    let connects = server.logged("Connect\t");
    assert!(connects.contains("using SSL/TLS"), "{connects}");
    for (host, tls, text) in [
        (
            "127.0.0.1",
            verified(None),
            "no certificate that can be verified",
        ),
        (
            "127.0.0.1",
            verified(Some(other.cert.pem())),
            "no certificate that can be verified",
        ),
        // The certificate is of another name.
        (
            "localhost",
            verified(Some(certificate.clone())),
            "no certificate that can be verified",
        ),
        ("127.0.0.1", Tls::Off, "refuses the log-in"),
    ] {
        let mut source = depot(server.port, "shop", tls);
        if let DepotSource::MySql { host: of, .. } = &mut source {
            host.clone_into(of);
        }
        world.catalog.add_depot("shop", source);
        let fault = world.refused("SELECT id FROM many").await;
        assert_eq!(fault.kind, FaultKind::Unavailable, "{fault:?}");
        assert!(fault.message.contains(text), "{host}: {fault:?}");
    }
}
