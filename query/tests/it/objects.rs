//! Objects of a real S3-compatible server, read with least data, of one version, and governed like files.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray};
use dataos_model::{
    dataset::DatasetId,
    depot::{Bucket, DatasetSource, DepotSource, FileFormat},
    fault::{Fault, FaultKind},
    query::{RowFormat, RowPart},
};
use dataos_objects::test_server::{SECRET_KEY, TestStore};
use dataos_query::QueryConfig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    avro::avro,
    streams::part,
    world::{World, equals, parquet},
};

const COLUMNS: &[(&str, &str)] = &[("id", "bigint"), ("tenant", "text"), ("email", "text")];

/// A world with the bucket as the depot `shop`.
fn world(server: &TestStore) -> World {
    let config = QueryConfig {
        partitions: 4,
        ..QueryConfig::default()
    };
    world_with(server, config)
}

fn world_with(server: &TestStore, config: QueryConfig) -> World {
    let world = World::with(config);
    declare(&world, server.bucket("shop", ""));
    world
        .vault
        .keep("public/shop/secretkey", SECRET_KEY.as_bytes());
    world
}

fn declare(world: &World, bucket: Bucket) {
    world.catalog.add_depot("shop", DepotSource::S3(bucket));
}

/// Catalogues objects as `shop:main/NAME`, permitted whole.
fn dataset(world: &World, name: &str, format: FileFormat, keys: &[&str]) -> DatasetId {
    let id = DatasetId::new("shop", "main", name);
    let keys = keys.iter().map(|key| (*key).to_owned()).collect();
    let source = DatasetSource::Objects { format, keys };
    world.catalog.add(&id, COLUMNS, source);
    id
}

fn rows(first: i64, count: i64) -> Vec<ArrayRef> {
    let tenant = |id: i64| if id % 3 == 0 { "b" } else { "a" };
    vec![
        Arc::new(Int64Array::from_iter_values(first..first + count)),
        Arc::new(StringArray::from_iter_values(
            (first..first + count).map(tenant),
        )),
        Arc::new(StringArray::from_iter_values(
            (first..first + count).map(|id| format!("planted-{id}@x.org")),
        )),
    ]
}

const STATEMENTS: &[&str] = &[
    "SELECT * FROM {t} ORDER BY id LIMIT 7",
    "SELECT tenant, count(*), min(email) FROM {t} GROUP BY 1 ORDER BY 1",
    "SELECT a.id FROM {t} a JOIN {t} b ON a.id = b.id + 1 WHERE b.id < 5 ORDER BY 1",
    "SELECT id FROM {t} WHERE id = 17",
    "SELECT count(*) FROM {t} WHERE email LIKE 'p%'",
    "SELECT 1 FROM {t} LIMIT 2",
];

/// The same statements over the same bytes, in objects and in files.
async fn answers_are_those_of_files(world: &World, server: &TestStore) {
    let csv = "id,tenant,email\n1,a,p1\n2,b,\"p\n2\"\n17,a,\n";
    let json = "{\"id\":1,\"tenant\":\"a\",\"email\":\"p1\"}\n{\"tenant\":\"b\",\"id\":17}\n";
    let first = parquet(COLUMNS, rows(0, 5_000));
    let second = parquet(COLUMNS, rows(5_000, 10));
    let none: &[u8] = b"";
    let blocks = avro(COLUMNS, &rows(0, 5_000), "snappy");
    let block = avro(COLUMNS, &rows(5_000, 10), "null");
    for (name, format, contents) in [
        ("columns", FileFormat::Parquet, [first.as_slice(), &second]),
        (
            "lines",
            FileFormat::Csv,
            [csv.as_bytes(), b"id,tenant,email\n"],
        ),
        ("objects", FileFormat::Json, [json.as_bytes(), none]),
        ("records", FileFormat::Avro, [blocks.as_slice(), &block]),
    ] {
        let names = ["0", "é +%"].map(|part| format!("{name}/part-{part}"));
        for (name, content) in names.iter().zip(contents) {
            server.put(name, content);
            std::fs::create_dir_all(world.path(name).parent().unwrap()).unwrap();
            std::fs::write(world.path(name), content).unwrap();
        }
        let of_files = format!("{name}_files");
        let paths: Vec<_> = names.iter().map(|name| world.path(name)).collect();
        let files = world.files(&of_files, format, &paths, COLUMNS);
        let keys: Vec<&str> = names.iter().map(String::as_str).collect();
        let objects = dataset(world, name, format, &keys);
        for id in [&files, &objects] {
            world.desk.rows(id, equals("tenant", "a"));
            world.desk.mask(id, "email", "partial(first = 1)");
        }
        for sql in STATEMENTS {
            let expected = world.rows(&sql.replace("{t}", &of_files)).await;
            world.check(&sql.replace("{t}", name), &expected).await;
        }
    }
}

