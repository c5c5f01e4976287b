//! What is read of a file.

use arrow::{
    array::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};
use dataos_avro::{Pieces, Problem, Rows};

/// The rows as texts, of a file that comes in pieces of so many bytes.
pub(crate) fn read(
    file: &[u8],
    chunk: usize,
    columns: Option<&[&str]>,
) -> Result<Vec<String>, Problem> {
    let mut pieces = Pieces::default();
    let mut chunks = file.chunks(chunk);
    let header = loop {
        if let Some(header) = pieces.header()? {
            break header;
        }
        match chunks.next() {
            Some(bytes) => pieces.feed(bytes),
            None => return Err(Problem::Damaged("no header".to_owned())),
        }
    };
    let schema = header.schema();
    let all: Vec<&str> = schema
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    let mut rows = Rows::new(&header, columns.unwrap_or(&all))?;
    let mut texts = Vec::new();
    loop {
        while let Some(batch) = rows.read(7)? {
            texts.extend(texts_of(&batch));
        }
        if let Some(block) = pieces.block(&header)? {
            rows.load(block)?;
        } else if let Some(bytes) = chunks.next() {
            pieces.feed(bytes);
        } else {
            break;
        }
    }
    pieces.end()?;
    texts.extend(rows.take()?.iter().flat_map(texts_of));
    Ok(texts)
}

fn texts_of(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("-");
    let columns = batch.columns().iter();
    let columns: Vec<_> = columns
        .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
        .collect();
    let row = |row| {
        let cells = columns.iter().map(|column| column.value(row).to_string());
        cells.collect::<Vec<_>>().join("|")
    };
    (0..batch.num_rows()).map(row).collect()
}

/// The columns as `name type`, with `?` where NULL may be.
pub(crate) fn columns(file: &[u8]) -> Result<Vec<String>, Problem> {
    let mut pieces = Pieces::default();
    pieces.feed(file);
    let header = pieces.header()?.expect("a whole header");
    let columns = header.schema().columns.into_iter().map(|column| {
        let mark = if column.is_nullable { "?" } else { "" };
        format!("{} {}{mark}", column.name, column.column_type)
    });
    Ok(columns.collect())
}
