//! Keys of GROUP BY and ORDER BY: columns, outputs by name, outputs by position.

use super::{
    Binder,
    expr::is_repeatable,
    scope::{Output, Selected},
};
use crate::{
    error::{SqlError, SqlErrorKind},
    ir::{Expr, Ident, Key, Position, SelectItem},
    parse::dotted,
};

impl Binder<'_> {
    /// A key of GROUP BY: a column of FROM first, then a name of the select list.
    pub(super) fn group_key(&mut self, key: &Key, outputs: &[Output]) -> Result<Key, SqlError> {
        if let Key::Expr(expr) = key {
            let is_alias = match expr {
                Expr::Column(parts) => {
                    !self.is_known_here(parts) && output_named(parts, outputs)?.is_some()
                }
                _ => false,
            };
            if !is_alias {
                return Ok(Key::Expr(self.condition(expr)?));
            }
        }
        let key = output_key(key, outputs, self.place)?;
        self.note_key(&key, outputs);
        Ok(key)
    }

    /// A key of ORDER BY: a name of the select list first, then anything over FROM.
    pub(super) fn order_key(&mut self, key: &Key, outputs: &[Output]) -> Result<Key, SqlError> {
        let named = match key {
            Key::Expr(Expr::Column(parts)) => output_named(parts, outputs)?,
            Key::Expr(_) => None,
            Key::Ordinal(..) => Some(output_key(key, outputs, self.place)?),
        };
        match (named, key) {
            (Some(key), _) => {
                self.note_key(&key, outputs);
                Ok(key)
            }
            (None, Key::Expr(expr)) => Ok(Key::Expr(self.condition(expr)?)),
            (None, Key::Ordinal(..)) => output_key(key, outputs, self.place),
        }
    }

    /// A key of DISTINCT ON: as one of ORDER BY, but the engine takes no position here.
    pub(super) fn distinct_key(&mut self, key: &Key, selected: &Selected) -> Result<Key, SqlError> {
        let key = self.order_key(key, &selected.outputs)?;
        let Key::Ordinal(ordinal, position) = key else {
            return Ok(key);
        };
        match index_of(ordinal).and_then(|index| selected.items.get(index)) {
            Some(SelectItem::Expr { expr, .. }) if is_repeatable(expr) => {
                Ok(Key::Expr(expr.clone()))
            }
            _ => Err(SqlError::unsupported(
                "DISTINCT ON a query or a volatile function",
                position,
            )),
        }
    }

    /// Notes the sources of an output that is a key.
    pub(super) fn note_key(&mut self, key: &Key, outputs: &[Output]) {
        if let Key::Ordinal(ordinal, _) = key
            && let Some(output) = index_of(*ordinal).and_then(|index| outputs.get(index))
        {
            self.note_indirect(output.flow.sources().collect::<Vec<_>>());
        }
    }

    /// Whether a single name is a column of the innermost FROM.
    fn is_known_here(&self, parts: &[Ident]) -> bool {
        match (parts, self.scopes.last()) {
            ([name], Some(scope)) => !scope.unqualified(name, scope.visible()).is_empty(),
            _ => true,
        }
    }
}

fn index_of(ordinal: u64) -> Option<usize> {
    usize::try_from(ordinal).ok()?.checked_sub(1)
}

/// The output that a single unqualified name means, as an ordinal.
pub(super) fn output_named(parts: &[Ident], outputs: &[Output]) -> Result<Option<Key>, SqlError> {
    let [name] = parts else { return Ok(None) };
    let Some(index) = output_index(name, outputs)? else {
        return Ok(None);
    };
    let ordinal = u64::try_from(index).unwrap_or(u64::MAX).saturating_add(1);
    Ok(Some(Key::Ordinal(ordinal, name.position)))
}

/// The output that a name means.
pub(super) fn output_index(name: &Ident, outputs: &[Output]) -> Result<Option<usize>, SqlError> {
    let found: Vec<usize> = Ident::meant(|fits| {
        let outputs = outputs.iter().enumerate();
        let named = outputs.filter(|(_, output)| fits(name, &output.name));
        named.map(|(index, _)| index).collect()
    });
    match found.as_slice() {
        [] => Ok(None),
        [index] => Ok(Some(*index)),
        _ => Err(SqlError::new(
            SqlErrorKind::Ambiguous,
            format!("`{}` names several output columns", name.value),
            name.position,
        )
        .with_hint("use the position in the select list")),
    }
}

/// A key over outputs alone: an ordinal or a name.
pub(super) fn output_key(key: &Key, outputs: &[Output], place: Position) -> Result<Key, SqlError> {
    match key {
        Key::Ordinal(ordinal, position) => {
            if index_of(*ordinal).is_some_and(|index| index < outputs.len()) {
                return Ok(key.clone());
            }
            Err(SqlError::new(
                SqlErrorKind::Invalid,
                format!(
                    "position {ordinal} is not in the select list of {}",
                    outputs.len()
                ),
                *position,
            ))
        }
        Key::Expr(Expr::Column(parts)) => output_named(parts, outputs)?.ok_or_else(|| {
            SqlError::new(
                SqlErrorKind::Unknown,
                format!("`{}` is not an output column", dotted(parts)),
                parts
                    .first()
                    .map_or(Position::default(), |part| part.position),
            )
        }),
        Key::Expr(_) => Err(SqlError::unsupported(
            "ORDER BY an expression behind a set operation or VALUES",
            place,
        )),
    }
}
