//! Queries: WITH, SELECT, VALUES, set operations, ORDER BY, LIMIT.

use sqlparser::{
    ast::{self, Spanned},
    tokenizer::Span,
};

use super::{
    Lowering,
    repeated::{Item, order_items},
};
use crate::{
    dialect::Dialect,
    error::{SqlError, SqlErrorKind},
    ir::{Body, Cte, Key, Literal, OrderItem, Query, Select, SelectItem, SetOperator},
    limits::{self, SET_OPERATIONS_MAX},
};

impl Lowering {
    pub(super) fn query(&mut self, query: &ast::Query) -> Result<Query, SqlError> {
        let ast::Query {
            with,
            body,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
        } = query;
        self.query_count += 1;
        let outer_ctes = self.ctes.len();
        let (is_recursive, ctes) = match with {
            Some(with) => (with.recursive, self.with(with)?),
            None => (false, Vec::new()),
        };
        let position = self.at(start(body));
        let (body, queries) = if let ast::SetExpr::Select(select) = body.as_ref() {
            let (select, queries) = self.select(select, order_items(order_by.as_ref()))?;
            (Body::Select(Box::new(select)), queries)
        } else {
            (self.body(body)?, Vec::new())
        };
        let order_by = match order_by {
            Some(order_by) => self.order_by(order_by, &queries)?,
            None => Vec::new(),
        };
        let (mut limit, offset) = match limit_clause {
            Some(clause) => self.limit(clause)?,
            None => (None, None),
        };
        if let Some(fetch) = fetch {
            self.absent(limit.is_some(), "LIMIT together with FETCH")?;
            limit = Some(self.fetch(fetch)?);
        }
        self.absent(!locks.is_empty(), "FOR UPDATE or FOR SHARE")?;
        self.absent(for_clause.is_some(), "FOR XML, JSON or BROWSE")?;
        self.absent(settings.is_some(), "SETTINGS")?;
        self.absent(format_clause.is_some(), "FORMAT")?;
        self.absent(!pipe_operators.is_empty(), "the pipe operator |>")?;
        self.ctes.truncate(outer_ctes);
        Ok(Query {
            is_recursive,
            ctes,
            body,
            order_by,
            limit,
            offset,
            position,
        })
    }

    fn with(&mut self, with: &ast::With) -> Result<Vec<Cte>, SqlError> {
        let ast::With {
            with_token: _,
            recursive,
            cte_tables,
        } = with;
        let mut ctes: Vec<Cte> = Vec::with_capacity(cte_tables.len());
        for cte in cte_tables {
            let ast::Cte {
                alias,
                query,
                from,
                materialized,
                closing_paren_token: _,
            } = cte;
            let alias = self.alias(alias)?;
            self.absent(from.is_some(), "FROM behind a WITH query")?;
            self.absent(materialized.is_some(), "MATERIALIZED")?;
            if ctes.iter().any(|cte| alias.name.matches(&cte.name.value)) {
                return Err(SqlError::new(
                    SqlErrorKind::Ambiguous,
                    format!("WITH defines `{}` twice", alias.name.value),
                    alias.name.position,
                ));
            }
            // Without RECURSIVE a query of WITH sees those before it, not itself.
            if *recursive {
                self.ctes.push(alias.name.clone());
            }
            let query = self.query(query)?;
            if !*recursive {
                self.ctes.push(alias.name.clone());
            }
            ctes.push(Cte {
                name: alias.name,
                columns: alias.columns,
                query,
            });
        }
        Ok(ctes)
    }

    fn body(&mut self, body: &ast::SetExpr) -> Result<Body, SqlError> {
        match body {
            ast::SetExpr::Select(select) => {
                let (select, _) = self.select(select, &[])?;
                Ok(Body::Select(Box::new(select)))
            }
            ast::SetExpr::Query(query) => {
                let query = self.query(query)?;
                let is_bare = query.ctes.is_empty()
                    && query.order_by.is_empty()
                    && query.limit.is_none()
                    && query.offset.is_none();
                Ok(if is_bare {
                    query.body
                } else {
                    Body::Query(Box::new(query))
                })
            }
            ast::SetExpr::SetOperation {
                left,
                op,
                set_quantifier,
                right,
            } => {
                self.one_more_set_operation()?;
                let operator = match op {
                    ast::SetOperator::Union => SetOperator::Union,
                    ast::SetOperator::Intersect => SetOperator::Intersect,
                    ast::SetOperator::Except => SetOperator::Except,
                    ast::SetOperator::Minus => return Err(self.refuse("MINUS", Span::empty())),
                };
                let is_all = match set_quantifier {
                    ast::SetQuantifier::All => true,
                    ast::SetQuantifier::Distinct | ast::SetQuantifier::None => false,
                    ast::SetQuantifier::ByName
                    | ast::SetQuantifier::AllByName
                    | ast::SetQuantifier::DistinctByName => {
                        return Err(self.refuse("UNION BY NAME", Span::empty()));
                    }
                };
                let left = Box::new(self.body(left)?);
                let right = Box::new(self.body(right)?);
                Ok(Body::SetOperation {
                    operator,
                    is_all,
                    left,
                    right,
                })
            }
            ast::SetExpr::Values(values) => self.values(values),
            ast::SetExpr::Insert(statement)
            | ast::SetExpr::Update(statement)
            | ast::SetExpr::Delete(statement)
            | ast::SetExpr::Merge(statement) => {
                Err(self.refuse("a write inside a query", statement.span()))
            }
            ast::SetExpr::Table(_) => Err(self
                .refuse("TABLE", Span::empty())
                .with_hint("write SELECT * FROM the table")),
        }
    }

