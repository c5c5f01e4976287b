//! Several evaluations in one request.

use dataos_model::{
    fault::{Fault, FaultKind},
    vocabulary::Vocabulary,
};
use serde_json::Value as Json;

use super::{
    EVALUATIONS_MAX,
    names::at,
    wire::{Evaluation, Parts, body, object, text},
};

/// When to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Semantic {
    /// Never.
    #[default]
    ExecuteAll,
    /// Behind the first item that is denied or cannot be evaluated.
    DenyOnFirstDeny,
    /// Behind the first item that is permitted.
    PermitOnFirstPermit,
}

impl Semantic {
    const ALL: [(&'static str, Self); 3] = [
        ("execute_all", Self::ExecuteAll),
        ("deny_on_first_deny", Self::DenyOnFirstDeny),
        ("permit_on_first_permit", Self::PermitOnFirstPermit),
    ];

    /// Whether an item with this outcome is the last one to be answered.
    pub fn stops_at(self, is_permitted: bool) -> bool {
        match self {
            Self::ExecuteAll => false,
            Self::DenyOnFirstDeny => !is_permitted,
            Self::PermitOnFirstPermit => is_permitted,
        }
    }
}

/// The body of a request for several evaluations.
#[derive(Clone, Debug, PartialEq)]
pub enum Evaluations {
    /// There is no list, or an empty one: as a single evaluation.
    Single(Box<Evaluation>),
    /// The items in order; one that is not complete is an error of its own.
    Several(Vec<Result<Evaluation, Fault>>, Semantic),
}

impl Evaluations {
    /// Reads the body.
    ///
    /// # Errors
    /// What concerns the request as a whole: malformed JSON, a bound exceeded, a field of another
    /// type at the top, an unknown semantic.
    pub fn read(bytes: &[u8], vocabulary: &Vocabulary) -> Result<Self, Fault> {
        let fields = body(bytes)?;
        let defaults = Parts::read(&fields)?;
        let semantic = semantic(object(&fields, "options", "options")?)?;
        let items = match fields.get("evaluations") {
            None | Some(Json::Null) => &[],
            Some(Json::Array(items)) => items.as_slice(),
            Some(_) => {
                return Err(Fault::invalid("`evaluations` is not a list").at(at("evaluations")));
            }
        };
        if items.is_empty() {
            return Ok(Self::Single(Box::new(defaults.complete(vocabulary)?)));
        }
        if items.len() > EVALUATIONS_MAX {
            let message = format!("`evaluations` has more than {EVALUATIONS_MAX} items");
            return Err(Fault::new(FaultKind::TooLarge, message).at(at("evaluations")));
        }
        let items = items.iter().enumerate().map(|(index, item)| {
            let read = match item {
                Json::Object(fields) => Parts::read(fields),
                _ => Err(Fault::invalid("the item is not an object")),
            };
            read.and_then(|parts| parts.or(&defaults).complete(vocabulary))
                .map_err(|fault| inside(fault, index))
        });
        Ok(Self::Several(items.collect(), semantic))
    }
}

/// The fault with its place counted from the top of the body.
fn inside(mut fault: Fault, index: usize) -> Fault {
    let inner = fault.location.take().and_then(|location| location.field);
    let path = match inner {
        Some(field) => format!("evaluations[{index}].{field}"),
        None => format!("evaluations[{index}]"),
    };
    fault.at(at(path))
}

fn semantic(options: Option<super::wire::Fields>) -> Result<Semantic, Fault> {
    const PATH: &str = "options.evaluations_semantic";
    let Some(options) = options else {
        return Ok(Semantic::default());
    };
    let Some(name) = text(&options, "evaluations_semantic", PATH)? else {
        return Ok(Semantic::default());
    };
    let found = Semantic::ALL.iter().find(|(known, _)| *known == name);
    found.map(|(_, semantic)| *semantic).ok_or_else(|| {
        let known = Semantic::ALL.map(|(known, _)| known).join(", ");
        Fault::invalid(format!("`{name}` is no semantic of evaluations"))
            .at(at(PATH))
            .with_hint(format!("one of {known}"))
    })
}
