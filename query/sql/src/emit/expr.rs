//! Expressions, with parentheses exactly where the tree needs them.

use super::Printer;
use crate::ir::{
    Arguments, BinaryOperator, Bound, Call, Expr, Field, Frame, FrameUnit, Literal, Quantifier,
    Test, Type, UnaryOperator, Window,
};

/// Binds tighter than any operator.
const PRIMARY: u8 = 100;
/// The side of a comparison: arithmetic and tighter, everything else in parentheses.
const COMPARED: u8 = 30;

impl Printer<'_> {
    #[expect(
        clippy::too_many_lines,
        reason = "an arm for each form of an expression"
    )]
    pub(super) fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Column(parts) => self.list(parts, ".", |this, part| this.name(&part.value)),
            Expr::Row(parts) => {
                self.list(parts, ".", |this, part| this.name(&part.value));
                self.word(".*");
            }
            Expr::Literal(literal) => self.literal(literal),
            Expr::Binary { operator, operands } => {
                let level = binary_level(*operator);
                let is_comparison = level == 20;
                for (index, operand) in operands.iter().enumerate() {
                    if index > 0 {
                        self.word(binary_word(*operator));
                    }
                    let least = match (is_comparison, index) {
                        (true, _) => COMPARED,
                        (false, 0) => level,
                        (false, _) => level + 1,
                    };
                    self.at_least(operand, least);
                }
            }
            Expr::Unary { operator, expr } => {
                self.word(match operator {
                    UnaryOperator::Minus => "-",
                    UnaryOperator::Plus => "+",
                    UnaryOperator::Not => "NOT ",
                });
                self.at_least(expr, PRIMARY);
            }
            Expr::Is { .. }
            | Expr::Distinct { .. }
            | Expr::InList { .. }
            | Expr::InQuery { .. }
            | Expr::Between { .. }
            | Expr::Like { .. } => self.predicate(expr),
            Expr::Case {
                operand,
                branches,
                otherwise,
            } => {
                self.case(operand.as_deref(), branches, otherwise.as_deref());
            }
            Expr::Cast { expr, to, is_try } => {
                self.word(if *is_try { "TRY_CAST" } else { "CAST" });
                self.parenthesised(|this| {
                    this.expr(expr);
                    this.word(" AS ");
                    this.type_name(*to);
                });
            }
            Expr::Extract { field, expr } => {
                self.word("EXTRACT");
                self.parenthesised(|this| {
                    this.word(field_word(*field));
                    this.word(" FROM ");
                    this.expr(expr);
                });
            }
            Expr::Call(call) => self.call(call),
            Expr::Quantified {
                expr,
                operator,
                quantifier,
                query,
            } => {
                self.at_least(expr, COMPARED);
                self.word(binary_word(*operator));
                self.word(match quantifier {
                    Quantifier::Any => "ANY",
                    Quantifier::All => "ALL",
                });
                self.parenthesised(|this| this.query(query));
            }
            Expr::Exists { query, is_negated } => {
                self.word(if *is_negated {
                    "NOT EXISTS "
                } else {
                    "EXISTS "
                });
                self.parenthesised(|this| this.query(query));
            }
            Expr::Subquery(query) => self.parenthesised(|this| this.query(query)),
        }
    }

    /// An expression, in parentheses if it binds less than `least`.
    fn at_least(&mut self, expr: &Expr, least: u8) {
        if level(expr) < least {
            self.parenthesised(|this| this.expr(expr));
        } else {
            self.expr(expr);
        }
    }

    /// The forms that compare.
    fn predicate(&mut self, expr: &Expr) {
        match expr {
            Expr::Is {
                expr,
                test,
                is_negated,
            } => {
                self.at_least(expr, COMPARED);
                self.word(if *is_negated { " IS NOT " } else { " IS " });
                self.word(match test {
                    Test::Null => "NULL",
                    Test::True => "TRUE",
                    Test::False => "FALSE",
                    Test::Unknown => "UNKNOWN",
                });
            }
            Expr::Distinct {
                left,
                right,
                is_negated,
            } => {
                self.at_least(left, COMPARED);
                self.word(if *is_negated {
                    " IS NOT DISTINCT FROM "
                } else {
                    " IS DISTINCT FROM "
                });
                self.at_least(right, COMPARED);
            }
            Expr::InList {
                expr,
                list,
                is_negated,
            } => {
                self.membership(expr, *is_negated);
                self.parenthesised(|this| this.list(list, ", ", Self::expr));
            }
            Expr::InQuery {
                expr,
                query,
                is_negated,
            } => {
                self.membership(expr, *is_negated);
                self.parenthesised(|this| this.query(query));
            }
            Expr::Between {
                expr,
                low,
                high,
                is_negated,
            } => self.between(expr, low, high, *is_negated),
            Expr::Like {
                expr,
                pattern,
                escape,
                ignores_case,
                is_negated,
            } => {
                self.at_least(expr, COMPARED);
                self.word(if *is_negated { " NOT " } else { " " });
                self.word(if *ignores_case { "ILIKE " } else { "LIKE " });
                self.at_least(pattern, COMPARED);
                if let Some(escape) = escape {
                    self.word(" ESCAPE ");
                    self.text(&escape.to_string());
                }
            }
            // Not called for these; if it were, the recheck would miss them in the text.
            _ => {}
        }
    }

    fn between(&mut self, expr: &Expr, low: &Expr, high: &Expr, is_negated: bool) {
        self.at_least(expr, COMPARED);
        self.word(if is_negated {
            " NOT BETWEEN "
        } else {
            " BETWEEN "
        });
        self.at_least(low, COMPARED);
        self.word(" AND ");
        self.at_least(high, COMPARED);
    }

    fn membership(&mut self, expr: &Expr, is_negated: bool) {
        self.at_least(expr, COMPARED);
        self.word(if is_negated { " NOT IN " } else { " IN " });
    }

    fn case(
        &mut self,
        operand: Option<&Expr>,
        branches: &[(Expr, Expr)],
        otherwise: Option<&Expr>,
    ) {
        self.word("CASE");
        if let Some(operand) = operand {
            self.word(" ");
            self.expr(operand);
        }
        for (condition, result) in branches {
            self.word(" WHEN ");
            self.expr(condition);
            self.word(" THEN ");
            self.expr(result);
        }
        if let Some(otherwise) = otherwise {
            self.word(" ELSE ");
            self.expr(otherwise);
        }
        self.word(" END");
    }

    fn call(&mut self, call: &Call) {
        let Call {
            function,
            is_distinct,
            arguments,
            order_by,
            within_group,
            filter,
            ignores_nulls,
            over,
            position: _,
        } = call;
        self.word(function.name);
        self.parenthesised(|this| {
            if *is_distinct {
                this.word("DISTINCT ");
            }
            match arguments {
                Arguments::Star => this.word("*"),
                Arguments::List(list) => this.list(list, ", ", Self::expr),
            }
            if !order_by.is_empty() {
                this.word(" ORDER BY ");
                this.order(order_by);
            }
        });
        if !within_group.is_empty() {
            self.word(" WITHIN GROUP ");
            self.parenthesised(|this| {
                this.word("ORDER BY ");
                this.order(within_group);
            });
        }
        if let Some(filter) = filter {
            self.word(" FILTER ");
            self.parenthesised(|this| {
                this.word("WHERE ");
                this.expr(filter);
            });
        }
        match ignores_nulls {
            Some(true) => self.word(" IGNORE NULLS"),
            Some(false) => self.word(" RESPECT NULLS"),
            None => {}
        }
        if let Some(over) = over {
            self.word(" OVER ");
            self.parenthesised(|this| this.window(over));
        }
    }

    fn window(&mut self, window: &Window) {
        let Window {
            partition_by,
            order_by,
            frame,
        } = window;
        let mut space = "";
        if !partition_by.is_empty() {
            self.word("PARTITION BY ");
            self.list(partition_by, ", ", Self::expr);
            space = " ";
        }
        if !order_by.is_empty() {
            self.word(space);
            self.word("ORDER BY ");
            self.order(order_by);
            space = " ";
        }
        if let Some(Frame { unit, start, end }) = frame {
            self.word(space);
            self.word(match unit {
                FrameUnit::Rows => "ROWS ",
                FrameUnit::Range => "RANGE ",
                FrameUnit::Groups => "GROUPS ",
            });
            match end {
                Some(end) => {
                    self.word("BETWEEN ");
                    self.bound(start);
                    self.word(" AND ");
                    self.bound(end);
                }
                None => self.bound(start),
            }
        }
    }

    fn bound(&mut self, bound: &Bound) {
        let (offset, direction) = match bound {
            Bound::CurrentRow => return self.word("CURRENT ROW"),
            Bound::Preceding(offset) => (offset, " PRECEDING"),
            Bound::Following(offset) => (offset, " FOLLOWING"),
        };
        match offset {
            Some(offset) => self.literal(offset),
            None => self.word("UNBOUNDED"),
        }
        self.word(direction);
    }

    fn literal(&mut self, literal: &Literal) {
        if self.hides_literals {
            return self.word("?");
        }
        match literal {
            Literal::Null => self.word("NULL"),
            Literal::Bool(true) => self.word("TRUE"),
            Literal::Bool(false) => self.word("FALSE"),
            Literal::Number(digits) => self.word(digits),
            Literal::Text(text) | Literal::Zoned(text) => self.text(text),
            Literal::Typed(of, text) => {
                self.type_name(*of);
                self.word(" ");
                self.text(text);
            }
            Literal::Interval(text, unit) => {
                self.word("INTERVAL ");
                self.text(text);
                if let Some(unit) = unit {
                    self.word(" ");
                    self.word(field_word(*unit));
                }
            }
        }
    }

    /// Text in single quotes.
    fn text(&mut self, text: &str) {
        self.text.push('\'');
        for letter in text.chars() {
            if letter == '\'' {
                self.text.push('\'');
            }
            self.text.push(letter);
        }
        self.text.push('\'');
    }

    fn type_name(&mut self, of: Type) {
        let name = match of {
            Type::Boolean => "BOOLEAN",
            Type::SmallInt => "SMALLINT",
            Type::Integer => "INTEGER",
            Type::BigInt => "BIGINT",
            Type::Real => "REAL",
            Type::Double => "DOUBLE",
            Type::Decimal(None) => "DECIMAL",
            Type::Decimal(Some((precision, scale))) => {
                return self.word(&format!("DECIMAL({precision}, {scale})"));
            }
            Type::Text => "VARCHAR",
            Type::Date => "DATE",
            Type::Time => "TIME",
            Type::Timestamp => "TIMESTAMP",
            Type::TimestampTz => "TIMESTAMP WITH TIME ZONE",
            Type::Binary => "BYTEA",
        };
        self.word(name);
    }
}

