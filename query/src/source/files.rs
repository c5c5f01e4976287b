//! Datasets in files: Parquet, CSV with a header line, one JSON object a line.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::csv::reader::Format;
use datafusion::{
    catalog::TableProvider,
    datasource::{
        empty::EmptyTable,
        file_format::{
            FileFormat as EngineFormat, csv::CsvFormat, json::JsonFormat, parquet::ParquetFormat,
        },
        listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl},
    },
    prelude::SessionContext,
};
use dataos_model::{
    depot::{Dataset, FileFormat},
    fault::{Fault, FaultKind},
};

use crate::column::{arrow_schema, column_type, reads_as};

/// The rows of some files of one dataset.
///
/// # Errors
/// A file that is missing or whose columns are not those of the catalog.
pub(super) async fn open(
    context: &SessionContext,
    dataset: &Dataset,
    format: FileFormat,
    paths: &[PathBuf],
) -> Result<Arc<dyn TableProvider>, Fault> {
    let schema = arrow_schema(&dataset.schema);
    if paths.is_empty() {
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
        FileFormat::Json => Arc::new(JsonFormat::default()),
    };
    let options = ListingOptions::new(engine_format).with_file_extension("");
    let mut urls = Vec::with_capacity(paths.len());
    for path in paths {
        let url = ListingTableUrl::parse(file_url(path)?).map_err(|_| unreadable(dataset, path))?;
        match format {
            FileFormat::Parquet => check_parquet(context, dataset, path, &options, &url).await?,
            FileFormat::Csv => check_header(dataset, path).await?,
            // Fields of JSON objects go by name; what is missing is NULL.
            FileFormat::Json => check_present(dataset, path).await?,
        }
        urls.push(url);
    }
    let config = ListingTableConfig::new_with_multi_paths(urls)
        .with_listing_options(options)
        .with_schema(schema);
    let cache = context
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

async fn check_parquet(
    context: &SessionContext,
    dataset: &Dataset,
    path: &Path,
    options: &ListingOptions,
    url: &ListingTableUrl,
) -> Result<(), Fault> {
    check_present(dataset, path).await?;
    let found = options
        .infer_schema(&context.state(), url)
        .await
        .map_err(|_| unreadable(dataset, path))?;
    for column in &dataset.schema.columns {
        let Some((_, field)) = found.column_with_name(&column.name) else {
            return Err(changed(
                dataset,
                path,
                &format!("column `{}` is missing", column.name),
            ));
        };
        if !reads_as(field.data_type(), &column.column_type) {
            let problem = format!(
                "column `{}` is {} and not {}",
                column.name,
                column_type(field.data_type()),
                column.column_type
            );
            return Err(changed(dataset, path, &problem));
        }
    }
    Ok(())
}

/// Columns of CSV go by position, so the header must be the catalog's, in its order.
async fn check_header(dataset: &Dataset, path: &Path) -> Result<(), Fault> {
    let wanted: Vec<String> = dataset
        .schema
        .columns
        .iter()
        .map(|column| column.name.clone())
        .collect();
    let file = path.to_owned();
    let found = tokio::task::spawn_blocking(move || -> Option<Vec<String>> {
        let reader = BufReader::new(File::open(file).ok()?);
        let (schema, _) = Format::default()
            .with_header(true)
            .infer_schema(reader, Some(0))
            .ok()?;
        // A column without a name goes by its number.
        let name = |(index, name): (usize, &String)| match name.as_str() {
            "" => format!("column_{}", index + 1),
            _ => name.clone(),
        };
        Some(
            schema
                .fields()
                .iter()
                .map(|field| field.name())
                .enumerate()
                .map(name)
                .collect(),
        )
    })
    .await
    .ok()
    .flatten()
    .ok_or_else(|| unreadable(dataset, path))?;
    if found == wanted {
        Ok(())
    } else {
        Err(changed(dataset, path, "the header line is another"))
    }
}

async fn check_present(dataset: &Dataset, path: &Path) -> Result<(), Fault> {
    match tokio::fs::metadata(path).await {
        Ok(metadata) if metadata.is_file() => Ok(()),
        _ => Err(unreadable(dataset, path)),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn unreadable(dataset: &Dataset, path: &Path) -> Fault {
    Fault::unavailable(format!(
        "file `{}` of `{}` cannot be read",
        file_name(path),
        dataset.id
    ))
    .with_reason("source")
    .with_hint("check that the file is there and whole, then scan the depot again")
}

fn changed(dataset: &Dataset, path: &Path, problem: &str) -> Fault {
    Fault::new(
        FaultKind::Conflict,
        format!(
            "file `{}` is not what the catalog knows of `{}`: {problem}",
            file_name(path),
            dataset.id
        ),
    )
    .with_reason("schema_changed")
    .with_hint("scan the depot again")
}
