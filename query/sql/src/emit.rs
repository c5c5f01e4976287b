//! From the tree to text: the only place where SQL is printed.
//!
//! The governed form prints names as they are in the tree, always in double quotes. The stored form, that of
//! a view, prints the dataset behind each base table. The fingerprint does too, and `?` for each literal, as
//! literals can be personal data.

use crate::{
    ir::{
        Alias, Body, Distinct, GroupBy, GroupItem, GroupSets, Join, JoinCondition, JoinKind, Key,
        OrderItem, Query, Relation, Select, SelectItem, SetOperator,
    },
    names::Occurrence,
};

mod expr;

/// The text of a governed query.
pub(crate) fn governed(query: &Query) -> String {
    let mut printer = Printer {
        text: String::new(),
        datasets: None,
        hides_literals: false,
    };
    printer.query(query);
    printer.text
}

/// The text of a governed query with dataset names: who reads it again resolves them alike.
pub(crate) fn stored(query: &Query, datasets: &[Occurrence]) -> String {
    let mut printer = Printer {
        text: String::new(),
        datasets: Some(datasets),
        hides_literals: false,
    };
    printer.query(query);
    printer.text
}

/// The text of a governed query without literals and with dataset names.
pub(crate) fn fingerprint(query: &Query, datasets: &[Occurrence]) -> String {
    let mut printer = Printer {
        text: String::new(),
        datasets: Some(datasets),
        hides_literals: true,
    };
    printer.query(query);
    printer.text
}

/// Text while it grows.
struct Printer<'a> {
    text: String,
    /// Present where datasets are named.
    datasets: Option<&'a [Occurrence]>,
    hides_literals: bool,
}

