//! Values as they lie in a file: zigzag numbers, and bytes behind their length.

use crate::Problem;

/// Why a value could not be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The bytes end before it does.
    Short,
    /// No value of its type looks so.
    Malformed(&'static str),
    /// It is larger than what is read here.
    TooLarge(&'static str),
}

impl From<Stop> for Problem {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Short => Self::damaged("it ends in the middle of a value"),
            Stop::Malformed(what) => Self::damaged(what),
            Stop::TooLarge(what) => Self::unsupported(what),
        }
    }
}

/// Bytes that are taken from their start on.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Stop> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Stop::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Stop::Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn long(&mut self) -> Result<i64, Stop> {
        let mut bits = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let [byte] = self.array()?;
            // Of the tenth byte only one bit has room.
            if shift == 63 && byte > 1 {
                return Err(Stop::Malformed("a number of more than 64 bits"));
            }
            bits |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        Ok((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed())
    }

    pub(crate) fn int(&mut self) -> Result<i32, Stop> {
        i32::try_from(self.long()?).map_err(|_| Stop::Malformed("a number of more than 32 bits"))
    }

    pub(crate) fn bool(&mut self) -> Result<bool, Stop> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Stop::Malformed("a boolean that is neither 0 nor 1")),
        }
    }

    /// Bytes behind their length.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Stop> {
        let length = self.long()?;
        let length = u64::try_from(length).map_err(|_| Stop::Malformed("a negative length"))?;
        self.take(usize::try_from(length).map_err(|_| Stop::Short)?)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Stop> {
        str::from_utf8(self.bytes()?).map_err(|_| Stop::Malformed("a text that is not UTF-8"))
    }

    /// How many items of an array or map follow; 0 behind the last ones.
    pub(crate) fn items(&mut self) -> Result<u64, Stop> {
        let count = self.long()?;
        // Then the size in bytes follows, for readers that pass over them unseen.
        if count < 0 && self.long()? < 0 {
            return Err(Stop::Malformed("a negative length"));
        }
        Ok(count.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Result<i64, Stop>) {
        assert_eq!(Cursor::new(bytes).long(), expected, "{bytes:?}");
    }

    #[test]
    fn numbers_are_zigzag_and_have_64_bits() {
        check(&[0], Ok(0));
        check(&[1], Ok(-1));
        check(&[2], Ok(1));
        check(&[0x80, 1], Ok(64));
        let ends = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        check(&ends, Ok(i64::MIN));
        let mut ends = ends;
        ends[0] = 0xfe;
        check(&ends, Ok(i64::MAX));
        ends[9] = 2;
        check(&ends, Err(Stop::Malformed("a number of more than 64 bits")));
        check(&ends[..9], Err(Stop::Short));
        check(&[], Err(Stop::Short));
    }

    #[test]
    fn lengths_are_not_believed() {
        let mut huge = Cursor::new(&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 7]);
        assert_eq!(huge.bytes(), Err(Stop::Short));
        let mut negative = Cursor::new(&[3, 7, 7]);
        assert_eq!(negative.bytes(), Err(Stop::Malformed("a negative length")));
        let mut text = Cursor::new(&[2, 0xff]);
        assert_eq!(
            text.text(),
            Err(Stop::Malformed("a text that is not UTF-8"))
        );
        let mut items = Cursor::new(&[3, 8, 7]);
        assert_eq!((items.items(), items.left()), (Ok(2), 1));
    }
}
