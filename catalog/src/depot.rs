//! What a depot may be: its name, and where its data lies.

use std::path::{Path, PathBuf};

use dataos_model::{
    audit_table,
    depot::{Bucket, Depot, DepotSource},
    fault::Fault,
};

use crate::names;

/// Whether two sources hold the same data, so that what is catalogued of one holds for the other.
pub(crate) fn is_same_place(a: &DepotSource, b: &DepotSource) -> bool {
    match (a, b) {
        (DepotSource::Files { root: a, .. }, DepotSource::Files { root: b, .. }) => a == b,
        (
            DepotSource::Postgres {
                host,
                port,
                database,
                ..
            },
            DepotSource::Postgres {
                host: host_b,
                port: port_b,
                database: database_b,
                ..
            },
        )
        | (
            DepotSource::MySql {
                host,
                port,
                database,
                ..
            },
            DepotSource::MySql {
                host: host_b,
                port: port_b,
                database: database_b,
                ..
            },
        ) => (host, port, database) == (host_b, port_b, database_b),
        (DepotSource::Sqlite { path: a }, DepotSource::Sqlite { path: b }) => a == b,
        (DepotSource::S3(a), DepotSource::S3(b)) => {
            (&a.endpoint, &a.name, &a.prefix) == (&b.endpoint, &b.name, &b.prefix)
        }
        (DepotSource::System, DepotSource::System) => true,
        _ => false,
    }
}

/// Whether a depot can be catalogued. `own` is the folder that the catalog keeps for itself.
///
/// # Errors
/// Says what is wrong with its name or its source.
pub(crate) fn check_depot(depot: &Depot, own: &Path) -> Result<(), Fault> {
    names::check_depot(&depot.name)?;
    let found = if (depot.name == audit_table::DEPOT) == (depot.source == DepotSource::System) {
        problem(&depot.source, own)
    } else {
        let problem = format!("the name `{}` is the platform's own", audit_table::DEPOT);
        Some((problem, "choose another name"))
    };
    match found {
        Some((problem, hint)) => {
            Err(Fault::invalid(format!("depot `{}`: {problem}", depot.name)).with_hint(hint))
        }
        None => Ok(()),
    }
}

/// What is wrong with a source, and what to do.
fn problem(source: &DepotSource, own: &Path) -> Option<(String, &'static str)> {
    match source {
        DepotSource::Files { root, .. } => folder_problem(root, own),
        DepotSource::Postgres {
            host,
            database,
            user,
            ..
        }
        | DepotSource::MySql {
            host,
            database,
            user,
            ..
        } => {
            let texts = [host, database, user];
            let is_bad = |text: &&String| names::column_problem(text).is_some();
            texts.iter().any(is_bad).then(|| {
                let problem = "host, database or user is empty or malformed".to_owned();
                (problem, "give all three")
            })
        }
        DepotSource::Sqlite { path } => file_problem(path, own),
        DepotSource::S3(bucket) => {
            let problem = bucket_problem(bucket)?;
            Some((problem, "correct the depot and apply it again"))
        }
        DepotSource::System => None,
    }
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn folder_problem(root: &Path, own: &Path) -> Option<(String, &'static str)> {
    let shown = root.display();
    if !root.is_absolute() || root.to_str().is_none() {
        let problem = format!("folder {shown} is not an absolute path in UTF-8");
        return Some((problem, "write the whole path"));
    }
    let (real_root, own) = (real(root), real(own));
    (own.starts_with(&real_root) || real_root.starts_with(&own)).then(|| {
        let problem = format!("folder {shown} overlaps the catalog's own folder");
        (problem, "use a folder that holds data only")
    })
}

fn file_problem(path: &Path, own: &Path) -> Option<(String, &'static str)> {
    let shown = path.display();
    if !path.is_absolute() || path.to_str().is_none() {
        let problem = format!("file {shown} is not an absolute path in UTF-8");
        return Some((problem, "write the whole path"));
    }
    real(path).starts_with(real(own)).then(|| {
        let problem = format!("file {shown} is one of the catalog's own");
        (problem, "name a file that holds data only")
    })
}

fn bucket_problem(bucket: &Bucket) -> Option<String> {
    if let Err(problem) = dataos_objects::check_endpoint(&bucket.endpoint, &bucket.tls) {
        return Some(format!("endpoint: {problem}"));
    }
    let is_label = |character: char| character.is_ascii_alphanumeric() || "-._".contains(character);
    for (field, text) in [("bucket", &bucket.name), ("region", &bucket.region)] {
        if text.is_empty() || !text.chars().all(is_label) {
            return Some(format!("{field}: not letters, digits, `-`, `.` and `_`"));
        }
    }
    if bucket.access_key.is_empty() || !bucket.access_key.chars().all(|c| c.is_ascii_graphic()) {
        return Some("the id of the access key is empty or malformed".to_owned());
    }
    let is_bad = |part: &str| matches!(part, "" | "." | "..");
    let has_bad = !bucket.prefix.is_empty() && bucket.prefix.split('/').any(is_bad);
    has_bad.then(|| {
        "prefix: nothing, `.` or `..` between two slashes, or a slash at an end".to_owned()
    })
}
