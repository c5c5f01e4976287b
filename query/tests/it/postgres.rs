//! Tables of a real PostgreSQL server, read with least data and governed like files.

pub(crate) mod server;

use dataos_model::{
    dataset::DatasetId,
    depot::{DatasetSource, DepotSource, Tls},
    fault::FaultKind,
    predicate::Predicate,
    seams::RunQuery,
    secret::SecretName,
};
use dataos_store::test_server::{PASSWORD as OWNERS_PASSWORD, TestServer};

use self::server::{PASSWORD, Server};
use crate::world::{World, equals};

const SETUP: &str = "
    CREATE TABLE people (
        id bigint PRIMARY KEY, small smallint, middle integer, flag boolean, ratio real,
        double double precision, price numeric(12,2), name text, code varchar(8), day date,
        at timestamptz, local timestamp, key uuid, doc jsonb, tags text[], bytes bytea,
        region text, odd money
    );
    INSERT INTO people VALUES
        (1, -1, 7, true, 0.5, 0.25, -12.30, 'ada', 'x', '2024-02-29',
         '2024-02-29 12:00:00.5+02', '1999-12-31 23:59:59', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11',
         '{\"b\": 1, \"a\": [true]}', '{a,NULL,b}', '\\x00ff', 'EMEA', 1),
        (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
         'AMER', NULL),
        (3, 3, 3, false, 'NaN', 'Infinity', 0, '', '', '1969-12-31', '1969-12-31 23:59:59.999999Z',
         '2024-01-01', '00000000-0000-0000-0000-000000000000', '[]', '{}', '', 'EMEA', 2);
    CREATE TABLE many AS SELECT g AS id, 'row ' || g AS note, 1000 + g % 7 AS salary,
        CASE WHEN g % 10 < 6 THEN 'a' ELSE 'b' END AS tenant FROM generate_series(1, 30000) g;
    UPDATE many SET salary = 777 WHERE tenant = 'b';
";

const PEOPLE: &[(&str, &str)] = &[
    ("id", "bigint"),
    ("small", "smallint"),
    ("middle", "integer"),
    ("flag", "boolean"),
    ("ratio", "real"),
    ("double", "double"),
    ("price", "decimal(12,2)"),
    ("name", "text"),
    ("code", "text"),
    ("day", "date"),
    ("at", "timestamptz"),
    ("local", "timestamp"),
    ("key", "uuid"),
    ("doc", "json"),
    ("tags", "text[]"),
    ("bytes", "binary"),
    ("region", "text"),
    ("odd", "unsupported(money)"),
];

const MANY: &[(&str, &str)] = &[
    ("id", "integer"),
    ("note", "text"),
    ("salary", "integer"),
    ("tenant", "text"),
];

fn depot(port: u16, database: &str) -> DepotSource {
    DepotSource::Postgres {
        host: "127.0.0.1".to_owned(),
        port,
        database: database.to_owned(),
        user: "postgres".to_owned(),
        password: Some(SecretName("public/pg/password".to_owned())),
        tls: Tls::Off,
    }
}

fn table(world: &World, name: &str, columns: &[(&str, &str)]) -> DatasetId {
    let id = DatasetId::new("pg", "public", name);
    let source = DatasetSource::Table {
        schema: "public".to_owned(),
        table: name.to_owned(),
    };
    world.catalog.add(&id, columns, source);
    id
}

fn world(server: &Server) -> (World, DatasetId, DatasetId) {
    let world = World::new();
    world
        .catalog
        .add_depot("pg", depot(server.port, "postgres"));
    world.vault.keep("public/pg/password", PASSWORD.as_bytes());
    let people = table(&world, "people", PEOPLE);
    let many = table(&world, "many", MANY);
    (world, people, many)
}

/// One server for all: starting one takes seconds.
#[tokio::test(flavor = "multi_thread")]
async fn tables_are_governed_like_files() {
    let server = Server::start();
    server.psql(SETUP);
    let (world, people, many) = world(&server);
    types_arrive_exactly(&world).await;
    little_is_fetched(&world, &server, &people, &many).await;
    hidden_rows_stay_hidden(&world, &many).await;
    files_and_tables_join(&world, &many).await;
    faults_name_the_depot(&world, &server).await;
}

async fn types_arrive_exactly(world: &World) {
    let columns = "id, small, middle, flag, ratio, double, price, name, code, day, at, local, key, \
                   doc, tags, bytes, region";
    world
        .check(
            &format!("SELECT {columns} FROM people ORDER BY id"),
            concat!(
                r#"[[1,-1,7,true,0.5,0.25,-12.30,"ada","x","2024-02-29","2024-02-29T10:00:00.5Z","#,
                r#""1999-12-31T23:59:59","a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11","#,
                r#""{\"a\": [true], \"b\": 1}",["a",null,"b"],"00ff","EMEA"],"#,
                r#"[2,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,"#,
                r#""AMER"],"#,
                r#"[3,3,3,false,"NaN","Infinity",0.00,"","","1969-12-31","#,
                r#""1969-12-31T23:59:59.999999Z","2024-01-01T00:00:00","#,
                r#""00000000-0000-0000-0000-000000000000","[]",[],"","EMEA"]]"#
            ),
        )
        .await;
    let integers =
        "middle IN (3, 7, 9999999999) AND small IN (-1, 70000) AND id < 9223372036854775807";
    world
        .check(&format!("SELECT id FROM people WHERE {integers}"), "[[1]]")
        .await;
    let fault = world.refused("SELECT odd FROM people").await;
    assert_eq!(fault.kind, FaultKind::Unsupported);
    world.check("SELECT count(*) FROM people", "[[3]]").await;
}

