use std::{cell::Cell as Count, sync::Arc};

use datafusion::{
    arrow::datatypes::{Field, Schema},
    logical_expr::{col, lit},
};
use dataos_model::{
    dataset::ColumnType,
    depot::DatasetSource,
    predicate::{Comparison, Expression, LikePiece, Predicate},
    value::Value,
};

use super::*;
use crate::{
    column::{arrow_schema, arrow_type},
    fixture,
    source::{
        condition::{Operator, pattern},
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

fn key(table: usize, name: &str) -> Term<Column> {
    Term::Column(of(table, column(name)))
}

fn of_column(function: Function, table: usize, name: &str) -> Total {
    Total::Of(function, Term::Column(of(table, column(name))))
}

/// A table of integers; the policy and the statement each compare one.
fn read(name: &str) -> Read {
    let columns = ["id", "k", "n"].map(column).to_vec();
    let id = format!("shop:main/{name}");
    let dataset = fixture::dataset(&id, columns.clone(), DatasetSource::AuditLog);
    let equal = Expression::Compare(
        Comparison::Equal,
        Box::new(Expression::Column("n".to_owned())),
        Box::new(Expression::Literal(Value::Long(7))),
    );
    Read {
        columns,
        schema: arrow_schema(&dataset.schema),
        dataset: Arc::new(dataset),
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
        tests: vec![test()],
        exists: Vec::new(),
    }
}

/// Of columns of both tables.
fn test() -> Test<Column> {
    Test {
        passes: col("0").lt(col("1")),
        columns: vec![of(0, column("n")), of(1, column("n"))],
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
    let keys = vec![key(1, "id")];
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

    fn before(&self, column: &Column, microseconds: i64) -> Option<String> {
        self.listed(column, &format!("{{}} < {microseconds}"))
    }

    fn comparable(&self, column: &Column, _is_ordered: bool, _is_policy: bool) -> Option<String> {
        self.listed(column, "{}")
    }

    fn like(
        &self,
        column: &Column,
        pieces: &[LikePiece],
        parameters: &mut Vec<Parameter>,
    ) -> Option<String> {
        parameters.push(Parameter::Text(pattern(pieces)?));
        self.listed(column, &format!("{{}} LIKE ${}", parameters.len()))
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

    fn chosen(&self, number: &str, _digits: Digits) -> String {
        number.to_owned()
    }

    fn part(&self, part: DatePart, column: &Column) -> Option<String> {
        self.listed(column, &format!("{}({{}})", part.name()))
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
    let columns = vec![key(1, "id"), key(0, "n"), key(0, "k")];
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
    let of_conditions = [7, 1, 7, 1].map(Parameter::Long);
    assert!(whole.parameters.ends_with(&of_conditions));
    assert_eq!(asked, parts);
    for lacks in 0..asked {
        let (part, _) = statement(select, Some(lacks));
        assert!(part.is_none(), "without what is asked {lacks}.: {part:?}");
    }
}

#[test]
fn whatever_a_list_lacks_of_a_statement_nothing_of_it_is_sent() {
    let from = "FROM t AS r0, u AS r1 WHERE r0.id = r1.k AND r0.n < r1.n \
         AND r0.n = $1 AND r0.k > $2 AND r0.id IS NOT NULL \
         AND r1.n = $3 AND r1.k > $4 AND r1.id IS NOT NULL";
    let grouped = format!(
        "SELECT r1.id AS c0, count(*) AS c1, count(r0.n) AS c2, count(DISTINCT r1.n) AS c3, \
         sum(r1.n) AS c4, min(r1.id) AS c5, max(r0.id) AS c6, max(max(r0.id > 9 OR r1.id > 9)) OVER () AS c7 \
         {from} GROUP BY 1 ORDER BY 1"
    );
    check(&groups(), &grouped, 16);
    let first = format!(
        "SELECT r1.id AS c0, r0.n AS c1, r0.k AS c2, coalesce(r0.id > 9 OR r1.id > 9, 1 = 0) AS c3 \
         {from} ORDER BY 4 DESC, r0.n DESC NULLS FIRST, r1.id ASC NULLS LAST, r0.k LIMIT 5"
    );
    check(&first_rows(), &first, 13);
}

#[test]
fn rows_that_are_only_met_give_nothing_and_are_tested_by_what_meets_them() {
    let met = |is_negated| {
        let columns = vec![key(0, "n")];
        let exists = Exists {
            tables: 1..2,
            pairs: vec![[of(0, column("id")), of(1, column("k"))]],
            tests: vec![test()],
            is_negated,
        };
        let joined = Joined {
            pairs: Vec::new(),
            tests: Vec::new(),
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
             WHERE r0.id = r1.k AND r0.n < r1.n AND r1.n = $3 AND r1.k > $4 AND r1.id IS NOT NULL) ORDER BY 2 DESC, r0.n ASC NULLS LAST LIMIT 5"
        )
    };
    check(&met(false), &sql(""), 11);
    check(&met(true), &sql("NOT "), 11);
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
        columns: vec![key(1, "id")],
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
    let from = "FROM t AS r0, u AS r1 WHERE r0.id = r1.k AND r0.n < r1.n \
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
    check(&select, &sql, 30);
    let names = |table| {
        select
            .names(table)
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(names(0), ["id", "k", "n"].into());
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

/// What is chosen by the text of a column of either table, and the year of a day.
fn choice() -> Term<Column> {
    let named = Column {
        column_type: ColumnType::Text,
        ..column("n")
    };
    let test = Test {
        passes: col("0").like(lit("a%")).or(col("1").eq(lit(7_i64))),
        columns: vec![of(1, named), of(0, column("k"))],
    };
    let day = Column {
        column_type: ColumnType::Date,
        ..column("n")
    };
    let year = Term::Part(DatePart::Year, of(0, day));
    let other = Term::Literal(-1, ColumnType::Int(32));
    Term::Case(vec![(test, year)], Some(Box::new(other)))
}

#[test]
fn what_is_chosen_has_its_parameters_in_the_order_of_the_text() {
    let pairs = vec![[of(0, column("id")), of(1, column("k"))]];
    let items = Items {
        columns: vec![choice()],
        totals: Some(vec![Total::Of(Function::Sum, choice())]),
    };
    let types = [ColumnType::Int(32), ColumnType::Int(64)];
    let fields = types.iter().enumerate();
    let fields = fields.map(|(at, of)| Field::new(format!("c{at}"), arrow_type(of), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let select = Select::new(inner(pairs), items, None, schema).unwrap();
    let case = |number| {
        format!(
            "(CASE WHEN (r1.n LIKE ${number} OR r0.k = ${}) THEN YEAR(r0.n) ELSE (-1) END)",
            number + 1
        )
    };
    let sql = format!(
        "SELECT {} AS c0, sum({}) AS c1, max(max(r0.id > 9 OR r1.id > 9 OR YEAR(r0.n) NOT BETWEEN 1 AND 9999)) OVER () \
         AS c2 FROM t AS r0, u AS r1 WHERE r0.id = r1.k AND r0.n < r1.n AND r0.n = $5 AND r0.k > $6 AND r0.id IS NOT NULL \
         AND r1.n = $7 AND r1.k > $8 AND r1.id IS NOT NULL GROUP BY 1 ORDER BY 1",
        case(1),
        case(3)
    );
    check(&select, &sql, 19);
    let (whole, _) = statement(&select, None);
    let of_one = [Parameter::Text("a%".to_owned()), Parameter::Long(7)];
    let of_both = [of_one.clone(), of_one].concat();
    assert!(whole.unwrap().parameters.starts_with(&of_both));
}
