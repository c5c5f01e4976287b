//! What a statement does, row by row: stock Cedar says who may, which rows, and what of each cell.

use std::{collections::HashSet, fmt::Write as _, str::FromStr};

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicySet, Request,
    RestrictedExpression,
};

use super::statement::{Column, Condition, Draw, Row, Source, Statement, Value};

/// How a statement ends.
#[derive(Debug)]
pub(super) enum Outcome {
    /// With these rows as JSON, sorted.
    Done(String),
    /// With an error, and nothing changed.
    Refused,
}

/// A condition of a policy on one column.
#[derive(Clone, Debug)]
struct When {
    column: Column,
    text: String,
}

impl When {
    fn draw(draw: &mut Draw) -> Self {
        let column = draw.of(&[Column::Region, Column::Level, Column::Note, Column::Id]);
        let name = column.name();
        let test = match column {
            Column::Region => format!("== \"{}\"", draw.region()),
            Column::Note => format!("!= \"n{}\"", draw.below(5)),
            Column::Level => format!("<= {}", 1 + draw.below(3)),
            Column::Id => format!("< {}", 15 + draw.below(30)),
        };
        let text = format!("resource has {name} && resource.{name} {test}");
        Self { column, text }
    }
}

/// What a policy forbids of a column.
#[derive(Clone, Debug)]
struct OnCells {
    column: Column,
    is_masked: bool,
    when: Option<When>,
}

/// The policies of a round. Each column has at most one on its cells.
#[derive(Debug)]
pub(super) struct Policies {
    table: String,
    writes: Vec<&'static str>,
    permits: Vec<Option<When>>,
    forbids: Vec<When>,
    cells: Vec<OnCells>,
    set: PolicySet,
}

impl Policies {
    pub(super) fn draw(draw: &mut Draw, table: &str) -> Self {
        let writes = ["insert", "update", "delete"].into_iter();
        let writes = writes.filter(|_| !draw.one_in(16)).collect();
        let some = |draw: &mut Draw, odds| (!draw.one_in(odds)).then(|| When::draw(draw));
        let permits = (0..=draw.below(2)).map(|_| some(draw, 3)).collect();
        let forbids = (0..draw.below(2)).map(|_| When::draw(draw)).collect();
        let mut cells = Vec::new();
        for column in [Column::Region, Column::Level, Column::Note] {
            if draw.one_in(4) {
                cells.push(OnCells {
                    column,
                    is_masked: column != Column::Level && draw.one_in(2),
                    when: some(draw, 2),
                });
            }
        }
        let mut policies = Self {
            table: table.to_owned(),
            writes,
            permits,
            forbids,
            cells,
            set: PolicySet::new(),
        };
        policies.set = PolicySet::from_str(&policies.text()).unwrap();
        policies
    }

    /// As Cedar.
    pub(super) fn text(&self) -> String {
        let dataset = format!("DataOS::Dataset::\"lake:main/{}\"", self.table);
        let mut text = String::new();
        let mut policy = |effect: &str, action: &str, on: &str, mask: bool, when: Option<&When>| {
            let count = text.matches("@id").count();
            let mask = if mask {
                "@mask(\"constant(value = 'M')\")\n"
            } else {
                ""
            };
            let _ = write!(
                text,
                "@id(\"p{count}\")\n{mask}{effect} (principal == DataOS::User::\"ann\", \
                 action == DataOS::Action::\"{action}\", resource in {on})"
            );
            let _ = match when {
                Some(when) => writeln!(text, " when {{ {} }};", when.text),
                None => writeln!(text, ";"),
            };
        };
        for action in ["select", "read_cell"].iter().chain(&self.writes) {
            policy("permit", action, &dataset, false, None);
        }
        for when in &self.permits {
            policy("permit", "read_row", &dataset, false, when.as_ref());
        }
        for when in &self.forbids {
            policy("forbid", "read_row", &dataset, false, Some(when));
        }
        for cells in &self.cells {
            let column = format!(
                "DataOS::Column::\"lake:main/{}/{}\"",
                self.table,
                cells.column.name()
            );
            policy(
                "forbid",
                "read_cell",
                &column,
                cells.is_masked,
                cells.when.as_ref(),
            );
        }
        text
    }

