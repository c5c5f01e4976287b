//! The original product's `POST /heimdall/api/v1/authorize`: a user's token, a predicate and an
//! object, answered by the same decision point. The token is verified as if it came with a call.

use std::sync::Arc;

use dataos_model::{
    action::Action,
    dataset::DatasetId,
    decision::Request,
    entity::{Entity, EntityType, EntityUid},
    fault::{Fault, FaultKind},
    json::{self, Bounds},
    principal::Principal,
    value::Value as PolicyValue,
};
use dataos_pdp::authzen::{Evaluation, enforceable};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::asking::{self, Question};
use crate::{
    accounts::Scopes,
    authenticate::{AuthenticationFault, Caller},
    respond::Answer,
    serve::{Call, Gateway},
};

/// Most paths of one object.
const PATHS_MAX: usize = 100;

#[derive(Deserialize)]
struct Body {
    token: String,
    context: Context,
}

#[derive(Deserialize)]
struct Context {
    predicate: String,
    #[serde(default)]
    object: Object,
    #[serde(default)]
    metadata: Map<String, Value>,
}

#[derive(Default, Deserialize)]
struct Object {
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    paths: Vec<String>,
}

/// What a predicate means on a kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Dataset,
    Collection,
    Depot,
    ApiPath,
    Workspace,
}

/// Predicates by kind of object; all actions must be allowed.
const PREDICATES: &[(Kind, &[&str], &[Action])] = &[
    (Kind::Dataset, &["read", "select", "get"], &[Action::Select]),
    (
        Kind::Dataset,
        &["write"],
        &[Action::Insert, Action::Update, Action::Delete],
    ),
    (
        Kind::Dataset,
        &["update", "put", "patch"],
        &[Action::Update],
    ),
    (Kind::Dataset, &["post"], &[Action::Insert]),
    (Kind::Dataset, &["delete"], &[Action::Delete]),
    (Kind::Dataset, &["options"], &[Action::ViewAsset]),
    (
        Kind::Collection,
        &["read", "get", "select", "options"],
        &[Action::ViewAsset],
    ),
    (
        Kind::Collection,
        &["write", "create", "post", "put"],
        &[Action::CreateDataset],
    ),
    (
        Kind::Depot,
        &["read", "get", "select", "options"],
        &[Action::ViewAsset],
    ),
    (
        Kind::ApiPath,
        &[
            "read", "write", "create", "update", "delete", "get", "put", "post", "patch", "options",
        ],
        &[Action::Call],
    ),
    (
        Kind::Workspace,
        &["create_in", "update_in"],
        &[Action::ApplyResource],
    ),
    (Kind::Workspace, &["read_in"], &[Action::GetResource]),
    (Kind::Workspace, &["delete_in"], &[Action::DeleteResource]),
];

pub(crate) async fn authorize(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let body = body(&call)?;
    // Whoever holds the token is not on this connection, so nothing proves what it is bound to.
    let Caller { principal, scopes } = match gateway.authenticator.bearer(&body.token, None).await {
        Ok(caller) => caller,
        Err(AuthenticationFault::Unavailable(_)) => {
            return Err(Fault::unavailable(
                "the issuer of the token cannot be reached",
            ));
        }
        Err(fault) => {
            let answer = answer(None, Some("the token is not valid"));
            return Ok(answer.with_fact("token", fault.code()));
        }
    };
    let questions = match questions(&principal, &body.context) {
        Ok(questions) => questions,
        Err(fault) if fault.kind == FaultKind::Unsupported => {
            return Ok(answer(Some((&principal, false)), Some(&fault.message)));
        }
        Err(fault) => return Err(fault),
    };
    if let Some(scopes) = &scopes
        && let Some(lacking) = lacking(scopes, &questions)
    {
        let error = format!("the scopes of the API key lack `action:{lacking}`");
        let answer = answer(Some((&principal, false)), Some(&error));
        return Ok(answer.with_fact("token", "out_of_scope"));
    }
    let (evaluations, questions): (Vec<Evaluation>, Vec<Question>) = questions.into_iter().unzip();
    let mut pending = Vec::new();
    let (mut is_allowed, mut error) = (true, None);
    let decisions = asking::decisions(&gateway, &questions).await;
    for ((evaluation, question), decision) in evaluations.iter().zip(&questions).zip(decisions) {
        // This form of answer has no place for obligations: a permit under one is a deny.
        let decision = enforceable(decision, Some(&[]));
        pending.push(asking::append(
            &gateway,
            asking::entry(&call, evaluation, question.request(), &decision),
        ));
        if !decision.is_allowed() {
            is_allowed = false;
            error.get_or_insert(decision.detail);
        }
    }
    asking::durable(pending).await?;
    Ok(answer(Some((&principal, is_allowed)), error.as_deref()).with_fact("allow", is_allowed))
}

