//! Masks on Arrow arrays.
//!
//! A mask is compiled once for a column and then applied batch by batch, before anything of the
//! caller's sees the value. It never fails on a value: what it cannot express becomes NULL. The
//! rules for NULL, types and rounding are those of the mask table in the documentation of policies.

pub(crate) mod canonical;
mod date;
pub(crate) mod key;
mod number;
mod permute;
mod random;
mod shape;
mod text;

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, RecordBatch, new_null_array},
        datatypes::{DataType, Schema},
    },
    common::{Result, ScalarValue},
    logical_expr::ColumnarValue,
    physical_expr::PhysicalExpr,
};
use dataos_model::{annotation::Literal, dataset::ColumnType, fault::Fault, mask::Mask};
use regex::Regex;
use regex_syntax::hir::Hir;

use self::key::MaskKeys;
use crate::column::arrow_type;

/// Longest program of a compiled pattern, in bytes: a pattern of a policy may not eat the memory.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// A mask made ready for columns of one type.
#[derive(Clone, Debug)]
enum Ready {
    Null,
    /// The same value in every row, NULL included.
    Value(ScalarValue),
    Hash(MaskKeys),
    Canonical,
    Regex(Box<Regex>, String),
    Partial {
        first: usize,
        last: usize,
        fill: String,
    },
    Numbers(number::Buckets),
    Changed(number::Change, Option<MaskKeys>),
    Dates(dataos_model::mask::DatePrecision),
    Shifted(u32, MaskKeys),
    Pattern(String, MaskKeys),
    Matching(Box<Hir>, MaskKeys),
    Token(u32, MaskKeys),
    Permuted(MaskKeys),
    /// The first so many characters.
    Short(usize),
    /// A part of the text, by the mask itself.
    Part(Mask),
    PassThrough,
}

/// A mask over a column, as a physical expression.
#[derive(Clone)]
pub(crate) struct MaskExpr {
    input: Arc<dyn PhysicalExpr>,
    column_type: ColumnType,
    /// The mask as policies write it: what equality and display go by. `None` is canonical text.
    mask: Option<Mask>,
    ready: Ready,
    result_type: DataType,
}

impl MaskExpr {
    /// `mask` over `input`, which holds a column of type `column_type`.
    ///
    /// # Errors
    /// A constant that does not fit the type, a pattern that does not compile, a hash without key.
    pub(crate) fn new(
        input: Arc<dyn PhysicalExpr>,
        column_type: &ColumnType,
        mask: &Mask,
        keys: Option<&MaskKeys>,
    ) -> Result<Self, Fault> {
        let ready = Ready::of(mask, column_type, keys)?;
        let result_type = arrow_type(&mask.result_type(column_type));
        let (column_type, mask) = (column_type.clone(), Some(mask.clone()));
        Ok(Self {
            input,
            column_type,
            mask,
            ready,
            result_type,
        })
    }

    /// The canonical text of `input`: how a plain value shows in a column that some rows hash.
    pub(crate) fn canonical_text(input: Arc<dyn PhysicalExpr>, column_type: &ColumnType) -> Self {
        let (ready, result_type) = (Ready::Canonical, arrow_type(&ColumnType::Text));
        Self {
            input,
            column_type: column_type.clone(),
            mask: None,
            ready,
            result_type,
        }
    }

