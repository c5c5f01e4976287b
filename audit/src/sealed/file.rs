//! The Parquet file of a pack: written in one pass with bounded memory, read back block by block.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    num::NonZeroU64,
    ops::Range,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

use arrow::{
    array::{AsArray as _, RecordBatch},
    datatypes::{DataType, Schema, TimestampMillisecondType},
};
use bytes::Bytes;
use parquet::{
    arrow::{
        ArrowWriter, ProjectionMask,
        arrow_reader::{
            ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
            RowSelector,
        },
        arrow_writer::ArrowWriterOptions,
    },
    basic::{Compression, Encoding, ZstdLevel},
    errors::ParquetError,
    file::{
        metadata::PageIndexPolicy,
        properties::{EnabledStatistics, WriterProperties},
        reader::{ChunkReader, Length},
    },
    schema::types::ColumnPath,
};
use rustix::fs::{Advice, fadvise};

use super::{BLOCK_ROWS, ROW_GROUP_ROWS, columns::Rows};
use crate::disk::Disk;

/// Written bytes are synced in pieces of this size, so that a sync of entries never waits behind a
/// whole file.
const SYNC_BYTES: u64 = 1024 * 1024;

/// The checksum of a file is taken in pieces of this size.
const CHECKSUM_PIECE_BYTES: usize = 256 * 1024;

/// Writes the rows of a pack. Holds one row group, encoded, in memory.
pub(crate) struct SealedWriter<'d> {
    writer: ArrowWriter<DiskWriter<'d>>,
}

/// A new file, written through the disk of the log.
#[derive(Debug)]
pub(crate) struct DiskWriter<'d> {
    disk: &'d dyn Disk,
    file: File,
    offset: u64,
    synced: u64,
}

impl<'d> DiskWriter<'d> {
    pub(crate) fn create(path: &Path, disk: &'d dyn Disk) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(path)?;
        Ok(Self {
            disk,
            file,
            offset: 0,
            synced: 0,
        })
    }

    /// Makes the file durable.
    pub(crate) fn finish(&self) -> io::Result<()> {
        self.disk.sync(&self.file)?;
        self.file.sync_all()
    }
}

impl Write for DiskWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = bytes.len().min(SYNC_BYTES as usize);
        let bytes = bytes.get(..piece).unwrap_or_default();
        self.disk.write(&self.file, bytes, self.offset)?;
        self.offset += bytes.len() as u64;
        if self.offset - self.synced >= SYNC_BYTES {
            self.disk.sync(&self.file)?;
            self.synced = self.offset;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'d> SealedWriter<'d> {
    /// Creates the file for rows like those of `batch`; columns in `repetitive` get a dictionary.
    pub(crate) fn create(
        path: &Path,
        disk: &'d dyn Disk,
        batch: &RecordBatch,
        repetitive: &[String],
    ) -> io::Result<Self> {
        let file = DiskWriter::create(path, disk)?;
        let properties = properties(&batch.schema(), repetitive)?;
        let options = ArrowWriterOptions::new()
            .with_properties(properties)
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(file, batch.schema(), options)?;
        Ok(Self { writer })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        Ok(self.writer.write(batch)?)
    }

    /// Writes the end and makes the file durable.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.writer.finish()?;
        self.writer.inner().finish()
    }
}

fn properties(schema: &Schema, repetitive: &[String]) -> io::Result<WriterProperties> {
    let zstd = Compression::ZSTD(ZstdLevel::try_new(3)?);
    let mut properties = WriterProperties::builder()
        .set_compression(zstd)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_write_batch_size(BLOCK_ROWS as usize)
        .set_data_page_row_count_limit(BLOCK_ROWS as usize)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS as usize))
        .set_created_by(concat!("dataos-audit ", env!("CARGO_PKG_VERSION")).to_owned());
    for field in schema.fields() {
        let path = || ColumnPath::new(vec![field.name().clone()]);
        match field.data_type() {
            DataType::UInt64 | DataType::Timestamp(..) => {
                properties = properties
                    .set_column_encoding(path(), Encoding::DELTA_BINARY_PACKED)
                    .set_column_statistics_enabled(path(), EnabledStatistics::Chunk);
            }
            // Random bytes.
            DataType::FixedSizeBinary(_) if !repetitive.contains(field.name()) => {
                properties = properties.set_column_compression(path(), Compression::UNCOMPRESSED);
            }
            DataType::List(_) => {
                let path = ColumnPath::new(vec![
                    field.name().clone(),
                    "list".to_owned(),
                    "item".to_owned(),
                ]);
                properties = properties.set_column_dictionary_enabled(path, true);
            }
            _ if repetitive.contains(field.name()) => {
                properties = properties.set_column_dictionary_enabled(path(), true);
            }
            _ => {}
        }
    }
    let names = ["facts", "entries", "keys"].map(str::to_owned).to_vec();
    Ok(properties
        .set_column_dictionary_enabled(ColumnPath::new(names), true)
        .build())
}

