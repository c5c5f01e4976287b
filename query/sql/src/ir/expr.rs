//! Scalar expressions.

use super::{Ident, OrderItem, Position, Query};
use crate::functions::Function;

/// A scalar expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// A column: one to four parts.
    Column(Vec<Ident>),
    /// `t.*` as a value: the row of a relation; not in a bound tree.
    Row(Vec<Ident>),
    /// A literal.
    Literal(Literal),
    /// `a op b op c`, one operator, grouped from the left; at least two operands.
    Binary {
        /// The operator.
        operator: BinaryOperator,
        /// The operands.
        operands: Vec<Expr>,
    },
    /// `-a`, `+a`, `NOT a`.
    Unary {
        /// The operator.
        operator: UnaryOperator,
        /// The operand.
        expr: Box<Expr>,
    },
    /// `a IS [NOT] NULL | TRUE | FALSE | UNKNOWN`.
    Is {
        /// The operand.
        expr: Box<Expr>,
        /// The test.
        test: Test,
        /// NOT.
        is_negated: bool,
    },
    /// `a IS [NOT] DISTINCT FROM b`.
    Distinct {
        /// Left.
        left: Box<Expr>,
        /// Right.
        right: Box<Expr>,
        /// NOT.
        is_negated: bool,
    },
    /// `a [NOT] IN (b, c)`.
    InList {
        /// The operand.
        expr: Box<Expr>,
        /// The list.
        list: Vec<Expr>,
        /// NOT.
        is_negated: bool,
    },
    /// `a [NOT] IN (query)`.
    InQuery {
        /// The operand.
        expr: Box<Expr>,
        /// The query.
        query: Box<Query>,
        /// NOT.
        is_negated: bool,
    },
    /// `a [NOT] BETWEEN b AND c`.
    Between {
        /// The operand.
        expr: Box<Expr>,
        /// Lower bound.
        low: Box<Expr>,
        /// Upper bound.
        high: Box<Expr>,
        /// NOT.
        is_negated: bool,
    },
    /// `a [NOT] LIKE b [ESCAPE c]`.
    Like {
        /// The operand.
        expr: Box<Expr>,
        /// The pattern.
        pattern: Box<Expr>,
        /// ESCAPE.
        escape: Option<char>,
        /// ILIKE.
        ignores_case: bool,
        /// NOT.
        is_negated: bool,
    },
    /// CASE.
    Case {
        /// What the branches are compared with.
        operand: Option<Box<Expr>>,
        /// WHEN and THEN.
        branches: Vec<(Expr, Expr)>,
        /// ELSE.
        otherwise: Option<Box<Expr>>,
    },
    /// CAST and TRY_CAST.
    Cast {
        /// The operand.
        expr: Box<Expr>,
        /// The type.
        to: Type,
        /// TRY_CAST: NULL instead of an error.
        is_try: bool,
    },
    /// EXTRACT.
    Extract {
        /// The field.
        field: Field,
        /// The operand.
        expr: Box<Expr>,
    },
    /// A function of the allow-list.
    Call(Box<Call>),
    /// `a op ANY (query)` and `a op ALL (query)`.
    Quantified {
        /// The operand.
        expr: Box<Expr>,
        /// A comparison.
        operator: BinaryOperator,
        /// ANY or ALL.
        quantifier: Quantifier,
        /// The query.
        query: Box<Query>,
    },
    /// `[NOT] EXISTS (query)`.
    Exists {
        /// The query.
        query: Box<Query>,
        /// NOT.
        is_negated: bool,
    },
    /// A scalar subquery.
    Subquery(Box<Query>),
}

/// How many rows of a query a comparison must hold for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantifier {
    /// One at least.
    Any,
    /// Each.
    All,
}

/// A literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    /// NULL.
    Null,
    /// TRUE or FALSE.
    Bool(bool),
    /// A number: digits, point, exponent.
    Number(String),
    /// Text.
    Text(String),
    /// Text of PostgreSQL that is a date or time with a zone: what it is compared with says whether that counts.
    Zoned(String),
    /// A type name and text, such as DATE '2026-01-31'.
    Typed(Type, String),
    /// INTERVAL and its unit.
    Interval(String, Option<Field>),
}

