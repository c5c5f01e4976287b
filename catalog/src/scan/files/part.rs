//! One file of a dataset, in a folder or in a bucket, as the readers of formats see it.

use std::{
    fmt::Debug,
    fs::File,
    io::{Read, Seek, SeekFrom},
    ops::Range,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// What is read of a file. Its methods may block.
pub(in crate::scan) trait Part: Debug + Send {
    /// The last part of its path, for messages.
    fn name(&self) -> String;

    /// Its size in bytes.
    fn size(&self) -> Result<u64, String>;

    /// A text that is another one when the file was written since.
    fn version(&self) -> Result<String, String>;

    /// Its bytes, as many of the range as there are.
    fn read(&self, range: Range<u64>) -> Result<Box<dyn Read>, String>;
}

impl dyn Part + '_ {
    /// Exactly so many bytes at its end.
    pub(in crate::scan) fn end(&self, length: u64) -> Result<Vec<u8>, String> {
        let size = self.size()?;
        let start = size.checked_sub(length).ok_or("it is too short")?;
        let mut bytes = Vec::new();
        self.read(start..size)?
            .read_to_end(&mut bytes)
            .map_err(|error| error.to_string())?;
        if bytes.len() as u64 == length {
            Ok(bytes)
        } else {
            Err("it became shorter while it was read".to_owned())
        }
    }
}

/// A file of this machine.
#[derive(Debug)]
pub(super) struct LocalFile(pub(super) PathBuf);

impl LocalFile {
    fn metadata(&self) -> Result<std::fs::Metadata, String> {
        std::fs::metadata(&self.0).map_err(|error| error.to_string())
    }
}

impl Part for LocalFile {
    fn name(&self) -> String {
        name(&self.0)
    }

    fn size(&self) -> Result<u64, String> {
        Ok(self.metadata()?.len())
    }

    fn version(&self) -> Result<String, String> {
        let metadata = self.metadata()?;
        Ok(format!(
            "{} {} {} {} {} {}",
            metadata.len(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime(),
            metadata.ctime_nsec(),
            metadata.ino()
        ))
    }

    fn read(&self, range: Range<u64>) -> Result<Box<dyn Read>, String> {
        let opened = File::open(&self.0).and_then(|mut file| {
            file.seek(SeekFrom::Start(range.start))?;
            Ok(file)
        });
        let file = opened.map_err(|error| error.to_string())?;
        // A file that grows while it is read ends here.
        Ok(Box::new(file.take(range.end.saturating_sub(range.start))))
    }
}

/// The last part of a path, for messages.
pub(super) fn name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}
