//! Parts that say what their columns are: those of a dataset say the same.

use dataos_model::dataset::DatasetSchema;

use super::files::part::Part;

/// Schema and row count of all parts together; a column is nullable if it is so in any part, and the row count is
/// known if that of each part is.
pub(super) fn read(
    parts: &[Box<dyn Part>],
    read_part: impl Fn(&dyn Part) -> Result<(DatasetSchema, Option<u64>), String>,
) -> Result<(DatasetSchema, Option<u64>), String> {
    let mut whole: Option<DatasetSchema> = None;
    let mut row_count = Some(0_u64);
    for part in parts {
        let (schema, rows) = read_part(part.as_ref()).map_err(|problem| match parts.len() {
            1 => problem,
            _ => format!("{}: {problem}", part.name()),
        })?;
        let counts = row_count.zip(rows);
        row_count = counts.map(|(sum, rows)| sum.saturating_add(rows));
        whole = Some(match whole {
            None => schema,
            Some(known) => join(known, schema).ok_or_else(|| {
                format!("{}: its columns differ from the other parts", part.name())
            })?,
        });
    }
    Ok((whole.unwrap_or_default(), row_count))
}

fn join(mut known: DatasetSchema, part: DatasetSchema) -> Option<DatasetSchema> {
    if known.columns.len() != part.columns.len() {
        return None;
    }
    for (known, part) in known.columns.iter_mut().zip(part.columns) {
        if known.name != part.name || known.column_type != part.column_type {
            return None;
        }
        known.is_nullable |= part.is_nullable;
    }
    Some(known)
}
