//! Names: types, ids and references of people and of AuthZEN to entities.

use dataos_model::{
    action::Action,
    dataset::DatasetId,
    entity::{EntityType, EntityUid, NAMESPACE},
    fault::{Fault, Location},
    resource::ResourceId,
    vocabulary::Vocabulary,
};

/// Longest name of a type.
const TYPE_BYTES_MAX: usize = 128;
/// Longest id.
const ID_BYTES_MAX: usize = 2_048;
/// Types whose name before a colon starts a reference.
const REFERENCE_TYPES: &[EntityType] = &[
    EntityType::USER,
    EntityType::SERVICE,
    EntityType::GROUP,
    EntityType::ROLE,
    EntityType::TAG,
    EntityType::WORKSPACE,
    EntityType::RESOURCE,
    EntityType::DEPOT,
    EntityType::COLLECTION,
    EntityType::DATASET,
    EntityType::COLUMN,
    EntityType::API_PATH,
    EntityType::AUDIT_LOG,
    EntityType::AUDIT_RECORD,
    EntityType::POLICY_SET,
];

/// The entity type of a name: as the schema writes it (`ApiPath`, `DataOS::ApiPath`,
/// `Shop::Record`), or one of ours in lower case with underscores or hyphens (`api_path`).
pub fn entity_type(name: &str) -> EntityType {
    let name = name
        .strip_prefix(NAMESPACE)
        .and_then(|rest| rest.strip_prefix("::"))
        .unwrap_or(name);
    let is_whole = name.contains("::");
    if is_whole || !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        return EntityType::named(name);
    }
    let words = name.split(['_', '-']).map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    EntityType::named(words.collect::<String>())
}

/// The entity type of a name where own types may be named shortly: `record` is the one own type
/// called `Record`, in whatever namespace, unless one of ours is called so.
///
/// # Errors
/// Several own types are called so.
pub fn type_named(name: &str, vocabulary: &Vocabulary, field: &str) -> Result<EntityType, Fault> {
    let named = entity_type(name);
    if name.contains("::") || EntityType::ALL.contains(&named) {
        return Ok(named);
    }
    let is_called = |of: &&EntityType| entity_type(of.base_name()) == named;
    let called: Vec<&EntityType> = vocabulary.types().filter(is_called).collect();
    match called.as_slice() {
        [] => Ok(named),
        [one] => Ok((*one).clone()),
        several => Err(ambiguous(
            name,
            several.iter().map(|of| of.name()),
            &format!("{field}.type"),
        )),
    }
}

/// The action of a name. A whole name, `Shop::read`, is that own action. Any other name is the action
/// called so that applies to resources of the type: ours if it does, else the one own action. Without
/// one it is ours of that name, which then does not fit the request.
///
/// Without a type, every action counts as one that applies.
///
/// # Errors
/// Several own actions are called so and apply.
pub fn action_named(
    name: &str,
    of: Option<&EntityType>,
    vocabulary: &Vocabulary,
) -> Result<Option<Action>, Fault> {
    if name.contains("::") {
        return Ok(vocabulary.actions().find(|action| action.name() == name));
    }
    let applies =
        |action: Action| of.is_none_or(|of| vocabulary.resource_types(action).contains(of));
    let called: Vec<Action> = vocabulary
        .actions()
        .filter(|action| called(*action) == name && applies(*action))
        .collect();
    match called.as_slice() {
        [] => Ok(name.parse().ok()),
        [one] => Ok(Some(*one)),
        [ours, ..] if !matches!(ours, Action::Own(_)) => Ok(Some(*ours)),
        several => Err(ambiguous(
            name,
            several.iter().map(|action| action.name()),
            "action.name",
        )),
    }
}

/// What an action is called without its namespace.
fn called(action: Action) -> &'static str {
    match action {
        Action::Own(own) => own.parts().1,
        ours => ours.name(),
    }
}

/// The shortest name by which a question about resources of the type finds the action.
pub fn action_name(action: Action, of: &EntityType, vocabulary: &Vocabulary) -> &'static str {
    match action_named(called(action), Some(of), vocabulary) {
        Ok(Some(found)) if found == action => called(action),
        _ => action.name(),
    }
}

fn ambiguous<'a>(name: &str, meant: impl Iterator<Item = &'a str>, field: &str) -> Fault {
    let meant: Vec<&str> = meant.collect();
    Fault::invalid(format!("`{name}` can be {}", meant.join(" or ")))
        .with_reason("name_ambiguous")
        .at(at(field))
        .with_hint("write the whole name")
}

