//! Integers of few bytes, as sets of rows are written.

use dataos_proof::wire::Cursor;

/// Seven bits a byte, low bits first, the highest bit set in all but the last.
pub(crate) fn varint(cursor: &mut Cursor<'_>) -> Option<u32> {
    let mut value = 0_u32;
    for shift in [0, 7, 14, 21, 28] {
        let byte = u32::from(cursor.u8()?);
        value |= (byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return (shift < 28 || byte < 16).then_some(value);
        }
    }
    None
}

pub(crate) fn put_varint(out: &mut Vec<u8>, value: u32) {
    let mut rest = value;
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
