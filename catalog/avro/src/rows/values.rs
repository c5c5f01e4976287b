//! The values of one column: taken from the bytes of rows into arrays, or passed over.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, BinaryViewBuilder, BooleanBuilder, Date32Builder, Decimal128Builder,
        Float32Builder, Float64Builder, Int32Builder, Int64Builder, ListArray, NullArray,
        NullBufferBuilder, StringViewBuilder, TimestampMicrosecondBuilder,
    },
    buffer::OffsetBuffer,
    error::ArrowError,
};
use uuid::Uuid;

use crate::{
    reading::{Cells, Reading},
    schema::{Node, Shape, Unit},
    wire::{Cursor, Stop},
};

/// Most items of a list in one row.
const LIST_ITEMS_MAX: u64 = 1_000_000;

/// Values so far.
pub(super) enum Values {
    Bool(BooleanBuilder),
    Int(Int32Builder),
    Long(Int64Builder),
    Float(Float32Builder),
    Double(Float64Builder),
    Text(StringViewBuilder),
    Bytes(BinaryViewBuilder),
    Decimal(Decimal128Builder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    List(Box<Lists>),
    /// So many, which are not kept.
    Unread(usize),
}

/// Lists so far.
pub(super) struct Lists {
    items: Values,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Lists {
    fn of(items: &Cells) -> Self {
        Self {
            items: Values::of(items),
            offsets: vec![0],
            nulls: NullBufferBuilder::new(0),
        }
    }

    /// Ends a list here.
    fn end(&mut self, is_valid: bool) -> Result<(), Stop> {
        let length = i32::try_from(self.items.len()).map_err(|_| Stop::TooLarge(LONG_LIST))?;
        self.offsets.push(length);
        self.nulls.append(is_valid);
        Ok(())
    }
}

const LONG_LIST: &str = "a list of more than 1 000 000 items";
const WRONG_BRANCH: &str = "a branch that its union has not";

impl Values {
    pub(super) fn of(cells: &Cells) -> Self {
        match &cells.reading {
            Reading::Bool => Self::Bool(BooleanBuilder::new()),
            Reading::Int => Self::Int(Int32Builder::new()),
            Reading::Long => Self::Long(Int64Builder::new()),
            Reading::Float => Self::Float(Float32Builder::new()),
            Reading::Double => Self::Double(Float64Builder::new()),
            Reading::Text | Reading::Symbols(_) | Reading::UuidText | Reading::UuidBytes => {
                Self::Text(StringViewBuilder::new())
            }
            Reading::Bytes | Reading::Fixed(_) => Self::Bytes(BinaryViewBuilder::new()),
            Reading::Decimal { .. } => {
                Self::Decimal(Decimal128Builder::new().with_data_type(cells.data_type()))
            }
            Reading::Date => Self::Date(Date32Builder::new()),
            Reading::Timestamp { .. } => {
                let builder = TimestampMicrosecondBuilder::new();
                Self::Timestamp(builder.with_data_type(cells.data_type()))
            }
            Reading::List(items) => Self::List(Box::new(Lists::of(items))),
            Reading::Unread(_) => Self::Unread(0),
        }
    }

    /// Takes a value, or NULL.
    pub(super) fn read(&mut self, cells: &Cells, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        if let Self::Unread(count) = self {
            *count += 1;
            return skip(&cells.node, cursor);
        }
        if let Some(branches) = cells.branches {
            let branch = cursor.long()?;
            if Some(branch) == branches.null {
                return self.push_null();
            }
            if branch != branches.value {
                return Err(Stop::Malformed(WRONG_BRANCH));
            }
        }
        self.push(&cells.reading, cursor)
    }

