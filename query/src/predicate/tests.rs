//! Native expressions against the interpreter, over generated predicates and hostile rows.

use std::collections::BTreeSet;

use datafusion::arrow::array::{
    ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int16Array,
    Int32Array, Int64Array, ListBuilder, RecordBatch, StringViewArray, StringViewBuilder,
    TimestampMicrosecondArray,
};
use dataos_model::{
    dataset::Column,
    predicate::{Arithmetic, Comparison, Expression, LikePiece, Row, SetTest},
    value::Value,
};

use super::*;
use crate::column::arrow_schema;

const COLUMNS: &[(&str, &str)] = &[
    ("flag", "boolean"),
    ("small", "smallint"),
    ("middle", "integer"),
    ("big", "bigint"),
    ("name", "text"),
    ("nick", "text"),
    ("price", "decimal(10,2)"),
    ("day", "date"),
    ("at", "timestamptz"),
    ("labels", "text[]"),
    ("ratio", "double"),
];

fn dataset() -> DatasetSchema {
    let columns = COLUMNS.iter().map(|(name, column_type)| Column {
        name: (*name).to_owned(),
        column_type: column_type.parse().unwrap(),
        is_nullable: true,
    });
    DatasetSchema {
        columns: columns.collect(),
    }
}

const TEXTS: &[&str] = &[
    "", "a", "A", "ab", "a%b", "a_b", "a\\b", "é", "e\u{301}", "a\nb", "EMEA",
];
const LONGS: &[i64] = &[0, 1, -1, 41, 32_767, 32_768, i64::MIN, i64::MAX];
const MILLISECONDS: &[i64] = &[0, -1, 1, 86_400_000, -86_400_000, 1_500, i64::MAX, i64::MIN];
const UNITS: &[i64] = &[0, 100, 12_300, -12_300, 12_345, i64::MAX];

/// One batch of rows; the last ones are mostly NULL.
fn batch() -> RecordBatch {
    let count = 24;
    let pick = |index: usize| (index % 7 != 6).then_some(index);
    let texts = |step: usize| -> StringViewArray {
        (0..count)
            .map(|index| pick(index + step).map(|i| TEXTS[(i * 5 + step) % TEXTS.len()]))
            .collect()
    };
    let mut labels = ListBuilder::new(StringViewBuilder::new());
    for index in 0..count {
        if index % 5 == 4 {
            labels.append_null();
            continue;
        }
        for text in TEXTS.iter().skip(index % 4).take(index % 3) {
            labels.values().append_value(text);
        }
        if index == 7 {
            labels.values().append_null();
        }
        labels.append(true);
    }
    let longs = |index: usize| pick(index).map(|i| LONGS[i % LONGS.len()]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(
            (0..count)
                .map(|i| pick(i).map(|i| i % 2 == 0))
                .collect::<BooleanArray>(),
        ),
        Arc::new(
            (0..count)
                .map(|i| longs(i).and_then(|v| i16::try_from(v).ok()))
                .collect::<Int16Array>(),
        ),
        Arc::new(
            (0..count)
                .map(|i| longs(i).and_then(|v| i32::try_from(v).ok()))
                .collect::<Int32Array>(),
        ),
        Arc::new((0..count).map(longs).collect::<Int64Array>()),
        Arc::new(texts(0)),
        Arc::new(texts(3)),
        Arc::new(
            (0..count)
                .map(|i| pick(i + 1).map(|i| [0, 1, 123, -123, 9_999_999_999][i % 5]))
                .collect::<Decimal128Array>()
                .with_precision_and_scale(10, 2)
                .unwrap(),
        ),
        Arc::new(
            (0..count)
                .map(|i| pick(i + 2).map(|i| [0, 1, -1, 19_000][i % 4]))
                .collect::<Date32Array>(),
        ),
        Arc::new(
            (0..count)
                .map(|i| pick(i).map(|i| [0, 999, 1_000, -1, -1_000, 1_500_000, 1_500_999][i % 7]))
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        ),
        Arc::new(labels.finish()),
        Arc::new(
            (0..count)
                .map(|i| pick(i).map(|i| i as f64))
                .collect::<Float64Array>(),
        ),
    ];
    RecordBatch::try_new(arrow_schema(&dataset()), columns).unwrap()
}

