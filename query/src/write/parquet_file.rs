//! One Parquet file, written whole or not at all.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use datafusion::arrow::{
    array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, new_null_array},
    compute::{CastOptions, cast, cast_with_options},
    datatypes::{DataType, Field, SchemaRef},
};
use dataos_model::fault::{Fault, FaultKind};
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};
use tokio::{sync::mpsc, task::JoinHandle};

/// Batches in flight between query and disk.
const BATCHES_MAX: usize = 2;
/// Length of `2026-01-31`.
const DATE_BYTES: usize = 10;

/// A file that is in place and durable.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) row_count: u64,
    pub(crate) size_bytes: u64,
}

/// A file that is being written beside the query that gives its rows.
#[derive(Debug)]
pub(crate) struct OpenPart {
    sender: mpsc::Sender<Message>,
    written: JoinHandle<Result<Part, Fault>>,
}

impl OpenPart {
    /// Begins a file of `schema`, which is at `path` once it is whole.
    pub(crate) fn begin(path: &Path, schema: SchemaRef) -> Self {
        let (sender, receiver) = mpsc::channel(BATCHES_MAX);
        let file = Unfinished {
            hidden: hidden(path),
            path: path.to_owned(),
        };
        let written = tokio::task::spawn_blocking(move || file.write(schema, receiver));
        Self { sender, written }
    }

    /// Adds rows. False if the file has failed, which [`OpenPart::end`] tells.
    pub(crate) async fn add(&self, rows: RecordBatch) -> bool {
        self.sender.send(Message::Rows(rows)).await.is_ok()
    }

    /// Ends the file, if all its rows were `fed`; what was made of them on the way passes through.
    ///
    /// # Errors
    /// A failure of whoever fed it, or of the disk; then there is no file.
    pub(crate) async fn end<T>(self, fed: Result<T, Fault>) -> Result<(Part, T), Fault> {
        let Self { sender, written } = self;
        if fed.is_ok() {
            // Without this word the file is thrown away: a query that fails half-way ends the channel too.
            let _told = sender.send(Message::End).await;
        }
        drop(sender);
        let written = written
            .await
            .map_err(|_| Fault::internal("the writer of a file ended early"))?;
        let fed = fed?;
        Ok((written?, fed))
    }
}

#[derive(Debug)]
enum Message {
    Rows(RecordBatch),
    End,
}

struct Unfinished {
    hidden: PathBuf,
    path: PathBuf,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After the rename there is nothing under this name.
        let _gone = std::fs::remove_file(&self.hidden);
    }
}

impl Unfinished {
    fn write(
        &self,
        schema: SchemaRef,
        mut batches: mpsc::Receiver<Message>,
    ) -> Result<Part, Fault> {
        let file = File::create_new(&self.hidden).map_err(|error| unwritable(&error))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .build();
        let mut writer = ArrowWriter::try_new(file, schema, Some(properties))
            .map_err(|_| Fault::internal("a Parquet writer does not start"))?;
        let mut row_count = 0_u64;
        let mut is_complete = false;
        while let Some(message) = batches.blocking_recv() {
            match message {
                Message::Rows(batch) => {
                    row_count += batch.num_rows() as u64;
                    writer.write(&batch).map_err(|_| disk_full())?;
                }
                Message::End => is_complete = true,
            }
        }
        if !is_complete {
            return Err(Fault::new(FaultKind::Internal, "the query ended early"));
        }
        let file = writer.into_inner().map_err(|_| disk_full())?;
        file.sync_all().map_err(|error| unwritable(&error))?;
        let size_bytes = file.metadata().map_err(|error| unwritable(&error))?.len();
        std::fs::rename(&self.hidden, &self.path).map_err(|error| unwritable(&error))?;
        sync_folder(&self.path).map_err(|error| unwritable(&error))?;
        Ok(Part {
            row_count,
            size_bytes,
        })
    }
}

/// The rename is durable once the folder is, and a new folder once its parent is.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    for folder in path.ancestors().skip(1).take(3) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// A name that scans pass over.
fn hidden(path: &Path) -> PathBuf {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    path.with_file_name(format!(".{name}.tmp"))
}

/// Rows of a query as rows of `schema`; `places` gives for each column its place in the query, and a
/// column without one is NULL.
///
/// # Errors
/// A value that does not fit its column.
pub(crate) fn placed(
    batch: &RecordBatch,
    schema: &SchemaRef,
    places: &[Option<usize>],
) -> Result<RecordBatch, Fault> {
    let columns: Vec<ArrayRef> = schema
        .fields()
        .iter()
        .zip(places)
        .map(
            |(field, place)| match place.and_then(|place| batch.columns().get(place)) {
                Some(column) => fitted(column, field),
                None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            },
        )
        .collect::<Result<_, _>>()?;
    rows(schema, columns, batch.num_rows())
}

/// Rows of the target.
///
/// # Errors
/// A NULL where there must be none.
pub(crate) fn rows(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    row_count: usize,
) -> Result<RecordBatch, Fault> {
    let options = RecordBatchOptions::new().with_row_count(Some(row_count));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|_| Fault::invalid("a NULL goes into a column that must have a value"))
}

/// Values as those of a column of the target.
///
/// # Errors
/// A value that does not fit.
pub(crate) fn fitted(values: &ArrayRef, column: &Field) -> Result<ArrayRef, Fault> {
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    if matches!(column.data_type(), DataType::Timestamp(_, None)) && has_zone(values) {
        let message = format!(
            "a time with a zone goes into column `{}` of the target, which has none",
            column.name()
        );
        return Err(Fault::invalid(message)
            .with_reason("conversion")
            .with_hint("write it without the zone, or cast it where it is computed"));
    }
    cast_with_options(values, column.data_type(), &options).map_err(|_| {
        Fault::invalid(format!(
            "a value does not fit column `{}` of the target",
            column.name()
        ))
        .with_reason("conversion")
        .with_hint("cast it where it is computed")
    })
}

/// Whether a text says of how many hours it is: some engines add them, and some forget them.
fn has_zone(values: &ArrayRef) -> bool {
    let Ok(texts) = cast(values, &DataType::Utf8) else {
        return false;
    };
    let is_text = matches!(
        values.data_type(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    );
    let time = |text: &str| {
        text.get(DATE_BYTES..)
            .is_some_and(|rest| rest.contains(['+', '-']))
    };
    is_text && texts.as_string::<i32>().iter().flatten().any(time)
}

fn disk_full() -> Fault {
    Fault::unavailable("the file cannot be written to its end").with_hint("check the free space")
}

fn unwritable(error: &std::io::Error) -> Fault {
    Fault::unavailable(format!(
        "the depot's folder cannot be written: {}",
        error.kind()
    ))
    .with_hint("check its permissions and free space")
}
