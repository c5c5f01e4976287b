//! Rows and cells of generated policies against stock Cedar, asked row by row.

use std::collections::BTreeMap;

use dataos_model::{
    access::{CellOutcome, DatasetAccess},
    action::Action,
    dataset::{ColumnType, DatasetSchema},
    decision::{Effect, Reason, Request},
    entity::{Entity, EntityChange, EntityType},
    policy::PolicyText,
    principal::Principal,
    seams::{EntitySink, Policies},
    value::Value,
};

use crate::{
    fixture::{World, block_on, column, customers, user},
    spread::Spread,
};

/// Policy sets; each is asked for `ROWS` rows.
const SETS: usize = 260;
const ROWS: usize = 40;

/// Columns: name in Cedar text, name, type, whether it can be NULL.
fn columns() -> Vec<(&'static str, &'static str, ColumnType, bool)> {
    let decimal = || ColumnType::Decimal {
        precision: 12,
        scale: 2,
    };
    let list = |item| ColumnType::List(Box::new(item));
    vec![
        (".id", "id", ColumnType::Int(64), false),
        (".age", "age", ColumnType::Int(32), true),
        (".name", "name", ColumnType::Text, false),
        (".region", "region", ColumnType::Text, true),
        ("[\"naïve col\"]", "naïve col", ColumnType::Text, true),
        (".flag", "flag", ColumnType::Bool, true),
        (".price", "price", decimal(), true),
        (".seen", "seen", ColumnType::Timestamp, true),
        (".labels", "labels", list(ColumnType::Text), true),
        (".codes", "codes", list(ColumnType::Int(64)), true),
    ]
}

/// Writes conditions that type-check: an optional column is used only where `has` guards it.
struct Writer<'a> {
    spread: &'a mut Spread,
    present: Vec<&'static str>,
}

const TEXTS: [&str; 8] = ["", "EMEA", "emea", "%_*", "a%b", "e\u{301}", "é", "日本"];
const LONGS: [i64; 8] = [
    0,
    1,
    -1,
    5,
    100,
    i64::MAX,
    i64::MIN,
    4_611_686_018_427_387_904,
];
const DECIMALS: [&str; 5] = [
    "0.0",
    "12.5",
    "-0.0001",
    "922337203685477.5807",
    "-922337203685477.5808",
];
const INSTANTS: [&str; 4] = [
    "1970-01-01",
    "2024-02-29T23:59:59Z",
    "1969-12-31",
    "2024-03-01",
];
const PATTERNS: [&str; 8] = ["*", "", "E*", "*A", "%\\*", "*%*", "*\\**", "é*"];

