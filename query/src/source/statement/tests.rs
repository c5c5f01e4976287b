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
    },
};

#[test]
fn sums_wrap_like_those_of_64_bits() {
    for (sum, expected) in [
        (0, 0),
        (-1, -1),
        (i128::from(i64::MAX) + 1, i64::MIN),
        (i128::from(i64::MIN) - 1, i64::MAX),
        (i128::from(i64::MAX) * 3, i64::MAX.wrapping_mul(3)),
        (i128::from(i64::MIN) * 5, i64::MIN.wrapping_mul(5)),
    ] {
        assert_eq!(wrapped(sum), Cell::Int(expected), "{sum}");
    }
}

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
        of(0, Total::Rows),
        of(0, Total::Present(column("n"))),
        of(1, Total::Distinct(column("n"))),
        of(1, Total::Sum(column("n"))),
        of(1, Total::Least(column("id"))),
        of(0, Total::Greatest(column("id"))),
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

    fn total(&self, total: &Total) -> Option<String> {
        let form = match total {
            Total::Rows | Total::Present(_) => "count({})",
            Total::Distinct(_) => "count(DISTINCT {})",
            Total::Sum(_) => "sum({})",
            Total::Least(_) => "min({})",
            Total::Greatest(_) => "max({})",
        };
        self.listed(total.column().unwrap_or(&column("*")), form)
    }

    fn unfit(&self, column: &Column) -> Option<String> {
        let is_tested = column.name == "id";
        is_tested.then(|| format!("r{}.id > 9", self.table))
    }

    fn overflows(&self, total: &Total) -> Option<String> {
        self.listed(total.column()?, "sum({}) > 9")
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
        "SELECT r1.id AS c0, count(r0.*) AS c1, count(r0.n) AS c2, count(DISTINCT r1.n) AS c3, \
         sum(r1.n) AS c4, min(r1.id) AS c5, max(r0.id) AS c6, max(max(r0.id > 9 OR r1.id > 9)) OVER () AS c7 \
         {from} GROUP BY 1 ORDER BY 1"
    );
    check(&groups(), &grouped, 15);
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
    let wraps = "max(max(r0.id > 9 OR r1.id > 9) OR sum(r1.n) > 9) OVER () AS c7";
    assert!(summed.contains(wraps), "{summed}");
    let (_, asked) = statement(&top(4), None);
    for lacks in 0..asked {
        let (part, _) = statement(&top(4), Some(lacks));
        assert!(part.is_none(), "without what is asked {lacks}.: {part:?}");
    }
}

#[test]
fn columns_of_other_types_are_not_joined() {
    let narrow = Column {
        column_type: ColumnType::Int(32),
        ..column("k")
    };
    let of_rows = vec![of(0, Total::Rows)];
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
