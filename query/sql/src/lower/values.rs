//! VALUES. The engine has no plan for a query in a row of it, and takes the type of a CASE there from its first branch
//! alone. So a row with one of these is a SELECT, and the rows are what they are one after the other: UNION ALL.

use sqlparser::ast;

use super::Lowering;
use crate::{
    bind::expr::has_case,
    error::{SqlError, SqlErrorKind},
    ir::{Body, Expr, Ident, Select, SelectItem, SetOperator},
    limits::SET_OPERATIONS_MAX,
};

impl Lowering {
    pub(super) fn values(&mut self, values: &ast::Values) -> Result<Body, SqlError> {
        let ast::Values {
            explicit_row,
            value_keyword,
            rows,
        } = values;
        self.absent(*explicit_row, "ROW in VALUES")?;
        self.absent(*value_keyword, "VALUE instead of VALUES")?;
        // Of many rows a CASE with two types is refused by the engine.
        let has_cases = rows.len() <= SET_OPERATIONS_MAX / 4;
        let rows = self.list(rows, |this, row| {
            let ast::Parens {
                opening_token,
                content,
                closing_token: _,
            } = row;
            this.at(opening_token.0.span);
            let count = this.query_count;
            let row = this.list(content, Self::expr)?;
            let is_select = this.query_count > count || has_cases && row.iter().any(has_case);
            Ok((row, is_select))
        })?;
        let width = rows.first().map_or(0, |(row, _)| row.len());
        let mut parts: Vec<Body> = Vec::new();
        for (row, is_select) in rows {
            if width == 0 || row.len() != width {
                return Err(self.uneven_rows());
            }
            match parts.last_mut() {
                _ if is_select => parts.push(Self::row(row)),
                Some(Body::Values(rows)) => rows.push(row),
                _ => parts.push(Body::Values(vec![row])),
            }
        }
        let mut parts = parts.into_iter();
        let first = parts.next().ok_or_else(|| self.uneven_rows())?;
        parts.try_fold(first, |left, right| {
            self.one_more_set_operation()?;
            Ok(Body::SetOperation {
                operator: SetOperator::Union,
                is_all: true,
                left: Box::new(left),
                right: Box::new(right),
            })
        })
    }

    fn uneven_rows(&self) -> SqlError {
        let message = "the rows of VALUES differ in length or are empty";
        SqlError::new(SqlErrorKind::Invalid, message, self.here)
    }

    /// A row as a SELECT, its columns called as those of VALUES.
    fn row(row: Vec<Expr>) -> Body {
        let items = row.into_iter().zip(1..).map(|(expr, number)| {
            let alias = Some(Ident::quoted(format!("column{number}")));
            SelectItem::Expr { expr, alias }
        });
        Body::Select(Box::new(Select::of(items.collect(), Vec::new())))
    }
}
