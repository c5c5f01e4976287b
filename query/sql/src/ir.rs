//! The governed tree: the part of SQL that we understand, and nothing else.
//!
//! One set of types serves twice. As `parse` makes it, names are the caller's. As `bind` makes it,
//! each table name is a governed name, each column is written `relation.column` with names chosen
//! by us, stars are expanded, and USING has become ON. The printer knows one form only.
//!
//! Equality ignores positions, so that a tree can be compared with the one read from its own text.

mod expr;

pub use expr::{
    Arguments, BinaryOperator, Bound, Call, Expr, Field, Frame, FrameUnit, Literal, Quantifier,
    Test, Type, UnaryOperator, Window,
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

/// An identifier, unescaped and folded as its dialect does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ident {
    /// The name.
    pub value: String,
    /// What it matches.
    pub matching: Matching,
    /// Where.
    pub position: Position,
}

/// Which names a reference may mean. Only the case of the letters a-z is ever looked past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matching {
    /// Its exact spelling.
    Exact,
    /// Its exact spelling, else any that differs in case alone.
    ExactFirst,
    /// Any that differs in case alone: of two such names it means both, and is ambiguous.
    AnyCase,
}

impl Ident {
    /// A name of our own choice.
    pub fn quoted(value: impl Into<String>) -> Self {
        Self {
            value: value.into(),
            matching: Matching::Exact,
            position: Position::default(),
        }
    }

    /// Whether this reference means `name`.
    pub fn matches(&self, name: &str) -> bool {
        match self.matching {
            Matching::Exact | Matching::ExactFirst => self.value == name,
            Matching::AnyCase => self.value.eq_ignore_ascii_case(name),
        }
    }

    /// What a reference means: all that `find` finds by names that match, or else by names that match loosely.
    pub fn meant<T>(find: impl Fn(fn(&Self, &str) -> bool) -> Vec<T>) -> Vec<T> {
        let exact = find(Self::matches);
        if exact.is_empty() {
            find(Self::matches_loosely)
        } else {
            exact
        }
    }

    /// Whether this reference means `name` where no name matches.
    pub fn matches_loosely(&self, name: &str) -> bool {
        match self.matching {
            Matching::Exact => self.matches(name),
            Matching::ExactFirst | Matching::AnyCase => self.value.eq_ignore_ascii_case(name),
        }
    }
}

/// A query expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// WITH RECURSIVE: a query of WITH that is a UNION may name itself on its right side.
    pub is_recursive: bool,
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

impl Query {
    /// A query that is this body alone.
    pub(crate) fn of(body: Body, position: Position) -> Self {
        Self {
            is_recursive: false,
            ctes: Vec::new(),
            body,
            order_by: Vec::new(),
            limit: None,
            offset: None,
            position,
        }
    }
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

/// SELECT .. FROM .. WHERE .. GROUP BY .. HAVING .. QUALIFY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Select {
    /// DISTINCT.
    pub distinct: Distinct,
    /// The select list.
    pub items: Vec<SelectItem>,
    /// FROM; commas are cross joins.
    pub from: Vec<Relation>,
    /// WHERE.
    pub filter: Option<Expr>,
    /// GROUP BY.
    pub group_by: GroupBy,
    /// HAVING.
    pub having: Option<Expr>,
    /// QUALIFY: a condition over window functions.
    pub qualify: Option<Expr>,
}

impl Select {
    /// One of these items over these relations, and no more.
    pub(crate) fn of(items: Vec<SelectItem>, from: Vec<Relation>) -> Self {
        Self {
            distinct: Distinct::No,
            items,
            from,
            filter: None,
            group_by: GroupBy::Items(Vec::new()),
            having: None,
            qualify: None,
        }
    }
}

/// Which duplicates a SELECT leaves out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Distinct {
    /// None.
    No,
    /// DISTINCT.
    Yes,
    /// DISTINCT ON: all rows of equal keys but the first.
    On(Vec<Key>),
}

/// GROUP BY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// GROUP BY ALL: each item of the select list without an aggregate; not in a bound tree.
    All(Position),
    /// Items; none without GROUP BY.
    Items(Vec<GroupItem>),
}

impl GroupBy {
    /// Whether there is no GROUP BY.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Items(items) if items.is_empty())
    }
}

/// An item of GROUP BY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupItem {
    /// A key.
    Key(Key),
    /// ROLLUP, CUBE or GROUPING SETS.
    Sets(GroupSets, Vec<Vec<Expr>>),
}

/// How sets of keys are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupSets {
    /// ROLLUP.
    Rollup,
    /// CUBE.
    Cube,
    /// GROUPING SETS.
    Sets,
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
    Star(Position, StarOptions),
    /// `t.*`.
    QualifiedStar(Vec<Ident>, StarOptions),
}

/// What a star is followed by; not in a bound tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StarOptions {
    /// ILIKE: only columns whose names are like this.
    pub like: Option<String>,
    /// EXCEPT or EXCLUDE: not these columns.
    pub except: Vec<Ident>,
    /// REPLACE: this value in place of the column.
    pub replace: Vec<(Expr, Ident)>,
    /// RENAME: the column under another name.
    pub rename: Vec<(Ident, Ident)>,
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
        /// LATERAL: it sees the relations before it.
        is_lateral: bool,
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
    /// LEFT SEMI JOIN: rows of the left side that have a partner.
    Semi,
    /// LEFT ANTI JOIN: rows of the left side that have none.
    Anti,
}

/// The condition of a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinCondition {
    /// ON.
    On(Expr),
    /// USING; not in a bound tree.
    Using(Vec<Ident>),
    /// NATURAL: USING all columns of one name; not in a bound tree.
    Natural(Position),
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