impl Writer<'_> {
    /// A column of a type that is certainly there, in Cedar text.
    fn column(&mut self, wanted: &ColumnType) -> Option<String> {
        let fitting: Vec<_> = columns()
            .into_iter()
            .filter(|(_, name, kind, is_nullable)| {
                kind.attribute_type() == wanted.attribute_type()
                    && (!is_nullable || self.present.contains(name))
            })
            .collect();
        if fitting.is_empty() {
            return None;
        }
        Some(format!("resource{}", self.spread.one_of(&fitting).0))
    }

    fn condition(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.atom();
        }
        match self.spread.below(9) {
            0 | 1 => self.guarded(depth),
            2 => format!(
                "({} && {})",
                self.condition(depth - 1),
                self.condition(depth - 1)
            ),
            3 => format!(
                "({} || {})",
                self.condition(depth - 1),
                self.condition(depth - 1)
            ),
            4 => format!("!({})", self.condition(depth - 1)),
            5 => format!(
                "(if {} then {} else {})",
                self.condition(depth - 1),
                self.condition(depth - 1),
                self.condition(depth - 1)
            ),
            6 => self.known(),
            _ => self.atom(),
        }
    }

    fn guarded(&mut self, depth: usize) -> String {
        let optional: Vec<_> = columns()
            .into_iter()
            .filter(|(_, _, _, is_nullable)| *is_nullable)
            .collect();
        let (_, name, _, _) = *self.spread.one_of(&optional);
        let guard = format!("resource has \"{name}\"");
        let is_new = !self.present.contains(&name);
        if is_new {
            self.present.push(name);
        }
        let inner = self.condition(depth - 1);
        if is_new {
            self.present.retain(|present| *present != name);
        }
        // Cedar sees the guard through `if` and `&&` alone.
        if self.spread.is(40) {
            return format!("(if {guard} then {inner} else {})", self.condition(0));
        }
        format!("({guard} && {inner})")
    }

    /// Something that does not depend on the row.
    fn known(&mut self) -> String {
        let facts = [
            "principal in DataOS::Group::\"g1\"",
            "principal in [DataOS::Group::\"g2\", DataOS::Group::\"g3\"]",
            "resource in DataOS::Dataset::\"shop:crm/customers\"",
            "resource in DataOS::Tag::\"sales\"",
            "resource in DataOS::Tag::\"other\"",
            "(context has purpose && context.purpose == \"audit\")",
            "principal.hasTag(\"region\")",
            "(principal.hasTag(\"region\") && resource.name == principal.getTag(\"region\"))",
            "DataOS::Group::\"g1\" in DataOS::Group::\"g0\"",
            "true",
        ];
        (*self.spread.one_of(&facts)).to_owned()
    }

    fn atom(&mut self) -> String {
        match self.spread.below(8) {
            0 | 1 => self.long_atom(),
            2 | 3 => self.text_atom(),
            4 => self
                .column(&ColumnType::Bool)
                .unwrap_or_else(|| self.text_atom()),
            5 => self.decimal_atom(),
            6 => self.instant_atom(),
            _ => self.set_atom(),
        }
    }

    fn long(&mut self, depth: usize) -> String {
        match self.spread.below(6) {
            0 if depth > 0 => format!("({} + {})", self.long(depth - 1), self.long(depth - 1)),
            1 if depth > 0 => format!("({} - {})", self.long(depth - 1), self.long(depth - 1)),
            2 if depth > 0 => format!("({} * {})", self.long(depth - 1), self.long(depth - 1)),
            3 if depth > 0 => format!("(-{})", self.column(&ColumnType::Int(64)).unwrap()),
            4 => self.column(&ColumnType::Int(64)).unwrap(),
            _ => format!("({})", self.spread.one_of(&LONGS)),
        }
    }

    fn long_atom(&mut self) -> String {
        let operator = *self.spread.one_of(&["==", "!=", "<", "<=", ">", ">="]);
        format!("({} {operator} {})", self.long(2), self.long(1))
    }

    fn text(&mut self) -> String {
        if self.spread.is(60) {
            return self.column(&ColumnType::Text).unwrap();
        }
        format!("\"{}\"", self.spread.one_of(&TEXTS))
    }

    fn text_atom(&mut self) -> String {
        let column = self.column(&ColumnType::Text).unwrap();
        match self.spread.below(4) {
            0 => format!("({column} like \"{}\")", self.spread.one_of(&PATTERNS)),
            1 => {
                let texts: Vec<String> = self
                    .spread
                    .some_of(&TEXTS)
                    .iter()
                    .map(|text| format!("\"{text}\""))
                    .collect();
                format!(
                    "[\"x\", {}].contains({column})",
                    [texts, vec!["\"y\"".to_owned()]].concat().join(", ")
                )
            }
            2 => format!("({column} == {})", self.text()),
            _ => format!("({column} != {})", self.text()),
        }
    }

    fn decimal_atom(&mut self) -> String {
        let Some(column) = self.column(&ColumnType::Decimal {
            precision: 5,
            scale: 1,
        }) else {
            return self.long_atom();
        };
        let literal = format!("decimal(\"{}\")", self.spread.one_of(&DECIMALS));
        match self.spread.below(5) {
            0 => format!("({column} == {literal})"),
            1 => format!("{column}.lessThan({literal})"),
            2 => format!("{literal}.lessThanOrEqual({column})"),
            3 => format!("{column}.greaterThan({literal})"),
            _ => format!("{column}.greaterThanOrEqual({literal})"),
        }
    }

    fn instant_atom(&mut self) -> String {
        let Some(column) = self.column(&ColumnType::Timestamp) else {
            return self.text_atom();
        };
        let operator = *self.spread.one_of(&["==", "!=", "<", "<=", ">", ">="]);
        let mut literal = format!("datetime(\"{}\")", self.spread.one_of(&INSTANTS));
        if self.spread.is(30) {
            literal = format!("{literal}.offset(duration(\"-1d2h\"))");
        }
        format!("({column} {operator} {literal})")
    }

    fn set_atom(&mut self) -> String {
        let Some(labels) = self.column(&ColumnType::List(Box::new(ColumnType::Text))) else {
            return self.long_atom();
        };
        match self.spread.below(6) {
            0 => format!("{labels}.contains({})", self.text()),
            1 => format!("{labels}.containsAll([\"EMEA\", {}])", self.text()),
            2 => format!("{labels}.containsAny([\"é\", {}])", self.text()),
            3 => format!("{labels}.isEmpty()"),
            4 => format!("({labels} == [{}, \"\"])", self.text()),
            _ => match self.column(&ColumnType::List(Box::new(ColumnType::Int(64)))) {
                Some(codes) => format!("{codes}.contains({})", self.long(1)),
                None => format!("[{}].containsAll({labels})", self.text()),
            },
        }
    }
}

