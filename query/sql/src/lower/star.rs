//! What a star is followed by: EXCEPT, EXCLUDE, REPLACE, RENAME, ILIKE.

use sqlparser::ast;

use super::Lowering;
use crate::{
    error::SqlError,
    ir::{Ident, Position, StarOptions},
};

impl Lowering {
    pub(super) fn star_options(
        &mut self,
        options: &ast::WildcardAdditionalOptions,
    ) -> Result<(Position, StarOptions), SqlError> {
        let ast::WildcardAdditionalOptions {
            wildcard_token,
            opt_ilike,
            opt_exclude,
            opt_except,
            opt_replace,
            opt_rename,
            opt_alias,
        } = options;
        let position = self.at(wildcard_token.0.span);
        self.absent(opt_alias.is_some(), "an alias of a star")?;
        let mut except = match opt_exclude {
            None => Vec::new(),
            Some(ast::ExcludeSelectItem::Single(name)) => vec![self.single(name)?],
            Some(ast::ExcludeSelectItem::Multiple(names)) => self.list(names, Self::single)?,
        };
        if let Some(ast::ExceptSelectItem {
            first_element,
            additional_elements,
        }) = opt_except
        {
            except.push(self.ident(first_element)?);
            except.extend(self.list(additional_elements, Self::ident)?);
        }
        let replace = match opt_replace {
            None => Vec::new(),
            Some(ast::ReplaceSelectItem { items }) => self.list(items, |this, item| {
                let ast::ReplaceSelectElement {
                    expr,
                    column_name,
                    as_keyword: _,
                } = item.as_ref();
                Ok((this.expr(expr)?, this.ident(column_name)?))
            })?,
        };
        let rename = match opt_rename {
            None => Vec::new(),
            Some(ast::RenameSelectItem::Single(renamed)) => vec![self.renamed(renamed)?],
            Some(ast::RenameSelectItem::Multiple(renamed)) => self.list(renamed, Self::renamed)?,
        };
        let like = opt_ilike.as_ref().map(|like| {
            let ast::IlikeSelectItem { pattern } = like;
            pattern.clone()
        });
        let options = StarOptions {
            like,
            except,
            replace,
            rename,
        };
        Ok((position, options))
    }

    fn renamed(&mut self, renamed: &ast::IdentWithAlias) -> Result<(Ident, Ident), SqlError> {
        let ast::IdentWithAlias { ident, alias } = renamed;
        Ok((self.ident(ident)?, self.ident(alias)?))
    }
}
