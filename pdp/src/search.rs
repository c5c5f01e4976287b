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
        let asked = |principal: &Principal, action, resource: &EntityUid, sent: &Option<Entity>| {
            let request = Request {
                principal: principal.clone(),
                action,
                resource: resource.clone(),
                resource_entity: sent.clone(),
                context: search.context.clone(),
            };
            self.decide(&request, engine).is_allowed()
        };
        let found: Box<dyn Iterator<Item = String> + '_> = match &search.sought {
            Sought::Principals {
                of,
                action,
                resource,
                resource_entity,
            } => Box::new(
                self.of_type(of, search.after.as_deref())
                    .filter(move |entity| {
                        asked(
                            &Principal::stored(entity),
                            *action,
                            resource,
                            resource_entity,
                        )
                    })
                    .map(|entity| entity.uid.id.clone()),
            ),
            Sought::Resources {
                of,
                principal,
                action,
            } => Box::new(
                self.of_type(of, search.after.as_deref())
                    .filter(move |entity| asked(principal, *action, &entity.uid, &None))
                    .map(|entity| entity.uid.id.clone()),
            ),
            Sought::Actions {
                principal,
                resource,
                resource_entity,
            } => {
                let applies =
                    |action: &&Action| action.resource_types().contains(&resource.entity_type);
                let is_after = |name: &&str| {
                    search
                        .after
                        .as_ref()
                        .is_none_or(|after| *name > after.as_str())
                };
                let mut actions: Vec<Action> =
                    Action::ALL.iter().filter(applies).copied().collect();
                actions.sort_unstable_by_key(|action| action.name());
                actions.retain(|action| is_after(&action.name()));
                Box::new(
                    actions
                        .into_iter()
                        .filter(move |action| asked(principal, *action, resource, resource_entity))
                        .map(|action| action.name().to_owned()),
                )
            }
        };
        let mut found: Vec<String> = found.take(search.limit + 1).collect();
        let has_more = found.len() > search.limit;
        found.truncate(search.limit);
        Ok(SearchPage {
            found,
            has_more,
            policy_set: self.policies.hash,
            entities: self.entities.hash(),
        })
    }

    /// Stored entities of a type, by id, behind an id.
    fn of_type(&self, of: &EntityType, after: Option<&str>) -> impl Iterator<Item = &Arc<Entity>> {
        let entities = self.entities.of_type(of);
        let first = entities
            .partition_point(|entity| after.is_some_and(|after| entity.uid.id.as_str() <= after));
        entities.get(first..).unwrap_or_default().iter()
    }
}