fn policy(spread: &mut Spread, number: usize, action: &str) -> String {
    let is_permit = spread.is(50);
    let effect = if is_permit { "permit" } else { "forbid" };
    let principal = *spread.one_of(&[
        "principal",
        "principal",
        "principal in DataOS::Group::\"g1\"",
    ]);
    let resource = *spread.one_of(&[
        "resource",
        "resource in DataOS::Dataset::\"shop:crm/customers\"",
        "resource in DataOS::Tag::\"sales\"",
    ]);
    let annotation = if action == "read_cell" && !is_permit && spread.is(70) {
        let mask = *spread.one_of(&["null()", "hash()", "partial(first = 1)", "pass_through()"]);
        let priority = if spread.is(60) {
            format!("@priority(\"{}\") ", spread.below(3))
        } else {
            String::new()
        };
        format!("{priority}@mask(\"{mask}\")")
    } else {
        String::new()
    };
    let mut text = format!(
        "@id(\"p{number}\") {annotation}\n{effect} ({principal}, action == DataOS::Action::\"{action}\", {resource})"
    );
    for clause in ["when", "unless"] {
        if spread.is(60) {
            let condition = Writer {
                spread,
                present: Vec::new(),
            }
            .condition(3);
            text = format!("{text}\n{clause} {{ {condition} }}");
        }
    }
    text + ";\n"
}

fn row(spread: &mut Spread) -> BTreeMap<String, Value> {
    let mut row = BTreeMap::new();
    for (_, name, kind, is_nullable) in columns() {
        if is_nullable && spread.is(35) {
            continue;
        }
        row.insert(name.to_owned(), value(spread, &kind));
    }
    row
}

fn value(spread: &mut Spread, kind: &ColumnType) -> Value {
    match kind {
        ColumnType::Bool => Value::Bool(spread.is(50)),
        ColumnType::Int(_) => Value::Long(*spread.one_of(&LONGS)),
        ColumnType::Text => Value::from(*spread.one_of(&TEXTS)),
        ColumnType::Decimal { .. } => {
            Value::Decimal(*spread.one_of(&[0, 125_000, -1, i64::MAX, i64::MIN, 124_999]))
        }
        ColumnType::Timestamp => Value::DateTime(*spread.one_of(&[
            0,
            -86_400_000,
            1_709_251_199_000,
            1_709_251_200_000,
            i64::MAX,
            i64::MIN + 1,
        ])),
        ColumnType::List(item) => {
            Value::Set((0..spread.below(4)).map(|_| value(spread, item)).collect())
        }
        other => panic!("no values of {other}"),
    }
}

