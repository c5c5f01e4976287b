//! Avro object container files: bytes go in as they come, columns of the catalog's types come out.
//!
//! ```text
//! bytes -> Pieces -> Header (columns, codec, sync marker), then Blocks -> Rows -> record batches
//! ```
//!
//! There is no I/O here. Nothing that a file claims is believed before it is there: lengths are held against what
//! lies behind them, memory is bounded by the constants of `pieces`, `schema` and `rows`, and recursion by the
//! depth of the schema, which may not hold itself. A file ends between two blocks or it is refused.
//!
//! Why not `arrow-avro`, which arrow has: its reader of container files takes a whole block, and inflates it, of
//! whatever size that is; its decoder without files takes framed messages alone; and it would bring the types of
//! Avro here and not those of the catalog. What is left to write is small, and columns that nobody asks for are
//! passed over without being made.

mod wire;

mod schema;

mod reading;

mod pieces;

mod codec;

mod rows;

#[cfg(feature = "test-writer")]
pub mod test_writer;

pub use pieces::{Block, HEADER_BYTES_MAX, Header, Pieces};
pub use rows::Rows;

/// Why a file is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is not what the format says; it may be cut off.
    #[error("{0}")]
    Damaged(String),
    /// It may be right, and is not read here.
    #[error("{0}")]
    Unsupported(String),
}

impl Problem {
    fn damaged(text: impl Into<String>) -> Self {
        Self::Damaged(text.into())
    }

    fn unsupported(text: impl Into<String>) -> Self {
        Self::Unsupported(text.into())
    }

    /// The same, of a place in the file.
    fn at(self, place: &str) -> Self {
        match self {
            Self::Damaged(text) => Self::Damaged(format!("{place}: {text}")),
            Self::Unsupported(text) => Self::Unsupported(format!("{place}: {text}")),
        }
    }
}

/// A name out of a file, for messages.
fn shown(name: &str) -> String {
    /// Longest name in a message.
    const CHARACTERS_MAX: usize = 100;
    name.escape_debug().take(CHARACTERS_MAX).collect()
}
