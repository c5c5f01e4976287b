//! Types of MariaDB and MySQL as column types. A type that has no exact form here is named and not read.

use dataos_model::dataset::ColumnType;

/// Digits that our decimals hold.
const DIGITS_MAX: u8 = 38;

/// The type of a column by its declaration, such as `bigint(20) unsigned` or `decimal(12,2)`.
pub(super) fn column_type(declared: &str) -> ColumnType {
    let (name, rest) = match declared.find(['(', ' ']) {
        Some(end) => declared.split_at(end),
        None => (declared, ""),
    };
    let name = name.to_lowercase();
    let is_unsigned = rest.to_lowercase().contains(" unsigned");
    match (name.as_str(), is_unsigned) {
        // BOOLEAN is a name for tinyint(1), which holds -128 as well.
        ("tinyint", _) | ("smallint", false) | ("year", _) => ColumnType::Int(16),
        ("smallint", true) | ("mediumint", _) | ("int" | "integer", false) => ColumnType::Int(32),
        ("int" | "integer", true) | ("bigint", false) => ColumnType::Int(64),
        ("bigint", true) => ColumnType::Decimal {
            precision: 20,
            scale: 0,
        },
        ("float", _) => ColumnType::Float(32),
        ("double", _) => ColumnType::Float(64),
        ("decimal" | "numeric", _) => decimal(declared, rest),
        ("bit", _) if rest.starts_with("(1)") => ColumnType::Bool,
        ("bit", _) => ColumnType::Other(format!("bit{rest}")),
        ("char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum", _) => {
            ColumnType::Text
        }
        ("binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob", _) => {
            ColumnType::Binary
        }
        ("date", _) => ColumnType::Date,
        // Kept as an instant; the session's zone is UTC.
        ("timestamp", _) => ColumnType::Timestamp,
        // Kept as the clock showed it, in no zone.
        ("datetime", _) => ColumnType::LocalTimestamp,
        ("json", _) => ColumnType::Json,
        ("uuid", _) => ColumnType::Uuid,
        _ => ColumnType::Other(name),
    }
}

fn decimal(declared: &str, rest: &str) -> ColumnType {
    let numbers = rest
        .strip_prefix('(')
        .and_then(|rest| rest.split_once(')'))
        .map(|(numbers, _)| numbers);
    let numbers = numbers.and_then(|numbers| {
        let (precision, scale) = numbers.split_once(',').unwrap_or((numbers, "0"));
        Some((precision.parse().ok()?, scale.parse().ok()?))
    });
    match numbers {
        Some((precision, scale)) if precision <= DIGITS_MAX => {
            ColumnType::Decimal { precision, scale }
        }
        _ => ColumnType::Other(declared.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_exact_or_named() {
        for (declared, expected) in [
            ("tinyint(1)", "smallint"),
            ("tinyint(3) unsigned", "smallint"),
            ("smallint(5) unsigned zerofill", "integer"),
            ("mediumint(9)", "integer"),
            ("int(11)", "integer"),
            ("int(10) unsigned", "bigint"),
            ("int unsigned", "bigint"),
            ("bigint(20)", "bigint"),
            ("bigint(20) unsigned", "decimal(20,0)"),
            ("decimal(12,2)", "decimal(12,2)"),
            ("decimal(12,2) unsigned", "decimal(12,2)"),
            ("decimal(65,30)", "unsupported(decimal(65,30))"),
            ("bit(1)", "boolean"),
            ("bit(8)", "unsupported(bit(8))"),
            ("enum('a','b unsigned')", "text"),
            ("set('a','b')", "unsupported(set)"),
            ("longtext", "text"),
            ("varbinary(8)", "binary"),
            ("datetime(6)", "timestamp"),
            ("timestamp", "timestamptz"),
            ("time(3)", "unsupported(time)"),
            ("year(4)", "smallint"),
            ("uuid", "uuid"),
            ("inet6", "unsupported(inet6)"),
            ("point", "unsupported(point)"),
        ] {
            assert_eq!(column_type(declared).to_string(), expected, "{declared}");
        }
    }
}
