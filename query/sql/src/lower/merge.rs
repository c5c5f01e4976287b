//! MERGE: a step for each WHEN, over rows that no WHEN before it takes.

use sqlparser::{
    ast::{self, Spanned},
    tokenizer::Span,
};

use super::Lowering;
use crate::{
    change::{Change, Step, StepAction, Verb},
    error::{SqlError, SqlErrorKind},
    ir::{BinaryOperator, Expr, Join, JoinCondition, JoinKind, Position, Relation, Test},
    limits::{self, MERGE_CLAUSES_MAX},
    parse::Kind,
};

/// The parts of MERGE that every WHEN reads.
struct Sides<'a> {
    table: &'a ast::TableFactor,
    source: &'a ast::TableFactor,
    on: &'a ast::Expr,
}

impl Lowering {
    pub(super) fn merge(&mut self, merge: &ast::Merge) -> Result<Kind, SqlError> {
        let ast::Merge {
            merge_token,
            optimizer_hints,
            into,
            table,
            source,
            on,
            clauses,
            output,
        } = merge;
        let position = self.at(merge_token.0.span);
        self.absent(!optimizer_hints.is_empty(), "an optimizer hint")?;
        self.absent(!into, "MERGE without INTO")?;
        if clauses.len() > MERGE_CLAUSES_MAX {
            return Err(limits::exceeded("WHENs", MERGE_CLAUSES_MAX, position));
        }
        self.changed_factor(table)?;
        let Some(target) = std::mem::take(&mut self.tables).pop() else {
            return Err(self.refuse("MERGE into nothing", Span::empty()));
        };
        let sides = Sides { table, source, on };
        let mut steps = Vec::with_capacity(clauses.len());
        for (index, clause) in clauses.iter().enumerate() {
            let before = clauses.get(..index).unwrap_or_default();
            steps.push(self.clause(&sides, clause, before)?);
        }
        // The steps read the source each for itself.
        self.absent(
            self.is_volatile,
            "a function in MERGE that changes its answer",
        )?;
        let returning = self.optional(output.as_ref(), |this, output| match output {
            ast::OutputClause::Returning {
                returning_token: _,
                select_items,
            } => {
                let written = this.changed_factor(table)?;
                this.returning(select_items, written)
            }
            ast::OutputClause::Output {
                output_token,
                select_items: _,
                into_table: _,
            } => Err(this.refuse("OUTPUT", output_token.0.span)),
        })?;
        Ok(Kind::Change(Change {
            verb: Verb::Merge,
            target,
            steps,
            returning,
        }))
    }

    fn clause(
        &mut self,
        sides: &Sides<'_>,
        clause: &ast::MergeClause,
        before: &[ast::MergeClause],
    ) -> Result<Step, SqlError> {
        let ast::MergeClause {
            when_token,
            clause_kind,
            predicate,
            action,
        } = clause;
        let position = self.at(when_token.0.span);
        let is_matched = self.is_matched(*clause_kind)?;
        let before = before
            .iter()
            .filter(|earlier| is_matching(earlier.clause_kind) == is_matched);
        let (mut relations, mut conditions) = (Vec::new(), Vec::new());
        if is_matched {
            relations.push(self.changed_factor(sides.table)?);
            relations.push(self.table_factor(sides.source)?);
            conditions.push(self.expr(sides.on)?);
        } else {
            let left = self.table_factor(sides.source)?;
            let right = self.changed_factor(sides.table)?;
            relations.push(Relation::Join(Box::new(Join {
                left,
                right,
                kind: JoinKind::Anti,
                condition: JoinCondition::On(self.expr(sides.on)?),
            })));
        }
        for earlier in before {
            let Some(taken) = &earlier.predicate else {
                let text = "a WHEN behind one without AND is never reached";
                return Err(SqlError::new(SqlErrorKind::Invalid, text, position));
            };
            conditions.push(Expr::Is {
                expr: self.boxed(taken)?,
                test: Test::True,
                is_negated: true,
            });
        }
        conditions.extend(self.optional(predicate.as_ref(), Self::expr)?);
        let (action, values) = self.action(action, is_matched, position)?;
        Ok(self.step(action, values, relations, all(conditions), position))
    }

