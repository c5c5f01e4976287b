//! Explanation and search by asking for one decision after the other.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use dataos_model::{
    action::Action,
    decision::Request,
    entity::{Entity, EntityUid},
    explain::{Explanation, Search, SearchPage, Sought},
    fault::Fault,
    principal::Principal,
    seams::{Decide, Explore},
};

type Entities = dyn Fn() -> Vec<Arc<Entity>> + Send + Sync;

pub(crate) struct ByDecision {
    pub(crate) decide: Arc<dyn Decide>,
    pub(crate) entities: Box<Entities>,
}

impl fmt::Debug for ByDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByDecision").finish_non_exhaustive()
    }
}

#[async_trait]
impl Explore for ByDecision {
    async fn explain(&self, request: &Request) -> Explanation {
        Explanation {
            decision: self.decide.decide(request).await,
            nearest: Vec::new(),
        }
    }

    async fn search(&self, search: &Search) -> Result<SearchPage, Fault> {
        let mut entities = (self.entities)();
        entities.sort_by(|a, b| a.uid.cmp(&b.uid));
        let asked = |principal: &Principal, action: Action, resource: &EntityUid| Request {
            context: search.context.clone(),
            ..Request::new(principal, action, resource.clone())
        };
        let mut requests: Vec<(String, Request)> = match &search.sought {
            Sought::Principals {
                of,
                action,
                resource,
                resource_entity,
            } => entities
                .iter()
                .filter(|entity| entity.uid.entity_type == *of)
                .map(|entity| {
                    let mut request = asked(&Principal::stored(entity), *action, resource);
                    request.resource_entity.clone_from(resource_entity);
                    (entity.uid.id.clone(), request)
                })
                .collect(),
            Sought::Resources {
                of,
                principal,
                action,
            } => entities
                .iter()
                .filter(|entity| entity.uid.entity_type == *of)
                .map(|entity| {
                    (
                        entity.uid.id.clone(),
                        asked(principal, *action, &entity.uid),
                    )
                })
                .collect(),
            Sought::Actions {
                principal,
                resource,
                resource_entity,
            } => Action::ALL
                .iter()
                .map(|action| {
                    let mut request = asked(principal, *action, resource);
                    request.resource_entity.clone_from(resource_entity);
                    (action.name().to_owned(), request)
                })
                .collect(),
        };
        requests.sort_by(|a, b| a.0.cmp(&b.0));
        let after = search.after.as_deref();
        let mut page = SearchPage {
            found: Vec::new(),
            has_more: false,
            policy_set: dataos_model::hash::Hash::default(),
            entities: dataos_model::hash::Hash::default(),
        };
        for (id, request) in requests {
            let decision = self.decide.decide(&request).await;
            (page.policy_set, page.entities) = (decision.policy_set, decision.entities);
            if !decision.is_allowed() || after.is_some_and(|after| id.as_str() <= after) {
                continue;
            }
            if page.found.len() == search.limit {
                page.has_more = true;
                break;
            }
            page.found.push(id);
        }
        Ok(page)
    }

    fn entity(&self, uid: &EntityUid) -> Option<Arc<Entity>> {
        let entities = (self.entities)();
        entities.into_iter().find(|entity| entity.uid == *uid)
    }
}
