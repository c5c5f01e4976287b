//! Expressions: names are resolved from the innermost scope outwards, sources are gathered.

use std::rc::Rc;

use dataos_model::lineage::Transformation;

use super::{
    Binder,
    scope::{Meaning, Scope},
};
use crate::{
    error::{SqlError, SqlErrorKind},
    functions::{FunctionKind, distance},
    ir::{
        Arguments, Body, Call, Expr, Ident, Key, Literal, OrderItem, Position, Query, SelectItem,
        Window,
    },
    lineage::Flow,
    parse::dotted,
};

impl Binder<'_> {
    /// Binds an expression and adds its sources to `flow`, each at least as `how`.
    pub(super) fn expr(
        &mut self,
        expr: &Expr,
        how: Transformation,
        flow: &mut Flow,
    ) -> Result<Expr, SqlError> {
        let inner = how.max(Transformation::Transformation);
        Ok(match expr {
            Expr::Column(parts) => {
                let (bound, sources, _) = self.column(parts)?;
                flow.absorb(&sources, how);
                bound
            }
            Expr::Literal(literal) => Expr::Literal(literal.clone()),
            Expr::Binary { operator, operands } => {
                let operands = self.exprs(operands, inner, flow)?;
                Expr::Binary {
                    operator: *operator,
                    operands,
                }
            }
            Expr::Unary { operator, expr } => Expr::Unary {
                operator: *operator,
                expr: self.boxed(expr, inner, flow)?,
            },
            Expr::Is {
                expr,
                test,
                is_negated,
            } => Expr::Is {
                expr: self.boxed(expr, inner, flow)?,
                test: *test,
                is_negated: *is_negated,
            },
            Expr::Distinct {
                left,
                right,
                is_negated,
            } => Expr::Distinct {
                left: self.boxed(left, inner, flow)?,
                right: self.boxed(right, inner, flow)?,
                is_negated: *is_negated,
            },
            Expr::InList {
                expr,
                list,
                is_negated,
            } => Expr::InList {
                expr: self.boxed(expr, inner, flow)?,
                list: self.exprs(list, inner, flow)?,
                is_negated: *is_negated,
            },
            Expr::Between {
                expr,
                low,
                high,
                is_negated,
            } => Expr::Between {
                expr: self.boxed(expr, inner, flow)?,
                low: self.boxed(low, inner, flow)?,
                high: self.boxed(high, inner, flow)?,
                is_negated: *is_negated,
            },
            Expr::Like {
                expr,
                pattern,
                escape,
                ignores_case,
                is_negated,
            } => Expr::Like {
                expr: self.boxed(expr, inner, flow)?,
                pattern: self.boxed(pattern, inner, flow)?,
                escape: *escape,
                ignores_case: *ignores_case,
                is_negated: *is_negated,
            },
            Expr::Cast { expr, to, is_try } => Expr::Cast {
                expr: self.boxed(expr, inner, flow)?,
                to: *to,
                is_try: *is_try,
            },
            Expr::Extract { field, expr } => Expr::Extract {
                field: *field,
                expr: self.boxed(expr, inner, flow)?,
            },
            Expr::Case {
                operand,
                branches,
                otherwise,
            } => self.case(
                operand.as_deref(),
                branches,
                otherwise.as_deref(),
                inner,
                flow,
            )?,
            Expr::Call(call) => Expr::Call(Box::new(self.call(call, inner, flow)?)),
            Expr::InQuery {
                expr,
                query,
                is_negated,
            } => Expr::InQuery {
                expr: self.boxed(expr, inner, flow)?,
                query: Box::new(self.single_column(query, inner, flow)?),
                is_negated: *is_negated,
            },
            Expr::Subquery(query) => {
                Expr::Subquery(Box::new(self.single_column(query, inner, flow)?))
            }
            Expr::Exists { query, is_negated } => {
                let bound = self.query(&without_star(query))?;
                self.note_indirect(bound.indirect);
                Expr::Exists {
                    query: Box::new(bound.query),
                    is_negated: *is_negated,
                }
            }
        })
    }

    fn boxed(
        &mut self,
        expr: &Expr,
        how: Transformation,
        flow: &mut Flow,
    ) -> Result<Box<Expr>, SqlError> {
        Ok(Box::new(self.expr(expr, how, flow)?))
    }

    fn exprs(
        &mut self,
        exprs: &[Expr],
        how: Transformation,
        flow: &mut Flow,
    ) -> Result<Vec<Expr>, SqlError> {
        exprs
            .iter()
            .map(|expr| self.expr(expr, how, flow))
            .collect()
    }

    /// An expression that decides over the value of another, and is not part of it.
    fn decisive(&mut self, expr: &Expr, flow: &mut Flow) -> Result<Expr, SqlError> {
        let mut decisive = Flow::default();
        let bound = self.expr(expr, Transformation::Transformation, &mut decisive)?;
        flow.conditional.extend(decisive.sources());
        Ok(bound)
    }

    fn case(
        &mut self,
        operand: Option<&Expr>,
        branches: &[(Expr, Expr)],
        otherwise: Option<&Expr>,
        how: Transformation,
        flow: &mut Flow,
    ) -> Result<Expr, SqlError> {
        let operand = operand
            .map(|operand| self.decisive(operand, flow))
            .transpose()?;
        let branches = branches
            .iter()
            .map(|(condition, result)| {
                Ok((
                    self.decisive(condition, flow)?,
                    self.expr(result, how, flow)?,
                ))
            })
            .collect::<Result<_, SqlError>>()?;
        let otherwise = otherwise
            .map(|expr| self.expr(expr, how, flow))
            .transpose()?;
        Ok(Expr::Case {
            operand: operand.map(Box::new),
            branches,
            otherwise: otherwise.map(Box::new),
        })
    }

    fn call(
        &mut self,
        call: &Call,
        how: Transformation,
        flow: &mut Flow,
    ) -> Result<Call, SqlError> {
        let Call {
            function,
            is_distinct,
            arguments,
            order_by,
            filter,
            ignores_nulls,
            over,
            position,
        } = call;
        let how = match function.kind {
            FunctionKind::Aggregate => how.max(Transformation::Aggregation),
            FunctionKind::Scalar | FunctionKind::Window => how,
        };
        let arguments = match arguments {
            Arguments::Star => Arguments::Star,
            Arguments::List(list) => Arguments::List(self.exprs(list, how, flow)?),
        };
        let order_by = self.inner_order(order_by, flow)?;
        let filter = filter
            .as_ref()
            .map(|filter| self.decisive(filter, flow))
            .transpose()?;
        let over = over
            .as_ref()
            .map(|window| self.window(window, flow))
            .transpose()?;
        Ok(Call {
            function,
            is_distinct: *is_distinct,
            arguments,
            order_by,
            filter,
            ignores_nulls: *ignores_nulls,
            over,
            position: *position,
        })
    }

    fn window(&mut self, window: &Window, flow: &mut Flow) -> Result<Window, SqlError> {
        let Window {
            partition_by,
            order_by,
            frame,
        } = window;
        let partition_by = partition_by
            .iter()
            .map(|expr| self.decisive(expr, flow))
            .collect::<Result<_, SqlError>>()?;
        let order_by = self.inner_order(order_by, flow)?;
        Ok(Window {
            partition_by,
            order_by,
            frame: frame.clone(),
        })
    }

    fn inner_order(
        &mut self,
        items: &[OrderItem],
        flow: &mut Flow,
    ) -> Result<Vec<OrderItem>, SqlError> {
        items
            .iter()
            .map(|item| {
                let key = match &item.key {
                    Key::Expr(expr) => Key::Expr(self.decisive(expr, flow)?),
                    Key::Ordinal(_, position) => {
                        return Err(SqlError::unsupported("a position here", *position));
                    }
                };
                Ok(OrderItem {
                    key,
                    ..item.clone()
                })
            })
            .collect()
    }

    /// A query that stands for a value or a list of values.
    fn single_column(
        &mut self,
        query: &Query,
        how: Transformation,
        flow: &mut Flow,
    ) -> Result<Query, SqlError> {
        let bound = self.query(query)?;
        self.note_indirect(bound.indirect);
        let [output] = bound.outputs.as_slice() else {
            return Err(SqlError::new(
                SqlErrorKind::Invalid,
                format!(
                    "a subquery here needs one column, not {}",
                    bound.outputs.len()
                ),
                query.position,
            ));
        };
        flow.absorb(&output.flow, how);
        Ok(bound.query)
    }

    /// What a column name means: its text, its sources, its name as the catalog spells it.
    pub(super) fn column(&mut self, parts: &[Ident]) -> Result<(Expr, Rc<Flow>, String), SqlError> {
        let Some((name, qualifier)) = parts.split_last() else {
            return Err(unknown(parts, Vec::new()));
        };
        for index in (0..self.scopes.len()).rev() {
            let Some(scope) = self.scopes.get_mut(index) else {
                break;
            };
            // Taken out while `meant` marks the column as used.
            let scope = std::mem::take(scope);
            let found = self.column_in(&scope, name, qualifier, parts);
            if let Some(place) = self.scopes.get_mut(index) {
                *place = scope;
            }
            if let Some(found) = found? {
                return Ok(found);
            }
        }
        Err(unknown(parts, self.candidates(name)))
    }

    #[expect(
        clippy::type_complexity,
        reason = "as `column`, or nothing in this scope"
    )]
    fn column_in(
        &mut self,
        scope: &Scope,
        name: &Ident,
        qualifier: &[Ident],
        parts: &[Ident],
    ) -> Result<Option<(Expr, Rc<Flow>, String)>, SqlError> {
        let meanings = if qualifier.is_empty() {
            scope.unqualified(name, scope.visible())
        } else {
            let relations = scope.qualified(qualifier);
            if relations.is_empty() {
                return Ok(None);
            }
            relations
                .iter()
                .filter_map(|relation| Some((*relation, scope.relations.get(*relation)?)))
                .flat_map(|(relation, entry)| {
                    let columns = entry.columns_named(name);
                    columns
                        .into_iter()
                        .map(move |column| Meaning::Column(relation, column))
                })
                .collect()
        };
        match meanings.as_slice() {
            [] if qualifier.is_empty() => Ok(None),
            // A qualifier that is known here hides the same qualifier further out.
            [] => Err(unknown(parts, self.candidates_of(scope, name))),
            [meaning] => {
                let spelled = spelling(scope, *meaning).unwrap_or_else(|| name.value.clone());
                let (expr, flow) = self.meant(scope, *meaning)?;
                Ok(Some((expr, flow, spelled)))
            }
            several => {
                let mut candidates: Vec<String> = several
                    .iter()
                    .filter_map(|meaning| qualified_spelling(scope, *meaning))
                    .collect();
                candidates.dedup();
                Err(SqlError::new(
                    SqlErrorKind::Ambiguous,
                    format!("column `{}` is ambiguous", dotted(parts)),
                    name.position,
                )
                .with_hint(format!("it may be {}", candidates.join(", "))))
            }
        }
    }

    /// Visible columns with a name near to an unknown one.
    fn candidates(&self, name: &Ident) -> Vec<String> {
        self.scopes
            .iter()
            .rev()
            .flat_map(|scope| self.candidates_of(scope, name))
            .collect()
    }

    #[expect(clippy::unused_self, reason = "reads as a pair with `candidates`")]
    fn candidates_of(&self, scope: &Scope, name: &Ident) -> Vec<String> {
        /// More candidates help nobody.
        const CANDIDATES_MAX: usize = 3;
        /// Columns that are compared.
        const COMPARED_MAX: usize = 1_000;
        let mut near: Vec<(usize, String)> = scope
            .columns(scope.visible())
            .take(COMPARED_MAX)
            .map(|(_, _, output)| {
                (
                    distance(&name.value, &output.name.to_ascii_lowercase()),
                    output.name.clone(),
                )
            })
            .filter(|(distance, candidate)| *distance <= 3 && *distance * 2 <= candidate.len())
            .collect();
        near.sort();
        near.dedup();
        near.into_iter()
            .take(CANDIDATES_MAX)
            .map(|(_, name)| name)
            .collect()
    }
}

