//! CREATE VIEW and DROP VIEW.

use sqlparser::{
    ast::{self, Spanned},
    tokenizer::Span,
};

use super::{Lowering, statement::word};
use crate::{
    error::SqlError,
    parse::{Kind, Security},
};

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
        let security = self.security(params.as_ref(), options)?;
        let has_options = !cluster_by.is_empty() || comment.is_some() || to.is_some();
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
            security,
            columns,
            query: self.query(query)?,
        })
    }

    /// SQL SECURITY, as MySQL has it, or `security_invoker` of PostgreSQL; without either, those who read a
    /// view read it with their own rights.
    fn security(
        &mut self,
        params: Option<&ast::CreateViewParams>,
        options: &ast::CreateTableOptions,
    ) -> Result<Security, SqlError> {
        let mut said = Vec::new();
        if let Some(ast::CreateViewParams {
            algorithm,
            definer,
            security,
        }) = params
        {
            self.absent(algorithm.is_some(), "ALGORITHM of a view")?;
            // Nobody gives away the rights of somebody else.
            self.absent(definer.is_some(), "DEFINER of a view: it is who makes it")?;
            said.extend(security.as_ref().map(|security| match security {
                ast::CreateViewSecurity::Definer => Security::Definer,
                ast::CreateViewSecurity::Invoker => Security::Invoker,
            }));
        }
        match options {
            ast::CreateTableOptions::None => {}
            ast::CreateTableOptions::With(options) => {
                for option in options {
                    said.push(security_invoker(option).ok_or_else(|| self.other_option())?);
                }
            }
            ast::CreateTableOptions::Options(_)
            | ast::CreateTableOptions::Plain(_)
            | ast::CreateTableOptions::TableProperties(_) => return Err(self.other_option()),
        }
        self.absent(said.len() > 1, "the rights of a view, said more than once,")?;
        Ok(said.first().copied().unwrap_or(Security::Invoker))
    }

    fn other_option(&mut self) -> SqlError {
        self.refuse("CREATE VIEW with options", Span::empty())
            .with_hint(
                "SQL SECURITY DEFINER, or WITH (security_invoker = false), lends your rights",
            )
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

/// Whose rights `security_invoker = true` or `false` means; none for another option.
fn security_invoker(option: &ast::SqlOption) -> Option<Security> {
    let ast::SqlOption::KeyValue { key, value } = option else {
        return None;
    };
    let ast::Expr::Value(value) = value else {
        return None;
    };
    let ast::Value::Boolean(is_invokers) = value.value else {
        return None;
    };
    let security = if is_invokers {
        Security::Invoker
    } else {
        Security::Definer
    };
    key.value
        .eq_ignore_ascii_case("security_invoker")
        .then_some(security)
}
