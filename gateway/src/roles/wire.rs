//! Values and answers as bytes: gRPC messages around the model's own types in the form of postcard.

use bytes::{Bytes, BytesMut};
use dataos_model::fault::{Fault, FaultKind};
use serde::{Serialize, de::DeserializeOwned};

/// The messages, generated from `proto/dataos/role/v1/role.proto`; a test keeps them fresh.
#[expect(unreachable_pub, reason = "as prost-build makes it")]
pub(super) mod messages {
    include!("wire/dataos.role.v1.rs");
}

use messages::{Piece, piece::Kind};

/// The form of all that is said here. Who speaks another one is refused.
pub const VERSION: &str = env!("DATAOS_WIRE");
/// The header of a call that names it.
pub(super) const VERSION_HEADER: &str = "dataos-wire";
/// Most bytes of the arguments of a call.
pub(super) const CALL_BYTES_MAX: usize = 256 << 20;
/// Most bytes of an answer, all pieces together.
pub(super) const ANSWER_BYTES_MAX: usize = 256 << 20;
/// Most bytes of a piece, so that little waits in buffers.
const PIECE_BYTES_MAX: usize = 256 << 10;
/// Most bytes of a message: a piece and what is around it.
pub(super) const MESSAGE_BYTES_MAX: usize = PIECE_BYTES_MAX + 64;

/// A value as bytes.
///
/// # Errors
/// A value that has no such form, such as a path that is not UTF-8.
pub(super) fn written(value: &impl Serialize) -> Result<Bytes, Fault> {
    let bytes = postcard::to_allocvec(value);
    bytes.map(Bytes::from).map_err(|error| {
        Fault::internal(format!("a value cannot be sent to another role: {error}"))
    })
}

/// The value that bytes are, whole.
///
/// # Errors
/// Bytes that are no such value, or more than one.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    let malformed = |problem: String| {
        Fault::internal(format!("what another role sent is malformed: {problem}"))
    };
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(malformed(format!("{} bytes too many", rest.len()))),
        Err(error) => Err(malformed(error.to_string())),
    }
}

/// What a call is answered with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    value: Bytes,
    pub(super) rows: Vec<Bytes>,
}

impl Answer {
    /// A value.
    pub(super) fn of(value: &impl Serialize) -> Result<Self, Fault> {
        let value = written(value)?;
        let rows = Vec::new();
        Ok(Self { value, rows })
    }

    /// The value.
    pub(super) fn value<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        read(&self.value)
    }
}

/// The messages of an answer, each made when it is sent.
pub(super) fn pieces(outcome: Result<Answer, Fault>) -> impl Iterator<Item = Piece> + Send {
    let (answer, fault) = match outcome.and_then(checked) {
        Ok(answer) => (Some(answer), None),
        // A fault always has a form; an empty one is told by the reader.
        Err(fault) => (None, Some(Kind::Fault(written(&fault).unwrap_or_default()))),
    };
    let answer = answer.into_iter().flat_map(|answer| {
        // An empty value is a piece too, so that an answer is never nothing.
        let first = answer.value.is_empty().then(|| Kind::Value(Bytes::new()));
        let value = slices(answer.value).map(Kind::Value);
        let rows = answer.rows.into_iter().flat_map(slices).map(Kind::Rows);
        first.into_iter().chain(value).chain(rows)
    });
    let kinds = fault.into_iter().chain(answer);
    kinds.map(|kind| Piece { kind: Some(kind) })
}

fn checked(answer: Answer) -> Result<Answer, Fault> {
    let rows: usize = answer.rows.iter().map(Bytes::len).sum();
    if answer.value.len() + rows <= ANSWER_BYTES_MAX {
        return Ok(answer);
    }
    Err(too_large())
}

fn too_large() -> Fault {
    let message = format!("an answer between roles is above {ANSWER_BYTES_MAX} bytes");
    Fault::new(FaultKind::TooLarge, message)
}

fn slices(mut bytes: Bytes) -> impl Iterator<Item = Bytes> + Send {
    std::iter::from_fn(move || {
        let length = bytes.len().min(PIECE_BYTES_MAX);
        (length > 0).then(|| bytes.split_to(length))
    })
}

/// An answer as it arrives.
#[derive(Debug, Default)]
pub(super) struct Arriving {
    value: Option<BytesMut>,
    rows: Vec<Bytes>,
    bytes: usize,
}

impl Arriving {
    /// Takes the next piece.
    ///
    /// # Errors
    /// The callee's fault, pieces out of order, or more of them than there may be.
    pub(super) fn take(&mut self, piece: Piece) -> Result<(), Fault> {
        let out_of_order = || Fault::internal("pieces of an answer arrived out of order");
        match piece.kind {
            Some(Kind::Value(part)) if self.rows.is_empty() => {
                self.bytes += part.len();
                self.value.get_or_insert_default().extend_from_slice(&part);
            }
            Some(Kind::Rows(part)) if self.value.is_some() => {
                self.bytes += part.len();
                self.rows.push(part);
            }
            Some(Kind::Fault(fault)) if self.value.is_none() => {
                return Err(read(&fault).unwrap_or_else(|malformed| malformed));
            }
            _ => return Err(out_of_order()),
        }
        if self.bytes > ANSWER_BYTES_MAX {
            return Err(too_large());
        }
        Ok(())
    }

    /// The whole answer.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn whole(self) -> Result<Answer, Fault> {
        let value = self
            .value
            .ok_or_else(|| Fault::internal("an answer without a value"))?;
        let (value, rows) = (value.freeze(), self.rows);
        Ok(Answer { value, rows })
    }
}

#[cfg(test)]
mod tests;
