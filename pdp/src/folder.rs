//! The policies folder: `schema.cedarschema`, other `*.cedarschema` files with types and actions of
//! one's own, `entities/*.json` with their entities, and `*.cedar` files in folders by subject.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    entity_files::is_entity_file,
    problem::Problem,
    scan::TEXT_BYTES_MAX,
    schema::{SCHEMA_FILE, SchemaTexts},
};

/// Most files in a folder.
pub const FILES_MAX: usize = 10_000;
/// Deepest nesting of folders.
pub const FOLDER_DEPTH_MAX: usize = 8;

/// The texts of a folder, read once.
#[derive(Debug)]
pub(crate) struct Folder {
    /// Text of the schema.
    pub schema: String,
    /// Texts of the other `.cedarschema` files by path within the folder, with `/`.
    pub fragments: BTreeMap<String, String>,
    /// Texts of the `.cedar` files by path within the folder, with `/`.
    pub files: BTreeMap<String, String>,
    /// Texts of the entity files by path within the folder, with `/`.
    pub entities: BTreeMap<String, String>,
}

impl Folder {
    /// Reads all files. The whole folder or nothing.
    pub(crate) fn read(folder: &Path) -> Result<Self, Problem> {
        let schema_path = folder.join(SCHEMA_FILE);
        let schema = read(&schema_path, SCHEMA_FILE).map_err(|problem| Problem {
            message: format!("{} in {}", problem.message, folder.display()),
            ..problem.with_hint("every policies folder holds a schema; copy the shipped one")
        })?;
        let (mut fragments, mut files) = (BTreeMap::new(), BTreeMap::new());
        let mut entities = BTreeMap::new();
        let mut waiting: Vec<(PathBuf, String, usize)> =
            vec![(folder.to_owned(), String::new(), 0)];
        while let Some((path, prefix, depth)) = waiting.pop() {
            let failed = |error: io::Error| Problem::whole(&shown(&prefix), error.to_string());
            for entry in fs::read_dir(&path).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
                    continue;
                };
                if name.starts_with('.') {
                    continue;
                }
                let inner = format!("{prefix}{name}");
                let is_folder = fs::metadata(entry.path()).map_err(failed)?.is_dir();
                if is_folder && depth < FOLDER_DEPTH_MAX {
                    waiting.push((entry.path(), format!("{inner}/"), depth + 1));
                } else if is_folder {
                    let message =
                        format!("folders nested deeper than {FOLDER_DEPTH_MAX} (FOLDER_DEPTH_MAX)");
                    return Err(Problem::whole(&inner, message));
                } else if name.ends_with(".cedar") {
                    let text = read(&entry.path(), &inner)?;
                    files.insert(inner, text);
                } else if is_fragment(&inner) {
                    let text = read(&entry.path(), &inner)?;
                    fragments.insert(inner, text);
                } else if is_entity_file(&inner) {
                    let text = read(&entry.path(), &inner)?;
                    entities.insert(inner, text);
                }
                if files.len() + fragments.len() + entities.len() > FILES_MAX {
                    let message = format!("more than {FILES_MAX} files (FILES_MAX)");
                    return Err(Problem::whole(&shown(&prefix), message));
                }
            }
        }
        Ok(Self {
            schema,
            fragments,
            files,
            entities,
        })
    }

    /// The texts of the schema.
    pub(crate) fn schema_texts(&self) -> SchemaTexts<'_> {
        SchemaTexts {
            schema: &self.schema,
            fragments: &self.fragments,
        }
    }
}

/// Whether a path within the folder is that of a schema beside ours.
pub(crate) fn is_fragment(path: &str) -> bool {
    path.ends_with(".cedarschema") && path != SCHEMA_FILE
}

fn shown(prefix: &str) -> String {
    if prefix.is_empty() {
        "policies".to_owned()
    } else {
        prefix.to_owned()
    }
}

fn read(path: &Path, name: &str) -> Result<String, Problem> {
    let failed = |error: io::Error| Problem::whole(name, error.to_string());
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > TEXT_BYTES_MAX as u64 {
        let message = format!("longer than {TEXT_BYTES_MAX} bytes (TEXT_BYTES_MAX)");
        return Err(Problem::whole(name, message));
    }
    fs::read_to_string(path).map_err(failed)
}