    fn apply(&self, input: &ArrayRef) -> Result<ArrayRef> {
        Ok(match &self.ready {
            Ready::Null => new_null_array(&self.result_type, input.len()),
            Ready::Value(value) => value.to_array_of_size(input.len())?,
            Ready::Hash(keys) => text::hash(input.as_ref(), &self.column_type, &keys.lasting),
            Ready::Canonical => text::canonical(input.as_ref(), &self.column_type),
            Ready::Regex(regex, replacement) => text::each(input.as_ref(), |text| {
                regex.replace_all(text, replacement.as_str())
            }),
            Ready::Partial { first, last, fill } => text::each(input.as_ref(), |value| {
                text::partial(value, *first, *last, fill).into()
            }),
            Ready::Numbers(buckets) => buckets.apply(input.as_ref()),
            Ready::Changed(change, keys) => change.apply(input.as_ref(), keys.as_ref()),
            Ready::Dates(precision) => date::truncate(input, *precision),
            Ready::Shifted(days, keys) => date::shifted(input, *days, Some(keys)),
            Ready::Pattern(pattern, keys) => text::each_or_null(input.as_ref(), |text| {
                let drawn = keys.draw_once("rand_pattern", text.as_bytes());
                Some(random::digits(pattern, drawn))
            }),
            Ready::Matching(pattern, keys) => text::each_or_null(input.as_ref(), |text| {
                let drawn = keys.draw_once("rand_regexify", text.as_bytes());
                Some(random::matching(pattern, drawn))
            }),
            Ready::Token(length, keys) => text::each_or_null(input.as_ref(), |text| {
                Some(text::token(text, *length, keys))
            }),
            Ready::Permuted(keys) => {
                text::each_or_null(input.as_ref(), |text| permute::permuted(text, keys))
            }
            Ready::Short(length) => text::each(input.as_ref(), |text| {
                shape::shortened(text, *length).into()
            }),
            Ready::Part(mask) => text::each_or_null(input.as_ref(), |text| part(mask, text)),
            Ready::PassThrough => Arc::clone(input),
        })
    }
}

impl Ready {
    fn of(mask: &Mask, column_type: &ColumnType, keys: Option<&MaskKeys>) -> Result<Self, Fault> {
        let unfit = || unfit(mask, column_type);
        let keyed = || keys.cloned().ok_or_else(no_key);
        Ok(match mask {
            Mask::Null => Self::Null,
            Mask::Redact(text) => {
                Self::Value(parse(text, column_type).unwrap_or(
                    ScalarValue::try_from(&arrow_type(column_type)).map_err(|_| unfit())?,
                ))
            }
            Mask::Constant(literal) => {
                Self::Value(constant(literal, column_type).ok_or_else(unfit)?)
            }
            Mask::Hash => Self::Hash(keyed()?),
            Mask::RegexReplace {
                pattern,
                replacement,
            } => {
                let regex = regex::RegexBuilder::new(pattern)
                    .size_limit(PATTERN_BYTES_MAX)
                    .build()
                    .map_err(|_| unfit())?;
                Self::Regex(Box::new(regex), replacement.clone())
            }
            Mask::Partial { first, last, fill } => Self::Partial {
                first: usize::try_from(*first).unwrap_or(usize::MAX),
                last: usize::try_from(*last).unwrap_or(usize::MAX),
                fill: fill.clone(),
            },
            Mask::BucketNumber(bounds) => {
                Self::Numbers(number::Buckets::new(bounds, column_type).ok_or_else(unfit)?)
            }
            Mask::BucketDate(precision) => Self::Dates(*precision),
            Mask::PassThrough => Self::PassThrough,
            Mask::RandPattern(pattern) => Self::Pattern(pattern.clone(), keyed()?),
            Mask::RandRegexify(pattern) => {
                let read = random::read(pattern).ok_or_else(unfit)?;
                Self::Matching(Box::new(read), keyed()?)
            }
            Mask::Token(length) => Self::Token(*length, keyed()?),
            Mask::FormatPreserving => Self::Permuted(keyed()?),
            Mask::Noise(amount) => {
                let change = number::Change::noise(amount, column_type).ok_or_else(unfit)?;
                Self::Changed(change, Some(keyed()?))
            }
            Mask::Round(to) => Self::Changed(
                number::Change::round(to, column_type).ok_or_else(unfit)?,
                None,
            ),
            Mask::Clamp(low, high) => Self::Changed(
                number::Change::clamp(low, high, column_type).ok_or_else(unfit)?,
                None,
            ),
            Mask::Truncate(digits) => Self::Changed(
                number::Change::truncate(*digits, column_type).ok_or_else(unfit)?,
                None,
            ),
            Mask::ShiftDate(days) => Self::Shifted(*days, keyed()?),
            Mask::Shorten(length) => Self::Short(usize::try_from(*length).unwrap_or(usize::MAX)),
            Mask::EmailDomain
            | Mask::TruncateIp { .. }
            | Mask::UrlHost
            | Mask::Initials
            | Mask::Shape
            | Mask::JsonRedact(_)
            | Mask::JsonKeep(_) => Self::Part(mask.clone()),
        })
    }
}

