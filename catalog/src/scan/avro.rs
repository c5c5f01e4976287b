//! Avro: schema from the header. The rows of a file up to [`WHOLE_BYTES_MAX`] are counted by what its blocks say
//! to hold; none is unpacked.

use std::io::Read;

use dataos_avro::{HEADER_BYTES_MAX, Pieces};
use dataos_model::dataset::DatasetSchema;

use super::{csv::WHOLE_BYTES_MAX, files::part::Part};

/// Bytes that are taken at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// Schema, and row count if the file was read whole.
pub(super) fn read(part: &dyn Part) -> Result<(DatasetSchema, Option<u64>), String> {
    let is_whole = part.size()? <= WHOLE_BYTES_MAX;
    let end = if is_whole {
        WHOLE_BYTES_MAX
    } else {
        HEADER_BYTES_MAX as u64
    };
    let mut reader = part.read(0..end)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut pieces = Pieces::default();
    let header = loop {
        if let Some(header) = pieces.header().map_err(|problem| problem.to_string())? {
            break header;
        }
        if !fill(&mut pieces, &mut reader, &mut chunk)? {
            return Err("its header is cut off".to_owned());
        }
    };
    if !is_whole {
        return Ok((header.schema(), None));
    }
    let mut rows = 0_u64;
    loop {
        let block = pieces
            .block(&header)
            .map_err(|problem| problem.to_string())?;
        if let Some(block) = block {
            rows = rows.saturating_add(block.row_count);
        } else if !fill(&mut pieces, &mut reader, &mut chunk)? {
            pieces.end().map_err(|problem| problem.to_string())?;
            return Ok((header.schema(), Some(rows)));
        }
    }
}

/// Whether there was more.
fn fill(pieces: &mut Pieces, reader: &mut dyn Read, chunk: &mut [u8]) -> Result<bool, String> {
    let count = reader.read(chunk).map_err(|error| error.to_string())?;
    pieces.feed(chunk.get(..count).unwrap_or_default());
    Ok(count > 0)
}
