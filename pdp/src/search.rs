//! Who can do what on which: every candidate is decided, so a result is in the list if and only if the
//! decision about it is allow. Pages are in the order of ids.

use std::sync::Arc;

use dataos_model::{
    action::Action,
    decision::Request,
    entity::{Entity, EntityType, EntityUid},
    explain::{PAGE_MAX, Search, SearchPage, Sought},
    fault::Fault,
    principal::Principal,
    vocabulary::Vocabulary,
};

use crate::{decide::Engine, version::Version};

impl Version {
    /// One page of results.
    pub(crate) fn search(&self, search: &Search, engine: Engine) -> Result<SearchPage, Fault> {
        if search.limit == 0 || search.limit > PAGE_MAX {
            return Err(
                Fault::invalid(format!("a page of {} results", search.limit))
                    .with_hint(format!("ask for 1 to {PAGE_MAX} (PAGE_MAX)")),
            );
        }
        let mut found = match &search.sought {
            Sought::Principals {
                of,
                action,
                resource,
                resource_entity,
            } => {
                let asked = |entity: &&Arc<Entity>| {
                    let principal = Principal::stored(entity);
                    let request = request(search, &principal, *action, resource, resource_entity);
                    self.decide(&request, engine).is_allowed()
                };
                ids(self.of_type(of, search).filter(asked), search)
            }
            Sought::Resources {
                of,
                principal,
                action,
            } => {
                let asked = |entity: &&Arc<Entity>| {
                    let request = request(search, principal, *action, &entity.uid, &None);
                    self.decide(&request, engine).is_allowed()
                };
                ids(self.of_type(of, search).filter(asked), search)
            }
            Sought::Actions {
                principal,
                resource,
                resource_entity,
            } => {
                let asked = |action: &Action| {
                    let request = request(search, principal, *action, resource, resource_entity);
                    self.decide(&request, engine).is_allowed()
                };
                let vocabulary = &self.policies.schema.vocabulary;
                let actions = actions(vocabulary, &resource.entity_type, search).into_iter();
                let names = actions.filter(asked).map(|action| action.name().to_owned());
                names.take(search.limit + 1).collect()
            }
        };
        let has_more = found.len() > search.limit;
        found.truncate(search.limit);
        Ok(SearchPage {
            found,
            has_more,
            policy_set: self.policies.hash,
            entities: self.entities.hash(),
        })
    }

    /// Stored entities of a type, by id, behind the page before.
    fn of_type(&self, of: &EntityType, search: &Search) -> impl Iterator<Item = &Arc<Entity>> {
        let entities = self.entities.of_type(of);
        let after = search.after.as_deref();
        let first = entities
            .partition_point(|entity| after.is_some_and(|after| entity.uid.id.as_str() <= after));
        entities.get(first..).unwrap_or_default().iter()
    }
}

fn request(
    search: &Search,
    principal: &Principal,
    action: Action,
    resource: &EntityUid,
    sent: &Option<Entity>,
) -> Request {
    Request {
        principal: principal.clone(),
        action,
        resource: resource.clone(),
        resource_entity: sent.clone(),
        context: search.context.clone(),
    }
}

/// Ids of a page, and one more if there is one.
fn ids<'a>(found: impl Iterator<Item = &'a Arc<Entity>>, search: &Search) -> Vec<String> {
    let found = found.take(search.limit + 1);
    found.map(|entity| entity.uid.id.clone()).collect()
}

/// Actions that apply to a type, by name, behind the page before.
fn actions(vocabulary: &Vocabulary, of: &EntityType, search: &Search) -> Vec<Action> {
    let after = search.after.as_deref();
    let mut actions: Vec<Action> = vocabulary
        .actions()
        .filter(|action| vocabulary.resource_types(*action).contains(of))
        .filter(|action| after.is_none_or(|after| action.name() > after))
        .collect();
    actions.sort_unstable_by_key(|action| action.name());
    actions
}
