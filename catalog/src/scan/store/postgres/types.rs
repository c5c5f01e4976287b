//! Types of PostgreSQL as column types. A type whose equality or form differs from ours (`citext`,
//! enumerations, unbounded `numeric`) is named and not read.

use std::collections::HashMap;

use dataos_model::dataset::ColumnType;
use sqlx::{
    Row,
    postgres::{PgRow, types::Oid},
};

/// Most domains over domains that are followed.
const DOMAIN_DEPTH_MAX: usize = 8;
/// Digits that our decimals hold.
const DIGITS_MAX: i32 = 38;

/// The type of one column, as `pg_attribute` has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attribute {
    type_oid: u32,
    modifier: i32,
    /// Whether equal text is equal bytes under its collation.
    is_deterministic: bool,
}

impl Attribute {
    /// Reads the columns of a row of `pg_attribute`.
    pub(super) fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            type_oid: row.try_get::<Oid, _>("atttypid")?.0,
            modifier: row.try_get("atttypmod")?,
            is_deterministic: row.try_get("is_deterministic")?,
        })
    }
}

/// The types of a database.
#[derive(Debug)]
pub(super) struct Types(HashMap<u32, Type>);

#[derive(Debug)]
struct Type {
    name: String,
    is_domain: bool,
    is_array: bool,
    is_builtin: bool,
    element: u32,
    base: u32,
    base_modifier: i32,
}

impl Types {
    /// Reads rows of `pg_type`.
    pub(super) fn read(rows: &[PgRow]) -> Result<Self, sqlx::Error> {
        let read = |row: &PgRow| {
            let oid: Oid = row.try_get("oid")?;
            Ok((
                oid.0,
                Type {
                    name: row.try_get("name")?,
                    is_domain: row.try_get::<String, _>("kind")? == "d",
                    is_array: row.try_get::<String, _>("category")? == "A",
                    is_builtin: row.try_get("is_builtin")?,
                    element: row.try_get::<Oid, _>("typelem")?.0,
                    base: row.try_get::<Oid, _>("typbasetype")?.0,
                    base_modifier: row.try_get("typtypmod")?,
                },
            ))
        };
        rows.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The column type of a column.
    pub(super) fn column_type(&self, attribute: &Attribute) -> ColumnType {
        let (mut oid, mut modifier) = (attribute.type_oid, attribute.modifier);
        for _ in 0..DOMAIN_DEPTH_MAX {
            let Some(found) = self.0.get(&oid) else {
                return ColumnType::Other("composite type".to_owned());
            };
            if found.is_domain {
                (oid, modifier) = (found.base, found.base_modifier);
                continue;
            }
            let column_type = self.plain(found, modifier);
            let is_text = matches!(column_type, ColumnType::Text)
                || matches!(&column_type, ColumnType::List(item) if **item == ColumnType::Text);
            return if is_text && !attribute.is_deterministic {
                ColumnType::Other(format!("{} with a nondeterministic collation", found.name))
            } else {
                column_type
            };
        }
        ColumnType::Other("domain over too many domains".to_owned())
    }

    fn plain(&self, found: &Type, modifier: i32) -> ColumnType {
        if !found.is_builtin {
            return ColumnType::Other(found.name.clone());
        }
        if found.is_array {
            let item = self
                .0
                .get(&found.element)
                .map(|item| scalar(item, modifier));
            return match item {
                Some(
                    item @ (ColumnType::Text
                    | ColumnType::Int(_)
                    | ColumnType::Uuid
                    | ColumnType::Bool
                    | ColumnType::Float(_)),
                ) => ColumnType::List(Box::new(item)),
                _ => ColumnType::Other(found.name.clone()),
            };
        }
        scalar(found, modifier)
    }
}

fn scalar(found: &Type, modifier: i32) -> ColumnType {
    match found.name.as_str() {
        _ if !found.is_builtin || found.is_domain => ColumnType::Other(found.name.clone()),
        "bool" => ColumnType::Bool,
        "int2" => ColumnType::Int(16),
        "int4" => ColumnType::Int(32),
        "int8" => ColumnType::Int(64),
        "float4" => ColumnType::Float(32),
        "float8" => ColumnType::Float(64),
        "numeric" => numeric(modifier),
        "text" | "varchar" | "bpchar" | "name" => ColumnType::Text,
        "bytea" => ColumnType::Binary,
        "date" => ColumnType::Date,
        "timestamptz" => ColumnType::Timestamp,
        "timestamp" => ColumnType::LocalTimestamp,
        "uuid" => ColumnType::Uuid,
        "json" | "jsonb" => ColumnType::Json,
        name => ColumnType::Other(name.to_owned()),
    }
}

/// `numeric(p, s)`: the modifier holds p in its upper and s, signed, in its lower 11 bits.
fn numeric(modifier: i32) -> ColumnType {
    if modifier < 4 {
        return ColumnType::Other("numeric".to_owned());
    }
    let packed = modifier - 4;
    let precision = (packed >> 16) & 0xffff;
    let scale = ((packed & 0x7ff) ^ 0x400) - 0x400;
    match (u8::try_from(precision), u8::try_from(scale)) {
        (Ok(precision), Ok(scale)) if i32::from(precision) <= DIGITS_MAX && scale <= precision => {
            ColumnType::Decimal { precision, scale }
        }
        _ => ColumnType::Other(format!("numeric({precision},{scale})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numerics() {
        let modifier = |precision: i32, scale: i32| ((precision << 16) | (scale & 0x7ff)) + 4;
        for (modifier, expected) in [
            (-1, "unsupported(numeric)"),
            (modifier(12, 2), "decimal(12,2)"),
            (modifier(38, 38), "decimal(38,38)"),
            (modifier(39, 0), "unsupported(numeric(39,0))"),
            (modifier(5, -2), "unsupported(numeric(5,-2))"),
            (modifier(2, 5), "unsupported(numeric(2,5))"),
        ] {
            assert_eq!(numeric(modifier).to_string(), expected);
        }
    }
}