    /// Asks Cedar; a deny comes with whether a policy without a mask says so.
    fn ask(&self, action: &str, resource: Entity) -> Result<(), bool> {
        let uid = |text: &str| EntityUid::from_str(text).unwrap();
        let dataset = uid(&format!("DataOS::Dataset::\"lake:main/{}\"", self.table));
        let columns = Column::ALL.map(|column| {
            let column = format!(
                "DataOS::Column::\"lake:main/{}/{}\"",
                self.table,
                column.name()
            );
            Entity::new_no_attrs(uid(&column), HashSet::from([dataset.clone()]))
        });
        let ann = uid("DataOS::User::\"ann\"");
        let asked = Request::new(
            ann.clone(),
            uid(&format!("DataOS::Action::\"{action}\"")),
            resource.uid(),
            Context::empty(),
            None,
        );
        let mut entities = vec![Entity::new_no_attrs(ann, HashSet::new())];
        if resource.uid() != dataset {
            entities.push(Entity::new_no_attrs(dataset, HashSet::new()));
        }
        entities.extend(columns);
        entities.push(resource);
        let entities = Entities::from_entities(entities, None).unwrap();
        let answer = Authorizer::new().is_authorized(&asked.unwrap(), &self.set, &entities);
        assert_eq!(answer.diagnostics().errors().count(), 0);
        if answer.decision() == Decision::Allow {
            return Ok(());
        }
        let mut reasons = answer.diagnostics().reason();
        Err(reasons.any(|policy| self.set.annotation(policy, "mask").is_none()))
    }

    fn may(&self, action: &str) -> bool {
        let dataset = format!("DataOS::Dataset::\"lake:main/{}\"", self.table);
        let dataset = Entity::new_no_attrs(EntityUid::from_str(&dataset).unwrap(), HashSet::new());
        self.ask(action, dataset).is_ok()
    }

    fn entity(&self, kind: &str, parent: &str, row: &Row) -> Entity {
        let present = Column::ALL.into_iter().filter_map(|column| {
            let value = match row.of(column) {
                Value::Null => return None,
                Value::Number(number) => RestrictedExpression::new_long(*number),
                Value::Text(text) => RestrictedExpression::new_string(text.clone()),
            };
            Some((column.name().to_owned(), value))
        });
        let uid = EntityUid::from_str(&format!("DataOS::{kind}::\"this\"")).unwrap();
        let parents = HashSet::from([EntityUid::from_str(parent).unwrap()]);
        Entity::new(uid, present.collect(), parents).unwrap()
    }

    fn is_visible(&self, row: &Row) -> bool {
        let dataset = format!("DataOS::Dataset::\"lake:main/{}\"", self.table);
        self.ask("read_row", self.entity("Row", &dataset, row))
            .is_ok()
    }

    /// The row as the caller sees it.
    fn shown(&self, row: &Row) -> Row {
        Row(Column::ALL.map(|column| {
            let parent = format!(
                "DataOS::Column::\"lake:main/{}/{}\"",
                self.table,
                column.name()
            );
            match self.ask("read_cell", self.entity("Cell", &parent, row)) {
                Ok(()) => row.of(column).clone(),
                Err(true) => Value::Null,
                Err(false) => Value::Text("M".to_owned()),
            }
        }))
    }

    fn is_absent(&self, column: Column) -> bool {
        let mut cells = self.cells.iter();
        cells.any(|cells| cells.column == column && !cells.is_masked && cells.when.is_none())
    }

    /// Whether every row shows it as it is.
    fn is_plain(&self, column: Column) -> bool {
        self.cells.iter().all(|cells| cells.column != column)
    }

    /// Whether SET may be done at all, by the policies alone.
    fn may_set(&self, sets: &[(Column, Source)]) -> bool {
        let decides_masks = |column: Column| {
            let mut cells = self
                .cells
                .iter()
                .filter(|cells| !self.is_absent(cells.column));
            cells.any(|cells| {
                cells
                    .when
                    .as_ref()
                    .is_some_and(|when| when.column == column)
            })
        };
        let mut of_rows: Vec<Column> = self.forbids.iter().map(|when| when.column).collect();
        if self.permits.iter().all(Option::is_some) {
            of_rows.extend(self.permits.iter().flatten().map(|when| when.column));
        }
        let is_hidden_part = of_rows.iter().any(|column| !self.is_plain(*column));
        sets.iter().all(|(column, source)| {
            self.is_plain(*column)
                && source.reads().is_none_or(|read| self.is_plain(read))
                && !decides_masks(*column)
                && !(of_rows.contains(column) && is_hidden_part)
        })
    }

    fn may_read(&self, columns: &[Column]) -> bool {
        columns.iter().all(|column| !self.is_absent(*column))
    }

