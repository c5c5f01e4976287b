//! Functions, casts and aggregates.

use std::cmp::Ordering;

use sqlparser::ast::{
    self, DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments,
};

use super::{
    eval::{Machine, Outcome, Scope},
    from::last,
    kinds,
    select::by_keys,
    tables, unsupported,
    value::Value,
};
use crate::{
    error::{SqlError, SqlErrorKind},
    ir::Position,
};

/// Functions of a whole group.
const AGGREGATES: &[&str] = &[
    "count",
    "min",
    "max",
    "sum",
    "array_agg",
    "string_agg",
    "json_agg",
    "bool_and",
    "bool_or",
    "every",
];
/// Functions that give several rows.
const SERIES: &[&str] = &["unnest", "generate_series", "generate_subscripts"];
/// Rows of one such function.
const SERIES_MAX: i64 = 10_000;
/// Functions that answer NULL: what they tell of does not exist here.
const NULLS: &[&str] = &[
    "pg_get_expr",
    "pg_get_constraintdef",
    "pg_get_indexdef",
    "pg_get_viewdef",
    "pg_get_ruledef",
    "pg_get_triggerdef",
    "pg_get_statisticsobjdef_columns",
    "pg_get_partkeydef",
    "pg_get_serial_sequence",
    "pg_get_functiondef",
    "obj_description",
    "shobj_description",
    "pg_tablespace_location",
    "inet_server_addr",
    "inet_server_port",
    "inet_client_addr",
];
/// Functions that answer true: what the caller does not see is not in the catalog.
const TRUES: &[&str] = &[
    "pg_type_is_visible",
    "pg_function_is_visible",
    "pg_collation_is_visible",
    "pg_operator_is_visible",
    "has_schema_privilege",
    "has_table_privilege",
    "has_column_privilege",
    "has_any_column_privilege",
    "has_database_privilege",
    "has_type_privilege",
];
/// Functions that answer false.
const FALSES: &[&str] = &[
    "pg_is_in_recovery",
    "pg_relation_is_publishable",
    "pg_is_other_temp_schema",
];
/// Functions that answer 0.
const ZEROS: &[&str] = &[
    "pg_relation_size",
    "pg_table_size",
    "pg_total_relation_size",
    "pg_indexes_size",
    "pg_database_size",
    "pg_my_temp_schema",
];

/// The name of a function, as its column is called.
pub(super) fn name(call: &ast::Function) -> String {
    last(&call.name)
}

/// What a word without parentheses means, where it is no column.
pub(super) fn session_value(machine: &Machine<'_>, word: &str) -> Option<Value> {
    let world = machine.world;
    Some(Value::text(match word.to_lowercase().as_str() {
        "current_user" | "session_user" | "user" | "current_role" => world.user.as_str(),
        "current_catalog" | "current_database" => world.database.as_str(),
        "current_schema" => "public",
        "version" => world.version.as_str(),
        _ => return None,
    }))
}

/// A call outside FROM.
pub(super) fn call(
    machine: &Machine<'_>,
    call: &ast::Function,
    scope: &Scope<'_>,
) -> Outcome<Value> {
    let name = name(call);
    if call.over.is_some() {
        return Err(unsupported("a window over pg_catalog"));
    }
    if AGGREGATES.contains(&name.as_str()) {
        return aggregate(machine, &name, call, scope);
    }
    let list = match &call.args {
        FunctionArguments::None => &[][..],
        FunctionArguments::List(list) => &list.args,
        FunctionArguments::Subquery(query) if name == "array" => {
            return Ok(Value::List(machine.first_column(query, scope)?));
        }
        FunctionArguments::Subquery(_) => return Err(unknown(&name)),
    };
    if NULLS.contains(&name.as_str()) {
        return Ok(Value::Null);
    }
    if TRUES.contains(&name.as_str()) {
        return Ok(Value::Bool(true));
    }
    if FALSES.contains(&name.as_str()) {
        return Ok(Value::Bool(false));
    }
    if ZEROS.contains(&name.as_str()) {
        return Ok(Value::Int(0));
    }
    let values = arguments(machine, list, scope)?;
    let argument = |index: usize| values.get(index).cloned().unwrap_or_default();
    of_catalog(machine, &name, &argument)
        .or_else(|| of_text(&name, &values))
        .or_else(|| session_value(machine, &name))
        .ok_or_else(|| unknown(&name))
}

