//! The calls that change files of the log while it runs, so that tests can make them fail or wait,
//! and can tell what a power cut may leave of them.

use std::{
    fmt::Debug,
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::Path,
};

use rustix::{
    fs::{FallocateFlags, fallocate},
    io::Errno,
};

use crate::directory::sync_directory;

/// Reserving, writing, syncing, naming.
pub(crate) trait Disk: Send + Sync + Debug {
    /// Reserves room for the first `bytes` bytes, where the file system can.
    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`.
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes what was written durable.
    fn sync(&self, file: &File) -> io::Result<()>;

    /// Gives a file of the folder another name, durably.
    fn rename(&self, directory: &Path, from: &str, to: &str) -> io::Result<()>;
}

/// The operating system's.
#[derive(Debug)]
pub(crate) struct SystemDisk;

impl Disk for SystemDisk {
    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        match fallocate(file, FallocateFlags::empty(), 0, bytes) {
            // Then the zeros alone reserve the room.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            result => Ok(result?),
        }
    }

    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn rename(&self, directory: &Path, from: &str, to: &str) -> io::Result<()> {
        fs::rename(directory.join(from), directory.join(to))?;
        sync_directory(directory)
    }
}
