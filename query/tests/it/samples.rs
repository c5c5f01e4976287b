//! The sample data: row counts, determinism, and that it reads.

use dataos_model::depot::FileFormat;
use dataos_query::sample::{write_customers, write_tpch};

use crate::world::World;

#[test]
fn tpch_has_its_eight_tables() {
    let folder = tempfile::tempdir().unwrap();
    let tables = write_tpch(folder.path(), 0.001).unwrap();
    let counts: Vec<_> = tables.iter().map(|(table, rows)| (*table, *rows)).collect();
    assert_eq!(
        counts,
        [
            ("region", 5),
            ("nation", 25),
            ("supplier", 10),
            ("customer", 150),
            ("part", 200),
            ("partsupp", 800),
            ("orders", 1_500),
            ("lineitem", 6_005),
        ]
    );
    assert!(write_tpch(folder.path(), 0.0).is_err());
    assert!(write_tpch(&folder.path().join("nowhere"), 0.001).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_are_the_same_every_time_and_read() {
    let world = World::new();
    let other = tempfile::tempdir().unwrap();
    assert_eq!(write_customers(world.folder.path(), 500).unwrap(), 500);
    write_customers(other.path(), 500).unwrap();
    let path = world.path("customers.csv");
    assert_eq!(
        std::fs::read(&path).unwrap(),
        std::fs::read(other.path().join("customers.csv")).unwrap()
    );
    let columns = &[
        ("id", "bigint"),
        ("full_name", "text"),
        ("email", "text"),
        ("phone", "text"),
        ("region", "text"),
        ("country", "text"),
        ("birth_date", "date"),
        ("salary", "bigint"),
        ("signup_at", "timestamptz"),
        ("national_id", "text"),
    ];
    world.files("customers", FileFormat::Csv, &[path], columns);
    world
        .check(
            "SELECT count(*), count(DISTINCT region), count(*) - count(phone), \
             count(DISTINCT email), min(salary) >= 24000 FROM customers",
            "[[500,3,12,500,true]]",
        )
        .await;
}
