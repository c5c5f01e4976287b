//! Segment files: the one being written, and the next one, zeroed ahead of need.
//!
//! A sync of data within a zeroed, fully allocated file costs a fraction of one that also has to
//! extend the file, so a segment takes entries only once all of it has been written with zeros.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use dataos_proof::frame::{SEGMENT_HEADER_BYTES, segment_header, segment_name};

use crate::{config::SEGMENT_BYTES_MIN, directory::sync_directory, disk::Disk};

/// Name of the next segment while it waits.
pub(crate) const SPARE_NAME: &str = "spare.new";

/// Zeros are written in pieces of this size, each synced, so that a sync of entries never waits
/// behind a whole segment of zeros.
const ZERO_BYTES: usize = 1024 * 1024;

/// The segment that is being written.
#[derive(Debug)]
pub(crate) struct ActiveSegment {
    pub(crate) name: String,
    pub(crate) file: File,
    /// Offset behind the last batch.
    pub(crate) end: u64,
    /// Length of the file.
    pub(crate) capacity: u64,
}

/// Writes batches. Owned by the committer thread.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    directory: PathBuf,
    disk: Arc<dyn Disk>,
    active: ActiveSegment,
    spare: Arc<Spare>,
    /// Whether the next segment has been asked for.
    is_spare_wanted: bool,
    segment_bytes_max: u64,
}

impl SegmentWriter {
    pub(crate) fn new(
        directory: &Path,
        disk: Arc<dyn Disk>,
        active: ActiveSegment,
        spare: Arc<Spare>,
        segment_bytes_max: u64,
    ) -> Self {
        let directory = directory.to_owned();
        Self {
            directory,
            disk,
            active,
            spare,
            is_spare_wanted: false,
            segment_bytes_max,
        }
    }

    /// Makes room for `bytes` more, in a new segment that begins with entry `first` if need be.
    /// Returns the new segment's name, if there is one.
    pub(crate) fn reserve(&mut self, bytes: u64, first: u64) -> io::Result<Option<String>> {
        // A quarter, so that the zeros are there before the rest is used up, and a log that stays
        // small has no second segment.
        if self.active.end >= self.active.capacity / 4 {
            self.want_spare();
        }
        if self.active.end + bytes <= self.active.capacity {
            return Ok(None);
        }
        self.want_spare();
        let (file, capacity) = match self.spare.take() {
            Ok(ready) => ready,
            // Perhaps there was no room at that time. This makes a new file: no sync is repeated.
            Err(_) => {
                self.spare.want(self.next_capacity());
                self.spare.take()?
            }
        };
        self.active = begin(&self.directory, &*self.disk, file, capacity, first)?;
        self.is_spare_wanted = false;
        Ok(Some(self.active.name.clone()))
    }

    /// Offset at which the next batch will lie.
    pub(crate) fn offset(&self) -> u64 {
        self.active.end
    }

    /// Writes a batch and syncs it. After an error nothing may be written any more: the kernel may
    /// have dropped pages that it failed to write, and a second sync would not say so.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.write(&self.active.file, bytes, self.active.end)?;
        self.disk.sync(&self.active.file)?;
        self.active.end += bytes.len() as u64;
        Ok(())
    }

    fn want_spare(&mut self) {
        if !self.is_spare_wanted {
            self.is_spare_wanted = true;
            self.spare.want(self.next_capacity());
        }
    }

    fn next_capacity(&self) -> u64 {
        (self.active.capacity * 2).clamp(SEGMENT_BYTES_MIN, self.segment_bytes_max)
    }
}

/// Creates the first segment of a log.
pub(crate) fn create_first(directory: &Path, disk: &dyn Disk) -> io::Result<ActiveSegment> {
    let file = create_zeroed(directory, disk, SEGMENT_BYTES_MIN, &|| false)?;
    begin(directory, disk, file, SEGMENT_BYTES_MIN, 0)
}

/// Turns the zeroed spare file into the segment that begins with entry `first`. The name is given
/// once the header is durable, so that a segment without a header is damage, never a crash.
fn begin(
    directory: &Path,
    disk: &dyn Disk,
    file: File,
    capacity: u64,
    first: u64,
) -> io::Result<ActiveSegment> {
    let name = segment_name(first);
    disk.write(&file, &segment_header(first), 0)?;
    disk.sync(&file)?;
    fs::rename(directory.join(SPARE_NAME), directory.join(&name))?;
    sync_directory(directory)?;
    Ok(ActiveSegment {
        name,
        file,
        end: SEGMENT_HEADER_BYTES as u64,
        capacity,
    })
}

fn create_zeroed(
    directory: &Path,
    disk: &dyn Disk,
    bytes: u64,
    is_cancelled: &dyn Fn() -> bool,
) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600);
    let file = options.open(directory.join(SPARE_NAME))?;
    let zeros = vec![0; ZERO_BYTES];
    let mut offset = 0;
    while offset < bytes {
        if is_cancelled() {
            return Err(io::Error::new(
                io::ErrorKind::Interrupted,
                "the log was closed",
            ));
        }
        disk.write(&file, &zeros, offset)?;
        disk.sync(&file)?;
        offset += ZERO_BYTES as u64;
    }
    file.sync_all()?;
    Ok(file)
}

/// The next segment, prepared by a thread of its own.
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
    /// A file of this many bytes is there.
    Ready(File, u64),
    /// It could not be made.
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

    fn want(&self, bytes: u64) {
        self.set(SpareState::Wanted(bytes));
    }

    /// Waits for the file. An error ends the log: without room there is nothing left to write to.
    fn take(&self) -> io::Result<(File, u64)> {
        let waiting = |state: &mut SpareState| matches!(state, SpareState::Wanted(_));
        let waited = self.changed.wait_while(self.lock(), waiting);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        match std::mem::take(&mut *state) {
            SpareState::Ready(file, bytes) => Ok((file, bytes)),
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

    /// The thread: makes what is wanted until closed.
    pub(crate) fn run(&self, directory: &Path, disk: &dyn Disk) {
        loop {
            let quiet = |state: &mut SpareState| {
                !matches!(state, SpareState::Wanted(_) | SpareState::Closed)
            };
            let waited = self.changed.wait_while(self.lock(), quiet);
            let state = waited.unwrap_or_else(PoisonError::into_inner);
            let SpareState::Wanted(bytes) = *state else {
                return;
            };
            drop(state);
            let is_closed = || matches!(*self.lock(), SpareState::Closed);
            match create_zeroed(directory, disk, bytes, &is_closed) {
                Ok(file) => self.set(SpareState::Ready(file, bytes)),
                Err(error) => {
                    if !is_closed() {
                        tracing::error!(%error, "cannot prepare the next segment of the audit log");
                    }
                    self.set(SpareState::Failed(error));
                }
            }
        }
    }
}