async fn little_is_fetched(world: &World, server: &TestStore) {
    // Values that do not compress, so that the columns have sizes.
    let noise = |id: i64| dataos_model::hash::Hash::of(id.to_string()).to_string();
    let columns = vec![
        Arc::new(Int64Array::from_iter_values(0..40_000)) as ArrayRef,
        Arc::new(StringArray::from_iter_values((0..40_000).map(noise))),
        Arc::new(StringArray::from_iter_values((40_000..80_000).map(noise))),
    ];
    let content = parquet(COLUMNS, columns);
    server.put("wide.parquet", &content);
    dataset(world, "wide", FileFormat::Parquet, &["wide.parquet"]);
    let meter = Meter::start(server.port).await;
    let mut bucket = server.bucket("shop", "");
    bucket.endpoint = format!("http://127.0.0.1:{}", meter.port);
    declare(world, bucket);
    world
        .check("SELECT sum(id) FROM wide", "[[799980000]]")
        .await;
    let sent = meter.take();
    let whole = content.len() as u64;
    assert!(sent > 40_000 && sent * 3 < whole, "{sent} of {whole}");
    // Statistics of the footer, which is known by now, say that no row is wanted: answers without a body.
    world
        .check("SELECT email FROM wide WHERE id > 90000", "[]")
        .await;
    let sent = meter.take();
    assert!(sent < 5_000, "{sent} of {whole}");
    declare(world, server.bucket("shop", ""));
}

/// What a server sends, counted on its way.
struct Meter {
    port: u16,
    sent: Arc<AtomicU64>,
}

impl Meter {
    async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let sent = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&sent);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                let ((mut asks, mut hears), (mut answers, mut takes)) =
                    (client.into_split(), server.into_split());
                tokio::spawn(async move { tokio::io::copy(&mut asks, &mut takes).await });
                let count = Arc::clone(&count);
                tokio::spawn(async move {
                    let mut buffer = vec![0; 1 << 16];
                    while let Ok(length @ 1..) = answers.read(&mut buffer).await {
                        count.fetch_add(length as u64, Ordering::SeqCst);
                        hears.write_all(&buffer[..length]).await.unwrap();
                    }
                });
            }
        });
        Self { port, sent }
    }

    /// So many bytes since it was asked last.
    fn take(&self) -> u64 {
        self.sent.swap(0, Ordering::SeqCst)
    }
}

async fn changes_are_seen_and_refused(world: &World, server: &TestStore) {
    let id = dataset(world, "moving", FileFormat::Parquet, &["moving.parquet"]);
    world.desk.mask(&id, "email", "partial(first = 1)");
    server.put("moving.parquet", &parquet(COLUMNS, rows(0, 3)));
    let sql = "SELECT id FROM moving ORDER BY id";
    world.check(sql, "[[0],[1],[2]]").await;
    // As long as the former, written in the same second perhaps.
    server.put("moving.parquet", &parquet(COLUMNS, rows(7, 3)));
    world.check(sql, "[[7],[8],[9]]").await;
    let other: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values([1]))];
    for (content, kind, text) in [
        (
            parquet(&[("id", "bigint")], other),
            FaultKind::Conflict,
            "column `tenant` is missing",
        ),
        (b"PAR1".to_vec(), FaultKind::Unavailable, "cannot be read"),
    ] {
        server.put("moving.parquet", &content);
        check(&world.refused(sql).await, kind, text);
    }
    server.remove("moving.parquet");
    let gone = world.refused(sql).await;
    check(
        &gone,
        FaultKind::Unavailable,
        "`moving.parquet` is not in the bucket",
    );
    server.put("headed.csv", b"id,email,tenant\n1,x,a\n");
    dataset(world, "headed", FileFormat::Csv, &["headed.csv"]);
    let fault = world.refused("SELECT id FROM headed").await;
    check(&fault, FaultKind::Conflict, "the header line is another");
}

