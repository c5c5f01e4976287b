//! CREATE TABLE AS, INSERT, UPDATE, DELETE and MERGE in a writable folder depot.
//!
//! The catalog knows target and lineage before the first row is read, so a copy is governed from its
//! first read on. Rows go to a file under a hidden name; flushed and renamed, it is part of the
//! dataset. What is written is what the caller saw: masked values stay masked in the copy.

mod change;
mod parquet_file;
pub(crate) mod retired;
pub(crate) mod returned;
pub(crate) mod rules;
mod touched;
pub(crate) mod turns;
mod view;

use std::{
    collections::BTreeSet,
    ops::Deref,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use dataos_model::{
    clock::Timestamp,
    dataset::{Column, DatasetSchema},
    decision::{Decision, Request},
    depot::{AssetSnapshot, Dataset, DatasetSource, Definer, DepotSource, FileFormat},
    fault::{Fault, FaultKind},
    seams::Assets,
};
use dataos_sql::{Bound, BoundKind, OutputColumn, Target};
use uuid::Uuid;

use self::{
    change::{answered, check_rows, files, newest},
    parquet_file::{OpenPart, Part, placed},
    retired::Retired,
    returned::{Returned, Returning, Wanted},
};
use crate::{
    column::{arrow_schema, column_type},
    engine::failure::fault,
    execute::{Planned, Planner, overdue},
    grant::{Grant, next},
    rights::Rights,
};

/// Collection of the files at the top of a folder depot.
const MAIN_COLLECTION: &str = "main";
/// Longest name of a new dataset or collection, in bytes.
const NAME_BYTES_MAX: usize = 63;

/// Carries out one write.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    pub(crate) assets: &'a dyn Assets,
    pub(crate) snapshot: &'a AssetSnapshot,
    pub(crate) retired: &'a Retired,
    pub(crate) now: Timestamp,
    pub(crate) owner: &'a str,
    /// Who lends his rights to the view that is made.
    pub(crate) lender: Option<&'a Definer>,
    pub(crate) time_max: Duration,
    /// How rows are returned.
    pub(crate) wanted: Wanted,
}

/// What came of a write.
#[derive(Debug)]
pub(crate) struct Written {
    /// Rows that were added, changed or removed.
    pub(crate) row_count: u64,
    /// What RETURNING answers.
    pub(crate) returned: Option<Returned>,
}

impl Written {
    /// No rows.
    fn nothing() -> Self {
        Self {
            row_count: 0,
            returned: None,
        }
    }
}

