//! Literals, types and date fields.

use sqlparser::{ast, tokenizer::Span};

use super::Lowering;
use crate::{
    dialect::Dialect,
    error::SqlError,
    ir::{Expr, Field, Literal, Type},
    parse::is_forbidden,
};

/// Most digits of a number; more than any type of the engine holds.
const NUMBER_LENGTH_MAX: usize = 80;

impl Lowering {
    pub(super) fn value(&mut self, value: &ast::ValueWithSpan) -> Result<Expr, SqlError> {
        let ast::ValueWithSpan { value, span } = value;
        self.at(*span);
        Ok(Expr::Literal(match value {
            ast::Value::Null => Literal::Null,
            ast::Value::Boolean(value) => Literal::Bool(*value),
            ast::Value::Number(digits, is_long) => {
                let is_number = digits.len() <= NUMBER_LENGTH_MAX
                    && digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
                    && digits
                        .chars()
                        .all(|c| c.is_ascii_digit() || ".eE+-".contains(c));
                self.absent(*is_long || !is_number, "this form of number")?;
                Literal::Number(digits.clone())
            }
            ast::Value::SingleQuotedString(text) => self.readable_text(text, *span)?,
            ast::Value::EscapedStringLiteral(text)
            | ast::Value::DollarQuotedString(ast::DollarQuotedString {
                value: text,
                tag: _,
            }) if self.dialect == Dialect::Postgres => self.readable_text(text, *span)?,
            ast::Value::UnicodeStringLiteral(text)
                if matches!(self.dialect, Dialect::Ansi | Dialect::Postgres) =>
            {
                self.readable_text(text, *span)?
            }
            ast::Value::DoubleQuotedString(text) if self.dialect == Dialect::MySql => {
                self.readable_text(text, *span)?
            }
            ast::Value::Placeholder(_) => return Err(self.refuse("a parameter", *span)),
            ast::Value::DollarQuotedString(_)
            | ast::Value::TripleSingleQuotedString(_)
            | ast::Value::TripleDoubleQuotedString(_)
            | ast::Value::EscapedStringLiteral(_)
            | ast::Value::UnicodeStringLiteral(_)
            | ast::Value::SingleQuotedByteStringLiteral(_)
            | ast::Value::DoubleQuotedByteStringLiteral(_)
            | ast::Value::TripleSingleQuotedByteStringLiteral(_)
            | ast::Value::TripleDoubleQuotedByteStringLiteral(_)
            | ast::Value::SingleQuotedRawStringLiteral(_)
            | ast::Value::DoubleQuotedRawStringLiteral(_)
            | ast::Value::TripleSingleQuotedRawStringLiteral(_)
            | ast::Value::TripleDoubleQuotedRawStringLiteral(_)
            | ast::Value::NationalStringLiteral(_)
            | ast::Value::QuoteDelimitedStringLiteral(_)
            | ast::Value::NationalQuoteDelimitedStringLiteral(_)
            | ast::Value::HexStringLiteral(_)
            | ast::Value::DoubleQuotedString(_) => {
                return Err(self
                    .refuse("this form of literal", *span)
                    .with_hint("write text in single quotes, with '' for a quote inside"));
            }
        }))
    }

    /// A literal whose text, once its escapes are read, has no sign that no statement may hold.
    fn readable_text(&mut self, text: &str, span: Span) -> Result<Literal, SqlError> {
        if text.chars().any(is_forbidden) {
            return Err(self.refuse("a control or invisible character in text", span));
        }
        Ok(Literal::Text(text.to_owned()))
    }

    /// The text of a plain literal.
    pub(super) fn text(&mut self, value: &ast::ValueWithSpan) -> Result<String, SqlError> {
        if let Expr::Literal(Literal::Text(text)) = self.value(value)? {
            return Ok(text);
        }
        Err(self.refuse("a literal that is not text here", value.span))
    }

