//! The select list: stars are expanded, each output gets a name of its own.

use std::{collections::HashSet, rc::Rc};

use dataos_model::lineage::Transformation;

use super::{Binder, scope::Output, star::Column};
use crate::{
    error::SqlError,
    ir::{Expr, Ident, SelectItem},
    limits::{self, OUTPUT_COLUMNS_MAX},
    lineage::Flow,
};

/// Engine names of the outputs of one query, while they are given out.
#[derive(Default)]
struct OutputNames(HashSet<String>);

impl OutputNames {
    /// `name`, or with a number behind it if it is taken.
    fn unique(&mut self, name: &str) -> String {
        let mut unique = name.to_owned();
        let mut number = 2_usize;
        while !self.0.insert(unique.clone()) {
            unique = format!("{name}_{number}");
            number += 1;
        }
        unique
    }
}

impl Binder<'_> {
    /// The select list, each item with an alias of its own.
    pub(super) fn items(
        &mut self,
        items: &[SelectItem],
    ) -> Result<(Vec<SelectItem>, Vec<Output>), SqlError> {
        let mut names = OutputNames::default();
        let mut bound_items = Vec::with_capacity(items.len());
        let mut outputs = Vec::with_capacity(items.len());
        for item in items {
            for (name, expr, flow) in self.item(item, outputs.len())? {
                if outputs.len() >= OUTPUT_COLUMNS_MAX {
                    return Err(limits::exceeded(
                        "output columns",
                        OUTPUT_COLUMNS_MAX,
                        self.place,
                    ));
                }
                self.spend(&flow)?;
                let engine_name = names.unique(&name);
                let alias = Some(Ident::quoted(&engine_name));
                bound_items.push(SelectItem::Expr { expr, alias });
                outputs.push(Output {
                    name,
                    engine_name,
                    flow,
                    base: None,
                });
            }
        }
        Ok((bound_items, outputs))
    }

    /// The columns of one item: name, text, sources.
    fn item(&mut self, item: &SelectItem, index: usize) -> Result<Vec<Column>, SqlError> {
        match item {
            SelectItem::Expr { expr, alias } => {
                if let Expr::Column(parts) = expr {
                    let (bound, flow, name) = self.column(parts)?;
                    let name = alias.as_ref().map_or(name, |alias| alias.value.clone());
                    return Ok(vec![(name, bound, flow)]);
                }
                let mut flow = Flow::default();
                let bound = self.expr(expr, Transformation::Identity, &mut flow)?;
                let name = match alias {
                    Some(alias) => alias.value.clone(),
                    None => implied_name(expr).unwrap_or_else(|| format!("column{}", index + 1)),
                };
                Ok(vec![(name, bound, Rc::new(flow))])
            }
            SelectItem::Star(position, options) => self.star(*position, options),
            SelectItem::QualifiedStar(parts, options) => self.qualified_star(parts, options),
        }
    }
}

/// The name of an expression without an alias.
fn implied_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Call(call) => Some(call.function.name.to_owned()),
        Expr::Cast { expr, .. } => match expr.as_ref() {
            Expr::Column(parts) => parts.last().map(|part| part.value.clone()),
            other => implied_name(other),
        },
        Expr::Case { .. } => Some("case".to_owned()),
        Expr::Exists { .. } => Some("exists".to_owned()),
        Expr::Extract { .. } => Some("extract".to_owned()),
        Expr::Column(_)
        | Expr::Literal(_)
        | Expr::Binary { .. }
        | Expr::Unary { .. }
        | Expr::Is { .. }
        | Expr::Distinct { .. }
        | Expr::InList { .. }
        | Expr::InQuery { .. }
        | Expr::Quantified { .. }
        | Expr::Between { .. }
        | Expr::Like { .. }
        | Expr::Subquery(_) => None,
    }
}