/// Functions over the catalog.
fn of_catalog(
    machine: &Machine<'_>,
    name: &str,
    argument: &dyn Fn(usize) -> Value,
) -> Option<Value> {
    let world = machine.world;
    Some(match name {
        "format_type" => match (argument(0).int(), argument(1).int()) {
            (Some(oid), modifier) => Value::Text(kinds::shown(oid, modifier.unwrap_or(-1))),
            (None, _) => Value::Null,
        },
        "pg_table_is_visible" => {
            let oid = argument(0).int()?;
            let mut oids = tables::dataset_oids(world).into_iter().zip(&world.datasets);
            let found = oids.find(|(other, _)| *other == oid);
            Value::Bool(found.is_some_and(|(_, dataset)| dataset.is_plain))
        }
        "pg_get_userbyid" => Value::text(&world.user),
        "pg_encoding_to_char" => Value::text("UTF8"),
        "col_description" => description(machine, argument(0).int()?, argument(1).int()?),
        "to_regtype" => {
            let name = argument(0).shown()?;
            kinds::oid_of(&name).map_or(Value::Null, Value::Int)
        }
        "to_regclass" => {
            let name = argument(0).shown()?;
            relation_oid(machine, &name).map_or(Value::Null, Value::Int)
        }
        "current_schemas" => {
            let implicit = argument(0).is_true().then(|| Value::text("pg_catalog"));
            Value::List(
                implicit
                    .into_iter()
                    .chain([Value::text("public")])
                    .collect(),
            )
        }
        "current_setting" => match tables::setting(&argument(0).shown()?.to_lowercase()) {
            Some(setting) => Value::text(setting),
            None => return argument(1).is_true().then_some(Value::Null),
        },
        _ => return None,
    })
}

fn description(machine: &Machine<'_>, oid: i64, number: i64) -> Value {
    let world = machine.world;
    let mut oids = tables::dataset_oids(world).into_iter().zip(&world.datasets);
    let dataset = oids
        .find(|(other, _)| *other == oid)
        .map(|(_, dataset)| dataset);
    let column = dataset.and_then(|dataset| {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        dataset.columns.get(index)
    });
    let comment = column.and_then(|column| column.comment.as_ref());
    comment.map_or(Value::Null, Value::text)
}

/// Functions that any database has.
fn of_text(name: &str, values: &[Value]) -> Option<Value> {
    let first = values.first().cloned().unwrap_or_default();
    let text = |of: &dyn Fn(&str) -> String| {
        first
            .shown()
            .map_or(Value::Null, |text| Value::Text(of(&text)))
    };
    let length = |items: usize| match i64::try_from(items) {
        Ok(items) if items > 0 => Value::Int(items),
        _ => Value::Null,
    };
    Some(match name {
        "coalesce" => values
            .iter()
            .find(|value| !value.is_null())
            .cloned()
            .unwrap_or_default(),
        "nullif" => match first.compare(values.get(1)?) {
            Some(Ordering::Equal) => Value::Null,
            _ => first,
        },
        "greatest" => values.iter().max().cloned().unwrap_or_default(),
        "least" => values
            .iter()
            .filter(|value| !value.is_null())
            .min()
            .cloned()
            .unwrap_or_default(),
        "lower" => text(&str::to_lowercase),
        "upper" => text(&str::to_uppercase),
        "quote_ident" => text(&quoted),
        "length" | "char_length" => {
            let text = first.shown();
            text.map_or(Value::Null, |text| {
                Value::Int(i64::try_from(text.chars().count()).unwrap_or(0))
            })
        }
        "concat" => Value::Text(values.iter().filter_map(Value::shown).collect()),
        "replace" => {
            let (from, to) = (values.get(1)?.shown()?, values.get(2)?.shown()?);
            text(&|text| text.replace(&from, &to))
        }
        "pg_size_pretty" => text(&|size| format!("{size} bytes")),
        "array_to_string" => {
            let separator = values.get(1)?.shown()?;
            let items: Vec<String> = first.items().iter().filter_map(Value::shown).collect();
            if first.is_null() {
                Value::Null
            } else {
                Value::Text(items.join(&separator))
            }
        }
        "array_length" | "array_upper" | "cardinality" => length(first.items().len()),
        "array_lower" => length(first.items().len().min(1)),
        "array_append" => {
            let mut items = first.items();
            items.extend(values.get(1).cloned());
            Value::List(items)
        }
        "array_remove" => {
            let gone = values.get(1)?;
            Value::List(
                first
                    .items()
                    .into_iter()
                    .filter(|item| item != gone)
                    .collect(),
            )
        }
        _ => return None,
    })
}

