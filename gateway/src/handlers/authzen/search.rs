//! The three searches, page by page.
//!
//! A token of a page is bound to the question, the policy set and the caller. Every result is
//! decided once more as an evaluation would, so that a page never shows what a decision denies, and
//! each result carries its obligations.

use std::sync::Arc;

use dataos_model::{
    action::Action,
    decision::{Decision, Request},
    entity::{Entity, EntityType, EntityUid},
    explain::{self, PAGE_MAX, Search, SearchPage},
    fault::{Fault, Location},
    hash::Hash,
    principal::Principal,
    vocabulary::Vocabulary,
};
use dataos_pdp::authzen::{self, SearchRequest, Sought};
use serde_json::{Map, Value, json};

use super::super::asking::{self, Question};
use crate::{
    decide,
    respond::Answer,
    serve::{Call, Gateway},
};

pub(crate) async fn subjects(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    answered(&gateway, &call, Sought::Subject).await
}

pub(crate) async fn resources(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    answered(&gateway, &call, Sought::Resource).await
}

pub(crate) async fn actions(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    answered(&gateway, &call, Sought::Action).await
}

async fn answered(gateway: &Arc<Gateway>, call: &Call, sought: Sought) -> Result<Answer, Fault> {
    let vocabulary = gateway.seams.explore.vocabulary();
    let request = SearchRequest::read(sought, &call.body, &vocabulary)?;
    may_search(gateway, call, &request).await?;
    let page = page(gateway, call, &request).await?;
    let results: Vec<Value> = page
        .results
        .iter()
        .map(|found| found.shown(&request, &vocabulary))
        .collect();
    let mut about = Map::new();
    about.insert("next_token".to_owned(), json!(page.next_token));
    about.insert("count".to_owned(), json!(results.len()));
    if let Some(total) = page.total {
        about.insert("total".to_owned(), json!(total));
    }
    let mut answer = Map::new();
    answer.insert("page".to_owned(), Value::Object(about));
    if let Some(note) = page.note {
        answer.insert("context".to_owned(), json!({"reason": note}));
    }
    answer.insert("results".to_owned(), json!(results));
    let answer = Answer::ok(&Value::Object(answer)).with_fact("found", results.len());
    Ok(match request.properties_digest() {
        Some(digest) => answer.with_fact("properties_digest", digest),
        None => answer,
    })
}

/// A search about oneself needs no right; any other one is a question about others.
pub(in super::super) async fn may_search(
    gateway: &Gateway,
    call: &Call,
    request: &SearchRequest,
) -> Result<(), Fault> {
    let is_own = |subject: &EntityUid| asking::is_own(call, subject);
    if request.subject.as_ref().is_some_and(is_own) {
        return Ok(());
    }
    let about = format!("search for {}s, {}", request.sought.name(), request.digest);
    asking::permitted(gateway, call, Action::AskDecision, &about).await
}

/// A result.
pub(in super::super) struct Found {
    /// Id of the entity, or name of the action.
    pub(in super::super) id: String,
    decision: Decision,
}

impl Found {
    fn shown(&self, request: &SearchRequest, vocabulary: &Vocabulary) -> Value {
        let mut shown = match request.sought {
            Sought::Action => json!({"name": self.action_name(request, vocabulary)}),
            _ => json!({"type": request.kind, "id": self.id}),
        };
        let obligations = authzen::obligations(&self.decision.obligations);
        if let Some(fields) = shown.as_object_mut()
            && !obligations.is_empty()
        {
            fields.insert("obligations".to_owned(), Value::Array(obligations));
        }
        shown
    }

    /// The name by which an evaluation on this resource finds the action.
    fn action_name(&self, request: &SearchRequest, vocabulary: &Vocabulary) -> &str {
        match (self.id.parse(), &request.resource) {
            (Ok(action), Some(uid)) => authzen::action_name(action, &uid.entity_type, vocabulary),
            _ => &self.id,
        }
    }
}

/// A page of results.
#[derive(Default)]
pub(in super::super) struct Page {
    pub(in super::super) results: Vec<Found>,
    /// Empty behind the last page.
    pub(in super::super) next_token: String,
    /// Number of all results, where this is the last page.
    pub(in super::super) total: Option<usize>,
    /// Why nothing can be found.
    pub(in super::super) note: Option<String>,
}

