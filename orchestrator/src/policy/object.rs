//! Objects: addresses and tags to conditions on `resource`.

use dataos_model::{dataset::DatasetId, entity::EntityType, fault::Fault};

use super::cedar;
use crate::{
    fields::{Fields, wrong},
    yaml::Place,
};

/// What an address covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Every dataset of every depot.
    Everything,
    Depot(String),
    Collection(String, String),
    Dataset(DatasetId),
}

impl Reach {
    /// The condition, or nothing if everything is covered. Rows, cells and columns are in their
    /// dataset, datasets in their collection, collections in their depot.
    pub(super) fn condition(&self) -> Option<String> {
        let uid = match self {
            Self::Everything => return None,
            Self::Depot(depot) => EntityType::DEPOT.id(depot),
            Self::Collection(depot, collection) => {
                EntityType::COLLECTION.id(format!("{depot}:{collection}"))
            }
            Self::Dataset(dataset) => dataset.uid(),
        };
        Some(format!("resource in {}", cedar::entity(&uid)))
    }

    /// Depot, collection and dataset, as far as they are named.
    fn parts(&self) -> Vec<&str> {
        match self {
            Self::Everything => Vec::new(),
            Self::Depot(depot) => vec![depot],
            Self::Collection(depot, collection) => vec![depot, collection],
            Self::Dataset(id) => vec![&id.depot, &id.collection, &id.name],
        }
    }

    /// Whether every dataset of `other` is covered, too.
    pub(super) fn covers(&self, other: &Self) -> bool {
        other.parts().starts_with(&self.parts())
    }
}

const HINT: &str = "write dataos://depot:**, dataos://depot:collection/* or \
                    dataos://depot:collection/dataset; for a set of datasets, tag them and name the tag";

/// What a part of an address says.
enum Part<'a> {
    Any,
    Name(&'a str),
}

/// `*` and `**` alone stand for any name; a part with a wildcard among letters cannot be expressed.
fn part(text: &str) -> Option<Part<'_>> {
    match text {
        "*" | "**" => Some(Part::Any),
        "" => None,
        text if text.contains(['*', '?', '[', ' ', ':', '/', '%']) => None,
        text => Some(Part::Name(text)),
    }
}

fn reach_of(depot: &str, collection: &str, dataset: &str) -> Option<Reach> {
    match (part(depot)?, part(collection)?, part(dataset)?) {
        (Part::Any, Part::Any, Part::Any) => Some(Reach::Everything),
        (Part::Name(depot), Part::Any, Part::Any) => Some(Reach::Depot(depot.to_owned())),
        (Part::Name(depot), Part::Name(collection), Part::Any) => {
            Some(Reach::Collection(depot.to_owned(), collection.to_owned()))
        }
        (Part::Name(depot), Part::Name(collection), Part::Name(dataset)) => {
            Some(Reach::Dataset(DatasetId::new(depot, collection, dataset)))
        }
        _ => None,
    }
}

/// The reach of `dataos://depot:collection/dataset` with globs, or of `urn:dataos:depot:NAME`.
pub(super) fn address(text: &str, place: Place, field: &str) -> Result<Reach, Fault> {
    let refused = || {
        wrong(
            place,
            field,
            format!("the address `{text}` cannot be expressed"),
        )
        .with_hint(HINT)
    };
    if text.starts_with('/') {
        return Err(crate::fields::not_supported(wrong(
            place,
            field,
            format!("`{text}`: paths of the API in policies are recognised and not supported yet"),
        ))
        .with_hint("write a policy in Cedar on the actions of the API"));
    }
    if let Some(depot) = text.strip_prefix("urn:dataos:depot:") {
        return reach_of(depot, "*", "*")
            .filter(|r| *r != Reach::Everything)
            .ok_or_else(refused);
    }
    let Some(rest) = text.strip_prefix("dataos://") else {
        return Err(refused());
    };
    let path = rest.split('?').next().unwrap_or(rest).trim_end_matches('/');
    let reach = match path.split_once(':') {
        None if path == "**" => Some(Reach::Everything),
        // A `*` stays inside one part: alone behind a depot it covers collections, no dataset.
        None | Some((_, "*")) => None,
        Some((depot, "**")) => reach_of(depot, "*", "*"),
        Some((depot, rest)) => match rest.split_once('/') {
            None => reach_of(depot, rest, "*").filter(|_| !rest.contains('*')),
            Some((collection, dataset)) => reach_of(depot, collection, dataset),
        },
    };
    reach.ok_or_else(refused)
}

/// `depot`, `collection`, `dataset` of a data policy; what is not given is any.
pub(super) fn envelope(fields: &Fields<'_>) -> Result<Reach, Fault> {
    let depot = fields.text("depot")?.unwrap_or("*");
    let collection = fields.text("collection")?.unwrap_or("*");
    let dataset = fields.text("dataset")?.unwrap_or("*");
    // Some write the address of the depot.
    let depot = depot
        .strip_prefix("dataos://")
        .unwrap_or(depot)
        .trim_end_matches(':');
    reach_of(depot, collection, dataset).ok_or_else(|| {
        fields
            .fault(
                "dataset",
                format!("`{depot}` / `{collection}` / `{dataset}` cannot be expressed"),
            )
            .with_hint(
                "a part is a name or `*`, and behind a `*` only `*`; for a set of datasets, \
                        tag them",
            )
    })
}

/// The condition that one tag of an object stands for.
pub(super) fn tag_condition(tag: &str, place: Place, field: &str) -> Result<String, Fault> {
    if tag.is_empty() || tag.contains('*') {
        return Err(
            wrong(place, field, format!("the tag `{tag}` cannot be expressed")).with_hint(
                "name the tag; a tag covers what stands below it: `PII` covers `PII.email`",
            ),
        );
    }
    Ok(match tag.strip_prefix("dataos:workspace:") {
        Some(workspace) => {
            format!(
                "resource in {}",
                cedar::entity(&EntityType::WORKSPACE.id(workspace))
            )
        }
        None => format!("resource in {}", cedar::entity(&EntityType::TAG.id(tag))),
    })
}