fn world() -> World {
    let world = World::with("");
    let id = customers();
    let mut dataset =
        Entity::new(id.uid()).with_parents([id.collection_uid(), EntityType::TAG.id("sales")]);
    dataset.schema = Some(DatasetSchema {
        columns: columns()
            .into_iter()
            .map(|(_, name, kind, is_nullable)| column(name, kind, is_nullable))
            .collect(),
    });
    let group = |name: &str| EntityType::GROUP.id(name);
    let mut changes = vec![
        dataset,
        Entity::new(group("g1")).with_parents([group("g0")]),
    ];
    for (_, name, _, _) in columns() {
        changes.push(Entity::new(id.column_uid(name)).with_parents([id.uid()]));
    }
    world
        .pdp
        .apply(changes.into_iter().map(EntityChange::Upsert).collect())
        .unwrap();
    world
}

fn caller(spread: &mut Spread) -> Principal {
    let mut principal = user("ann", &[]);
    principal.groups = spread.some_of(&["g1".to_owned(), "g2".to_owned()]);
    if spread.is(70) {
        principal.attributes.insert(
            "region".to_owned(),
            (*spread.one_of(&["EMEA", "é"])).to_owned(),
        );
    }
    principal
}

fn put(world: &World, text: String) {
    let text = PolicyText {
        source: "policy:v1:generated".to_owned(),
        cedar: text,
    };
    if let Err(fault) = block_on(world.pdp.put(text.clone())) {
        panic!("{fault}\n{}", text.cedar);
    }
}

const SELECT: &str =
    "@id(\"select\") permit (principal, action == DataOS::Action::\"select\", resource);\n";

#[test]
fn rows_are_those_that_cedar_allows_one_by_one() {
    let world = world();
    let mut spread = Spread::new(1);
    let (mut pairs, mut visible, mut narrowed) = (0, 0, 0);
    for _ in 0..SETS {
        let count = 1 + spread.below(4);
        let policies: Vec<String> = (0..count)
            .map(|number| policy(&mut spread, number, "read_row"))
            .collect();
        let text = format!("{SELECT}{}", policies.concat());
        put(&world, text.clone());
        let principal = caller(&mut spread);
        let answer = world.access(&principal);
        let is_empty = !answer.decision.is_allowed();
        assert!(
            !is_empty || matches!(answer.decision.reason, Reason::NoPermit | Reason::Forbidden),
            "{:?} {}\n{text}",
            answer.decision.reason,
            answer.decision.detail
        );
        narrowed += usize::from(!is_empty && answer.rows.to_string() != "TRUE");
        for _ in 0..ROWS {
            let row = row(&mut spread);
            let expected = ask(&world, &principal, Action::ReadRow, &row).effect == Effect::Allow;
            assert_eq!(
                answer.rows.holds(&row),
                expected,
                "{row:?}\n{}\n{text}",
                answer.rows
            );
            pairs += 1;
            visible += usize::from(expected);
        }
    }
    assert!(pairs >= 10_000, "{pairs}");
    // The test says something only if conditions decide: not all one way.
    assert!(
        visible * 10 > pairs && visible * 10 < pairs * 9,
        "{visible} of {pairs}"
    );
    assert!(narrowed > SETS / 5, "{narrowed} of {SETS}");
}

