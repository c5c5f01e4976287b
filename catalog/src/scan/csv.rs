//! CSV with a header line, RFC 4180: names from the header, types from the cells.
//!
//! A file up to [`WHOLE_BYTES_MAX`] is read whole, so that its types hold for each of its rows and
//! its row count is exact; of a larger one the first rows are looked at.

use dataos_model::dataset::{Column, DatasetSchema};

use super::{COLUMNS_MAX, cell::CellKinds, files::part::Part};

/// Largest file that is read whole.
pub(super) const WHOLE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Most rows looked at in a larger file.
pub(super) const SAMPLE_ROWS_MAX: u64 = 10_000;

/// Schema of all parts together, and their row count if each was read whole.
pub(super) fn read(parts: &[Box<dyn Part>]) -> Result<(DatasetSchema, Option<u64>), String> {
    let mut columns: Vec<(String, CellKinds)> = Vec::new();
    let mut row_count = Some(0);
    for part in parts {
        let rows = read_part(part.as_ref(), &mut columns).map_err(|problem| match parts.len() {
            1 => problem,
            _ => format!("{}: {problem}", part.name()),
        })?;
        row_count = row_count.zip(rows).map(|(sum, rows)| sum + rows);
    }
    let columns = columns.into_iter().map(|(name, kinds)| Column {
        name,
        column_type: kinds.column_type(),
        is_nullable: true,
    });
    Ok((
        DatasetSchema {
            columns: columns.collect(),
        },
        row_count,
    ))
}

fn read_part(
    part: &dyn Part,
    columns: &mut Vec<(String, CellKinds)>,
) -> Result<Option<u64>, String> {
    let is_whole = part.size()? <= WHOLE_BYTES_MAX;
    // A file that grows while it is read, or one endless line, ends here.
    let mut reader = ::csv::ReaderBuilder::new()
        .has_headers(true)
        .from_reader(part.read(0..WHOLE_BYTES_MAX)?);
    let header = reader.headers().map_err(|error| error.to_string())?;
    if !is_whole && header.as_slice().len() as u64 + header.len() as u64 >= WHOLE_BYTES_MAX {
        return Err("the header line does not end".to_owned());
    }
    take_header(header, columns)?;
    let mut record = ::csv::StringRecord::new();
    let mut rows = 0;
    while is_whole || rows < SAMPLE_ROWS_MAX {
        let outcome = reader.read_record(&mut record);
        let is_cut = !is_whole && reader.position().byte() >= WHOLE_BYTES_MAX;
        if is_cut || !outcome.map_err(|error| error.to_string())? {
            break;
        }
        rows += 1;
        for ((_, kinds), cell) in columns.iter_mut().zip(&record) {
            kinds.see(cell);
        }
    }
    Ok(is_whole.then_some(rows))
}

/// The names of the header; a column without one is called `column_N`, counted from 1.
fn take_header(
    header: &::csv::StringRecord,
    columns: &mut Vec<(String, CellKinds)>,
) -> Result<(), String> {
    if header.len() > COLUMNS_MAX {
        return Err(format!(
            "it has {} columns; at most {COLUMNS_MAX} are read",
            header.len()
        ));
    }
    let name = |(index, name): (usize, &str)| match name {
        "" => format!("column_{}", index + 1),
        _ => name.to_owned(),
    };
    let names: Vec<String> = header.iter().enumerate().map(name).collect();
    if header.len() <= 1 && header.iter().all(str::is_empty) {
        return Err("it has no header line".to_owned());
    }
    if columns.is_empty() {
        columns.extend(names.into_iter().map(|name| (name, CellKinds::default())));
    } else if !columns.iter().map(|(name, _)| name).eq(&names) {
        return Err("its header differs from the other parts".to_owned());
    }
    Ok(())
}
