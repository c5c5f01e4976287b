//! The governed tree: the part of SQL that we understand, and nothing else.
//!
//! One set of types serves twice. As `parse` makes it, names are the caller's. As `bind` makes it,
//! each table name is a governed name, each column is written `relation.column` with names chosen
//! by us, stars are expanded, and USING has become ON. The printer knows one form only.
//!
//! Equality ignores positions, so that a tree can be compared with the one read from its own text.

mod expr;

pub use expr::{
    Arguments, BinaryOperator, Bound, Call, Expr, Field, Frame, FrameUnit, Literal, Test, Type,
    UnaryOperator, Window,
};

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
        /// Its index among the base tables of the statement.
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
