//! Scanning a bucket of a real S3-compatible server.

use std::{collections::BTreeMap, path::Path};

use dataos_model::{
    dataset::DatasetId,
    depot::{Bucket, DatasetSource, Depot, DepotSource, FileFormat, Tls},
    fault::{Fault, FaultKind},
    seams::{Assets, ScanReport, Secrets},
    secret::Secret,
};
use dataos_objects::test_server::{SECRET_KEY, TestStore};

use crate::fixtures::{House, avro, parquet_bytes};

/// A house with the folder `lake` and the bucket `shop` as depots.
async fn house_of(bucket: Bucket, secret: &str) -> House {
    let house = House::with_lake().await;
    let name = bucket.secret_key.clone();
    house.secrets.put(&name, Secret::new(secret)).await.unwrap();
    let depot = Depot {
        name: "shop".to_owned(),
        source: DepotSource::S3(bucket),
        ..house.lake_depot()
    };
    house.catalog.register_depot(depot).await.unwrap();
    house
}

fn id(collection: &str, name: &str) -> DatasetId {
    DatasetId::new("shop", collection, name)
}

/// Writes a file into the folder and the bucket.
fn write(house: &House, server: &TestStore, path: &str, content: impl AsRef<[u8]>) {
    let file = house.write(path, content);
    let content = std::fs::read(file).unwrap();
    server.put(&format!("data/2024/{path}"), &content);
}

fn files(house: &House, server: &TestStore) {
    write(house, server, "customers.csv", "id,email\n1,a@x.org\n2,\n");
    write(house, server, "crm/orders.parquet", parquet_bytes(5));
    write(house, server, "crm/parts/part-0.parquet", parquet_bytes(2));
    write(house, server, "crm/parts/part-1.parquet", parquet_bytes(3));
    write(house, server, "events.PARQUET/a.parquet", parquet_bytes(1));
    write(
        house,
        server,
        "log lines.ndjson",
        "{\"at\":1}\n{\"at\":2.5}\n",
    );
    write(house, server, "É+&%20.csv", "a\n1\n");
    // More than one fetch of bytes.
    let long = "number,text\n".to_owned() + &"7,seven\n".repeat(600_000);
    write(house, server, "long.csv", long);
    write(house, server, "README.md", "not data");
    write(house, server, "_SUCCESS", "");
    write(house, server, ".hidden.csv", "a\n1\n");
    write(house, server, "cut.parquet", &parquet_bytes(5)[..40]);
    write(house, server, "tiny.parquet", "PAR1");
    write(house, server, "empty.csv", "");
    write(house, server, "twice.csv", "a\n1\n");
    write(house, server, "twice.json", "{\"a\":1}\n");
    write(house, server, "old.avro", "Obj");
    write(house, server, "old.orc", "ORC");
    let rows = avro(5_000);
    write(house, server, "records.avro", &rows);
    write(house, server, "crm/blocks/part-0.avro", avro(2));
    write(house, server, "crm/blocks/part-1.avro", avro(3));
    write(house, server, "half.avro", &rows[..rows.len() / 2]);
    write(house, server, "delta/_delta_log/0.json", "{}");
    write(house, server, "delta/part.parquet", parquet_bytes(1));
    write(house, server, "mixed/x/a.csv", "a\n1\n");
    write(house, server, "mixed/x/b.json", "{}\n");
    // Outside of the prefix.
    server.put("data/2024x.csv", b"a\n1\n");
    server.put("other.csv", b"a\n1\n");
}

