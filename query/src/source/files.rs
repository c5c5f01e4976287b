//! Datasets in files: Parquet, CSV with a header line, one JSON object a line, Avro.

mod opened;

use std::{
    fs::File,
    io::{BufReader, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{csv::reader::Format, datatypes::Schema};
use datafusion::{
    catalog::TableProvider,
    datasource::{
        empty::EmptyTable,
        file_format::{
            FileFormat as EngineFormat, csv::CsvFormat, json::JsonFormat, parquet::ParquetFormat,
        },
        listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl},
    },
    execution::SessionState,
};
use dataos_model::{
    clock::Timestamp,
    depot::{Dataset, FileFormat},
    fault::{Fault, FaultKind},
};

pub(super) use self::opened::Opened;
use super::{avro::AvroFormat, version::versions};
use crate::{
    column::{arrow_schema, column_type, reads_as},
    engine::failure::ours,
};

/// A file as the engine lists it, and its name for messages.
pub(super) struct Listed {
    pub(super) url: ListingTableUrl,
    pub(super) name: String,
}

/// The rows of some files of one dataset.
///
/// # Errors
/// A file that is missing or whose columns are not those of the catalog.
pub(super) async fn open(
    session: &SessionState,
    opened: &Opened,
    dataset: &Dataset,
    format: FileFormat,
    paths: &[PathBuf],
) -> Result<Arc<dyn TableProvider>, Fault> {
    // Before they are looked into, so that a file that changes meanwhile is another one the next time.
    let versions = versions(paths.to_vec()).await;
    let versions = versions.map_err(|path| unreadable(dataset, &file_name(&path)))?;
    if let Some(table) = opened.find(dataset, format, &versions) {
        return Ok(table);
    }
    let mut listed = Vec::with_capacity(paths.len());
    for path in paths {
        let name = file_name(path);
        let unreadable = || unreadable(dataset, &name);
        if format == FileFormat::Csv {
            let (path, dataset, name) = (path.clone(), dataset.clone(), name.clone());
            let check = move || match File::open(path) {
                Ok(file) => check_header(&dataset, &name, BufReader::new(file)),
                Err(_) => Err(self::unreadable(&dataset, &name)),
            };
            let checked = tokio::task::spawn_blocking(check).await;
            checked.map_err(|_| unreadable())??;
        }
        let url = ListingTableUrl::parse(file_url(path)?).map_err(|_| unreadable())?;
        listed.push(Listed { url, name });
    }
    let table = table(session, dataset, format, listed).await?;
    let began = session.execution_props().query_execution_start_time;
    if let Some(began) = began.map(|at| Timestamp(at.timestamp_millis())) {
        opened.keep(dataset, format, versions, &table, began);
    }
    Ok(table)
}

/// The rows of files that are there. Headers of CSV are checked before.
///
/// # Errors
/// A file of Parquet or Avro whose columns are not those of the catalog.
pub(super) async fn table(
    session: &SessionState,
    dataset: &Dataset,
    format: FileFormat,
    listed: Vec<Listed>,
) -> Result<Arc<dyn TableProvider>, Fault> {
    let schema = arrow_schema(&dataset.schema);
    if listed.is_empty() {
        return Ok(Arc::new(EmptyTable::new(schema)));
    }
    let engine_format: Arc<dyn EngineFormat> = match format {
        FileFormat::Parquet => Arc::new(ParquetFormat::default()),
        // RFC 4180: a quoted value may hold line ends.
        FileFormat::Csv => Arc::new(
            CsvFormat::default()
                .with_has_header(true)
                .with_newlines_in_values(true),
        ),
        // Fields of JSON objects go by name; what is missing is NULL.
        FileFormat::Json => Arc::new(JsonFormat::default()),
        FileFormat::Avro => Arc::new(AvroFormat::new(dataset, &listed)),
    };
    let options = ListingOptions::new(engine_format).with_file_extension("");
    if matches!(format, FileFormat::Parquet | FileFormat::Avro) {
        for file in &listed {
            check_schema(session, dataset, file, &options).await?;
        }
    }
    let urls = listed.into_iter().map(|file| file.url).collect();
    let config = ListingTableConfig::new_with_multi_paths(urls)
        .with_listing_options(options)
        .with_schema(schema);
    let cache = session
        .runtime_env()
        .cache_manager
        .get_file_statistic_cache();
    let table = ListingTable::try_new(config)
        .map_err(|_| Fault::internal(format!("the files of `{}`", dataset.id)))?;
    Ok(Arc::new(table.with_cache(cache)))
}

/// A file URL; as a URL, characters such as `*` and `[` in a name mean themselves.
fn file_url(path: &Path) -> Result<String, Fault> {
    let text = path
        .to_str()
        .ok_or_else(|| Fault::new(FaultKind::Unsupported, "a file name that is not UTF-8"))?;
    let encoded: String = text
        .bytes()
        .map(|byte| match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    Ok(format!("file://{encoded}"))
}

/// Of a file that says what its columns are.
async fn check_schema(
    session: &SessionState,
    dataset: &Dataset,
    file: &Listed,
    options: &ListingOptions,
) -> Result<(), Fault> {
    let found = options
        .infer_schema(session, &file.url)
        .await
        .map_err(|error| ours(&error).cloned())
        .map_err(|fault| fault.unwrap_or_else(|| unreadable(dataset, &file.name)))?;
    check_columns(dataset, &file.name, &found)
}

/// Each column of the catalog must be there, and read as what it is known as.
pub(super) fn check_columns(dataset: &Dataset, name: &str, found: &Schema) -> Result<(), Fault> {
    for column in &dataset.schema.columns {
        let Some((_, field)) = found.column_with_name(&column.name) else {
            let problem = format!("column `{}` is missing", column.name);
            return Err(changed(dataset, name, &problem));
        };
        if !reads_as(field.data_type(), &column.column_type) {
            let problem = format!(
                "column `{}` is {} and not {}",
                column.name,
                column_type(field.data_type()),
                column.column_type
            );
            return Err(changed(dataset, name, &problem));
        }
    }
    Ok(())
}

/// Columns of CSV go by position, so the header must be the catalog's, in its order.
pub(super) fn check_header(dataset: &Dataset, name: &str, content: impl Read) -> Result<(), Fault> {
    let (schema, _) = Format::default()
        .with_header(true)
        .infer_schema(content, Some(0))
        .map_err(|_| unreadable(dataset, name))?;
    let fields = schema.fields().iter().enumerate();
    // A column without a name goes by its number.
    let found = fields.map(|(index, field)| match field.name().as_str() {
        "" => format!("column_{}", index + 1),
        name => name.to_owned(),
    });
    let wanted = dataset.schema.columns.iter();
    if found.eq(wanted.map(|column| column.name.clone())) {
        Ok(())
    } else {
        Err(changed(dataset, name, "the header line is another"))
    }
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn unreadable(dataset: &Dataset, name: &str) -> Fault {
    damaged(format!("file `{name}` of `{}` cannot be read", dataset.id))
}

pub(super) fn damaged(text: String) -> Fault {
    Fault::unavailable(text)
        .with_reason("source")
        .with_hint("check that the file is there and whole, then scan the depot again")
}

pub(super) fn changed(dataset: &Dataset, name: &str, problem: &str) -> Fault {
    Fault::new(
        FaultKind::Conflict,
        format!(
            "file `{name}` is not what the catalog knows of `{}`: {problem}",
            dataset.id
        ),
    )
    .with_reason("schema_changed")
    .with_hint("scan the depot again")
}