async fn avro_is_held_to_what_it_says(world: &World, server: &TestStore) {
    let id = dataset(world, "blocks", FileFormat::Avro, &["blocks.avro"]);
    world.desk.mask(&id, "email", "partial(first = 1)");
    let whole = avro(COLUMNS, &rows(0, 2_000), "deflate");
    let sql = "SELECT count(*), max(email) FROM blocks";
    server.put("blocks.avro", &whole);
    world.check(sql, r#"[[2000,"p*****************"]]"#).await;
    let other = avro(&COLUMNS[..1], &rows(0, 1)[..1], "null");
    let cut = "`blocks.avro` of `shop:main/blocks` cannot be read: it is cut off";
    for (content, kind, text) in [
        (
            &other[..],
            FaultKind::Conflict,
            "column `tenant` is missing",
        ),
        (&whole[..whole.len() - 1], FaultKind::Unavailable, cut),
        (&whole[..9], FaultKind::Unavailable, "its header is cut off"),
        (b"", FaultKind::Unavailable, "cannot be read"),
    ] {
        server.put("blocks.avro", content);
        check(&world.refused(sql).await, kind, text);
    }
}

fn check(fault: &Fault, kind: FaultKind, text: &str) {
    assert_eq!(fault.kind, kind, "{fault:?}");
    assert!(fault.message.contains(text), "{fault:?}");
    assert!(!format!("{fault:?}").contains("planted"), "{fault:?}");
}

async fn nothing_is_written(world: &World) {
    for sql in [
        "INSERT INTO shop.main.columns VALUES (1, 'a', 'b')",
        "DELETE FROM shop.main.columns",
        "UPDATE shop.main.columns SET id = 1",
        "CREATE TABLE shop.main.fresh AS SELECT 1 AS x",
    ] {
        let fault = world.refused(sql).await;
        assert_eq!(fault.kind, FaultKind::Unsupported, "{sql}: {fault:?}");
    }
}

async fn failures_say_what_to_do(world: &World, server: &TestStore) {
    let sql = "SELECT id FROM columns";
    let failed = |change: &dyn Fn(&mut Bucket)| {
        let mut bucket = server.bucket("shop", "");
        change(&mut bucket);
        bucket
    };
    for (bucket, text) in [
        (
            failed(&|b| b.name = "nowhere".to_owned()),
            "no bucket `nowhere`",
        ),
        (
            failed(&|b| b.region = "else".to_owned()),
            "not in the region `else`",
        ),
        (
            failed(&|b| b.access_key = "nobody".to_owned()),
            "does not know the access key",
        ),
        (
            failed(&|b| b.endpoint = "http://127.0.0.1:1".to_owned()),
            "does not answer",
        ),
    ] {
        declare(world, bucket);
        check(&world.refused(sql).await, FaultKind::Unavailable, text);
    }
    declare(world, server.bucket("shop", ""));
    world.vault.keep("public/shop/secretkey", b"planted-wrong");
    check(
        &world.refused(sql).await,
        FaultKind::Unavailable,
        "refuses the signature",
    );
    world.vault.forget("public/shop/secretkey");
    check(
        &world.refused(sql).await,
        FaultKind::Unavailable,
        "secret key",
    );
    // Secrets that are put right are used at once.
    world
        .vault
        .keep("public/shop/secretkey", SECRET_KEY.as_bytes());
    world
        .check("SELECT count(*) FROM columns WHERE id < 3", "[[2]]")
        .await;
}

/// One server for all: what it costs to start one is paid once.
#[tokio::test(flavor = "multi_thread")]
async fn objects_are_governed_like_files() {
    let server = TestStore::start();
    let world = world(&server);
    answers_are_those_of_files(&world, &server).await;
    little_is_fetched(&world, &server).await;
    changes_are_seen_and_refused(&world, &server).await;
    avro_is_held_to_what_it_says(&world, &server).await;
    nothing_is_written(&world).await;
    failures_say_what_to_do(&world, &server).await;
    for entry in world.log.entries() {
        let entry = format!("{entry:?}");
        assert!(
            !entry.contains(SECRET_KEY) && !entry.contains("planted-1"),
            "{entry}"
        );
    }
}

/// While rows of the former version are on their way, an object is replaced.
#[tokio::test(flavor = "multi_thread")]
async fn no_statement_mixes_two_versions_of_an_object() {
    let server = TestStore::start();
    let world = world_with(
        &server,
        QueryConfig {
            partitions: 1,
            ..QueryConfig::default()
        },
    );
    // Far more than what lies between store, engine and a client that does not read.
    let line = "1,a,".to_owned() + &"x".repeat(1_000) + "\n";
    let long = "id,tenant,email\n".to_owned() + &line.repeat(30_000);
    // One after the other is read; the next one is asked for while one is read.
    let keys = ["a.csv", "b.csv", "c.csv"];
    for key in keys {
        server.put(key, long.as_bytes());
    }
    dataset(&world, "long", FileFormat::Csv, &keys);
    let stream = world.stream("SELECT id, email FROM long", RowFormat::NdJson);
    let mut stream = stream.await.unwrap();
    let first = part(stream.rows.as_mut()).await.unwrap();
    assert!(matches!(first, RowPart::Chunk(_)), "{first:?}");
    for key in keys {
        server.put(key, long.replace('x', "y").as_bytes());
    }
    let fault = loop {
        match part(stream.rows.as_mut()).await {
            Ok(RowPart::Chunk(chunk)) => assert!(!chunk.contains(&b'y')),
            Ok(RowPart::End(end)) => panic!("rows of two versions, or all of the former: {end:?}"),
            Err(fault) => break fault,
        }
    };
    check(&fault, FaultKind::Conflict, "changed while it was read");
}
