//! Avro files as the engine lists and reads files: columns go by name, rows come block by block. What bounds them
//! is in `dataos_avro`.

use std::{collections::HashMap, fmt, fs::File, io::Read as _, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::{
    arrow::{
        array::{RecordBatch, RecordBatchOptions},
        compute::{CastOptions, cast_with_options},
        datatypes::SchemaRef,
    },
    catalog::Session,
    common::{DataFusionError, Result, Statistics, not_impl_err, tree_node::TreeNodeRecursion},
    datasource::{
        file_format::{FileFormat, file_compression_type::FileCompressionType},
        listing::PartitionedFile,
        physical_plan::{FileOpenFuture, FileOpener, FileScanConfig, FileSource},
        projection::{ProjectionOpener, SplitProjection},
        source::DataSourceExec,
        table_schema::TableSchema,
    },
    object_store::{GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt, path::Path},
    physical_expr::{PhysicalExpr, projection::ProjectionExprs},
    physical_plan::{ExecutionPlan, apply_expression_roots, metrics::ExecutionPlanMetricsSet},
};
use dataos_avro::{Header, Pieces, Problem, Rows};
use dataos_model::{
    depot::Dataset,
    fault::{Fault, FaultKind},
};
use futures::{FutureExt, StreamExt, stream::BoxStream};

use super::files::{self, Listed};
use crate::engine::failure::raised;

/// Bytes of a local file that are read at a time.
const READ_BYTES: usize = 256 << 10;

/// What is known of a dataset before its files are read.
#[derive(Debug)]
struct Known {
    dataset: Dataset,
    /// What files are called in messages.
    names: HashMap<Path, String>,
}

impl Known {
    fn name(&self, location: &Path) -> &str {
        self.names.get(location).map_or("", String::as_str)
    }

    fn failed(&self, location: &Path, problem: &Problem) -> DataFusionError {
        let name = self.name(location);
        raised(match problem {
            Problem::Damaged(_) => {
                let text = format!(
                    "file `{name}` of `{}` cannot be read: {problem}",
                    self.dataset.id
                );
                files::damaged(text)
            }
            Problem::Unsupported(_) => {
                let text = format!(
                    "file `{name}` of `{}` is not read: {problem}",
                    self.dataset.id
                );
                Fault::new(FaultKind::Unsupported, text)
                    .with_reason("file_not_read")
                    .with_hint("write the file anew within what is read, then scan the depot again")
            }
        })
    }

    /// The header of a file, which has the columns of the catalog.
    async fn header(&self, location: &Path, file: &mut Reader) -> Result<Header> {
        loop {
            let header = file.pieces.header();
            if let Some(header) = header.map_err(|problem| self.failed(location, &problem))? {
                let found = header.arrow_schema();
                let checked = files::check_columns(&self.dataset, self.name(location), &found);
                return checked.map(|()| header).map_err(raised);
            }
            if !file.more().await? {
                let problem = Problem::Damaged("its header is cut off".to_owned());
                return Err(self.failed(location, &problem));
            }
        }
    }
}

/// The format, of the files of one dataset.
#[derive(Debug)]
pub(super) struct AvroFormat(Arc<Known>);

impl AvroFormat {
    pub(super) fn new(dataset: &Dataset, listed: &[Listed]) -> Self {
        let names = listed
            .iter()
            .map(|file| (file.url.prefix().clone(), file.name.clone()));
        Self(Arc::new(Known {
            dataset: dataset.clone(),
            names: names.collect(),
        }))
    }
}

#[async_trait]
impl FileFormat for AvroFormat {
    fn get_ext(&self) -> String {
        "avro".to_owned()
    }

    fn get_ext_with_compression(&self, _: &FileCompressionType) -> Result<String> {
        not_impl_err!("Avro files are packed within")
    }

    fn compression_type(&self) -> Option<FileCompressionType> {
        None
    }

    async fn infer_schema(
        &self,
        _: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        objects: &[ObjectMeta],
    ) -> Result<SchemaRef> {
        // The engine leaves out files without a byte.
        let [object] = objects else {
            return not_impl_err!("the columns of other than one file");
        };
        let mut file = Reader::open(store, &object.location).await?;
        let header = self.0.header(&object.location, &mut file).await?;
        Ok(header.arrow_schema())
    }

    async fn infer_stats(
        &self,
        _: &dyn Session,
        _: &Arc<dyn ObjectStore>,
        table_schema: SchemaRef,
        _: &ObjectMeta,
    ) -> Result<Statistics> {
        Ok(Statistics::new_unknown(&table_schema))
    }

    async fn create_physical_plan(
        &self,
        _: &dyn Session,
        config: FileScanConfig,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(DataSourceExec::from_data_source(config))
    }

    fn file_source(&self, table_schema: TableSchema) -> Arc<dyn FileSource> {
        Arc::new(AvroSource {
            known: Arc::clone(&self.0),
            projection: SplitProjection::unprojected(&table_schema),
            table_schema,
            batch_rows: 0,
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

/// A scan of some columns.
#[derive(Clone)]
struct AvroSource {
    known: Arc<Known>,
    table_schema: TableSchema,
    projection: SplitProjection,
    batch_rows: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl FileSource for AvroSource {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        _: &FileScanConfig,
        _partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let file_schema = self.table_schema.file_schema();
        let opener = AvroOpener {
            known: Arc::clone(&self.known),
            store,
            wanted: Arc::new(file_schema.project(&self.projection.file_indices)?),
            batch_rows: self.batch_rows,
        };
        ProjectionOpener::try_new(self.projection.clone(), Arc::new(opener), file_schema)
    }

    fn table_schema(&self) -> &TableSchema {
        &self.table_schema
    }

    fn with_batch_size(&self, batch_rows: usize) -> Arc<dyn FileSource> {
        Arc::new(Self {
            batch_rows,
            ..self.clone()
        })
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        Some(&self.projection.source)
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn file_type(&self) -> &'static str {
        "avro"
    }

    /// A block can be found only from the one before it.
    fn supports_repartitioning(&self) -> bool {
        false
    }

    fn try_pushdown_projection(
        &self,
        projection: &ProjectionExprs,
    ) -> Result<Option<Arc<dyn FileSource>>> {
        let merged = self.projection.source.try_merge(projection)?;
        Ok(Some(Arc::new(Self {
            projection: SplitProjection::new(self.table_schema.file_schema(), &merged),
            ..self.clone()
        })))
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        apply_expression_roots(self.projection.source.iter(), visit)
    }
}

/// Opens the files of a scan.
struct AvroOpener {
    known: Arc<Known>,
    store: Arc<dyn ObjectStore>,
    /// The columns, as the engine gets them.
    wanted: SchemaRef,
    batch_rows: usize,
}

impl FileOpener for AvroOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let (known, store) = (Arc::clone(&self.known), Arc::clone(&self.store));
        let (wanted, batch_rows) = (Arc::clone(&self.wanted), self.batch_rows);
        let open = async move {
            let location = file.object_meta.location;
            let mut reader = Reader::open(&store, &location).await?;
            // Once more: a local file may be another one by now.
            let header = known.header(&location, &mut reader).await?;
            let names: Vec<&str> = wanted
                .fields()
                .iter()
                .map(|field| field.name().as_str())
                .collect();
            let rows = Rows::new(&header, &names);
            let scan = Scan {
                rows: rows.map_err(|problem| known.failed(&location, &problem))?,
                known,
                location,
                header,
                reader,
                wanted,
                batch_rows,
            };
            let next = |mut scan: Scan| async {
                let batch = scan.next().await?;
                Ok::<_, DataFusionError>(batch.map(|batch| (batch, scan)))
            };
            Ok(futures::stream::try_unfold(scan, next).boxed())
        };
        Ok(open.boxed())
    }
}

/// A file that is being read.
struct Scan {
    known: Arc<Known>,
    location: Path,
    header: Header,
    reader: Reader,
    rows: Rows,
    wanted: SchemaRef,
    batch_rows: usize,
}

impl Scan {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            match self.step() {
                Ok(Step::Batch(batch)) => return self.as_wanted(&batch).map(Some),
                Ok(Step::Bytes) if self.reader.more().await? => {}
                Ok(Step::Bytes) => {
                    let last = self.reader.pieces.end().and_then(|()| self.rows.take());
                    let last =
                        last.map_err(|problem| self.known.failed(&self.location, &problem))?;
                    return last.map(|batch| self.as_wanted(&batch)).transpose();
                }
                Err(problem) => return Err(self.known.failed(&self.location, &problem)),
            }
        }
    }

    /// As far as what is there reaches.
    fn step(&mut self) -> Result<Step, Problem> {
        loop {
            if let Some(batch) = self.rows.read(self.batch_rows)? {
                return Ok(Step::Batch(batch));
            }
            match self.reader.pieces.block(&self.header)? {
                Some(block) => self.rows.load(block)?,
                None => return Ok(Step::Bytes),
            }
        }
    }

    /// Values of a type that the catalog's holds all of, in that type.
    fn as_wanted(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let options = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        let mut arrays = Vec::with_capacity(batch.num_columns());
        for (array, field) in batch.columns().iter().zip(self.wanted.fields()) {
            if !field.is_nullable() && array.null_count() > 0 {
                let name = self.known.name(&self.location);
                let problem = format!("column `{}` holds NULL", field.name());
                return Err(raised(files::changed(&self.known.dataset, name, &problem)));
            }
            arrays.push(cast_with_options(array, field.data_type(), &options)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let wanted = Arc::clone(&self.wanted);
        Ok(RecordBatch::try_new_with_options(wanted, arrays, &options)?)
    }
}

/// What a scan comes to.
enum Step {
    Batch(RecordBatch),
    /// It needs more bytes.
    Bytes,
}

/// The bytes of a file in order.
struct Reader {
    source: Source,
    pieces: Pieces,
}

/// Where bytes come from.
enum Source {
    File(File),
    Stream(BoxStream<'static, datafusion::object_store::Result<Bytes>>),
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl Reader {
    async fn open(store: &Arc<dyn ObjectStore>, location: &Path) -> Result<Self> {
        let source = match store.get(location).await?.payload {
            GetResultPayload::File(file, _) => Source::File(file),
            GetResultPayload::Stream(stream) => Source::Stream(stream),
        };
        Ok(Self {
            source,
            pieces: Pieces::default(),
        })
    }

    /// Takes some more bytes; whether there are any.
    async fn more(&mut self) -> Result<bool> {
        let bytes = match &mut self.source {
            Source::File(file) => {
                let mut bytes = vec![0; READ_BYTES];
                let count = file.read(&mut bytes)?;
                bytes.truncate(count);
                Bytes::from(bytes)
            }
            Source::Stream(stream) => loop {
                match stream.next().await.transpose()? {
                    Some(bytes) if bytes.is_empty() => {}
                    bytes => break bytes.unwrap_or_default(),
                }
            },
        };
        self.pieces.feed(&bytes);
        Ok(!bytes.is_empty())
    }
}
