//! Where the pages of a sealed file lie: what its footer says, in a sixth of the memory, so that the
//! files of a large log stay open.

use std::{ops::Range, sync::Arc};

use parquet::{
    arrow::arrow_reader::RowGroups,
    basic::Compression,
    column::page::{PageIterator, PageReader},
    errors::{ParquetError, Result},
    file::{
        metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData},
        page_index::offset_index::PageLocation,
        serialized_reader::SerializedPageReader,
    },
};

use super::file::FileReader;

/// The pages of all row groups.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The footer without its row groups: the schema.
    metadata: ParquetMetaData,
    /// By row group, by column.
    groups: Vec<Vec<Chunk>>,
}

/// A column of a row group.
#[derive(Debug)]
struct Chunk {
    /// Where its first page lies, which is that of its dictionary if it has one.
    start: u64,
    length: u32,
    compression: Compression,
    /// The pages of its rows, one behind the other up to the end.
    pages: Box<[Page]>,
}

#[derive(Clone, Copy, Debug)]
struct Page {
    /// From the start of the column on.
    offset: u32,
    /// Of the row group.
    first_row: u32,
}

/// One row group, to read from.
pub(crate) struct GroupPages<'l> {
    layout: &'l Layout,
    chunks: &'l [Chunk],
    rows: usize,
    file: Arc<FileReader>,
}

/// The pages of one column.
struct ColumnPages(Option<Result<Box<dyn PageReader>>>);

impl Layout {
    /// What a footer says.
    pub(crate) fn of(metadata: &ParquetMetaData) -> Result<Self> {
        let bad = |why: &str| ParquetError::General(why.to_owned());
        let index = metadata.offset_index().into_iter().flatten();
        let groups = metadata.row_groups().iter().zip(index);
        let groups = groups.map(|(group, pages)| {
            let columns = group.columns().iter().zip(pages);
            let columns = columns.map(|(column, pages)| Chunk::of(column, pages.page_locations()));
            columns.collect::<Option<Vec<Chunk>>>()
        });
        let groups: Option<Vec<_>> = groups.collect();
        let groups = groups.ok_or_else(|| bad("its pages do not follow one another"))?;
        if groups.len() != metadata.num_row_groups() {
            return Err(bad("it has no index of pages"));
        }
        Ok(Self {
            metadata: ParquetMetaData::new(metadata.file_metadata().clone(), Vec::new()),
            groups,
        })
    }

    /// Where a row group begins.
    pub(crate) fn offset_of(&self, group: usize) -> u64 {
        let chunks = self.groups.get(group).into_iter().flatten();
        chunks.map(|chunk| chunk.start).min().unwrap_or_default()
    }

    /// The bytes that hold these ranges of rows of a row group: pages of each column, and dictionaries.
    pub(crate) fn pages_of(&self, group: usize, ranges: &[Range<u32>]) -> Vec<Range<u64>> {
        let mut bytes = Vec::new();
        for chunk in self.groups.get(group).into_iter().flatten() {
            let at = |page: usize| {
                let offset = chunk
                    .pages
                    .get(page)
                    .map_or(chunk.length, |page| page.offset);
                chunk.start + u64::from(offset)
            };
            bytes.push(chunk.start..at(0));
            for rows in ranges {
                let after = chunk
                    .pages
                    .partition_point(|page| page.first_row <= rows.start);
                let end = chunk
                    .pages
                    .partition_point(|page| page.first_row < rows.end);
                bytes.push(at(after.saturating_sub(1))..at(end));
            }
        }
        bytes.sort_unstable_by_key(|bytes| bytes.start);
        bytes.dedup_by(|next, last| {
            let follows = next.start <= last.end;
            if follows {
                last.end = last.end.max(next.end);
            }
            follows
        });
        bytes
    }
}

impl Chunk {
    /// None if its pages do not lie one behind the other.
    fn of(column: &ColumnChunkMetaData, locations: &[PageLocation]) -> Option<Self> {
        let (start, length) = column.byte_range();
        let mut pages = Vec::with_capacity(locations.len());
        let mut next = None;
        for location in locations {
            let offset = u64::try_from(location.offset).ok()?.checked_sub(start)?;
            next.is_none_or(|next| next == offset).then_some(())?;
            next = offset.checked_add(u64::try_from(location.compressed_page_size).ok()?);
            pages.push(Page {
                offset: u32::try_from(offset).ok()?,
                first_row: u32::try_from(location.first_row_index).ok()?,
            });
        }
        (next == Some(length)).then_some(())?;
        Some(Self {
            start,
            length: u32::try_from(length).ok()?,
            compression: column.compression(),
            pages: pages.into(),
        })
    }

    fn locations(&self) -> Vec<PageLocation> {
        let ends = self.pages.iter().skip(1).map(|page| page.offset);
        let pages = self.pages.iter().zip(ends.chain([self.length]));
        let locations = pages.map(|(page, end)| PageLocation {
            offset: i64::try_from(self.start + u64::from(page.offset)).unwrap_or(i64::MAX),
            compressed_page_size: i32::try_from(end.saturating_sub(page.offset))
                .unwrap_or(i32::MAX),
            first_row_index: i64::from(page.first_row),
        });
        locations.collect()
    }
}

impl<'l> GroupPages<'l> {
    pub(crate) fn new(
        layout: &'l Layout,
        group: usize,
        rows: usize,
        file: &FileReader,
    ) -> Result<Self> {
        let chunks = layout.groups.get(group);
        let chunks =
            chunks.ok_or_else(|| ParquetError::EOF("there is no such row group".to_owned()))?;
        let file = Arc::new(file.clone());
        Ok(Self {
            layout,
            chunks,
            rows,
            file,
        })
    }
}

impl RowGroups for GroupPages<'_> {
    fn num_rows(&self) -> usize {
        self.rows
    }

    fn column_chunks(&self, column: usize) -> Result<Box<dyn PageIterator>> {
        let schema = self.layout.metadata.file_metadata().schema_descr();
        let missing = || ParquetError::EOF("there is no such column".to_owned());
        let chunk = self.chunks.get(column).ok_or_else(missing)?;
        let known = ColumnChunkMetaData::builder(schema.column(column))
            .set_compression(chunk.compression)
            .set_data_page_offset(i64::try_from(chunk.start).unwrap_or(i64::MAX))
            .set_total_compressed_size(i64::from(chunk.length))
            .build()?;
        let (file, locations) = (Arc::clone(&self.file), chunk.locations());
        let pages = SerializedPageReader::new(file, &known, self.rows, Some(locations))?;
        Ok(Box::new(ColumnPages(Some(Ok(Box::new(pages))))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(self.layout.metadata.row_groups().iter())
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.layout.metadata
    }
}

impl Iterator for ColumnPages {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take()
    }
}

impl PageIterator for ColumnPages {}