    pub(super) fn typed_string(&mut self, typed: &ast::TypedString) -> Result<Expr, SqlError> {
        let ast::TypedString {
            data_type,
            value,
            uses_odbc_syntax,
        } = typed;
        let text = self.text(value)?;
        self.absent(*uses_odbc_syntax, "the {d '..'} form of a literal")?;
        let of = self.data_type(data_type)?;
        if matches!(of, Type::Date | Type::Time | Type::Timestamp) {
            return Ok(Expr::Literal(Literal::Typed(of, self.of_type(of, text))));
        }
        Err(self
            .refuse("a literal of this type", value.span)
            .with_hint("write CAST('..' AS type)"))
    }

    pub(super) fn interval(&mut self, interval: &ast::Interval) -> Result<Expr, SqlError> {
        let ast::Interval {
            value,
            leading_field,
            leading_precision: _, // Only says how many digits the value may have.
            last_field,
            fractional_seconds_precision,
        } = interval;
        let ranged = last_field.is_some() || fractional_seconds_precision.is_some();
        self.absent(ranged, "an interval with two fields")?;
        let unit = self.optional(leading_field.as_ref(), Self::field)?;
        if matches!(
            unit,
            Some(Field::DayOfWeek | Field::DayOfYear | Field::Epoch)
        ) {
            return Err(self.refuse("this unit of an interval", Span::empty()));
        }
        match (self.expr(value)?, unit) {
            (Expr::Literal(Literal::Text(text)), unit) => {
                Ok(Expr::Literal(Literal::Interval(text, unit)))
            }
            (Expr::Literal(Literal::Number(digits)), Some(unit)) => {
                Ok(Expr::Literal(Literal::Interval(digits, Some(unit))))
            }
            _ => Err(self
                .refuse("an interval that is not a literal", Span::empty())
                .with_hint("write INTERVAL '3' MONTH")),
        }
    }

    pub(super) fn field(&mut self, field: &ast::DateTimeField) -> Result<Field, SqlError> {
        Ok(match field {
            ast::DateTimeField::Year | ast::DateTimeField::Years => Field::Year,
            ast::DateTimeField::Quarter => Field::Quarter,
            ast::DateTimeField::Month | ast::DateTimeField::Months => Field::Month,
            ast::DateTimeField::Week(None) | ast::DateTimeField::Weeks => Field::Week,
            ast::DateTimeField::Day | ast::DateTimeField::Days => Field::Day,
            ast::DateTimeField::Hour | ast::DateTimeField::Hours => Field::Hour,
            ast::DateTimeField::Minute | ast::DateTimeField::Minutes => Field::Minute,
            ast::DateTimeField::Second | ast::DateTimeField::Seconds => Field::Second,
            ast::DateTimeField::Millisecond | ast::DateTimeField::Milliseconds => {
                Field::Millisecond
            }
            ast::DateTimeField::Microsecond | ast::DateTimeField::Microseconds => {
                Field::Microsecond
            }
            ast::DateTimeField::Dow => Field::DayOfWeek,
            ast::DateTimeField::Doy => Field::DayOfYear,
            ast::DateTimeField::Epoch => Field::Epoch,
            ast::DateTimeField::Week(Some(_))
            | ast::DateTimeField::DayOfWeek
            | ast::DateTimeField::DayOfYear
            | ast::DateTimeField::Date
            | ast::DateTimeField::Datetime
            | ast::DateTimeField::Century
            | ast::DateTimeField::Decade
            | ast::DateTimeField::Isodow
            | ast::DateTimeField::Isoyear
            | ast::DateTimeField::IsoWeek
            | ast::DateTimeField::Julian
            | ast::DateTimeField::Millenium
            | ast::DateTimeField::Millennium
            | ast::DateTimeField::Nanosecond
            | ast::DateTimeField::Nanoseconds
            | ast::DateTimeField::Time
            | ast::DateTimeField::Timezone
            | ast::DateTimeField::TimezoneAbbr
            | ast::DateTimeField::TimezoneHour
            | ast::DateTimeField::TimezoneMinute
            | ast::DateTimeField::TimezoneRegion
            | ast::DateTimeField::NoDateTime
            | ast::DateTimeField::Custom(_) => {
                return Err(self.refuse("this date field", Span::empty()));
            }
        })
    }