/// An infix operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOperator {
    /// OR.
    Or,
    /// AND.
    And,
    /// `=`.
    Equal,
    /// `<>`.
    NotEqual,
    /// `<`.
    Less,
    /// `<=`.
    LessOrEqual,
    /// `>`.
    Greater,
    /// `>=`.
    GreaterOrEqual,
    /// `+`.
    Add,
    /// `-`.
    Subtract,
    /// `*`.
    Multiply,
    /// `/`.
    Divide,
    /// `%`.
    Modulo,
    /// `||`.
    Concat,
    /// `&`.
    BitAnd,
    /// `|`.
    BitOr,
    /// `~`.
    RegexMatch,
    /// `~*`.
    RegexMatchNoCase,
    /// `!~`.
    RegexNotMatch,
    /// `!~*`.
    RegexNotMatchNoCase,
}

impl BinaryOperator {
    /// Whether it compares two values of one type.
    pub(crate) fn compares(self) -> bool {
        matches!(
            self,
            Self::Equal
                | Self::NotEqual
                | Self::Less
                | Self::LessOrEqual
                | Self::Greater
                | Self::GreaterOrEqual
        )
    }
}

/// A prefix operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOperator {
    /// `-`.
    Minus,
    /// `+`.
    Plus,
    /// NOT.
    Not,
}

/// A test of IS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// NULL.
    Null,
    /// TRUE.
    True,
    /// FALSE.
    False,
    /// UNKNOWN.
    Unknown,
}

/// A type that casts and typed literals may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// BOOLEAN.
    Boolean,
    /// SMALLINT.
    SmallInt,
    /// INTEGER.
    Integer,
    /// BIGINT.
    BigInt,
    /// REAL.
    Real,
    /// DOUBLE.
    Double,
    /// DECIMAL, with precision and scale if given.
    Decimal(Option<(u8, u8)>),
    /// VARCHAR without a length.
    Text,
    /// DATE.
    Date,
    /// TIME.
    Time,
    /// TIMESTAMP.
    Timestamp,
    /// TIMESTAMP WITH TIME ZONE.
    TimestampTz,
    /// BYTEA.
    Binary,
}

/// A field of EXTRACT or the unit of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// YEAR.
    Year,
    /// QUARTER.
    Quarter,
    /// MONTH.
    Month,
    /// WEEK.
    Week,
    /// DAY.
    Day,
    /// HOUR.
    Hour,
    /// MINUTE.
    Minute,
    /// SECOND.
    Second,
    /// MILLISECOND.
    Millisecond,
    /// MICROSECOND.
    Microsecond,
    /// DOW: day of the week, Sunday is 0.
    DayOfWeek,
    /// DOY: day of the year.
    DayOfYear,
    /// EPOCH: seconds since 1970.
    Epoch,
}

/// A call of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Which.
    pub function: &'static Function,
    /// DISTINCT.
    pub is_distinct: bool,
    /// Arguments.
    pub arguments: Arguments,
    /// ORDER BY among the arguments.
    pub order_by: Vec<OrderItem>,
    /// WITHIN GROUP (ORDER BY ..).
    pub within_group: Vec<OrderItem>,
    /// FILTER.
    pub filter: Option<Expr>,
    /// IGNORE NULLS is true, RESPECT NULLS is false.
    pub ignores_nulls: Option<bool>,
    /// OVER.
    pub over: Option<Window>,
    /// Where.
    pub position: Position,
}

/// Arguments of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// `count(*)`.
    Star,
    /// A list.
    List(Vec<Expr>),
}

/// OVER (..).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// PARTITION BY.
    pub partition_by: Vec<Expr>,
    /// ORDER BY; ordinals mean nothing here and are refused.
    pub order_by: Vec<OrderItem>,
    /// ROWS, RANGE or GROUPS.
    pub frame: Option<Frame>,
}

/// A window frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its unit.
    pub unit: FrameUnit,
    /// Start.
    pub start: Bound,
    /// End; without it, the current row.
    pub end: Option<Bound>,
}

/// The unit of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameUnit {
    /// ROWS.
    Rows,
    /// RANGE.
    Range,
    /// GROUPS.
    Groups,
}

/// A bound of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// CURRENT ROW.
    CurrentRow,
    /// n PRECEDING; UNBOUNDED without n.
    Preceding(Option<Literal>),
    /// n FOLLOWING; UNBOUNDED without n.
    Following(Option<Literal>),
}