impl Writer<'_> {
    /// Writes the rows of `planned`.
    ///
    /// # Errors
    /// A target that cannot be written, a failure of the query or of the disk; nothing stays behind.
    pub(crate) async fn write(
        &self,
        bound: &Bound,
        planned: &Planned,
        planner: Planner<'_>,
    ) -> Result<Written, Fault> {
        let lineage = bound
            .lineage()
            .cloned()
            .ok_or_else(|| Fault::internal("a write without lineage"))?;
        let (target, folder) = match &bound.kind {
            BoundKind::CreateTableAs(target) => self.created(target, bound, planned)?,
            BoundKind::Insert(target) => {
                let (dataset, folder) = self.stored(target)?;
                check_values(&dataset, bound)?;
                self.clear_leftovers(&folder, files(&dataset)).await?;
                (dataset, folder)
            }
            _ => return Err(Fault::internal("a statement that writes nothing")),
        };
        let is_new = matches!(bound.kind, BoundKind::CreateTableAs(_));
        let path = folder.join(part_name(newest(files(&target))));
        let mut staged = target.clone();
        add_path(&mut staged, path.clone());
        let granted = planner.grants.find(&Rights::Caller, &target.id);
        let rows = NewRows {
            planned,
            schema: arrow_schema(&target.schema),
            places: places(&target, &bound.columns)?,
            grant: granted.map(Deref::deref),
        };
        let mut returning = match (bound.returning(), rows.grant) {
            (Some(bound), Some(grant)) => Some(Returning::new(bound, grant, planner)),
            (Some(_), None) => return Err(Fault::internal("rows to return were not decided")),
            (None, _) => None,
        };
        let stage = self.assets.stage_write(staged.clone(), lineage).await?;
        let made = match is_new {
            true => make_folder(&folder).await,
            false => self.check_unchanged(&target).await,
        };
        let is_made = is_new && made.is_ok();
        let written = match made {
            Ok(()) => {
                let part = OpenPart::begin(&path, Arc::clone(&rows.schema));
                let feeding = rows.feed(&part, &mut returning, self.wanted);
                let fed = tokio::time::timeout(self.time_max, feeding).await;
                part.end(fed.unwrap_or_else(|_| Err(overdue(self.time_max))))
                    .await
            }
            Err(fault) => Err(fault),
        };
        match written {
            Ok((part, returned)) => {
                settle_counts(&mut staged, &part, is_new);
                let row_count = part.row_count;
                match self.assets.settle_write(stage, staged).await {
                    Ok(()) => Ok(Written {
                        row_count,
                        returned,
                    }),
                    Err(fault) => {
                        self.undo(stage, &path, is_made.then_some(&folder)).await;
                        Err(fault)
                    }
                }
            }
            Err(fault) => {
                self.undo(stage, &path, is_made.then_some(&folder)).await;
                Err(fault)
            }
        }
    }

    async fn undo(&self, stage: u64, path: &Path, made: Option<&PathBuf>) {
        // Either may be missing already; what matters is that neither is left.
        let _part = tokio::fs::remove_file(path).await;
        if let Some(folder) = made {
            // Fails if another write has put a file there, which must stay.
            let _folder = tokio::fs::remove_dir(folder).await;
        }
        if let Err(error) = self.assets.retract_write(stage).await {
            tracing::error!(stage, %error, "a failed write could not be retracted");
        }
    }

    /// The dataset to create, and its folder.
    fn created(
        &self,
        target: &Target,
        bound: &Bound,
        planned: &Planned,
    ) -> Result<(Dataset, PathBuf), Fault> {
        let id = &target.dataset;
        let root = self.root(&id.depot)?;
        for part in [&id.collection, &id.name] {
            check_name(part)?;
        }
        if self.snapshot.datasets.contains_key(id) {
            return Err(
                Fault::new(FaultKind::Conflict, format!("`{id}` exists already"))
                    .with_hint("choose another name, or use INSERT INTO"),
            );
        }
        let parent = if id.collection == MAIN_COLLECTION {
            root
        } else {
            root.join(&id.collection)
        };
        let schema = Arc::new(new_schema(&bound.columns, &planned.schema())?);
        let source = DatasetSource::Files {
            format: FileFormat::Parquet,
            paths: Vec::new(),
        };
        let dataset = Dataset {
            owner: Some(self.owner.to_owned()),
            scanned_at: self.now,
            ..Dataset::new(id.clone(), schema, source)
        };
        Ok((dataset, parent.join(format!("{}.parquet", id.name))))
    }

    /// A dataset that is stored here, and its folder.
    fn stored(&self, target: &Target) -> Result<(Dataset, PathBuf), Fault> {
        let id = &target.dataset;
        self.root(&id.depot)?;
        let dataset = self
            .snapshot
            .datasets
            .get(id)
            .ok_or_else(|| Fault::not_found(format!("`{id}` is not catalogued")))?;
        let unwritable = || {
            Fault::new(
                FaultKind::Unsupported,
                format!("`{id}` is not a folder of Parquet files"),
            )
            .with_hint("tables made by CREATE TABLE AS are written to")
        };
        let DatasetSource::Files {
            format: FileFormat::Parquet,
            paths,
        } = &dataset.source
        else {
            return Err(unwritable());
        };
        let folder = paths
            .first()
            .and_then(|path| path.parent())
            .ok_or_else(unwritable)?;
        let is_folder = |name: &std::ffi::OsStr| {
            let name = name.to_string_lossy();
            name == id.name.as_str() || name == format!("{}.parquet", id.name)
        };
        if !folder.file_name().is_some_and(is_folder) {
            return Err(unwritable());
        }
        Ok(((**dataset).clone(), folder.to_owned()))
    }

    /// The folder of a writable depot.
    fn root(&self, depot: &str) -> Result<PathBuf, Fault> {
        let found = self
            .snapshot
            .depots
            .get(depot)
            .ok_or_else(|| Fault::not_found(format!("depot `{depot}` is not registered")))?;
        match &found.source {
            DepotSource::Files {
                root,
                is_writable: true,
            } => root.canonicalize().map_err(|_| {
                Fault::unavailable(format!("the folder of depot `{depot}` cannot be reached"))
            }),
            _ => Err(Fault::new(
                FaultKind::Unsupported,
                format!("depot `{depot}` is not writable"),
            )
            .with_hint("write into a folder depot that is declared writable")),
        }
    }
}

/// Rows of a query on their way into a table.
struct NewRows<'a> {
    planned: &'a Planned,
    schema: SchemaRef,
    /// For each column of the table, its place in the query.
    places: Vec<Option<usize>>,
    /// What the caller sees of the table, if he may read it.
    grant: Option<&'a Grant>,
}

impl NewRows<'_> {
    async fn feed(
        &self,
        part: &OpenPart,
        returning: &mut Option<Returning<'_>>,
        wanted: Wanted,
    ) -> Result<Option<Returned>, Fault> {
        let mut batches = self.planned.start()?;
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(|error| fault(&error, self.planned.detail))?;
            let batch = placed(&batch, &self.schema, &self.places)?;
            if let Some(grant) = self.grant {
                check_rows(grant, &batch)?;
            }
            if let Some(returning) = returning.as_mut() {
                returning.add(batch.clone())?;
            }
            if !part.add(batch).await {
                // The file has failed and says why.
                return Ok(None);
            }
        }
        answered(returning.as_ref(), wanted).await
    }
}

