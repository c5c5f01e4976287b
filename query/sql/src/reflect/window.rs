//! Windows: the number of a row among those of its part, which drivers take columns by.

use std::collections::HashMap;

use sqlparser::ast::{self, Expr, WindowType};

use super::{
    eval::{Machine, Outcome, Scope},
    from::Source,
    function,
    select::{Grouped, by_keys, expr_of},
    unsupported,
    value::Value,
};

/// A value for each row of what is selected from.
pub(super) type Window = Vec<Value>;

impl Machine<'_> {
    /// The windows of the select list, by item.
    pub(super) fn windows(
        &self,
        select: &ast::Select,
        source: &Source,
        rows: &[Grouped],
        outer: &Scope<'_>,
    ) -> Outcome<Vec<Option<Window>>> {
        let items = select.projection.iter().map(|item| match expr_of(item) {
            Some(Expr::Function(call)) => match &call.over {
                Some(over) => self
                    .window(call, over, select, source, rows, outer)
                    .map(Some),
                None => Ok(None),
            },
            _ => Ok(None),
        });
        items.collect()
    }

    fn window(
        &self,
        call: &ast::Function,
        over: &WindowType,
        select: &ast::Select,
        source: &Source,
        rows: &[Grouped],
        outer: &Scope<'_>,
    ) -> Outcome<Window> {
        let WindowType::WindowSpec(spec) = over else {
            return Err(unsupported("a named window over pg_catalog"));
        };
        let is_plain = spec.window_name.is_none() && spec.window_frame.is_none();
        if function::name(call) != "row_number" || !is_plain || select.having.is_some() {
            return Err(unsupported(
                "a window other than row_number over pg_catalog",
            ));
        }
        let mut keyed = Vec::new();
        for (at, (tuple, group)) in rows.iter().enumerate() {
            let scope = Scope {
                group: group.as_deref(),
                ..outer.inside(&source.names, tuple)
            };
            let value = |expr| self.value(expr, &scope);
            let part = spec.partition_by.iter().map(value);
            let part = part.collect::<Outcome<Vec<Value>>>()?;
            let keys = spec.order_by.iter().map(|key| value(&key.expr));
            keyed.push((at, part, keys.collect::<Outcome<Vec<Value>>>()?));
        }
        keyed.sort_by(|(_, _, left), (_, _, right)| by_keys(left, right, &spec.order_by));
        let mut counts: HashMap<Vec<Value>, i64> = HashMap::new();
        let mut numbers = vec![Value::Null; rows.len()];
        for (at, part, _) in keyed {
            let count = counts.entry(part).or_default();
            *count += 1;
            if let Some(number) = numbers.get_mut(at) {
                *number = Value::Int(*count);
            }
        }
        Ok(numbers)
    }
}