/// A sealed file that is open, its footer parsed.
#[derive(Debug)]
pub(crate) struct SealedFile {
    /// Index of the first entry.
    pub(crate) first: u64,
    file: FileReader,
    metadata: ArrowReaderMetadata,
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
        let mut starts = vec![0_u32];
        for group in metadata.metadata().row_groups() {
            let last = starts.last().copied().unwrap_or_default();
            let rows = u32::try_from(group.num_rows()).ok();
            let end = rows
                .filter(|rows| *rows <= ROW_GROUP_ROWS)
                .and_then(|rows| last.checked_add(rows));
            starts.push(end.ok_or("a row group has another size")?);
        }
        Ok(Self {
            first,
            file,
            metadata,
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
        let group = self
            .starts
            .partition_point(|start| *start <= row)
            .saturating_sub(1);
        let group = self.metadata.metadata().row_groups().get(group);
        let chunks = group.map(|group| group.columns()).unwrap_or_default();
        chunks
            .iter()
            .map(|chunk| chunk.byte_range().0)
            .min()
            .unwrap_or_default()
    }

    /// The rows of a range within one row group, and of no other.
    pub(crate) fn rows(&self, range: Range<u32>) -> Result<Rows, String> {
        let batch = self.read(range, ProjectionMask::all())?;
        Rows::read(&batch)
    }

    /// The times of a range within one row group.
    pub(crate) fn times(&self, range: Range<u32>) -> Result<Vec<i64>, String> {
        let mask = ProjectionMask::columns(self.metadata.parquet_schema(), ["time"]);
        let batch = self.read(range, mask)?;
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

    fn read(&self, range: Range<u32>, mask: ProjectionMask) -> Result<RecordBatch, String> {
        let group = self.starts.partition_point(|start| *start <= range.start);
        let group = group.checked_sub(1).ok_or("there is no such row")?;
        let start = self.starts.get(group).copied().unwrap_or_default();
        let end = self.starts.get(group + 1).copied().unwrap_or_default();
        if range.is_empty() || range.end > end {
            return Err("there is no such row".to_owned());
        }
        let wanted = (range.end - range.start) as usize;
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(
            self.file.clone(),
            self.metadata.clone(),
        )
        .with_row_groups(vec![group])
        .with_projection(mask)
        .with_batch_size(wanted);
        if range != (start..end) {
            builder = builder.with_row_selection(RowSelection::from(vec![
                RowSelector::skip((range.start - start) as usize),
                RowSelector::select(wanted),
            ]));
        }
        let batch = guarded(|| match builder.build()?.next() {
            Some(batch) => Ok(batch?),
            None => Err(ParquetError::EOF("the rows are missing".to_owned())),
        })?;
        if batch.num_rows() != wanted {
            return Err("rows are missing".to_owned());
        }
        Ok(batch)
    }

    /// Asks the system to read the pages of a block ahead, all at a time: they lie all over their row
    /// group. Advice alone: reading works without it.
    pub(crate) fn will_need(&self, row: u32) {
        let group = self
            .starts
            .partition_point(|start| *start <= row)
            .saturating_sub(1);
        let start = self.starts.get(group).copied().unwrap_or_default();
        let first = i64::from((row - start) / BLOCK_ROWS * BLOCK_ROWS);
        let rows = first..first + i64::from(BLOCK_ROWS);
        let metadata = self.metadata.metadata();
        let chunks = metadata
            .row_groups()
            .get(group)
            .map(|group| group.columns());
        let pages = metadata.offset_index().and_then(|index| index.get(group));
        let columns = chunks.unwrap_or_default().iter();
        for (chunk, pages) in columns.zip(pages.into_iter().flatten()) {
            let pages = pages.page_locations();
            let before = pages.partition_point(|page| page.first_row_index <= rows.start);
            let end = pages.partition_point(|page| page.first_row_index < rows.end);
            let wanted = pages.get(before.saturating_sub(1)..end).unwrap_or_default();
            let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else {
                continue;
            };
            let end = last.offset + i64::from(last.compressed_page_size);
            self.advise(first.offset, end);
            if let (Some(dictionary), Some(data)) = (chunk.dictionary_page_offset(), pages.first())
            {
                self.advise(dictionary, data.offset);
            }
        }
    }

    fn advise(&self, start: i64, end: i64) {
        let length = u64::try_from(end.saturating_sub(start)).unwrap_or_default();
        if let (Ok(start), Some(length)) = (u64::try_from(start), NonZeroU64::new(length)) {
            let _ = fadvise(&*self.file.file, start, Some(length), Advice::WillNeed);
        }
    }

    /// Makes the next reads come from the disk.
    pub(crate) fn drop_cached(&self) {
        let _ = fadvise(&*self.file.file, 0, None, Advice::DontNeed);
    }
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
struct FileReader {
    file: Arc<File>,
    length: u64,
}

/// Reads on from a position.
#[derive(Debug)]
struct FileCursor {
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
