//! Segment files: the one being written, and the step to the next.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use dataos_proof::frame::{segment_header, segment_name};

use crate::{
    config::SEGMENT_BYTES_MIN,
    disk::Disk,
    spare::{SPARE_NAME, Spare, ZERO_BYTES_MAX, create_zeroed},
};

/// The unit of the system's cache of files. What covers whole ones is written without a look at what the disk
/// has there.
pub(crate) const PAGE_BYTES: usize = 4096;

/// Most bytes of memory that a batch leaves to the next one.
const PAGES_BYTES_KEPT: usize = 256 * 1024;

/// The segment that is being written.
#[derive(Debug)]
pub(crate) struct ActiveSegment {
    pub(crate) name: String,
    file: File,
    /// Offset behind the last batch.
    pub(crate) end: u64,
    /// Length of the file.
    capacity: u64,
    /// What the page of `end` has before it: it is written again with what follows.
    pages: Vec<u8>,
}

impl ActiveSegment {
    /// A segment that has `written`, and zeros behind.
    pub(crate) fn new(name: String, file: File, written: &[u8], capacity: u64) -> Self {
        let (whole, _) = written.as_chunks::<PAGE_BYTES>();
        let pages = written.get(whole.len() * PAGE_BYTES..).unwrap_or_default();
        Self {
            name,
            file,
            end: written.len() as u64,
            capacity,
            pages: pages.to_vec(),
        }
    }

    /// Writes behind the end, and syncs. Whole pages: their zeros went to the disk past the cache, so that a part
    /// of one would have to be read first.
    fn write(&mut self, disk: &dyn Disk, bytes: &[u8]) -> io::Result<()> {
        let start = self.end - self.pages.len() as u64;
        self.pages.extend_from_slice(bytes);
        let written = self.pages.len();
        let room = usize::try_from(self.capacity - start).unwrap_or(usize::MAX);
        self.pages
            .resize(written.next_multiple_of(PAGE_BYTES).min(room), 0);
        disk.write(&self.file, &self.pages, start)?;
        disk.sync(&self.file)?;
        self.end += bytes.len() as u64;
        self.pages.truncate(written);
        self.pages.drain(..written - written % PAGE_BYTES);
        self.pages.shrink_to(PAGES_BYTES_KEPT);
        Ok(())
    }
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
        self.active.write(&*self.disk, bytes)?;
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
    let mut active = ActiveSegment::new(name, file, &[], capacity);
    active.write(disk, &segment_header(first))?;
    disk.rename(directory, SPARE_NAME, &active.name)?;
    Ok(active)
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Mutex};

    use super::*;
    use crate::disk::SystemDisk;

    /// Writes down where writes begin and end.
    #[derive(Debug, Default)]
    struct WatchedDisk {
        writes: Mutex<Vec<(u64, u64)>>,
    }

    impl Disk for WatchedDisk {
        fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
            SystemDisk.allocate(file, bytes)
        }

        fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
            let end = offset + bytes.len() as u64;
            self.writes.lock().unwrap().push((offset, end));
            SystemDisk.write(file, bytes, offset)
        }

        fn sync(&self, file: &File) -> io::Result<()> {
            SystemDisk.sync(file)
        }

        fn rename(&self, directory: &Path, from: &str, to: &str) -> io::Result<()> {
            SystemDisk.rename(directory, from, to)
        }
    }

    /// Writes batches of these lengths; where the writes were.
    fn written(lengths: &[usize], capacity: u64) -> Vec<(u64, u64)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("segment");
        fs::write(&path, vec![0; usize::try_from(capacity).unwrap()]).unwrap();
        let open = || {
            let mut options = fs::OpenOptions::new();
            options.read(true).write(true).open(&path).unwrap()
        };
        let (disk, mut expected) = (WatchedDisk::default(), Vec::new());
        let mut active = ActiveSegment::new(String::new(), open(), &[], capacity);
        for (number, length) in (1..).zip(lengths) {
            let batch = vec![number; *length];
            active.write(&disk, &batch).unwrap();
            expected.extend(batch);
            assert_eq!(active.end, expected.len() as u64);
            let content = fs::read(&path).unwrap();
            assert_eq!(content.len() as u64, capacity);
            let (before, behind) = content.split_at(expected.len());
            assert_eq!(before, expected);
            assert!(behind.iter().all(|byte| *byte == 0));
            // A segment that is opened again goes on in the same way.
            active = ActiveSegment::new(String::new(), open(), &expected, capacity);
        }
        disk.writes.into_inner().unwrap()
    }

    #[test]
    fn whole_pages_are_written_whatever_the_batches() {
        let lengths = [64, 4_000, 31, 1, 4_096, 8_192, 5_000, 100_000, 3_000, 1];
        let writes = written(&lengths, 256 * 1024);
        assert_eq!(writes.len(), lengths.len());
        for (start, end) in &writes {
            assert_eq!((start % 4_096, end % 4_096), (0, 0), "{writes:?}");
        }
        // To the byte at which a page ends; the next batch begins a page.
        assert_eq!(writes[3], (0, 4_096));
        assert_eq!(writes[4], (4_096, 8_192));
    }

    #[test]
    fn a_segment_may_end_within_a_page() {
        assert_eq!(written(&[4_097, 903], 5_000), [(0, 5_000), (4_096, 5_000)]);
    }
}
