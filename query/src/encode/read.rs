//! Reads the layer's own Arrow streams again, one batch at a time.

use std::{collections::VecDeque, io};

use arrow::ipc::reader::StreamReader;
use bytes::{Buf, Bytes};
use dataos_model::fault::Fault;

/// The batches of an encoded answer.
pub(crate) type Reader = StreamReader<Chunks>;

/// The batches of these chunks.
///
/// # Errors
/// They are no Arrow stream.
pub(crate) fn reader(chunks: Vec<Bytes>) -> Result<Reader, Fault> {
    StreamReader::try_new(Chunks(chunks.into()), None).map_err(unreadable)
}

/// An answer is not what the layer says it is.
pub(crate) fn unreadable(_: datafusion::arrow::error::ArrowError) -> Fault {
    Fault::internal("an answer that is no Arrow stream")
}

/// Chunks as one text; those that were read are let go.
#[derive(Debug)]
pub(crate) struct Chunks(VecDeque<Bytes>);

impl io::Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(chunk) = self.0.front_mut() {
            if chunk.is_empty() {
                self.0.pop_front();
                continue;
            }
            let count = chunk.len().min(buffer.len());
            if let Some(place) = buffer.get_mut(..count) {
                chunk.copy_to_slice(place);
            }
            return Ok(count);
        }
        Ok(0)
    }
}