/// What a mask keeps of a text, for masks that need no key and no preparation.
fn part(mask: &Mask, text: &str) -> Option<String> {
    match mask {
        Mask::EmailDomain => shape::email_domain(text),
        Mask::TruncateIp { v4, v6 } => shape::truncated_ip(text, *v4, *v6),
        Mask::UrlHost => shape::url_host(text),
        Mask::Initials => Some(shape::initials(text)),
        Mask::Shape => Some(shape::shape(text)),
        Mask::JsonRedact(paths) => shape::json_redacted(text, paths),
        Mask::JsonKeep(paths) => shape::json_kept(text, paths),
        Mask::Null
        | Mask::Redact(_)
        | Mask::Constant(_)
        | Mask::Hash
        | Mask::RegexReplace { .. }
        | Mask::Partial { .. }
        | Mask::BucketNumber(_)
        | Mask::BucketDate(_)
        | Mask::PassThrough
        | Mask::Shorten(_)
        | Mask::RandPattern(_)
        | Mask::RandRegexify(_)
        | Mask::Token(_)
        | Mask::FormatPreserving
        | Mask::Noise(_)
        | Mask::Round(_)
        | Mask::Clamp(..)
        | Mask::Truncate(_)
        | Mask::ShiftDate(_) => None,
    }
}

fn no_key() -> Fault {
    Fault::unavailable("the key of masks cannot be read")
        .with_reason("mask_key")
        .with_hint("ask the operator to store the secret `dataos/mask-key`")
}

impl PartialEq for MaskExpr {
    fn eq(&self, other: &Self) -> bool {
        self.mask == other.mask
            && self.column_type == other.column_type
            && self.input.eq(&other.input)
    }
}

impl Eq for MaskExpr {}

impl Hash for MaskExpr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.to_string().hash(state);
        self.column_type.hash(state);
        self.input.hash(state);
    }
}

impl fmt::Debug for MaskExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MaskExpr({self})")
    }
}

impl fmt::Display for MaskExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.mask {
            Some(mask) => write!(f, "mask({}, {mask})", self.input),
            None => write!(f, "canonical_text({})", self.input),
        }
    }
}

impl PhysicalExpr for MaskExpr {
    fn data_type(&self, _input_schema: &Schema) -> Result<DataType> {
        Ok(self.result_type.clone())
    }

    fn nullable(&self, _input_schema: &Schema) -> Result<bool> {
        Ok(true)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let input = self.input.evaluate(batch)?.into_array(batch.num_rows())?;
        Ok(ColumnarValue::Array(self.apply(&input)?))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.input]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let input = children.pop().unwrap_or_else(|| Arc::clone(&self.input));
        Ok(Arc::new(Self {
            input,
            ..(*self).clone()
        }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

fn unfit(mask: &Mask, column_type: &ColumnType) -> Fault {
    Fault::denied(
        "mask_not_typed",
        format!("mask `{mask}` does not fit a column of type {column_type}"),
    )
    .with_hint("ask the author of the policy to change the mask or the columns that it names")
}

/// A text as a value of the column's type.
fn parse(text: &str, column_type: &ColumnType) -> Option<ScalarValue> {
    let value = ScalarValue::Utf8(Some(text.to_owned()));
    value
        .cast_to(&arrow_type(column_type))
        .ok()
        .filter(|value| !value.is_null())
}

/// A literal of a policy as a value of the column's type; no conversion between kinds.
fn constant(literal: &Literal, column_type: &ColumnType) -> Option<ScalarValue> {
    let is_number = matches!(
        column_type,
        ColumnType::Int(_) | ColumnType::Float(_) | ColumnType::Decimal { .. }
    );
    match literal {
        Literal::Integer(value) if is_number => parse(&value.to_string(), column_type),
        Literal::Decimal(text) if is_number && !matches!(column_type, ColumnType::Int(_)) => {
            parse(text, column_type)
        }
        Literal::Bool(value) if *column_type == ColumnType::Bool => {
            Some(ScalarValue::Boolean(Some(*value)))
        }
        Literal::Text(text) if !is_number && *column_type != ColumnType::Bool => {
            parse(text, column_type)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