/// How tight an expression binds, by the parser's own table.
fn level(expr: &Expr) -> u8 {
    match expr {
        Expr::Binary { operator, .. } => binary_level(*operator),
        Expr::Unary {
            operator: UnaryOperator::Not,
            ..
        } => 15,
        Expr::Exists {
            is_negated: true, ..
        } => 15,
        Expr::Unary { .. } => 45,
        Expr::Is { .. } => 17,
        Expr::Like { .. } => 19,
        Expr::Between { .. }
        | Expr::InList { .. }
        | Expr::InQuery { .. }
        | Expr::Quantified { .. } => 20,
        // The parser takes everything behind it as its right side.
        Expr::Distinct { .. } => 0,
        // A unit of time behind it would be taken as part of the literal.
        Expr::Literal(Literal::Interval(..)) => 45,
        Expr::Column(_)
        | Expr::Row(_)
        | Expr::Literal(_)
        | Expr::Case { .. }
        | Expr::Cast { .. }
        | Expr::Extract { .. }
        | Expr::Call(_)
        | Expr::Exists {
            is_negated: false, ..
        }
        | Expr::Subquery(_) => PRIMARY,
    }
}

fn binary_level(operator: BinaryOperator) -> u8 {
    match operator {
        BinaryOperator::Or => 5,
        BinaryOperator::And => 10,
        BinaryOperator::Equal
        | BinaryOperator::NotEqual
        | BinaryOperator::Less
        | BinaryOperator::LessOrEqual
        | BinaryOperator::Greater
        | BinaryOperator::GreaterOrEqual => 20,
        BinaryOperator::RegexMatch
        | BinaryOperator::RegexMatchNoCase
        | BinaryOperator::RegexNotMatch
        | BinaryOperator::RegexNotMatchNoCase => 16,
        BinaryOperator::BitOr => 21,
        BinaryOperator::BitAnd => 23,
        BinaryOperator::Add | BinaryOperator::Subtract => 30,
        BinaryOperator::Multiply
        | BinaryOperator::Divide
        | BinaryOperator::Modulo
        | BinaryOperator::Concat => 40,
    }
}

