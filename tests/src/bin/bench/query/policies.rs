//! Row filters and masks over the tables of the benchmarks: of TPC-H each as a policy says it and as SQL does.

use std::fmt::Write as _;

use dataos_model::{
    dataset::{ColumnType, DatasetId, DatasetSchema},
    depot::AssetSnapshot,
};

/// Everything is permitted.
pub(super) const OPEN: &str = "@id(\"bench.open\")\npermit (principal, action, resource);\n";

/// Masked columns of a table.
const MASKS_MAX: usize = 3;

/// What is shown of a table of TPC-H.
#[derive(Debug)]
struct Rule {
    table: &'static str,
    /// Which rows: column and comparison, which Cedar and SQL write alike but for the sign of inequality.
    rows: (&'static str, &'static str),
    masks: &'static [Masked],
}

/// A column, its mask, and the same as SQL.
#[derive(Debug)]
struct Masked(&'static str, &'static str, &'static str);

/// Each table loses a few per cent of its rows. Masks keep most values, so that queries find rows, and
/// are computed all the same.
const TPCH: [Rule; 8] = [
    Rule {
        table: "region",
        rows: ("r_regionkey", "< 4"),
        masks: &[Masked("r_comment", "redact(replacement = '-')", "'-'")],
    },
    Rule {
        table: "nation",
        rows: ("n_nationkey", "< 24"),
        masks: &[Masked("n_comment", "redact(replacement = '-')", "'-'")],
    },
    Rule {
        table: "supplier",
        rows: ("s_nationkey", "< 24"),
        masks: &[
            Masked("s_address", "shorten(length = 12)", "left(s_address, 12)"),
            Masked("s_phone", PHONE, "concat(left(s_phone, 6), '#########')"),
            Masked(
                "s_acctbal",
                "clamp(low = 0, high = 9000)",
                "least(greatest(s_acctbal, CAST(0 AS DECIMAL(15,2))), CAST(9000 AS DECIMAL(15,2)))",
            ),
        ],
    },
    Rule {
        table: "customer",
        rows: ("c_nationkey", "< 24"),
        masks: &[
            Masked("c_address", "shorten(length = 12)", "left(c_address, 12)"),
            Masked("c_phone", PHONE, "concat(left(c_phone, 6), '#########')"),
            Masked(
                "c_acctbal",
                "clamp(low = 0, high = 9000)",
                "least(greatest(c_acctbal, CAST(0 AS DECIMAL(15,2))), CAST(9000 AS DECIMAL(15,2)))",
            ),
        ],
    },
    Rule {
        table: "part",
        rows: ("p_size", "< 49"),
        masks: &[
            Masked("p_comment", "redact(replacement = '-')", "'-'"),
            Masked(
                "p_container",
                "shorten(length = 20)",
                "left(p_container, 20)",
            ),
            Masked(
                "p_retailprice",
                "clamp(low = 0, high = 1900)",
                "least(greatest(p_retailprice, CAST(0 AS DECIMAL(15,2))), CAST(1900 AS DECIMAL(15,2)))",
            ),
        ],
    },
    Rule {
        table: "partsupp",
        rows: ("ps_availqty", "< 9500"),
        masks: &[
            Masked("ps_comment", "redact(replacement = '-')", "'-'"),
            Masked(
                "ps_supplycost",
                "clamp(low = 5, high = 990)",
                "least(greatest(ps_supplycost, CAST(5 AS DECIMAL(15,2))), CAST(990 AS DECIMAL(15,2)))",
            ),
        ],
    },
    Rule {
        table: "orders",
        rows: ("o_custkey", "> 100"),
        masks: &[
            Masked("o_clerk", "shorten(length = 8)", "left(o_clerk, 8)"),
            Masked("o_comment", "shorten(length = 60)", "left(o_comment, 60)"),
            Masked(
                "o_shippriority",
                "clamp(low = 0, high = 3)",
                "least(greatest(o_shippriority, CAST(0 AS INT)), CAST(3 AS INT))",
            ),
        ],
    },
    Rule {
        table: "lineitem",
        rows: ("l_linenumber", "< 7"),
        masks: &[
            Masked("l_comment", "redact(replacement = '-')", "'-'"),
            Masked(
                "l_shipinstruct",
                "shorten(length = 20)",
                "left(l_shipinstruct, 20)",
            ),
            Masked(
                "l_tax",
                "clamp(low = 0, high = 0.07)",
                "least(greatest(l_tax, CAST(0 AS DECIMAL(15,2))), CAST(0.07 AS DECIMAL(15,2)))",
            ),
        ],
    },
];

const PHONE: &str = "partial(first = 6, last = 0, fill = '#')";

/// Filters and masks of TPC-H, whichever depots its tables lie in.
pub(super) fn tpch(snapshot: &AssetSnapshot) -> String {
    let mut policies = OPEN.to_owned();
    for id in snapshot.datasets.keys() {
        let Some(rule) = TPCH.iter().find(|rule| rule.table == id.name) else {
            continue;
        };
        filter(&mut policies, id, rule.rows);
        for Masked(column, mask, _) in rule.masks {
            hide(&mut policies, id, column, mask);
        }
    }
    policies
}

/// The text with the same filters and masks written by hand: each table is a query of WITH.
pub(super) fn tpch_by_hand(sql: &str, snapshot: &AssetSnapshot) -> String {
    let tables = snapshot.datasets.iter().filter_map(|(id, dataset)| {
        let rule = TPCH.iter().find(|rule| rule.table == id.name)?;
        names(sql, &id.name).then(|| rule.by_hand(&dataset.schema))
    });
    let tables = tables.collect::<Vec<_>>().join(", ");
    match sql.strip_prefix("with ") {
        Some(rest) => format!("WITH {tables}, {rest}"),
        None => format!("WITH {tables} {sql}"),
    }
}

impl Rule {
    fn by_hand(&self, schema: &DatasetSchema) -> String {
        let columns = schema.columns.iter().map(|column| {
            let masked = self.masks.iter().find(|masked| masked.0 == column.name);
            match masked {
                Some(Masked(name, _, sql)) => format!("{sql} AS {name}"),
                None => column.name.clone(),
            }
        });
        let columns = columns.collect::<Vec<_>>().join(", ");
        let (table, (column, comparison)) = (self.table, self.rows);
        format!("{table} AS (SELECT {columns} FROM {table} WHERE {column} {comparison})")
    }
}

/// Whether a text has the name as a word.
fn names(sql: &str, table: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    sql.split(|c: char| !is_part(c)).any(|word| word == table)
}

/// A filter and up to three masks on every table, by the types of its columns: any schema's.
pub(super) fn any(snapshot: &AssetSnapshot) -> String {
    let mut policies = OPEN.to_owned();
    for (id, dataset) in &snapshot.datasets {
        let columns = &dataset.schema.columns;
        let number = columns
            .iter()
            .find(|column| matches!(column.column_type, ColumnType::Int(_)));
        if let Some(number) = number {
            filter(&mut policies, id, (&number.name, "> -1"));
        }
        let texts = columns
            .iter()
            .filter(|column| column.column_type == ColumnType::Text);
        for column in texts.take(MASKS_MAX) {
            hide(&mut policies, id, &column.name, "shorten(length = 20)");
        }
    }
    policies
}

fn filter(policies: &mut String, id: &DatasetId, (column, comparison): (&str, &str)) {
    let _ = writeln!(
        policies,
        "@id(\"rows.{id}\")\nforbid (principal, action == DataOS::Action::\"read_row\", resource in \
         DataOS::Dataset::\"{id}\")\nunless {{ resource has {column} && resource.{column} {comparison} }};"
    );
}

fn hide(policies: &mut String, id: &DatasetId, column: &str, mask: &str) {
    let _ = writeln!(
        policies,
        "@id(\"mask.{id}.{column}\")\n@mask(\"{mask}\")\nforbid (principal, action == \
         DataOS::Action::\"read_cell\", resource in DataOS::Column::\"{id}/{column}\");"
    );
}