fn spelling(scope: &Scope, meaning: Meaning) -> Option<String> {
    match meaning {
        Meaning::Column(relation, column) => Some(
            scope
                .relations
                .get(relation)?
                .columns
                .get(column)?
                .name
                .clone(),
        ),
        Meaning::Merged(index) => Some(scope.merged.get(index)?.name.clone()),
    }
}

fn qualified_spelling(scope: &Scope, meaning: Meaning) -> Option<String> {
    let name = spelling(scope, meaning)?;
    match meaning {
        Meaning::Column(relation, _) => {
            let relation = scope.relations.get(relation)?.name.as_ref()?;
            Some(format!("{}.{name}", relation.value))
        }
        Meaning::Merged(_) => Some(name),
    }
}

/// One error for a column that does not exist and for one that is not visible.
fn unknown(parts: &[Ident], mut candidates: Vec<String>) -> SqlError {
    candidates.dedup();
    let error = SqlError::new(
        SqlErrorKind::Unknown,
        format!(
            "column `{}` does not exist or is not visible",
            dotted(parts)
        ),
        parts
            .first()
            .map_or(Position::default(), |part| part.position),
    );
    if candidates.is_empty() {
        return error;
    }
    error.with_hint(format!("did you mean {}?", candidates.join(", ")))
}

/// EXISTS does not look at columns: a select list that is only `*` becomes a constant.
fn without_star(query: &Query) -> Query {
    let mut query = query.clone();
    if let Body::Select(select) = &mut query.body
        && let [SelectItem::Star(_) | SelectItem::QualifiedStar(_)] = select.items.as_slice()
        && query.order_by.is_empty()
        && select.group_by.is_empty()
        && !select.from.is_empty()
    {
        let one = Expr::Literal(Literal::Number("1".to_owned()));
        select.items = vec![SelectItem::Expr {
            expr: one,
            alias: None,
        }];
    }
    query
}