    /// A type that casts may name. A length is refused, as the engine would ignore it.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "an allow-list of types: each other type, of today or tomorrow, is refused"
    )]
    pub(super) fn data_type(&mut self, of: &ast::DataType) -> Result<Type, SqlError> {
        use ast::{DataType as D, ExactNumberInfo as N, TimezoneInfo as Z};
        if let Some(of) = self.type_of_dialect(of)? {
            return Ok(of);
        }
        Ok(match of {
            D::Boolean | D::Bool => Type::Boolean,
            D::SmallInt(None) | D::Int2(None) => Type::SmallInt,
            D::Integer(None) | D::Int(None) | D::Int4(None) => Type::Integer,
            D::BigInt(None) | D::Int8(None) => Type::BigInt,
            D::Real | D::Float4 => Type::Real,
            D::Double(N::None) | D::DoublePrecision | D::Float8 => Type::Double,
            D::Decimal(digits) | D::Numeric(digits) => Type::Decimal(self.digits(digits)?),
            D::Varchar(None) | D::Text | D::String(None) | D::CharacterVarying(None) => Type::Text,
            D::Date => Type::Date,
            D::Time(None, Z::None | Z::WithoutTimeZone) => Type::Time,
            D::Timestamp(None, Z::None | Z::WithoutTimeZone) => Type::Timestamp,
            D::Timestamp(None, Z::WithTimeZone | Z::Tz) => Type::TimestampTz,
            D::Bytea => Type::Binary,
            D::Varchar(Some(_)) | D::Char(_) | D::Character(_) | D::CharacterVarying(Some(_)) => {
                return Err(self
                    .refuse("a text type with a length", Span::empty())
                    .with_hint("write varchar, and left(x, n) to shorten"));
            }
            _ => return Err(self.refuse("this type", Span::empty())),
        })
    }

    /// A type that is another one in the caller's dialect.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is not named is in the allow-list of `data_type`, or refused there"
    )]
    fn type_of_dialect(&mut self, of: &ast::DataType) -> Result<Option<Type>, SqlError> {
        use ast::{DataType as D, ExactNumberInfo as N};
        let is_mysql = self.dialect == Dialect::MySql;
        Ok(match of {
            D::Signed | D::SignedInteger if is_mysql => Some(Type::BigInt),
            D::Char(None) if is_mysql => Some(Type::Text),
            D::Datetime(None) if is_mysql => Some(Type::Timestamp),
            D::Real if is_mysql => Some(Type::Double),
            D::Decimal(N::None) | D::Numeric(N::None)
                if matches!(self.dialect, Dialect::Ansi | Dialect::MySql) =>
            {
                return Err(self
                    .refuse("a decimal without digits in this dialect", Span::empty())
                    .with_hint("write decimal(precision, scale)"));
            }
            _ => None,
        })
    }

    fn digits(&mut self, info: &ast::ExactNumberInfo) -> Result<Option<(u8, u8)>, SqlError> {
        /// Digits of the engine's widest exact type that the catalog knows.
        const PRECISION_MAX: u8 = 38;
        let (precision, scale) = match info {
            ast::ExactNumberInfo::None => return Ok(None),
            ast::ExactNumberInfo::Precision(precision) => (*precision, 0),
            ast::ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
        };
        match (u8::try_from(precision), u8::try_from(scale)) {
            (Ok(precision), Ok(scale))
                if (1..=PRECISION_MAX).contains(&precision) && scale <= precision =>
            {
                Ok(Some((precision, scale)))
            }
            _ => Err(self.refuse("a decimal of this precision and scale", Span::empty())),
        }
    }
}
