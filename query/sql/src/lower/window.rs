//! Windows: OVER (..), OVER name, WINDOW. A name stands for its definition: it is written out where
//! it is used.

use sqlparser::ast::{self, Spanned};

use super::Lowering;
use crate::{
    error::{SqlError, SqlErrorKind},
    ir::{Bound, Expr, Frame, FrameUnit, Ident, Key, OrderItem, Window},
    limits::{self, NAMED_WINDOW_USES_MAX},
};

/// A window that a SELECT names.
#[derive(Debug)]
pub(super) struct NamedWindow {
    name: Ident,
    spec: ast::WindowSpec,
    is_used: bool,
}

impl Lowering {
    /// The windows that a SELECT names; a definition may build on those before it.
    pub(super) fn named_windows(
        &mut self,
        definitions: &[ast::NamedWindowDefinition],
    ) -> Result<Vec<NamedWindow>, SqlError> {
        let mut named: Vec<NamedWindow> = Vec::new();
        for definition in definitions {
            let ast::NamedWindowDefinition(name, window) = definition;
            let name = self.ident(name)?;
            let spec = match window {
                ast::NamedWindowExpr::WindowSpec(spec) => spec.clone(),
                ast::NamedWindowExpr::NamedWindow(other) => {
                    return Err(self.refuse("a second name of a window", other.span));
                }
            };
            self.absent_at(
                spec.window_name.as_ref().map(|name| name.span),
                "a window that extends another",
            )?;
            if named.iter().any(|other| name.matches(&other.name.value)) {
                let message = format!("WINDOW defines `{}` twice", name.value);
                return Err(SqlError::new(
                    SqlErrorKind::Ambiguous,
                    message,
                    name.position,
                ));
            }
            named.push(NamedWindow {
                name,
                spec,
                is_used: false,
            });
        }
        Ok(named)
    }

    /// Leaves the SELECT whose windows these were; one that nothing uses would be ignored.
    pub(super) fn leave_windows(&mut self, outer: Vec<NamedWindow>) -> Result<(), SqlError> {
        let windows = std::mem::replace(&mut self.windows, outer);
        match windows.into_iter().find(|window| !window.is_used) {
            None => Ok(()),
            Some(NamedWindow { name, .. }) => {
                let message = format!("WINDOW defines `{}`, and nothing uses it", name.value);
                Err(SqlError::new(SqlErrorKind::Invalid, message, name.position))
            }
        }
    }

    pub(super) fn window(&mut self, window: &ast::WindowType) -> Result<Window, SqlError> {
        match window {
            ast::WindowType::WindowSpec(spec) => self.window_spec(spec),
            ast::WindowType::NamedWindow(name) => {
                let spec = self.window_named(name)?;
                self.window_spec(&spec)
            }
        }
    }

    fn window_named(&mut self, name: &ast::Ident) -> Result<ast::WindowSpec, SqlError> {
        let name = self.ident(name)?;
        self.window_uses += 1;
        if self.window_uses > NAMED_WINDOW_USES_MAX {
            return Err(limits::exceeded(
                "uses of named windows",
                NAMED_WINDOW_USES_MAX,
                name.position,
            ));
        }
        let mut windows = self.windows.iter_mut();
        let Some(found) = windows.find(|window| name.matches(&window.name.value)) else {
            let message = format!("WINDOW does not define `{}`", name.value);
            return Err(SqlError::new(SqlErrorKind::Unknown, message, name.position));
        };
        found.is_used = true;
        Ok(found.spec.clone())
    }

    /// `OVER (name ORDER BY ..)` takes the partition of the name, and its order unless it has one.
    fn window_spec(&mut self, spec: &ast::WindowSpec) -> Result<Window, SqlError> {
        let ast::WindowSpec {
            window_name,
            partition_by,
            order_by,
            window_frame,
        } = spec;
        let base = match window_name {
            Some(name) => Some(self.window_named(name)?),
            None => None,
        };
        let mut window = Window {
            partition_by: self.list(partition_by, Self::expr)?,
            order_by: self.list(order_by, Self::inner_order_item)?,
            frame: self.optional(window_frame.as_ref(), Self::frame)?,
        };
        if let Some(base) = base {
            let base = self.window_spec(&base)?;
            self.absent(
                !window.partition_by.is_empty() || base.frame.is_some(),
                "PARTITION BY behind the name of a window, or extending one that has a frame",
            )?;
            window.partition_by = base.partition_by;
            if !base.order_by.is_empty() {
                self.absent(
                    !window.order_by.is_empty(),
                    "ORDER BY behind the name of a window that is ordered",
                )?;
                window.order_by = base.order_by;
            }
        }
        Ok(window)
    }

    /// Inside a call a number is a value, not a position: sorting by it is a mistake.
    pub(super) fn inner_order_item(
        &mut self,
        item: &ast::OrderByExpr,
    ) -> Result<OrderItem, SqlError> {
        let item = self.order_item(item)?;
        match item.key {
            Key::Ordinal(_, position) => Err(SqlError::unsupported(
                "ORDER BY a number inside a call",
                position,
            )),
            Key::Expr(_) => Ok(item),
        }
    }

    fn frame(&mut self, frame: &ast::WindowFrame) -> Result<Frame, SqlError> {
        let ast::WindowFrame {
            units,
            start_bound,
            end_bound,
        } = frame;
        let unit = match units {
            ast::WindowFrameUnits::Rows => FrameUnit::Rows,
            ast::WindowFrameUnits::Range => FrameUnit::Range,
            ast::WindowFrameUnits::Groups => FrameUnit::Groups,
        };
        let start = self.bound(start_bound)?;
        Ok(Frame {
            unit,
            start,
            end: self.optional(end_bound.as_ref(), Self::bound)?,
        })
    }

    fn bound(&mut self, bound: &ast::WindowFrameBound) -> Result<Bound, SqlError> {
        let (offset, of): (_, fn(_) -> Bound) = match bound {
            ast::WindowFrameBound::CurrentRow => return Ok(Bound::CurrentRow),
            ast::WindowFrameBound::Preceding(offset) => (offset, Bound::Preceding),
            ast::WindowFrameBound::Following(offset) => (offset, Bound::Following),
        };
        let Some(offset) = offset else {
            return Ok(of(None));
        };
        if let Expr::Literal(literal) = self.expr(offset)? {
            return Ok(of(Some(literal)));
        }
        Err(self.refuse("a frame bound that is not a literal", offset.span()))
    }
}
