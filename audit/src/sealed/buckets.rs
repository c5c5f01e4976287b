//! Records filed by a hash, so that one read of a few kilobytes finds all that have it.
//!
//! The directory has, for each bucket, its length (u32) and the CRC-32C of its bytes (u32); the data
//! are the buckets one behind the other. The bucket of a hash is its high half, scaled.

use dataos_proof::wire::Cursor;

/// Where each bucket lies.
#[derive(Debug)]
pub(crate) struct Directory {
    /// Start of each bucket and of what follows.
    starts: Vec<u32>,
    checksums: Vec<u32>,
}

/// The bucket of a hash.
pub(crate) fn bucket_of(hash: u64, buckets: usize) -> usize {
    let scaled = (u128::from(hash) * buckets as u128) >> 64;
    usize::try_from(scaled).unwrap_or_default()
}

/// The directory and data of records, each with its hash, in order of hashes.
pub(crate) fn write<B: AsRef<[u8]>>(
    records: impl Iterator<Item = (u64, B)>,
    buckets: usize,
) -> (Vec<u8>, Vec<u8>) {
    let (mut directory, mut data) = (Vec::new(), Vec::new());
    let mut rest = records.peekable();
    for bucket in 0..buckets {
        let start = data.len();
        while let Some((_, bytes)) = rest.next_if(|(hash, _)| bucket_of(*hash, buckets) == bucket) {
            data.extend_from_slice(bytes.as_ref());
        }
        let bytes = data.get(start..).unwrap_or_default();
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        directory.extend_from_slice(&length.to_be_bytes());
        directory.extend_from_slice(&crc32c::crc32c(bytes).to_be_bytes());
    }
    (directory, data)
}

impl Directory {
    /// Reads a directory of data that have `data_bytes` bytes.
    pub(crate) fn read(bytes: &[u8], data_bytes: u64) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let (mut starts, mut checksums, mut end) = (vec![0], Vec::new(), 0_u32);
        while !cursor.is_empty() {
            end = end.checked_add(cursor.u32()?)?;
            starts.push(end);
            checksums.push(cursor.u32()?);
        }
        (u64::from(end) == data_bytes && !checksums.is_empty())
            .then_some(Self { starts, checksums })
    }

    /// Offset and length of the bucket of a hash within the data, and its checksum.
    pub(crate) fn find(&self, hash: u64) -> Option<(u64, usize, u32)> {
        let bucket = bucket_of(hash, self.checksums.len());
        let (start, end) = (*self.starts.get(bucket)?, *self.starts.get(bucket + 1)?);
        let length = usize::try_from(end - start).ok()?;
        Some((u64::from(start), length, *self.checksums.get(bucket)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_record_lies_in_the_bucket_of_its_hash(
            hashes in proptest::collection::vec(any::<u64>(), 0..300),
            buckets in 1_usize..20,
        ) {
            let mut sorted = hashes.clone();
            sorted.sort_unstable();
            let records = sorted.iter().map(|hash| (*hash, hash.to_be_bytes()));
            let (directory, data) = write(records, buckets);
            let read = Directory::read(&directory, data.len() as u64).unwrap();
            for hash in hashes {
                let (start, length, checksum) = read.find(hash).unwrap();
                let bytes = &data[usize::try_from(start).unwrap()..][..length];
                prop_assert_eq!(crc32c::crc32c(bytes), checksum);
                prop_assert!(bytes.chunks(8).any(|record| record == hash.to_be_bytes()));
            }
            prop_assert!(Directory::read(&directory, data.len() as u64 + 1).is_none());
            prop_assert!(Directory::read(&directory[1..], data.len() as u64).is_none());
        }
    }
}
