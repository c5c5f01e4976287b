//! What is asked of what: policies, entities and requests, the same in every run.
//!
//! Mixed: policies scoped to a user, a group, a role or nobody in particular, on a dataset, a
//! collection, a depot or a tag; some with conditions, some forbids. Groups nest six deep. Unscoped:
//! policies with nothing in their scope and an equality in their condition.

use std::{
    fs,
    io::{Error, Result},
    path::Path,
    sync::Arc,
};

use dataos_model::{
    action::Action,
    clock::{Clock, Timestamp},
    dataset::{Column, ColumnType, DatasetId, DatasetSchema},
    decision::Request,
    entity::{Entity, EntityChange, EntityType},
    principal::{Authentication, Principal},
    seams::EntitySink,
    value::Value,
};
use dataos_pdp::{Pdp, PdpConfig};

pub(super) const USERS: usize = 5_000;
pub(super) const DATASETS: usize = 5_000;
const GROUP_DEPTH: usize = 6;
const POLICIES_PER_FILE: usize = 1_000;

/// Values of the attribute that unscoped policies compare.
const DEPARTMENTS: usize = 10_000;
const COLUMNS: usize = 12;
/// Datasets whose columns are known.
pub(super) const WITH_COLUMNS: usize = 100;
const RESOURCES: usize = 1_000;

/// A kind of policy set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// On whole datasets.
    Mixed,
    /// On rows and cells too.
    MixedData,
    /// Without scope.
    Unscoped,
}

/// Time that stands still.
#[derive(Debug)]
pub(super) struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }
}

/// A PDP over so many policies and all entities, with its folder.
pub(crate) fn open(kind: Kind, size: usize) -> Result<(tempfile::TempDir, Arc<Pdp>)> {
    let folder = tempfile::tempdir()?;
    write_policies(folder.path(), kind, size)?;
    let config = PdpConfig::new(folder.path().to_owned());
    let pdp = Pdp::open(config, Arc::new(FixedClock)).map_err(Error::other)?;
    pdp.apply(entities()).map_err(Error::other)?;
    Ok((folder, pdp))
}

