//! Names: types, ids and references of people and of AuthZEN to entities.

use dataos_model::{
    dataset::DatasetId,
    entity::{EntityType, EntityUid, NAMESPACE},
    fault::{Fault, Location},
    resource::ResourceId,
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

/// The entity type of a name: as the schema writes it (`ApiPath`, `DataOS::ApiPath`), or in lower
/// case with underscores or hyphens (`api_path`).
pub fn entity_type(name: &str) -> EntityType {
    let name = name
        .strip_prefix(NAMESPACE)
        .and_then(|rest| rest.strip_prefix("::"))
        .unwrap_or(name);
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        return EntityType::named(name);
    }
    let words = name.split(['_', '-']).map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    EntityType::named(words.collect::<String>())
}

/// The name of a type as AuthZEN answers and people write it: `api_path`.
pub fn type_name(entity_type: &EntityType) -> String {
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
    check_length(type_name, TYPE_BYTES_MAX, field, "type")?;
    check_length(id, ID_BYTES_MAX, field, "id")?;
    let entity_type = entity_type(type_name);
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
pub(super) fn at(field: impl Into<String>) -> Location {
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
/// or the whole name (`DataOS::Dataset::"shop:main/orders"`).
///
/// # Errors
/// Anything else.
pub fn resource(text: &str) -> Result<EntityUid, Fault> {
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
    if let Some(uid) = typed(text) {
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

/// `DataOS::Type::"id"`, with the escapes that entity names are printed with.
fn exact(text: &str) -> Option<EntityUid> {
    let rest = text.strip_prefix(NAMESPACE)?.strip_prefix("::")?;
    let (entity_type, quoted) = rest.split_once("::")?;
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    Some(EntityType::named(entity_type).id(unescaped(inner)?))
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
