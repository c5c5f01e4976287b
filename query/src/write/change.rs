//! UPDATE, DELETE and MERGE on a table that is stored here.
//!
//! The rows are found by governed queries, which see what the caller sees. Then the table is read as it
//! is stored and written anew with these rows changed, into one file of the next generation, so that the
//! rename of that file is the moment at which a folder holds the new rows, and the catalog's settling
//! the moment at which readers get them. Rows that were not found are copied value by value.

use std::{
    iter,
    path::{Path, PathBuf},
};

use datafusion::{
    arrow::{
        array::{AsArray, RecordBatch},
        datatypes::DataType,
    },
    execution::SessionState,
    physical_plan::{ExecutionPlan, ExecutionPlanProperties, execute_stream},
};
use dataos_model::{
    dataset::{ColumnType, DatasetSchema},
    depot::{Dataset, DatasetSource, generation},
    fault::{Fault, FaultKind},
    predicate::Predicate,
};
use dataos_sql::{Bound, BoundChange, BoundStep, StepKind};
use futures::StreamExt;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};

use super::{
    Writer, Written,
    parquet_file::{OpenPart, Part},
    part_name,
    returned::{Returned, Returning, Wanted},
    touched::Touched,
};
use crate::{
    column::{arrow_schema, reads_as},
    engine::failure::{Detail, fault},
    execute::{First, Planner, overdue, planned},
    grant::Grant,
    predicate::{RawColumns, compile},
    rights::Rights,
    source::Exchange,
};

impl Writer<'_> {
    /// Carries out a change.
    ///
    /// # Errors
    /// A target that cannot be changed, a row that the row policy does not let through, a failure of a
    /// query or of the disk. The table is then as it was.
    pub(crate) async fn change(
        &self,
        bound: &Bound,
        change: &BoundChange,
        planner: Planner<'_>,
    ) -> Result<Written, Fault> {
        let (dataset, folder) = self.stored(&change.target)?;
        check_files(&dataset).await?;
        let grant = planner
            .grants
            .find(&Rights::Caller, &dataset.id)
            .ok_or_else(|| Fault::internal(format!("`{}` was not decided", dataset.id)))?;
        let sessions = planner.sessions.in_order();
        let planner = Planner {
            sessions: &sessions,
            ..planner
        };
        let changing = Changing {
            planner,
            grant,
            dataset: &dataset,
            wanted: self.wanted,
        };
        let returning = bound.returning();
        let mut returning = returning.map(|bound| Returning::new(bound, grant, planner));
        let finding = changing.find(&change.steps);
        let touched = tokio::time::timeout(self.time_max, finding).await;
        let touched = touched.unwrap_or_else(|_| Err(overdue(self.time_max)))?;
        let returned = if touched.count() == 0 {
            answered(returning.as_ref(), self.wanted).await?
        } else {
            self.replace(bound, &changing, &touched, &folder, &mut returning)
                .await?
        };
        Ok(Written {
            row_count: touched.count(),
            returned,
        })
    }

    /// Puts one file with the changed rows in the place of all files of the dataset.
    async fn replace(
        &self,
        bound: &Bound,
        changing: &Changing<'_>,
        touched: &Touched,
        folder: &Path,
        returning: &mut Option<Returning<'_>>,
    ) -> Result<Option<Returned>, Fault> {
        let dataset = changing.dataset;
        let lineage = bound
            .lineage()
            .cloned()
            .ok_or_else(|| Fault::internal("a change without lineage"))?;
        let old = files(dataset).to_vec();
        self.clear_leftovers(folder, &old).await?;
        let path = folder.join(part_name(newest(&old) + 1));
        let mut staged = dataset.clone();
        put_files(&mut staged, vec![path.clone()]);
        let stage = self.assets.stage_write(staged.clone(), lineage).await?;
        // From here on scans leave the table alone; one that came between is found here.
        let part = match self.check_unchanged(dataset).await {
            Ok(()) => {
                let part = OpenPart::begin(&path, arrow_schema(&dataset.schema));
                let writing = changing.write(touched, &part, returning);
                let written = tokio::time::timeout(self.time_max, writing).await;
                part.end(written.unwrap_or_else(|_| Err(overdue(self.time_max))))
                    .await
            }
            Err(fault) => Err(fault),
        };
        let settled = match part {
            Ok((part, returned)) => {
                let Part {
                    row_count,
                    size_bytes,
                } = part;
                (staged.row_count, staged.size_bytes) = (Some(row_count), Some(size_bytes));
                let settled = self.assets.settle_write(stage, staged).await;
                settled.map(|()| returned)
            }
            Err(fault) => Err(fault),
        };
        match settled {
            Ok(returned) => {
                self.retired.retire(old);
                Ok(returned)
            }
            Err(fault) => {
                self.undo(stage, &path, None).await;
                Err(fault)
            }
        }
    }

    /// Refuses a table whose files are not those that the change was made from.
    pub(super) async fn check_unchanged(&self, dataset: &Dataset) -> Result<(), Fault> {
        let now = self.assets.snapshot().await?;
        let is_same = now
            .datasets
            .get(&dataset.id)
            .is_some_and(|known| known.source == dataset.source && known.schema == dataset.schema);
        if is_same {
            return Ok(());
        }
        Err(Fault::new(
            FaultKind::Conflict,
            format!("`{}` was scanned or written meanwhile", dataset.id),
        )
        .with_reason("changed_meanwhile")
        .with_hint("run the statement again"))
    }

    /// Clears a folder of what writes that were cut off left: parts that were replaced and unfinished files
    /// go. A part of a newer generation, which was never settled and would take the table's place at a
    /// scan, is put aside under a hidden name: should the catalog be older than the folder, it is not lost.
    pub(super) async fn clear_leftovers(
        &self,
        folder: &Path,
        known: &[PathBuf],
    ) -> Result<(), Fault> {
        let unreadable = |_| {
            Fault::unavailable("the table's folder cannot be read")
                .with_hint("check its permissions")
        };
        let current = newest(known);
        let mut entries = tokio::fs::read_dir(folder).await.map_err(unreadable)?;
        while let Some(entry) = entries.next_entry().await.map_err(unreadable)? {
            let path = entry.path();
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_unfinished = name.starts_with(".gen-") || name.starts_with(".part-");
            // Only files named as ours are: what a user puts there stays.
            let is_ours = name.starts_with("gen-") || name.starts_with("part-");
            let is_part = is_ours && name.ends_with(".parquet") && !known.contains(&path);
            let generation = generation(&path);
            if is_part && generation > current {
                let aside = folder.join(format!(".{name}.aside"));
                tokio::fs::rename(&path, aside).await.map_err(unreadable)?;
            } else if (is_part && generation < current && !self.retired.holds(&path))
                || (is_unfinished && name.ends_with(".parquet.tmp"))
            {
                tokio::fs::remove_file(&path).await.map_err(unreadable)?;
            }
        }
        Ok(())
    }
}