    fn push(&mut self, reading: &Reading, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        match (self, reading) {
            (Self::Bool(values), _) => values.append_value(cursor.bool()?),
            (Self::Int(values), _) => values.append_value(cursor.int()?),
            (Self::Long(values), _) => values.append_value(cursor.long()?),
            (Self::Float(values), _) => values.append_value(f32::from_le_bytes(cursor.array()?)),
            (Self::Double(values), _) => values.append_value(f64::from_le_bytes(cursor.array()?)),
            (Self::Date(values), _) => values.append_value(cursor.int()?),
            (Self::Timestamp(values), Reading::Timestamp { unit, .. }) => {
                values.append_value(microseconds(cursor.long()?, *unit)?);
            }
            (Self::Bytes(values), Reading::Fixed(size)) => values.append_value(cursor.take(*size)?),
            (Self::Bytes(values), _) => values.append_value(cursor.bytes()?),
            (Self::Text(values), Reading::Symbols(symbols)) => {
                let index = usize::try_from(cursor.int()?).ok();
                let symbol = index.and_then(|index| symbols.get(index));
                values.append_value(symbol.ok_or(Stop::Malformed(WRONG_SYMBOL))?);
            }
            (Self::Text(values), Reading::UuidText) => values.append_value(uuid(cursor.text()?)?),
            (Self::Text(values), Reading::UuidBytes) => {
                values.append_value(Uuid::from_bytes(cursor.array()?).to_string());
            }
            (Self::Text(values), _) => values.append_value(cursor.text()?),
            (
                Self::Decimal(values),
                Reading::Decimal {
                    fixed, precision, ..
                },
            ) => {
                let bytes = match fixed {
                    Some(size) => cursor.take(*size)?,
                    None => cursor.bytes()?,
                };
                values.append_value(decimal(bytes, *precision)?);
            }
            (Self::List(lists), Reading::List(items)) => lists.read(items, cursor)?,
            // Of another reading than it was made for, which does not occur.
            (Self::Decimal(_) | Self::Timestamp(_) | Self::List(_) | Self::Unread(_), _) => {
                return Err(Stop::Malformed("a value of another type"));
            }
        }
        Ok(())
    }

    fn push_null(&mut self) -> Result<(), Stop> {
        match self {
            Self::Bool(values) => values.append_null(),
            Self::Int(values) => values.append_null(),
            Self::Long(values) => values.append_null(),
            Self::Float(values) => values.append_null(),
            Self::Double(values) => values.append_null(),
            Self::Text(values) => values.append_null(),
            Self::Bytes(values) => values.append_null(),
            Self::Decimal(values) => values.append_null(),
            Self::Date(values) => values.append_null(),
            Self::Timestamp(values) => values.append_null(),
            Self::List(lists) => lists.end(false)?,
            Self::Unread(count) => *count += 1,
        }
        Ok(())
    }

    fn len(&self) -> usize {
        use arrow::array::ArrayBuilder as _;
        match self {
            Self::Bool(values) => values.len(),
            Self::Int(values) => values.len(),
            Self::Long(values) => values.len(),
            Self::Float(values) => values.len(),
            Self::Double(values) => values.len(),
            Self::Text(values) => values.len(),
            Self::Bytes(values) => values.len(),
            Self::Decimal(values) => values.len(),
            Self::Date(values) => values.len(),
            Self::Timestamp(values) => values.len(),
            Self::List(lists) => lists.offsets.len() - 1,
            Self::Unread(count) => *count,
        }
    }

    /// The values so far, which are then begun anew.
    pub(super) fn finish(&mut self, cells: &Cells) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Bool(values) => Arc::new(values.finish()),
            Self::Int(values) => Arc::new(values.finish()),
            Self::Long(values) => Arc::new(values.finish()),
            Self::Float(values) => Arc::new(values.finish()),
            Self::Double(values) => Arc::new(values.finish()),
            Self::Text(values) => Arc::new(values.finish()),
            Self::Bytes(values) => Arc::new(values.finish()),
            Self::Decimal(values) => Arc::new(values.finish()),
            Self::Date(values) => Arc::new(values.finish()),
            Self::Timestamp(values) => Arc::new(values.finish()),
            Self::List(lists) => lists.finish(cells)?,
            Self::Unread(count) => Arc::new(NullArray::new(std::mem::take(count))),
        })
    }
}

impl Lists {
    fn read(&mut self, cells: &Cells, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        let mut length = 0_u64;
        loop {
            let count = cursor.items()?;
            if count == 0 {
                return self.end(true);
            }
            length = length.saturating_add(count);
            if length > LIST_ITEMS_MAX {
                return Err(Stop::TooLarge(LONG_LIST));
            }
            // Each takes a byte at least, so a count that lies ends where the bytes end.
            for _ in 0..count {
                self.items.read(cells, cursor)?;
            }
        }
    }

