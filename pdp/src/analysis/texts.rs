//! The texts of a policies folder, as they are on disk, in a revision or in a request body.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use dataos_model::fault::{Fault, Location};

use crate::{
    entity_files::is_entity_file,
    folder::{FOLDER_DEPTH_MAX, Folder, is_fragment},
    schema::SchemaTexts,
};

use super::case::TEST_BYTES_MAX;

/// Folder of the test files within the policies folder.
pub const TESTS_FOLDER: &str = "tests";
/// Most test files.
pub const TESTS_MAX: usize = 1_000;

/// All texts of one policies folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// Text of the schema.
    pub schema: String,
    /// Texts of the other `.cedarschema` files by path within the folder.
    pub fragments: BTreeMap<String, String>,
    /// Texts of the `.cedar` files by path within the folder.
    pub files: BTreeMap<String, String>,
    /// Texts of the entity files by path within the folder.
    pub entities: BTreeMap<String, String>,
    /// Texts of the test files by path within the folder.
    pub tests: BTreeMap<String, String>,
}

impl Texts {
    /// Reads a folder.
    ///
    /// # Errors
    /// A file that cannot be read, or a bound.
    pub fn read(folder: &Path) -> Result<Self, Fault> {
        let Folder {
            schema,
            fragments,
            files,
            entities,
        } = Folder::read(folder)?;
        Ok(Self {
            schema,
            fragments,
            files,
            entities,
            tests: read_tests(folder)?,
        })
    }

    /// The texts of the schema.
    pub(super) fn schema_texts(&self) -> SchemaTexts<'_> {
        SchemaTexts {
            schema: &self.schema,
            fragments: &self.fragments,
        }
    }

    /// Whether a path within the folder is that of a schema with types and actions of one's own.
    pub fn is_fragment(path: &str) -> bool {
        is_fragment(path)
    }

    /// Whether a path within the folder is that of a file with entities of one's own types.
    pub fn is_entities(path: &str) -> bool {
        is_entity_file(path)
    }

    /// Whether a path within the folder is that of a test file.
    pub fn is_test(path: &str) -> bool {
        let inner = path.strip_prefix(TESTS_FOLDER);
        let is_yaml = [".yaml", ".yml"].iter().any(|end| path.ends_with(end));
        inner.is_some_and(|inner| inner.starts_with('/')) && is_yaml
    }
}

fn read_tests(folder: &Path) -> Result<BTreeMap<String, String>, Fault> {
    let mut tests = BTreeMap::new();
    let mut waiting: Vec<(PathBuf, String, usize)> =
        vec![(folder.join(TESTS_FOLDER), format!("{TESTS_FOLDER}/"), 0)];
    while let Some((path, prefix, depth)) = waiting.pop() {
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && depth == 0 => break,
            entries => entries.map_err(|error| unreadable(&prefix, &error.to_string()))?,
        };
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(&prefix, &error.to_string()))?;
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
                continue;
            };
            let inner = format!("{prefix}{name}");
            if entry.path().is_dir() {
                if depth >= FOLDER_DEPTH_MAX {
                    let problem =
                        format!("folders nested deeper than {FOLDER_DEPTH_MAX} (FOLDER_DEPTH_MAX)");
                    return Err(unreadable(&inner, &problem));
                }
                waiting.push((entry.path(), format!("{inner}/"), depth + 1));
            } else if Texts::is_test(&inner) {
                let text = read_test(&entry.path(), &inner)?;
                tests.insert(inner, text);
            }
            if tests.len() > TESTS_MAX {
                let problem = format!("more than {TESTS_MAX} files (TESTS_MAX)");
                return Err(unreadable(&prefix, &problem));
            }
        }
    }
    Ok(tests)
}

fn read_test(path: &Path, name: &str) -> Result<String, Fault> {
    let failed = |error: io::Error| unreadable(name, &error.to_string());
    if fs::metadata(path).map_err(failed)?.len() > TEST_BYTES_MAX as u64 {
        let problem = format!("longer than {TEST_BYTES_MAX} bytes (TEST_BYTES_MAX)");
        return Err(unreadable(name, &problem));
    }
    fs::read_to_string(path).map_err(failed)
}

fn unreadable(name: &str, problem: &str) -> Fault {
    Fault::invalid(problem).at(Location {
        file: Some(name.to_owned()),
        ..Location::default()
    })
}
