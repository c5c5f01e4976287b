//! Table names of one to three parts, and what the caller learns from a failure.

use std::sync::Arc;

use dataos_model::{
    dataset::{DatasetId, DatasetSchema},
    fault::{Fault, FaultKind},
};
use dataos_sql::{Datasets, Dialect, Kind, parse, tables};

use crate::fixture::{names, run};

/// The datasets that a statement reads, or the error.
fn read(sql: &str) -> String {
    let statement = parse(Dialect::DataFusion, sql).unwrap();
    match tables(&statement, &names()) {
        Ok(tables) => {
            let datasets: Vec<String> = tables
                .occurrences
                .iter()
                .map(|found| found.dataset.to_string())
                .collect();
            datasets.join(" ")
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn parts() {
    for (name, expected) in [
        ("purchases", "sales:main/purchases"),
        ("PURCHASES", "sales:main/purchases"),
        ("\"purchases\"", "sales:main/purchases"),
        ("main.purchases", "sales:main/purchases"),
        ("sales.purchases", "sales:main/purchases"),
        ("sales.main.purchases", "sales:main/purchases"),
        ("Sales.MAIN.Purchases", "sales:main/purchases"),
        ("archive.people", "hr:archive/people"),
        ("hr.archive.people", "hr:archive/people"),
        ("mixed", "odd:main/Mixed"),
        ("odd.main.\"Mixed\"", "odd:main/Mixed"),
    ] {
        assert_eq!(read(&format!("select 1 from {name}")), expected, "{name}");
    }
}

#[test]
fn each_occurrence_counts() {
    let sql = "with a as (select 1 from purchases) \
               select (select 1 from customers), 1 from a, people p, purchases \
               where exists (select 1 from mixed) and 1 in (select 1 from purchases) order by 1";
    let sql = sql.replace("people", "archive.people");
    assert_eq!(
        read(&sql),
        "sales:main/purchases hr:archive/people sales:main/purchases sales:main/customers \
         odd:main/Mixed sales:main/purchases"
    );
}

#[test]
fn exact_spelling_comes_first() {
    let schema = Arc::new(DatasetSchema::default());
    let id = |name: &str| (DatasetId::new("d", "c", name), Arc::clone(&schema));
    let names = Datasets::new(vec![id("t"), id("T"), id("Up"), id("UP")]);
    let found = |name: &str| {
        let statement = parse(Dialect::DataFusion, &format!("select 1 from {name}")).unwrap();
        tables(&statement, &names).map(|tables| tables.occurrences[0].dataset.name.clone())
    };
    assert_eq!(found("T").unwrap(), "t");
    assert_eq!(found("\"T\"").unwrap(), "T");
    assert_eq!(found("\"Up\"").unwrap(), "Up");
    let error = found("up").unwrap_err();
    assert_eq!(error.hint.as_deref(), Some("write one of d.c.Up, d.c.UP"));
}

#[test]
fn an_error_becomes_a_fault_with_a_place() {
    let fault = Fault::from(run("select id\nfrom nobody").unwrap_err());
    assert_eq!(fault.kind, FaultKind::NotFound);
    assert_eq!(fault.reason, "sql_unknown_name");
    let location = fault.location.unwrap();
    assert_eq!((location.line, location.column), (Some(2), Some(6)));

    let fault = Fault::from(run("select id from purchases prewhere true").unwrap_err());
    assert_eq!(fault.kind, FaultKind::Unsupported);
}

#[test]
fn a_hidden_column_and_a_missing_one_give_the_same_error() {
    for template in [
        "select X from purchases",
        "select p.X from purchases p",
        "select 1 from purchases where X = 1",
        "select 1 from purchases group by X",
        "select 1 from purchases order by X",
        "select 1 from purchases a join purchases b using (X)",
        "select 1 from customers where id in (select X from purchases)",
    ] {
        let hidden = run(&template.replace('X', "margin")).unwrap_err();
        let missing = run(&template.replace('X', "nargim")).unwrap_err();
        let text = missing.to_string().replace("nargim", "margin");
        assert_eq!(hidden.to_string(), text, "{template}");
    }
}

#[test]
fn kinds() {
    let kind = |sql: &str| parse(Dialect::DataFusion, sql).unwrap().kind;
    assert!(matches!(kind("show tables"), Kind::ShowTables));
    assert!(matches!(kind("SHOW TABLES;"), Kind::ShowTables));
    assert!(matches!(kind("explain select 1"), Kind::Explain(_)));
    assert!(matches!(
        kind("explain policy select 1"),
        Kind::ExplainPolicy(_)
    ));
    assert!(matches!(
        kind("EXPLAIN\n/* x */ Policy (select 1)"),
        Kind::ExplainPolicy(_)
    ));
    assert!(matches!(kind("(select 1)"), Kind::Query(_)));
    assert!(matches!(kind("values (1)"), Kind::Query(_)));
    assert!(matches!(
        kind("create table a.b.c as select 1 as x"),
        Kind::CreateTableAs { .. }
    ));
    assert!(matches!(
        kind("insert into a.b.c values (1)"),
        Kind::Insert { .. }
    ));
}