/// The first action that a key's scopes do not name.
fn lacking<'a>(scopes: &Scopes, questions: &'a [(Evaluation, Question)]) -> Option<&'a str> {
    let mut asked = questions.iter().map(|(asked, _)| asked.action.as_str());
    asked.find(|action| !scopes.allow_action(action))
}

fn body(call: &Call) -> Result<Body, Fault> {
    let wrong =
        |problem: String| Fault::invalid(format!("the request body does not fit: {problem}"));
    let parsed = json::parse(&call.body, &Bounds::SMALL).map_err(|e| wrong(e.problem))?;
    let body: Body = serde_json::from_value(parsed).map_err(|error| wrong(error.to_string()))?;
    if body.context.object.paths.len() > PATHS_MAX {
        let message = format!("`context.object.paths` has more than {PATHS_MAX} items");
        return Err(Fault::new(FaultKind::TooLarge, message));
    }
    Ok(body)
}

/// `{allow, valid, result, error}`.
fn answer(known: Option<(&Principal, bool)>, error: Option<&str>) -> Answer {
    let result = known.map(|(principal, _)| {
        let id = std::iter::once(format!("users:id:{}", principal.uid.id));
        let roles = principal
            .roles
            .iter()
            .map(|role| format!("roles:id:{role}"));
        let tags: Vec<String> = id
            .chain(roles)
            .chain(principal.tags.iter().cloned())
            .collect();
        json!({"id": principal.uid.id, "tags": tags, "data": {}})
    });
    Answer::ok(&json!({
        "allow": known.is_some_and(|(_, is_allowed)| is_allowed),
        "valid": known.is_some(),
        "result": result,
        "error": error,
    }))
}

/// The questions that the object and the predicate stand for: every one must be allowed.
fn questions(
    principal: &Principal,
    context: &Context,
) -> Result<Vec<(Evaluation, Question)>, Fault> {
    let predicate = context.predicate.to_ascii_lowercase();
    let objects = objects(&context.object, &predicate)?;
    let mut questions = Vec::new();
    for (kind, resource, entity) in objects {
        for action in actions(kind, &predicate, &resource)? {
            let evaluation = Evaluation {
                subject: principal.uid.clone(),
                subject_properties: Map::new(),
                action: action.name().to_owned(),
                action_properties: Map::new(),
                resource: resource.clone(),
                resource_properties: Map::new(),
                context: context.metadata.clone(),
            };
            let request = Request {
                resource_entity: entity.clone(),
                ..Request::new(principal, *action, resource.clone())
            };
            questions.push((evaluation, Question::Asked(Box::new(request))));
        }
    }
    Ok(questions)
}

fn actions(kind: Kind, predicate: &str, resource: &EntityUid) -> Result<&'static [Action], Fault> {
    PREDICATES
        .iter()
        .find(|(of, words, _)| *of == kind && words.contains(&predicate))
        .map(|(_, _, actions)| *actions)
        .ok_or_else(|| {
            unsupported(format!(
                "predicate `{predicate}` does not apply to {resource}"
            ))
        })
}

fn unsupported(message: String) -> Fault {
    Fault::new(FaultKind::Unsupported, message)
}

type Named = (Kind, EntityUid, Option<Entity>);

fn objects(object: &Object, predicate: &str) -> Result<Vec<Named>, Fault> {
    if !object.paths.is_empty() {
        return object
            .paths
            .iter()
            .map(|path| by_path(path, predicate))
            .collect();
    }
    if object.tags.is_empty() {
        return Err(Fault::invalid(
            "`context.object` names neither paths nor tags",
        ));
    }
    Ok(vec![by_tags(&object.tags)])
}

