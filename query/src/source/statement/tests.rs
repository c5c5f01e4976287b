use std::{cell::Cell as Count, collections::BTreeMap, sync::Arc};

use datafusion::{
    arrow::datatypes::{Field, Schema},
    logical_expr::{col, lit},
};
use dataos_model::{
    clock::Timestamp,
    dataset::{ColumnType, DatasetId, DatasetSchema},
    depot::{Dataset, DatasetSource},
    predicate::{Comparison, Expression, Predicate},
    value::Value,
};

use super::*;
use crate::{
    column::{arrow_schema, arrow_type},
    source::{
        condition::Operator,
        select::{Exists, Items, Joined, Top},
        term::{Operation, Term},
        total::Total,
    },
};

fn column(name: &str) -> Column {
    Column {
        name: name.to_owned(),
        column_type: ColumnType::Int(64),
        is_nullable: true,
    }
}

fn of<T>(table: usize, what: T) -> Of<T> {
    Of { table, what }
}

fn of_column(function: Function, table: usize, name: &str) -> Total {
    Total::Of(function, Term::Column(of(table, column(name))))
}

/// A table of integers; the policy and the statement each compare one.
fn read(name: &str) -> Read {
    let schema = DatasetSchema {
        columns: ["id", "k", "n"].map(column).to_vec(),
    };
    let equal = Expression::Compare(
        Comparison::Equal,
        Box::new(Expression::Column("n".to_owned())),
        Box::new(Expression::Literal(Value::Long(7))),
    );
    Read {
        columns: schema.columns.clone(),
        schema: arrow_schema(&schema),
        dataset: Arc::new(Dataset {
            id: DatasetId::new("shop", "main", name),
            schema,
            source: DatasetSource::AuditLog,
            tags: Default::default(),
            column_tags: BTreeMap::new(),
            owner: None,
            row_count: None,
            size_bytes: None,
            scanned_at: Timestamp(0),
        }),
        space: "main".to_owned(),
        table: name.to_owned(),
        rows: Predicate::Satisfied(equal),
        filters: vec![col("k").gt(lit(1_i64)), col("id").is_not_null()],
        takes_keys: false,
        keys: Vec::new(),
    }
}

fn inner(pairs: Vec<[Of<Column>; 2]>) -> Joined<Column> {
    Joined {
        pairs,
        exists: Vec::new(),
    }
}

fn groups() -> Select {
    let totals = vec![
        Total::Rows,
        of_column(Function::Present, 0, "n"),
        of_column(Function::Distinct, 1, "n"),
        of_column(Function::Sum, 1, "n"),
        of_column(Function::Least, 1, "id"),
        of_column(Function::Greatest, 0, "id"),
    ];
    let pairs = vec![[of(0, column("id")), of(1, column("k"))]];
    let keys = vec![of(1, column("id"))];
    let fields = (0..=totals.len()).map(|at| {
        let data_type = arrow_type(&ColumnType::Int(64));
        Field::new(format!("c{at}"), data_type, true)
    });
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let items = Items {
        columns: keys,
        totals: Some(totals),
    };
    Select::new(inner(pairs), items, None, Arc::new(schema)).unwrap()
}

/// A dialect that knows everything but what it is asked for at one time.
struct Lacking<'a> {
    table: usize,
    asked: &'a Count<usize>,
    lacks: Option<usize>,
}

impl Lacking<'_> {
    fn listed(&self, column: &Column, form: &str) -> Option<String> {
        let asked = self.asked.replace(self.asked.get() + 1);
        let name = self.name(column);
        (self.lacks != Some(asked)).then(|| form.replace("{}", &name))
    }
}

impl Dialect for Lacking<'_> {
    fn present(&self, column: &Column) -> Option<String> {
        self.listed(column, "{} IS NOT NULL")
    }

    fn compare(
        &self,
        column: &Column,
        operator: Operator,
        value: &Value,
        parameters: &mut Vec<Parameter>,
    ) -> Option<String> {
        let Value::Long(value) = value else {
            return None;
        };
        parameters.push(Parameter::Long(*value));
        let (sign, number) = (operator.sql(), parameters.len());
        self.listed(column, &format!("{{}} {sign} ${number}"))
    }

    fn guard(&self, _column: &Column) -> Option<String> {
        None
    }
}

