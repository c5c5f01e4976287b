//! Writing the Parquet file of a pack, in one pass with bounded memory.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Schema},
};
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, Encoding, ZstdLevel},
    file::properties::{EnabledStatistics, WriterProperties},
    schema::types::ColumnPath,
};

use super::{BLOCK_ROWS, ROW_GROUP_ROWS};
use crate::disk::Disk;

/// Written bytes are synced in pieces of this size, so that a sync of entries never waits behind a
/// whole file.
const SYNC_BYTES: u64 = 1024 * 1024;

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
    let zstd = Compression::ZSTD(ZstdLevel::try_new(1)?);
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