    fn finish(&mut self, cells: &Cells) -> Result<ArrayRef, ArrowError> {
        let Reading::List(items) = &cells.reading else {
            return Err(ArrowError::ComputeError("lists of no list".to_owned()));
        };
        let offsets = OffsetBuffer::new(std::mem::replace(&mut self.offsets, vec![0]).into());
        let values = self.items.finish(items)?;
        let list = ListArray::try_new(items.item_field(), offsets, values, self.nulls.finish())?;
        Ok(Arc::new(list) as Arc<dyn Array>)
    }
}

/// Passes over a value. Each step takes a byte or goes deeper in the schema, so neither time nor stack depends on
/// what the value claims.
pub(super) fn skip(node: &Node, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
    if node.is_empty {
        return Ok(());
    }
    match &node.shape {
        Shape::Null => Ok(()),
        Shape::Bool => cursor.bool().map(drop),
        Shape::Int => cursor.int().map(drop),
        Shape::Long => cursor.long().map(drop),
        Shape::Float => cursor.take(4).map(drop),
        Shape::Double => cursor.take(8).map(drop),
        Shape::Bytes => cursor.bytes().map(drop),
        Shape::Text => cursor.text().map(drop),
        Shape::Fixed(size) => cursor.take(*size).map(drop),
        Shape::Enum(symbols) => match usize::try_from(cursor.int()?) {
            Ok(index) if index < symbols.len() => Ok(()),
            _ => Err(Stop::Malformed(WRONG_SYMBOL)),
        },
        Shape::Array(items) => skip_items(cursor, items.is_empty, |cursor| skip(items, cursor)),
        Shape::Map(values) => skip_items(cursor, false, |cursor| {
            cursor.text()?;
            skip(values, cursor)
        }),
        Shape::Record(fields) => fields.iter().try_for_each(|field| skip(field, cursor)),
        Shape::Union(branches) => {
            let index = usize::try_from(cursor.long()?).ok();
            let branch = index.and_then(|index| branches.get(index));
            skip(branch.ok_or(Stop::Malformed(WRONG_BRANCH))?, cursor)
        }
    }
}

fn skip_items(
    cursor: &mut Cursor<'_>,
    are_empty: bool,
    item: impl Fn(&mut Cursor<'_>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    loop {
        let count = cursor.items()?;
        if count == 0 {
            return Ok(());
        }
        if !are_empty {
            (0..count).try_for_each(|_| item(cursor))?;
        }
    }
}

const WRONG_SYMBOL: &str = "a symbol that its enum has not";

/// As long as other sources hold them: parts of a microsecond are cut off.
fn microseconds(value: i64, unit: Unit) -> Result<i64, Stop> {
    match unit {
        Unit::Millisecond => value.checked_mul(1_000).ok_or(Stop::Malformed(
            "a time that microseconds of 64 bits do not reach",
        )),
        Unit::Microsecond => Ok(value),
        Unit::Nanosecond => Ok(value / 1_000),
    }
}

/// In the one form that all sources give it.
fn uuid(text: &str) -> Result<String, Stop> {
    /// Of the form with hyphens.
    const CHARACTERS: usize = 36;
    match Uuid::try_parse(text) {
        Ok(uuid) if text.len() == CHARACTERS => Ok(uuid.to_string()),
        _ => Err(Stop::Malformed("a text that is no UUID")),
    }
}

/// A number in two's complement, the highest byte first.
fn decimal(bytes: &[u8], precision: u8) -> Result<i128, Stop> {
    let [first, ..] = bytes else {
        return Err(Stop::Malformed("a decimal without digits"));
    };
    let sign = if first & 0x80 == 0 { 0 } else { 0xff };
    let mut wide = [sign; size_of::<i128>()];
    let kept = bytes.len().min(wide.len());
    let (extension, low) = bytes.split_at(bytes.len() - kept);
    for (place, byte) in wide.iter_mut().rev().zip(low.iter().rev()) {
        *place = *byte;
    }
    let value = i128::from_be_bytes(wide);
    let is_extended = extension.iter().all(|byte| *byte == sign) && (value < 0) == (sign != 0);
    let bound = 10_u128.pow(u32::from(precision.min(38)));
    if is_extended && value.unsigned_abs() < bound {
        Ok(value)
    } else {
        Err(Stop::Malformed(
            "a decimal of more digits than its type has",
        ))
    }
}
