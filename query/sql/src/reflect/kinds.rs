//! PostgreSQL's types, as far as columns here have them or clients ask for them.

/// A type of PostgreSQL's catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostgresKind {
    /// Its oid.
    pub oid: u32,
    /// Its name in `pg_type`.
    pub name: &'static str,
    /// Its name in SQL.
    pub sql_name: &'static str,
    /// Bytes of a value, or -1.
    pub size: i16,
    /// Oid of its array type.
    pub array: u32,
    /// `pg_type.typcategory`.
    pub category: char,
}

const fn kind(
    oid: u32,
    name: &'static str,
    sql_name: &'static str,
    size: i16,
    array: u32,
    category: char,
) -> PostgresKind {
    PostgresKind {
        oid,
        name,
        sql_name,
        size,
        array,
        category,
    }
}

/// All of them.
pub const POSTGRES_KINDS: &[PostgresKind] = &[
    kind(16, "bool", "boolean", 1, 1000, 'B'),
    kind(17, "bytea", "bytea", -1, 1001, 'U'),
    kind(18, "char", "\"char\"", 1, 1002, 'Z'),
    kind(19, "name", "name", 64, 1003, 'S'),
    kind(20, "int8", "bigint", 8, 1016, 'N'),
    kind(21, "int2", "smallint", 2, 1005, 'N'),
    kind(23, "int4", "integer", 4, 1007, 'N'),
    kind(25, "text", "text", -1, 1009, 'S'),
    kind(26, "oid", "oid", 4, 1028, 'N'),
    kind(114, "json", "json", -1, 199, 'U'),
    kind(700, "float4", "real", 4, 1021, 'N'),
    kind(701, "float8", "double precision", 8, 1022, 'N'),
    kind(1042, "bpchar", "character", -1, 1014, 'S'),
    kind(1043, "varchar", "character varying", -1, 1015, 'S'),
    kind(1082, "date", "date", 4, 1182, 'D'),
    kind(1083, "time", "time without time zone", 8, 1183, 'D'),
    kind(
        1114,
        "timestamp",
        "timestamp without time zone",
        8,
        1115,
        'D',
    ),
    kind(
        1184,
        "timestamptz",
        "timestamp with time zone",
        8,
        1185,
        'D',
    ),
    kind(1186, "interval", "interval", 16, 1187, 'T'),
    kind(1700, "numeric", "numeric", -1, 1231, 'N'),
    kind(2249, "record", "record", -1, 2287, 'P'),
    kind(2950, "uuid", "uuid", 16, 2951, 'U'),
];

/// The type of this oid, and whether it is its array type.
pub(super) fn of(oid: i64) -> Option<(&'static PostgresKind, bool)> {
    POSTGRES_KINDS.iter().find_map(|kind| match oid {
        oid if oid == i64::from(kind.oid) => Some((kind, false)),
        oid if oid == i64::from(kind.array) => Some((kind, true)),
        _ => None,
    })
}

/// The oid of a type's name, in either of its spellings.
pub(super) fn oid_of(name: &str) -> Option<i64> {
    let name = name.trim().to_lowercase();
    let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
    let (name, is_array) = match name.strip_suffix("[]") {
        Some(name) => (name, true),
        None => (name, false),
    };
    let name = name.trim_matches('"');
    let kind = POSTGRES_KINDS
        .iter()
        .find(|kind| kind.name == name || kind.sql_name == name)?;
    Some(i64::from(if is_array { kind.array } else { kind.oid }))
}

/// A type as SQL writes it.
pub(super) fn shown(oid: i64, modifier: i64) -> String {
    let Some((kind, is_array)) = of(oid) else {
        return "???".to_owned();
    };
    let brackets = if is_array { "[]" } else { "" };
    let details = if kind.name == "numeric" && modifier >= 4 {
        let modifier = modifier - 4;
        format!("({},{})", modifier >> 16, modifier & 0xffff)
    } else {
        String::new()
    };
    format!("{}{details}{brackets}", kind.sql_name)
}
