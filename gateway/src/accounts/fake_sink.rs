//! An entity sink that remembers, and refuses on demand.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use dataos_model::{
    entity::{Entity, EntityChange, EntityType, EntityUid},
    fault::Fault,
    hash::Hash,
    seams::EntitySink,
};

#[derive(Debug, Default)]
pub(crate) struct FakeSink {
    entities: Mutex<BTreeMap<EntityUid, Entity>>,
    is_refusing: AtomicBool,
}

impl FakeSink {
    pub(crate) fn refuse(&self, is_refusing: bool) {
        self.is_refusing.store(is_refusing, Ordering::SeqCst);
    }

    pub(crate) fn all(&self) -> Vec<Arc<Entity>> {
        let entities = self.entities.lock().unwrap();
        entities.values().cloned().map(Arc::new).collect()
    }

    pub(crate) fn get(&self, uid: &EntityUid) -> Option<Entity> {
        self.entities.lock().unwrap().get(uid).cloned()
    }

    pub(crate) fn user(&self, id: &str) -> Option<Entity> {
        self.get(&EntityType::USER.id(id))
    }
}

impl EntitySink for FakeSink {
    fn apply(&self, changes: Vec<EntityChange>) -> Result<Hash, Fault> {
        if self.is_refusing.load(Ordering::SeqCst) {
            return Err(Fault::invalid("it does not fit the schema"));
        }
        let mut entities = self.entities.lock().unwrap();
        for change in changes {
            match change {
                EntityChange::Upsert(entity) => entities.insert(entity.uid.clone(), entity),
                EntityChange::Remove(uid) => entities.remove(&uid),
            };
        }
        Ok(Hash::of("entities"))
    }
}
