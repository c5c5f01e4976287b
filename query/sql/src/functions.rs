//! The allow-list of functions. What is not here is refused.
//!
//! Each entry says what a barrier needs to know: whether the function can fail on some value,
//! whether its answer changes from call to call, and whether it is leakproof (total, silent, and a
//! function of its arguments alone).

use crate::limits::OUTPUT_COLUMNS_MAX;

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionKind {
    /// One value per row.
    Scalar,
    /// One value per group; also with OVER.
    Aggregate,
    /// Only with OVER.
    Window,
}

/// A function of the allow-list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name in the engine.
    pub name: &'static str,
    /// How it is called.
    pub kind: FunctionKind,
    /// Fewest arguments.
    pub arguments_min: usize,
    /// Most arguments.
    pub arguments_max: usize,
    /// Whether some value makes it fail.
    pub is_fallible: bool,
    /// Whether its answer changes within a statement.
    pub is_volatile: bool,
    /// Whether it may see rows that the caller may not.
    pub is_leakproof: bool,
}

impl Function {
    /// Whether it answers the same at any time: it neither draws nor reads the clock.
    pub fn is_repeatable(&self) -> bool {
        let reads_clock = matches!(self.name, "current_date" | "current_time" | "now");
        !self.is_volatile && !reads_clock
    }

    /// Whether whole rows may be among its arguments, as in PostgreSQL.
    pub(crate) fn takes_rows(&self) -> bool {
        matches!(
            self.name,
            "array_agg"
                | "coalesce"
                | "count"
                | "first_value"
                | "lag"
                | "last_value"
                | "lead"
                | "named_struct"
                | "nth_value"
                | "nvl"
                | "row_to_json"
                | "row_to_text"
        )
    }

    /// Whether it computes over the order of WITHIN GROUP.
    pub fn is_ordered_set(&self) -> bool {
        matches!(self.name, "percentile_cont" | "approx_percentile_cont")
    }
}

/// Most arguments of a function that takes any number.
const MANY: usize = 100;

/// What can be observed of a call.
#[derive(Clone, Copy)]
enum Trait {
    /// Total and silent.
    Leakproof,
    /// Total in its values, but its cost or its memory depends on them.
    Total,
    /// Fails on some values.
    Fallible,
    /// Another answer each time.
    Volatile,
}

use FunctionKind::{Aggregate, Scalar, Window};
use Trait::{Fallible, Leakproof, Total, Volatile};

const fn function(
    name: &'static str,
    kind: FunctionKind,
    arguments: (usize, usize),
    observed: Trait,
) -> Function {
    Function {
        name,
        kind,
        arguments_min: arguments.0,
        arguments_max: arguments.1,
        is_fallible: matches!(observed, Fallible),
        is_volatile: matches!(observed, Volatile),
        is_leakproof: matches!(observed, Leakproof),
    }
}