    /// Counts a set operation.
    pub(super) fn one_more_set_operation(&mut self) -> Result<(), SqlError> {
        self.set_operations += 1;
        if self.set_operations > SET_OPERATIONS_MAX {
            let name = "set operations";
            return Err(limits::exceeded(name, SET_OPERATIONS_MAX, self.here));
        }
        Ok(())
    }

    /// A SELECT, and those of its items that have queries. `order` is ORDER BY of the query that it is.
    fn select(
        &mut self,
        select: &ast::Select,
        order: &[ast::OrderByExpr],
    ) -> Result<(Select, Vec<Item>), SqlError> {
        let ast::Select {
            select_token,
            optimizer_hints,
            distinct,
            select_modifiers,
            top,
            top_before_distinct: _,
            projection,
            exclude,
            into,
            from,
            lateral_views,
            prewhere,
            selection,
            connect_by,
            group_by,
            cluster_by,
            distribute_by,
            sort_by,
            having,
            named_window,
            qualify,
            window_before_qualify: _,
            value_table_mode,
            flavor,
        } = select;
        let start = self.at(select_token.0.span);
        self.absent(!optimizer_hints.is_empty(), "an optimizer hint")?;
        self.absent(select_modifiers.is_some(), "a modifier of SELECT")?;
        self.absent(top.is_some(), "TOP")?;
        self.absent(exclude.is_some(), "EXCLUDE")?;
        self.absent(value_table_mode.is_some(), "SELECT AS STRUCT or AS VALUE")?;
        match flavor {
            ast::SelectFlavor::Standard => {}
            ast::SelectFlavor::FromFirst | ast::SelectFlavor::FromFirstNoSelect => {
                return Err(self.refuse("FROM before SELECT", Span::empty()));
            }
        }
        self.absent_at(into.as_ref().map(|into| into.name.span()), "SELECT INTO")?;
        let lateral_view = lateral_views.first().map(|view| view.lateral_view.span());
        self.absent_at(lateral_view, "LATERAL VIEW")?;
        self.absent_at(prewhere.as_ref().map(Spanned::span), "PREWHERE")?;
        self.absent(!connect_by.is_empty(), "CONNECT BY")?;
        let is_hive = !cluster_by.is_empty() || !distribute_by.is_empty() || !sort_by.is_empty();
        self.absent(is_hive, "CLUSTER BY, DISTRIBUTE BY or SORT BY")?;
        // FROM first, as the caller's tables are numbered in this order everywhere.
        let from = self.list(from, Self::table_with_joins)?;
        let windows = self.named_windows(named_window)?;
        let outer_windows = std::mem::replace(&mut self.windows, windows);
        let (items, queries) = self.items(projection)?;
        if items.is_empty() {
            return Err(SqlError::unsupported("a SELECT without columns", start));
        }
        let (distinct, first) = self.distinct(distinct.as_ref(), order, projection)?;
        let filter = self.optional(selection.as_ref(), Self::condition)?;
        let group_by = self.group_by(group_by, &queries)?;
        let having = self.optional(having.as_ref(), Self::expr)?;
        let qualify = self.qualify(qualify.as_ref(), first)?;
        self.leave_windows(outer_windows)?;
        let select = Select {
            distinct,
            items,
            from,
            filter,
            group_by,
            having,
            qualify,
        };
        Ok((select, queries))
    }

    pub(super) fn select_item(&mut self, item: &ast::SelectItem) -> Result<SelectItem, SqlError> {
        match item {
            ast::SelectItem::UnnamedExpr(expr) => Ok(SelectItem::Expr {
                expr: self.expr(expr)?,
                alias: None,
            }),
            ast::SelectItem::ExprWithAlias { expr, alias } => {
                let expr = self.expr(expr)?;
                Ok(SelectItem::Expr {
                    expr,
                    alias: Some(self.ident(alias)?),
                })
            }
            ast::SelectItem::ExprWithAliases { expr, aliases: _ } => {
                Err(self.refuse("a list of aliases", expr.span()))
            }
            ast::SelectItem::QualifiedWildcard(kind, options) => {
                let (_, options) = self.star_options(options)?;
                match kind {
                    ast::SelectItemQualifiedWildcardKind::ObjectName(name) => {
                        Ok(SelectItem::QualifiedStar(self.name(name)?, options))
                    }
                    ast::SelectItemQualifiedWildcardKind::Expr(expr) => {
                        Err(self.refuse("a star behind an expression", expr.span()))
                    }
                }
            }
            ast::SelectItem::Wildcard(options) => {
                let (position, options) = self.star_options(options)?;
                Ok(SelectItem::Star(position, options))
            }
        }
    }