impl Printer<'_> {
    fn word(&mut self, word: &str) {
        self.text.push_str(word);
    }

    /// A name in double quotes.
    fn name(&mut self, name: &str) {
        self.text.push('"');
        for letter in name.chars() {
            if letter == '"' {
                self.text.push('"');
            }
            self.text.push(letter);
        }
        self.text.push('"');
    }

    fn list<T>(&mut self, items: &[T], separator: &str, mut print: impl FnMut(&mut Self, &T)) {
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.word(separator);
            }
            print(self, item);
        }
    }

    fn parenthesised(&mut self, print: impl FnOnce(&mut Self)) {
        self.text.push('(');
        print(self);
        self.text.push(')');
    }

    fn query(&mut self, query: &Query) {
        let Query {
            is_recursive,
            ctes,
            body,
            order_by,
            limit,
            offset,
            position: _,
        } = query;
        if !ctes.is_empty() {
            self.word(if *is_recursive {
                "WITH RECURSIVE "
            } else {
                "WITH "
            });
            self.list(ctes, ", ", |this, cte| {
                this.name(&cte.name.value);
                this.word(" AS ");
                this.parenthesised(|this| this.query(&cte.query));
            });
            self.word(" ");
        }
        self.body(body);
        if !order_by.is_empty() {
            self.word(" ORDER BY ");
            self.order(order_by);
        }
        // The engine takes a number; the fingerprint keeps it, as it is no data.
        if let Some(limit) = limit {
            self.word(&format!(" LIMIT {limit}"));
        }
        if let Some(offset) = offset {
            self.word(&format!(" OFFSET {offset}"));
        }
    }

    fn body(&mut self, body: &Body) {
        match body {
            Body::Select(select) => self.select(select),
            Body::Values(rows) => {
                self.word("VALUES ");
                self.list(rows, ", ", |this, row| {
                    this.parenthesised(|this| this.list(row, ", ", Self::expr));
                });
            }
            Body::Query(query) => self.parenthesised(|this| this.query(query)),
            Body::SetOperation {
                operator,
                is_all,
                left,
                right,
            } => {
                let level = set_level(*operator);
                self.operand(left, level);
                self.word(match operator {
                    SetOperator::Union => " UNION ",
                    SetOperator::Intersect => " INTERSECT ",
                    SetOperator::Except => " EXCEPT ",
                });
                if *is_all {
                    self.word("ALL ");
                }
                self.operand(right, level + 1);
            }
        }
    }

    /// A side of a set operation, in parentheses if it binds less than `level`.
    fn operand(&mut self, body: &Body, level: u8) {
        match body {
            Body::SetOperation { operator, .. } if set_level(*operator) < level => {
                self.parenthesised(|this| this.body(body));
            }
            Body::SetOperation { .. } | Body::Select(_) | Body::Values(_) | Body::Query(_) => {
                self.body(body);
            }
        }
    }

    fn select(&mut self, select: &Select) {
        let Select {
            distinct,
            items,
            from,
            filter,
            group_by,
            having,
            qualify,
        } = select;
        self.word("SELECT ");
        match distinct {
            Distinct::No => {}
            Distinct::Yes => self.word("DISTINCT "),
            Distinct::On(keys) => {
                self.word("DISTINCT ON ");
                self.parenthesised(|this| this.list(keys, ", ", Self::key));
                self.word(" ");
            }
        }
        self.list(items, ", ", Self::item);
        if !from.is_empty() {
            self.word(" FROM ");
            self.list(from, ", ", Self::relation);
        }
        if let Some(filter) = filter {
            self.word(" WHERE ");
            self.expr(filter);
        }
        self.group_by(group_by);
        if let Some(having) = having {
            self.word(" HAVING ");
            self.expr(having);
        }
        if let Some(qualify) = qualify {
            self.word(" QUALIFY ");
            self.expr(qualify);
        }
    }

    fn group_by(&mut self, group_by: &GroupBy) {
        let items = match group_by {
            GroupBy::Items(items) if items.is_empty() => return,
            GroupBy::Items(items) => items,
            // Not in a bound tree, and then the recheck fails.
            GroupBy::All(_) => return self.word(" GROUP BY ALL"),
        };
        self.word(" GROUP BY ");
        self.list(items, ", ", |this, item| match item {
            GroupItem::Key(key) => this.key(key),
            GroupItem::Sets(kind, sets) => {
                this.word(match kind {
                    GroupSets::Rollup => "ROLLUP ",
                    GroupSets::Cube => "CUBE ",
                    GroupSets::Sets => "GROUPING SETS ",
                });
                this.parenthesised(|this| {
                    this.list(sets, ", ", |this, set| {
                        this.parenthesised(|this| this.list(set, ", ", Self::expr));
                    });
                });
            }
        });
    }

    fn item(&mut self, item: &SelectItem) {
        match item {
            SelectItem::Expr { expr, alias } => {
                self.expr(expr);
                if let Some(alias) = alias {
                    self.word(" AS ");
                    self.name(&alias.value);
                }
            }
            // In a bound tree the list of an EXISTS alone, without options; else the recheck fails.
            SelectItem::Star(..) | SelectItem::QualifiedStar(..) => self.word("*"),
        }
    }

    fn key(&mut self, key: &Key) {
        match key {
            Key::Ordinal(ordinal, _) => self.word(&ordinal.to_string()),
            Key::Expr(expr) => self.expr(expr),
        }
    }

    fn order(&mut self, items: &[OrderItem]) {
        self.list(items, ", ", |this, item| {
            let OrderItem {
                key,
                is_descending,
                nulls_first,
            } = item;
            this.key(key);
            if *is_descending {
                this.word(" DESC");
            }
            match nulls_first {
                Some(true) => this.word(" NULLS FIRST"),
                Some(false) => this.word(" NULLS LAST"),
                None => {}
            }
        });
    }

    fn relation(&mut self, relation: &Relation) {
        match relation {
            Relation::Table {
                name,
                occurrence,
                alias,
            } => {
                match self.datasets.and_then(|datasets| datasets.get(*occurrence)) {
                    Some(found) => {
                        let id = &found.dataset;
                        let parts = [&id.depot, &id.collection, &id.name];
                        self.list(&parts, ".", |this, part| this.name(part));
                    }
                    None => self.list(name, ".", |this, part| this.name(&part.value)),
                }
                self.alias(alias.as_ref());
            }
            Relation::Cte { name, alias } => {
                self.name(&name.value);
                self.alias(alias.as_ref());
            }
            Relation::Derived {
                is_lateral,
                query,
                alias,
            } => {
                if *is_lateral {
                    self.word("LATERAL ");
                }
                self.parenthesised(|this| this.query(query));
                self.alias(alias.as_ref());
            }
            Relation::Join(join) => self.join(join),
        }
    }

    fn alias(&mut self, alias: Option<&Alias>) {
        if let Some(alias) = alias {
            self.word(" AS ");
            self.name(&alias.name.value);
        }
    }

    fn join(&mut self, join: &Join) {
        let Join {
            left,
            right,
            kind,
            condition,
        } = join;
        self.relation(left);
        self.word(match kind {
            JoinKind::Inner => " INNER JOIN ",
            JoinKind::Left => " LEFT JOIN ",
            JoinKind::Right => " RIGHT JOIN ",
            JoinKind::Full => " FULL JOIN ",
            JoinKind::Cross => " CROSS JOIN ",
            JoinKind::Semi => " LEFT SEMI JOIN ",
            JoinKind::Anti => " LEFT ANTI JOIN ",
        });
        if matches!(right, Relation::Join(_)) {
            self.parenthesised(|this| this.relation(right));
        } else {
            self.relation(right);
        }
        match condition {
            JoinCondition::On(on) => {
                self.word(" ON ");
                self.expr(on);
            }
            // Not in a bound tree, and then the recheck fails.
            JoinCondition::Using(columns) => {
                self.word(" USING ");
                self.parenthesised(|this| {
                    this.list(columns, ", ", |this, column| this.name(&column.value));
                });
            }
            JoinCondition::Natural(_) => self.word(" NATURAL"),
            JoinCondition::None => {}
        }
    }
}

/// How tight a set operator binds.
fn set_level(operator: SetOperator) -> u8 {
    match operator {
        SetOperator::Union | SetOperator::Except => 10,
        SetOperator::Intersect => 20,
    }
}