async fn little_is_fetched(world: &World, server: &Server, people: &DatasetId, many: &DatasetId) {
    server.forget_log();
    world.desk.rows(
        people,
        Predicate::all([
            equals("region", "EMEA"),
            equals("middle", 7),
            equals("code", "x"),
        ]),
    );
    world.desk.mask(people, "name", "partial(first = 1)");
    world.check("SELECT name FROM people", r#"[["a**"]]"#).await;
    let sent = server.selects("people");
    assert!(sent.contains("region\" = $1::text COLLATE \"C\""), "{sent}");
    assert!(sent.contains("\"middle\" = '7'::integer"), "{sent}");
    assert!(sent.contains("\"region\" IS NOT NULL"), "{sent}");
    for column in ["price", "doc", "bytes", "day"] {
        assert!(!sent.contains(column), "{column} was fetched: {sent}");
    }
    server.forget_log();
    world.desk.rows(many, equals("tenant", "a"));
    world
        .check("SELECT count(*) FROM many WHERE id <= 10", "[[6]]")
        .await;
    assert!(
        !server.selects("many").contains("note"),
        "{}",
        server.selects("many")
    );
    server.forget_log();
    world
        .check(
            "SELECT count(*) FROM many WHERE id IN (1, 5, 6, 10, 40000)",
            "[[3]]",
        )
        .await;
    let sent = server.selects("many");
    // In a form that an index is of use for.
    assert!(sent.contains("\"id\" IN ('1'::integer, "), "{sent}");
}

async fn hidden_rows_stay_hidden(world: &World, many: &DatasetId) {
    // Once with a condition that the server computes, once with one that only we compute.
    for rows in [equals("tenant", "a"), equals("tenant", "b").negated()] {
        world.desk.rows(many, rows);
        for sql in [
            "SELECT count(*) FROM many WHERE 1 / (salary - 777) < 5",
            "SELECT count(*) FROM (SELECT 1 / (salary - 777) AS x FROM many) AS s WHERE x < 5",
        ] {
            world.check(sql, "[[18000]]").await;
        }
        world
            .check(
                "SELECT count(*) FROM (SELECT id FROM many LIMIT 20000) AS s",
                "[[18000]]",
            )
            .await;
    }
}

async fn files_and_tables_join(world: &World, many: &DatasetId) {
    world.desk.rows(many, equals("tenant", "a"));
    world.csv("wanted", &[("id", "bigint")], "1\n5\n6\n10\n");
    world
        .check(
            "SELECT m.id, n.note FROM wanted w JOIN many m ON m.id = w.id \
             JOIN many n ON n.id = m.id ORDER BY 1",
            r#"[[1,"row 1"],[5,"row 5"],[10,"row 10"]]"#,
        )
        .await;
    world
        .check(
            "CREATE TABLE lake.main.copy AS SELECT id, note FROM many WHERE id < 4",
            "[[3]]",
        )
        .await;
    world
        .check("SELECT max(note) FROM copy", r#"[["row 3"]]"#)
        .await;
}

async fn faults_name_the_depot(world: &World, server: &Server) {
    let check = |fault: dataos_model::fault::Fault, kind, text: &str| {
        assert_eq!(fault.kind, kind, "{fault:?}");
        assert!(
            fault.message.contains("`pg`") && fault.message.contains(text),
            "{fault:?}"
        );
        assert!(!format!("{fault:?}").contains(PASSWORD), "{fault:?}");
    };
    server.psql("ALTER TABLE people DROP COLUMN code");
    let fault = world.refused("SELECT code FROM people").await;
    check(fault, FaultKind::Conflict, "not what the catalog knows");
    world
        .desk
        .rows(&DatasetId::new("pg", "public", "people"), Predicate::ALWAYS);
    server.psql("ALTER TABLE people ALTER COLUMN middle TYPE bigint");
    let fault = world.refused("SELECT middle FROM people").await;
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::Conflict, "schema_changed")
    );

    world.vault.keep("public/pg/password", b"wrong");
    let fault = world.refused("SELECT id FROM many").await;
    check(fault, FaultKind::Unavailable, "refuses the log-in");
    world.vault.keep("public/pg/password", PASSWORD.as_bytes());
    world.catalog.add_depot("pg", depot(server.port, "nowhere"));
    let fault = world.refused("SELECT id FROM many").await;
    check(fault, FaultKind::Unavailable, "no such database");
    // Port 1 of this machine answers nothing.
    world.catalog.add_depot("pg", depot(1, "postgres"));
    let fault = world.refused("SELECT id FROM many").await;
    check(fault, FaultKind::Unavailable, "does not answer");
    world.vault.forget("public/pg/password");
    let fault = world.refused("SELECT id FROM many").await;
    check(fault, FaultKind::Unavailable, "password");
    // Other depots go on.
    world.check("SELECT count(*) FROM wanted", "[[4]]").await;
}

