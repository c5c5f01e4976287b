//! The check of a folder: does it load, does it fit the datasets, does it say what was meant.

use std::sync::Arc;

use dataos_model::entity::Entity;

use crate::stack::on_big_stack;

use super::{
    Texts,
    candidate::Candidate,
    case::TestFile,
    finding::{FINDINGS_MAX, Finding, Rule},
    fixture::Fixtures,
    layout, lint,
};

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Policies that loaded.
    pub policies: usize,
    /// Datasets that they were type-checked against.
    pub datasets: usize,
    /// Findings, by place.
    pub findings: Vec<Finding>,
    /// Findings above [`FINDINGS_MAX`], which are not told.
    pub untold: usize,
}

impl Report {
    /// Number of errors.
    pub fn errors(&self) -> usize {
        let errors = self.findings.iter().filter(|finding| finding.is_error());
        errors.count()
    }

    /// Number of warnings.
    pub fn warnings(&self) -> usize {
        self.findings.len() - self.errors()
    }
}

/// Checks texts against the datasets among `known` and among the fixtures of the tests.
pub fn check(texts: &Texts, known: &[Arc<Entity>]) -> Report {
    on_big_stack(|| check_deep(texts, known)).unwrap_or_else(|| Report {
        findings: vec![Finding::of_file(
            Rule::Invalid,
            "policies",
            "the check failed",
        )],
        ..Report::default()
    })
}

fn check_deep(texts: &Texts, known: &[Arc<Entity>]) -> Report {
    let (candidate, mut findings) = Candidate::load(texts);
    let mut entities: Vec<Arc<Entity>> = known.to_vec();
    for (file, text) in &texts.tests {
        match TestFile::parse(file, text).and_then(|test| Fixtures::of(file, &test.fixtures)) {
            Ok(fixtures) => entities.extend(fixtures.entities.into_iter().map(Arc::new)),
            Err(problem) => findings.push(Finding::of_problem(Rule::TestInvalid, problem)),
        }
    }
    findings.extend(layout::findings(&texts.files));
    let mut report = Report::default();
    if let Some(candidate) = &candidate {
        let places = lint::Places::of(&entities);
        report.policies = candidate.items.len();
        report.datasets = places.count();
        findings.extend(lint::all(candidate, &places));
    }
    findings.sort_by_cached_key(Finding::order);
    findings.dedup();
    report.untold = findings.len().saturating_sub(FINDINGS_MAX);
    findings.truncate(FINDINGS_MAX);
    report.findings = findings;
    report
}
