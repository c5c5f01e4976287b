//! The tables of `pg_catalog` and `information_schema`.

use std::collections::BTreeSet;

use sqlparser::keywords::{ALL_KEYWORDS, ALL_KEYWORDS_INDEX, RESERVED_FOR_COLUMN_ALIAS};

use super::{
    World,
    kinds::{POSTGRES_KINDS, of, shown},
    value::Value,
};

/// The two schemas.
pub(super) const SCHEMAS: &[&str] = &["pg_catalog", "information_schema"];
/// Oids of schemas that are always there, of the one role and of the one database.
const PG_CATALOG: i64 = 11;
const INFORMATION_SCHEMA: i64 = 13_000;
const PUBLIC: i64 = 2_200;
const ROLE: i64 = 10;
const DATABASE: i64 = 5;
/// The first oid that is not PostgreSQL's own, and how many others are used.
const OID_MIN: i64 = 16_384;
const OIDS: u64 = 1 << 30;

/// Tables with rows.
const FILLED: &[&str] = &[
    "pg_namespace",
    "pg_class",
    "pg_attribute",
    "pg_type",
    "pg_database",
    "pg_roles",
    "pg_settings",
    "pg_user",
    "pg_tables",
    "pg_description",
    "schemata",
    "tables",
    "columns",
];
/// Tables without rows: what they tell of does not exist here.
const EMPTY: &[&str] = &[
    "pg_aggregate",
    "pg_am",
    "pg_amop",
    "pg_amproc",
    "pg_attrdef",
    "pg_auth_members",
    "pg_cast",
    "pg_collation",
    "pg_constraint",
    "pg_conversion",
    "pg_cursors",
    "pg_db_role_setting",
    "pg_default_acl",
    "pg_depend",
    "pg_enum",
    "pg_event_trigger",
    "pg_extension",
    "pg_foreign_data_wrapper",
    "pg_foreign_server",
    "pg_foreign_table",
    "pg_index",
    "pg_indexes",
    "pg_inherits",
    "pg_language",
    "pg_largeobject_metadata",
    "pg_locks",
    "pg_matviews",
    "pg_opclass",
    "pg_operator",
    "pg_opfamily",
    "pg_partitioned_table",
    "pg_policies",
    "pg_policy",
    "pg_prepared_statements",
    "pg_proc",
    "pg_publication",
    "pg_publication_namespace",
    "pg_publication_rel",
    "pg_range",
    "pg_rewrite",
    "pg_rules",
    "pg_seclabel",
    "pg_sequence",
    "pg_sequences",
    "pg_shdepend",
    "pg_shdescription",
    "pg_stat_activity",
    "pg_stat_database",
    "pg_stat_ssl",
    "pg_stat_user_tables",
    "pg_statio_user_tables",
    "pg_statistic",
    "pg_statistic_ext",
    "pg_stats",
    "pg_subscription",
    "pg_subscription_rel",
    "pg_tablespace",
    "pg_trigger",
    "pg_transform",
    "pg_ts_config",
    "pg_ts_dict",
    "pg_ts_parser",
    "pg_ts_template",
    "pg_user_mapping",
    "pg_user_mappings",
    "pg_views",
    "check_constraints",
    "column_privileges",
    "constraint_column_usage",
    "constraint_table_usage",
    "domains",
    "element_types",
    "key_column_usage",
    "parameters",
    "referential_constraints",
    "routines",
    "sequences",
    "table_constraints",
    "table_privileges",
    "triggers",
    "views",
];

/// Whether a name without its schema means one of these tables.
pub(super) fn is_system(name: &str) -> bool {
    name.starts_with("pg_") && (FILLED.contains(&name) || EMPTY.contains(&name))
}

/// Rows in memory.
#[derive(Debug, Default)]
pub(super) struct Relation {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<Value>>,
    /// Any column may be named: there is no row that could have a value for it.
    pub(super) is_open: bool,
}

impl Relation {
    fn new<const N: usize>(columns: [&str; N]) -> Self {
        Self {
            columns: columns.map(str::to_owned).to_vec(),
            ..Self::default()
        }
    }

