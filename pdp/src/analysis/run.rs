//! Runs the test files of a folder against its policies.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dataos_model::{
    access::{AccessRequest, DatasetAccess},
    action::Action,
    clock::{Clock, Timestamp},
    decision::{Effect, Request},
    entity::{Entity, EntityChange, EntityType, EntityUid},
    fault::{Fault, FaultKind, Location},
    seams::{Decide, EntitySink},
};
use serde_json::Value as Json;

use crate::{Pdp, problem::Problem, stack::on_big_stack};

use super::{
    Texts,
    candidate::Candidate,
    case::{Case, Expect, Question, Resource, Rows, TestFile},
    finding::{Finding, Rule},
    fixture::{FixtureDataset, Fixtures},
    outcome::{Outcome, column_text, consulted},
    statement::{Answer, RunStatements, Statement},
};

/// How one case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseResult {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub location: Location,
    /// What came out differently from what was expected; none if it passed.
    pub failures: Vec<String>,
}

/// What running all test files gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestReport {
    /// All cases, in order of files and of each file.
    pub cases: Vec<CaseResult>,
    /// Number of policies.
    pub policies: usize,
    /// Policies that determined the outcome of no case, with where they stand.
    pub uncovered: Vec<(String, Location)>,
    /// Why policies or test files could not be used at all.
    pub findings: Vec<Finding>,
}

impl TestReport {
    /// Number of cases that failed.
    pub fn failed(&self) -> usize {
        let failed = self.cases.iter().filter(|case| !case.failures.is_empty());
        failed.count()
    }

    /// Whether everything ran and nothing failed.
    pub fn has_passed(&self) -> bool {
        self.failed() == 0 && self.findings.is_empty()
    }
}

/// Time that stands still: a test must not depend on when it runs.
#[derive(Debug)]
struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }
}

/// Runs the test files of `texts`; fixtures are looked at beside `known`, and go before it.
pub fn test(
    texts: &Texts,
    known: &[Arc<Entity>],
    statements: Option<&dyn RunStatements>,
) -> TestReport {
    on_big_stack(|| test_deep(texts, known, statements)).unwrap_or_else(|| TestReport {
        findings: vec![Finding::of_file(
            Rule::TestInvalid,
            "policies",
            "the tests could not be run",
        )],
        ..TestReport::default()
    })
}

fn test_deep(
    texts: &Texts,
    known: &[Arc<Entity>],
    statements: Option<&dyn RunStatements>,
) -> TestReport {
    let mut report = TestReport::default();
    let candidate = match Candidate::load_whole(texts) {
        Ok(candidate) => candidate,
        Err(findings) => {
            report.findings = findings;
            return report;
        }
    };
    report.policies = candidate.items.len();
    let mut covered = BTreeSet::new();
    for (file, text) in &texts.tests {
        let world = match World::of(file, text, &candidate, known) {
            Ok(world) => world,
            Err(problem) => {
                let finding = Finding::of_problem(Rule::TestInvalid, problem);
                report.findings.push(finding);
                continue;
            }
        };
        for case in &world.cases {
            let outcome = world.outcome(case, statements);
            covered.extend(outcome.policies.iter().cloned());
            report.cases.push(CaseResult {
                name: case.name.clone(),
                location: Location {
                    file: Some(file.clone()),
                    line: Some(case.place.0),
                    column: Some(case.place.1),
                    field: None,
                },
                failures: world.failures(case, &outcome),
            });
        }
    }
    let uncovered = candidate.items.iter();
    report.uncovered = uncovered
        .filter(|item| !covered.contains(item.id()))
        .map(|item| (item.id().to_owned(), item.location.clone()))
        .collect();
    report.uncovered.sort_by(|left, right| left.0.cmp(&right.0));
    report
}

/// A test file with the PDP that its cases ask.
struct World {
    pdp: Arc<Pdp>,
    fixtures: Fixtures,
    cases: Vec<Case>,
    held: BTreeSet<EntityUid>,
}

