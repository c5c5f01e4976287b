//! The governed tree: the part of SQL that we understand, and nothing else.
//!
//! One set of types serves twice. As `parse` makes it, names are the caller's. As `bind` makes it,
//! each table name is a governed name, each column is written `relation.column` with names chosen
//! by us, stars are expanded, and USING has become ON. The printer knows one form only.
//!
//! Equality ignores positions, so that a tree can be compared with the one read from its own text.

use crate::functions::Function;

/// A place in the caller's text; any two are equal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Position {
    /// One-based line; zero if not known.
    pub line: u64,
    /// One-based column; zero if not known.
    pub column: u64,
}

impl PartialEq for Position {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Position {}

/// An identifier. Without quotes it is folded to lower case here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ident {
    /// The name, unescaped.
    pub value: String,
    /// Whether it was written in double quotes: then it matches by exact spelling only.
    pub is_quoted: bool,
    /// Where.
    pub position: Position,
}

impl Ident {
    /// A name of our own choice.
    pub fn quoted(value: impl Into<String>) -> Self {
        Self {
            value: value.into(),
            is_quoted: true,
            position: Position::default(),
        }
    }

    /// Whether this reference may mean `name`, apart from exact equality.
    pub(crate) fn matches_loosely(&self, name: &str) -> bool {
        !self.is_quoted && self.value.eq_ignore_ascii_case(name)
    }
}

/// A query expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// WITH.
    pub ctes: Vec<Cte>,
    /// What is between WITH and ORDER BY.
    pub body: Body,
    /// ORDER BY.
    pub order_by: Vec<OrderItem>,
    /// LIMIT.
    pub limit: Option<u64>,
    /// OFFSET.
    pub offset: Option<u64>,
    /// Where its first SELECT or row is.
    pub position: Position,
}

/// One item of WITH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cte {
    /// Its name.
    pub name: Ident,
    /// Names of its columns, if given.
    pub columns: Vec<Ident>,
    /// Its query.
    pub query: Query,
}

/// The body of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// SELECT.
    Select(Box<Select>),
    /// VALUES: rows of equal length.
    Values(Vec<Vec<Expr>>),
    /// A query in parentheses that has WITH, ORDER BY, LIMIT or OFFSET of its own.
    Query(Box<Query>),
    /// UNION and its kin.
    SetOperation {
        /// Which.
        operator: SetOperator,
        /// Whether duplicates stay.
        is_all: bool,
        /// Left side.
        left: Box<Body>,
        /// Right side.
        right: Box<Body>,
    },
}

/// A set operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOperator {
    /// UNION.
    Union,
    /// INTERSECT, which binds tighter than the others.
    Intersect,
    /// EXCEPT.
    Except,
}

/// SELECT .. FROM .. WHERE .. GROUP BY .. HAVING.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Select {
    /// DISTINCT.
    pub is_distinct: bool,
    /// The select list.
    pub items: Vec<SelectItem>,
    /// FROM; commas are cross joins.
    pub from: Vec<Relation>,
    /// WHERE.
    pub filter: Option<Expr>,
    /// GROUP BY.
    pub group_by: Vec<Key>,
    /// HAVING.
    pub having: Option<Expr>,
}

/// An item of the select list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SelectItem {
    /// An expression and its alias.
    Expr {
        /// The expression.
        expr: Expr,
        /// AS.
        alias: Option<Ident>,
    },
    /// `*`.
    Star(Position),
    /// `t.*`.
    QualifiedStar(Vec<Ident>),
}

/// An item of FROM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relation {
    /// A base table.
    Table {
        /// Its name, one to three parts.
        name: Vec<Ident>,
        /// Its index among the base tables of the statement, in the order of the text.
        occurrence: usize,
        /// AS.
        alias: Option<Alias>,
    },
    /// A name that an enclosing WITH defines.
    Cte {
        /// The name as the WITH spells it.
        name: Ident,
        /// AS.
        alias: Option<Alias>,
    },
    /// A query in parentheses.
    Derived {
        /// The query.
        query: Box<Query>,
        /// AS.
        alias: Option<Alias>,
    },
    /// A join.
    Join(Box<Join>),
}

/// A table alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The name.
    pub name: Ident,
    /// Names for the first columns.
    pub columns: Vec<Ident>,
}

/// A join of two relations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// Left side.
    pub left: Relation,
    /// Right side.
    pub right: Relation,
    /// Which join.
    pub kind: JoinKind,
    /// Condition.
    pub condition: JoinCondition,
}

/// Which rows a join keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    /// INNER JOIN.
    Inner,
    /// LEFT JOIN.
    Left,
    /// RIGHT JOIN.
    Right,
    /// FULL JOIN.
    Full,
    /// CROSS JOIN.
    Cross,
}

/// The condition of a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinCondition {
    /// ON.
    On(Expr),
    /// USING.
    Using(Vec<Ident>),
    /// None, for CROSS.
    None,
}

/// A key of GROUP BY or ORDER BY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// One-based position in the select list.
    Ordinal(u64, Position),
    /// An expression.
    Expr(Expr),
}

/// An item of ORDER BY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderItem {
    /// What to sort by.
    pub key: Key,
    /// DESC.
    pub is_descending: bool,
    /// NULLS FIRST or NULLS LAST.
    pub nulls_first: Option<bool>,
}

/// A scalar expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// A column: one to four parts.
    Column(Vec<Ident>),
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
