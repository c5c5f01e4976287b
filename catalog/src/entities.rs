//! The entities that the PDP decides on, as the difference between two snapshots.

use std::collections::{BTreeMap, BTreeSet};

use dataos_model::{
    dataset::DatasetId,
    depot::{AssetSnapshot, Dataset, Depot, DepotSource},
    entity::{Entity, EntityChange, EntityType, EntityUid},
};

use crate::names::tag_levels;

/// The collection that every folder depot has, so that a first dataset can be created in it.
pub(crate) const MAIN_COLLECTION: &str = "main";

/// What a transaction touched: depots by name and datasets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Touched {
    /// Names of depots.
    pub(crate) depots: BTreeSet<String>,
    /// Datasets.
    pub(crate) datasets: BTreeSet<DatasetId>,
}

impl Touched {
    /// All that is in a snapshot.
    pub(crate) fn all(snapshot: &AssetSnapshot) -> Self {
        Self {
            depots: snapshot.depots.keys().cloned().collect(),
            datasets: snapshot.datasets.keys().cloned().collect(),
        }
    }
}

/// The changes that lead from `old` to `new`, where nothing but `touched` differs. Tags are never
/// removed: other rooms' entities may be in them, and a tag that nothing carries changes nothing.
pub(crate) fn difference(
    old: &AssetSnapshot,
    new: &AssetSnapshot,
    touched: &Touched,
) -> Vec<EntityChange> {
    let before = entities(old, touched);
    let after = entities(new, touched);
    let is_gone = |uid: &&EntityUid| !after.contains_key(uid) && uid.entity_type != EntityType::TAG;
    let removed: Vec<_> = before
        .keys()
        .filter(is_gone)
        .cloned()
        .map(EntityChange::Remove)
        .collect();
    let mut changes: Vec<_> = after
        .into_iter()
        .filter(|(uid, entity)| before.get(uid) != Some(entity))
        .map(|(_, entity)| EntityChange::Upsert(entity))
        .collect();
    changes.extend(removed);
    changes
}

fn entities(snapshot: &AssetSnapshot, touched: &Touched) -> BTreeMap<EntityUid, Entity> {
    let mut found = BTreeMap::new();
    let mut add = |entity: Entity| {
        for tag in entity
            .parents
            .iter()
            .filter(|uid| uid.entity_type == EntityType::TAG)
        {
            found.extend(tag_entities(&tag.id).map(|entity| (entity.uid.clone(), entity)));
        }
        found.insert(entity.uid.clone(), entity);
    };
    let mut collections: BTreeSet<(&str, &str)> = touched
        .depots
        .iter()
        .map(|name| (name.as_str(), MAIN_COLLECTION))
        .collect();
    for depot in touched
        .depots
        .iter()
        .filter_map(|name| snapshot.depots.get(name))
    {
        add(depot_entity(depot));
    }
    for id in &touched.datasets {
        collections.insert((&id.depot, &id.collection));
        if let Some(dataset) = snapshot.datasets.get(id) {
            dataset_entities(dataset).into_iter().for_each(&mut add);
        }
    }
    for (depot, collection) in collections {
        if has_collection(snapshot, depot, collection) {
            let id = DatasetId::new(depot, collection, "");
            add(Entity::new(id.collection_uid()).with_parents([id.depot_uid()]));
        }
    }
    found
}

fn has_collection(snapshot: &AssetSnapshot, depot: &str, collection: &str) -> bool {
    let is_folder = snapshot
        .depots
        .get(depot)
        .is_some_and(|depot| matches!(depot.source, DepotSource::Files { .. }));
    // The empty name sorts before every dataset of the collection.
    let first = snapshot
        .datasets
        .range(DatasetId::new(depot, collection, "")..)
        .next();
    is_folder && collection == MAIN_COLLECTION
        || first.is_some_and(|(id, _)| id.depot == depot && id.collection == collection)
}

fn depot_entity(depot: &Depot) -> Entity {
    Entity::new(EntityType::DEPOT.id(&depot.name)).with_parents(tag_uids(&depot.tags))
}

fn dataset_entities(dataset: &Dataset) -> Vec<Entity> {
    let id = &dataset.id;
    let mut entity = Entity::new(id.uid())
        .with_parents([id.collection_uid()])
        .with_parents(tag_uids(&dataset.tags));
    entity.schema = Some(dataset.schema.as_ref().clone());
    let column = |name: &String| {
        let tags = dataset.column_tags.get(name).into_iter().flat_map(tag_uids);
        Entity::new(id.column_uid(name))
            .with_parents([id.uid()])
            .with_parents(tags)
    };
    let columns = dataset.schema.columns.iter().map(|c| column(&c.name));
    std::iter::once(entity).chain(columns).collect()
}

fn tag_uids(tags: &BTreeSet<String>) -> impl Iterator<Item = EntityUid> {
    tags.iter().map(|tag| EntityType::TAG.id(tag))
}

fn tag_entities(tag: &str) -> impl Iterator<Item = Entity> {
    tag_levels(tag).map(|level| {
        let parent = tag_levels(level)
            .nth(1)
            .map(|parent| EntityType::TAG.id(parent));
        Entity::new(EntityType::TAG.id(level)).with_parents(parent)
    })
}