impl Exact for Lacking<'_> {
    fn place(&self, read: &Read) -> String {
        format!("{} AS r{}", read.table, self.table)
    }

    fn name(&self, column: &Column) -> String {
        format!("r{}.{}", self.table, column.name)
    }

    fn key(&self, column: &Column) -> Option<String> {
        self.listed(column, "{}")
    }

    fn unseen(&self, column: &Column) -> Option<String> {
        self.listed(column, "{}")
    }

    fn total(&self, function: Function, column: &Column) -> Option<String> {
        self.listed(column, &function.of("{}"))
    }

    fn number(&self, column: &Column) -> Option<String> {
        self.listed(column, "{}")
    }

    fn calculates(&self, _digits: Digits) -> bool {
        let asked = self.asked.replace(self.asked.get() + 1);
        self.lacks != Some(asked)
    }

    fn unfit(&self, column: &Column) -> Option<String> {
        let is_tested = column.name == "id";
        is_tested.then(|| format!("r{}.id > 9", self.table))
    }

    fn beyond(&self, sum: &str, _least: &str, most: &str) -> Option<String> {
        let asked = self.asked.replace(self.asked.get() + 1);
        (self.lacks != Some(asked)).then(|| format!("{sum} > {most}"))
    }
}

/// Rows of the join; the first of them in an order.
fn first_rows() -> Select {
    let pairs = vec![[of(0, column("id")), of(1, column("k"))]];
    let columns = vec![of(1, column("id")), of(0, column("n")), of(0, column("k"))];
    let fields = (0..columns.len()).map(|at| {
        let data_type = arrow_type(&ColumnType::Int(64));
        Field::new(format!("c{at}"), data_type, true)
    });
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let items = Items {
        columns,
        totals: None,
    };
    let keys = [(1, true), (0, false)].map(|(output, is_descending)| SortKey {
        output,
        is_descending,
        has_nulls_first: is_descending,
    });
    let (keys, rows) = (keys.to_vec(), 5);
    Select::new(
        inner(pairs),
        items,
        Some(Top { keys, rows }),
        Arc::new(schema),
    )
    .unwrap()
}

/// The statement of a dialect that lacks what it is asked for at one time, and how often it was asked.
fn statement(select: &Select, lacks: Option<usize>) -> (Option<Statement>, usize) {
    let asked = Count::new(0);
    let dialects = [0, 1].map(|table| Lacking {
        table,
        asked: &asked,
        lacks,
    });
    let statement = Statement::of(&[read("t"), read("u")], select, &dialects);
    (statement, asked.get())
}

/// The text of the statement, of which nothing is sent where a list lacks a part.
fn check(select: &Select, expected: &str, parts: usize) {
    let (whole, asked) = statement(select, None);
    let whole = whole.unwrap();
    assert_eq!(whole.sql, expected);
    assert_eq!(whole.parameters, [7, 1, 7, 1].map(Parameter::Long));
    assert_eq!(asked, parts);
    for lacks in 0..asked {
        let (part, _) = statement(select, Some(lacks));
        assert!(part.is_none(), "without what is asked {lacks}.: {part:?}");
    }
}

#[test]
fn whatever_a_list_lacks_of_a_statement_nothing_of_it_is_sent() {
    let from = "FROM t AS r0, u AS r1 WHERE r0.id = r1.k \
         AND r0.n = $1 AND r0.k > $2 AND r0.id IS NOT NULL \
         AND r1.n = $3 AND r1.k > $4 AND r1.id IS NOT NULL";
    let grouped = format!(
        "SELECT r1.id AS c0, count(*) AS c1, count(r0.n) AS c2, count(DISTINCT r1.n) AS c3, \
         sum(r1.n) AS c4, min(r1.id) AS c5, max(r0.id) AS c6, max(max(r0.id > 9 OR r1.id > 9)) OVER () AS c7 \
         {from} GROUP BY 1 ORDER BY 1"
    );
    check(&groups(), &grouped, 14);
    let first = format!(
        "SELECT r1.id AS c0, r0.n AS c1, r0.k AS c2, coalesce(r0.id > 9 OR r1.id > 9, 1 = 0) AS c3 \
         {from} ORDER BY 4 DESC, r0.n DESC NULLS FIRST, r1.id ASC NULLS LAST, r0.k LIMIT 5"
    );
    check(&first_rows(), &first, 11);
}

