//! The policies that come with the product, embedded and written out at first start.

use std::{fs, path::Path};

use dataos_model::fault::Fault;

macro_rules! shipped {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../policies/", $path))),)*]
    };
}

const SHIPPED: &[(&str, &str)] = shipped![
    "schema.cedarschema",
    "audit/audit.cedar",
    "catalog/catalog.cedar",
    "platform/access.cedar",
    "resources/resources.cedar",
];

/// Path within the folder, and text, of each shipped file.
pub fn shipped_policies() -> impl Iterator<Item = (&'static str, &'static str)> {
    SHIPPED.iter().copied()
}

/// Writes the shipped files into `folder`, which is made if need be. Files that exist stay as they
/// are: they are the user's.
///
/// # Errors
/// The file that cannot be written.
pub fn write_shipped(folder: &Path) -> Result<(), Fault> {
    for (path, text) in shipped_policies() {
        let target = folder.join(path);
        if target.exists() {
            continue;
        }
        let parent = target.parent().unwrap_or(folder);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&target, text))
            .map_err(|error| {
                Fault::internal(format!("{}: {error}", target.display()))
                    .with_hint("check that the folder can be written")
            })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::folder::Folder;

    #[test]
    fn shipped_is_what_the_folder_holds() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
        let read = Folder::read(&folder).unwrap();
        let mut held: BTreeMap<String, String> = read.files;
        held.insert("schema.cedarschema".to_owned(), read.schema);
        let shipped: BTreeMap<String, String> = shipped_policies()
            .map(|(path, text)| (path.to_owned(), text.to_owned()))
            .collect();
        assert_eq!(shipped, held);
    }

    #[test]
    fn files_of_the_user_stay() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("audit/audit.cedar");
        fs::create_dir_all(own.parent().unwrap()).unwrap();
        fs::write(&own, "// mine").unwrap();
        write_shipped(folder.path()).unwrap();
        assert_eq!(fs::read_to_string(own).unwrap(), "// mine");
        assert_eq!(
            Folder::read(folder.path()).unwrap().files.len(),
            SHIPPED.len() - 1
        );
    }
}
