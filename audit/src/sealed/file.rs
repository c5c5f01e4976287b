//! The Parquet file of a pack, read back: whole row groups, or single rows of one.

use std::{
    fs::File,
    io::{self, Read},
    num::NonZeroU64,
    ops::Range,
    os::unix::fs::FileExt as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

use arrow::{
    array::{AsArray as _, RecordBatch},
    compute::concat_batches,
    datatypes::{DataType, Field, Fields, TimestampMillisecondType},
};
use bytes::Bytes;
use parquet::{
    arrow::{
        FieldLevels, ProjectionMask,
        arrow_reader::{
            ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, RowSelection,
        },
        parquet_to_arrow_field_levels, parquet_to_arrow_schema,
    },
    errors::ParquetError,
    file::{
        metadata::PageIndexPolicy,
        reader::{ChunkReader, Length},
    },
};
use rustix::fs::{Advice, fadvise};

use super::{
    BLOCK_ROWS, ROW_GROUP_ROWS, TWIG_ROWS,
    columns::Rows,
    layout::{GroupPages, Layout},
};

/// The checksum of a file is taken in pieces of this size.
const CHECKSUM_PIECE_BYTES: usize = 256 * 1024;

/// A sealed file that is open; of its footer it keeps what finds a page.
#[derive(Debug)]
pub(crate) struct SealedFile {
    /// Index of the first entry.
    pub(crate) first: u64,
    file: FileReader,
    layout: Layout,
    all: FieldLevels,
    time: FieldLevels,
    /// The first row of each row group, and the number of rows.
    starts: Vec<u32>,
}

impl SealedFile {
    /// Opens a file that must have exactly these entries.
    pub(crate) fn open(path: &Path, first: u64) -> Result<Self, String> {
        let open = || -> io::Result<FileReader> {
            let file = File::open(path)?;
            let length = file.metadata()?.len();
            let file = Arc::new(file);
            Ok(FileReader { file, length })
        };
        let file = open().map_err(|error| error.to_string())?;
        let options = ArrowReaderOptions::new()
            .with_skip_arrow_metadata(true)
            .with_offset_index_policy(PageIndexPolicy::Required);
        let metadata = guarded(|| ArrowReaderMetadata::load(&file, options))?;
        let metadata = metadata.metadata();
        let mut starts = vec![0_u32];
        for group in metadata.row_groups() {
            let last = starts.last().copied().unwrap_or_default();
            let rows = u32::try_from(group.num_rows()).ok();
            let end = rows
                .filter(|rows| *rows <= ROW_GROUP_ROWS)
                .and_then(|rows| last.checked_add(rows));
            starts.push(end.ok_or("a row group has another size")?);
        }
        let schema = metadata.file_metadata().schema_descr();
        let fields = guarded(|| parquet_to_arrow_schema(schema, None))?;
        let fields = viewed(fields.fields());
        let levels = |mask| guarded(|| parquet_to_arrow_field_levels(schema, mask, Some(&fields)));
        Ok(Self {
            first,
            all: levels(ProjectionMask::all())?,
            time: levels(ProjectionMask::columns(schema, ["time"]))?,
            layout: guarded(|| Layout::of(metadata))?,
            file,
            starts,
        })
    }

    /// Number of rows.
    pub(crate) fn count(&self) -> u32 {
        self.starts.last().copied().unwrap_or_default()
    }

    /// Length of the file in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.file.length
    }

    /// CRC-32C of the whole file.
    pub(crate) fn checksum(&self) -> io::Result<u32> {
        let mut piece = vec![0; CHECKSUM_PIECE_BYTES];
        let (mut checksum, mut offset) = (0, 0);
        loop {
            let read = self.file.file.read_at(&mut piece, offset)?;
            if read == 0 {
                return Ok(checksum);
            }
            checksum = crc32c::crc32c_append(checksum, piece.get(..read).unwrap_or_default());
            offset += read as u64;
        }
    }

    /// Where in the file the row group with this row begins.
    pub(crate) fn offset_of(&self, row: u32) -> u64 {
        self.layout.offset_of(self.group_of(row))
    }

    /// The rows of a range within one row group, and of no other.
    pub(crate) fn rows(&self, range: Range<u32>) -> Result<Rows, String> {
        Rows::read(&self.read(&[range], &self.all)?)
    }

    /// The rows of some twigs, ascending, within one row group.
    pub(crate) fn twigs(&self, twigs: &[u32]) -> Result<Rows, String> {
        let runs = twigs.chunk_by(|twig, next| twig + 1 == *next);
        let ranges = runs.filter_map(|run| {
            let (first, last) = (run.first()?, run.last()?);
            Some(first * TWIG_ROWS..(last + 1) * TWIG_ROWS)
        });
        Rows::read(&self.read(&ranges.collect::<Vec<_>>(), &self.all)?)
    }

    /// The times of a range within one row group.
    pub(crate) fn times(&self, range: Range<u32>) -> Result<Vec<i64>, String> {
        let batch = self.read(&[range], &self.time)?;
        let column = batch.column_by_name("time");
        let column =
            column.and_then(|column| column.as_primitive_opt::<TimestampMillisecondType>());
        let column = column.ok_or("column `time` has another type")?;
        Ok(column.values().to_vec())
    }

    /// The ranges of all row groups.
    pub(crate) fn row_groups(&self) -> impl Iterator<Item = Range<u32>> {
        let ends = self.starts.iter().skip(1);
        self.starts
            .iter()
            .zip(ends)
            .map(|(start, end)| *start..*end)
    }

    /// The number of the row group with this row.
    pub(crate) fn group_of(&self, row: u32) -> usize {
        let after = self.starts.partition_point(|start| *start <= row);
        after.saturating_sub(1)
    }

    /// The ranges, which ascend, within one row group.
    fn read(&self, ranges: &[Range<u32>], levels: &FieldLevels) -> Result<RecordBatch, String> {
        let missing = || "there is no such row".to_owned();
        let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else {
            return Err(missing());
        };
        let group = self.group_of(first.start);
        let start = self.starts.get(group).copied().unwrap_or_default();
        let end = self.starts.get(group + 1).copied().unwrap_or_default();
        if ranges.iter().any(Range::is_empty) || last.end > end {
            return Err(missing());
        }
        let wanted = ranges
            .iter()
            .map(|range| (range.end - range.start) as usize);
        let wanted = wanted.sum();
        let within = |row: u32| row.saturating_sub(start) as usize;
        let selected = ranges
            .iter()
            .map(|range| within(range.start)..within(range.end));
        let selection = RowSelection::from_consecutive_ranges(selected, within(end));
        let selection = (wanted != within(end)).then_some(selection);
        let batch = guarded(|| {
            let pages = GroupPages::new(&self.layout, group, within(end), &self.file)?;
            let reader = ParquetRecordBatchReader::try_new_with_row_groups(
                levels, &pages, wanted, selection,
            )?;
            let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>()?;
            match batches.as_slice() {
                [] => Err(ParquetError::EOF("the rows are missing".to_owned())),
                [batch] => Ok(batch.clone()),
                [batch, ..] => Ok(concat_batches(&batch.schema(), &batches)?),
            }
        })?;
        if batch.num_rows() != wanted {
            return Err("rows are missing".to_owned());
        }
        Ok(batch)
    }

    /// Asks the system to read the pages with these rows, which ascend and lie in one row group: they
    /// lie all over it. Advice alone: reading works without it.
    pub(crate) fn will_need(&self, rows: &[u32]) {
        let group = self.group_of(rows.first().copied().unwrap_or_default());
        let start = self.starts.get(group).copied().unwrap_or_default();
        let blocks = rows.chunk_by(|row, next| row / BLOCK_ROWS == next / BLOCK_ROWS);
        let blocks: Vec<Range<u32>> = blocks
            .filter_map(|rows| Some(rows.first()? - start..rows.last()? - start + 1))
            .collect();
        for bytes in self.layout.pages_of(group, &blocks) {
            if let Some(length) = NonZeroU64::new(bytes.end.saturating_sub(bytes.start)) {
                let _ = fadvise(
                    &*self.file.file,
                    bytes.start,
                    Some(length),
                    Advice::WillNeed,
                );
            }
        }
    }

    /// Makes the next reads come from the disk.
    pub(crate) fn drop_cached(&self) {
        let _ = fadvise(&*self.file.file, 0, None, Advice::DontNeed);
    }
}

