//! From table names to datasets: the first half of binding, before the PDP is asked.

use std::{fmt, sync::Arc};

use dataos_model::dataset::{DatasetId, DatasetSchema};

use crate::{
    error::{SqlError, SqlErrorKind},
    ir::{Ident, Position},
    parse::{Kind, Statement, TableName},
};

/// What a table name means to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// One dataset.
    Found(DatasetId, Arc<DatasetSchema>),
    /// None that the caller may know of.
    Unknown,
    /// Several.
    Ambiguous(Vec<DatasetId>),
}

/// The datasets that the caller may name.
pub trait Names: fmt::Debug {
    /// What one to three parts mean: `table`, `collection.table` or `depot.table`, and
    /// `depot.collection.table`. All parts of a name match as [`Ident::matches`] says, or else as
    /// [`Ident::matches_loosely`] does.
    fn resolve(&self, parts: &[Ident]) -> Resolution;
}

/// Names over a list of datasets, as the catalog's snapshot gives it.
#[derive(Clone, Debug, Default)]
pub struct Datasets {
    datasets: Vec<(DatasetId, Arc<DatasetSchema>)>,
}

impl Datasets {
    /// The datasets that the caller may name.
    pub fn new(datasets: Vec<(DatasetId, Arc<DatasetSchema>)>) -> Self {
        Self { datasets }
    }
}

impl Names for Datasets {
    fn resolve(&self, parts: &[Ident]) -> Resolution {
        let found: Vec<&(DatasetId, Arc<DatasetSchema>)> = Ident::meant(|fits| {
            let datasets = self.datasets.iter();
            datasets
                .filter(|(id, _)| names_dataset(parts, id, fits))
                .collect()
        });
        match found.as_slice() {
            [] => Resolution::Unknown,
            [(id, schema)] => Resolution::Found(id.clone(), Arc::clone(schema)),
            several => Resolution::Ambiguous(several.iter().map(|(id, _)| id.clone()).collect()),
        }
    }
}

/// Whether one to three parts name a dataset, where `fits` compares one part. Clients that know no more
/// than schema and table write depot and collection as one part, `"depot.collection"`.
pub fn names_dataset(parts: &[Ident], id: &DatasetId, fits: impl Fn(&Ident, &str) -> bool) -> bool {
    match parts {
        [table] => fits(table, &id.name),
        [first, table] => {
            let is_schema = || fits(first, &format!("{}.{}", id.depot, id.collection));
            fits(table, &id.name)
                && (fits(first, &id.collection) || fits(first, &id.depot) || is_schema())
        }
        [depot, collection, table] => {
            fits(table, &id.name) && fits(collection, &id.collection) && fits(depot, &id.depot)
        }
        _ => false,
    }
}

/// A base table at one place of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// Which dataset.
    pub dataset: DatasetId,
    /// Its columns, visible or not.
    pub schema: Arc<DatasetSchema>,
    /// Where.
    pub position: Position,
}

/// The table that a statement writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Which dataset.
    pub dataset: DatasetId,
    /// Its columns; none if the statement creates it.
    pub schema: Option<Arc<DatasetSchema>>,
    /// Where.
    pub position: Position,
}

/// All tables of a statement: those to ask the PDP about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// Tables read, as [`Statement::tables`]; one dataset may occur several times.
    pub occurrences: Vec<Occurrence>,
    /// The table written.
    pub target: Option<Target>,
    /// Tables of each step of a change.
    pub steps: Vec<Tables>,
    /// Those of RETURNING: the target alone.
    pub returning: Option<Box<Tables>>,
}

impl Tables {
    /// The datasets read, each once, in order of first occurrence.
    pub fn datasets(&self) -> Vec<DatasetId> {
        let mut datasets: Vec<DatasetId> = Vec::new();
        let inner = self.steps.iter().chain(self.returning.as_deref());
        let of_steps = inner.flat_map(|step| &step.occurrences);
        for occurrence in self.occurrences.iter().chain(of_steps) {
            if !datasets.contains(&occurrence.dataset) {
                datasets.push(occurrence.dataset.clone());
            }
        }
        datasets
    }
}