/// What is known of the datasets of a depot, and what was not read.
fn known(house: &House, depot: &str, report: &ScanReport) -> BTreeMap<String, String> {
    let snapshot = house.catalog.snapshot();
    let datasets = snapshot.datasets.values().filter(|d| d.id.depot == depot);
    let mut known: BTreeMap<String, String> = datasets
        .map(|dataset| {
            let id = format!("{}/{}", dataset.id.collection, dataset.id.name);
            let facts = (
                house.columns(&dataset.id),
                dataset.row_count,
                dataset.size_bytes,
            );
            (id, format!("{facts:?}"))
        })
        .collect();
    for (name, reason) in &report.unreadable {
        known.insert(name.clone(), reason.replace(depot, "DEPOT"));
    }
    known
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_catalogued_as_a_folder_is() {
    let server = TestStore::start();
    let house = house_of(server.bucket("shop", "data/2024"), SECRET_KEY).await;
    files(&house, &server);
    let of_folder = house.catalog.scan("lake").await.unwrap();
    let of_bucket = house.catalog.scan("shop").await.unwrap();
    let expected = known(&house, "lake", &of_folder);
    assert_eq!(known(&house, "shop", &of_bucket), expected);
    assert!(expected.len() > 16, "{expected:#?}");
    let parts = house.dataset(&id("crm", "parts")).unwrap();
    let keys = ["part-0", "part-1"].map(|part| format!("data/2024/crm/parts/{part}.parquet"));
    let source = DatasetSource::Objects {
        format: FileFormat::Parquet,
        keys: keys.to_vec(),
    };
    assert_eq!(parts.source, source);

    // What is catalogued survives, and what did not change is not read again.
    house
        .tag(&id("main", "customers"), Some("email"), &["PII.email"])
        .await;
    let house = house.reopen().await;
    let again = house.catalog.scan("shop").await.unwrap();
    assert!(
        again.added.is_empty() && again.changed.is_empty(),
        "{again:?}"
    );
    let count = |what: &str| {
        let asked = server.requests();
        asked.iter().filter(|line| line.contains(what)).count()
    };
    // The server writes down what it answered some time later, in order.
    for _ in 0..600 {
        if count("s3_ListObjectsV2") == 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(count("s3_ListObjectsV2"), 2);
    assert_eq!(count("s3_GetObject data/2024/customers.csv"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_change_or_go_are_noticed() {
    let server = TestStore::start();
    server.put("a.csv", b"a\n1\n");
    server.put("b.csv", b"b\n1\n");
    // What tools make for a folder, and keys that no path can be.
    for key in ["folder/", "x//y.csv"] {
        server.put(key, b"");
    }
    let house = house_of(server.bucket("shop", ""), SECRET_KEY).await;
    let report = house.catalog.scan("shop").await.unwrap();
    assert_eq!(
        report.added,
        [id("main", "a"), id("main", "b")],
        "{report:?}"
    );
    // As long as before.
    server.put("a.csv", b"a\nx\n");
    server.remove("b.csv");
    let report = house.catalog.scan("shop").await.unwrap();
    assert_eq!(report.changed, [id("main", "a")]);
    assert_eq!(report.dropped, [id("main", "b")]);
    assert_eq!(house.columns(&id("main", "a")), ["a text?"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reached_names_the_depot_and_not_the_secret() {
    let server = TestStore::start();
    server.put("a.csv", b"a\n1\n");
    let good = server.bucket("shop", "");
    let house = house_of(good.clone(), SECRET_KEY).await;
    house.catalog.scan("shop").await.unwrap();
    let failed = |change: &dyn Fn(&mut Bucket)| {
        let mut bucket = good.clone();
        change(&mut bucket);
        bucket
    };
    for (bucket, secret, expected) in [
        (
            failed(&|b| b.name = "nowhere".to_owned()),
            SECRET_KEY,
            "no bucket",
        ),
        (
            failed(&|b| b.region = "else".to_owned()),
            SECRET_KEY,
            "declare the region",
        ),
        (failed(&|_| ()), "planted-wrong", "secretkey"),
        (
            failed(&|b| b.endpoint = "http://127.0.0.1:1".to_owned()),
            SECRET_KEY,
            "does not answer",
        ),
    ] {
        let house = house_of(bucket, secret).await;
        let fault: Fault = house.catalog.scan("shop").await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Unavailable, "{fault:?}");
        assert_eq!(fault.reason, "depot_unreachable");
        let text = format!("{fault} {fault:?}");
        assert!(text.contains("`shop`") && text.contains(expected), "{text}");
        assert!(text.contains("nothing was dropped"), "{text}");
        assert!(!text.contains("planted"), "{text}");
    }
    let text = files_below(house.folder.path());
    assert!(!text.contains(SECRET_KEY));
    drop(server);
    assert!(house.catalog.scan("shop").await.is_err());
    assert!(house.dataset(&id("main", "a")).is_some());
}

/// All that a folder holds, as text.
fn files_below(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &files_below(&path);
        } else {
            text += &String::from_utf8_lossy(&std::fs::read(path).unwrap());
        }
    }
    text
}

#[tokio::test]
async fn buckets_that_cannot_be_are_refused() {
    let house = House::with_lake().await;
    let good = Bucket {
        endpoint: "https://s3.test".to_owned(),
        region: "eu-1".to_owned(),
        name: "b".to_owned(),
        prefix: "a/b".to_owned(),
        addressing: dataos_model::depot::Addressing::Path,
        access_key: "id".to_owned(),
        secret_key: dataos_model::secret::SecretName("public/s/secretkey".to_owned()),
        tls: Tls::Verified { authorities: None },
    };
    type Change = dyn Fn(&mut Bucket);
    let cases: [(&str, &Change); 6] = [
        ("", &|_| ()),
        ("endpoint", &|b| b.endpoint = "http://s3.test".to_owned()),
        ("bucket", &|b| b.name = "a/b".to_owned()),
        ("region", &|b| b.region = String::new()),
        ("access key", &|b| b.access_key = "a\nb".to_owned()),
        ("prefix", &|b| b.prefix = "a/../b".to_owned()),
    ];
    for (problem, change) in cases {
        let mut bucket = good.clone();
        change(&mut bucket);
        let depot = Depot {
            name: "shop".to_owned(),
            source: DepotSource::S3(bucket),
            ..house.lake_depot()
        };
        match house.catalog.register_depot(depot).await {
            Ok(()) => assert_eq!(problem, ""),
            Err(fault) => assert!(
                !problem.is_empty() && fault.message.contains(problem),
                "{problem}: {fault}"
            ),
        }
    }
}
