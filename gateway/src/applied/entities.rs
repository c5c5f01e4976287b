//! Entities of one's own types applied over REST: one file each in the data directory, known to the
//! PDP from put to delete. As with policy texts, whoever hands one over keeps it.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use dataos_model::{
    entity::{Entity, EntityChange, EntityUid},
    fault::{Fault, FaultKind},
    hash::Hash,
    json::{self, Bounds},
    seams::{EntitySink, Explore},
};
use dataos_pdp::{Pdp, entity_json};
use serde_json::Value as Json;
use tokio::sync::Mutex;

use super::{Precondition, kept::Kept};

/// Folder within the data directory.
pub(super) const ENTITIES_FOLDER: &str = "applied-entities";
/// Most applied entities.
const ENTITIES_MAX: usize = 100_000;
/// How files of entities end.
const FILE_END: &str = ".json";

/// What a change came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntityChanged {
    /// Whether the entity was not there before.
    pub(crate) is_new: bool,
    /// Tag of the entity that is known now, or was until now.
    pub(crate) tag: Hash,
    /// Digest of the entity snapshot that decisions see now.
    pub(crate) entities: Hash,
}

/// The applied entities.
#[derive(Debug)]
pub(crate) struct AppliedEntities {
    kept: Kept,
    pdp: Arc<Pdp>,
    /// Their texts; held from the look at one to its replacement, on disk and in the PDP.
    texts: Mutex<BTreeMap<EntityUid, String>>,
}

impl AppliedEntities {
    /// Makes all entities of the folder known.
    ///
    /// # Errors
    /// An entity that cannot be read, or that does not fit the policies folder any more.
    pub(crate) fn open(folder: PathBuf, pdp: Arc<Pdp>) -> Result<Self, Fault> {
        let (kept, files) = Kept::open(folder, FILE_END)?;
        let mut texts = BTreeMap::new();
        let mut changes = Vec::with_capacity(files.len());
        for (name, text) in files {
            let read = parsed(text.as_bytes()).and_then(|json| pdp.read_entity(json));
            let entity = read.map_err(|fault| {
                kept.unfit(&name, "an applied entity", "policies folder", fault)
            })?;
            texts.insert(entity.uid.clone(), text);
            changes.push(EntityChange::Upsert(entity));
        }
        pdp.apply(changes).map_err(|fault| {
            Fault {
                message: format!("the applied entities: {}", fault.message),
                ..fault
            }
            .with_hint("take back the last change of the policies folder")
        })?;
        Ok(Self {
            kept,
            pdp,
            texts: Mutex::new(texts),
        })
    }

    /// The PDP that knows them.
    pub(crate) fn pdp(&self) -> &Pdp {
        &self.pdp
    }

    /// The tag of an entity that is applied here.
    pub(crate) async fn tag(&self, uid: &EntityUid) -> Option<Hash> {
        self.texts.lock().await.get(uid).map(Hash::of)
    }

    /// Adds or replaces an entity: checked, then on disk, then known.
    ///
    /// # Errors
    /// An entity that does not fit or is not managed here, a precondition that does not hold, a disk
    /// that cannot be written; in each case nothing changed.
    pub(crate) async fn put(
        &self,
        uid: &EntityUid,
        body: &[u8],
        precondition: &Precondition,
    ) -> Result<EntityChanged, Fault> {
        self.check_managed(uid)?;
        let entity = self.read(uid, body)?;
        let mut texts = self.texts.lock().await;
        let known = texts.get(uid).cloned();
        precondition.check(&uid.to_string(), known.as_ref().map(Hash::of))?;
        if known.is_none() && texts.len() >= ENTITIES_MAX {
            let message = format!("more than {ENTITIES_MAX} applied entities (ENTITIES_MAX)");
            return Err(Fault::new(FaultKind::TooLarge, message));
        }
        let text = json::canonical(&entity_json(&entity));
        let name = file_name(uid);
        self.kept.write(&name, Some(&text))?;
        let entities = match self.pdp.apply(vec![EntityChange::Upsert(entity)]) {
            Ok(entities) => entities,
            Err(fault) => {
                self.kept.write(&name, known.as_deref())?;
                return Err(fault);
            }
        };
        let tag = Hash::of(&text);
        texts.insert(uid.clone(), text);
        Ok(EntityChanged {
            is_new: known.is_none(),
            tag,
            entities,
        })
    }