    /// A key of GROUP BY or ORDER BY: a bare whole number is a position in the select list.
    pub(super) fn key(&mut self, expr: &ast::Expr) -> Result<Key, SqlError> {
        let lowered = self.expr(expr)?;
        if let crate::ir::Expr::Literal(Literal::Number(digits)) = &lowered {
            let position = self.at(expr.span());
            return match digits.parse() {
                Ok(ordinal) if ordinal > 0 => Ok(Key::Ordinal(ordinal, position)),
                _ => Err(SqlError::new(
                    SqlErrorKind::Invalid,
                    "a key that is a number must be a position in the select list",
                    position,
                )),
            };
        }
        Ok(Key::Expr(lowered))
    }

    /// `queries` are the items of the select list with queries, if there is one.
    fn order_by(
        &mut self,
        order_by: &ast::OrderBy,
        queries: &[Item],
    ) -> Result<Vec<OrderItem>, SqlError> {
        let ast::OrderBy { kind, interpolate } = order_by;
        self.absent(interpolate.is_some(), "INTERPOLATE")?;
        match kind {
            ast::OrderByKind::All(_) => Err(self.refuse("ORDER BY ALL", Span::empty())),
            ast::OrderByKind::Expressions(items) => self.list(items, |this, item| {
                this.order_item_of(item, |this, expr| this.key_beside(expr, queries))
            }),
        }
    }

    pub(super) fn order_item(&mut self, item: &ast::OrderByExpr) -> Result<OrderItem, SqlError> {
        self.order_item_of(item, Self::key)
    }

    pub(super) fn order_item_of(
        &mut self,
        item: &ast::OrderByExpr,
        key: impl FnOnce(&mut Self, &ast::Expr) -> Result<Key, SqlError>,
    ) -> Result<OrderItem, SqlError> {
        let ast::OrderByExpr {
            expr,
            options,
            with_fill,
        } = item;
        let ast::OrderByOptions { asc, nulls_first } = options;
        self.absent(with_fill.is_some(), "WITH FILL")?;
        let key = key(self, expr)?;
        let is_descending = *asc == Some(false);
        Ok(OrderItem {
            key,
            is_descending,
            nulls_first: nulls_first.or_else(|| self.nulls_first(is_descending)),
        })
    }

    /// Where NULL is sorted to, if it is not where the engine sorts it to: as the largest value.
    fn nulls_first(&self, is_descending: bool) -> Option<bool> {
        match self.dialect {
            Dialect::Postgres | Dialect::DataFusion => None,
            Dialect::Ansi => is_descending.then_some(false),
            Dialect::MySql => Some(!is_descending),
        }
    }

    fn limit(&mut self, clause: &ast::LimitClause) -> Result<(Option<u64>, Option<u64>), SqlError> {
        match clause {
            ast::LimitClause::LimitOffset {
                limit,
                offset,
                limit_by,
            } => {
                self.absent(!limit_by.is_empty(), "LIMIT BY")?;
                let limit = self.optional(limit.as_ref(), Self::count)?;
                let offset = self.optional(offset.as_ref(), |this, offset| {
                    let ast::Offset { value, rows: _ } = offset;
                    this.count(value)
                })?;
                Ok((limit, offset))
            }
            ast::LimitClause::OffsetCommaLimit { offset, limit } => {
                let offset = self.count(offset)?;
                Ok((Some(self.count(limit)?), Some(offset)))
            }
        }
    }

    fn fetch(&mut self, fetch: &ast::Fetch) -> Result<u64, SqlError> {
        let ast::Fetch {
            with_ties,
            percent,
            quantity,
        } = fetch;
        self.absent(*with_ties, "FETCH WITH TIES")?;
        self.absent(*percent, "FETCH PERCENT")?;
        quantity
            .as_ref()
            .map_or(Ok(1), |quantity| self.count(quantity))
    }

    /// A row count: a literal, as anything else could carry data into the plan.
    fn count(&mut self, expr: &ast::Expr) -> Result<u64, SqlError> {
        let lowered = self.expr(expr)?;
        if let crate::ir::Expr::Literal(Literal::Number(digits)) = &lowered
            && let Ok(count) = digits.parse()
        {
            return Ok(count);
        }
        Err(self.refuse("a row count that is not a whole number", expr.span()))
    }
}

/// The place of the first SELECT or row of a body.
fn start(body: &ast::SetExpr) -> Span {
    match body {
        ast::SetExpr::Select(select) => select.select_token.0.span,
        ast::SetExpr::Query(query) => start(&query.body),
        ast::SetExpr::SetOperation {
            left,
            op: _,
            set_quantifier: _,
            right: _,
        } => start(left),
        ast::SetExpr::Values(values) => values
            .rows
            .first()
            .map_or(Span::empty(), |row| row.opening_token.0.span),
        ast::SetExpr::Insert(_)
        | ast::SetExpr::Update(_)
        | ast::SetExpr::Delete(_)
        | ast::SetExpr::Merge(_)
        | ast::SetExpr::Table(_) => Span::empty(),
    }
}
