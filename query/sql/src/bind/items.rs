//! The select list: stars are expanded, each output gets a name of its own.

use std::{collections::HashSet, rc::Rc};

use dataos_model::lineage::Transformation;

use super::{Binder, scope::Output, star::Column};
use crate::{
    error::SqlError,
    ir::{Body, Expr, Ident, SelectItem},
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
        Expr::Column(parts) => parts.last().map(|part| part.value.clone()),
        Expr::Call(call) => Some(call.function.name.to_owned()),
        Expr::Cast { expr, .. } => implied_name(expr),
        Expr::Case { .. } => Some("case".to_owned()),
        Expr::Exists { .. } => Some("exists".to_owned()),
        Expr::Extract { .. } => Some("extract".to_owned()),
        Expr::Subquery(query) => first_name(&query.body),
        Expr::Literal(_)
        | Expr::Binary { .. }
        | Expr::Unary { .. }
        | Expr::Is { .. }
        | Expr::Distinct { .. }
        | Expr::InList { .. }
        | Expr::InQuery { .. }
        | Expr::Quantified { .. }
        | Expr::Between { .. }
        | Expr::Like { .. } => None,
    }
}

/// The name of the first column of a query; a query that is a value has no other.
fn first_name(body: &Body) -> Option<String> {
    match body {
        Body::Select(select) => match select.items.first()? {
            SelectItem::Expr { expr, alias } => alias
                .as_ref()
                .map_or_else(|| implied_name(expr), |alias| Some(alias.value.clone())),
            SelectItem::Star(..) | SelectItem::QualifiedStar(..) => None,
        },
        Body::Values(_) => None,
        Body::Query(query) => first_name(&query.body),
        Body::SetOperation { left, .. } => first_name(left),
    }
}
