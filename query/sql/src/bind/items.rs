//! The select list: stars are expanded, each output gets a name of its own where names are read.
//!
//! A name that the caller did not give costs the engine a step, and its plan is not that of the plain statement
//! any more. So the text has none where outputs are read by their places.

use std::{collections::HashSet, rc::Rc};

use dataos_model::lineage::Transformation;

use super::{
    Binder, BoundQuery,
    expr::{Parts, call_parts, has_query, parts},
    from::renamed_to,
    scope::{Output, Read},
    star::Column,
};
use crate::{
    error::SqlError,
    ir::{Body, Expr, Ident, SelectItem},
    limits::{self, OUTPUT_COLUMNS_MAX},
    lineage::Flow,
};

/// Engine names of the outputs of one query, while they are given out.
#[derive(Default)]
pub(super) struct OutputNames(HashSet<String>);

impl OutputNames {
    /// `name`, or with a number behind it if it is taken.
    pub(super) fn unique(&mut self, name: &str) -> String {
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
    /// The select list, each item with an alias of its own, but for those that need none.
    pub(super) fn items(
        &mut self,
        items: &[SelectItem],
        read: Read,
    ) -> Result<(Vec<SelectItem>, Vec<Output>), SqlError> {
        let mut names = OutputNames::default();
        let mut bound_items = Vec::with_capacity(items.len());
        let mut outputs = Vec::with_capacity(items.len());
        let mut implied = Vec::new();
        for item in items {
            if let SelectItem::Expr { expr, alias: None } = item
                && !matches!(expr, Expr::Column(_) | Expr::Literal(_))
                && !has_query(expr)
            {
                implied.push(bound_items.len());
            }
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
        if read != Read::Names {
            unname(&mut bound_items, &implied);
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

impl BoundQuery {
    /// Gives its first columns these names, in the text too where it has a place for them.
    pub(super) fn called(mut self, names: &[Ident]) -> Result<Self, SqlError> {
        self.outputs = renamed_to(self.outputs, names)?;
        if !names.is_empty()
            && let Body::Select(select) = &mut self.query.body
        {
            let mut given = OutputNames::default();
            for (item, output) in select.items.iter_mut().zip(&mut self.outputs) {
                output.engine_name = given.unique(&output.name);
                if let SelectItem::Expr { alias, expr: _ } = item {
                    *alias = Some(Ident::quoted(&output.engine_name));
                }
            }
        }
        Ok(self)
    }
}

/// Takes their names away from items to which the caller gave none, but for those with queries: a query alone the engine
/// would call as its column is called, and so may others be; one in a larger item it leaves out of the name, by which it
/// then does not find the item for ORDER BY. It calls the rest by what they compute, and refuses two of one name: of two
/// that may compute the same the second keeps its name, and all do beside a name that could be such a text.
fn unname(items: &mut [SelectItem], implied: &[usize]) {
    let is_plain = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let mut names = items.iter().filter_map(|item| match item {
        SelectItem::Expr { alias, .. } => alias.as_ref(),
        SelectItem::Star(..) | SelectItem::QualifiedStar(..) => None,
    });
    if !names.all(|name| is_plain(&name.value)) {
        return;
    }
    let mut taken = HashSet::new();
    for at in implied {
        if let Some(SelectItem::Expr { expr, alias }) = items.get_mut(*at)
            && taken.insert(ingredients(expr))
        {
            *alias = None;
        }
    }
}

/// The functions and columns of an expression, sorted. What differs in them differs in its text.
fn ingredients(expr: &mut Expr) -> Vec<String> {
    let mut found = Vec::new();
    gather(expr, &mut found);
    found.sort_unstable();
    found
}

fn gather(expr: &mut Expr, found: &mut Vec<String>) {
    match expr {
        Expr::Column(path) => {
            let names = path.iter().map(|part| part.value.clone());
            found.extend(names);
        }
        Expr::Call(call) => {
            found.push(call.function.name.to_owned());
            for part in call_parts(call) {
                gather(part, found);
            }
        }
        _ => {
            if let Expr::Extract { .. } = expr {
                found.push("date_part".to_owned());
            }
            let Parts {
                values, decisive, ..
            } = parts(expr);
            for part in values.into_iter().chain(decisive) {
                gather(part, found);
            }
        }
    }
}

/// The name of an expression without an alias.
fn implied_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Column(parts) | Expr::Row(parts) => parts.last().map(|part| part.value.clone()),
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