/// The name of a type as AuthZEN answers and people write it: `api_path`; of an own one the whole
/// name.
pub fn type_name(entity_type: &EntityType) -> String {
    if !entity_type.is_ours() {
        return entity_type.name().to_owned();
    }
    let mut name = String::new();
    for letter in entity_type.name().chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

/// The entity of a type and an id; ids of datasets and resources in any of their spellings.
///
/// # Errors
/// A name or id above its bound.
pub fn entity(type_name: &str, id: &str, field: &str) -> Result<EntityUid, Fault> {
    entity_named(type_name, id, &Vocabulary::default(), field)
}

/// As [`entity`], where own types may be named shortly.
///
/// # Errors
/// As `entity` and [`type_named`].
pub(crate) fn entity_named(
    type_name: &str,
    id: &str,
    vocabulary: &Vocabulary,
    field: &str,
) -> Result<EntityUid, Fault> {
    check_length(type_name, TYPE_BYTES_MAX, field, "type")?;
    check_length(id, ID_BYTES_MAX, field, "id")?;
    let entity_type = type_named(type_name, vocabulary, field)?;
    if entity_type == EntityType::DATASET
        && let Ok(id) = id.parse::<DatasetId>()
    {
        return Ok(id.uid());
    }
    if entity_type == EntityType::RESOURCE
        && let Ok(id) = id.parse::<ResourceId>()
    {
        return Ok(id.uid());
    }
    Ok(entity_type.id(id))
}

fn check_length(text: &str, bytes_max: usize, field: &str, part: &str) -> Result<(), Fault> {
    if text.len() <= bytes_max {
        return Ok(());
    }
    Err(Fault::invalid(format!("longer than {bytes_max} bytes")).at(at(format!("{field}.{part}"))))
}

/// A place in the request.
pub(crate) fn at(field: impl Into<String>) -> Location {
    Location {
        field: Some(field.into()),
        ..Location::default()
    }
}

/// The principal that a person names: `alice`, `user:alice`, `service:dataos`,
/// `DataOS::User::"alice"`.
///
/// # Errors
/// An empty or malformed reference.
pub fn principal(text: &str) -> Result<EntityUid, Fault> {
    if let Some(uid) = exact(text).or_else(|| typed(text)) {
        return Ok(uid);
    }
    if text.is_empty() || text.contains("::") {
        return Err(Fault::invalid(format!("`{text}` names no principal"))
            .at(at("principal"))
            .with_hint("write a user id, user:ID, service:ID or DataOS::User::\"ID\""));
    }
    Ok(EntityType::USER.id(text))
}

/// The resource that a person names: an address (`dataos://shop:main/orders`), a name as in SQL
/// (`shop.main.orders`), a declared resource (`depot:v1:shop`), a path (`/api/v1/users`), `TYPE:ID`,
/// or the whole name (`DataOS::Dataset::"shop:main/orders"`, `Shop::Record::"r1"`).
///
/// # Errors
/// Anything else.
pub fn resource(text: &str, vocabulary: &Vocabulary) -> Result<EntityUid, Fault> {
    let refused = || {
        Fault::invalid(format!("`{text}` names no resource"))
            .at(at("resource"))
            .with_hint(
                "write dataos://depot:collection/dataset, depot.collection.dataset, \
                 type:version:name, /api/path, TYPE:ID such as depot:shop, or \
                 DataOS::Dataset::\"ID\"",
            )
    };
    if let Some(uid) = exact(text) {
        return Ok(uid);
    }
    if text.contains("::") {
        return Err(refused());
    }
    if text.starts_with('/') {
        return Ok(EntityType::API_PATH.id(text));
    }
    if let Ok(id) = text.parse::<ResourceId>()
        && is_version(&id.version)
    {
        return Ok(id.uid());
    }
    if let Some(uid) = typed(text).or_else(|| own(text, vocabulary)) {
        return Ok(uid);
    }
    if let Ok(id) = text.parse::<DatasetId>() {
        return Ok(id.uid());
    }
    Err(refused())
}

fn is_version(text: &str) -> bool {
    text.strip_prefix('v')
        .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

/// `DataOS::Type::"id"` or `Shop::Type::"id"`, with the escapes that entity names are printed with.
fn exact(text: &str) -> Option<EntityUid> {
    let (whole, quoted) = text.split_once("::\"")?;
    let (namespace, name) = whole.rsplit_once("::")?;
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if !whole.split("::").all(is_part) {
        return None;
    }
    let inner = quoted.strip_suffix('"')?;
    Some(EntityType::within(namespace, name).id(unescaped(inner)?))
}

/// `TYPE:ID` with the short name of an own type.
fn own(text: &str, vocabulary: &Vocabulary) -> Option<EntityUid> {
    let (name, id) = text.split_once(':')?;
    let named = type_named(name, vocabulary, "resource").ok()?;
    let is_own = vocabulary.has_type(&named) && !id.is_empty() && !id.starts_with(':');
    is_own.then(|| named.id(id))
}

fn unescaped(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter == '"' {
            return None;
        }
        if letter != '\\' {
            plain.push(letter);
            continue;
        }
        plain.push(match letters.next()? {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            '0' => '\0',
            'u' => {
                let rest = letters.as_str().strip_prefix('{')?;
                let (digits, after) = rest.split_once('}')?;
                letters = after.chars();
                char::from_u32(u32::from_str_radix(digits, 16).ok()?)?
            }
            other => other,
        });
    }
    Some(plain)
}

/// `TYPE:ID` with a known type in lower case or as the schema writes it.
fn typed(text: &str) -> Option<EntityUid> {
    let (name, id) = text.split_once(':')?;
    let named = entity_type(name);
    let known = REFERENCE_TYPES.contains(&named) && !id.is_empty() && !id.starts_with(':');
    if !known {
        return None;
    }
    entity(name, id, "resource").ok()
}