fn aggregate(
    machine: &Machine<'_>,
    name: &str,
    call: &ast::Function,
    scope: &Scope<'_>,
) -> Outcome<Value> {
    let (FunctionArguments::List(list), Some(group)) = (&call.args, scope.group) else {
        return Err(unsupported(format!("the aggregate {name} here")));
    };
    let order = list.clauses.iter().find_map(|clause| match clause {
        FunctionArgumentClause::OrderBy(keys) => Some(keys.as_slice()),
        _ => None,
    });
    let order = order.unwrap_or_default();
    let mut rows: Vec<(Vec<Value>, Vec<Value>)> = Vec::new();
    for tuple in group {
        let scope = Scope {
            tuple,
            group: None,
            ..*scope
        };
        if let Some(filter) = &call.filter
            && !machine.is_true(filter, &scope)?
        {
            continue;
        }
        let values = arguments(machine, &list.args, &scope)?;
        let keys = order.iter().map(|key| machine.value(&key.expr, &scope));
        rows.push((values, keys.collect::<Outcome<_>>()?));
    }
    rows.sort_by(|(_, left), (_, right)| by_keys(left, right, order));
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let mut values: Vec<Value> = rows
        .iter()
        .filter_map(|(values, _)| values.first().cloned())
        .collect();
    if list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct) {
        values.sort();
        values.dedup();
    }
    let is_star = list
        .args
        .iter()
        .any(|arg| matches!(arg, FunctionArg::Unnamed(FunctionArgExpr::Wildcard)));
    let present = || values.iter().filter(|value| !value.is_null());
    Ok(match name {
        "count" if is_star => Value::Int(count),
        "count" => Value::Int(i64::try_from(present().count()).unwrap_or(i64::MAX)),
        "min" => present().min().cloned().unwrap_or_default(),
        "max" => present().max().cloned().unwrap_or_default(),
        "sum" => present()
            .filter_map(Value::int)
            .try_fold(0, i64::checked_add)
            .filter(|_| present().next().is_some())
            .map_or(Value::Null, Value::Int),
        "bool_and" | "every" => Value::Bool(present().all(Value::is_true)),
        "bool_or" => Value::Bool(present().any(Value::is_true)),
        "string_agg" => {
            let separator = rows.first().and_then(|(values, _)| values.get(1)?.shown());
            let parts: Vec<String> = present().filter_map(Value::shown).collect();
            match parts.is_empty() {
                true => Value::Null,
                false => Value::Text(parts.join(&separator.unwrap_or_default())),
            }
        }
        _ if values.is_empty() => Value::Null,
        _ => Value::List(values),
    })
}

/// Whether an expression aggregates.
pub(super) fn has_aggregate(expr: &Expr) -> bool {
    match expr {
        Expr::Function(call) => {
            AGGREGATES.contains(&name(call).as_str())
                || match &call.args {
                    FunctionArguments::List(list) => {
                        list.args.iter().filter_map(expr_of).any(has_aggregate)
                    }
                    _ => false,
                }
        }
        Expr::Nested(inner)
        | Expr::Cast { expr: inner, .. }
        | Expr::UnaryOp { expr: inner, .. }
        | Expr::IsNull(inner)
        | Expr::IsNotNull(inner) => has_aggregate(inner),
        Expr::BinaryOp { left, right, .. } => has_aggregate(left) || has_aggregate(right),
        Expr::Case {
            conditions,
            else_result,
            ..
        } => {
            let parts = conditions
                .iter()
                .flat_map(|when| [&when.condition, &when.result]);
            parts.chain(else_result.as_deref()).any(has_aggregate)
        }
        _ => false,
    }
}

