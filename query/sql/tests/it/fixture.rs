//! A catalog of small datasets and the whole pipeline over them.

use std::sync::Arc;

use dataos_model::dataset::{Column, ColumnType, DatasetId, DatasetSchema};
use dataos_sql::{Bound, Datasets, Dialect, SqlError, TableView, ViewColumn, bind, parse, tables};

/// `depot.collection.table` and its columns; `!` marks a masked column, `-` one that is not visible.
const DATASETS: &[(&str, &str)] = &[
    (
        "sales.main.purchases",
        "id customer_id amount placed_on status -margin",
    ),
    (
        "sales.main.customers",
        "id name !email region !ssn -password",
    ),
    ("hr.main.people", "id name !salary boss_id hired_on"),
    ("hr.archive.people", "id name left_on"),
    ("odd.main.Mixed", "Id name Name Total"),
    ("odd.main.blind", "-secret"),
    ("main.tpch.region", "r_regionkey r_name r_comment"),
    (
        "main.tpch.nation",
        "n_nationkey n_name n_regionkey n_comment",
    ),
    (
        "main.tpch.supplier",
        "s_suppkey s_name s_address s_nationkey s_phone s_acctbal s_comment",
    ),
    (
        "main.tpch.part",
        "p_partkey p_name p_mfgr p_brand p_type p_size p_container p_retailprice p_comment",
    ),
    (
        "main.tpch.partsupp",
        "ps_partkey ps_suppkey ps_availqty ps_supplycost ps_comment",
    ),
    (
        "main.tpch.customer",
        "c_custkey c_name c_address c_nationkey c_phone c_acctbal c_mktsegment c_comment",
    ),
    (
        "main.tpch.orders",
        "o_orderkey o_custkey o_orderstatus o_totalprice o_orderdate o_orderpriority o_clerk \
         o_shippriority o_comment",
    ),
    (
        "main.tpch.lineitem",
        "l_orderkey l_partkey l_suppkey l_linenumber l_quantity l_extendedprice l_discount l_tax \
         l_returnflag l_linestatus l_shipdate l_commitdate l_receiptdate l_shipinstruct l_shipmode \
         l_comment",
    ),
];

fn id(name: &str) -> DatasetId {
    name.parse().unwrap()
}

fn bare(column: &str) -> &str {
    column.trim_start_matches(['!', '-'])
}

fn type_of(column: &str) -> ColumnType {
    match column {
        "placed_on" => ColumnType::Date,
        "hired_on" => ColumnType::LocalTimestamp,
        "left_on" => ColumnType::Timestamp,
        _ => ColumnType::Text,
    }
}

/// What the catalog gives for the caller.
pub(crate) fn names() -> Datasets {
    let datasets = DATASETS.iter().map(|(name, columns)| {
        let columns = columns.split_whitespace().map(|column| Column {
            name: bare(column).to_owned(),
            column_type: type_of(column),
            is_nullable: true,
        });
        (
            id(name),
            Arc::new(DatasetSchema {
                columns: columns.collect(),
            }),
        )
    });
    Datasets::new(datasets.collect())
}

/// What the PDP answers for the caller.
pub(crate) fn views() -> Vec<TableView> {
    let views = DATASETS.iter().map(|(name, columns)| TableView {
        dataset: id(name),
        columns: columns
            .split_whitespace()
            .filter(|column| !column.starts_with('-'))
            .map(|column| ViewColumn {
                name: bare(column).to_owned(),
                column_type: type_of(column),
                is_masked: column.starts_with('!'),
                is_condition_only: false,
            })
            .collect(),
        minimums: Vec::new(),
        is_view: false,
    });
    views.collect()
}

/// The whole front end.
pub(crate) fn run(sql: &str) -> Result<Bound, SqlError> {
    run_in(Dialect::DataFusion, sql)
}

/// The whole front end, for a text of a dialect.
pub(crate) fn run_in(dialect: Dialect, sql: &str) -> Result<Bound, SqlError> {
    let statement = parse(dialect, sql)?;
    let tables = tables(&statement, &names())?;
    bind(&statement, &tables, &views())
}

/// The emitted text, or the error as text.
pub(crate) fn emitted(sql: &str) -> String {
    emitted_in(Dialect::DataFusion, sql)
}

/// The same of a text of a dialect.
pub(crate) fn emitted_in(dialect: Dialect, sql: &str) -> String {
    match run_in(dialect, sql) {
        Ok(bound) => bound.emit().to_owned(),
        Err(error) => format!("error: {error}"),
    }
}

/// Fails with every statement whose emitted text is not the expected one.
pub(crate) fn compare<'a>(
    cases: impl IntoIterator<Item = &'a (&'a str, &'a str)>,
    emitted: impl Fn(&str) -> String,
) {
    let cases = cases.into_iter();
    let cases = cases.map(|(sql, expected)| (sql, expected, emitted(sql)));
    let wrong: Vec<String> = cases
        .filter(|(_, expected, found)| found != *expected)
        .map(|(sql, expected, found)| format!("{sql}\n  expected: {expected}\n  found:    {found}"))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
}
