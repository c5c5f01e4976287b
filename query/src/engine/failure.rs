//! What the caller hears when the engine fails.
//!
//! Engine texts can quote values of hidden rows. So a failure becomes one of a few sentences by its
//! class; the engine's own text goes to nobody unless the caller sees every table as it is.

use std::{error::Error, fmt, io, panic::AssertUnwindSafe};

use datafusion::{
    arrow::error::ArrowError,
    common::{DataFusionError, SchemaError},
};
use dataos_model::fault::{Fault, FaultKind};
use futures::FutureExt as _;

/// A fault of ours on its way through the engine.
#[derive(Debug)]
pub(crate) struct Raised(pub(crate) Fault);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Raised {}

/// What the engine says, and so what we say to it, of a query as a value that has more than one row.
pub(super) const MANY_ROWS: &str = "Scalar subquery returned more than one row";

/// Wraps a fault so that [`fault`] finds it again.
pub(crate) fn raised(fault: Fault) -> DataFusionError {
    DataFusionError::External(Box::new(Raised(fault)))
}

/// Whether engine texts may be shown: only if nothing of the statement's tables is hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// The caller sees every table of the statement as it is.
    Shown,
    /// Something is filtered or masked.
    Hidden,
    /// Something is read with the rights of others: what our own faults name is hidden too.
    Lent,
}

/// A fault of what a view reads, without a word of what that is.
pub(crate) fn unnamed(fault: &Fault) -> Fault {
    tracing::info!(%fault, "a statement failed on what a view reads with its definer's rights");
    Fault::new(
        fault.kind,
        "what a view of the statement reads cannot be read",
    )
    .with_reason(&fault.reason)
    .with_hint("ask the owner of the view to read it; the log of the server says why")
}

/// What work gives, or a fault where it panics: an engine that breaks off takes no connection along, on which
/// there may be more than this statement.
pub(crate) async fn unbroken<T>(work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    done.unwrap_or_else(|_| {
        let message = "the engine broke off; the log of the server says where";
        Err(Fault::internal(message))
    })
}

/// The fault that a failure of the engine becomes.
pub(crate) fn fault(error: &DataFusionError, detail: Detail) -> Fault {
    match (ours(error), detail) {
        (Some(fault), Detail::Shown | Detail::Hidden) => return fault.clone(),
        (Some(fault), Detail::Lent) => return unnamed(fault),
        (None, _) => {}
    }
    let root = error.find_root();
    match root {
        DataFusionError::ResourcesExhausted(_) => Fault::new(
            FaultKind::TooLarge,
            "the query needs more memory than a query may use",
        )
        .with_reason("memory_limit")
        .with_hint("read fewer rows or columns, or group by fewer keys"),
        DataFusionError::ArrowError(arrow, _) => arrow_fault(arrow),
        DataFusionError::NotImplemented(_) => {
            let hint = "write a query that names columns from outside as a join";
            detailed(not_planned().with_hint(hint), root, detail)
        }
        // It calls parts by their text, without the queries in them.
        DataFusionError::SchemaError(schema, _) if is_duplicate(schema) => {
            let hint = "compute each query once, in FROM, and name its column in the others' place";
            detailed(not_planned().with_hint(hint), root, detail)
        }
        DataFusionError::Plan(_) | DataFusionError::SchemaError(_, _) => {
            let fault = Fault::invalid("the statement does not fit the types of the columns")
                .with_reason("types")
                .with_hint("check operators and arguments, and add CASTs where types differ");
            detailed(fault, root, detail)
        }
        DataFusionError::Execution(text) if text.to_lowercase().contains("overflow") => overflow(),
        DataFusionError::Execution(text) if text == MANY_ROWS => {
            Fault::invalid("a query that stands for a value answered more than one row")
                .with_reason("many_rows")
                .with_hint("let it answer one: by an aggregate, a narrower condition or LIMIT 1")
        }
        DataFusionError::Execution(_) => {
            Fault::invalid("an expression of the statement failed on a value")
                .with_reason("evaluation")
                .with_hint("guard it with CASE or use TRY_CAST")
        }
        DataFusionError::ObjectStore(_)
        | DataFusionError::IoError(_)
        | DataFusionError::ParquetError(_) => {
            Fault::unavailable("the files of a dataset cannot be read")
                .with_reason("source")
                .with_hint("check that the depot's files are there and whole, then scan it again")
        }
        _ => Fault::internal("the engine failed"),
    }
}

/// A fault of ours behind an error, through whatever library it went. What an error of I/O was made of is not
/// its source.
pub(crate) fn ours(error: &DataFusionError) -> Option<&Fault> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(Raised(fault)) = error.downcast_ref() {
            return Some(fault);
        }
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        cause = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// The fault, with the engine's own words if they may be shown.
fn detailed(fault: Fault, error: &DataFusionError, detail: Detail) -> Fault {
    match detail {
        Detail::Shown => Fault {
            message: first_line(error),
            ..fault
        },
        Detail::Hidden | Detail::Lent => fault,
    }
}

fn not_planned() -> Fault {
    let message = "the engine has no plan for this form of the statement";
    Fault::new(FaultKind::Unsupported, message).with_reason("not_planned")
}

/// Whether two parts of a plan have one name.
fn is_duplicate(error: &SchemaError) -> bool {
    match error {
        SchemaError::DuplicateQualifiedField { .. }
        | SchemaError::DuplicateUnqualifiedField { .. } => true,
        SchemaError::AmbiguousReference { .. } | SchemaError::FieldNotFound { .. } => false,
    }
}

fn arrow_fault(error: &ArrowError) -> Fault {
    match error {
        ArrowError::DivideByZero => Fault::invalid("division by zero")
            .with_reason("division_by_zero")
            .with_hint("guard the divisor, such as x / NULLIF(y, 0)"),
        ArrowError::ArithmeticOverflow(_) => overflow(),
        ArrowError::CastError(_) => Fault::invalid("a value cannot be converted")
            .with_reason("conversion")
            .with_hint("use TRY_CAST, which gives NULL instead"),
        ArrowError::ParseError(_)
        | ArrowError::CsvError(_)
        | ArrowError::JsonError(_)
        | ArrowError::ParquetError(_)
        | ArrowError::IoError(_, _) => {
            Fault::unavailable("a value cannot be read as the type of its column")
                .with_reason("conversion")
                .with_hint("check the literals and casts of the statement, or scan the depot again")
        }
        _ => Fault::invalid("an expression of the statement failed on a value")
            .with_reason("evaluation")
            .with_hint("guard it with CASE or use TRY_CAST"),
    }
}

fn overflow() -> Fault {
    Fault::invalid("a number is too large for its type")
        .with_reason("overflow")
        .with_hint("cast the operands to a wider type first")
}

fn first_line(error: &DataFusionError) -> String {
    error
        .strip_backtrace()
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(400)
        .collect()
}