/// How a server is reached over TLS, or is not.
fn protected(server: &TestServer, host: &str, tls: Tls) -> DepotSource {
    DepotSource::Postgres {
        host: host.to_owned(),
        port: server.port,
        database: "dataos".to_owned(),
        user: "dataos".to_owned(),
        password: Some(SecretName("public/pg/password".to_owned())),
        tls,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_protected_and_the_server_is_who_it_should_be() {
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let server = TestServer::start();
    server.psql(
        "dataos",
        "CREATE VIEW own AS SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid(); \
         CREATE VIEW slow AS SELECT 1 AS id, pg_sleep(120)::text AS x",
    );
    let world = World::new();
    let password = OWNERS_PASSWORD.as_bytes();
    world.vault.keep("public/pg/password", password);
    table(&world, "own", &[("ssl", "boolean")]);
    table(&world, "slow", &[("id", "integer"), ("x", "text")]);
    let sql = "SELECT ssl FROM own";
    let verified = |authorities: Option<String>| Tls::Verified { authorities };
    let trusted = verified(Some(own.cert.pem()));
    let declare = |host: &str, tls: &Tls| {
        let source = protected(&server, host, tls.clone());
        world.catalog.add_depot("pg", source);
    };
    declare("127.0.0.1", &trusted);
    let fault = world.refused(sql).await;
    assert!(fault.message.contains("offers no TLS"), "{fault:?}");
    declare("127.0.0.1", &Tls::Off);
    world.check(sql, "[[false]]").await;

    server.turn_on_tls(&own.cert.pem(), &own.signing_key.serialize_pem());
    declare("127.0.0.1", &trusted);
    world.check(sql, "[[true]]").await;
    for (host, tls, text) in [
        ("127.0.0.1", verified(None), "cannot be verified"),
        (
            "127.0.0.1",
            verified(Some(other.cert.pem())),
            "cannot be verified",
        ),
        // The certificate is of another name.
        ("localhost", trusted.clone(), "cannot be verified"),
        (
            "127.0.0.1",
            verified(Some("none".to_owned())),
            "hold no certificate",
        ),
    ] {
        declare(host, &tls);
        let fault = world.refused(sql).await;
        assert_eq!(fault.kind, FaultKind::Unavailable, "{fault:?}");
        assert_eq!(fault.reason, "source", "{fault:?}");
        assert!(fault.message.contains(text), "{host}: {fault:?}");
        assert!(!format!("{fault:?}").contains(OWNERS_PASSWORD), "{fault:?}");
    }
    declare("127.0.0.1", &trusted);
    what_nobody_waits_for_is_cancelled(&world, &server).await;
}

/// Over TLS as well, on a connection of its own.
async fn what_nobody_waits_for_is_cancelled(world: &World, server: &TestServer) {
    let running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%\"slow\"%' \
                   AND pid <> pg_backend_pid()";
    let (layer, request) = (world.layer.clone(), world.request("SELECT x FROM slow"));
    let waiting = tokio::spawn(async move { layer.run(request).await });
    seen(server, running, "1").await;
    waiting.abort();
    // Long before it would end by itself.
    seen(server, running, "0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_serves_one_read_after_another_and_keeps_nothing() {
    let server = TestServer::start();
    server.psql(
        "dataos",
        "CREATE VIEW locked AS SELECT pg_try_advisory_lock(7) AS got",
    );
    let world = World::new();
    let password = OWNERS_PASSWORD.as_bytes();
    world.vault.keep("public/pg/password", password);
    table(&world, "locked", &[("got", "boolean")]);
    let source = protected(&server, "127.0.0.1", Tls::Off);
    world.catalog.add_depot("pg", source);
    // One, and not in a transaction, which would be in the way of others.
    let connections =
        "SELECT string_agg(state, ' ') FROM pg_stat_activity WHERE application_name = 'dataos'";
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    for is_cut in [false, false, true, false] {
        if is_cut {
            server.cut();
        }
        world.check("SELECT got FROM locked", "[[true]]").await;
        seen(&server, connections, "idle").await;
        seen(&server, locks, "0").await;
    }
}

/// Waits until a statement gives this.
async fn seen(server: &TestServer, sql: &str, expected: &str) {
    for _ in 0..600 {
        if server.psql("dataos", sql).trim() == expected {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("{sql} does not give {expected}");
}
