//! Applied policies that are in force.
//!
//! Each is handed to the PDP under the id of its resource, but the row filters as one text: what one
//! filter hides depends on which others there are, and a text is replaced as a whole, so no caller is
//! ever decided under a filter without the better ones that it goes with.

use std::collections::{BTreeMap, BTreeSet};

use dataos_model::{fault::Fault, policy::PolicyText, resource::ResourceId};

use crate::{
    core::Core,
    marks::Marks,
    policy::{Compiled, Filter, print_filters},
};

/// The source of all filters; no resource has an id with a space.
const FILTERS: &str = "row filters";

/// What was handed to the PDP, by resource id.
#[derive(Debug, Default)]
pub(crate) struct InForce {
    filters: BTreeMap<String, Filter>,
    others: BTreeSet<String>,
    /// The text of the filters that the PDP has, if there are any.
    printed: Option<String>,
}

impl InForce {
    /// The text of all filters, if there are any. Nobody stands aside yet for those held back.
    fn text(&self, held: &Marks) -> Option<String> {
        let leading: Vec<&Filter> = self
            .filters
            .iter()
            .filter(|(id, _)| !held.contains(id))
            .map(|(_, filter)| filter)
            .collect();
        (!self.filters.is_empty()).then(|| print_filters(self.filters.values(), &leading))
    }
}

/// Whether an orchestrator puts policies of this source in force.
pub fn is_policy_source(source: &str) -> bool {
    source == FILTERS || source.starts_with("policy:")
}

impl Core {
    /// Checks a policy against the schema and the datasets that are known, without effect. A filter is
    /// checked without the others: whether those still fit is not its fault.
    pub(crate) async fn check_policy(
        &self,
        id: &ResourceId,
        compiled: &Compiled,
    ) -> Result<(), Fault> {
        let mut texts = vec![PolicyText {
            source: id.to_string(),
            cedar: compiled.cedar(),
        }];
        if matches!(compiled, Compiled::Filter(_)) {
            texts.push(PolicyText {
                source: FILTERS.to_owned(),
                cedar: String::new(),
            });
        }
        self.policies.check(&texts).await
    }

    /// Brings a policy into force in place of what its resource had in force before. If that was of
    /// another kind, both hold for a moment: nobody sees more than before or after.
    pub(crate) async fn put_policy(
        &self,
        id: &ResourceId,
        compiled: &Compiled,
    ) -> Result<(), Fault> {
        let mut in_force = self.in_force.lock().await;
        let id = id.to_string();
        match compiled {
            // The last filter of its stream brings it into force.
            Compiled::Filter(filter)
                if self.held_filters.contains(&id) && !in_force.others.contains(&id) =>
            {
                in_force.filters.insert(id, filter.clone());
                Ok(())
            }
            Compiled::Filter(filter) => {
                self.set_filter(&mut in_force, &id, Some(filter)).await?;
                self.remove_other(&mut in_force, &id).await
            }
            Compiled::Alone { cedar, .. } => {
                let text = PolicyText {
                    source: id.clone(),
                    cedar: cedar.clone(),
                };
                self.policies.put(text).await?;
                in_force.others.insert(id.clone());
                self.set_filter(&mut in_force, &id, None).await
            }
        }
    }

    /// Takes the policy of a resource out of force.
    pub(crate) async fn remove_policy(&self, id: &ResourceId) -> Result<(), Fault> {
        let mut in_force = self.in_force.lock().await;
        let id = id.to_string();
        self.remove_other(&mut in_force, &id).await?;
        self.set_filter(&mut in_force, &id, None).await
    }

    /// Brings into force what was held back.
    pub(crate) async fn settle_filters(&self) -> Result<(), Fault> {
        let mut in_force = self.in_force.lock().await;
        self.put_filters(&mut in_force).await
    }

    /// Brings all filters of a store into force at once.
    pub(crate) async fn put_all_filters(
        &self,
        filters: Vec<(String, Filter)>,
    ) -> Result<(), Fault> {
        let mut in_force = self.in_force.lock().await;
        in_force.filters.extend(filters);
        self.put_filters(&mut in_force).await
    }

    async fn remove_other(&self, in_force: &mut InForce, id: &str) -> Result<(), Fault> {
        if in_force.others.contains(id) {
            self.policies.remove(id).await?;
            in_force.others.remove(id);
        }
        Ok(())
    }

    /// Adds, replaces or takes out one filter. If the PDP refuses, what was in force stays.
    async fn set_filter(
        &self,
        in_force: &mut InForce,
        id: &str,
        filter: Option<&Filter>,
    ) -> Result<(), Fault> {
        let before = match filter {
            Some(filter) => in_force.filters.insert(id.to_owned(), filter.clone()),
            None => match in_force.filters.remove(id) {
                None => return Ok(()),
                before => before,
            },
        };
        let done = self.put_filters(in_force).await;
        if done.is_err() {
            match before {
                Some(before) => in_force.filters.insert(id.to_owned(), before),
                None => in_force.filters.remove(id),
            };
        }
        done
    }

    async fn put_filters(&self, in_force: &mut InForce) -> Result<(), Fault> {
        let printed = in_force.text(&self.held_filters);
        if printed == in_force.printed {
            return Ok(());
        }
        match printed.clone() {
            Some(cedar) => {
                let source = FILTERS.to_owned();
                self.policies.put(PolicyText { source, cedar }).await?
            }
            None => self.policies.remove(FILTERS).await?,
        };
        in_force.printed = printed;
        Ok(())
    }
}
