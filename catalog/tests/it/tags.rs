//! Tags set by hand and what follows from them.

use std::collections::{BTreeMap, BTreeSet};

use dataos_model::{
    dataset::DatasetId,
    entity::EntityType,
    fault::FaultKind,
    lineage::{ColumnEdge, Transformation},
    seams::Assets,
};

use crate::fixtures::{House, lineage, main_id, written};

#[tokio::test]
pub(crate) async fn tags_are_checked() {
    let house = House::with_lake().await;
    house.write("a.csv", "x,y\n1,2\n");
    house.catalog.scan("lake").await.unwrap();
    let a = main_id("a");
    for (id, column, tag, expected) in [
        (&a, Some("x"), "not a tag", FaultKind::Invalid),
        (&a, Some("x"), "", FaultKind::Invalid),
        (&a, Some("z"), "PII", FaultKind::NotFound),
        (&main_id("b"), None, "PII", FaultKind::NotFound),
    ] {
        let fault = house
            .catalog
            .set_tags(id, column, vec![tag.to_owned()])
            .await
            .unwrap_err();
        assert_eq!(fault.kind, expected, "{fault}");
    }
    let many = (0..65).map(|n| format!("t{n}")).collect();
    assert!(house.catalog.set_tags(&a, None, many).await.is_err());
}

#[tokio::test]
pub(crate) async fn setting_replaces_and_the_pdp_sees_it_at_once() {
    let house = House::with_lake().await;
    house.write("a.csv", "x,y\n1,2\n");
    house.catalog.scan("lake").await.unwrap();
    let a = main_id("a");
    house.tag(&a, Some("x"), &["PII.email", "EU", "EU"]).await;
    house.tag(&a, None, &["sales"]).await;
    assert_eq!(house.tags(&a, "x"), "EU PII.email");
    assert_eq!(house.sink.tags_of(&a.column_uid("x")).len(), 2);
    assert_eq!(
        house.sink.tags_of(&a.uid()),
        BTreeSet::from(["sales".to_owned()])
    );
    let tag = house.sink.entity(&EntityType::TAG.id("PII.email")).unwrap();
    assert_eq!(tag.parents, [EntityType::TAG.id("PII")]);
    assert!(
        house
            .sink
            .entity(&EntityType::TAG.id("PII"))
            .unwrap()
            .parents
            .is_empty()
    );

    house.tag(&a, Some("x"), &["EU"]).await;
    let house = house.reopen().await;
    assert_eq!(house.tags(&a, "x"), "EU");
    assert_eq!(
        house.sink.tags_of(&a.column_uid("x")),
        BTreeSet::from(["EU".to_owned()])
    );
}

#[tokio::test]
pub(crate) async fn tags_outlive_the_absence_of_their_dataset() {
    let house = House::with_lake().await;
    let path = house.write("a.csv", "x\n1\n");
    house.catalog.scan("lake").await.unwrap();
    let a = main_id("a");
    house.tag(&a, Some("x"), &["PII"]).await;
    std::fs::remove_file(&path).unwrap();
    house.catalog.scan("lake").await.unwrap();
    assert!(
        house.sink.entity(&a.uid()).is_none() && house.sink.entity(&a.column_uid("x")).is_none()
    );
    house.write("a.csv", "x\n2\n");
    house.catalog.scan("lake").await.unwrap();
    assert_eq!(house.tags(&a, "x"), "PII");
}

/// The public picture of a catalog must equal a derivation from nothing, whatever was done to it.
struct Oracle {
    own: BTreeMap<(DatasetId, Option<String>), BTreeSet<String>>,
}

