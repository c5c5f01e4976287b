//! The pieces of a file: its header, then blocks of rows, each behind its size and before the sync marker.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use dataos_model::dataset::DatasetSchema;

use crate::{
    Problem,
    codec::Codec,
    reading,
    schema::{self, Field},
    wire::{Cursor, Stop},
};

const MAGIC: &[u8] = b"Obj\x01";
const SYNC_BYTES: usize = 16;
/// Longest header: ten thousand columns and their descriptions stay below it.
pub const HEADER_BYTES_MAX: usize = 2 << 20;
/// Largest block, as it lies in the file and as it is unpacked. Writers end one after 16 kB to some MB.
pub(crate) const BLOCK_BYTES_MAX: usize = 16 << 20;

/// What a file says of itself.
#[derive(Clone, Debug)]
pub struct Header {
    pub(crate) fields: Arc<[Field]>,
    pub(crate) codec: Codec,
    sync: [u8; SYNC_BYTES],
}

impl Header {
    /// The columns, as the catalog has them; `Other` is one that is not read.
    pub fn schema(&self) -> DatasetSchema {
        reading::dataset_schema(&self.fields)
    }

    /// The columns in the form that their values are read in; `Null` is one that is not read.
    pub fn arrow_schema(&self) -> SchemaRef {
        reading::arrow_schema(&self.fields)
    }
}

/// Some rows of a file.
#[derive(Clone, Debug)]
pub struct Block {
    /// How many rows it says to hold. Believed only when they have been read.
    pub row_count: u64,
    /// From 1 on.
    pub(crate) number: u64,
    /// As they lie in the file.
    pub(crate) bytes: Vec<u8>,
}

/// Bytes of a file in their order, given as they come, and what has been taken of them.
#[derive(Debug, Default)]
pub struct Pieces {
    bytes: Vec<u8>,
    /// So many of them are done with.
    taken: usize,
    metadata: Metadata,
    /// Blocks so far.
    blocks: u64,
}

impl Pieces {
    /// Adds bytes. Give more only when there is no piece in what is there.
    pub fn feed(&mut self, bytes: &[u8]) {
        // A header is kept whole, since its length is bounded as a whole.
        if matches!(self.metadata.next, Next::Magic) && self.taken > 0 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The header, which comes first, once it is there.
    ///
    /// # Errors
    /// What no header of a file in this format is, or one with columns or a codec that are not read.
    pub fn header(&mut self) -> Result<Option<Header>, Problem> {
        let all = self.bytes.get(..HEADER_BYTES_MAX).unwrap_or(&self.bytes);
        loop {
            let mut cursor = Cursor::new(all.get(self.taken..).unwrap_or_default());
            let step = self.metadata.step(&mut cursor);
            match step {
                Ok(()) => self.taken = all.len() - cursor.left(),
                Err(Stop::Short) if all.len() < HEADER_BYTES_MAX => return Ok(None),
                Err(Stop::Short) => {
                    let text = format!("its header is longer than {HEADER_BYTES_MAX} bytes");
                    return Err(Problem::unsupported(text));
                }
                Err(stop) => return Err(Problem::from(stop).at("its header")),
            }
            if let Next::Blocks(sync) = self.metadata.next {
                return std::mem::take(&mut self.metadata).header(sync).map(Some);
            }
        }
    }

    /// The next block, once it is there whole.
    ///
    /// # Errors
    /// What is no block, or is too large.
    pub fn block(&mut self, header: &Header) -> Result<Option<Block>, Problem> {
        let rest = self.bytes.get(self.taken..).unwrap_or_default();
        let mut cursor = Cursor::new(rest);
        match block(&mut cursor, header) {
            Ok((row_count, bytes)) => {
                self.taken += rest.len() - cursor.left();
                self.blocks += 1;
                Ok(Some(Block {
                    row_count,
                    number: self.blocks,
                    bytes: bytes.to_owned(),
                }))
            }
            Err(Stop::Short) => Ok(None),
            Err(stop) => Err(Problem::from(stop).at(&format!("block {}", self.blocks + 1))),
        }
    }

    /// To be asked where the bytes end.
    ///
    /// # Errors
    /// They end within a piece.
    pub fn end(&self) -> Result<(), Problem> {
        match self.bytes.len() - self.taken {
            0 => Ok(()),
            left => Err(Problem::damaged(format!(
                "it is cut off: {left} bytes behind block {} are no whole block",
                self.blocks
            ))),
        }
    }
}

/// What of the metadata matters here, as far as it is there.
#[derive(Debug, Default)]
struct Metadata {
    codec: Option<Vec<u8>>,
    schema: Option<Vec<u8>>,
    next: Next,
}

/// What comes next in a header. Each is looked at once, in whatever pieces a header comes.
#[derive(Clone, Copy, Debug, Default)]
enum Next {
    #[default]
    Magic,
    /// A number of entries.
    Count,
    /// So many entries.
    Entries(u64),
    Sync,
    /// Nothing: the sync marker was the last of it.
    Blocks([u8; SYNC_BYTES]),
}

impl Metadata {
    fn step(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        self.next = match self.next {
            Next::Magic => {
                // Byte by byte, so that a short file of another format is not taken for one that is cut off.
                for expected in MAGIC {
                    let [byte] = cursor.array()?;
                    if byte != *expected {
                        return Err(Stop::Malformed("an Avro file does not begin so"));
                    }
                }
                Next::Count
            }
            Next::Entries(left @ 1..) => {
                self.entry(cursor.bytes()?, cursor.bytes()?)?;
                Next::Entries(left - 1)
            }
            Next::Count | Next::Entries(_) => match cursor.items()? {
                0 => Next::Sync,
                count => Next::Entries(count),
            },
            Next::Sync => Next::Blocks(cursor.array()?),
            Next::Blocks(sync) => Next::Blocks(sync),
        };
        Ok(())
    }