/// The allow-list, sorted by name within each kind.
pub const FUNCTIONS: &[Function] = &[
    function("abs", Scalar, (1, 1), Fallible),
    function("acos", Scalar, (1, 1), Leakproof),
    function("acosh", Scalar, (1, 1), Leakproof),
    function("ascii", Scalar, (1, 1), Leakproof),
    function("asin", Scalar, (1, 1), Leakproof),
    function("asinh", Scalar, (1, 1), Leakproof),
    function("atan", Scalar, (1, 1), Leakproof),
    function("atan2", Scalar, (2, 2), Leakproof),
    function("atanh", Scalar, (1, 1), Leakproof),
    function("bit_length", Scalar, (1, 1), Leakproof),
    function("btrim", Scalar, (1, 2), Leakproof),
    function("cbrt", Scalar, (1, 1), Leakproof),
    function("ceil", Scalar, (1, 1), Leakproof),
    function("character_length", Scalar, (1, 1), Leakproof),
    function("chr", Scalar, (1, 1), Fallible),
    function("coalesce", Scalar, (1, MANY), Leakproof),
    function("concat", Scalar, (1, MANY), Total),
    function("concat_ws", Scalar, (2, MANY), Total),
    function("contains", Scalar, (2, 2), Leakproof),
    function("cos", Scalar, (1, 1), Leakproof),
    function("cosh", Scalar, (1, 1), Leakproof),
    function("cot", Scalar, (1, 1), Leakproof),
    function("current_date", Scalar, (0, 0), Leakproof),
    function("current_time", Scalar, (0, 0), Leakproof),
    function("date_bin", Scalar, (2, 3), Fallible),
    function("date_part", Scalar, (2, 2), Fallible),
    function("date_trunc", Scalar, (2, 2), Fallible),
    function("decode", Scalar, (2, 2), Fallible),
    function("degrees", Scalar, (1, 1), Leakproof),
    function("digest", Scalar, (2, 2), Fallible),
    function("encode", Scalar, (2, 2), Fallible),
    function("ends_with", Scalar, (2, 2), Leakproof),
    function("exp", Scalar, (1, 1), Leakproof),
    function("factorial", Scalar, (1, 1), Fallible),
    function("find_in_set", Scalar, (2, 2), Leakproof),
    function("floor", Scalar, (1, 1), Leakproof),
    function("from_unixtime", Scalar, (1, 1), Fallible),
    function("gcd", Scalar, (2, 2), Fallible),
    function("greatest", Scalar, (1, MANY), Leakproof),
    function("initcap", Scalar, (1, 1), Leakproof),
    function("isnan", Scalar, (1, 1), Leakproof),
    function("iszero", Scalar, (1, 1), Leakproof),
    function("lcm", Scalar, (2, 2), Fallible),
    function("least", Scalar, (1, MANY), Leakproof),
    function("left", Scalar, (2, 2), Leakproof),
    function("levenshtein", Scalar, (2, 2), Total),
    function("ln", Scalar, (1, 1), Leakproof),
    function("log", Scalar, (1, 2), Fallible),
    function("log10", Scalar, (1, 1), Leakproof),
    function("log2", Scalar, (1, 1), Leakproof),
    function("lower", Scalar, (1, 1), Leakproof),
    function("lpad", Scalar, (2, 3), Fallible),
    function("ltrim", Scalar, (1, 2), Leakproof),
    function("make_date", Scalar, (3, 3), Fallible),
    function("md5", Scalar, (1, 1), Total),
    function(
        "named_struct",
        Scalar,
        (2, 2 * OUTPUT_COLUMNS_MAX),
        Leakproof,
    ),
    function("nanvl", Scalar, (2, 2), Leakproof),
    function("now", Scalar, (0, 0), Leakproof),
    function("nullif", Scalar, (2, 2), Leakproof),
    function("nvl", Scalar, (2, 2), Leakproof),
    function("nvl2", Scalar, (3, 3), Leakproof),
    function("octet_length", Scalar, (1, 1), Leakproof),
    function("overlay", Scalar, (3, 4), Fallible),
    function("pi", Scalar, (0, 0), Leakproof),
    function("power", Scalar, (2, 2), Fallible),
    function("radians", Scalar, (1, 1), Leakproof),
    function("random", Scalar, (0, 0), Volatile),
    function("regexp_count", Scalar, (2, 4), Fallible),
    function("regexp_instr", Scalar, (2, 6), Fallible),
    function("regexp_like", Scalar, (2, 3), Fallible),
    function("regexp_match", Scalar, (2, 3), Fallible),
    function("regexp_replace", Scalar, (3, 4), Fallible),
    function("repeat", Scalar, (2, 2), Fallible),
    function("replace", Scalar, (3, 3), Total),
    function("reverse", Scalar, (1, 1), Leakproof),
    function("right", Scalar, (2, 2), Leakproof),
    function("round", Scalar, (1, 2), Fallible),
    function("row_to_json", Scalar, (1, 1), Total),
    function("row_to_text", Scalar, (1, 1), Total),
    function("rpad", Scalar, (2, 3), Fallible),
    function("rtrim", Scalar, (1, 2), Leakproof),
    function("sha224", Scalar, (1, 1), Total),
    function("sha256", Scalar, (1, 1), Total),
    function("sha384", Scalar, (1, 1), Total),
    function("sha512", Scalar, (1, 1), Total),
    function("signum", Scalar, (1, 1), Leakproof),
    function("sin", Scalar, (1, 1), Leakproof),
    function("sinh", Scalar, (1, 1), Leakproof),
    function("split_part", Scalar, (3, 3), Fallible),
    function("sqrt", Scalar, (1, 1), Leakproof),
    function("starts_with", Scalar, (2, 2), Leakproof),
    function("strpos", Scalar, (2, 2), Leakproof),
    function("substr", Scalar, (2, 3), Fallible),
    function("substr_index", Scalar, (3, 3), Leakproof),
    function("tan", Scalar, (1, 1), Leakproof),
    function("tanh", Scalar, (1, 1), Leakproof),
    function("to_char", Scalar, (2, 2), Fallible),
    function("to_date", Scalar, (1, MANY), Fallible),
    function("to_hex", Scalar, (1, 1), Leakproof),
    function("to_timestamp", Scalar, (1, MANY), Fallible),
    function("to_timestamp_micros", Scalar, (1, MANY), Fallible),
    function("to_timestamp_millis", Scalar, (1, MANY), Fallible),
    function("to_timestamp_seconds", Scalar, (1, MANY), Fallible),
    function("to_unixtime", Scalar, (1, 2), Fallible),
    function("translate", Scalar, (3, 3), Total),
    function("trunc", Scalar, (1, 2), Fallible),
    function("upper", Scalar, (1, 1), Leakproof),
    function("uuid", Scalar, (0, 0), Volatile),
    function("approx_distinct", Aggregate, (1, 1), Total),
    function("approx_median", Aggregate, (1, 1), Total),
    function("approx_percentile_cont", Aggregate, (1, 2), Fallible),
    function("array_agg", Aggregate, (1, 1), Total),
    function("avg", Aggregate, (1, 1), Fallible),
    function("bit_and", Aggregate, (1, 1), Total),
    function("bit_or", Aggregate, (1, 1), Total),
    function("bit_xor", Aggregate, (1, 1), Total),
    function("bool_and", Aggregate, (1, 1), Total),
    function("bool_or", Aggregate, (1, 1), Total),
    function("corr", Aggregate, (2, 2), Total),
    function("count", Aggregate, (1, MANY), Total),
    function("covar_pop", Aggregate, (2, 2), Total),
    function("covar_samp", Aggregate, (2, 2), Total),
    function("first_value", Aggregate, (1, 1), Total),
    function("grouping", Aggregate, (1, MANY), Total),
    function("last_value", Aggregate, (1, 1), Total),
    function("max", Aggregate, (1, 1), Total),
    function("median", Aggregate, (1, 1), Total),
    function("min", Aggregate, (1, 1), Total),
    function("nth_value", Aggregate, (2, 2), Fallible),
    function("percentile_cont", Aggregate, (1, 1), Fallible),
    function("regr_avgx", Aggregate, (2, 2), Total),
    function("regr_avgy", Aggregate, (2, 2), Total),
    function("regr_count", Aggregate, (2, 2), Total),
    function("regr_intercept", Aggregate, (2, 2), Total),
    function("regr_r2", Aggregate, (2, 2), Total),
    function("regr_slope", Aggregate, (2, 2), Total),
    function("stddev", Aggregate, (1, 1), Total),
    function("stddev_pop", Aggregate, (1, 1), Total),
    function("string_agg", Aggregate, (2, 2), Total),
    function("sum", Aggregate, (1, 1), Fallible),
    function("var", Aggregate, (1, 1), Total),
    function("var_pop", Aggregate, (1, 1), Total),
    function("cume_dist", Window, (0, 0), Total),
    function("dense_rank", Window, (0, 0), Total),
    function("lag", Window, (1, 3), Total),
    function("lead", Window, (1, 3), Total),
    function("ntile", Window, (1, 1), Fallible),
    function("percent_rank", Window, (0, 0), Total),
    function("rank", Window, (0, 0), Total),
    function("row_number", Window, (0, 0), Total),
];