/// A change at work.
struct Changing<'a> {
    planner: Planner<'a>,
    grant: &'a Grant,
    dataset: &'a Dataset,
    wanted: Wanted,
}

impl Changing<'_> {
    /// The rows that the steps find.
    async fn find(&self, steps: &[BoundStep]) -> Result<Touched, Fault> {
        let schema = arrow_schema(&self.dataset.schema);
        let mut touched = Touched::new(schema, self.planner.sessions.memory());
        let numbered = self.grant.numbered()?;
        for step in steps {
            let first = match step.kind {
                StepKind::Update | StepKind::Delete => First::Numbered(&numbered),
                StepKind::Insert => First::Dataset,
            };
            let planned = planned(self.planner, &step.rows, first).await?;
            touched.find(step, &planned).await?;
        }
        Ok(touched)
    }

    /// The table as it is stored, in the order in which its rows are numbered.
    async fn stored(&self) -> Result<(SessionState, std::sync::Arc<dyn ExecutionPlan>), Fault> {
        let engine = |error| fault(&error, Detail::Hidden);
        let Planner {
            sessions,
            sources,
            snapshot,
            ..
        } = self.planner;
        let session = sessions.open(iter::once(self.dataset));
        let table = sources
            .open(
                &session,
                snapshot,
                self.dataset,
                &Predicate::ALWAYS,
                Exchange::Nothing,
            )
            .await?;
        let scan = table.scan(&session, None, &[], None).await;
        let scan = scan.map_err(engine)?;
        if scan.output_partitioning().partition_count() != 1 {
            return Err(Fault::internal("a table is read in several partitions"));
        }
        Ok((session, scan))
    }

    /// Writes the table anew.
    async fn write(
        &self,
        touched: &Touched,
        part: &OpenPart,
        returning: &mut Option<Returning<'_>>,
    ) -> Result<Option<Returned>, Fault> {
        let engine = |error| fault(&error, Detail::Hidden);
        let (session, scan) = self.stored().await?;
        let mut batches = execute_stream(scan, session.task_ctx()).map_err(engine)?;
        let mut first = 0_i64;
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(engine)?;
            let applied = touched.apply(&batch, first)?;
            first += i64::try_from(batch.num_rows()).unwrap_or(i64::MAX);
            check_rows(self.grant, &applied.updated)?;
            if let Some(returning) = returning.as_mut() {
                returning.add(applied.updated)?;
                returning.add(applied.removed)?;
            }
            if applied.kept.num_rows() > 0 && !part.add(applied.kept).await {
                // The file has failed and says why.
                return Ok(None);
            }
        }
        for added in &touched.added {
            check_rows(self.grant, added)?;
            if let Some(returning) = returning.as_mut() {
                returning.add(added.clone())?;
            }
            if !part.add(added.clone()).await {
                return Ok(None);
            }
        }
        answered(returning.as_ref(), self.wanted).await
    }
}