/// The fields with each text as a view into the page that it stands in, which copies nothing.
fn viewed(fields: &Fields) -> Fields {
    fields.iter().map(|field| viewed_field(field)).collect()
}

fn viewed_field(field: &Field) -> Arc<Field> {
    let kind = match field.data_type() {
        DataType::Utf8 => DataType::Utf8View,
        DataType::List(item) => DataType::List(viewed_field(item)),
        DataType::Map(entries, is_sorted) => DataType::Map(viewed_field(entries), *is_sorted),
        DataType::Struct(fields) => DataType::Struct(viewed(fields)),
        other => other.clone(),
    };
    Arc::new(field.clone().with_data_type(kind))
}

/// Bytes of damaged files may make the decoder panic; here that is an error like any other.
fn guarded<T>(work: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err("it is not a Parquet file that this build can read".to_owned()),
    }
}

/// Reads at positions: several threads share one file.
#[derive(Clone, Debug)]
pub(crate) struct FileReader {
    file: Arc<File>,
    length: u64,
}

/// Reads on from a position.
#[derive(Debug)]
pub(crate) struct FileCursor {
    reader: FileReader,
    position: u64,
}

impl Length for FileReader {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for FileReader {
    type T = io::BufReader<FileCursor>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let reader = self.clone();
        Ok(io::BufReader::new(FileCursor {
            reader,
            position: start,
        }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let end = start.checked_add(length as u64);
        if end.is_none_or(|end| end > self.length) {
            return Err(ParquetError::EOF("the file ends within a page".to_owned()));
        }
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start)?;
        Ok(bytes.into())
    }
}

impl Read for FileCursor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.file.read_at(buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}
