//! Functions that a dialect calls otherwise than the engine, or means something else by.
//!
//! A name that is not in a dialect's table is the engine's: it means the same there, or nothing.

use super::Dialect;
use crate::ir::Field;

/// What a call means to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A function with the same arguments.
    Call(&'static str),
    /// A function with its two arguments the other way round.
    Swapped(&'static str),
    /// A function, if its second argument is a number from this one on.
    From(u64, &'static str),
    /// A function, if its second argument is text, and some.
    Search(&'static str),
    /// A function that tells whether PostgreSQL's pattern matches, if the engine has such a pattern.
    Pattern(&'static str),
    /// A function of what PostgreSQL's pattern matches, if there is one way to match it.
    Match(&'static str),
    /// `a || b || ..`.
    Concat,
    /// `a % b`.
    Modulo,
    /// `CASE WHEN a THEN b ELSE c END`.
    If,
    /// `a IS NULL`.
    IsNull,
    /// `EXTRACT(field FROM a)`.
    Extract(Field),
    /// Nothing equal; what to write instead.
    Refused(&'static str),
}

use Meaning::{
    Call, Concat, Extract, From, If, IsNull, Match, Modulo, Pattern, Refused, Search, Swapped,
};

/// What the dialect means by a lower-case name, if it is not what the engine means by it.
pub(crate) fn meaning(dialect: Dialect, name: &str) -> Option<Meaning> {
    let table = match dialect {
        Dialect::Ansi => ANSI,
        Dialect::Postgres => POSTGRES,
        Dialect::MySql => MYSQL,
        Dialect::DataFusion => return None,
    };
    let found = table.iter().find(|(known, _)| *known == name);
    found.map(|(_, meaning)| *meaning)
}

const CASE: Meaning = Refused("NULL among its arguments makes it NULL there; write CASE");
const DOMAIN: Meaning = Refused("outside its domain it is NULL there; write CASE with the limits");
const FORMAT: Meaning = Refused("formats differ; write EXTRACT, or CAST to varchar");
const REGEX: Meaning = Refused("its patterns differ; write LIKE");
const WEEKDAY: Meaning = Refused("days are counted otherwise; write EXTRACT(DOY FROM x) or CASE");
const INTERVAL: Meaning = Refused("write x + INTERVAL '1' DAY");
const DIFFERENCE: Meaning = Refused("write the difference of two casts to date");

/// Trino.
const ANSI: &[(&str, Meaning)] = &[
    ("approx_percentile", Refused("write approx_percentile_cont")),
    ("bitwise_and_agg", Call("bit_and")),
    ("bitwise_or_agg", Call("bit_or")),
    ("concat", Concat),
    ("contains", Refused("write strpos(text, part) > 0")),
    ("date_add", INTERVAL),
    ("date_diff", DIFFERENCE),
    ("date_format", FORMAT),
    ("day", Extract(Field::Day)),
    ("day_of_month", Extract(Field::Day)),
    ("day_of_week", WEEKDAY),
    ("day_of_year", Extract(Field::DayOfYear)),
    ("dow", WEEKDAY),
    ("doy", Extract(Field::DayOfYear)),
    ("from_unixtime", Refused("write to_timestamp_seconds")),
    ("greatest", CASE),
    ("hour", Extract(Field::Hour)),
    ("if", If),
    ("least", CASE),
    ("levenshtein_distance", Call("levenshtein")),
    ("listagg", Refused("write string_agg")),
    ("minute", Extract(Field::Minute)),
    ("mod", Modulo),
    ("month", Extract(Field::Month)),
    ("quarter", Extract(Field::Quarter)),
    ("regexp_count", REGEX),
    ("regexp_instr", REGEX),
    ("regexp_like", REGEX),
    ("regexp_match", REGEX),
    ("regexp_replace", REGEX),
    ("repeat", Refused("it makes an array there; write rpad")),
    ("replace", Search("replace")),
    ("second", Extract(Field::Second)),
    (
        "split_part",
        Refused("beyond the last part it is NULL there; write CASE"),
    ),
    ("substr", From(1, "substr")),
    ("substring", From(1, "substr")),
    ("to_char", FORMAT),
    ("to_date", FORMAT),
    (
        "to_hex",
        Refused("it takes binary there; write encode(x, 'hex')"),
    ),
    ("to_timestamp", FORMAT),
    ("to_unixtime", Refused("write EXTRACT(EPOCH FROM x)")),
    ("truncate", Call("trunc")),
    (
        "try",
        Refused("write TRY_CAST, or CASE around what may fail"),
    ),
    ("variance", Call("var")),
    ("week", Extract(Field::Week)),
    ("week_of_year", Extract(Field::Week)),
    ("year", Extract(Field::Year)),
];

/// PostgreSQL, after which most of the engine's are made.
const POSTGRES: &[(&str, Meaning)] = &[
    ("gen_random_uuid", Call("uuid")),
    ("mod", Modulo),
    ("regexp_count", Match("regexp_count")),
    ("regexp_instr", Match("regexp_instr")),
    ("regexp_like", Pattern("regexp_like")),
    ("regexp_match", Match("regexp_match")),
    ("regexp_replace", Match("regexp_replace")),
    ("replace", Search("replace")),
    ("to_char", FORMAT),
    ("to_date", Refused("formats differ; write CAST(x AS date)")),
    ("to_json", Call("row_to_json")),
    (
        "to_timestamp",
        Refused("formats differ; write CAST(x AS timestamp)"),
    ),
    ("variance", Call("var")),
];

/// MySQL and MariaDB.
const MYSQL: &[(&str, Meaning)] = &[
    ("acos", DOMAIN),
    ("ascii", Refused("it is a byte there; write x = 'a'")),
    ("asin", DOMAIN),
    ("bit_and", Refused("without rows it is not NULL there")),
    ("bit_or", Refused("without rows it is not NULL there")),
    ("bit_xor", Refused("without rows it is not NULL there")),
    ("char", Refused("write the text itself")),
    ("concat", Concat),
    ("curdate", Call("current_date")),
    ("curtime", Call("current_time")),
    ("date_add", INTERVAL),
    ("date_format", FORMAT),
    ("date_sub", Refused("write x - INTERVAL '1' DAY")),
    ("datediff", DIFFERENCE),
    ("day", Extract(Field::Day)),
    ("dayofmonth", Extract(Field::Day)),
    ("dayofweek", WEEKDAY),
    ("dayofyear", Extract(Field::DayOfYear)),
    ("decode", Refused("it deciphers there")),
    ("encode", Refused("it enciphers there")),
    ("from_unixtime", Refused("write to_timestamp_seconds")),
    ("greatest", CASE),
    ("group_concat", Refused("write string_agg(x, ',')")),
    ("hour", Extract(Field::Hour)),
    ("if", If),
    ("isnull", IsNull),
    ("lcase", Call("lower")),
    ("least", CASE),
    ("left", From(0, "left")),
    ("length", Call("octet_length")),
    ("ln", DOMAIN),
    ("locate", Swapped("strpos")),
    ("log", DOMAIN),
    ("log10", DOMAIN),
    ("log2", DOMAIN),
    ("lpad", From(0, "lpad")),
    ("mid", From(1, "substr")),
    ("minute", Extract(Field::Minute)),
    ("mod", Modulo),
    ("month", Extract(Field::Month)),
    ("quarter", Extract(Field::Quarter)),
    ("regexp_count", REGEX),
    ("regexp_instr", REGEX),
    ("regexp_like", REGEX),
    ("regexp_match", REGEX),
    ("regexp_replace", REGEX),
    ("replace", Search("replace")),
    ("right", From(0, "right")),
    ("rpad", From(0, "rpad")),
    ("second", Extract(Field::Second)),
    ("sqrt", DOMAIN),
    ("std", Call("stddev_pop")),
    ("stddev", Call("stddev_pop")),
    ("substr", From(1, "substr")),
    ("substring", From(1, "substr")),
    ("to_char", FORMAT),
    ("truncate", Call("trunc")),
    ("ucase", Call("upper")),
    ("variance", Call("var_pop")),
    (
        "week",
        Refused("weeks are counted otherwise; write EXTRACT(DOY FROM x)"),
    ),
    ("weekday", WEEKDAY),
    ("year", Extract(Field::Year)),
];

#[cfg(test)]
mod tests;
