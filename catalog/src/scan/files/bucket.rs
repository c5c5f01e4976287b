//! A bucket: its keys as folders, and its objects as files.
//!
//! Keys are listed once, page by page; a key names a file in folders as it would on a disk. An object is read by
//! ranges, each of the version that was listed.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use dataos_model::{
    clock::Timestamp,
    dataset::DatasetId,
    depot::Bucket,
    fault::{Fault, FaultKind},
    seams::Secrets,
};
use dataos_objects::{Listing, Object, Store};
use tokio::runtime::Handle;

use super::{
    Place,
    part::{self, Part},
    walk::{self, Entry, Folders, Skipped},
};
use crate::{change::Record, scan::Survey};

/// Most objects looked at in one scan.
const OBJECTS_MAX: usize = 200_000;
/// Longest listing.
const LIST_SECONDS_MAX: u64 = 300;
/// Bytes that are fetched at a time of an object that is read from its start.
const CHUNK_BYTES: u64 = 4 << 20;

/// The objects of a bucket, by their paths below its prefix.
#[derive(Debug)]
pub(super) struct Objects {
    store: Arc<Store>,
    runtime: Handle,
    by_path: BTreeMap<PathBuf, Object>,
}

impl Objects {
    /// What is read of the object at a path.
    pub(super) fn part(&self, path: &Path) -> Option<StoredObject> {
        Some(StoredObject {
            store: Arc::clone(&self.store),
            runtime: self.runtime.clone(),
            object: self.by_path.get(path)?.clone(),
        })
    }

    /// The keys of paths.
    pub(super) fn keys(&self, paths: &[PathBuf]) -> Vec<String> {
        let objects = paths.iter().filter_map(|path| self.by_path.get(path));
        objects.map(|object| object.key.clone()).collect()
    }
}

/// Lists the bucket and reads what is new or changed.
///
/// # Errors
/// The store cannot be reached or refuses: its objects are unknown, not gone.
pub(in crate::scan) async fn survey(
    depot: &str,
    bucket: &Bucket,
    secrets: &dyn Secrets,
    known: BTreeMap<DatasetId, Arc<Record>>,
    now: Timestamp,
) -> Result<Survey, Fault> {
    let secret = secrets.get(&bucket.secret_key).await?;
    let store = Arc::new(Store::new(depot, bucket.clone(), secret)?);
    let listing = tokio::time::timeout(
        Duration::from_secs(LIST_SECONDS_MAX),
        store.list(OBJECTS_MAX),
    );
    let listing = listing
        .await
        .unwrap_or_else(|_| Err(too_slow(depot)))
        .map_err(unreachable)?;
    let (keys, by_path) = folders(&bucket.prefix, listing);
    let walked = walk::walk(depot, keys);
    let objects = Objects {
        store,
        runtime: Handle::current(),
        by_path,
    };
    Ok(super::read_all(walked, Place::Bucket(Arc::new(objects)), known, now).await)
}

fn unreachable(fault: Fault) -> Fault {
    let hint = fault.hint.clone().unwrap_or_default();
    fault
        .with_reason("depot_unreachable")
        .with_hint(format!("{hint}; nothing was dropped"))
}

fn too_slow(depot: &str) -> Fault {
    let text = format!("depot `{depot}`: the bucket was not listed within {LIST_SECONDS_MAX} s");
    Fault::new(FaultKind::Timeout, text).with_hint("declare a depot for each prefix of the bucket")
}

/// Folders made of keys.
#[derive(Debug, Default)]
struct Keys {
    /// What is in each folder: names, and whether they are folders.
    folders: BTreeMap<PathBuf, BTreeSet<(String, bool)>>,
    skipped: Vec<Skipped>,
}

/// Puts each object into its folder.
fn folders(prefix: &str, listing: Listing) -> (Keys, BTreeMap<PathBuf, Object>) {
    let mut keys = Keys::default();
    let mut by_path = BTreeMap::new();
    if !listing.is_whole {
        keys.skipped.push(Skipped {
            path: PathBuf::new(),
            reason: format!("more than {OBJECTS_MAX} objects; the rest was not looked at"),
            may_hide: true,
        });
    }
    for object in listing.objects {
        let below = match prefix {
            "" => Some(object.key.as_str()),
            prefix => object
                .key
                .strip_prefix(prefix)
                .and_then(|rest| rest.strip_prefix('/')),
        };
        // A key that ends with a slash is what tools make for an empty folder.
        let Some(below) = below.filter(|below| !below.is_empty() && !below.ends_with('/')) else {
            continue;
        };
        let names: Vec<&str> = below.split('/').collect();
        let path: PathBuf = below.into();
        if names.iter().any(|name| matches!(*name, "" | "." | "..")) {
            keys.skipped.push(Skipped {
                path,
                reason: "its key has nothing, `.` or `..` between two slashes".to_owned(),
                may_hide: false,
            });
            continue;
        }
        let mut folder = PathBuf::new();
        for (index, name) in names.iter().enumerate() {
            let is_folder = index + 1 < names.len();
            let entries = keys.folders.entry(folder.clone()).or_default();
            entries.insert(((*name).to_owned(), is_folder));
            folder.push(name);
        }
        by_path.insert(path, object);
    }
    (keys, by_path)
}

impl Folders for Keys {
    fn root(&self) -> &Path {
        Path::new("")
    }

    fn list(&mut self, folder: &Path, skipped: &mut Vec<Skipped>) -> Vec<Entry> {
        // What was noticed while the folders were made is told with the first of them.
        skipped.append(&mut self.skipped);
        let entries = self.folders.get(folder).into_iter().flatten();
        let shown = entries.filter(|(name, _)| !walk::is_hidden(name));
        let entry = |(name, is_folder): &(String, bool)| Entry {
            path: folder.join(name),
            name: name.clone(),
            is_folder: *is_folder,
        };
        shown.map(entry).collect()
    }

    fn has_folder(&self, folder: &Path) -> bool {
        self.folders.contains_key(folder)
    }
}

/// An object as a file. Its methods block, and so are for threads that may.
#[derive(Debug)]
pub(super) struct StoredObject {
    store: Arc<Store>,
    runtime: Handle,
    object: Object,
}

impl Part for StoredObject {
    fn name(&self) -> String {
        part::name(Path::new(&self.object.key))
    }

    fn size(&self) -> Result<u64, String> {
        Ok(self.object.size)
    }

    fn version(&self) -> Result<String, String> {
        Ok(format!("{} {}", self.object.size, self.object.etag))
    }

    fn read(&self, range: Range<u64>) -> Result<Box<dyn Read>, String> {
        Ok(Box::new(Chunks {
            store: Arc::clone(&self.store),
            runtime: self.runtime.clone(),
            object: self.object.clone(),
            left: range.start..range.end.min(self.object.size),
            chunk: io::Cursor::default(),
        }))
    }
}

/// The bytes of an object, fetched when they are needed.
struct Chunks {
    store: Arc<Store>,
    runtime: Handle,
    object: Object,
    left: Range<u64>,
    chunk: io::Cursor<Vec<u8>>,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.chunk.read(buffer)?;
        if count > 0 || self.left.is_empty() {
            return Ok(count);
        }
        let end = self.left.end.min(self.left.start + CHUNK_BYTES);
        let fetch = async {
            let reading = self.store.read(&self.object, self.left.start..end).await?;
            reading.bytes().await
        };
        let bytes = self.runtime.block_on(fetch).map_err(io::Error::other)?;
        self.left.start = end;
        self.chunk = io::Cursor::new(bytes.into());
        self.chunk.read(buffer)
    }
}