/// The name of a new part of a generation.
fn part_name(generation: u64) -> String {
    let part = format!("part-{}.parquet", Uuid::new_v4());
    match generation {
        0 => part,
        generation => format!("gen-{generation}-{part}"),
    }
}

/// Refuses new rows without a column that must have a value.
fn check_values(dataset: &Dataset, bound: &Bound) -> Result<(), Fault> {
    let is_missing = |column: &&Column| {
        let mut written = bound.columns.iter();
        !column.is_nullable && !written.any(|written| written.name == column.name)
    };
    match dataset.schema.columns.iter().find(is_missing) {
        None => Ok(()),
        Some(column) => Err(Fault::invalid(format!(
            "column `{}` of `{}` needs a value",
            column.name, dataset.id
        ))),
    }
}

/// The refusal of a write.
pub(crate) fn denied(asked: &Request, decision: &Decision) -> Fault {
    if let Some(fault) = decision.not_asked() {
        return fault;
    }
    let detail = if decision.detail.is_empty() {
        String::new()
    } else {
        format!(": {}", decision.detail)
    };
    let mut fault = Fault::denied(
        decision.reason.code(),
        format!(
            "`{}` on `{}` is not permitted{detail}",
            asked.action, asked.resource.id
        ),
    )
    .with_hint(next(decision, asked.action.name()));
    fault.policies = decision
        .policies
        .iter()
        .map(|policy| policy.id.clone())
        .collect();
    fault
}

fn check_name(name: &str) -> Result<(), Fault> {
    let is_plain = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && name.len() <= NAME_BYTES_MAX;
    if is_plain {
        return Ok(());
    }
    Err(Fault::invalid(format!(
        "`{}` cannot name a new table or collection",
        name.escape_debug()
    ))
    .with_hint(format!(
        "use a lower-case letter, then lower-case letters, digits and `_`, at most \
             {NAME_BYTES_MAX}"
    )))
}

fn new_schema(columns: &[OutputColumn], engine: &Schema) -> Result<DatasetSchema, Fault> {
    let mut names = BTreeSet::new();
    let columns = columns.iter().zip(engine.fields()).map(|(column, field)| {
        if !names.insert(column.name.as_str()) {
            return Err(
                Fault::invalid(format!("two columns are called `{}`", column.name))
                    .with_hint("give one of them another name with AS"),
            );
        }
        let column_type = column_type(field.data_type());
        if !column_type.is_read() {
            return Err(Fault::new(
                FaultKind::Unsupported,
                format!(
                    "column `{}` has the type {column_type}, which cannot be stored",
                    column.name
                ),
            )
            .with_hint("cast it to another type"));
        }
        Ok(Column {
            name: column.name.clone(),
            column_type,
            is_nullable: true,
        })
    });
    Ok(DatasetSchema {
        columns: columns.collect::<Result<_, Fault>>()?,
    })
}

/// For each column of the target, its place in the result; `None` is NULL.
fn places(target: &Dataset, written: &[OutputColumn]) -> Result<Vec<Option<usize>>, Fault> {
    let unknown = written.iter().find(|column| {
        !target
            .schema
            .columns
            .iter()
            .any(|known| known.name == column.name)
    });
    if let Some(column) = unknown {
        return Err(Fault::internal(format!(
            "`{}` has no column `{}`",
            target.id, column.name
        )));
    }
    Ok(target
        .schema
        .columns
        .iter()
        .map(|column| {
            written
                .iter()
                .position(|written| written.name == column.name)
        })
        .collect())
}

fn add_path(dataset: &mut Dataset, path: PathBuf) {
    if let DatasetSource::Files { paths, .. } = &mut dataset.source {
        paths.push(path);
        paths.sort();
    }
}

fn settle_counts(dataset: &mut Dataset, part: &Part, is_new: bool) {
    let add = |known: Option<u64>, more: u64| {
        if is_new {
            Some(more)
        } else {
            known.map(|known| known.saturating_add(more))
        }
    };
    dataset.row_count = add(dataset.row_count, part.row_count);
    dataset.size_bytes = add(dataset.size_bytes, part.size_bytes);
}

/// A new dataset's folder must not exist yet: that is how two writers of one name are told apart.
async fn make_folder(folder: &Path) -> Result<(), Fault> {
    let failed = |error: &std::io::Error| {
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            Fault::new(
                FaultKind::Conflict,
                "a file or folder of that name exists already",
            )
            .with_hint("scan the depot, or choose another name")
        } else {
            Fault::unavailable("the depot's folder cannot be written")
                .with_hint("check its permissions and free space")
        }
    };
    if let Some(parent) = folder.parent() {
        tokio::fs::create_dir_all(parent)
            .await
            .map_err(|error| failed(&error))?;
    }
    tokio::fs::create_dir(folder)
        .await
        .map_err(|error| failed(&error))
}