    fn row<const N: usize>(&mut self, row: [Value; N]) {
        self.rows.push(row.to_vec());
    }

    pub(super) fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|name| name == column)
    }
}

fn text(text: &str) -> Value {
    Value::text(text)
}

fn int(value: impl Into<i64>) -> Value {
    Value::Int(value.into())
}

/// A table by its name, without its schema.
pub(super) fn relation(world: &World, name: &str) -> Option<Relation> {
    Some(match name {
        "pg_namespace" => namespaces(world),
        "pg_class" => classes(world),
        "pg_attribute" => attributes(world),
        "pg_description" => descriptions(world),
        "pg_type" => types(),
        "pg_database" => databases(world),
        "pg_roles" => roles(world),
        "pg_user" => users(world),
        "pg_tables" => pg_tables(world),
        "pg_settings" => settings(),
        "schemata" => schemata(world),
        "tables" => tables(world),
        "columns" => columns(world),
        name if EMPTY.contains(&name) => Relation {
            is_open: true,
            ..Relation::default()
        },
        _ => return None,
    })
}

/// What `current_setting` and `pg_settings` tell.
const SETTINGS: &[(&str, &str)] = &[
    ("client_encoding", "UTF8"),
    ("default_transaction_isolation", "read committed"),
    ("integer_datetimes", "on"),
    ("max_identifier_length", "63"),
    // There are no indexes; drivers ask how many columns one may have.
    ("max_index_keys", "32"),
    ("search_path", "public"),
    ("server_encoding", "UTF8"),
    ("server_version", "15.0"),
    ("server_version_num", "150000"),
    ("standard_conforming_strings", "on"),
    ("timezone", "UTC"),
    ("transaction_isolation", "read committed"),
];

/// The value of a setting.
pub(super) fn setting(name: &str) -> Option<&'static str> {
    let found = SETTINGS.iter().find(|(setting, _)| *setting == name);
    found.map(|(_, value)| *value)
}

fn settings() -> Relation {
    let mut relation = Relation::new(["name", "setting", "unit", "source", "reset_val", "vartype"]);
    for (name, value) in SETTINGS {
        let value = text(value);
        let (unit, source) = (Value::Null, text("default"));
        relation.row([
            text(name),
            value.clone(),
            unit,
            source,
            value,
            text("string"),
        ]);
    }
    relation
}

/// The function that gives the words of the language.
pub(super) const KEYWORDS: &str = "pg_get_keywords";
/// Its columns.
pub(super) const KEYWORD_COLUMNS: [&str; 5] =
    ["word", "catcode", "barelabel", "catdesc", "baredesc"];

/// The words of our own parser, and which of them are no names of columns without quotes.
pub(super) fn keywords() -> Relation {
    let mut relation = Relation::new(KEYWORD_COLUMNS);
    for (word, keyword) in ALL_KEYWORDS.iter().zip(ALL_KEYWORDS_INDEX) {
        let is_reserved = RESERVED_FOR_COLUMN_ALIAS.contains(keyword);
        let (code, told) = match is_reserved {
            true => ("R", "reserved"),
            false => ("U", "unreserved"),
        };
        let label = match is_reserved {
            true => "requires AS",
            false => "can be bare label",
        };
        relation.row([
            Value::Text(word.to_lowercase()),
            text(code),
            Value::Bool(!is_reserved),
            text(told),
            text(label),
        ]);
    }
    relation
}

/// Oids of datasets: the same for the same name in every statement, unless two names collide.
pub(super) fn dataset_oids(world: &World) -> Vec<i64> {
    let mut taken = BTreeSet::new();
    let names = world.datasets.iter();
    names
        .map(|dataset| oid(&format!("{}\0{}", dataset.schema, dataset.name), &mut taken))
        .collect()
}

/// Names and oids of schemas with datasets.
fn schemas(world: &World) -> Vec<(&str, i64)> {
    let names: BTreeSet<&str> = world
        .datasets
        .iter()
        .map(|shown| shown.schema.as_str())
        .collect();
    let mut taken = BTreeSet::new();
    names
        .into_iter()
        .map(|name| (name, oid(name, &mut taken)))
        .collect()
}