/// The rows of a function in the select list, if it is one that gives several.
pub(super) fn series_in_list(
    machine: &Machine<'_>,
    expr: &Expr,
    scope: &Scope<'_>,
) -> Outcome<Option<Vec<Value>>> {
    match expr {
        Expr::Function(call) if SERIES.contains(&name(call).as_str()) => match &call.args {
            FunctionArguments::List(list) => {
                series(machine, &name(call), &list.args, scope).map(Some)
            }
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

/// The rows of a function that gives several.
pub(super) fn series(
    machine: &Machine<'_>,
    name: &str,
    args: &[FunctionArg],
    scope: &Scope<'_>,
) -> Outcome<Vec<Value>> {
    let values = arguments(machine, args, scope)?;
    let argument = |index: usize| values.get(index).cloned().unwrap_or_default();
    let (from, to) = match name {
        "unnest" => return Ok(argument(0).items()),
        "generate_subscripts" => (1, i64::try_from(argument(0).items().len()).unwrap_or(0)),
        "generate_series" => match (argument(0).int(), argument(1).int()) {
            (Some(from), Some(to)) => (from, to),
            _ => return Ok(Vec::new()),
        },
        _ => return Err(unknown(name)),
    };
    if to.saturating_sub(from) > SERIES_MAX {
        return Err(unsupported("so long a series"));
    }
    Ok((from..=to).map(Value::Int).collect())
}

fn expr_of(arg: &FunctionArg) -> Option<&Expr> {
    match arg {
        FunctionArg::Named { arg, .. }
        | FunctionArg::ExprNamed { arg, .. }
        | FunctionArg::Unnamed(arg) => match arg {
            FunctionArgExpr::Expr(expr) => Some(expr),
            _ => None,
        },
    }
}

fn arguments(
    machine: &Machine<'_>,
    args: &[FunctionArg],
    scope: &Scope<'_>,
) -> Outcome<Vec<Value>> {
    let exprs = args.iter().filter_map(expr_of);
    exprs.map(|expr| machine.value(expr, scope)).collect()
}

/// A value as another type.
pub(super) fn cast(machine: &Machine<'_>, value: Value, to: &DataType) -> Outcome<Value> {
    if value.is_null() {
        return Ok(value);
    }
    let to = to.to_string().to_lowercase();
    let to = to.trim_start_matches("pg_catalog.").trim_matches('"');
    let to = to.split('(').next().unwrap_or(to).trim();
    if to.ends_with("[]") || to.starts_with("any") {
        return Ok(Value::List(value.items()));
    }
    let is_oid = to.starts_with("reg")
        || matches!(to, "oid" | "int" | "integer" | "bigint" | "smallint")
        || matches!(to, "int2" | "int4" | "int8");
    Ok(match (to, value) {
        ("regclass", Value::Int(oid)) => {
            let dataset = tables::dataset_oids(machine.world)
                .into_iter()
                .zip(&machine.world.datasets)
                .find(|(other, _)| *other == oid);
            Value::Text(dataset.map_or_else(
                || oid.to_string(),
                |(_, dataset)| match dataset.is_plain {
                    true => quoted(&dataset.name),
                    false => format!("{}.{}", quoted(&dataset.schema), quoted(&dataset.name)),
                },
            ))
        }
        ("regtype", Value::Int(oid)) => Value::Text(kinds::shown(oid, -1)),
        ("regclass", Value::Text(name)) => match name.parse() {
            Ok(oid) => Value::Int(oid),
            Err(_) => Value::Int(relation_oid(machine, &name).ok_or_else(|| {
                let message = format!("table `{name}` does not exist or is not visible");
                SqlError::new(SqlErrorKind::Unknown, message, Position::default())
            })?),
        },
        ("regproc", Value::Text(name)) => Value::text(name.trim_start_matches("pg_catalog.")),
        ("regtype", Value::Text(name)) => match kinds::oid_of(&name) {
            Some(oid) => Value::Int(oid),
            None => return Err(unsupported(format!("the type {name}"))),
        },
        ("bool" | "boolean", value) => Value::Bool(value.is_true()),
        (_, value @ Value::Int(_)) if is_oid => value,
        (to, value) if is_oid && !to.starts_with("reg") => match value.int() {
            Some(number) => Value::Int(number),
            None => return Err(unsupported(format!("this cast to {to}"))),
        },
        (_, value @ Value::List(_)) => value,
        (_, value) => value.shown().map_or(Value::Null, Value::Text),
    })
}

/// The oid of a table by its name, quoted as it may be.
fn relation_oid(machine: &Machine<'_>, name: &str) -> Option<i64> {
    let world = machine.world;
    let plain = name.replace('"', "");
    match plain.as_str() {
        "pg_catalog.pg_class" | "pg_class" => return Some(tables::PG_CLASS),
        "pg_catalog.pg_type" | "pg_type" => return Some(1_247),
        "pg_catalog.pg_namespace" | "pg_namespace" => return Some(2_615),
        "pg_catalog.pg_constraint" | "pg_constraint" => return Some(2_606),
        "pg_catalog.pg_proc" | "pg_proc" => return Some(1_255),
        _ => {}
    }
    let oids = tables::dataset_oids(world);
    let found = world.datasets.iter().position(|dataset| {
        (dataset.is_plain && dataset.name == plain)
            || plain
                .strip_suffix(&dataset.name)
                .and_then(|rest| rest.strip_suffix('.'))
                == Some(dataset.schema.as_str())
    });
    found.and_then(|index| oids.get(index).copied())
}

/// A name as SQL writes it.
fn quoted(name: &str) -> String {
    let is_plain = name
        .chars()
        .all(|sign| sign.is_ascii_lowercase() || sign == '_' || sign.is_ascii_digit())
        && !name.starts_with(|sign: char| sign.is_ascii_digit());
    match is_plain {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

fn unknown(name: &str) -> SqlError {
    unsupported(format!("the function {name} over pg_catalog"))
}