/// Other names of functions of the list.
const ALIASES: &[(&str, &str)] = &[
    ("ceiling", "ceil"),
    ("char_length", "character_length"),
    ("covar", "covar_samp"),
    ("current_timestamp", "now"),
    ("date_format", "to_char"),
    ("datepart", "date_part"),
    ("datetrunc", "date_trunc"),
    ("every", "bool_and"),
    ("ifnull", "nvl"),
    ("instr", "strpos"),
    ("length", "character_length"),
    ("mean", "avg"),
    ("pow", "power"),
    ("rand", "random"),
    ("sign", "signum"),
    ("stddev_samp", "stddev"),
    ("substring", "substr"),
    ("substring_index", "substr_index"),
    ("today", "current_date"),
    ("trim", "btrim"),
    ("var_population", "var_pop"),
    ("var_samp", "var"),
    ("var_sample", "var"),
];

/// The function of this lower-case name or alias.
pub fn lookup(name: &str) -> Option<&'static Function> {
    let name = ALIASES
        .iter()
        .find(|(alias, _)| *alias == name)
        .map_or(name, |(_, name)| name);
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// All names of the list, aliases among them.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    let aliases = ALIASES.iter().map(|(alias, _)| *alias);
    FUNCTIONS
        .iter()
        .map(|function| function.name)
        .chain(aliases)
}

/// The allowed name that is nearest in spelling, if one is near.
pub fn nearest(name: &str) -> Option<&'static str> {
    /// Longer names are not worth the comparison.
    const NAME_LENGTH_MAX: usize = 40;
    if name.len() > NAME_LENGTH_MAX {
        return None;
    }
    names()
        .map(|known| (distance(name, known), known))
        .filter(|(distance, known)| *distance <= 3 && *distance * 2 <= known.len())
        .min()
        .map(|(_, known)| known)
}

/// Edit distance by characters.
pub(crate) fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    for (row, a) in left.chars().enumerate() {
        let mut current = vec![row + 1];
        let mut diagonal_and_above = previous.iter().zip(previous.iter().skip(1));
        for b in &right {
            let Some((diagonal, above)) = diagonal_and_above.next() else {
                break;
            };
            let beside = current.last().copied().unwrap_or_default();
            let replaced = diagonal + usize::from(a != *b);
            current.push(replaced.min(above + 1).min(beside + 1));
        }
        previous = current;
    }
    previous.last().copied().unwrap_or_default()
}
