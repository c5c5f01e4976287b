//! Links applied over REST: one JSON file each in the data directory, as texts have theirs.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use dataos_model::{
    entity::EntityUid,
    fault::{Fault, FaultKind},
    hash::Hash,
    policy::PolicyLink,
    seams::Policies,
    vocabulary::Vocabulary,
};
use dataos_pdp::authzen::{principal_named, resource_named};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::{Changed, NAME_BYTES_MAX, Precondition, is_plain_name, kept::Kept};

/// Folder within the data directory.
pub(super) const LINKS_FOLDER: &str = "applied-links";
/// Most links that are kept here.
const LINKS_MAX: usize = 10_000;
/// How files of links end.
const FILE_END: &str = ".json";

/// A link as it is sent and stored: a template, and an entity for each of its slots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkFields {
    pub(crate) template: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resource: Option<String>,
}

impl LinkFields {
    /// The same with entities written in full, so that equal links have equal tags.
    fn canonical(
        self,
        vocabulary: &Vocabulary,
    ) -> Result<(Self, Option<EntityUid>, Option<EntityUid>), Fault> {
        let resource_named = |text| resource_named(text, vocabulary);
        let principal = self.principal.as_deref().map(principal_named).transpose()?;
        let resource = self.resource.as_deref().map(resource_named).transpose()?;
        let written = |uid: &EntityUid| uid.to_string();
        let fields = Self {
            template: self.template,
            principal: principal.as_ref().map(written),
            resource: resource.as_ref().map(written),
        };
        Ok((fields, principal, resource))
    }
}

/// A link that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AppliedLink {
    pub(crate) fields: LinkFields,
    /// Digest of its fields, as entity tags carry it.
    pub(crate) tag: Hash,
}

/// The applied links.
#[derive(Debug)]
pub(crate) struct AppliedLinks {
    kept: Kept,
    policies: Arc<dyn Policies>,
    /// By id; held from the look at a link to its replacement, on disk and in force.
    links: Mutex<BTreeMap<String, AppliedLink>>,
}

impl AppliedLinks {
    /// Puts all links of the folder in force; their templates are in force already.
    ///
    /// # Errors
    /// A link that cannot be read, or that fits no template any more.
    pub(crate) async fn open(
        folder: PathBuf,
        policies: Arc<dyn Policies>,
        vocabulary: &Vocabulary,
    ) -> Result<Self, Fault> {
        let (kept, files) = Kept::open(folder, FILE_END)?;
        let mut links = BTreeMap::new();
        for (id, text) in files {
            let what = format!("the applied link `{id}`");
            let unfit = |fault| kept.unfit(&id, &what, "policies", fault);
            let fields: LinkFields = serde_json::from_str(&text)
                .map_err(|error| unfit(Fault::new(FaultKind::Damaged, error.to_string())))?;
            let (link, applied, _) = read(&id, fields, vocabulary).map_err(unfit)?;
            policies.put_link(link).await.map_err(unfit)?;
            links.insert(id, applied);
        }
        Ok(Self {
            kept,
            policies,
            links: Mutex::new(links),
        })
    }

    /// All links, by id.
    pub(crate) async fn list(&self) -> BTreeMap<String, AppliedLink> {
        self.links.lock().await.clone()
    }

    /// One link.
    pub(crate) async fn get(&self, id: &str) -> Option<AppliedLink> {
        self.links.lock().await.get(id).cloned()
    }

    /// Adds or replaces a link: checked, then on disk, then in force.
    ///
    /// # Errors
    /// A link that fits no template, a precondition that does not hold, a disk that cannot be
    /// written; in each case nothing changed.
    pub(crate) async fn put(
        &self,
        id: &str,
        fields: LinkFields,
        precondition: &Precondition,
        vocabulary: &Vocabulary,
    ) -> Result<Changed, Fault> {
        check_id(id)?;
        let mut links = self.links.lock().await;
        let known = links.get(id).cloned();
        precondition.check(id, known.as_ref().map(|link| link.tag))?;
        if known.is_none() && links.len() >= LINKS_MAX {
            let message = format!("more than {LINKS_MAX} applied links (LINKS_MAX)");
            return Err(Fault::new(FaultKind::TooLarge, message));
        }
        let (link, applied, stored) = read(id, fields, vocabulary)?;
        self.policies.check_link(&link).await?;
        self.kept.write(id, Some(&stored))?;
        let policy_set = match self.policies.put_link(link).await {
            Ok(policy_set) => policy_set,
            // The templates changed in between.
            Err(fault) => {
                self.restore(id, known)?;
                return Err(fault);
            }
        };
        let tag = applied.tag;
        links.insert(id.to_owned(), applied);
        Ok(Changed {
            is_new: known.is_none(),
            tag,
            policy_set,
        })
    }

    /// Takes a link out of force, then away.
    ///
    /// # Errors
    /// No such link, a precondition that does not hold, or a disk that cannot be written.
    pub(crate) async fn delete(
        &self,
        id: &str,
        precondition: &Precondition,
    ) -> Result<Changed, Fault> {
        let mut links = self.links.lock().await;
        let Some(known) = links.get(id).cloned() else {
            return Err(Fault::not_found(format!("no link `{id}` is applied"))
                .with_hint("dataos-ctl policy links lists them"));
        };
        precondition.check(id, Some(known.tag))?;
        self.kept.write(id, None)?;
        let tag = known.tag;
        let policy_set = match self.policies.remove_link(id).await {
            Ok(policy_set) => policy_set,
            Err(fault) => {
                self.restore(id, Some(known))?;
                return Err(fault);
            }
        };
        links.remove(id);
        Ok(Changed {
            is_new: false,
            tag,
            policy_set,
        })
    }

    fn restore(&self, id: &str, known: Option<AppliedLink>) -> Result<(), Fault> {
        match known {
            Some(known) => self.kept.write(id, Some(&stored(&known.fields)?)),
            None => self.kept.write(id, None),
        }
    }
}

/// A link for the PDP, as it is shown, and as it is stored.
fn read(
    id: &str,
    fields: LinkFields,
    vocabulary: &Vocabulary,
) -> Result<(PolicyLink, AppliedLink, String), Fault> {
    let (fields, principal, resource) = fields.canonical(vocabulary)?;
    let stored = stored(&fields)?;
    let link = PolicyLink {
        id: id.to_owned(),
        template: fields.template.clone(),
        principal,
        resource,
    };
    let tag = Hash::of(&stored);
    Ok((link, AppliedLink { fields, tag }, stored))
}

/// Canonical fields as they are stored.
fn stored(fields: &LinkFields) -> Result<String, Fault> {
    serde_json::to_string(fields)
        .map_err(|error| Fault::internal(format!("a link that is no JSON: {error}")))
}

fn check_id(id: &str) -> Result<(), Fault> {
    if is_plain_name(id) {
        return Ok(());
    }
    Err(Fault::invalid(format!("`{id}` is no id for a link")).with_hint(format!(
        "use a to z, 0 to 9, `.`, `_` and `-`, starting with a letter or digit, at most {NAME_BYTES_MAX} bytes"
    )))
}