    fn entry(&mut self, key: &[u8], value: &[u8]) -> Result<(), Stop> {
        let place = match key {
            b"avro.codec" => &mut self.codec,
            b"avro.schema" => &mut self.schema,
            _ => return Ok(()),
        };
        match place.replace(value.to_owned()) {
            None => Ok(()),
            Some(_) => Err(Stop::Malformed("codec or schema is there twice")),
        }
    }

    fn header(self, sync: [u8; SYNC_BYTES]) -> Result<Header, Problem> {
        let codec = Codec::named(self.codec.as_deref().unwrap_or(b"null"))?;
        let missing = || Problem::damaged("its header has no schema");
        let schema = self.schema.ok_or_else(missing)?;
        Ok(Header {
            fields: schema::parse(&schema)?.into(),
            codec,
            sync,
        })
    }
}

/// Count and bytes.
fn block<'a>(cursor: &mut Cursor<'a>, header: &Header) -> Result<(u64, &'a [u8]), Stop> {
    let (row_count, size) = (cursor.long()?, cursor.long()?);
    let row_count =
        u64::try_from(row_count).map_err(|_| Stop::Malformed("a negative number of rows"))?;
    let size = usize::try_from(size).map_err(|_| Stop::Malformed("a negative size"))?;
    if size > BLOCK_BYTES_MAX {
        return Err(Stop::TooLarge(TOO_LARGE));
    }
    // Each row takes a byte at least.
    if row_count > BLOCK_BYTES_MAX as u64 {
        return Err(Stop::Malformed("more rows than it can hold"));
    }
    let bytes = cursor.take(size)?;
    // Byte by byte, so that a wrong marker is one also at the end of a file.
    for expected in header.sync {
        let [byte] = cursor.array()?;
        if byte != expected {
            return Err(Stop::Malformed(
                "the sync marker behind it is another than the file's",
            ));
        }
    }
    Ok((row_count, bytes))
}

/// Of a block.
pub(crate) const TOO_LARGE: &str = "it is larger than 16 MiB; write the file with smaller blocks";
