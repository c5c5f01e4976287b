//! What a statement asked the PDP, and the answers, as its record keeps them: so that both can be asked
//! and compared again.

use std::sync::Arc;

use dataos_model::{
    access::{AccessRequest, DatasetAccess},
    asked,
    decision::{Decision, Request},
    hash::Hash,
    record::{ANSWERS, ASKED_ACCESS, ASKED_WRITE, Entry},
};

use crate::rights::Grants;

/// Questions and answers of one statement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Questions {
    facts: Vec<(&'static str, String)>,
    answers: Vec<String>,
    /// Policies and entities that answered.
    basis: Option<(Hash, Hash)>,
}

impl Questions {
    /// The question about what is written.
    pub(crate) fn write(&mut self, request: &Request, decision: &Decision) {
        self.basis = Some((decision.policy_set, decision.entities));
        let text = asked::write(request);
        match self.facts.iter_mut().find(|(name, _)| *name == ASKED_WRITE) {
            // A line for each: MERGE asks for what each of its branches does.
            Some((_, lines)) => {
                lines.push('\n');
                lines.push_str(&text);
            }
            None => self.facts.push((ASKED_WRITE, text)),
        }
        self.answers.push(decision.effect.name().to_owned());
    }

    /// The questions about what is read: that of the caller first.
    pub(crate) fn read(&mut self, requests: &[AccessRequest], answers: &[Vec<Arc<DatasetAccess>>]) {
        let answers = answers.iter().flatten();
        let short = answers.clone().map(|answer| answer.in_short());
        if let Some(first) = answers.clone().next() {
            self.read_as(requests, first, short);
        }
    }

    /// The same, where all of it is granted.
    pub(crate) fn granted(&mut self, requests: &[AccessRequest], grants: &Grants) {
        let short = grants.all().map(|grant| grant.in_short.clone());
        if let Some(first) = grants.all().next() {
            self.read_as(requests, &first.access, short);
        }
    }

    /// The same, with the first of the answers, and all of them in short.
    pub(crate) fn read_as(
        &mut self,
        requests: &[AccessRequest],
        first: &DatasetAccess,
        short: impl Iterator<Item = String>,
    ) {
        let basis = (first.decision.policy_set, first.decision.entities);
        if self.basis.is_some_and(|before| before != basis) {
            // Policies changed between the two: the record names those of this one alone.
            *self = Self::default();
        }
        self.basis = Some(basis);
        let lines: Vec<String> = requests.iter().map(asked::write_access).collect();
        self.facts.push((ASKED_ACCESS, lines.join("\n")));
        self.answers.extend(short);
    }

    /// The answers in short.
    pub(crate) fn answers(&self) -> &[String] {
        &self.answers
    }

    /// Adds them to the record of the statement.
    pub(crate) fn put(&self, entry: &mut Entry) {
        if self.basis != Some((entry.policy_set, entry.entities)) {
            return;
        }
        let facts = self.facts.iter();
        let facts = facts.map(|(name, text)| ((*name).to_owned(), text.clone()));
        entry.facts.extend(facts);
        let answers = (ANSWERS.to_owned(), self.answers.join(" "));
        entry.facts.extend([answers]);
    }
}