#[test]
fn cells_are_what_cedar_says_one_by_one() {
    let world = world();
    let mut spread = Spread::new(2);
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..60 {
        let count = 1 + spread.below(4);
        let policies: Vec<String> = (0..count)
            .map(|number| policy(&mut spread, number, "read_cell"))
            .collect();
        let rows = "@id(\"rows\") permit (principal, action == DataOS::Action::\"read_row\", resource);\n\
                    @id(\"cells\") permit (principal, action == DataOS::Action::\"read_cell\", resource in DataOS::Tag::\"sales\") when { resource.id != 5 };\n";
        let text = format!("{SELECT}{rows}{}", policies.concat());
        put(&world, text.clone());
        let principal = caller(&mut spread);
        let answer = world.access(&principal);
        assert!(
            answer.decision.is_allowed(),
            "{}\n{text}",
            answer.decision.detail
        );
        for _ in 0..8 {
            let row = row(&mut spread);
            let expected = expected_cell(&world, &principal, &row);
            let shown = shown_cell(&answer, &row);
            assert_eq!(shown, expected, "{row:?}\n{text}");
            let kind = match shown.as_str() {
                "plain" => "plain",
                "absent" => "absent",
                _ => "masked",
            };
            *seen.entry(kind).or_default() += 1;
        }
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
}

/// What the rules for the column `name` make of a row.
fn shown_cell(answer: &DatasetAccess, row: &BTreeMap<String, Value>) -> String {
    let column = answer
        .columns
        .iter()
        .find(|column| column.name == "name")
        .unwrap();
    let rule = column
        .rules
        .iter()
        .find(|rule| rule.when.holds(row))
        .unwrap();
    match &rule.outcome {
        CellOutcome::Plain => "plain".to_owned(),
        CellOutcome::Absent => "absent".to_owned(),
        CellOutcome::Masked(mask) => mask.to_string(),
    }
}

/// The same from Cedar's decision on this one cell and the annotations of what determined it.
fn expected_cell(world: &World, principal: &Principal, row: &BTreeMap<String, Value>) -> String {
    let decision = ask(world, principal, Action::ReadCell, row);
    if decision.is_allowed() {
        return "plain".to_owned();
    }
    // A forbid hides a missing permit: a masked cell needs one, so ask without the masks' forbids.
    let policies = world.pdp.list();
    let annotation = |id: &str, name: &str| {
        let policy = policies.iter().find(|policy| policy.id == id).unwrap();
        let found = policy.annotations.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone())
    };
    let mut masks = Vec::new();
    for policy in &decision.policies {
        let Some(mask) = annotation(&policy.id, "mask") else {
            return "absent".to_owned();
        };
        let priority: Option<i64> =
            annotation(&policy.id, "priority").map(|priority| priority.parse().unwrap());
        masks.push((priority.unwrap_or(i64::MAX), policy.id.clone(), mask));
    }
    if masks.is_empty() || !is_permitted(world, principal, row) {
        return "absent".to_owned();
    }
    masks.sort();
    let mask = dataos_model::mask::Mask::parse(&masks[0].2).unwrap();
    match mask {
        dataos_model::mask::Mask::PassThrough => "plain".to_owned(),
        mask => mask.to_string(),
    }
}

/// Whether some permit on the cell holds, forbids aside.
fn is_permitted(world: &World, principal: &Principal, row: &BTreeMap<String, Value>) -> bool {
    let texts = world.pdp.list();
    let permits: String = texts
        .iter()
        .filter(|policy| policy.effect == "permit")
        .map(|policy| policy.text.clone())
        .collect();
    let all: String = texts
        .iter()
        .map(|policy| policy.text.clone() + "\n")
        .collect();
    put(world, permits);
    let is_permitted = ask(world, principal, Action::ReadCell, row).is_allowed();
    put(world, all);
    is_permitted
}

fn ask(
    world: &World,
    principal: &Principal,
    action: Action,
    row: &BTreeMap<String, Value>,
) -> dataos_model::decision::Decision {
    let id = customers();
    let entity = if action == Action::ReadRow {
        Entity::new(EntityType::ROW.id("one")).with_parents([id.uid()])
    } else {
        Entity::new(EntityType::CELL.id("one")).with_parents([id.column_uid("name")])
    };
    let entity = Entity {
        attributes: row.clone(),
        ..entity
    };
    let request = Request::new(principal, action, entity.uid.clone()).with_entity(entity);
    let decision = world.pdp.decide_stock(&request);
    assert!(
        matches!(
            decision.reason,
            Reason::Permitted | Reason::NoPermit | Reason::Forbidden
        ),
        "{:?}: {}",
        decision.reason,
        decision.detail
    );
    decision
}