struct OracleRow<'a>(&'a RecordBatch, usize);

impl Row for OracleRow<'_> {
    fn column(&self, name: &str) -> Option<Value> {
        let (index, (_, column_type)) = COLUMNS
            .iter()
            .enumerate()
            .find(|(_, (column, _))| *column == name)?;
        row::attribute(
            self.0.column(index).as_ref(),
            self.1,
            &column_type.parse().unwrap(),
        )
    }
}

fn check(predicate: &Predicate, batch: &RecordBatch) -> usize {
    let columns = RawColumns::new(Arc::new(dataset()), batch.schema());
    let compiled = compile(predicate, &columns);
    let found = compiled
        .evaluate(batch)
        .and_then(|value| value.into_array(batch.num_rows()))
        .unwrap_or_else(|error| panic!("{predicate:?} as {compiled}: {error}"));
    let found = found.as_boolean();
    let mut holding = 0;
    for index in 0..batch.num_rows() {
        let expected = predicate.holds(&OracleRow(batch, index));
        let is_true = found.iter().nth(index).flatten() == Some(true);
        assert_eq!(
            is_true, expected,
            "row {index} of {predicate:?} as {compiled}"
        );
        holding += usize::from(expected);
    }
    holding
}

/// A deterministic sequence.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn one_of<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }

    fn column(&mut self) -> String {
        let index = self.below(COLUMNS.len() + 1);
        COLUMNS
            .get(index)
            .map_or("nowhere", |(name, _)| *name)
            .to_owned()
    }

    fn value(&mut self) -> Value {
        match self.below(6) {
            0 => Value::Bool(self.below(2) == 0),
            1 => Value::Long(self.one_of(LONGS)),
            2 | 3 => Value::from(self.one_of(TEXTS)),
            4 => Value::Decimal(self.one_of(UNITS)),
            _ => Value::DateTime(self.one_of(MILLISECONDS)),
        }
    }

    /// A value of the attribute type of a column, mostly.
    fn value_for(&mut self, column: &str) -> Value {
        if self.below(8) == 0 {
            return self.value();
        }
        match column {
            "flag" => Value::Bool(self.below(2) == 0),
            "small" | "middle" | "big" => Value::Long(self.one_of(LONGS)),
            "price" => Value::Decimal(self.one_of(UNITS)),
            "day" | "at" => Value::DateTime(self.one_of(MILLISECONDS)),
            _ => Value::from(self.one_of(TEXTS)),
        }
    }

    fn set_for(&mut self, column: &str) -> Expression {
        let count = self.below(4);
        let items: BTreeSet<Value> = (0..count).map(|_| self.value_for(column)).collect();
        Expression::Literal(Value::Set(items))
    }

    fn leaf(&mut self) -> Expression {
        let name = self.column();
        let column = Box::new(Expression::Column(name.clone()));
        let literal = Box::new(Expression::Literal(self.value_for(&name)));
        let comparison =
            self.one_of(&[Comparison::Equal, Comparison::Less, Comparison::LessOrEqual]);
        match self.below(9) {
            0 => Expression::Present(name),
            1 | 2 => Expression::Compare(comparison, column, literal),
            3 => Expression::Compare(comparison, literal, column),
            4 => {
                let other = Box::new(Expression::Column(self.column()));
                Expression::Compare(comparison, column, other)
            }
            5 => Expression::Sets(SetTest::Contains, Box::new(self.set_for(&name)), column),
            6 => {
                let pieces = (0..self.below(4)).map(|_| {
                    if self.below(2) == 0 {
                        LikePiece::Any
                    } else {
                        LikePiece::Text(self.one_of(TEXTS).to_owned())
                    }
                });
                Expression::Like(column, pieces.collect())
            }
            7 => Expression::Compare(
                comparison,
                Box::new(Expression::Arithmetic(
                    Arithmetic::Add,
                    column,
                    literal.clone(),
                )),
                literal,
            ),
            _ => Expression::Sets(
                self.one_of(&[
                    SetTest::Contains,
                    SetTest::ContainsAll,
                    SetTest::ContainsAny,
                ]),
                Box::new(Expression::Column("labels".to_owned())),
                if self.below(2) == 0 {
                    literal
                } else {
                    Box::new(self.set_for("name"))
                },
            ),
        }
    }

    fn expression(&mut self, depth: usize) -> Expression {
        if depth == 0 {
            return self.leaf();
        }
        let mut inner = || Box::new(self.expression(depth - 1));
        match depth * 7 % 5 {
            0 => Expression::Not(inner()),
            1 => Expression::And(inner(), inner()),
            2 => Expression::Or(inner(), inner()),
            3 => Expression::If(inner(), inner(), inner()),
            _ => self.leaf(),
        }
    }

    fn any_expression(&mut self, depth: usize) -> Expression {
        if depth == 0 {
            return self.leaf();
        }
        match self.below(6) {
            0 => Expression::Not(Box::new(self.any_expression(depth - 1))),
            1 | 2 => Expression::And(
                Box::new(self.any_expression(depth - 1)),
                Box::new(self.any_expression(depth - 1)),
            ),
            3 => Expression::Or(
                Box::new(self.any_expression(depth - 1)),
                Box::new(self.any_expression(depth - 1)),
            ),
            4 => self.expression(depth),
            _ => self.leaf(),
        }
    }

    fn predicate(&mut self, depth: usize) -> Predicate {
        if depth == 0 || self.below(3) == 0 {
            return Predicate::Satisfied(self.any_expression(2));
        }
        let parts: Vec<Predicate> = (0..self.below(3))
            .map(|_| self.predicate(depth - 1))
            .collect();
        match self.below(3) {
            0 => Predicate::All(parts),
            1 => Predicate::Any(parts),
            _ => Predicate::Not(Box::new(self.predicate(depth - 1))),
        }
    }
}

