//! The conditions that are added: counts of entities.

use super::{forms, group::Group, refused};
use crate::{
    bind::added_call,
    error::SqlError,
    ir::{Arguments, BinaryOperator, Expr, Ident, Literal, Position, Test},
};

impl Group<'_> {
    /// Enough entities have a value in this column.
    pub(super) fn guard_of(
        &self,
        name: &str,
        path: &[Ident],
        at: Position,
    ) -> Result<Expr, SqlError> {
        let column = Expr::Column(path.to_vec());
        let of = path.first().map_or("", |alias| alias.value.as_str());
        let protected = self.protected.iter().find(|(alias, _)| alias.value == of);
        let Some((alias, minimums)) = protected else {
            let text = format!("`{name}` of a column of another table");
            return Err(refused(text, at).with_hint(
                "its values could tell the rows of a group apart; group by the column instead",
            ));
        };
        let is_fit = name == "count"
            || self.column(&column).is_some_and(|of| match name {
                "avg" => forms::has_average(of),
                _ => of.is_number(),
            });
        if !is_fit {
            let text = format!("`{name}` of a column of this type");
            return Err(refused(text, at)
                .with_hint("sum and avg take numbers; avg takes at most 34 digits"));
        }
        let guards = minimums.iter().map(|minimum| {
            let counted = match &minimum.entity {
                Some(entity) => {
                    let has_value = Expr::Is {
                        expr: Box::new(column.clone()),
                        test: Test::Null,
                        is_negated: true,
                    };
                    let entity = entity_of(alias, entity);
                    count(Arguments::List(vec![case(has_value, entity)]), true)
                }
                None => count(Arguments::List(vec![column.clone()]), false),
            };
            Ok(at_least(counted?, minimum.size))
        });
        let guards = guards.collect::<Result<Vec<_>, SqlError>>()?;
        conjunction(guards).ok_or_else(|| self.refused("a minimum of nothing"))
    }

    /// The caller's HAVING, and what each group needs.
    pub(super) fn enough(&self, having: Option<Expr>) -> Result<Option<Expr>, SqlError> {
        let mut conditions = match having {
            Some(Expr::Binary {
                operator: BinaryOperator::And,
                operands,
            }) => operands,
            having => having.into_iter().collect(),
        };
        for (alias, minimums) in &self.protected {
            for minimum in *minimums {
                let counted = match &minimum.entity {
                    Some(entity) => count(Arguments::List(vec![entity_of(alias, entity)]), true),
                    None => count(Arguments::Star, false),
                };
                conditions.push(at_least(counted?, minimum.size));
            }
        }
        Ok(conjunction(conditions))
    }
}

fn entity_of(alias: &Ident, column: &str) -> Expr {
    Expr::Column(vec![alias.clone(), Ident::quoted(column)])
}

fn count(arguments: Arguments, is_distinct: bool) -> Result<Expr, SqlError> {
    added_call("count", is_distinct, arguments)
}

fn at_least(value: Expr, size: u64) -> Expr {
    Expr::Binary {
        operator: BinaryOperator::GreaterOrEqual,
        operands: vec![value, Expr::Literal(Literal::Number(size.to_string()))],
    }
}

/// CASE without ELSE.
pub(super) fn case(when: Expr, then: Expr) -> Expr {
    Expr::Case {
        operand: None,
        branches: vec![(when, then)],
        otherwise: None,
    }
}

fn conjunction(mut conditions: Vec<Expr>) -> Option<Expr> {
    if conditions.len() > 1 {
        return Some(Expr::Binary {
            operator: BinaryOperator::And,
            operands: conditions,
        });
    }
    conditions.pop()
}
