//! GROUP BY: keys, and sets of keys.

use std::rc::Rc;

use super::{Binder, expr::has_aggregate, scope::Selected};
use crate::{
    error::SqlError,
    ir::{Expr, GroupBy, GroupItem, GroupSets, Key, SelectItem},
    limits::{self, GROUPING_SETS_MAX},
};

impl Binder<'_> {
    pub(super) fn group_by(
        &mut self,
        group_by: &GroupBy,
        selected: &Rc<Selected>,
    ) -> Result<GroupBy, SqlError> {
        let items = match group_by {
            GroupBy::All(position) => (1..)
                .zip(&selected.items)
                .filter(|(_, item)| match item {
                    SelectItem::Expr { expr, .. } => !has_aggregate(expr),
                    SelectItem::Star(..) | SelectItem::QualifiedStar(..) => true,
                })
                .map(|(ordinal, _)| {
                    let key = Key::Ordinal(ordinal, *position);
                    self.note_key(&key, &selected.outputs);
                    GroupItem::Key(key)
                })
                .collect(),
            GroupBy::Items(items) => items
                .iter()
                .map(|item| match item {
                    GroupItem::Key(key) => {
                        Ok(GroupItem::Key(self.group_key(key, &selected.outputs)?))
                    }
                    GroupItem::Sets(kind, sets) => self.group_sets(*kind, sets),
                })
                .collect::<Result<_, SqlError>>()?,
        };
        Ok(GroupBy::Items(items))
    }

    fn group_sets(&mut self, kind: GroupSets, sets: &[Vec<Expr>]) -> Result<GroupItem, SqlError> {
        let bound = sets.iter().map(|set| {
            let keys = set.iter().map(|key| self.condition(key));
            keys.collect::<Result<Vec<_>, SqlError>>()
        });
        let bound = bound.collect::<Result<Vec<_>, SqlError>>()?;
        let (kind, sets) = match kind {
            GroupSets::Sets => (GroupSets::Sets, bound),
            // The engine takes single keys only; sets of several are written out.
            _ if bound.iter().all(|set| set.len() == 1) => (kind, bound),
            GroupSets::Rollup => (GroupSets::Sets, prefixes(&bound)),
            GroupSets::Cube => (GroupSets::Sets, subsets(&bound)),
        };
        let is_wide = kind == GroupSets::Cube && sets.len() >= CUBE_KEYS_MAX;
        if sets.len() > GROUPING_SETS_MAX || is_wide {
            return Err(limits::exceeded(
                "sets of keys in GROUP BY",
                GROUPING_SETS_MAX,
                self.place,
            ));
        }
        Ok(GroupItem::Sets(kind, sets))
    }
}

/// A CUBE of as many keys has more than [`GROUPING_SETS_MAX`] sets.
const CUBE_KEYS_MAX: usize = 9;

/// The sets of ROLLUP: all keys, then fewer and fewer.
fn prefixes(sets: &[Vec<Expr>]) -> Vec<Vec<Expr>> {
    (0..=sets.len())
        .rev()
        .map(|count| sets.iter().take(count).flatten().cloned().collect())
        .collect()
}

/// The sets of CUBE: each choice of keys, and one more than allowed if there are too many.
fn subsets(sets: &[Vec<Expr>]) -> Vec<Vec<Expr>> {
    let mut subsets: Vec<Vec<Expr>> = vec![Vec::new()];
    for set in sets {
        if subsets.len() > GROUPING_SETS_MAX {
            break;
        }
        let with = subsets.iter().map(|subset| {
            let mut subset = subset.clone();
            subset.extend(set.iter().cloned());
            subset
        });
        let with: Vec<_> = with.collect();
        subsets.extend(with);
    }
    subsets.reverse();
    subsets
}