fn binary_word(operator: BinaryOperator) -> &'static str {
    match operator {
        BinaryOperator::Or => " OR ",
        BinaryOperator::And => " AND ",
        BinaryOperator::Equal => " = ",
        BinaryOperator::NotEqual => " <> ",
        BinaryOperator::Less => " < ",
        BinaryOperator::LessOrEqual => " <= ",
        BinaryOperator::Greater => " > ",
        BinaryOperator::GreaterOrEqual => " >= ",
        BinaryOperator::Add => " + ",
        BinaryOperator::Subtract => " - ",
        BinaryOperator::Multiply => " * ",
        BinaryOperator::Divide => " / ",
        BinaryOperator::Modulo => " % ",
        BinaryOperator::Concat => " || ",
        BinaryOperator::BitAnd => " & ",
        BinaryOperator::BitOr => " | ",
        BinaryOperator::RegexMatch => " ~ ",
        BinaryOperator::RegexMatchNoCase => " ~* ",
        BinaryOperator::RegexNotMatch => " !~ ",
        BinaryOperator::RegexNotMatchNoCase => " !~* ",
    }
}

fn field_word(field: Field) -> &'static str {
    match field {
        Field::Year => "YEAR",
        Field::Quarter => "QUARTER",
        Field::Month => "MONTH",
        Field::Week => "WEEK",
        Field::Day => "DAY",
        Field::Hour => "HOUR",
        Field::Minute => "MINUTE",
        Field::Second => "SECOND",
        Field::Millisecond => "MILLISECOND",
        Field::Microsecond => "MICROSECOND",
        Field::DayOfWeek => "DOW",
        Field::DayOfYear => "DOY",
        Field::Epoch => "EPOCH",
    }
}