impl Oracle {
    async fn compare(&self, house: &House, note: &str) {
        let snapshot = house.catalog.snapshot();
        let mut edges: Vec<(DatasetId, ColumnEdge)> = Vec::new();
        for id in snapshot.datasets.keys() {
            let found = house.catalog.lineage(id).await.unwrap();
            edges.extend(found.upstream.into_iter().map(|edge| (id.clone(), edge)));
        }
        let mut derived = self.own.clone();
        loop {
            let before = derived.clone();
            for (target, edge) in &edges {
                if edge.transformation == Transformation::Indirect {
                    continue;
                }
                for (from, to) in [
                    (
                        Some(edge.source_column.clone()),
                        Some(edge.target_column.clone()),
                    ),
                    (None, None),
                ] {
                    let tags = derived.get(&(edge.source.clone(), from)).cloned();
                    derived
                        .entry((target.clone(), to))
                        .or_default()
                        .extend(tags.unwrap_or_default());
                }
            }
            if derived == before {
                break;
            }
        }
        let of = |id: &DatasetId, column: Option<&str>| {
            let key = (id.clone(), column.map(str::to_owned));
            derived.get(&key).cloned().unwrap_or_default()
        };
        for (id, dataset) in &snapshot.datasets {
            assert_eq!(dataset.tags, of(id, None), "{note}: {id}");
            assert_eq!(house.sink.tags_of(&id.uid()), dataset.tags, "{note}: {id}");
            for column in &dataset.schema.columns {
                let expected = of(id, Some(&column.name));
                let shown = dataset
                    .column_tags
                    .get(&column.name)
                    .cloned()
                    .unwrap_or_default();
                assert_eq!(shown, expected, "{note}: {id} {}", column.name);
                let seen = house.sink.tags_of(&id.column_uid(&column.name));
                assert_eq!(seen, expected, "{note}: {id} {} at the PDP", column.name);
            }
        }
    }
}

#[tokio::test]
pub(crate) async fn random_writes_and_edits_equal_a_derivation_from_nothing() {
    let mut dice = 0x2545_f491_4f6c_dd1d_u64;
    let mut roll = move |sides: usize| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        (dice % sides as u64) as usize
    };
    const COLUMNS: [&str; 3] = ["a", "b", "c"];
    let mut house = House::with_lake().await;
    for number in 0..6 {
        house.write(&format!("t{number}.csv"), "a,b,c\n1,2,3\n");
    }
    house.catalog.scan("lake").await.unwrap();
    let mut oracle = Oracle {
        own: BTreeMap::new(),
    };
    let mut open: Vec<(u64, usize)> = Vec::new();
    for step in 0..250 {
        let note = match roll(8) {
            0..=2 => {
                let number = roll(6);
                let target = written(&house, &format!("t{number}"), &COLUMNS);
                let sources: Vec<String> = (0..3).map(|_| format!("t{}", roll(6))).collect();
                let edges: Vec<(&str, &str, &str)> = sources
                    .iter()
                    .map(|s| (s.as_str(), COLUMNS[roll(3)], COLUMNS[roll(3)]))
                    .collect();
                let mut lineage = lineage(&target, roll(3) == 0, &edges);
                lineage.edges[0].transformation = Transformation::Indirect;
                open.push((
                    house.catalog.stage_write(target, lineage).await.unwrap(),
                    number,
                ));
                "stage"
            }
            3 | 4 if !open.is_empty() => {
                let (stage, number) = open.swap_remove(roll(open.len()));
                let target = written(&house, &format!("t{number}"), &COLUMNS);
                house.catalog.settle_write(stage, target).await.unwrap();
                "settle"
            }
            5 if !open.is_empty() => {
                house
                    .catalog
                    .retract_write(open.swap_remove(roll(open.len())).0)
                    .await
                    .unwrap();
                "retract"
            }
            6 if roll(10) == 0 => {
                house = house.reopen().await;
                open.clear();
                "reopen"
            }
            _ => {
                let id = main_id(&format!("t{}", roll(6)));
                let column = (roll(4) > 0).then(|| COLUMNS[roll(3)]);
                let tags: Vec<String> = (0..roll(3)).map(|_| format!("T{}", roll(5))).collect();
                let key = (id.clone(), column.map(str::to_owned));
                oracle.own.insert(key, tags.iter().cloned().collect());
                house.catalog.set_tags(&id, column, tags).await.unwrap();
                "tag"
            }
        };
        oracle.compare(&house, &format!("step {step} {note}")).await;
    }
}