#[test]
fn compiled_predicates_hold_exactly_where_the_interpreter_says() {
    let batch = batch();
    let mut draw = Draw(7);
    let (mut some, total) = (0, 20_000);
    for _ in 0..total {
        let holding = check(&draw.predicate(2), &batch);
        some += usize::from(holding > 0 && holding < batch.num_rows());
    }
    // The comparison means little if most predicates hold for every row or for none.
    assert!(
        some * 6 > total,
        "only {some} of {total} predicates split the rows"
    );
}

#[test]
fn the_usual_shapes_are_native() {
    let columns = RawColumns::new(Arc::new(dataset()), arrow_schema(&dataset()));
    let present = |name: &str| Box::new(Expression::Present(name.to_owned()));
    let equal = |name: &str, value: Value| {
        Box::new(Expression::Compare(
            Comparison::Equal,
            Box::new(Expression::Column(name.to_owned())),
            Box::new(Expression::Literal(value)),
        ))
    };
    for (expression, expected) in [
        (
            Expression::And(present("name"), equal("name", Value::from("EMEA"))),
            "name@4 IS NOT NULL AND name@4 = EMEA",
        ),
        (
            *equal("at", Value::DateTime(1)),
            "at@8 >= 1000 AND at@8 < 2000",
        ),
        (*equal("price", Value::Decimal(12_300)), "price@6 = 1.23"),
        (
            Expression::Sets(
                SetTest::Contains,
                Box::new(Expression::Literal(Value::Set(BTreeSet::from([
                    Value::from("a"),
                    Value::Long(1),
                ])))),
                Box::new(Expression::Column("name".to_owned())),
            ),
            "name@4 IN (SET) ([a])",
        ),
    ] {
        let compiled = compile(&Predicate::Satisfied(expression), &columns);
        assert_eq!(compiled.to_string(), expected);
    }
}
