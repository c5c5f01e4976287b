//! UPDATE, DELETE and MERGE: each step becomes a SELECT of the rows that it touches.

use sqlparser::{
    ast::{self, Spanned},
    tokenizer::Span,
};

use super::Lowering;
use crate::{
    change::{Change, Step, StepAction, Verb},
    error::SqlError,
    ir::{Body, Expr, Ident, Position, Query, Relation, Select, SelectItem},
    parse::{Kind, Statement},
};

/// SET: the columns, and the value of each.
pub(super) type Assigned = (Vec<Ident>, Vec<Expr>);

impl Lowering {
    pub(super) fn update(&mut self, update: &ast::Update) -> Result<Kind, SqlError> {
        let ast::Update {
            update_token,
            optimizer_hints,
            table,
            assignments,
            from,
            selection,
            returning,
            output,
            or,
            order_by,
            limit,
        } = update;
        let position = self.at(update_token.0.span);
        self.absent(!optimizer_hints.is_empty(), "an optimizer hint")?;
        self.absent(or.is_some(), "UPDATE OR ..")?;
        self.absent(output.is_some(), "OUTPUT")?;
        self.absent(
            !order_by.is_empty() || limit.is_some(),
            "ORDER BY or LIMIT of UPDATE",
        )?;
        let mut relations = vec![self.changed_table(table)?];
        match from {
            None => {}
            Some(ast::UpdateTableFromKind::AfterSet(tables)) => {
                relations.extend(self.list(tables, Self::table_with_joins)?);
            }
            Some(ast::UpdateTableFromKind::BeforeSet(_)) => {
                return Err(self.refuse("FROM before SET", Span::empty()));
            }
        }
        let (columns, values) = self.assigned(assignments)?;
        let filter = self.optional(selection.as_ref(), Self::condition)?;
        let step = self.step(
            StepAction::Update(columns),
            values,
            relations,
            filter,
            position,
        );
        let returning = self.optional(returning.as_ref(), |this, items| {
            let target = this.changed_table(table)?;
            this.returning(items, target)
        })?;
        self.changed(Verb::Update, vec![step], returning)
    }

    pub(super) fn delete(&mut self, delete: &ast::Delete) -> Result<Kind, SqlError> {
        let ast::Delete {
            delete_token,
            optimizer_hints,
            tables,
            from,
            using,
            selection,
            returning,
            output,
            order_by,
            limit,
        } = delete;
        let position = self.at(delete_token.0.span);
        self.absent(!optimizer_hints.is_empty(), "an optimizer hint")?;
        self.absent(!tables.is_empty(), "DELETE of several tables")?;
        self.absent(output.is_some(), "OUTPUT")?;
        self.absent(
            !order_by.is_empty() || limit.is_some(),
            "ORDER BY or LIMIT of DELETE",
        )?;
        let from = match from {
            ast::FromTable::WithFromKeyword(from) => from,
            ast::FromTable::WithoutKeyword(_) => {
                return Err(self.refuse("DELETE without FROM", Span::empty()));
            }
        };
        let [table] = from.as_slice() else {
            return Err(self.refuse("DELETE from several tables", Span::empty()));
        };
        let mut relations = vec![self.changed_table(table)?];
        if let Some(tables) = using {
            relations.extend(self.list(tables, Self::table_with_joins)?);
        }
        let filter = self.optional(selection.as_ref(), Self::condition)?;
        let step = self.step(StepAction::Delete, Vec::new(), relations, filter, position);
        let returning = self.optional(returning.as_ref(), |this, items| {
            let target = this.changed_table(table)?;
            this.returning(items, target)
        })?;
        self.changed(Verb::Delete, vec![step], returning)
    }

    /// The table that a statement changes: a table, perhaps with an alias.
    fn changed_table(&mut self, table: &ast::TableWithJoins) -> Result<Relation, SqlError> {
        let ast::TableWithJoins { relation, joins } = table;
        self.absent(!joins.is_empty(), "a join as the table to change")?;
        self.changed_factor(relation)
    }

    pub(super) fn changed_factor(
        &mut self,
        relation: &ast::TableFactor,
    ) -> Result<Relation, SqlError> {
        match self.table_factor(relation)? {
            Relation::Table {
                name,
                occurrence,
                alias,
            } => {
                let has_columns = alias
                    .as_ref()
                    .is_some_and(|alias| !alias.columns.is_empty());
                self.absent(has_columns, "column aliases of the table to change")?;
                Ok(Relation::Table {
                    name,
                    occurrence,
                    alias,
                })
            }
            Relation::Cte { .. } | Relation::Derived { .. } | Relation::Join(_) => {
                Err(self.refuse("a query as the table to change", relation.span()))
            }
        }
    }

    pub(super) fn assigned(
        &mut self,
        assignments: &[ast::Assignment],
    ) -> Result<Assigned, SqlError> {
        let pairs = self.list(assignments, |this, assignment| {
            let ast::Assignment { target, value } = assignment;
            let column = match target {
                ast::AssignmentTarget::ColumnName(name) => this.single(name)?,
                ast::AssignmentTarget::Tuple(_) => {
                    return Err(this.refuse("SET of several columns at once", value.span()));
                }
            };
            let is_default = matches!(value, ast::Expr::Identifier(ident)
                if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default"));
            this.absent(is_default, "DEFAULT")?;
            Ok((column, this.expr(value)?))
        })?;
        Ok(pairs.into_iter().unzip())
    }

    /// RETURNING as a SELECT from the target alone.
    pub(super) fn returning(
        &mut self,
        items: &[ast::SelectItem],
        target: Relation,
    ) -> Result<Box<Statement>, SqlError> {
        let items = self.list(items, Self::select_item)?;
        let returning = self.selection(items, vec![target], None, self.here);
        self.absent(returning.tables.len() > 1, "a query in RETURNING")?;
        Ok(Box::new(returning))
    }

    /// A step over the tables met since the last one.
    pub(super) fn step(
        &mut self,
        action: StepAction,
        values: Vec<Expr>,
        from: Vec<Relation>,
        filter: Option<Expr>,
        position: Position,
    ) -> Step {
        // Names of our own, which no column of the tables can take from the row's number.
        let items = values.into_iter().zip(1..).map(|(expr, number)| {
            let alias = Some(Ident::quoted(format!("value{number}")));
            SelectItem::Expr { expr, alias }
        });
        Step {
            action,
            rows: self.selection(items.collect(), from, filter, position),
            position,
        }
    }

    /// A SELECT over the tables met since the last one.
    fn selection(
        &mut self,
        items: Vec<SelectItem>,
        from: Vec<Relation>,
        filter: Option<Expr>,
        position: Position,
    ) -> Statement {
        let select = Select {
            filter,
            ..Select::of(items, from)
        };
        let query = Query::of(Body::Select(Box::new(select)), position);
        Statement {
            kind: Kind::Query(query),
            tables: std::mem::take(&mut self.tables),
        }
    }

    fn changed(
        &mut self,
        verb: Verb,
        steps: Vec<Step>,
        returning: Option<Box<Statement>>,
    ) -> Result<Kind, SqlError> {
        let target = steps.first().and_then(|step| step.rows.tables.first());
        let Some(target) = target.cloned() else {
            return Err(self.refuse("a change of nothing", Span::empty()));
        };
        Ok(Kind::Change(Change {
            verb,
            target,
            steps,
            returning,
        }))
    }
}
