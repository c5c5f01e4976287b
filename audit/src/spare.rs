//! The next segment: its room reserved and its bytes zeroed ahead of need, by a thread of its own.
//!
//! A sync of data within a zeroed, fully allocated file costs a fraction of one that also has to
//! extend the file, and cannot fail for want of room, so a segment takes entries only once all of it
//! has been written with zeros.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::disk::Disk;

/// Name of the next segment while it waits.
pub(crate) const SPARE_NAME: &str = "spare.new";

/// Zeros are written in pieces of this size, each synced, so that a sync of entries never waits
/// behind a whole segment of zeros.
const ZERO_BYTES: usize = 1024 * 1024;

/// How long after an attempt that found no room the next one follows.
const RETRY: Duration = Duration::from_secs(1);

/// The next segment.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    state: Mutex<SpareState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
enum SpareState {
    /// Nothing to do.
    #[default]
    Idle,
    /// A file of this many bytes is wanted.
    Wanted(u64),
    /// The disk has no room for it; it is tried again every [`RETRY`].
    NoRoom(u64),
    /// A file of this many bytes is there.
    Ready(File, u64),
    /// It could not be made, for another reason than room.
    Failed(io::Error),
    /// The thread is to end.
    Closed,
}

impl Spare {
    fn lock(&self) -> MutexGuard<'_, SpareState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, new: SpareState) {
        let mut state = self.lock();
        if !matches!(*state, SpareState::Closed) {
            *state = new;
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Asks for a file of this many bytes.
    pub(crate) fn want(&self, bytes: u64) {
        self.set(SpareState::Wanted(bytes));
    }

    /// Whether the disk has no room for the file.
    pub(crate) fn has_no_room(&self) -> bool {
        matches!(*self.lock(), SpareState::NoRoom(_))
    }

    /// Whether the disk failed, which ends the log even while there is room in the present segment.
    pub(crate) fn check(&self) -> io::Result<()> {
        let mut state = self.lock();
        match std::mem::take(&mut *state) {
            SpareState::Failed(error) => Err(error),
            other => {
                *state = other;
                Ok(())
            }
        }
    }

    /// Whether the first attempt at the file is over.
    #[cfg(test)]
    pub(crate) fn is_settled(&self) -> bool {
        !matches!(*self.lock(), SpareState::Wanted(_))
    }

    /// Waits for the file; none if the disk has no room for it.
    pub(crate) fn take(&self) -> io::Result<Option<(File, u64)>> {
        let waiting = |state: &mut SpareState| matches!(state, SpareState::Wanted(_));
        let waited = self.changed.wait_while(self.lock(), waiting);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        match std::mem::take(&mut *state) {
            SpareState::Ready(file, bytes) => Ok(Some((file, bytes))),
            SpareState::NoRoom(bytes) => {
                *state = SpareState::NoRoom(bytes);
                Ok(None)
            }
            SpareState::Failed(error) => Err(error),
            SpareState::Idle | SpareState::Wanted(_) | SpareState::Closed => {
                Err(io::Error::other("no segment is being prepared"))
            }
        }
    }

    /// Ends the thread.
    pub(crate) fn close(&self) {
        self.set(SpareState::Closed);
    }

    /// The thread: makes what is wanted until closed, and says so each time one is ready.
    pub(crate) fn run(&self, directory: &Path, disk: &dyn Disk, on_ready: &dyn Fn()) {
        while let Some(bytes) = self.next() {
            let is_closed = || matches!(*self.lock(), SpareState::Closed);
            match create_zeroed(directory, disk, bytes, &is_closed) {
                Ok(file) => {
                    self.set(SpareState::Ready(file, bytes));
                    on_ready();
                }
                Err(_) if is_closed() => return,
                Err(error) if is_no_room(&error) => {
                    if !self.has_no_room() {
                        tracing::warn!(%error, bytes, "no room for the next segment of the audit log");
                    }
                    self.set(SpareState::NoRoom(bytes));
                }
                Err(error) => {
                    tracing::error!(%error, "cannot prepare the next segment of the audit log");
                    self.set(SpareState::Failed(error));
                }
            }
        }
    }

    /// The size of the next file to make; none once closed.
    fn next(&self) -> Option<u64> {
        let quiet = |state: &mut SpareState| {
            matches!(
                state,
                SpareState::Idle | SpareState::Ready(..) | SpareState::Failed(_)
            )
        };
        let waited = self.changed.wait_while(self.lock(), quiet);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, SpareState::NoRoom(_)) {
            let no_room = |state: &mut SpareState| matches!(state, SpareState::NoRoom(_));
            let waited = self.changed.wait_timeout_while(state, RETRY, no_room);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        match *state {
            SpareState::Wanted(bytes) | SpareState::NoRoom(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// Whether there is no room on the disk.
pub(crate) fn is_no_room(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Makes the file. After an error nothing of it is left: its room may be what others wait for, and
/// each attempt writes a new file, so that no sync is repeated.
pub(crate) fn create_zeroed(
    directory: &Path,
    disk: &dyn Disk,
    bytes: u64,
    is_cancelled: &dyn Fn() -> bool,
) -> io::Result<File> {
    let path = directory.join(SPARE_NAME);
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600);
    let file = options.open(&path)?;
    let zeroed = zero(&file, disk, bytes, is_cancelled);
    if zeroed.is_err() {
        // A file that cannot be removed is taken over by the next attempt.
        let _ = fs::remove_file(&path);
    }
    zeroed.map(|()| file)
}

fn zero(
    file: &File,
    disk: &dyn Disk,
    bytes: u64,
    is_cancelled: &dyn Fn() -> bool,
) -> io::Result<()> {
    // First, so that a lack of room shows at once and not behind megabytes of zeros.
    disk.allocate(file, bytes)?;
    let zeros = vec![0; ZERO_BYTES];
    let mut offset = 0;
    while offset < bytes {
        if is_cancelled() {
            return Err(io::Error::other("the log was closed"));
        }
        disk.write(file, &zeros, offset)?;
        disk.sync(file)?;
        offset += ZERO_BYTES as u64;
    }
    Ok(())
}
