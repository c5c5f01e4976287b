//! What has no room in an entry: files beside the log, each named by the SHA-256 digest of its bytes.
//!
//! The entry holds the digest, so its leaf commits to the content. The committer makes the content
//! durable before the entry that names it; a file that no entry names is what a crash leaves behind,
//! and does no harm. A content that is there is not written again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use dataos_model::{
    fault::{Fault, FaultKind},
    hash::Hash,
    record::{CONTENT_BYTES_MAX, CONTENT_SUFFIX},
};
use dataos_proof::log::{Damage, DamageKind};

use crate::{
    details::Details,
    directory::{names, sync_directory},
    disk::Disk,
};

/// The folder within that of the log.
pub(crate) const FOLDER: &str = "contents";

/// One content that an entry has no room for.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) digest: Hash,
    pub(crate) bytes: Vec<u8>,
}

/// The folder, as the committer writes to it.
#[derive(Debug)]
pub(crate) struct Contents {
    folder: PathBuf,
    disk: Arc<dyn Disk>,
}

impl Contents {
    /// The folder of the log at `directory`; created when something is to be kept.
    pub(crate) fn new(directory: &Path, disk: Arc<dyn Disk>) -> Self {
        let folder = directory.join(FOLDER);
        Self { folder, disk }
    }

    /// Makes a content durable.
    pub(crate) fn keep(&self, content: &Content) -> io::Result<()> {
        let name = content.digest.to_string();
        let is_whole =
            |file: fs::Metadata| file.is_file() && file.len() == content.bytes.len() as u64;
        if fs::metadata(self.folder.join(&name)).is_ok_and(is_whole) {
            return Ok(());
        }
        self.create()?;
        let new = format!("{name}.new");
        let written = self.write(&new, &name, &content.bytes);
        if written.is_err() {
            // Its room may be what the log needs to say that there is none.
            let _ = fs::remove_file(self.folder.join(&new));
        }
        written
    }

    fn create(&self) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made.and_then(|()| match self.folder.parent() {
                Some(directory) => sync_directory(directory),
                None => Ok(()),
            }),
        }
    }

    fn write(&self, new: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.folder.join(new))?;
        self.disk.write(&file, bytes, 0)?;
        self.disk.sync(&file)?;
        self.disk.rename(&self.folder, new, name)
    }
}

/// The content of this digest.
pub(crate) fn read(directory: &Path, digest: Hash) -> Result<Bytes, Fault> {
    let path = directory.join(FOLDER).join(digest.to_string());
    let file = File::open(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Fault::not_found(format!("there is no content {digest}")),
        _ => Fault::unavailable(format!("cannot read {}: {error}", path.display())),
    })?;
    let mut bytes = Vec::new();
    file.take(CONTENT_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Fault::unavailable(format!("cannot read {}: {error}", path.display())))?;
    if Hash::of(&bytes) == digest {
        return Ok(bytes.into());
    }
    let message = format!(
        "{}: it holds something else than its name says",
        path.display()
    );
    Err(Fault::new(FaultKind::Damaged, message).with_hint("restore the file from a backup"))
}

/// The digests of contents that an entry names.
pub(crate) fn named(details: &Details<'_>) -> impl Iterator<Item = Hash> {
    let facts = details.facts.iter();
    let named = facts.filter(|(name, _)| name.ends_with(CONTENT_SUFFIX));
    named.filter_map(|(_, digest)| digest.parse().ok())
}

/// Whether all contents that entries name are there, and whether each is what its name says. `named` has
/// the first entry that names each.
pub(crate) fn check(directory: &Path, named: &BTreeMap<Hash, u64>) -> Result<(), Damage> {
    let folder = directory.join(FOLDER);
    let found = match names(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        found => found.map_err(|error| damage(FOLDER, 0, error.to_string()))?,
    };
    let found: BTreeSet<Hash> = found.iter().filter_map(|name| name.parse().ok()).collect();
    let others = found.iter().filter(|digest| !named.contains_key(digest));
    for digest in named.keys().chain(others) {
        let index = named.get(digest).copied().unwrap_or_default();
        if let Err(fault) = read(directory, *digest) {
            let file = format!("{FOLDER}/{digest}");
            return Err(damage(&file, index, fault.message));
        }
    }
    Ok(())
}

fn damage(file: &str, index: u64, why: String) -> Damage {
    Damage {
        file: file.to_owned(),
        offset: 0,
        index,
        kind: DamageKind::Content(why),
    }
}