/// Resolves each table name of a statement.
///
/// # Errors
/// A name that means no dataset of the caller's, or several.
pub fn tables(statement: &Statement, names: &dyn Names) -> Result<Tables, SqlError> {
    if let Kind::ExplainWrite(write, _) = &statement.kind {
        return tables(write, names);
    }
    let occurrences = statement.tables.iter().map(|name| {
        let (dataset, schema) = found(name, names)?;
        Ok(Occurrence {
            dataset,
            schema,
            position: name.position,
        })
    });
    let occurrences = occurrences.collect::<Result<_, SqlError>>()?;
    let target = match &statement.kind {
        Kind::CreateTableAs { target, .. } | Kind::CreateView { target, .. } => {
            Some(created(target)?)
        }
        Kind::Insert { target, .. } | Kind::DropView { target } => Some(known(target, names)?),
        Kind::Change(change) => Some(known(&change.target, names)?),
        Kind::Query(_)
        | Kind::Explain(_)
        | Kind::ExplainPolicy(_)
        | Kind::ExplainWrite(..)
        | Kind::ShowTables => None,
    };
    let steps = match &statement.kind {
        Kind::Change(change) => {
            let steps = change.steps.iter();
            steps
                .map(|step| tables(&step.rows, names))
                .collect::<Result<_, SqlError>>()?
        }
        Kind::Query(_)
        | Kind::CreateTableAs { .. }
        | Kind::CreateView { .. }
        | Kind::DropView { .. }
        | Kind::Insert { .. }
        | Kind::Explain(_)
        | Kind::ExplainPolicy(_)
        | Kind::ExplainWrite(..)
        | Kind::ShowTables => Vec::new(),
    };
    let returning = statement.returning();
    let returning = returning.map(|of| tables(of, names).map(Box::new));
    Ok(Tables {
        occurrences,
        target,
        steps,
        returning: returning.transpose()?,
    })
}

/// A target that is there already.
fn known(name: &TableName, names: &dyn Names) -> Result<Target, SqlError> {
    let (dataset, schema) = found(name, names)?;
    Ok(Target {
        dataset,
        schema: Some(schema),
        position: name.position,
    })
}

fn found(name: &TableName, names: &dyn Names) -> Result<(DatasetId, Arc<DatasetSchema>), SqlError> {
    let text = name.display();
    match names.resolve(&name.parts) {
        Resolution::Found(dataset, schema) => Ok((dataset, schema)),
        Resolution::Unknown => Err(SqlError::new(
            SqlErrorKind::Unknown,
            format!("table `{text}` does not exist or is not visible"),
            name.position,
        )
        .with_hint("SHOW TABLES lists the tables that you may name")),
        Resolution::Ambiguous(datasets) => {
            /// More candidates help nobody.
            const CANDIDATES_MAX: usize = 8;
            let candidates: Vec<String> = datasets
                .iter()
                .take(CANDIDATES_MAX)
                .map(|id| format!("{}.{}.{}", id.depot, id.collection, id.name))
                .collect();
            Err(SqlError::new(
                SqlErrorKind::Ambiguous,
                format!("table `{text}` is ambiguous"),
                name.position,
            )
            .with_hint(format!("write one of {}", candidates.join(", "))))
        }
    }
}

/// The dataset that CREATE TABLE names; whether it exists already is the catalog's to say.
fn created(name: &TableName) -> Result<Target, SqlError> {
    let [depot, collection, table] = name.parts.as_slice() else {
        return Err(SqlError::new(
            SqlErrorKind::Invalid,
            "the name of a table to be written needs three parts",
            name.position,
        ));
    };
    Ok(Target {
        dataset: DatasetId::new(&depot.value, &collection.value, &table.value),
        schema: None,
        position: name.position,
    })
}