impl World {
    fn of(
        file: &str,
        text: &str,
        candidate: &Candidate<'_>,
        known: &[Arc<Entity>],
    ) -> Result<Self, Problem> {
        let texts = candidate.texts;
        let test = TestFile::parse(file, text)?;
        let fixtures = Fixtures::of(file, &test.fixtures)?;
        let refused = |fault: Fault| Problem::whole(file, fault.to_string());
        let pdp =
            Pdp::of_texts(texts.schema_texts(), &texts.files, Arc::new(Epoch)).map_err(refused)?;
        // Own types that the candidate does not declare are none of its business.
        let vocabulary = &candidate.schema.vocabulary;
        let is_declared = |of: &EntityType| of.is_ours() || vocabulary.has_type(of);
        let known = known
            .iter()
            .filter(|known| is_declared(&known.uid.entity_type));
        let known = known.chain(candidate.entities.entities());
        let known = known.map(|entity| entity.as_ref().clone());
        let entities: Vec<Entity> = known.chain(fixtures.entities.iter().cloned()).collect();
        let held = entities.iter().map(|entity| entity.uid.clone()).collect();
        let changes = entities.into_iter().map(EntityChange::Upsert);
        pdp.apply(changes.collect()).map_err(refused)?;
        Ok(Self {
            pdp,
            fixtures,
            cases: test.cases,
            held,
        })
    }

    fn outcome(&self, case: &Case, statements: Option<&dyn RunStatements>) -> Outcome {
        match &case.question {
            Question::Sql(sql) => self.statement(case, sql, statements),
            Question::Request { action, resource }
                if resource.uid.entity_type == EntityType::DATASET
                    && self.held.contains(&resource.uid) =>
            {
                self.access(case, *action, &resource.uid)
            }
            Question::Request { action, resource } => {
                Outcome::of(&self.pdp.decide_now(&self.request(case, *action, resource)))
            }
        }
    }

    fn request(&self, case: &Case, action: Action, resource: &Resource) -> Request {
        let mut request = Request::new(&case.principal, action, resource.uid.clone());
        request.context.clone_from(&case.context);
        // The gateway speaks for everything that the snapshot does not hold, except data.
        let is_on_data = action.resource_types().contains(&EntityType::DATASET)
            || resource.uid.entity_type == EntityType::DATASET;
        if is_on_data || self.held.contains(&resource.uid) {
            return request;
        }
        let mut entity = Entity::new(resource.uid.clone());
        entity.attributes.clone_from(&resource.attributes);
        entity.parents.clone_from(&resource.parents);
        request.with_entity(entity)
    }

    fn access(&self, case: &Case, action: Action, uid: &EntityUid) -> Outcome {
        let is_on_rows = matches!(
            action,
            Action::Select | Action::Insert | Action::Update | Action::Delete
        );
        let Some(dataset) = uid.id.parse().ok().filter(|_| is_on_rows) else {
            let mut request = Request::new(&case.principal, action, uid.clone());
            request.context.clone_from(&case.context);
            return Outcome::of(&self.pdp.decide_now(&request));
        };
        let answers = self.pdp.access_now(&AccessRequest {
            principal: case.principal.clone(),
            action,
            datasets: vec![dataset],
            context: case.context.clone(),
        });
        match answers.first() {
            Some(answer) => Outcome {
                policies: consulted(answer),
                tables: vec![answer.as_ref().clone()],
                ..Outcome::of(&answer.decision)
            },
            None => Outcome::failed("internal", "no answer"),
        }
    }

    fn statement(&self, case: &Case, sql: &str, statements: Option<&dyn RunStatements>) -> Outcome {
        let Some(statements) = statements else {
            return Outcome::failed("unsupported", "SQL cannot be run here");
        };
        let answer = statements.run(&Statement {
            decide: Arc::clone(&self.pdp) as Arc<dyn Decide>,
            principal: &case.principal,
            context: &case.context,
            sql,
            datasets: &self.fixtures.datasets,
        });
        match answer {
            Ok(Answer { rows, tables }) => Outcome {
                effect: Effect::Allow,
                reason: "permitted".to_owned(),
                detail: String::new(),
                policies: tables.iter().flat_map(consulted).collect(),
                tables,
                rows: Some(rows),
            },
            Err(fault) if fault.kind == FaultKind::Denied => Outcome {
                policies: fault.policies.into_iter().collect(),
                ..Outcome::failed(&fault.reason, &fault.message)
            },
            Err(fault) => Outcome::failed(&fault.reason, &fault.to_string()),
        }
    }