    /// What the statement answers and makes of the rows.
    pub(super) fn outcome(&self, statement: &Statement, rows: &mut Vec<Row>) -> Outcome {
        let done = match statement {
            Statement::Update {
                sets,
                filter,
                returning,
            } => self.update(sets, filter, *returning, rows),
            Statement::Delete { filter, returning } => self.delete(filter, *returning, rows),
            Statement::Insert(added) => self.insert(added, rows),
            Statement::Merge {
                keys,
                removes,
                sets,
                adds,
            } => self.merge(keys, (removes, sets, adds), rows),
        };
        match done {
            Some(answer) => Outcome::Done(answer),
            None => Outcome::Refused,
        }
    }

    fn finds(&self, row: &Row, filter: &Condition) -> Option<Row> {
        let shown = self.is_visible(row).then(|| self.shown(row))?;
        (filter.holds(&shown) == Some(true)).then_some(shown)
    }

    fn update(
        &self,
        sets: &[(Column, Source)],
        filter: &Condition,
        returning: Option<Column>,
        rows: &mut Vec<Row>,
    ) -> Option<String> {
        let read: Vec<Column> = filter.reads().into_iter().chain(returning).collect();
        if !self.may("update") || !self.may_set(sets) || !self.may_read(&read) {
            return None;
        }
        let (mut after, mut touched) = (rows.clone(), Vec::new());
        for row in &mut after {
            let Some(shown) = self.finds(row, filter) else {
                continue;
            };
            set(row, sets, &shown);
            touched.push(self.is_visible(row).then(|| self.shown(row))?);
        }
        *rows = after;
        Some(answer(&touched, returning))
    }

    fn delete(
        &self,
        filter: &Condition,
        returning: Option<Column>,
        rows: &mut Vec<Row>,
    ) -> Option<String> {
        let read: Vec<Column> = filter.reads().into_iter().chain(returning).collect();
        if !self.may("delete") || !self.may_read(&read) {
            return None;
        }
        let mut touched = Vec::new();
        rows.retain(|row| {
            let found = self.finds(row, filter);
            let stays = found.is_none();
            touched.extend(found);
            stays
        });
        Some(answer(&touched, returning))
    }

    fn insert(&self, added: &[Row], rows: &mut Vec<Row>) -> Option<String> {
        let is_fine = self.may("insert") && added.iter().all(|row| self.is_visible(row));
        is_fine.then(|| {
            rows.extend_from_slice(added);
            answer(added, None)
        })
    }

    fn merge(
        &self,
        keys: &[i64],
        (removes, sets, adds): (&Condition, &[(Column, Source)], &Row),
        rows: &mut Vec<Row>,
    ) -> Option<String> {
        let may = ["insert", "update", "delete"]
            .iter()
            .all(|action| self.may(action));
        if !may || !self.may_set(sets) || !self.may_read(&removes.reads()) {
            return None;
        }
        let (mut after, mut touched, mut matched) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows.iter() {
            let (mut row, found) = (row.clone(), self.finds(row, &Condition::Always));
            let key = |shown: &Row| {
                let mut keys = keys.iter();
                keys.find(|key| *shown.of(Column::Id) == Value::Number(**key))
                    .copied()
            };
            if let Some((shown, key)) = found.and_then(|shown| key(&shown).map(|key| (shown, key)))
            {
                matched.push(key);
                touched.push(shown.clone());
                if removes.holds(&shown) == Some(true) {
                    continue;
                }
                set(&mut row, sets, &shown);
                self.is_visible(&row).then_some(())?;
            }
            after.push(row);
        }
        for key in keys.iter().filter(|key| !matched.contains(key)) {
            let mut row = adds.clone();
            row.0[0] = Value::Number(*key);
            self.is_visible(&row).then_some(())?;
            touched.push(row.clone());
            after.push(row);
        }
        *rows = after;
        Some(answer(&touched, None))
    }
}

fn set(row: &mut Row, sets: &[(Column, Source)], shown: &Row) {
    for (column, source) in sets {
        row.0[*column as usize] = source.of(shown);
    }
}

/// The number of rows, or a column of each.
fn answer(touched: &[Row], returning: Option<Column>) -> String {
    let Some(column) = returning else {
        return format!("[[{}]]", touched.len());
    };
    let mut cells: Vec<String> = touched
        .iter()
        .map(|row| format!("[{}]", row.of(column).json()))
        .collect();
    cells.sort();
    format!("[{}]", cells.join(","))
}
