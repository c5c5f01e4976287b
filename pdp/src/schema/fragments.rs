//! The texts of a schema, ours and those beside it, read one by one and joined.
//!
//! Each namespace is declared in one file, none but ours declares `DataOS`, and nothing is declared
//! outside of a namespace: so no name can mean two things.

use std::collections::BTreeMap;

use cedar_policy::{Schema, SchemaError, SchemaFragment};
use dataos_model::{entity::NAMESPACE, hash::Hash};
use miette::Diagnostic;
use serde_json::{Map, Value as Json};

use super::{SCHEMA_BYTES_MAX, SCHEMA_FILE, too_deep};
use crate::{problem::Problem, scan::Bound};

/// Most files of schema fragments beside ours.
pub const SCHEMA_FRAGMENTS_MAX: usize = 64;
/// Sections of a namespace in Cedar's JSON form.
const SECTIONS: [&str; 3] = ["entityTypes", "actions", "commonTypes"];

/// The texts of a schema.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SchemaTexts<'a> {
    /// Of ours, in [`SCHEMA_FILE`].
    pub schema: &'a str,
    /// Of the fragments beside it, by file.
    pub fragments: &'a BTreeMap<String, String>,
}

impl<'a> SchemaTexts<'a> {
    /// Digest of all texts.
    pub(crate) fn hash(self) -> Hash {
        if self.fragments.is_empty() {
            return Hash::of(self.schema);
        }
        Hash::of_parts(self.all().flat_map(|(file, text)| [file, text]))
    }

    /// A copy of all texts by file.
    pub(super) fn owned(self) -> BTreeMap<String, String> {
        let owned = |(file, text): (&str, &str)| (file.to_owned(), text.to_owned());
        self.all().map(owned).collect()
    }

    fn all(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let fragments = self.fragments.iter();
        let fragments = fragments.map(|(file, text)| (file.as_str(), text.as_str()));
        std::iter::once((SCHEMA_FILE, self.schema)).chain(fragments)
    }

    /// Refuses what is too large to be read at all.
    pub(super) fn check_bounds(self) -> Result<(), Problem> {
        if self.fragments.len() > SCHEMA_FRAGMENTS_MAX {
            let message =
                format!("more than {SCHEMA_FRAGMENTS_MAX} schema files (SCHEMA_FRAGMENTS_MAX)");
            return Err(Problem::whole("policies", message));
        }
        for (file, text) in self.all() {
            if text.len() > SCHEMA_BYTES_MAX {
                let message = format!("longer than {SCHEMA_BYTES_MAX} bytes (SCHEMA_BYTES_MAX)");
                return Err(Problem::whole(file, message));
            }
            if let Some(at) = too_deep(text) {
                let message = Bound::Nesting.to_string();
                return Err(Problem::at(file, text, at, message));
            }
        }
        Ok(())
    }

    /// Reads and joins them.
    pub(super) fn join(self) -> Result<Joined, Problem> {
        let mut fragments = Vec::new();
        let mut document = Map::new();
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        for (file, text) in self.all() {
            let (fragment, _warnings) = SchemaFragment::from_cedarschema_str(text)
                .map_err(|error| Problem::diagnosed(file, text, 0, &error))?;
            let read = fragment.clone().to_json_value();
            let read = read.map_err(|error| Problem::diagnosed(file, text, 0, &error))?;
            let Json::Object(namespaces) = read else {
                return Err(Problem::whole(file, "the schema has no namespaces"));
            };
            for (namespace, declared) in namespaces {
                if is_empty(&declared) && namespace.is_empty() {
                    continue;
                }
                check_namespace(file, text, &namespace)?;
                if let Some(other) = files.insert(namespace.clone(), file.to_owned()) {
                    let message = format!("namespace `{namespace}` is declared in {other} already");
                    return Err(at_namespace(file, text, &namespace, message)
                        .with_hint("declare each namespace in one file"));
                }
                document.insert(namespace, declared);
            }
            fragments.push(fragment);
        }
        let schema = Schema::from_schema_fragments(fragments);
        Ok(Joined {
            schema: schema.map_err(|error| self.located(&error))?,
            document: Json::Object(document),
            files,
        })
    }

    /// An error of the joined schema, in the file that it is about.
    fn located(self, error: &SchemaError) -> Problem {
        let source = error.source_code();
        let is_in = |text: &str| {
            let span = (0, text.len()).into();
            let read = source.and_then(|source| source.read_span(&span, 0, 0).ok());
            read.is_some_and(|read| read.data() == text.as_bytes())
        };
        match self.all().find(|(_, text)| is_in(text)) {
            Some((file, text)) => Problem::diagnosed(file, text, 0, error),
            None => Problem::whole(SCHEMA_FILE, error.to_string()),
        }
    }
}

/// One schema out of several texts.
pub(super) struct Joined {
    pub(super) schema: Schema,
    /// In Cedar's JSON form, by namespace.
    pub(super) document: Json,
    /// The file of each namespace.
    pub(super) files: BTreeMap<String, String>,
}

fn is_empty(declared: &Json) -> bool {
    let is_empty = |section: &Json| section.as_object().is_none_or(Map::is_empty);
    let mut sections = SECTIONS.iter().filter_map(|name| declared.get(name));
    sections.all(is_empty)
}

fn check_namespace(file: &str, text: &str, namespace: &str) -> Result<(), Problem> {
    if namespace.is_empty() {
        let message = "a type or action outside of a namespace";
        return Err(Problem::whole(file, message).with_hint("put it into `namespace Name { ... }`"));
    }
    let inner = namespace.strip_prefix(NAMESPACE);
    let is_reserved = match inner {
        Some("") => file != SCHEMA_FILE,
        Some(rest) => rest.starts_with("::"),
        None => false,
    };
    if is_reserved {
        let message = format!("namespace `{namespace}` is reserved");
        return Err(at_namespace(file, text, namespace, message).with_hint(format!(
            "only {SCHEMA_FILE} declares `{NAMESPACE}`; name your own types in another namespace"
        )));
    }
    Ok(())
}

/// A problem where the namespace is declared.
fn at_namespace(file: &str, text: &str, namespace: &str, message: String) -> Problem {
    match text.find(&format!("namespace {namespace}")) {
        Some(at) => Problem::at(file, text, at, message),
        None => Problem::whole(file, message),
    }
}
