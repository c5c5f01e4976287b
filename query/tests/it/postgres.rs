//! Tables of a real PostgreSQL server, read with least data and governed like files.

pub(crate) mod server;

use dataos_model::{
    dataset::DatasetId,
    depot::{DatasetSource, DepotSource},
    fault::FaultKind,
    predicate::Predicate,
    secret::SecretName,
};

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
    assert!(sent.contains("\"middle\"::bigint = '7'::bigint"), "{sent}");
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
