//! Row filters: of those that apply to a caller on a dataset, only the best priority hides rows.
//!
//! A filter stands aside where a better one applies: its Cedar text carries the selectors of the
//! better ones, negated. So the text of a filter depends on which others are in force, and all of
//! them are printed together.

use std::collections::BTreeSet;

use dataos_model::action::Action;

use super::{
    cedar::{self, Policy},
    object::Reach,
};

/// A row filter.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    pub(super) id: String,
    pub(super) description: String,
    /// Lower is better.
    pub(super) priority: i64,
    /// The condition on the caller.
    pub(super) who: String,
    pub(super) reach: Reach,
    /// The condition that a row must meet.
    pub(super) keeps: String,
}

impl Filter {
    /// The Cedar text, as if there were no other filter.
    pub(super) fn cedar(&self) -> String {
        cedar::print(&[self.policy(&BTreeSet::new())])
    }

    /// The policy, without effect where one of these selectors applies.
    fn policy(&self, better: &BTreeSet<String>) -> Policy {
        let better: Vec<String> = better.iter().cloned().collect();
        let aside = (!better.is_empty()).then(|| cedar::any_of_many(&better));
        Policy {
            id: self.id.clone(),
            description: self.description.clone(),
            mask: None,
            priority: Some(self.priority),
            is_permit: false,
            actions: vec![Action::ReadRow],
            when: [Some(self.who.clone()), self.reach.condition()]
                .into_iter()
                .flatten()
                .collect(),
            unless: [aside, Some(self.keeps.clone())]
                .into_iter()
                .flatten()
                .collect(),
        }
    }

    /// Where this one applies within the reach of a worse one, or nothing if they never meet.
    fn selector_within(&self, reach: &Reach) -> Option<String> {
        if self.reach.covers(reach) {
            return Some(self.who.clone());
        }
        let place = self
            .reach
            .condition()
            .filter(|_| reach.covers(&self.reach))?;
        Some(cedar::all(&[self.who.clone(), place]))
    }
}

/// The text of all filters. Each stands aside for the better ones among `leading`.
pub(crate) fn print_filters<'a>(
    filters: impl IntoIterator<Item = &'a Filter>,
    leading: &[&Filter],
) -> String {
    let policies: Vec<Policy> = filters
        .into_iter()
        .map(|filter| {
            let better = leading
                .iter()
                .filter(|other| other.priority < filter.priority);
            let selectors = better.filter_map(|other| other.selector_within(&filter.reach));
            filter.policy(&selectors.collect())
        })
        .collect();
    cedar::print(&policies)
}
