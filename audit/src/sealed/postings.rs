//! A set of rows as bytes: `0` and the gaps between rows as varints, or `1` and a Roaring bitmap,
//! whichever is shorter.

use dataos_proof::wire::Cursor;
use roaring::RoaringBitmap;

use super::varint::{put_varint, varint};

const GAPS: u8 = 0;
const ROARING: u8 = 1;

/// From so many rows on a bitmap can be shorter than the gaps, however the rows lie.
const BITMAP_ROWS_MIN: usize = 4096;

/// The bytes of a set of rows, which ascend.
pub(crate) fn encode(rows: &[u32]) -> Vec<u8> {
    let mut gaps = Vec::with_capacity(rows.len() * 2 + 1);
    gaps.push(GAPS);
    let (mut next, mut runs) = (0, 0);
    for row in rows {
        let gap = row - next;
        put_varint(&mut gaps, gap);
        runs += usize::from(gap > 0);
        next = row + 1;
    }
    // Else four bytes a run are not less, nor is one bit a row.
    if rows.len() < BITMAP_ROWS_MIN && gaps.len() <= 4 * runs {
        return gaps;
    }
    let Ok(mut rows) = RoaringBitmap::from_sorted_iter(rows.iter().copied()) else {
        return gaps;
    };
    rows.optimize();
    let mut bitmap = vec![ROARING];
    // Writing to memory does not fail; if it did, the gaps are as good.
    match rows.serialize_into(&mut bitmap) {
        Ok(()) if bitmap.len() < gaps.len() => bitmap,
        _ => gaps,
    }
}

/// The set with these bytes, if it is one of rows below `count`.
pub(crate) fn decode(bytes: &[u8], count: u32) -> Option<RoaringBitmap> {
    let (form, rest) = bytes.split_first()?;
    let rows = match *form {
        GAPS => {
            let (mut rows, mut next, mut cursor) = (RoaringBitmap::new(), 0_u32, Cursor::new(rest));
            while !cursor.is_empty() {
                let row = next.checked_add(varint(&mut cursor)?)?;
                rows.try_push(row).ok()?;
                next = row.checked_add(1)?;
            }
            rows
        }
        ROARING => {
            let mut reader = rest;
            let rows = RoaringBitmap::deserialize_from(&mut reader).ok()?;
            reader.is_empty().then_some(rows)?
        }
        _ => return None,
    };
    rows.max().is_none_or(|last| last < count).then_some(rows)
}

/// Rows in the two forms in which they are quickly compared with a set.
#[derive(Debug)]
pub(crate) struct RowSet {
    pub(crate) rows: RoaringBitmap,
    /// A bit for each row of the pack.
    bits: Vec<u64>,
}

impl RowSet {
    /// Rows of a pack of `count` entries.
    pub(crate) fn new(rows: RoaringBitmap, count: u32) -> Self {
        let mut bits = vec![0; count.div_ceil(64) as usize];
        for row in &rows {
            if let Some(word) = bits.get_mut((row / 64) as usize) {
                *word |= 1 << (row % 64);
            }
        }
        Self { rows, bits }
    }

    /// How many of the rows are in the set with these bytes.
    pub(crate) fn count_in(&self, bytes: &[u8]) -> Option<u64> {
        let (form, rest) = bytes.split_first()?;
        if *form != GAPS {
            let count = u32::try_from(self.bits.len() * 64).ok()?;
            return Some(decode(bytes, count)?.intersection_len(&self.rows));
        }
        let (mut count, mut next, mut cursor) = (0, 0_u32, Cursor::new(rest));
        while !cursor.is_empty() {
            let row = next.checked_add(varint(&mut cursor)?)?;
            count += self.bits.get((row / 64) as usize)? >> (row % 64) & 1;
            next = row.checked_add(1)?;
        }
        Some(count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sets_read_back(rows in proptest::collection::btree_set(0_u32..200_000, 0..3000)) {
            let bytes = encode(&rows.iter().copied().collect::<Vec<_>>());
            let rows: RoaringBitmap = rows.into_iter().collect();
            prop_assert_eq!(decode(&bytes, 200_000), Some(rows.clone()));
            let even = RowSet::new((0..200_000).step_by(2).collect(), 200_000);
            let expected = rows.iter().filter(|row| row % 2 == 0).count() as u64;
            prop_assert_eq!(even.count_in(&bytes), Some(expected));
            if let Some(last) = rows.max() {
                prop_assert_eq!(decode(&bytes, last), None);
            }
        }

        #[test]
        fn dense_sets_read_back(holes in proptest::collection::btree_set(0_u32..5000, 0..100)) {
            let rows: Vec<u32> = (0..5000).filter(|row| !holes.contains(row)).collect();
            let bytes = encode(&rows);
            prop_assert!(bytes.len() < 1100);
            prop_assert_eq!(decode(&bytes, 5000), Some(rows.into_iter().collect()));
        }

        #[test]
        fn hostile_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Some(rows) = decode(&bytes, 1000) {
                prop_assert!(rows.len() <= 1000);
            }
            let _ = RowSet::new((0..1000).collect(), 1000).count_in(&bytes);
        }
    }
}
