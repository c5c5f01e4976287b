//! Relations that compute their rows: as a column more, by a query around them.

use super::super::{added_call, items::OutputNames, scope::ScopeRelation};
use crate::{
    error::SqlError,
    ir::{
        Alias, Arguments, Body, Expr, Ident, Literal, Position, Query, Relation, Select, SelectItem,
    },
};

/// What the text calls a row, unless its relation has a column of that name.
const ROW: &str = "whole_row";

/// A row that a relation computes as a column.
#[derive(Debug)]
pub(in crate::bind) struct WholeRow {
    /// The relation's alias in the text.
    of: Ident,
    /// What the column is called.
    column: Ident,
    /// Names of the relation's columns in the text.
    columns: Vec<Ident>,
    /// The name of each as a field.
    fields: Vec<String>,
}

impl WholeRow {
    pub(super) fn new(relation: &ScopeRelation) -> Self {
        let (mut columns, mut fields) = (Vec::new(), Vec::new());
        let (mut taken, mut names) = (OutputNames::default(), OutputNames::default());
        for output in &relation.columns {
            columns.push(Ident::quoted(taken.unique(&output.engine_name)));
            fields.push(names.unique(&output.name));
        }
        Self {
            of: relation.engine_alias.clone(),
            column: Ident::quoted(taken.unique(ROW)),
            columns,
            fields,
        }
    }

    /// Whether it is the row of the relation of this alias.
    pub(super) fn is_of(&self, alias: &Ident) -> bool {
        self.of == *alias
    }

    /// The row in the text.
    pub(super) fn value(&self) -> Expr {
        Expr::Column(vec![self.of.clone(), self.column.clone()])
    }

    /// The relation with its row as a column more.
    fn within(&self, relation: Relation) -> Result<Relation, SqlError> {
        let is_lateral = matches!(
            relation,
            Relation::Derived {
                is_lateral: true,
                ..
            }
        );
        let column = |name: &Ident| Expr::Column(vec![self.of.clone(), name.clone()]);
        let mut items = Vec::with_capacity(self.columns.len() + 1);
        let mut fields = Vec::with_capacity(self.columns.len() * 2);
        for (name, field) in self.columns.iter().zip(&self.fields) {
            items.push(SelectItem::Expr {
                expr: column(name),
                alias: Some(name.clone()),
            });
            fields.push(Expr::Literal(Literal::Text(field.clone())));
            fields.push(column(name));
        }
        items.push(SelectItem::Expr {
            expr: added_call("named_struct", false, Arguments::List(fields))?,
            alias: Some(self.column.clone()),
        });
        let select = Select::of(items, vec![relation]);
        Ok(Relation::Derived {
            is_lateral,
            query: Box::new(Query::of(
                Body::Select(Box::new(select)),
                Position::default(),
            )),
            alias: Some(Alias {
                name: self.of.clone(),
                columns: Vec::new(),
            }),
        })
    }
}

/// The items of FROM, where relations whose rows are used compute them.
pub(in crate::bind) fn with_rows(
    from: Vec<Relation>,
    rows: &[WholeRow],
) -> Result<Vec<Relation>, SqlError> {
    if rows.is_empty() {
        return Ok(from);
    }
    from.into_iter().map(|item| with_row(item, rows)).collect()
}

fn with_row(relation: Relation, rows: &[WholeRow]) -> Result<Relation, SqlError> {
    match relation {
        Relation::Join(mut join) => {
            join.left = with_row(join.left, rows)?;
            join.right = with_row(join.right, rows)?;
            Ok(Relation::Join(join))
        }
        Relation::Table { ref alias, .. }
        | Relation::Cte { ref alias, .. }
        | Relation::Derived { ref alias, .. } => {
            let is_of = |row: &&WholeRow| alias.as_ref().is_some_and(|it| row.is_of(&it.name));
            match rows.iter().find(is_of) {
                Some(row) => row.within(relation),
                None => Ok(relation),
            }
        }
    }
}