/// What RETURNING answers, if there is one.
pub(super) async fn answered(
    returning: Option<&Returning<'_>>,
    wanted: Wanted,
) -> Result<Option<Returned>, Fault> {
    match returning {
        Some(returning) => returning.answer(wanted).await.map(Some),
        None => Ok(None),
    }
}

/// Refuses rows that the row policy does not let the caller see: he may not write them either.
///
/// # Errors
/// Says that there is such a row, and nothing of it.
pub(crate) fn check_rows(grant: &Grant, written: &RecordBatch) -> Result<(), Fault> {
    if grant.access.rows == Predicate::ALWAYS || written.num_rows() == 0 {
        return Ok(());
    }
    let columns = RawColumns::new(grant.dataset.schema.clone(), written.schema());
    let holds = compile(&grant.access.rows, &columns)
        .evaluate(written)
        .and_then(|holds| holds.into_array(written.num_rows()))
        .map_err(|error| fault(&error, Detail::Hidden))?;
    let holds = holds
        .as_boolean_opt()
        .ok_or_else(|| Fault::internal("a row policy without an answer"))?;
    if holds.true_count() == written.num_rows() {
        return Ok(());
    }
    Err(Fault::denied(
        "row_policy",
        format!(
            "the statement would write a row of `{}` that its row policy does not let you see",
            grant.dataset.id
        ),
    )
    .with_hint("nothing was written; EXPLAIN POLICY shows the condition for rows"))
}

pub(super) fn files(dataset: &Dataset) -> &[PathBuf] {
    match &dataset.source {
        DatasetSource::Files { paths, .. } => paths,
        DatasetSource::Objects { .. }
        | DatasetSource::Table { .. }
        | DatasetSource::AuditLog
        | DatasetSource::View { .. } => &[],
    }
}

fn put_files(dataset: &mut Dataset, files: Vec<PathBuf>) {
    if let DatasetSource::Files { paths, .. } = &mut dataset.source {
        *paths = files;
    }
}

/// The generation of the parts that are the table.
pub(super) fn newest(parts: &[PathBuf]) -> u64 {
    parts
        .iter()
        .map(|part| generation(part))
        .max()
        .unwrap_or_default()
}

/// Refuses a table whose files hold more than is read of them, as it would be lost.
async fn check_files(dataset: &Dataset) -> Result<(), Fault> {
    let (schema, paths) = (dataset.schema.clone(), files(dataset).to_vec());
    let found =
        tokio::task::spawn_blocking(move || paths.iter().find_map(|path| loss(path, &schema)));
    let found = found
        .await
        .map_err(|_| Fault::internal("the files of a table could not be looked at"))?;
    match found {
        None => Ok(()),
        Some(problem) => Err(Fault::new(
            FaultKind::Unsupported,
            format!("`{}` cannot be changed: {problem}", dataset.id),
        )
        .with_hint("copy it with CREATE TABLE AS, and change the copy")),
    }
}

/// What of a file would be lost if its rows were written anew.
fn loss(path: &Path, schema: &DatasetSchema) -> Option<String> {
    let metadata = std::fs::File::open(path)
        .ok()
        .and_then(|file| ArrowReaderMetadata::load(&file, ArrowReaderOptions::default()).ok());
    let Some(metadata) = metadata else {
        return Some("a file of it cannot be read".to_owned());
    };
    let fields = metadata.schema().fields();
    if fields.len() != schema.columns.len() {
        return Some("a file of it has other columns".to_owned());
    }
    let lost = schema.columns.iter().find(|column| {
        let field = fields.iter().find(|field| *field.name() == column.name);
        !field.is_some_and(|field| is_kept(field.data_type(), &column.column_type))
    });
    lost.map(|column| {
        format!(
            "column `{}` has values that are not read whole",
            column.name
        )
    })
}

/// Whether a column of a file is read without loss.
fn is_kept(file: &DataType, column_type: &ColumnType) -> bool {
    use datafusion::arrow::datatypes::TimeUnit::{Microsecond, Millisecond, Second};
    match (file, column_type) {
        (DataType::Timestamp(unit, _), _) => {
            matches!(unit, Second | Millisecond | Microsecond) && reads_as(file, column_type)
        }
        (DataType::Date64, _) => false,
        (DataType::List(item) | DataType::LargeList(item), ColumnType::List(of)) => {
            is_kept(item.data_type(), of)
        }
        (_, of) if !of.is_read() => false,
        _ => reads_as(file, column_type),
    }
}
