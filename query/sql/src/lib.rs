//! The pure SQL front end of the query layer.
//!
//! Enters: one SQL statement as text and the dialect it is written in, the datasets that the caller may name, and the columns that
//! the PDP lets the caller see. Leaves: text for the engine in which every base table is a governed
//! table of its own (`"__t0"`, `"__t1"`, ..), the columns of the result with a masked flag, the
//! columns that each table needs, and column lineage. Never done here: I/O, asking the PDP, masks
//! and row filters (the governed tables apply them inside the engine), passing on text of the
//! caller's.
//!
//! The order of a call:
//!
//! 1. [`parse()`]: limits, one statement, allow-list, our own tree.
//! 2. [`tables()`]: each table name to a dataset, so that the PDP can be asked about all at once.
//! 3. [`bind()`]: with the visible columns of each dataset, to a [`Bound`]. A column that is not
//!    visible does not exist.
//!
//! ```
//! use std::sync::Arc;
//! use dataos_model::dataset::{Column, ColumnType, DatasetId, DatasetSchema};
//! use dataos_sql::{Datasets, Dialect, TableView, ViewColumn, bind, parse, tables};
//!
//! # fn main() -> Result<(), dataos_sql::SqlError> {
//! let id = DatasetId::new("sales", "main", "orders");
//! let name = "id".to_owned();
//! let column = Column { name, column_type: ColumnType::Int(64), is_nullable: false };
//! let names = Datasets::new(vec![(id.clone(), Arc::new(DatasetSchema { columns: vec![column] }))]);
//!
//! let statement = parse(Dialect::Ansi, "select count(*) as n from orders o where o.id > 7")?;
//! let tables = tables(&statement, &names)?;
//! let id_column = ViewColumn {
//!     name: "id".into(),
//!     column_type: ColumnType::Int(64),
//!     is_masked: false,
//!     is_condition_only: false,
//! };
//! let orders = TableView {
//!     dataset: id,
//!     columns: Arc::new([id_column]),
//!     minimums: Vec::new(),
//!     is_view: false,
//! };
//! let bound = bind(&statement, &tables, &[orders])?;
//! assert_eq!(
//!     bound.emit(),
//!     r#"SELECT count(*) AS "n" FROM "__t0" AS "o" WHERE "o"."id" > 7"#
//! );
//! # Ok(())
//! # }
//! ```

pub mod error;
pub mod limits;

mod dialect;

pub mod change;
pub mod functions;
pub mod ir;
mod lower;
pub mod parse;
pub mod script;

pub mod reflect;

pub mod names;

pub mod bind;
mod lineage;

mod emit;
mod recheck;

pub mod tpch;

pub use bind::{
    Bound, BoundChange, BoundKind, BoundStep, BoundTable, BoundView, GroupMinimum, OutputColumn,
    ROW_COLUMN, StepKind, TableView, ViewColumn, bind,
};
pub use change::{Change, Step, StepAction, Verb};
pub use dialect::Dialect;
pub use error::{SqlError, SqlErrorKind};
pub use names::{Datasets, Names, Occurrence, Resolution, Tables, Target, names_dataset, tables};
pub use parse::{Explained, Kind, Security, Statement, TableName, parse, parse_view};
