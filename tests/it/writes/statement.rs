//! Random tables and statements, as values and as SQL.

/// Regions of rows.
const REGIONS: [&str; 3] = ["EMEA", "AMER", "APAC"];

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Column {
    Id,
    Region,
    Level,
    Note,
}

impl Column {
    pub(super) const ALL: [Self; 4] = [Self::Id, Self::Region, Self::Level, Self::Note];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Region => "region",
            Self::Level => "level",
            Self::Note => "note",
        }
    }

    fn is_text(self) -> bool {
        matches!(self, Self::Region | Self::Note)
    }
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Number(i64),
    Text(String),
}

impl Value {
    fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    fn sql(&self, column: Column) -> String {
        let of = if column.is_text() {
            "VARCHAR"
        } else {
            "BIGINT"
        };
        match self {
            Self::Null => format!("CAST(NULL AS {of})"),
            Self::Number(number) => format!("CAST({number} AS BIGINT)"),
            Self::Text(text) => format!("'{text}'"),
        }
    }

    pub(super) fn json(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => format!("\"{text}\""),
        }
    }
}

/// A row: `id`, `region`, `level`, `note`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row(pub(super) [Value; 4]);

impl Row {
    pub(super) fn of(&self, column: Column) -> &Value {
        &self.0[column as usize]
    }

    pub(super) fn json(&self) -> String {
        let cells: Vec<String> = self.0.iter().map(Value::json).collect();
        format!("[{}]", cells.join(","))
    }

    pub(super) fn sql(&self) -> String {
        let cells = Column::ALL.map(|column| self.of(column).sql(column));
        format!("({})", cells.join(", "))
    }
}

/// What is set: a value, another column of the row, or a number added to `level` or `id`.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Value(Value),
    Of(Column),
    Plus(Column, i64),
}

impl Source {
    fn sql(&self, column: Column) -> String {
        match self {
            Self::Value(value) => value.sql(column),
            Self::Of(other) => format!("x.{}", other.name()),
            Self::Plus(other, number) => format!("x.{} + {number}", other.name()),
        }
    }

    /// The value, from a row as the caller sees it.
    pub(super) fn of(&self, shown: &Row) -> Value {
        match self {
            Self::Value(value) => value.clone(),
            Self::Of(column) => shown.of(*column).clone(),
            Self::Plus(column, number) => match shown.of(*column) {
                Value::Number(value) => Value::Number(value + number),
                _ => Value::Null,
            },
        }
    }

    pub(super) fn reads(&self) -> Option<Column> {
        match self {
            Self::Value(_) => None,
            Self::Of(column) | Self::Plus(column, _) => Some(*column),
        }
    }
}

/// A condition.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    Always,
    AtLeast(Column, i64),
    Equal(Column, String),
    IsNull(Column),
    Not(Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
}

impl Condition {
    fn sql(&self) -> String {
        match self {
            Self::Always => "TRUE".to_owned(),
            Self::AtLeast(column, least) => format!("x.{} >= {least}", column.name()),
            Self::Equal(column, text) => format!("x.{} = '{text}'", column.name()),
            Self::IsNull(column) => format!("x.{} IS NULL", column.name()),
            Self::Not(inner) => format!("NOT ({})", inner.sql()),
            Self::Or(left, right) => format!("({} OR {})", left.sql(), right.sql()),
        }
    }

