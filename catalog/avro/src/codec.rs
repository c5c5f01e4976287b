//! How blocks are packed. Of whatever size a block claims to be unpacked, no more than may be is made.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use crate::{
    Problem,
    pieces::{BLOCK_BYTES_MAX, TOO_LARGE},
    shown,
};

/// Bytes behind the end of a deflated block that are let be: some writers (fastavro) leave there what zlib writes
/// behind deflated bytes, a checksum, or most of it.
const DEFLATE_TAIL_BYTES_MAX: usize = 4;
/// Room that an inflated block gets first.
const UNPACKED_BYTES_MIN: usize = 64 << 10;
/// Of the checksum behind a block of Snappy.
const CHECKSUM_BYTES: usize = 4;

/// How the blocks of a file are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Null,
    Deflate,
    Snappy,
}

impl Codec {
    pub(crate) fn named(name: &[u8]) -> Result<Self, Problem> {
        match name {
            b"null" => Ok(Self::Null),
            b"deflate" => Ok(Self::Deflate),
            b"snappy" => Ok(Self::Snappy),
            other => Err(Problem::unsupported(format!(
                "its codec is `{}`, which is not read; write it with `null`, `deflate` or `snappy`",
                shown(&String::from_utf8_lossy(other))
            ))),
        }
    }

    /// The bytes as they were before they were packed.
    pub(crate) fn unpack(self, bytes: Vec<u8>) -> Result<Vec<u8>, Problem> {
        match self {
            Self::Null => Ok(bytes),
            Self::Deflate => inflated(&bytes),
            Self::Snappy => unsnapped(&bytes),
        }
    }
}

fn inflated(bytes: &[u8]) -> Result<Vec<u8>, Problem> {
    let wrong = || Problem::damaged("its deflated bytes are none, or are cut off");
    let mut inflate = Decompress::new(false);
    let mut unpacked = Vec::new();
    let mut rest = bytes;
    loop {
        if unpacked.len() == unpacked.capacity() {
            let more = unpacked.len().max(UNPACKED_BYTES_MIN);
            unpacked.reserve_exact(more.min(BLOCK_BYTES_MAX + 1 - unpacked.len()));
        }
        let before = (inflate.total_in(), inflate.total_out());
        let status = inflate.decompress_vec(rest, &mut unpacked, FlushDecompress::None);
        let status = status.map_err(|_| wrong())?;
        let read = usize::try_from(inflate.total_in() - before.0).map_err(|_| wrong())?;
        rest = rest.get(read..).ok_or_else(wrong)?;
        if unpacked.len() > BLOCK_BYTES_MAX {
            return Err(Problem::unsupported(TOO_LARGE));
        }
        if status == Status::StreamEnd {
            break;
        }
        if before == (inflate.total_in(), inflate.total_out()) {
            return Err(wrong());
        }
    }
    if rest.len() > DEFLATE_TAIL_BYTES_MAX {
        return Err(Problem::damaged(
            "bytes are left over behind its deflated ones",
        ));
    }
    Ok(unpacked)
}

fn unsnapped(bytes: &[u8]) -> Result<Vec<u8>, Problem> {
    let wrong = || Problem::damaged("its Snappy bytes are none");
    let (bytes, checksum) = bytes
        .split_last_chunk::<CHECKSUM_BYTES>()
        .ok_or_else(wrong)?;
    let length = snap::raw::decompress_len(bytes).map_err(|_| wrong())?;
    if length > BLOCK_BYTES_MAX {
        return Err(Problem::unsupported(TOO_LARGE));
    }
    let unpacked = snap::raw::Decoder::new().decompress_vec(bytes);
    let unpacked = unpacked.map_err(|_| wrong())?;
    let mut found = Crc::new();
    found.update(&unpacked);
    if found.sum().to_be_bytes() != *checksum {
        return Err(Problem::damaged("its checksum is another"));
    }
    Ok(unpacked)
}