fn by_path(path: &str, predicate: &str) -> Result<Named, Fault> {
    if path.contains('*') {
        return Err(unsupported(format!("`{path}` is a pattern, not an object")));
    }
    if path.starts_with('/') {
        let uid = EntityType::API_PATH.id(path);
        return Ok((Kind::ApiPath, uid.clone(), Some(Entity::new(uid))));
    }
    let refused = || unsupported(format!("`{path}` is no address of an object"));
    let address = path.strip_prefix("dataos://").ok_or_else(refused)?;
    let address = address.split('?').next().unwrap_or(address);
    if let Ok(id) = address.parse::<DatasetId>() {
        // A dataset that is to be made does not exist: its collection is asked.
        return Ok(if predicate == "create" {
            (Kind::Collection, id.collection_uid(), None)
        } else {
            (Kind::Dataset, id.uid(), None)
        });
    }
    let address = address.trim_end_matches('/');
    match address.split_once(':') {
        None | Some((_, "")) if !address.is_empty() => {
            let depot = address.trim_end_matches(':');
            Ok((Kind::Depot, EntityType::DEPOT.id(depot), None))
        }
        Some((depot, collection)) if !depot.is_empty() && !collection.contains('/') => {
            let uid = EntityType::COLLECTION.id(format!("{depot}:{collection}"));
            Ok((Kind::Collection, uid, None))
        }
        _ => Err(refused()),
    }
}

/// An object that is known by its tags alone: something in a workspace, or a dataset with tags.
fn by_tags(tags: &[String]) -> Named {
    let workspace = tags
        .iter()
        .find_map(|tag| tag.strip_prefix("dataos:workspace:"));
    let labels = tags.iter().map(|tag| EntityType::TAG.id(tag));
    let Some(workspace) = workspace else {
        let uid = EntityType::DATASET.id("");
        let entity = Entity::new(uid.clone()).with_parents(labels);
        return (Kind::Dataset, uid, Some(entity));
    };
    let uid = EntityType::RESOURCE.id("");
    let mut entity = Entity::new(uid.clone())
        .with_parents([EntityType::WORKSPACE.id(workspace)])
        .with_parents(labels);
    let kind = tags.iter().find_map(|tag| tag.strip_prefix("dataos:type:"));
    let text = |text: &str| PolicyValue::String(text.to_owned());
    let nobody = PolicyValue::Entity(EntityType::USER.id(""));
    entity.attributes.insert("owner".to_owned(), nobody);
    entity
        .attributes
        .insert("type".to_owned(), text(kind.unwrap_or("")));
    (Kind::Workspace, uid, Some(entity))
}

#[cfg(test)]
mod tests {
    use dataos_model::{
        entity::EntityType,
        principal::{Authentication, Principal},
    };
    use serde_json::{Map, json};

    use super::{Context, questions};

    #[test]
    fn predicates_and_objects_become_questions() {
        let principal = Principal::new(EntityType::USER.id("ana"), Authentication::ApiKey);
        for (predicate, object, expected) in [
            (
                "read",
                json!({"paths": ["dataos://crm:main/people"]}),
                "select crm:main/people",
            ),
            (
                "SELECT",
                json!({"paths": ["dataos://crm:main/people?acl=r"]}),
                "select crm:main/people",
            ),
            (
                "write",
                json!({"paths": ["dataos://crm:main/people"]}),
                "insert crm:main/people, update crm:main/people, delete crm:main/people",
            ),
            (
                "create",
                json!({"paths": ["dataos://crm:main/new"]}),
                "create_dataset crm:main",
            ),
            (
                "read",
                json!({"paths": ["dataos://crm:main"]}),
                "view_asset crm:main",
            ),
            ("read", json!({"paths": ["dataos://crm"]}), "view_asset crm"),
            (
                "get",
                json!({"paths": ["/metis/api/v1/x"]}),
                "call /metis/api/v1/x",
            ),
            ("delete", json!({"paths": ["/a", "/b"]}), "call /a, call /b"),
            ("read", json!({"tags": ["PII.email"]}), "select "),
            (
                "create_in",
                json!({"tags": ["dataos:workspace:dev"]}),
                "apply_resource ",
            ),
            ("read", json!({"paths": ["dataos://crm:**"]}), "Unsupported"),
            (
                "create_in",
                json!({"paths": ["dataos://crm"]}),
                "Unsupported",
            ),
            ("fly", json!({"paths": ["/a"]}), "Unsupported"),
            ("read", json!({"paths": ["crm.main.people"]}), "Unsupported"),
            ("read", json!({}), "Invalid"),
        ] {
            let context = Context {
                predicate: predicate.to_owned(),
                object: serde_json::from_value(object.clone()).unwrap(),
                metadata: Map::new(),
            };
            let shown = match questions(&principal, &context) {
                Ok(questions) => questions
                    .iter()
                    .map(|(asked, _)| format!("{} {}", asked.action, asked.resource.id))
                    .collect::<Vec<_>>()
                    .join(", "),
                Err(fault) => format!("{:?}", fault.kind),
            };
            assert_eq!(shown, expected, "{predicate} {object}");
        }
    }
}
