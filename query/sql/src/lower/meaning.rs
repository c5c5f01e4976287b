//! Calls that a dialect means otherwise than the engine: an equal expression, or a refusal.

use sqlparser::ast;

use super::{Lowering, pattern};
use crate::{
    dialect::function::Meaning,
    error::{SqlError, SqlErrorKind},
    ir::{BinaryOperator, Expr, Literal, Position, Test},
};

/// What can be told of a pattern to be the same to the engine.
pub(super) const PATTERN_HINT: &str =
    "write a literal of letters, digits, sets and counts, without classes such as \\d";

impl Lowering {
    /// A call of `name` by its meaning.
    pub(super) fn meant(
        &mut self,
        name: &str,
        meaning: Meaning,
        arguments: Vec<Expr>,
        position: Position,
    ) -> Result<Expr, SqlError> {
        self.here = position;
        match meaning {
            Meaning::Call(function) => self.plain(function, arguments),
            Meaning::Swapped(function) => {
                let [first, second] = exactly(name, arguments, position)?;
                self.plain(function, vec![second, first])
            }
            Meaning::From(least, function) => {
                let is_it =
                    number(|digits| digits.parse::<u64>().is_ok_and(|number| number >= least));
                let what = format!("a number from {least} on");
                second_is(name, &arguments, position, &what, is_it)?;
                self.plain(function, arguments)
            }
            Meaning::Search(function) => {
                let is_it = text(|text| !text.is_empty());
                second_is(name, &arguments, position, "text that is not empty", is_it)?;
                self.plain(function, arguments)
            }
            Meaning::Pattern(function) => {
                let arguments = with_pattern(name, arguments, position, pattern::of_postgres)?;
                self.plain(function, arguments)
            }
            Meaning::Match(function) => {
                let arguments = with_pattern(name, arguments, position, pattern::without_choice)?;
                self.plain(function, arguments)
            }
            Meaning::Concat if arguments.len() < 2 => Err(wrong(name, "two or more", position)),
            Meaning::Concat => Ok(Expr::Binary {
                operator: BinaryOperator::Concat,
                operands: arguments,
            }),
            Meaning::Modulo => {
                let [left, right] = exactly(name, arguments, position)?;
                self.modulo(left, right)
            }
            Meaning::If => if_else(name, arguments, position),
            Meaning::IsNull => {
                let [expr] = exactly(name, arguments, position)?;
                Ok(Expr::Is {
                    expr: Box::new(expr),
                    test: Test::Null,
                    is_negated: false,
                })
            }
            Meaning::Extract(field) => {
                let [expr] = exactly(name, arguments, position)?;
                Ok(Expr::Extract {
                    field,
                    expr: Box::new(expr),
                })
            }
            Meaning::Refused(hint) => Err(self.otherwise(name, position).with_hint(hint)),
        }
    }

    /// The refusal of a function that is another one in the caller's dialect.
    pub(super) fn otherwise(&self, name: &str, position: Position) -> SqlError {
        let dialect = self.dialect.name();
        SqlError::unsupported(format!("the function {name} of {dialect}"), position)
    }

    /// The arguments of a call that is nothing but a name and arguments.
    pub(super) fn bare_arguments(&mut self, call: &ast::Function) -> Result<Vec<Expr>, SqlError> {
        let ast::Function {
            name: _,
            uses_odbc_syntax,
            parameters,
            args,
            filter,
            null_treatment,
            over,
            within_group,
        } = call;
        let is_bare = !uses_odbc_syntax
            && matches!(parameters, ast::FunctionArguments::None)
            && filter.is_none()
            && null_treatment.is_none()
            && over.is_none()
            && within_group.is_empty();
        let list = match args {
            ast::FunctionArguments::List(ast::FunctionArgumentList {
                duplicate_treatment: None,
                args,
                clauses,
            }) if is_bare && clauses.is_empty() => args,
            ast::FunctionArguments::None
            | ast::FunctionArguments::Subquery(_)
            | ast::FunctionArguments::List(_) => {
                let what = "more than arguments in a call of this function";
                return Err(SqlError::unsupported(what, self.here));
            }
        };
        self.list(list, Self::argument)
    }
}

/// Just so many arguments.
fn exactly<const N: usize>(
    name: &str,
    arguments: Vec<Expr>,
    position: Position,
) -> Result<[Expr; N], SqlError> {
    let count = N.to_string();
    arguments
        .try_into()
        .map_err(|_| wrong(name, &count, position))
}

fn wrong(name: &str, count: &str, position: Position) -> SqlError {
    let message = format!("{name} takes {count} arguments");
    SqlError::new(SqlErrorKind::Invalid, message, position)
}

/// Refuses a call whose second argument is not known to be one for which it is the engine's function.
fn second_is(
    name: &str,
    arguments: &[Expr],
    position: Position,
    what: &str,
    is_it: impl Fn(&Literal) -> bool,
) -> Result<(), SqlError> {
    match arguments.get(1) {
        Some(Expr::Literal(literal)) if is_it(literal) => Ok(()),
        _ => Err(
            SqlError::unsupported(format!("this second argument of {name}"), position)
                .with_hint(format!("write {what}")),
        ),
    }
}

/// The arguments with the engine's pattern in place of the second.
fn with_pattern(
    name: &str,
    mut arguments: Vec<Expr>,
    position: Position,
    of: fn(&str) -> Option<String>,
) -> Result<Vec<Expr>, SqlError> {
    if let Some(Expr::Literal(Literal::Text(text))) = arguments.get_mut(1)
        && let Some(pattern) = of(text)
    {
        *text = pattern;
        return Ok(arguments);
    }
    let what = format!("this pattern of {name}");
    Err(SqlError::unsupported(what, position).with_hint(PATTERN_HINT))
}

fn number(is_it: impl Fn(&str) -> bool) -> impl Fn(&Literal) -> bool {
    move |literal| matches!(literal, Literal::Number(digits) if is_it(digits))
}

fn text(is_it: impl Fn(&str) -> bool) -> impl Fn(&Literal) -> bool {
    move |literal| matches!(literal, Literal::Text(text) if is_it(text))
}

fn if_else(name: &str, arguments: Vec<Expr>, position: Position) -> Result<Expr, SqlError> {
    let mut arguments = arguments.into_iter();
    match (
        arguments.next(),
        arguments.next(),
        arguments.next(),
        arguments.next(),
    ) {
        (Some(condition), Some(then), otherwise, None) => Ok(Expr::Case {
            operand: None,
            branches: vec![(condition, then)],
            otherwise: otherwise.map(Box::new),
        }),
        _ => Err(wrong(name, "two or three", position)),
    }
}
