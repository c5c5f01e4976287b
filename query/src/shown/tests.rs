use dataos_model::{
    access::{CellOutcome, CellRule, ColumnAccess},
    dataset::{Column, ColumnType},
    decision::{Decision, Effect},
    depot::DatasetSource,
    predicate::Predicate,
};

use super::*;
use crate::fixture;

fn dataset(columns: usize) -> Arc<Dataset> {
    let columns = (0..columns).map(|number| Column {
        name: format!("c{number}"),
        column_type: ColumnType::Text,
        is_nullable: true,
    });
    let columns = columns.collect();
    Arc::new(fixture::dataset(
        "lake:main/t",
        columns,
        DatasetSource::AuditLog,
    ))
}

/// All rows, and of the columns those before `shown`.
fn answer(dataset: &Dataset, shown: usize) -> Arc<DatasetAccess> {
    let columns = dataset.schema.columns.iter().take(shown);
    let columns = columns.map(|column| ColumnAccess {
        name: column.name.clone(),
        rules: vec![CellRule {
            when: Predicate::ALWAYS,
            outcome: CellOutcome::Plain,
            policy: None,
        }],
        policies: Vec::new(),
    });
    let decision = Decision {
        effect: Effect::Allow,
        ..Decision::unasked(&Fault::internal("nobody"))
    };
    Arc::new(DatasetAccess {
        schema_hash: dataset.schema.hash(),
        rows: Predicate::ALWAYS,
        columns: columns.collect(),
        ..DatasetAccess::denied(&dataset.id, decision)
    })
}

#[test]
fn one_answer_about_one_dataset_is_looked_at_once() {
    let (all, dataset) = (AllShown::default(), dataset(3));
    let (two, three) = (answer(&dataset, 2), answer(&dataset, 3));
    let first = all.of(&dataset, Arc::clone(&two)).unwrap();
    assert!(Arc::ptr_eq(&first, &all.of(&dataset, two).unwrap()));
    assert_eq!(first.view.columns.len(), 2);
    assert_eq!(all.of(&dataset, three).unwrap().view.columns.len(), 3);
    // What is denied, and what speaks about other columns, is told each time.
    let older = answer(&self::dataset(2), 2);
    for _ in 0..2 {
        let denied = all.of(&dataset, Arc::clone(&older)).unwrap_err();
        assert_eq!(denied.reason, "schema_changed");
    }
}

#[test]
fn what_is_kept_is_bounded() {
    let (all, dataset) = (AllShown::default(), dataset(100));
    let first = answer(&dataset, 100);
    let known = all.of(&dataset, Arc::clone(&first)).unwrap();
    let weight = known.column_count();
    for _ in 0..COLUMNS_MAX / weight {
        all.of(&dataset, answer(&dataset, 100)).unwrap();
        let kept = all.0.lock().unwrap();
        assert_eq!(kept.column_count, kept.shown.len() * weight);
        assert!(kept.column_count <= COLUMNS_MAX);
    }
    assert!(!Arc::ptr_eq(&known, &all.of(&dataset, first).unwrap()));
    // Larger than all of them.
    let wide = self::dataset(COLUMNS_MAX);
    all.of(&wide, answer(&wide, 1)).unwrap();
    assert!(all.0.lock().unwrap().shown.len() < 3);
}
