//! Arrays of one dimension.

use std::sync::Arc;

use datafusion::arrow::{
    array::{ArrayRef, ListArray, new_null_array},
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::{DataType, Field, FieldRef},
};
use dataos_model::dataset::ColumnType;

use super::{Builder, wire::elements};
use crate::column::arrow_type;

/// Elements end to end, and how many each row has.
pub(super) struct List {
    field: FieldRef,
    items: Builder,
    item_count: usize,
    lengths: Vec<usize>,
    validity: Vec<bool>,
}

impl List {
    /// Of elements of this type.
    pub(super) fn new(item: &ColumnType) -> Self {
        Self {
            field: Arc::new(Field::new_list_field(arrow_type(item), true)),
            items: Builder::new(item),
            item_count: 0,
            lengths: Vec::new(),
            validity: Vec::new(),
        }
    }

    /// As [`Builder::append`].
    pub(super) fn append(&mut self, raw: Option<&[u8]>) -> Option<()> {
        let elements = raw.and_then(elements);
        self.validity.push(elements.is_some());
        self.lengths.push(elements.as_ref().map_or(0, Vec::len));
        for element in elements.as_ref()? {
            self.item_count += 1;
            if self.items.append(*element).is_none() && element.is_some() {
                return None;
            }
        }
        Some(())
    }

    /// As [`Builder::finish`].
    pub(super) fn finish(&mut self) -> ArrayRef {
        let lengths = std::mem::take(&mut self.lengths);
        let validity = std::mem::take(&mut self.validity);
        let items = self.items.finish(std::mem::take(&mut self.item_count));
        let offsets = OffsetBuffer::from_lengths(lengths);
        let validity = NullBuffer::from(validity);
        let rows = validity.len();
        ListArray::try_new(Arc::clone(&self.field), offsets, items, Some(validity)).map_or_else(
            |_| new_null_array(&DataType::List(Arc::clone(&self.field)), rows),
            |list| Arc::new(list) as ArrayRef,
        )
    }
}