/// A spread that repeats itself only after very many steps, the same in every run.
pub(super) fn spread(n: usize, salt: usize, modulus: usize) -> usize {
    let mixed = (n as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (salt as u64) << 17;
    (mixed.rotate_left(23).wrapping_mul(0xD6E8_FEB8_6659_FD93) >> 33) as usize % modulus
}

pub(super) fn dataset(n: usize) -> DatasetId {
    DatasetId::new(
        format!("d{}", n % 50),
        format!("c{}", n / 50 % 10),
        format!("t{n}"),
    )
}

pub(crate) fn request(n: usize) -> Request {
    let resource = dataset(spread(n, 2, DATASETS)).uid();
    Request::new(&principal(spread(n, 1, USERS)), Action::Select, resource)
}

/// A request on which unscoped policies can say something.
pub(super) fn unscoped_request(n: usize) -> Request {
    let mut principal = principal(spread(n, 1, USERS));
    let department = format!("d{}", spread(n, 9, DEPARTMENTS));
    principal
        .attributes
        .insert("department".to_owned(), department);
    let id = EntityType::RESOURCE.id(format!("workflow:v1:w{}", spread(n, 2, RESOURCES)));
    let mut request = Request::new(&principal, Action::GetResource, id);
    let purpose = format!("p{}", spread(n, 10, DEPARTMENTS));
    request
        .context
        .insert("purpose".to_owned(), Value::from(purpose));
    request
}

pub(super) fn principal(user: usize) -> Principal {
    let mut principal = Principal::new(
        EntityType::USER.id(format!("u{user}")),
        Authentication::ApiKey,
    );
    principal.groups.push(format!("g{}-0", user % 200));
    principal.roles.push(format!("r{}", user % 20));
    principal.attributes.insert(
        "region".to_owned(),
        if user.is_multiple_of(2) {
            "EMEA"
        } else {
            "AMER"
        }
        .to_owned(),
    );
    principal
}

/// The text of one policy.
pub(crate) fn policy(kind: Kind, n: usize) -> String {
    match kind {
        Kind::Mixed => mixed(n, "action == DataOS::Action::\"select\""),
        Kind::MixedData => mixed(n, "action in DataOS::Action::\"read_data\""),
        Kind::Unscoped => unscoped(n),
    }
}

fn unscoped(n: usize) -> String {
    let value = spread(n, 11, DEPARTMENTS);
    let condition = match n % 4 {
        0 => format!(
            "principal.hasTag(\"department\") && principal.getTag(\"department\") == \"d{value}\""
        ),
        1 => format!("context has purpose && context.purpose == \"p{value}\""),
        2 => format!(
            "resource.owner == DataOS::User::\"u{}\"",
            spread(n, 12, USERS)
        ),
        _ => format!("[\"t{value}\", \"x{value}\"].contains(resource[\"type\"])"),
    };
    let effect = if n.is_multiple_of(13) {
        "forbid"
    } else {
        "permit"
    };
    format!(
        "@id(\"p{n}\")\n{effect} (principal, action == DataOS::Action::\"get_resource\", resource) when {{ {condition} }};\n"
    )
}

fn mixed(n: usize, action: &str) -> String {
    let principal = match n % 10 {
        0..=3 => format!("principal == DataOS::User::\"u{}\"", spread(n, 3, USERS)),
        4..=6 => {
            let depth = spread(n, 5, GROUP_DEPTH);
            format!(
                "principal in DataOS::Group::\"g{}-{depth}\"",
                spread(n, 4, 200)
            )
        }
        7 | 8 => format!("principal in DataOS::Role::\"r{}\"", spread(n, 6, 20)),
        _ => "principal".to_owned(),
    };
    let id = dataset(spread(n, 7, DATASETS));
    // A policy for everybody is on one dataset; one for many is on few.
    let resource = match (n % 10, n % 7) {
        (0..=6, 0) => format!("resource in DataOS::Depot::\"{}\"", id.depot),
        (0..=6, 1) => format!("resource in DataOS::Tag::\"t{}\"", spread(n, 8, 500)),
        _ => format!("resource == DataOS::Dataset::\"{id}\""),
    };
    let effect = if n.is_multiple_of(13) {
        "forbid"
    } else {
        "permit"
    };
    let condition = if n.is_multiple_of(3) {
        " when { principal.hasTag(\"region\") && principal.getTag(\"region\") == \"EMEA\" }"
    } else {
        ""
    };
    format!("@id(\"p{n}\")\n{effect} ({principal}, {action}, {resource}){condition};\n")
}

fn write_policies(folder: &Path, kind: Kind, size: usize) -> Result<()> {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/schema.cedarschema");
    fs::copy(schema, folder.join("schema.cedarschema"))?;
    let subject = folder.join("bench");
    fs::create_dir(&subject)?;
    for first in (0..size).step_by(POLICIES_PER_FILE) {
        let text: String = (first..size.min(first + POLICIES_PER_FILE))
            .map(|n| policy(kind, n))
            .collect();
        fs::write(subject.join(format!("{first:07}.cedar")), text)?;
    }
    Ok(())
}

fn entities() -> Vec<EntityChange> {
    let mut all = Vec::new();
    for group in 0..200 {
        for depth in 0..GROUP_DEPTH {
            let parent = (depth + 1 < GROUP_DEPTH)
                .then(|| EntityType::GROUP.id(format!("g{group}-{}", depth + 1)));
            let uid = EntityType::GROUP.id(format!("g{group}-{depth}"));
            all.push(Entity::new(uid).with_parents(parent));
        }
    }
    for depot in 0..50 {
        let depot_uid = EntityType::DEPOT.id(format!("d{depot}"));
        all.push(Entity::new(depot_uid.clone()));
        for collection in 0..10 {
            let uid = EntityType::COLLECTION.id(format!("d{depot}:c{collection}"));
            all.push(Entity::new(uid).with_parents([depot_uid.clone()]));
        }
    }
    for n in 0..DATASETS {
        let id = dataset(n);
        let tag = EntityType::TAG.id(format!("t{}", n % 500));
        let mut dataset = Entity::new(id.uid()).with_parents([id.collection_uid(), tag]);
        // Columns are entities of their own; some datasets have them.
        if n < WITH_COLUMNS {
            let columns: Vec<Column> = (0..COLUMNS).map(column).collect();
            for column in &columns {
                let uid = id.column_uid(&column.name);
                all.push(Entity::new(uid).with_parents([id.uid()]));
            }
            dataset.schema = Some(DatasetSchema { columns });
        }
        all.push(dataset);
    }
    for n in 0..RESOURCES {
        let uid = EntityType::RESOURCE.id(format!("workflow:v1:w{n}"));
        let mut resource = Entity::new(uid);
        let owner = EntityType::USER.id(format!("u{}", spread(n, 12, USERS)));
        resource
            .attributes
            .insert("owner".to_owned(), Value::Entity(owner));
        let of = format!("t{}", spread(n, 13, DEPARTMENTS));
        resource
            .attributes
            .insert("type".to_owned(), Value::from(of));
        all.push(resource);
    }
    all.into_iter().map(EntityChange::Upsert).collect()
}

fn column(n: usize) -> Column {
    Column {
        name: format!("c{n}"),
        column_type: if n.is_multiple_of(2) {
            ColumnType::Int(64)
        } else {
            ColumnType::Text
        },
        is_nullable: n.is_multiple_of(3),
    }
}