    fn failures(&self, case: &Case, outcome: &Outcome) -> Vec<String> {
        let Expect {
            decision,
            reason,
            policies,
            rows,
            masks,
        } = &case.expect;
        let mut failures = Vec::new();
        if outcome.effect != *decision {
            let why = [outcome.reason.as_str(), outcome.detail.as_str()];
            let why: Vec<&str> = why.into_iter().filter(|part| !part.is_empty()).collect();
            failures.push(format!(
                "decision: expected {decision}, got {} ({})",
                outcome.effect,
                why.join(": ")
            ));
        }
        if let Some(reason) = reason.as_ref().filter(|reason| **reason != outcome.reason) {
            failures.push(format!("reason: expected {reason}, got {}", outcome.reason));
        }
        if let Some(policies) = policies {
            let expected: BTreeSet<String> = policies.iter().cloned().collect();
            if expected != outcome.policies {
                failures.push(format!(
                    "policies: expected {expected:?}, got {:?}",
                    outcome.policies
                ));
            }
        }
        failures.extend(
            rows.as_ref()
                .and_then(|rows| self.rows_failure(rows, outcome)),
        );
        if let Some(masks) = masks {
            failures.extend(masks.iter().filter_map(|(column, expected)| {
                let got = column_text(&outcome.tables, column);
                (got != *expected)
                    .then(|| format!("masks: column `{column}`: expected {expected}, got {got}"))
            }));
        }
        failures.extend(self.disagreements(case, outcome));
        failures
    }

    fn rows_failure(&self, expected: &Rows, outcome: &Outcome) -> Option<String> {
        match (expected, &outcome.rows) {
            (Rows::Filter(text), _) => {
                let filters = outcome.tables.iter().map(|table| table.rows.to_string());
                let got = filters.collect::<Vec<_>>().join("; ");
                (got != *text).then(|| format!("rows: expected the condition {text}, got {got}"))
            }
            (Rows::Listed(expected), Some(rows)) => {
                let whole: Vec<Json> = rows.iter().map(|row| Json::from(row.clone())).collect();
                let is_whole = expected.first().is_some_and(Json::is_array);
                let got = if is_whole {
                    whole
                } else {
                    let first = rows.iter().filter_map(|row| row.first().cloned());
                    first.collect()
                };
                unequal(expected, &got)
            }
            (Rows::Listed(expected), None) => {
                let table = outcome.tables.first()?;
                match self.visible(table) {
                    Ok(got) => unequal(expected, &got),
                    Err(problem) => Some(format!("rows: {problem}")),
                }
            }
        }
    }

    /// Keys of the fixture rows that the answer shows.
    fn visible(&self, table: &DatasetAccess) -> Result<Vec<Json>, String> {
        let dataset = self.fixtures.dataset(&table.dataset.uid());
        let dataset = dataset.ok_or_else(|| format!("{} has no fixture rows", table.dataset))?;
        let mut keys = Vec::new();
        for row in &dataset.rows {
            if table.decision.is_allowed() && table.rows.holds(&dataset.values(row)?) {
                keys.push(dataset.key_of(row));
            }
        }
        Ok(keys)
    }

    /// Fixture rows that stock Cedar, asked row by row, decides differently from the row condition.
    fn disagreements(&self, case: &Case, outcome: &Outcome) -> Vec<String> {
        let mut found = Vec::new();
        for table in outcome.tables.iter().filter(|t| t.decision.is_allowed()) {
            let Some(dataset) = self.fixtures.dataset(&table.dataset.uid()) else {
                continue;
            };
            for row in &dataset.rows {
                let Ok(values) = dataset.values(row) else {
                    continue;
                };
                let key = dataset.key_of(row);
                let request = row_request(case, dataset, &key, &values);
                let decision = self.pdp.decide_stock(&request);
                if decision.is_allowed() != table.rows.holds(&values) {
                    found.push(format!(
                        "row {key} of {}: the row condition {} and Cedar asked for that row ({}) disagree",
                        table.dataset,
                        table.rows,
                        decision.reason.code()
                    ));
                }
            }
        }
        found
    }
}

fn row_request(
    case: &Case,
    dataset: &FixtureDataset,
    key: &Json,
    values: &BTreeMap<String, dataos_model::value::Value>,
) -> Request {
    let uid = EntityType::ROW.id(key.to_string());
    let mut entity = Entity::new(uid.clone()).with_parents([dataset.id.uid()]);
    entity.attributes.clone_from(values);
    let mut request = Request::new(&case.principal, Action::ReadRow, uid).with_entity(entity);
    request.context.clone_from(&case.context);
    request
}

fn unequal(expected: &[Json], got: &[Json]) -> Option<String> {
    let sorted = |items: &[Json]| {
        let mut texts: Vec<String> = items.iter().map(ToString::to_string).collect();
        texts.sort();
        texts
    };
    let (expected, got) = (sorted(expected), sorted(got));
    (expected != got).then(|| {
        format!(
            "rows: expected [{}], got [{}]",
            expected.join(", "),
            got.join(", ")
        )
    })
}
