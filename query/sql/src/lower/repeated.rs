//! Queries that a SELECT says twice: in its list, and as a key.
//!
//! Lowered twice, one text is two queries, over tables of numbers of their own, and the engine does not find one in
//! the other any more. So a key that repeats an item becomes the item's position. DISTINCT ON, which takes no
//! position and has to find its keys in ORDER BY, becomes what it means: the first row of each, by a window.

use sqlparser::ast::{self, Spanned as _};

use super::Lowering;
use crate::{
    error::SqlError,
    ir::{BinaryOperator, Distinct, Expr, Key, Literal, SelectItem, Window},
};

/// An item of a select list that has a query in it.
#[derive(Debug)]
pub(super) struct Item {
    /// Its position.
    ordinal: u64,
    expr: ast::Expr,
}

/// The items of ORDER BY.
pub(super) fn order_items(order_by: Option<&ast::OrderBy>) -> &[ast::OrderByExpr] {
    match order_by.map(|order_by| &order_by.kind) {
        Some(ast::OrderByKind::Expressions(items)) => items,
        Some(ast::OrderByKind::All(_)) | None => &[],
    }
}

impl Lowering {
    /// A select list, and those of its items that have queries, as far as their positions are known: before a star.
    pub(super) fn items(
        &mut self,
        projection: &[ast::SelectItem],
    ) -> Result<(Vec<SelectItem>, Vec<Item>), SqlError> {
        let (mut queries, mut positions) = (Vec::new(), positions(projection));
        let items = self.list(projection, |this, item| {
            let count = this.query_count;
            let lowered = this.select_item(item)?;
            let place = positions.next();
            if this.query_count > count
                && let Some((ordinal, expr)) = place
            {
                let expr = expr.clone();
                queries.push(Item { ordinal, expr });
            }
            Ok(lowered)
        })?;
        Ok((items, queries))
    }

    /// A key of GROUP BY or ORDER BY beside these items.
    pub(super) fn key_beside(&mut self, key: &ast::Expr, items: &[Item]) -> Result<Key, SqlError> {
        match items.iter().find(|item| item.expr == *key) {
            Some(item) => Ok(Key::Ordinal(item.ordinal, self.at(key.span()))),
            None => self.key(key),
        }
    }

    /// Which duplicates are left out; if a key of DISTINCT ON has a query, by the condition that a row is the first of
    /// its keys.
    pub(super) fn distinct(
        &mut self,
        distinct: Option<&ast::Distinct>,
        order: &[ast::OrderByExpr],
        projection: &[ast::SelectItem],
    ) -> Result<(Distinct, Option<Expr>), SqlError> {
        let keys = match distinct {
            None | Some(ast::Distinct::All) => return Ok((Distinct::No, None)),
            Some(ast::Distinct::Distinct) => return Ok((Distinct::Yes, None)),
            Some(ast::Distinct::On(keys)) => keys,
        };
        let count = self.query_count;
        let written = self.list(keys, |this, key| {
            let key = this.as_written(key, projection)?;
            this.key(key)
        })?;
        if self.query_count == count {
            return Ok((Distinct::On(self.list(keys, Self::key)?), None));
        }
        let partition_by = written.into_iter().map(|key| match key {
            Key::Expr(expr) => Ok(expr),
            Key::Ordinal(_, position) => {
                let what = "a position behind `*` beside DISTINCT ON a query";
                Err(SqlError::unsupported(what, position))
            }
        });
        let partition_by = partition_by.collect::<Result<_, SqlError>>()?;
        let order_by = self.list(order, |this, item| {
            this.order_item_of(item, |this, key| {
                let key = this.as_written(key, projection)?;
                this.key(key)
            })
        })?;
        let window = Window {
            partition_by,
            order_by,
            frame: None,
        };
        Ok((Distinct::No, Some(self.is_first(window)?)))
    }

    /// QUALIFY, or that condition.
    pub(super) fn qualify(
        &mut self,
        qualify: Option<&ast::Expr>,
        first: Option<Expr>,
    ) -> Result<Option<Expr>, SqlError> {
        let are_both = first.is_some() && qualify.is_some();
        self.absent(are_both, "DISTINCT ON a query beside QUALIFY")?;
        Ok(self.optional(qualify, Self::expr)?.or(first))
    }

    /// What a key says: of a name or a position of the select list what stands there.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "two forms of an expression mean an item, each other one is a key"
    )]
    fn as_written<'a>(
        &mut self,
        key: &'a ast::Expr,
        projection: &'a [ast::SelectItem],
    ) -> Result<&'a ast::Expr, SqlError> {
        let name = match key {
            ast::Expr::Identifier(name) => self.ident(name)?,
            ast::Expr::Value(value) => {
                let ordinal = value.value.to_string().parse().ok();
                let found = positions(projection).find(|(position, _)| Some(*position) == ordinal);
                return Ok(found.map_or(key, |(_, item)| item));
            }
            _ => return Ok(key),
        };
        for item in projection {
            if let ast::SelectItem::ExprWithAlias { expr, alias } = item
                && self.ident(alias)?.value == name.value
            {
                return Ok(expr);
            }
        }
        Ok(key)
    }

    /// `row_number() OVER (window) = 1`.
    fn is_first(&mut self, window: Window) -> Result<Expr, SqlError> {
        let mut number = self.unchecked("row_number", Vec::new())?;
        number.over = Some(window);
        Ok(Expr::Binary {
            operator: BinaryOperator::Equal,
            operands: vec![
                self.checked(number)?,
                Expr::Literal(Literal::Number("1".to_owned())),
            ],
        })
    }
}

/// The positions of the items before the first star, and what they are.
fn positions(projection: &[ast::SelectItem]) -> impl Iterator<Item = (u64, &ast::Expr)> {
    (1..).zip(projection.iter().map_while(expr_of)).fuse()
}

fn expr_of(item: &ast::SelectItem) -> Option<&ast::Expr> {
    match item {
        ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, alias: _ } => {
            Some(expr)
        }
        ast::SelectItem::ExprWithAliases { .. }
        | ast::SelectItem::QualifiedWildcard(..)
        | ast::SelectItem::Wildcard(_) => None,
    }
}
