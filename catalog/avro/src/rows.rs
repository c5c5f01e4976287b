//! Rows out of blocks: the columns that are wanted are made, the others passed over.

mod values;

use std::{fmt, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    datatypes::{Field, Schema, SchemaRef},
};

use self::values::{Values, skip};
use crate::{
    Problem,
    codec::Codec,
    pieces::{Block, Header},
    reading::Cells,
    schema::Node,
    shown,
    wire::{Cursor, Stop},
};

/// Bytes of blocks after which a batch is full, whatever its number of rows. Of each byte at most one value of 16
/// bytes is made, so a batch takes at most some 16 times this, and one row.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// A column while it is made.
struct Column {
    name: String,
    cells: Cells,
    values: Values,
}

/// What is done with a field of a row.
enum Step {
    Skip(Arc<Node>),
    /// Into the column of this number.
    Read(usize),
}

/// The rows of a file, block by block, as batches of some of its columns.
pub struct Rows {
    codec: Codec,
    /// In the order of the file.
    steps: Vec<Step>,
    /// In the order of the batches.
    columns: Vec<Column>,
    schema: SchemaRef,
    /// Of the block that is being read: its rows, where the next one begins, how many are left.
    block: Vec<u8>,
    at: usize,
    left: u64,
    number: u64,
    /// Rows and bytes that the next batch has so far.
    count: usize,
    bytes: usize,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows")
            .field("schema", &self.schema)
            .field("block", &self.number)
            .finish_non_exhaustive()
    }
}

impl Rows {
    /// Of these columns, in this order.
    ///
    /// # Errors
    /// A column that the file does not have.
    pub fn new(header: &Header, wanted: &[&str]) -> Result<Self, Problem> {
        let steps = header.fields.iter().map(|field| {
            let slot = wanted.iter().position(|name| *name == field.name);
            slot.map_or_else(|| Step::Skip(Arc::clone(&field.node)), Step::Read)
        });
        let columns = wanted.iter().map(|name| {
            let field = header.fields.iter().find(|field| field.name == *name);
            let missing = || Problem::damaged(format!("column `{}` is missing", shown(name)));
            let cells = Cells::of(&field.ok_or_else(missing)?.node);
            Ok(Column {
                name: (*name).to_owned(),
                values: Values::of(&cells),
                cells,
            })
        });
        let columns: Vec<Column> = columns.collect::<Result<_, Problem>>()?;
        let fields = columns.iter().map(|column| {
            let cells = &column.cells;
            Field::new(&column.name, cells.data_type(), cells.is_nullable())
        });
        Ok(Self {
            codec: header.codec,
            steps: steps.collect(),
            schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            columns,
            block: Vec::new(),
            at: 0,
            left: 0,
            number: 0,
            count: 0,
            bytes: 0,
        })
    }

    /// Goes on with a block. All rows of the former one must have been read.
    ///
    /// # Errors
    /// A block that cannot be unpacked.
    pub fn load(&mut self, block: Block) -> Result<(), Problem> {
        self.number = block.number;
        self.left = block.row_count;
        self.at = 0;
        let unpacked = self.codec.unpack(block.bytes);
        self.block = unpacked.map_err(|problem| self.within(problem))?;
        self.check_end()
    }

    /// Reads rows until there is a batch, of at most so many, or the block has no more.
    ///
    /// # Errors
    /// Bytes that are not rows of the schema.
    pub fn read(&mut self, rows_max: usize) -> Result<Option<RecordBatch>, Problem> {
        while self.left > 0 {
            if self.count >= rows_max || self.bytes >= BATCH_BYTES_MAX {
                return self.take();
            }
            self.row()?;
        }
        Ok(None)
    }

    /// What has been read and is in no batch yet.
    ///
    /// # Errors
    /// None that a file causes.
    pub fn take(&mut self) -> Result<Option<RecordBatch>, Problem> {
        if self.count == 0 {
            return Ok(None);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.count));
        let arrays = self
            .columns
            .iter_mut()
            .map(|column| column.values.finish(&column.cells));
        let batch = arrays
            .collect::<Result<Vec<ArrayRef>, _>>()
            .and_then(|arrays| {
                RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
            });
        (self.count, self.bytes) = (0, 0);
        batch
            .map(Some)
            .map_err(|_| Problem::damaged("its rows form no batch"))
    }

    fn row(&mut self) -> Result<(), Problem> {
        let rest = self.block.get(self.at..).unwrap_or_default();
        let mut cursor = Cursor::new(rest);
        for (index, step) in self.steps.iter().enumerate() {
            let (done, name) = match step {
                Step::Skip(node) => (skip(node, &mut cursor), None),
                Step::Read(slot) => match self.columns.get_mut(*slot) {
                    Some(column) => {
                        let done = column.values.read(&column.cells, &mut cursor);
                        (done, Some(column.name.as_str()))
                    }
                    None => (Ok(()), None),
                },
            };
            if let Err(stop) = done {
                let problem = problem(stop, index, name);
                return Err(self.within(problem));
            }
        }
        let length = rest.len() - cursor.left();
        self.at += length;
        self.bytes += length;
        self.count += 1;
        self.left -= 1;
        self.check_end()
    }

    /// Behind the last row of a block there is nothing.
    fn check_end(&self) -> Result<(), Problem> {
        if self.left == 0 && self.at < self.block.len() {
            let problem = Problem::damaged("bytes are left over behind its last row");
            return Err(self.within(problem));
        }
        Ok(())
    }

    fn within(&self, problem: Problem) -> Problem {
        problem.at(&format!("block {}", self.number))
    }
}

/// Of a column that is read by its name, else by its number.
fn problem(stop: Stop, index: usize, name: Option<&str>) -> Problem {
    let place = match name {
        Some(name) => format!("column `{}`", shown(name)),
        None => format!("column {}", index + 1),
    };
    match stop {
        Stop::Short => Problem::damaged("its bytes end within a row, or before the last one"),
        stop => Problem::from(stop),
    }
    .at(&place)
}
