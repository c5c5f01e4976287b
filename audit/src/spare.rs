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
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::disk::Disk;

/// Name of the next segment while it waits.
pub(crate) const SPARE_NAME: &str = "spare.new";

/// Zeros are written in pieces of this size, each synced: a sync of entries may wait behind one, and is to
/// take little longer for it.
const ZERO_BYTES: usize = 128 * 1024;

/// Largest piece, of zeros that are late: many entries share each sync then, and a piece costs half a sync.
pub(crate) const ZERO_BYTES_MAX: usize = 1024 * 1024;

/// Rest between two pieces, so that few entries meet one, unless more are due by now.
const ZERO_REST: Duration = Duration::from_millis(5);

/// How long after an attempt that found no room the next one follows.
const RETRY: Duration = Duration::from_secs(1);

/// The next segment.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    state: Mutex<SpareState>,
    /// So many zeros must be there by now, or the segment would be late.
    due: AtomicU64,
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
        self.due.store(0, Ordering::Relaxed);
        self.set(SpareState::Wanted(bytes));
    }

    /// Asks for so many of its bytes by now.
    pub(crate) fn hurry(&self, due: u64) {
        self.due.store(due, Ordering::Relaxed);
    }

    /// The size of the next piece behind so many zeros, after a rest unless they are late; none once closed.
    fn next_piece(&self, zeroed: u64) -> Option<usize> {
        let late = || self.due.load(Ordering::Relaxed).saturating_sub(zeroed);
        let rests = |state: &mut SpareState| matches!(state, SpareState::Wanted(_)) && late() == 0;
        let rested = self
            .changed
            .wait_timeout_while(self.lock(), ZERO_REST, rests);
        let (state, _) = rested.unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, SpareState::Closed) {
            return None;
        }
        let late = usize::try_from(late()).unwrap_or(usize::MAX);
        Some(late.clamp(ZERO_BYTES, ZERO_BYTES_MAX))
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
        self.hurry(u64::MAX);
        self.changed.notify_all();
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
            let next_piece = |zeroed| self.next_piece(zeroed);
            match create_zeroed(directory, disk, bytes, &next_piece) {
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

/// Makes the file, in pieces whose sizes are asked for with the number of zeros before them; none ends it. After an
/// error nothing of it is left: its room may be what others wait for, and each attempt writes a new file, so that no
/// sync is repeated.
pub(crate) fn create_zeroed(
    directory: &Path,
    disk: &dyn Disk,
    bytes: u64,
    next_piece: &dyn Fn(u64) -> Option<usize>,
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
    let zeroed = zero(&file, disk, bytes, next_piece);
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
    next_piece: &dyn Fn(u64) -> Option<usize>,
) -> io::Result<()> {
    // First, so that a lack of room shows at once and not behind megabytes of zeros.
    disk.allocate(file, bytes)?;
    let zeros = vec![0; ZERO_BYTES_MAX];
    let mut zeroed = 0;
    while zeroed < bytes {
        let Some(length) = next_piece(zeroed) else {
            return Err(io::Error::other("the log was closed"));
        };
        let left = usize::try_from(bytes - zeroed).unwrap_or(usize::MAX);
        let piece = zeros.get(..length.min(left)).unwrap_or(&zeros);
        disk.write(file, piece, zeroed)?;
        disk.sync(file)?;
        zeroed += piece.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, time::Instant};

    use super::*;
    use crate::disk::SystemDisk;

    #[test]
    fn a_file_has_the_bytes_that_are_wanted_whatever_the_pieces() {
        let folder = tempfile::tempdir().unwrap();
        let asked = RefCell::new(Vec::new());
        let next_piece = |zeroed| {
            asked.borrow_mut().push(zeroed);
            Some(70_000)
        };
        let file = create_zeroed(folder.path(), &SystemDisk, 150_000, &next_piece).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 150_000);
        assert_eq!(*asked.borrow(), [0, 70_000, 140_000]);
    }

    #[test]
    fn zeros_are_written_slowly_unless_they_are_late() {
        let spare = Spare::default();
        spare.want(8 * 1024 * 1024);
        let started = Instant::now();
        assert_eq!(spare.next_piece(0), Some(ZERO_BYTES));
        assert!(started.elapsed() >= ZERO_REST);
        let late = 3 * ZERO_BYTES as u64;
        spare.hurry(late);
        assert_eq!(spare.next_piece(0), Some(3 * ZERO_BYTES));
        assert_eq!(spare.next_piece(late), Some(ZERO_BYTES));
        // Somebody waits for the segment.
        spare.hurry(u64::MAX);
        assert_eq!(spare.next_piece(late), Some(ZERO_BYTES_MAX));
        // The next one has its time again.
        spare.want(8 * 1024 * 1024);
        assert_eq!(spare.next_piece(0), Some(ZERO_BYTES));
        spare.close();
        assert_eq!(spare.next_piece(0), None);
    }
}
