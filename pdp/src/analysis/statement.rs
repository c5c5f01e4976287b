//! SQL in test cases: the PDP knows none, so whoever runs the tests brings something that does.

use std::{collections::BTreeMap, fmt::Debug, sync::Arc};

use dataos_model::{
    access::DatasetAccess, fault::Fault, principal::Principal, seams::Decide, value::Value,
};
use serde_json::Value as Json;

use super::fixture::FixtureDataset;

/// A statement of a test case.
#[derive(Debug)]
pub struct Statement<'a> {
    /// The PDP under test.
    pub decide: Arc<dyn Decide>,
    /// Who.
    pub principal: &'a Principal,
    /// Facts about the call.
    pub context: &'a BTreeMap<String, Value>,
    /// One statement.
    pub sql: &'a str,
    /// What it may read.
    pub datasets: &'a [FixtureDataset],
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Rows, in order.
    pub rows: Vec<Vec<Json>>,
    /// What was enforced for each table.
    pub tables: Vec<DatasetAccess>,
}

/// Runs statements on fixture rows.
pub trait RunStatements: Send + Sync + Debug {
    /// Runs one.
    ///
    /// # Errors
    /// Denied, or a statement that does not run.
    fn run(&self, statement: &Statement<'_>) -> Result<Answer, Fault>;
}
