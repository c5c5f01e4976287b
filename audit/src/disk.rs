//! The calls that change files of the log while it runs, so that tests can make them fail or wait.

use std::{fmt::Debug, fs::File, io, os::unix::fs::FileExt as _};

/// Writing and syncing.
pub(crate) trait Disk: Send + Sync + Debug {
    /// Writes all of `bytes` at `offset`.
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes what was written durable.
    fn sync(&self, file: &File) -> io::Result<()>;
}

/// The operating system's.
#[derive(Debug)]
pub(crate) struct SystemDisk;

impl Disk for SystemDisk {
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}
