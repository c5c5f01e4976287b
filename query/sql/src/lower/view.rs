//! CREATE VIEW and DROP VIEW.

use sqlparser::{
    ast::{self, Spanned},
    tokenizer::Span,
};

use super::{Lowering, statement::word};
use crate::{error::SqlError, parse::Kind};

impl Lowering {
    pub(super) fn create_view(&mut self, create: &ast::CreateView) -> Result<Kind, SqlError> {
        let ast::CreateView {
            or_alter,
            or_replace,
            materialized,
            secure,
            name,
            name_before_not_exists,
            columns,
            query,
            options,
            cluster_by,
            comment,
            with_no_schema_binding,
            if_not_exists,
            temporary,
            copy_grants,
            to,
            params,
        } = create;
        self.at(name.span());
        self.absent(*or_alter, "OR ALTER")?;
        self.absent(*materialized, "a materialized view")?;
        self.absent(*secure, "SECURE")?;
        self.absent(*if_not_exists || *name_before_not_exists, "IF NOT EXISTS")?;
        self.absent(*temporary, "a temporary view")?;
        // There is one rights model: that of who reads the view.
        self.absent(params.is_some(), "ALGORITHM, DEFINER or SQL SECURITY")?;
        let has_options = !matches!(options, ast::CreateTableOptions::None)
            || !cluster_by.is_empty()
            || comment.is_some()
            || to.is_some();
        let flags = *with_no_schema_binding || *copy_grants;
        self.absent(has_options || flags, "CREATE VIEW with options")?;
        let target = self.target(name)?;
        let columns = self.list(columns, |this, column| {
            let ast::ViewColumnDef {
                name,
                data_type,
                options,
            } = column;
            this.absent(
                data_type.is_some() || options.is_some(),
                "a type or option of a column",
            )?;
            this.ident(name)
        })?;
        Ok(Kind::CreateView {
            target,
            is_replacing: *or_replace,
            columns,
            query: self.query(query)?,
        })
    }

    /// DROP, of which there is that of one view.
    pub(super) fn drop_view(&mut self, statement: &ast::Statement) -> Result<Kind, SqlError> {
        let ast::Statement::Drop {
            object_type: ast::ObjectType::View,
            if_exists,
            names,
            cascade,
            // What DROP does without it.
            restrict: _,
            purge,
            temporary,
            table,
        } = statement
        else {
            let what = format!("the statement {}", word(statement));
            return Err(self.refuse(what, statement.span()));
        };
        self.absent(*if_exists, "IF EXISTS")?;
        let options = *cascade || *purge || *temporary || table.is_some();
        self.absent(options, "DROP VIEW with options")?;
        let [name] = names.as_slice() else {
            return Err(self.refuse("DROP of several views", Span::empty()));
        };
        let target = self.target(name)?;
        Ok(Kind::DropView { target })
    }
}
