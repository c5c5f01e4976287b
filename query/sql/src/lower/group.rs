//! GROUP BY: keys, ROLLUP, CUBE, GROUPING SETS.

use sqlparser::{ast, tokenizer::Span};

use super::{Lowering, repeated::Item};
use crate::{
    error::SqlError,
    ir::{Expr, GroupBy, GroupItem, GroupSets, Key, Literal},
};

impl Lowering {
    /// `queries` are the items of the select list with queries.
    pub(super) fn group_by(
        &mut self,
        group_by: &ast::GroupByExpr,
        queries: &[Item],
    ) -> Result<GroupBy, SqlError> {
        match group_by {
            ast::GroupByExpr::All(modifiers) => {
                self.absent(!modifiers.is_empty(), "GROUP BY ALL with a modifier")?;
                Ok(GroupBy::All(self.here))
            }
            ast::GroupByExpr::Expressions(keys, modifiers) => {
                let items = self.list(keys, |this, key| this.group_item(key, queries))?;
                match modifiers.as_slice() {
                    [] => Ok(GroupBy::Items(items)),
                    [modifier] => self.modified(items, modifier),
                    _ => Err(self.refuse("GROUP BY with several modifiers", Span::empty())),
                }
            }
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "three forms of an expression mean sets of keys, each other one is a key"
    )]
    fn group_item(&mut self, item: &ast::Expr, queries: &[Item]) -> Result<GroupItem, SqlError> {
        Ok(match item {
            ast::Expr::Rollup(sets) => GroupItem::Sets(GroupSets::Rollup, self.key_sets(sets)?),
            ast::Expr::Cube(sets) => GroupItem::Sets(GroupSets::Cube, self.key_sets(sets)?),
            ast::Expr::GroupingSets(sets) => GroupItem::Sets(GroupSets::Sets, self.key_sets(sets)?),
            // The empty set of keys.
            ast::Expr::Tuple(none) if none.is_empty() => {
                GroupItem::Sets(GroupSets::Sets, vec![Vec::new()])
            }
            key => GroupItem::Key(self.key_beside(key, queries)?),
        })
    }

    fn key_sets(&mut self, sets: &[Vec<ast::Expr>]) -> Result<Vec<Vec<Expr>>, SqlError> {
        self.list(sets, |this, set| this.list(set, Self::set_key))
    }

    /// In a set a number is no position: the engine would group by the number.
    fn set_key(&mut self, key: &ast::Expr) -> Result<Expr, SqlError> {
        let lowered = self.expr(key)?;
        let is_number = matches!(lowered, Expr::Literal(Literal::Number(_)));
        self.absent(is_number, "a position in ROLLUP, CUBE or GROUPING SETS")?;
        Ok(lowered)
    }

    /// `GROUP BY a, b WITH ROLLUP`.
    fn modified(
        &mut self,
        items: Vec<GroupItem>,
        modifier: &ast::GroupByWithModifier,
    ) -> Result<GroupBy, SqlError> {
        let sets = match modifier {
            ast::GroupByWithModifier::Rollup => GroupSets::Rollup,
            ast::GroupByWithModifier::Cube => GroupSets::Cube,
            ast::GroupByWithModifier::Totals => {
                return Err(self.refuse("WITH TOTALS", Span::empty()));
            }
            ast::GroupByWithModifier::GroupingSets(_) => {
                return Err(self.refuse("GROUPING SETS behind keys", Span::empty()));
            }
        };
        let keys = items.into_iter().map(|item| match item {
            GroupItem::Key(Key::Expr(expr)) => Ok(vec![expr]),
            GroupItem::Key(Key::Ordinal(..)) | GroupItem::Sets(..) => Err(self.refuse(
                "a position or a set of keys before WITH ROLLUP",
                Span::empty(),
            )),
        });
        let keys = keys.collect::<Result<_, _>>()?;
        Ok(GroupBy::Items(vec![GroupItem::Sets(sets, keys)]))
    }
}