#[test]
fn rows_that_are_only_met_give_nothing_and_are_tested_by_what_meets_them() {
    let met = |is_negated| {
        let columns = vec![of(0, column("n"))];
        let exists = Exists {
            tables: 1..2,
            pairs: vec![[of(0, column("id")), of(1, column("k"))]],
            is_negated,
        };
        let joined = Joined {
            pairs: Vec::new(),
            exists: vec![exists],
        };
        let field = Field::new("c0", arrow_type(&ColumnType::Int(64)), true);
        let items = Items {
            columns,
            totals: None,
        };
        let key = SortKey {
            output: 0,
            is_descending: false,
            has_nulls_first: false,
        };
        let (keys, rows) = (vec![key], 5);
        let schema = Arc::new(Schema::new(vec![field]));
        Select::new(joined, items, Some(Top { keys, rows }), schema).unwrap()
    };
    let sql = |not: &str| {
        format!(
            "SELECT r0.n AS c0, coalesce(r0.id > 9, 1 = 0) AS c1 FROM t AS r0 \
             WHERE r0.n = $1 AND r0.k > $2 AND r0.id IS NOT NULL AND {not}EXISTS (SELECT 1 FROM u AS r1 \
             WHERE r0.id = r1.k AND r1.n = $3 AND r1.k > $4 AND r1.id IS NOT NULL) ORDER BY 2 DESC, r0.n ASC NULLS LAST LIMIT 5"
        )
    };
    check(&met(false), &sql(""), 9);
    check(&met(true), &sql("NOT "), 9);
}

#[test]
fn first_groups_are_found_by_totals_unless_the_engine_would_wrap_them() {
    let top = |output| Select {
        top: Some(Top {
            keys: vec![SortKey {
                output,
                is_descending: true,
                has_nulls_first: false,
            }],
            rows: 3,
        }),
        ..groups()
    };
    let sql = |select| statement(&select, None).0.unwrap().sql;
    let (counted, summed) = (sql(top(1)), sql(top(4)));
    let by_count = "GROUP BY 1 ORDER BY 2 DESC NULLS LAST, 1 LIMIT 3";
    assert!(counted.ends_with(by_count), "{counted}");
    let wraps = "max(max(r0.id > 9 OR r1.id > 9) OR sum(r1.n) > 9223372036854775807) OVER () AS c7";
    assert!(summed.contains(wraps), "{summed}");
    let (_, asked) = statement(&top(4), None);
    for lacks in 0..asked {
        let (part, _) = statement(&top(4), Some(lacks));
        assert!(part.is_none(), "without what is asked {lacks}.: {part:?}");
    }
}

/// Groups of the join by a column, with totals of decimals of the digits that those calculated of two columns have.
fn calculated(totals: Vec<Total>, column_types: &[ColumnType]) -> Option<Select> {
    let pairs = vec![[of(0, column("id")), of(1, column("k"))]];
    let items = Items {
        columns: vec![of(1, column("id"))],
        totals: Some(totals),
    };
    let of_key = [ColumnType::Int(64)];
    let fields = of_key.iter().chain(column_types).enumerate();
    let fields = fields.map(|(at, of)| Field::new(format!("c{at}"), arrow_type(of), true));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    Select::new(inner(pairs), items, None, Arc::new(schema))
}

fn decimal(precision: u8, scale: u8) -> ColumnType {
    ColumnType::Decimal { precision, scale }
}

/// `name * (1 - other)` of columns of these types.
fn less(left: ColumnType, right: ColumnType) -> Term<Column> {
    let typed = |name: &str, column_type| Column {
        column_type,
        ..column(name)
    };
    let difference = [
        Term::Literal(1, decimal(1, 0)),
        Term::Column(of(1, typed("n", right))),
    ];
    let difference = Term::Calculated(Operation::Difference, Box::new(difference));
    let terms = [Term::Column(of(0, typed("k", left))), difference];
    Term::Calculated(Operation::Product, Box::new(terms))
}