    fn is_matched(&mut self, kind: ast::MergeClauseKind) -> Result<bool, SqlError> {
        match kind {
            ast::MergeClauseKind::Matched
            | ast::MergeClauseKind::NotMatched
            | ast::MergeClauseKind::NotMatchedByTarget => Ok(is_matching(kind)),
            ast::MergeClauseKind::NotMatchedBySource => {
                Err(self.refuse("WHEN NOT MATCHED BY SOURCE", Span::empty()))
            }
        }
    }

    fn action(
        &mut self,
        action: &ast::MergeAction,
        is_matched: bool,
        position: Position,
    ) -> Result<(StepAction, Vec<Expr>), SqlError> {
        let (action, values) = match action {
            ast::MergeAction::Update(update) => {
                let ast::MergeUpdateExpr {
                    update_token: _,
                    assignments,
                    update_predicate,
                    delete_predicate,
                } = update;
                let has_more = update_predicate.is_some() || delete_predicate.is_some();
                self.absent(has_more, "WHERE behind SET of MERGE")?;
                let (columns, values) = self.assigned(assignments)?;
                (StepAction::Update(columns), values)
            }
            ast::MergeAction::Delete { delete_token: _ } => (StepAction::Delete, Vec::new()),
            ast::MergeAction::Insert(insert) => self.merge_insert(insert)?,
        };
        if is_matched == matches!(action, StepAction::Insert(_)) {
            let text = "WHEN MATCHED changes or removes rows, and WHEN NOT MATCHED adds some";
            return Err(SqlError::new(SqlErrorKind::Invalid, text, position));
        }
        Ok((action, values))
    }

    fn merge_insert(
        &mut self,
        insert: &ast::MergeInsertExpr,
    ) -> Result<(StepAction, Vec<Expr>), SqlError> {
        let ast::MergeInsertExpr {
            insert_token,
            columns,
            kind_token: _,
            kind,
            insert_predicate,
        } = insert;
        self.at(insert_token.0.span);
        self.absent(insert_predicate.is_some(), "WHERE behind INSERT of MERGE")?;
        let columns = self.list(columns, |this, name| this.single(name))?;
        let values = match kind {
            ast::MergeInsertKind::Values(values) => values,
            ast::MergeInsertKind::Row => return Err(self.refuse("INSERT ROW", Span::empty())),
        };
        let ast::Values {
            explicit_row,
            value_keyword,
            rows,
        } = values;
        self.absent(*explicit_row || *value_keyword, "ROW or VALUE for VALUES")?;
        let [row] = rows.as_slice() else {
            return Err(self.refuse("several rows of VALUES in MERGE", values.span()));
        };
        let ast::Parens {
            opening_token: _,
            content,
            closing_token: _,
        } = row;
        Ok((StepAction::Insert(columns), self.list(content, Self::expr)?))
    }
}

fn is_matching(kind: ast::MergeClauseKind) -> bool {
    match kind {
        ast::MergeClauseKind::Matched => true,
        ast::MergeClauseKind::NotMatched
        | ast::MergeClauseKind::NotMatchedByTarget
        | ast::MergeClauseKind::NotMatchedBySource => false,
    }
}

/// All of the conditions, grouped as the text of them would be read.
fn all(conditions: Vec<Expr>) -> Option<Expr> {
    let mut conditions = conditions.into_iter();
    let first = conditions.next()?;
    let mut operands = if let Expr::Binary {
        operator: BinaryOperator::And,
        operands,
    } = first
    {
        operands
    } else {
        vec![first]
    };
    operands.extend(conditions);
    if operands.len() == 1 {
        return operands.pop();
    }
    let operator = BinaryOperator::And;
    Some(Expr::Binary { operator, operands })
}