/// FNV-1a, from which the next free number is taken.
fn oid(name: &str, taken: &mut BTreeSet<i64>) -> i64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut oid = OID_MIN + i64::try_from(hash % OIDS).unwrap_or(0);
    while !taken.insert(oid) {
        oid += 1;
    }
    oid
}

fn namespaces(world: &World) -> Relation {
    let mut relation = Relation::new(["oid", "nspname", "nspowner", "nspacl"]);
    let own = [
        ("pg_catalog", PG_CATALOG),
        ("information_schema", INFORMATION_SCHEMA),
        ("public", PUBLIC),
    ];
    for (name, oid) in own.into_iter().chain(schemas(world)) {
        relation.row([int(oid), text(name), int(ROLE), Value::Null]);
    }
    relation
}

fn classes(world: &World) -> Relation {
    let (no, zero, null) = (Value::Bool(false), int(0), Value::Null);
    let constants = [
        ("reltype", zero.clone()),
        ("reloftype", zero.clone()),
        ("relowner", int(ROLE)),
        ("relam", zero.clone()),
        ("relfilenode", zero.clone()),
        ("reltablespace", zero.clone()),
        ("relpages", zero.clone()),
        ("reltuples", int(-1)),
        ("relallvisible", zero.clone()),
        ("reltoastrelid", zero.clone()),
        ("relhasindex", no.clone()),
        ("relisshared", no.clone()),
        ("relpersistence", text("p")),
        ("relkind", text("r")),
        ("relchecks", zero.clone()),
        ("relhasrules", no.clone()),
        ("relhastriggers", no.clone()),
        ("relhassubclass", no.clone()),
        ("relrowsecurity", no.clone()),
        ("relforcerowsecurity", no.clone()),
        ("relispopulated", Value::Bool(true)),
        ("relreplident", text("d")),
        ("relispartition", no),
        ("relrewrite", zero),
        ("reloptions", null.clone()),
        ("relacl", null.clone()),
        ("relpartbound", null),
    ];
    let mut relation = Relation::new(["oid", "relname", "relnamespace", "relnatts"]);
    let names = constants.iter().map(|(name, _)| (*name).to_owned());
    relation.columns.extend(names);
    let schemas = schemas(world);
    for (dataset, oid) in world.datasets.iter().zip(dataset_oids(world)) {
        let schema = schemas.iter().find(|(name, _)| *name == dataset.schema);
        let count = i64::try_from(dataset.columns.len()).unwrap_or(0);
        let mut row = vec![
            int(oid),
            text(&dataset.name),
            int(schema.map_or(0, |(_, oid)| *oid)),
            int(count),
        ];
        row.extend(constants.iter().map(|(name, value)| match *name {
            "relkind" if dataset.is_view => text("v"),
            _ => value.clone(),
        }));
        relation.rows.push(row);
    }
    relation
}

fn attributes(world: &World) -> Relation {
    let (no, zero, empty, null) = (Value::Bool(false), int(0), text(""), Value::Null);
    let constants = [
        ("attstattarget", int(-1)),
        ("attndims", zero.clone()),
        ("attcacheoff", int(-1)),
        ("attbyval", no.clone()),
        ("attstorage", text("p")),
        ("attalign", text("i")),
        ("atthasdef", no.clone()),
        ("atthasmissing", no.clone()),
        ("attidentity", empty.clone()),
        ("attgenerated", empty.clone()),
        ("attisdropped", no),
        ("attislocal", Value::Bool(true)),
        ("attinhcount", zero.clone()),
        ("attcollation", zero),
        ("attcompression", empty),
        ("attacl", null.clone()),
        ("attoptions", null.clone()),
        ("attfdwoptions", null.clone()),
        ("attmissingval", null),
    ];
    let mut relation = Relation::new([
        "attrelid",
        "attnum",
        "attname",
        "atttypid",
        "atttypmod",
        "attlen",
        "attnotnull",
    ]);
    let names = constants.iter().map(|(name, _)| (*name).to_owned());
    relation.columns.extend(names);
    for (dataset, oid) in world.datasets.iter().zip(dataset_oids(world)) {
        for (number, column) in (1_i64..).zip(&dataset.columns) {
            let size = of(column.oid.into()).map_or(
                -1,
                |(kind, is_array)| {
                    if is_array { -1 } else { kind.size }
                },
            );
            let mut row = vec![
                int(oid),
                int(number),
                text(&column.name),
                int(column.oid),
                int(column.modifier),
                int(size),
                Value::Bool(column.is_required),
            ];
            row.extend(constants.iter().map(|(_, value)| value.clone()));
            relation.rows.push(row);
        }
    }
    relation
}