    /// Makes an entity unknown, then removes it.
    ///
    /// # Errors
    /// No such entity, one that is not managed here, a precondition that does not hold, or a disk that
    /// cannot be written.
    pub(crate) async fn delete(
        &self,
        uid: &EntityUid,
        precondition: &Precondition,
    ) -> Result<EntityChanged, Fault> {
        self.check_managed(uid)?;
        let mut texts = self.texts.lock().await;
        let Some(known) = texts.get(uid).cloned() else {
            return Err(Fault::not_found(format!("{uid} is not applied"))
                .with_hint("dataos-ctl entities list shows the entities of own types"));
        };
        let tag = Hash::of(&known);
        precondition.check(&uid.to_string(), Some(tag))?;
        let name = file_name(uid);
        self.kept.write(&name, None)?;
        let entities = match self.pdp.apply(vec![EntityChange::Remove(uid.clone())]) {
            Ok(entities) => entities,
            Err(fault) => {
                self.kept.write(&name, Some(&known))?;
                return Err(fault);
            }
        };
        texts.remove(uid);
        Ok(EntityChanged {
            is_new: false,
            tag,
            entities,
        })
    }

    /// Refuses what is changed somewhere else.
    fn check_managed(&self, uid: &EntityUid) -> Result<(), Fault> {
        let conflict = |message: String, hint: &str| {
            Err(Fault::new(FaultKind::Conflict, message).with_hint(hint))
        };
        if uid.entity_type.is_ours() {
            return conflict(
                format!("{uid} is of one of our types, whose entities are not changed here"),
                "change users, tags and resources where they are managed; here are own types",
            );
        }
        if let Some(file) = self.pdp.entity_file(uid) {
            return conflict(
                format!("{uid} is in {file} of the policies folder"),
                "change the file; the folder is loaded when it changes",
            );
        }
        if !self.pdp.vocabulary().has_type(&uid.entity_type) {
            let message = format!("no schema declares `{}`", uid.entity_type.name());
            return Err(Fault::invalid(message)
                .with_hint("declare the type in a .cedarschema file of the policies folder"));
        }
        Ok(())
    }

    /// The entity of a body; the body may leave its name out, and may not name another.
    fn read(&self, uid: &EntityUid, body: &[u8]) -> Result<Entity, Fault> {
        let mut json = parsed(body)?;
        let name = serde_json::json!({"type": uid.entity_type.whole_name(), "id": uid.id});
        if let Some(fields) = json.as_object_mut() {
            fields.entry("uid").or_insert(name);
            for (field, empty) in [("attrs", "{}"), ("parents", "[]")] {
                let empty = empty.parse().unwrap_or(Json::Null);
                fields.entry(field).or_insert(empty);
            }
        }
        let entity = self.pdp.read_entity(json)?;
        if entity.uid != *uid {
            let message = format!("the body is {}, the path {uid}", entity.uid);
            return Err(Fault::invalid(message));
        }
        Ok(entity)
    }
}

/// Ids are any text, file names are not.
fn file_name(uid: &EntityUid) -> String {
    Hash::of(uid.to_string()).to_string()
}

fn parsed(body: &[u8]) -> Result<Json, Fault> {
    json::parse(body, &Bounds::SMALL).map_err(|error| {
        let kind = if error.is_too_large {
            FaultKind::TooLarge
        } else {
            FaultKind::Invalid
        };
        let location = dataos_model::fault::Location {
            line: (error.line > 0).then_some(error.line),
            column: (error.line > 0).then_some(error.column),
            ..Default::default()
        };
        Fault::new(kind, format!("the entity is not taken: {}", error.problem)).at(location)
    })
}

#[cfg(test)]
mod tests {
    use dataos_model::{
        clock::{Clock, Timestamp},
        entity::EntityType,
    };
    use dataos_pdp::{PdpConfig, write_shipped};

    use super::*;