#[test]
fn totals_are_of_terms_and_means_come_as_sums_and_counts() {
    let from = "FROM t AS r0, u AS r1 WHERE r0.id = r1.k \
         AND r0.n = $1 AND r0.k > $2 AND r0.id IS NOT NULL \
         AND r1.n = $3 AND r1.k > $4 AND r1.id IS NOT NULL GROUP BY 1 ORDER BY 1";
    let term = || less(decimal(12, 2), decimal(12, 2));
    let totals = vec![
        Total::Of(Function::Sum, term()),
        Total::Of(Function::Mean, term()),
        of_column(Function::Mean, 0, "k"),
        Total::Of(Function::Greatest, term()),
    ];
    let types = [
        decimal(36, 4),
        decimal(30, 8),
        ColumnType::Float(64),
        decimal(26, 4),
    ];
    let select = calculated(totals, &types).unwrap();
    let sql = format!(
        "SELECT r1.id AS c0, sum((r0.k * (1 - r1.n))) AS c1, sum((r0.k * (1 - r1.n))) AS c2, sum(r0.k) AS c3, \
         max((r0.k * (1 - r1.n))) AS c4, count((r0.k * (1 - r1.n))) AS c5, count(r0.k) AS c6, \
         max(max(r0.id > 9 OR r1.id > 9) OR sum((r0.k * (1 - r1.n))) > {}.9999 OR sum(abs(r0.k)) > 9007199254740992) \
         OVER () AS c7 {from}",
        "9".repeat(30)
    );
    check(&select, &sql, 28);
    let names = |table| {
        select
            .names(table)
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(names(0), ["id", "k"].into());
    assert_eq!(names(1), ["id", "k", "n"].into());
}

#[test]
fn what_could_have_too_many_digits_is_tested_in_each_row_and_each_sum() {
    let totals = vec![Total::Of(
        Function::Sum,
        less(decimal(30, 2), decimal(20, 2)),
    )];
    let select = calculated(totals, &[decimal(38, 4)]).unwrap();
    let (statement, _) = statement(&select, None);
    let nines = "9".repeat(34);
    let test = format!(
        "max(max(r0.id > 9 OR r1.id > 9 OR abs((r0.k * (1 - r1.n))) >= 1{}) \
         OR sum((r0.k * (1 - r1.n))) > {nines}.9999) OVER () AS c2 FROM",
        "0".repeat(34)
    );
    let sql = statement.unwrap().sql;
    assert!(sql.contains(&test), "{sql}");
    // Of more digits than a decimal has behind the point there is none.
    let totals = vec![Total::Of(
        Function::Sum,
        less(decimal(20, 20), decimal(20, 19)),
    )];
    assert!(calculated(totals, &[decimal(38, 38)]).is_none());
}

#[test]
fn groups_are_not_sorted_by_means_there() {
    let select = |top| {
        let field = |at: usize, of| Field::new(format!("c{at}"), arrow_type(of), true);
        let schema = Schema::new(vec![field(0, &ColumnType::Float(64))]);
        let items = Items {
            columns: Vec::new(),
            totals: Some(vec![of_column(Function::Mean, 0, "k")]),
        };
        Select::new(inner(Vec::new()), items, top, Arc::new(schema))
    };
    let key = SortKey {
        output: 0,
        is_descending: false,
        has_nulls_first: false,
    };
    assert!(select(None).is_some());
    let (keys, rows) = (vec![key], 5);
    assert!(select(Some(Top { keys, rows })).is_none());
}

#[test]
fn columns_of_other_types_are_not_joined() {
    let narrow = Column {
        column_type: ColumnType::Int(32),
        ..column("k")
    };
    let of_rows = vec![Total::Rows];
    let field = Field::new("c0", arrow_type(&ColumnType::Int(64)), false);
    let schema = Arc::new(Schema::new(vec![field]));
    let joined = |other| {
        let pairs = vec![[of(0, column("id")), of(1, other)]];
        let items = Items {
            columns: Vec::new(),
            totals: Some(of_rows.clone()),
        };
        Select::new(inner(pairs), items, None, Arc::clone(&schema))
    };
    assert!(joined(column("k")).is_some());
    assert!(joined(narrow).is_none());
}
