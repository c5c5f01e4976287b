use dataos_model::{depot::DatasetSource, query::Dialect};
use dataos_sql::{Datasets, parse};

use super::*;
use crate::fixture;

const DATASETS: [&str; 9] = [
    "sales.main.orders",
    "sales.main.Orders",
    "sales.main.ORDERS",
    "hr.main.People",
    "hr.archive.people",
    "hr.archive.straße",
    "hr.archive.STRASSE",
    "odd.main.Ärger",
    "odd.main.ärger",
];

fn catalog(names: &[&str]) -> Arc<AssetSnapshot> {
    let datasets = names.iter().map(|name| {
        let dataset = fixture::dataset(name, Vec::new(), DatasetSource::AuditLog);
        (dataset.id.clone(), Arc::new(dataset))
    });
    Arc::new(AssetSnapshot {
        datasets: datasets.collect(),
        ..AssetSnapshot::default()
    })
}

fn names<'a>(snapshot: &'a Arc<AssetSnapshot>, last_parts: &LastParts) -> SnapshotNames<'a> {
    SnapshotNames {
        snapshot,
        by_last_part: last_parts.of(snapshot),
        hidden: BTreeSet::new(),
        is_anyones: true,
    }
}

/// The names of a statement.
fn parts(dialect: Dialect, name: &str) -> Vec<Ident> {
    let statement = parse(dialect, &format!("SELECT * FROM {name}")).unwrap();
    statement.names().first().unwrap().parts.clone()
}

#[test]
fn a_name_means_what_it_means_to_who_looks_at_all_datasets() {
    let (catalog, last_parts) = (catalog(&DATASETS), LastParts::default());
    let names = names(&catalog, &last_parts);
    let all = catalog.datasets.iter();
    let all = all.map(|(id, dataset)| (id.clone(), Arc::clone(&dataset.schema)));
    let all = Datasets::new(all.collect());
    let mut kinds = [0; 3];
    for dialect in [Dialect::DataFusion, Dialect::Ansi, Dialect::Postgres] {
        for last in [
            "orders", "Orders", "people", "straße", "STRASSE", "ärger", "ÄRGER", "none",
        ] {
            for name in [
                format!("\"{last}\""),
                format!("main.\"{last}\""),
                format!("\"hr.archive\".\"{last}\""),
                format!("SALES.Main.\"{last}\""),
                if last.is_ascii() {
                    last.to_owned()
                } else {
                    format!("hr.archive.\"{last}\"")
                },
            ] {
                let parts = parts(dialect, &name);
                let meant = names.resolve(&parts);
                assert_eq!(meant, all.resolve(&parts), "{dialect:?} {name}");
                kinds[match meant {
                    Resolution::Found(..) => 0,
                    Resolution::Unknown => 1,
                    Resolution::Ambiguous(_) => 2,
                }] += 1;
            }
        }
    }
    assert!(kinds.iter().all(|count| *count > 5), "{kinds:?}");
}

#[test]
fn another_catalog_has_other_names() {
    let last_parts = LastParts::default();
    let before = catalog(&DATASETS[..3]);
    let people = parts(Dialect::DataFusion, "people");
    assert_eq!(
        names(&before, &last_parts).resolve(&people),
        Resolution::Unknown
    );
    drop(before);
    let after = catalog(&DATASETS[3..4]);
    let found = names(&after, &last_parts).resolve(&people);
    assert!(matches!(found, Resolution::Found(id, _) if id.name == "People"));
}