    /// Whether it holds for a row as the caller sees it; `None` is unknown.
    pub(super) fn holds(&self, shown: &Row) -> Option<bool> {
        match self {
            Self::Always => Some(true),
            Self::AtLeast(column, least) => match shown.of(*column) {
                Value::Number(number) => Some(number >= least),
                _ => None,
            },
            Self::Equal(column, text) => match shown.of(*column) {
                Value::Text(value) => Some(value == text),
                _ => None,
            },
            Self::IsNull(column) => Some(*shown.of(*column) == Value::Null),
            Self::Not(inner) => inner.holds(shown).map(|holds| !holds),
            Self::Or(left, right) => match (left.holds(shown), right.holds(shown)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
        }
    }

    pub(super) fn reads(&self) -> Vec<Column> {
        match self {
            Self::Always => Vec::new(),
            Self::AtLeast(column, _) | Self::Equal(column, _) | Self::IsNull(column) => {
                vec![*column]
            }
            Self::Not(inner) => inner.reads(),
            Self::Or(left, right) => [left.reads(), right.reads()].concat(),
        }
    }
}

/// A statement.
#[derive(Clone, Debug)]
pub(super) enum Statement {
    Update {
        sets: Vec<(Column, Source)>,
        filter: Condition,
        returning: Option<Column>,
    },
    Delete {
        filter: Condition,
        returning: Option<Column>,
    },
    Insert(Vec<Row>),
    /// By `id`, with one row for each key.
    Merge {
        keys: Vec<i64>,
        removes: Condition,
        sets: Vec<(Column, Source)>,
        adds: Row,
    },
}

fn assignments(sets: &[(Column, Source)]) -> String {
    let sets = sets.iter();
    let sets = sets.map(|(column, source)| format!("{} = {}", column.name(), source.sql(*column)));
    sets.collect::<Vec<_>>().join(", ")
}

impl Statement {
    pub(super) fn sql(&self, table: &str) -> String {
        let after = |returning: &Option<Column>| match returning {
            Some(column) => format!(" RETURNING x.{}", column.name()),
            None => String::new(),
        };
        match self {
            Self::Update {
                sets,
                filter,
                returning,
            } => format!(
                "UPDATE {table} AS x SET {} WHERE {}{}",
                assignments(sets),
                filter.sql(),
                after(returning)
            ),
            Self::Delete { filter, returning } => {
                format!(
                    "DELETE FROM {table} AS x WHERE {}{}",
                    filter.sql(),
                    after(returning)
                )
            }
            Self::Insert(rows) => {
                let rows: Vec<String> = rows.iter().map(Row::sql).collect();
                format!("INSERT INTO lake.main.{table} VALUES {}", rows.join(", "))
            }
            Self::Merge {
                keys,
                removes,
                sets,
                adds,
            } => {
                let keys: Vec<String> = keys.iter().map(|key| format!("({key})")).collect();
                let [_, region, level, note] =
                    Column::ALL.map(|column| adds.of(column).sql(column));
                format!(
                    "MERGE INTO {table} AS x USING (VALUES {}) AS s (key) ON x.id = s.key \
                     WHEN MATCHED AND {} THEN DELETE WHEN MATCHED THEN UPDATE SET {} WHEN NOT MATCHED \
                     THEN INSERT (id, region, level, note) VALUES (s.key, {region}, {level}, {note})",
                    keys.join(", "),
                    removes.sql(),
                    assignments(sets)
                )
            }
        }
    }
}

/// A source of choices: splitmix64.
#[derive(Debug)]
pub(super) struct Draw(u64);

impl Draw {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub(super) fn one_in(&mut self, odds: u64) -> bool {
        self.below(odds) == 0
    }

    pub(super) fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()].clone()
    }

    fn number(&mut self, bound: u64) -> i64 {
        i64::try_from(self.below(bound)).unwrap()
    }

    pub(super) fn region(&mut self) -> &'static str {
        self.of(&REGIONS)
    }

    fn value(&mut self, column: Column) -> Value {
        if self.one_in(6) {
            return Value::Null;
        }
        match column {
            Column::Id => Value::Number(self.number(40)),
            Column::Region => Value::text(self.region()),
            Column::Level => Value::Number(self.number(4)),
            Column::Note => Value::Text(format!("n{}", self.below(5))),
        }
    }

    fn row(&mut self) -> Row {
        Row(Column::ALL.map(|column| self.value(column)))
    }

    pub(super) fn rows(&mut self) -> Vec<Row> {
        let count = 10 + self.below(30);
        (0..count).map(|_| self.row()).collect()
    }

    fn condition(&mut self, depth: u32) -> Condition {
        match self.below(if depth == 0 { 5 } else { 7 }) {
            0 => Condition::Always,
            1 => Condition::AtLeast(Column::Level, self.number(4)),
            2 => Condition::AtLeast(Column::Id, self.number(40)),
            3 => Condition::Equal(Column::Region, self.region().to_owned()),
            4 => {
                let column = self.of(&Column::ALL);
                Condition::IsNull(column)
            }
            5 => Condition::Not(Box::new(self.condition(depth - 1))),
            _ => {
                let left = Box::new(self.condition(depth - 1));
                Condition::Or(left, Box::new(self.condition(depth - 1)))
            }
        }
    }

    fn sets(&mut self) -> Vec<(Column, Source)> {
        let mut sets: Vec<(Column, Source)> = Vec::new();
        for _ in 0..=self.below(2) {
            let weighed = [
                Column::Note,
                Column::Note,
                Column::Note,
                Column::Level,
                Column::Level,
            ];
            let column = self.of(&[&weighed, &Column::ALL[..]].concat());
            if sets.iter().any(|(known, _)| *known == column) {
                continue;
            }
            let source = match (self.below(4), column.is_text()) {
                (0, true) => Source::Of(self.of(&[Column::Region, Column::Note])),
                (0, false) => Source::Plus(self.of(&[Column::Id, Column::Level]), 1),
                _ => Source::Value(self.value(column)),
            };
            sets.push((column, source));
        }
        sets
    }

    pub(super) fn statement(&mut self) -> Statement {
        let returning = self.one_in(3).then(|| self.of(&Column::ALL));
        match self.below(10) {
            0..=4 => Statement::Update {
                sets: self.sets(),
                filter: self.condition(2),
                returning,
            },
            5 | 6 => {
                let few = Condition::AtLeast(Column::Id, 25 + self.number(15));
                let more = self.condition(0);
                let filter = self.of(&[few.clone(), few, more]);
                Statement::Delete { filter, returning }
            }
            7 | 8 => {
                let count = 1 + self.below(2);
                Statement::Insert((0..count).map(|_| self.row()).collect())
            }
            _ => {
                let first = self.number(30);
                let keys = (first..first + 1 + self.number(6)).collect();
                Statement::Merge {
                    keys,
                    removes: self.condition(1),
                    sets: self.sets(),
                    adds: self.row(),
                }
            }
        }
    }
}
