//! `--data FOLDER`: the user's own files as a depot, closed to everyone but the administrator.

use std::{collections::BTreeSet, path::Path};

use dataos_model::{
    audit_table,
    depot::{Depot, DepotSource},
    fault::{Fault, FaultKind},
    principal::Principal,
    record::{Entry, EntryKind},
    seams::{Assets, Record, ScanReport},
};

use super::first::ADMINISTRATOR;

/// Name of the depot where the folder's own name gives none.
const NAME_DEFAULT: &str = "local";
/// Longest name taken from a folder.
const NAME_CHARACTERS_MAX: usize = 40;

/// A folder that is a depot now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Name of the depot.
    pub depot: String,
    /// What the scan found.
    pub report: ScanReport,
    /// Addresses and column counts of its datasets.
    pub datasets: Vec<(String, usize)>,
}

pub(super) async fn attach(
    folder: &Path,
    assets: &dyn Assets,
    record: &dyn Record,
) -> Result<Attached, Fault> {
    let root = folder
        .canonicalize()
        .map_err(|error| Fault::invalid(format!("--data {}: {error}", folder.display())))?;
    let name = depot_name(&root);
    let snapshot = assets.snapshot().await?;
    let source = DepotSource::Files {
        root: root.clone(),
        is_writable: false,
    };
    match snapshot.depots.get(&name) {
        Some(depot) if depot.source != source => {
            let message = format!("there is a depot `{name}` already, and it is another folder");
            return Err(Fault::new(FaultKind::Conflict, message)
                .with_hint("rename your folder, or declare a depot with `dataos-ctl apply`"));
        }
        Some(_) => {}
        None => {
            recorded(record, &name, &root).await?;
            let depot = Depot {
                name: name.clone(),
                description: format!("Files in {}", root.display()),
                owner: ADMINISTRATOR.to_owned(),
                tags: BTreeSet::new(),
                source,
            };
            assets.register_depot(depot).await?;
        }
    }
    let report = assets.scan(&name).await?;
    let datasets = assets
        .snapshot()
        .await?
        .datasets
        .values()
        .filter(|dataset| dataset.id.depot == name)
        .map(|dataset| {
            (
                format!("dataos://{}", dataset.id),
                dataset.schema.columns.len(),
            )
        })
        .collect();
    Ok(Attached {
        depot: name,
        report,
        datasets,
    })
}

/// Makes the audit log a dataset of the catalog.
pub(super) async fn system(assets: &dyn Assets) -> Result<(), Fault> {
    let snapshot = assets.snapshot().await?;
    if !snapshot.depots.contains_key(audit_table::DEPOT) {
        let depot = Depot {
            name: audit_table::DEPOT.to_owned(),
            description: "What the platform knows of itself".to_owned(),
            owner: ADMINISTRATOR.to_owned(),
            tags: BTreeSet::new(),
            source: DepotSource::System,
        };
        assets.register_depot(depot).await?;
    }
    assets.scan(audit_table::DEPOT).await.map(drop)
}

/// The flag is the operator's own hand, so nobody decides; the log still says that it happened.
async fn recorded(record: &dyn Record, name: &str, root: &Path) -> Result<(), Fault> {
    let mut entry = Entry::new(EntryKind::ResourceChange, crate::limits::new_request_id())
        .with_fact("folder", root.display());
    entry.action = "register_depot".to_owned();
    entry.principal = Principal::platform().uid.to_string();
    entry.resource = format!("depot {name}");
    record.append(entry).await.map(drop)
}

/// A depot name from a folder's: lower-case letters and digits, starting with a letter.
fn depot_name(folder: &Path) -> String {
    let name = folder
        .file_name()
        .map(|name| name.to_string_lossy().to_ascii_lowercase());
    let plain: String = name
        .unwrap_or_default()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .skip_while(char::is_ascii_digit)
        .take(NAME_CHARACTERS_MAX)
        .collect();
    if plain.is_empty() {
        NAME_DEFAULT.to_owned()
    } else {
        plain
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn depots_are_named_after_their_folder() {
        for (folder, name) in [
            ("/home/me/Sales-2024", "sales2024"),
            ("/data/2024_crm", "crm"),
            ("/data/日本", "local"),
            ("/", "local"),
        ] {
            assert_eq!(super::depot_name(Path::new(folder)), name);
        }
    }
}
