//! Segment files: the one being written, and the step to the next.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use dataos_proof::frame::{SEGMENT_HEADER_BYTES, segment_header, segment_name};

use crate::{
    config::SEGMENT_BYTES_MIN,
    disk::Disk,
    spare::{SPARE_NAME, Spare, ZERO_BYTES_MAX, create_zeroed},
};

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

/// Where the next batch goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reserved {
    /// Into the present segment.
    Present,
    /// Into a new segment of this name.
    New(String),
    /// Nowhere: the present segment cannot take it, and the disk has no room for another.
    Nothing,
}

/// Writes batches. Owned by the committer thread.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    directory: PathBuf,
    disk: Arc<dyn Disk>,
    active: ActiveSegment,
    spare: Arc<Spare>,
    segment_bytes_max: u64,
}

impl SegmentWriter {
    /// A writer to `active`; asks for the segment after it at once.
    pub(crate) fn new(
        directory: &Path,
        disk: Arc<dyn Disk>,
        active: ActiveSegment,
        spare: Arc<Spare>,
        segment_bytes_max: u64,
    ) -> Self {
        let writer = Self {
            directory: directory.to_owned(),
            disk,
            active,
            spare,
            segment_bytes_max,
        };
        writer.want_spare();
        writer
    }

    /// Bytes that fit the present segment if it is the last one for which there is room; none if
    /// there is another.
    pub(crate) fn last_bytes(&self) -> Option<u64> {
        let rest = self.active.capacity.saturating_sub(self.active.end);
        self.spare.has_no_room().then_some(rest)
    }

    /// Whether only the last quarter of the last segment is left.
    pub(crate) fn is_low(&self) -> bool {
        self.last_bytes()
            .is_some_and(|rest| rest < self.active.capacity / 4)
    }

    /// Makes room for `bytes` more, in a new segment that begins with entry `first` if need be.
    pub(crate) fn reserve(&mut self, bytes: u64, first: u64) -> io::Result<Reserved> {
        self.spare.check()?;
        if self.active.end + bytes <= self.active.capacity {
            return Ok(Reserved::Present);
        }
        let Some((file, capacity)) = self.spare.take()? else {
            return Ok(Reserved::Nothing);
        };
        self.active = begin(&self.directory, &*self.disk, file, capacity, first)?;
        self.want_spare();
        Ok(Reserved::New(self.active.name.clone()))
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
        // The next segment is ready once this one is half full.
        let half = (self.active.capacity / 2).max(1);
        let due = u128::from(self.spare_bytes()) * u128::from(self.active.end) / u128::from(half);
        self.spare.hurry(u64::try_from(due).unwrap_or(u64::MAX));
        Ok(())
    }

    fn spare_bytes(&self) -> u64 {
        (self.active.capacity * 2).clamp(SEGMENT_BYTES_MIN, self.segment_bytes_max)
    }

    fn want_spare(&self) {
        self.spare.want(self.spare_bytes());
    }
}

/// Creates the first segment of a log.
pub(crate) fn create_first(directory: &Path, disk: &dyn Disk) -> io::Result<ActiveSegment> {
    let file = create_zeroed(directory, disk, SEGMENT_BYTES_MIN, &|_| {
        Some(ZERO_BYTES_MAX)
    })?;
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
    disk.rename(directory, SPARE_NAME, &name)?;
    Ok(ActiveSegment {
        name,
        file,
        end: SEGMENT_HEADER_BYTES as u64,
        capacity,
    })
}