/// Oid of `pg_class` itself, by which descriptions say what they describe.
pub(super) const PG_CLASS: i64 = 1_259;

fn descriptions(world: &World) -> Relation {
    let mut relation = Relation::new(["objoid", "classoid", "objsubid", "description"]);
    for (dataset, oid) in world.datasets.iter().zip(dataset_oids(world)) {
        for (number, column) in (1_i64..).zip(&dataset.columns) {
            if let Some(comment) = &column.comment {
                relation.row([int(oid), int(PG_CLASS), int(number), text(comment)]);
            }
        }
    }
    relation
}

/// Columns of `pg_type`.
const TYPE_COLUMNS: [&str; 25] = [
    "oid",
    "typname",
    "typnamespace",
    "typowner",
    "typlen",
    "typbyval",
    "typtype",
    "typcategory",
    "typispreferred",
    "typisdefined",
    "typdelim",
    "typrelid",
    "typelem",
    "typarray",
    "typnotnull",
    "typbasetype",
    "typtypmod",
    "typndims",
    "typcollation",
    "typdefault",
    "typinput",
    "typoutput",
    "typreceive",
    "typsend",
    "typsubscript",
];

fn types() -> Relation {
    let mut relation = Relation::new(TYPE_COLUMNS);
    for kind in POSTGRES_KINDS {
        let mut add =
            |oid: u32, name: String, size: i16, category: char, element: u32, array: u32| {
                let functions = if element == 0 {
                    name.as_str()
                } else {
                    "array_"
                };
                relation.row([
                    int(oid),
                    text(&name),
                    int(PG_CATALOG),
                    int(ROLE),
                    int(size),
                    Value::Bool(size > 0 && size <= 8),
                    text(if category == 'P' { "p" } else { "b" }),
                    text(&category.to_string()),
                    Value::Bool(false),
                    Value::Bool(true),
                    text(","),
                    int(0),
                    int(element),
                    int(array),
                    Value::Bool(false),
                    int(0),
                    int(-1),
                    int(0),
                    int(0),
                    Value::Null,
                    text(&format!("{functions}in")),
                    text(&format!("{functions}out")),
                    text(&format!("{functions}recv")),
                    text(&format!("{functions}send")),
                    text(if element == 0 {
                        "-"
                    } else {
                        "array_subscript_handler"
                    }),
                ]);
            };
        add(
            kind.oid,
            kind.name.to_owned(),
            kind.size,
            kind.category,
            0,
            kind.array,
        );
        // Arrays of a pseudo-type are one too.
        let category = if kind.category == 'P' { 'P' } else { 'A' };
        add(
            kind.array,
            format!("_{}", kind.name),
            -1,
            category,
            kind.oid,
            0,
        );
    }
    relation
}

fn databases(world: &World) -> Relation {
    let mut relation = Relation::new([
        "oid",
        "datname",
        "datdba",
        "encoding",
        "datlocprovider",
        "datcollate",
        "datctype",
        "datistemplate",
        "datallowconn",
        "datconnlimit",
        "dattablespace",
        "daticulocale",
        "datlocale",
        "daticurules",
        "datacl",
    ]);
    relation.row([
        int(DATABASE),
        text(&world.database),
        int(ROLE),
        int(6),
        text("c"),
        text("C"),
        text("C"),
        Value::Bool(false),
        Value::Bool(true),
        int(-1),
        int(0),
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Null,
    ]);
    relation
}