/// Where the page before ended.
#[derive(Default)]
struct Former {
    after: Option<String>,
    limit: Option<usize>,
    seen: usize,
    policy_set: Option<Hash>,
}

/// The page that is asked for.
///
/// # Errors
/// A token that is not of this question, or properties that count and do not fit.
pub(in super::super) async fn page(
    gateway: &Gateway,
    call: &Call,
    request: &SearchRequest,
) -> Result<Page, Fault> {
    let former = former(gateway, call, request)?;
    let limit = request.page.limit(former.limit)?.min(PAGE_MAX);
    let context = request.context(&gateway.authzen.context)?;
    let Some(parts) = parts(gateway, call, request).await? else {
        return Ok(Page {
            total: Some(0),
            note: Some("what the search names is not known".to_owned()),
            ..Page::default()
        });
    };
    let search = Search {
        sought: parts.sought(request),
        context,
        // A page of none still says whether there is more.
        limit: limit.max(1),
        after: former.after.clone(),
    };
    let searched = match singletons(request) {
        Some(ids) => Ok(of_singletons(gateway, ids, &search)),
        None => gateway.seams.explore.search(&search).await,
    };
    let mut searched = match searched {
        Ok(searched) => searched,
        Err(fault) if asking::finds_nothing(&fault) => {
            return Ok(Page {
                total: Some(0),
                note: Some(fault.message),
                ..Page::default()
            });
        }
        Err(fault) => return Err(fault),
    };
    if former
        .policy_set
        .is_some_and(|hash| hash != searched.policy_set)
    {
        return Err(stale());
    }
    let has_more = searched.has_more || searched.found.len() > limit;
    searched.found.truncate(limit);
    let seen = former.seen + searched.found.len();
    let next_token = if has_more {
        let after = searched.found.last().cloned().or(former.after);
        token(
            gateway,
            call,
            request,
            &json!({
                "after": after,
                "limit": limit,
                "seen": seen,
                "set": searched.policy_set.to_string(),
            }),
        )
    } else {
        String::new()
    };
    Ok(Page {
        results: checked(gateway, &parts, searched.found, &search).await,
        next_token,
        total: (!has_more).then_some(seen),
        note: None,
    })
}

/// What a search gives.
struct Parts {
    principal: Option<Principal>,
    action: Option<Action>,
    resource: Option<(EntityUid, Option<Entity>)>,
    of: EntityType,
}

/// What the search gives, in the words of the domain; `None` if something is not known, so that
/// nothing can be found.
async fn parts(
    gateway: &Gateway,
    call: &Call,
    request: &SearchRequest,
) -> Result<Option<Parts>, Fault> {
    let principal = match &request.subject {
        None => None,
        Some(subject) => {
            match asking::principal(gateway, call, subject, &request.subject_properties)? {
                Some(principal) => Some(principal),
                None => return Ok(None),
            }
        }
    };
    let action = request.action();
    if request.action.is_some() && action.is_none() {
        return Ok(None);
    }
    let resource = match &request.resource {
        None => None,
        Some(uid) => {
            let sent = &request.resource_properties;
            let entity = asking::resource(gateway, call, uid, sent).await?;
            Some((uid.clone(), entity))
        }
    };
    Ok(Some(Parts {
        principal,
        action,
        resource,
        of: request.entity_type(),
    }))
}

impl Parts {
    fn sought(&self, request: &SearchRequest) -> explain::Sought {
        let anyone = || Principal::anonymous();
        let (resource, resource_entity) = match &self.resource {
            Some((uid, entity)) => (uid.clone(), entity.clone()),
            None => (self.of.clone().id(""), None),
        };
        let action = self.action.unwrap_or(Action::Call);
        match request.sought {
            Sought::Subject => explain::Sought::Principals {
                of: self.of.clone(),
                action,
                resource,
                resource_entity,
            },
            Sought::Resource => explain::Sought::Resources {
                of: self.of.clone(),
                principal: self.principal.clone().unwrap_or_else(anyone),
                action,
            },
            Sought::Action => explain::Sought::Actions {
                principal: self.principal.clone().unwrap_or_else(anyone),
                resource,
                resource_entity,
            },
        }
    }