    #[derive(Debug)]
    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> Timestamp {
            Timestamp(43_200_000)
        }
    }

    const SHOP: &str = "namespace Shop { entity Folder in [Folder]; entity Record in [Folder] = { level: Long }; }";

    fn open(folder: &std::path::Path) -> Result<AppliedEntities, Fault> {
        let policies = folder.join("policies");
        if !policies.exists() {
            write_shipped(&policies).unwrap();
            std::fs::write(policies.join("shop.cedarschema"), SHOP).unwrap();
            std::fs::create_dir(policies.join("entities")).unwrap();
            let file = r#"[{"uid": {"type": "Shop::Record", "id": "filed"}, "attrs": {"level": 1}, "parents": []}]"#;
            std::fs::write(policies.join("entities/a.json"), file).unwrap();
        }
        let pdp = Pdp::open(PdpConfig::new(policies), Arc::new(Noon))?;
        AppliedEntities::open(folder.join("applied"), pdp)
    }

    fn record(id: &str) -> EntityUid {
        EntityType::within("Shop", "Record").id(id)
    }

    fn condition(if_match: Option<&str>) -> Precondition {
        Precondition::parse(if_match, None).unwrap()
    }

    #[tokio::test]
    async fn an_entity_is_known_until_it_is_deleted_and_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let applied = open(folder.path()).unwrap();
        let uid = record("a/\"b\"");
        let body = br#"{"attrs": {"level": 7}, "parents": [{"type": "Shop::Folder", "id": "f"}]}"#;
        let put = applied.put(&uid, body, &condition(None)).await.unwrap();
        assert!(put.is_new && applied.pdp().entity(&uid).is_some());
        drop(applied);
        let applied = open(folder.path()).unwrap();
        let known = applied.pdp().entity(&uid).unwrap();
        assert_eq!(
            known.parents,
            [EntityType::within("Shop", "Folder").id("f")]
        );
        let blind = applied.put(&uid, body, &condition(None)).await.unwrap_err();
        assert_eq!(blind.kind, FaultKind::PreconditionRequired);
        assert_eq!(applied.tag(&uid).await, Some(put.tag));
        let tag = format!("\"{}\"", put.tag);
        let deleted = applied.delete(&uid, &condition(Some(&tag))).await.unwrap();
        assert!(!deleted.is_new && applied.pdp().entity(&uid).is_none());
        let gone = applied
            .delete(&uid, &condition(Some("*")))
            .await
            .unwrap_err();
        assert_eq!(gone.kind, FaultKind::NotFound);
        drop(applied);
        assert!(open(folder.path()).unwrap().pdp().entity(&uid).is_none());
    }

    #[tokio::test]
    async fn what_is_refused_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let applied = open(folder.path()).unwrap();
        let good = r#"{"attrs": {"level": 7}}"#;
        let folder_uid = EntityType::within("Shop", "Folder").id("f");
        for (uid, body, kind, message) in [
            (
                EntityType::USER.id("ann"),
                "{}",
                FaultKind::Conflict,
                "one of our types",
            ),
            (
                record("filed"),
                good,
                FaultKind::Conflict,
                "entities/a.json",
            ),
            (
                EntityType::within("Lib", "Record").id("x"),
                good,
                FaultKind::Invalid,
                "Lib::Record",
            ),
            (record("x"), "{}", FaultKind::Invalid, "level"),
            (
                record("x"),
                r#"{"attrs": {"level": 1.5}}"#,
                FaultKind::Invalid,
                "1.5",
            ),
            (
                record("x"),
                r#"{"attrs": {"level": NaN}}"#,
                FaultKind::Invalid,
                "not taken",
            ),
            (
                record("x"),
                r#"{"attrs": {"level": 1, "level": 2}}"#,
                FaultKind::Invalid,
                "twice",
            ),
            (
                record("x"),
                r#"{"attrs": {"level": 1}, "more": 1}"#,
                FaultKind::Invalid,
                "more",
            ),
            (
                record("x"),
                r#"{"uid": {"type": "Shop::Record", "id": "y"}, "attrs": {"level": 1}}"#,
                FaultKind::Invalid,
                "the path",
            ),
            (
                folder_uid,
                r#"{"parents": [{"type": "Shop::Folder", "id": "f"}]}"#,
                FaultKind::Invalid,
                "its own ancestor",
            ),
        ] {
            let fault = applied
                .put(&uid, body.as_bytes(), &condition(None))
                .await
                .unwrap_err();
            assert_eq!(fault.kind, kind, "{body}: {fault}");
            assert!(fault.message.contains(message), "{body}: {fault}");
        }
        let kept = std::fs::read_dir(folder.path().join("applied")).unwrap();
        assert_eq!(kept.count(), 0);
    }

    #[tokio::test]
    async fn an_entity_that_fits_no_more_stops_the_start_and_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let applied = open(folder.path()).unwrap();
        let body = br#"{"attrs": {"level": 7}}"#;
        applied
            .put(&record("x"), body, &condition(None))
            .await
            .unwrap();
        drop(applied);
        let schema = folder.path().join("policies/shop.cedarschema");
        std::fs::write(
            schema,
            SHOP.replace("level: Long", "level: Long, kind?: Long"),
        )
        .unwrap();
        drop(open(folder.path()).unwrap());
        let schema = folder.path().join("policies/shop.cedarschema");
        std::fs::write(
            schema,
            SHOP.replace(
                "entity Record in [Folder] = { level: Long }",
                "entity Record = { level: Long, kind: Long }",
            ),
        )
        .unwrap();
        std::fs::remove_file(folder.path().join("policies/entities/a.json")).unwrap();
        let fault = open(folder.path()).unwrap_err();
        assert!(fault.hint.unwrap().contains("applied"), "{}", fault.message);
    }
}