fn roles(world: &World) -> Relation {
    let mut relation = Relation::new([
        "oid",
        "rolname",
        "rolsuper",
        "rolinherit",
        "rolcreaterole",
        "rolcreatedb",
        "rolcanlogin",
        "rolreplication",
        "rolbypassrls",
        "rolconnlimit",
        "rolvaliduntil",
        "rolconfig",
    ]);
    let (no, yes, null) = (Value::Bool(false), Value::Bool(true), Value::Null);
    relation.row([
        int(ROLE),
        text(&world.user),
        no.clone(),
        yes.clone(),
        no.clone(),
        no.clone(),
        yes,
        no.clone(),
        no,
        int(-1),
        null.clone(),
        null,
    ]);
    relation
}

fn users(world: &World) -> Relation {
    let mut relation = Relation::new(["usesysid", "usename", "usesuper", "usecreatedb"]);
    let no = Value::Bool(false);
    relation.row([int(ROLE), text(&world.user), no.clone(), no]);
    relation
}

fn pg_tables(world: &World) -> Relation {
    let mut relation = Relation::new([
        "schemaname",
        "tablename",
        "tableowner",
        "tablespace",
        "hasindexes",
        "hasrules",
        "hastriggers",
        "rowsecurity",
    ]);
    let no = || Value::Bool(false);
    for dataset in &world.datasets {
        let (schema, name, owner) = (
            text(&dataset.schema),
            text(&dataset.name),
            text(&world.user),
        );
        relation.row([schema, name, owner, Value::Null, no(), no(), no(), no()]);
    }
    relation
}

fn schemata(world: &World) -> Relation {
    let mut relation = Relation::new(["catalog_name", "schema_name", "schema_owner"]);
    let own = SCHEMAS.iter().copied().chain(["public"]);
    for name in own.chain(schemas(world).into_iter().map(|(name, _)| name)) {
        relation.row([text(&world.database), text(name), text(&world.user)]);
    }
    relation
}

fn tables(world: &World) -> Relation {
    let mut relation = Relation::new([
        "table_catalog",
        "table_schema",
        "table_name",
        "table_type",
        "is_insertable_into",
        "is_typed",
        "commit_action",
    ]);
    for dataset in &world.datasets {
        relation.row([
            text(&world.database),
            text(&dataset.schema),
            text(&dataset.name),
            text(if dataset.is_view {
                "VIEW"
            } else {
                "BASE TABLE"
            }),
            text("NO"),
            text("NO"),
            Value::Null,
        ]);
    }
    relation
}

fn columns(world: &World) -> Relation {
    let mut relation = Relation::new([
        "table_catalog",
        "table_schema",
        "table_name",
        "column_name",
        "ordinal_position",
        "column_default",
        "is_nullable",
        "data_type",
        "character_maximum_length",
        "numeric_precision",
        "numeric_scale",
        "datetime_precision",
        "udt_catalog",
        "udt_schema",
        "udt_name",
        "is_identity",
        "is_generated",
        "is_updatable",
    ]);
    for dataset in &world.datasets {
        for (number, column) in (1_i64..).zip(&dataset.columns) {
            let (data_type, udt) = match of(column.oid.into()) {
                Some((kind, true)) => ("ARRAY".to_owned(), format!("_{}", kind.name)),
                Some((kind, false)) => (shown(kind.oid.into(), -1), kind.name.to_owned()),
                None => ("text".to_owned(), "text".to_owned()),
            };
            let is_sized = column.modifier >= 4;
            let size = |part: i32| if is_sized { int(part) } else { Value::Null };
            relation.row([
                text(&world.database),
                text(&dataset.schema),
                text(&dataset.name),
                text(&column.name),
                int(number),
                Value::Null,
                text(if column.is_required { "NO" } else { "YES" }),
                text(&data_type),
                Value::Null,
                size((column.modifier - 4) >> 16),
                size((column.modifier - 4) & 0xffff),
                Value::Null,
                text(&world.database),
                text("pg_catalog"),
                text(&udt),
                text("NO"),
                text("NEVER"),
                text("NO"),
            ]);
        }
    }
    relation
}