    /// The question about one result; `None` if it cannot be asked.
    fn question(&self, gateway: &Gateway, found: &str, search: &Search) -> Option<Request> {
        let (mut principal, mut action) = (self.principal.clone(), self.action);
        let mut resource = self.resource.clone();
        match &search.sought {
            explain::Sought::Principals { of, .. } => {
                let stored = gateway.seams.explore.entity(&of.clone().id(found))?;
                principal = Some(Principal::stored(&stored));
            }
            explain::Sought::Resources { of, .. } => {
                let uid = of.clone().id(found);
                let entity = decide::singleton(&uid);
                resource = Some((uid, entity));
            }
            explain::Sought::Actions { .. } => action = found.parse().ok(),
        }
        let (resource, resource_entity) = resource?;
        Some(Request {
            principal: principal?,
            action: action?,
            resource,
            resource_entity,
            context: search.context.clone(),
        })
    }
}

/// The results that a decision allows at this moment, with that decision.
async fn checked(
    gateway: &Gateway,
    parts: &Parts,
    found: Vec<String>,
    search: &Search,
) -> Vec<Found> {
    let asked: Vec<(String, Question)> = found
        .into_iter()
        .filter_map(|id| {
            let request = parts.question(gateway, &id, search)?;
            Some((id, Question::Asked(Box::new(request))))
        })
        .collect();
    let (ids, questions): (Vec<String>, Vec<Question>) = asked.into_iter().unzip();
    let decisions = asking::decisions(gateway, &questions).await;
    ids.into_iter()
        .zip(decisions)
        .filter(|(_, decision)| decision.is_allowed())
        .map(|(id, decision)| Found { id, decision })
        .collect()
}

/// Ids of resources of which the gateway knows all, and the snapshot none.
fn singletons(request: &SearchRequest) -> Option<&'static [&'static str]> {
    (request.sought == Sought::Resource)
        .then(|| decide::singletons(&request.entity_type()))
        .flatten()
}

/// A page of them; what is not allowed falls away when results are decided.
fn of_singletons(gateway: &Gateway, ids: &[&str], search: &Search) -> SearchPage {
    let after = search.after.as_deref().unwrap_or("");
    let rest = ids.iter().filter(|id| **id > after);
    SearchPage {
        found: rest.map(|id| (*id).to_owned()).collect(),
        has_more: false,
        policy_set: gateway.seams.policies.info().hash,
        entities: Hash::default(),
    }
}

fn bindings(call: &Call, request: &SearchRequest) -> [String; 3] {
    [
        call.principal.uid.to_string(),
        call.principal.issuer.clone(),
        request.digest.to_string(),
    ]
}

fn token(gateway: &Gateway, call: &Call, request: &SearchRequest, payload: &Value) -> String {
    let bindings = bindings(call, request);
    let bindings = bindings.each_ref().map(String::as_str);
    gateway
        .authzen_keys
        .seal(payload.to_string().as_bytes(), &bindings)
}

fn at_token() -> Location {
    Location {
        field: Some("page.token".to_owned()),
        ..Location::default()
    }
}

fn stale() -> Fault {
    Fault::invalid("the policies changed since the page before")
        .with_reason("page_token_stale")
        .at(at_token())
        .with_hint("start again without `page.token`")
}

fn former(gateway: &Gateway, call: &Call, request: &SearchRequest) -> Result<Former, Fault> {
    let Some(token) = &request.page.token else {
        return Ok(Former::default());
    };
    let bindings = bindings(call, request);
    let bindings = bindings.each_ref().map(String::as_str);
    let forged = || {
        Fault::invalid("`page.token` is not the next_token of this search for this caller")
            .with_reason("page_token_invalid")
            .at(at_token())
            .with_hint("send subject, action, resource and context as before, or start again")
    };
    let payload = gateway
        .authzen_keys
        .open(token, &bindings)
        .ok_or_else(forged)?;
    let payload: Value = serde_json::from_slice(&payload).map_err(|_| forged())?;
    let number = |name: &str| payload.get(name)?.as_u64()?.try_into().ok();
    let text = |name: &str| payload.get(name)?.as_str();
    let policy_set: Hash = text("set")
        .and_then(|t| t.parse().ok())
        .ok_or_else(forged)?;
    if policy_set != gateway.seams.policies.info().hash {
        return Err(stale());
    }
    Ok(Former {
        after: text("after").map(str::to_owned),
        limit: number("limit"),
        seen: number("seen").unwrap_or(0),
        policy_set: Some(policy_set),
    })
}
