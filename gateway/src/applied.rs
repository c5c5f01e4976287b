//! Policy texts applied over REST: one file each in the data directory, in force from put to delete.
//!
//! Whoever hands a text to the PDP keeps it and hands it over again at the next start: the
//! orchestrator does so for policy resources, from its manifests, and this for texts applied here.
//! The PDP itself keeps nothing, so no text has two homes that could differ. Files, and not rows of
//! the metadata database, because a policy that denies must be in force before anything else opens,
//! and because a person with nothing but a shell can read them and take one away.

mod entities;
mod kept;
mod links;
mod precondition;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use dataos_model::{
    fault::{Fault, FaultKind},
    hash::Hash,
    policy::PolicyText,
    seams::{Explore, Policies},
};
use dataos_pdp::Pdp;
use tokio::sync::Mutex;

use entities::ENTITIES_FOLDER;
pub(crate) use entities::{AppliedEntities, EntityChanged};
use kept::Kept;
use links::LINKS_FOLDER;
pub(crate) use links::{AppliedLink, AppliedLinks, LinkFields};
pub(crate) use precondition::Precondition;

/// Folder within the data directory.
pub(crate) const FOLDER: &str = "applied-policies";
/// Most texts.
const TEXTS_MAX: usize = 10_000;
/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 63;
/// How files of texts end.
const FILE_END: &str = ".cedar";

/// All that was applied over REST.
#[derive(Clone, Debug)]
pub(crate) struct Applied {
    pub(crate) texts: Arc<AppliedPolicies>,
    pub(crate) links: Arc<AppliedLinks>,
    pub(crate) entities: Arc<AppliedEntities>,
}

impl Applied {
    /// Puts all of a data directory in force.
    ///
    /// # Errors
    /// A text, link or entity that cannot be read, or that does not fit the policies any more.
    pub(crate) async fn open(folder: &Path, pdp: &Arc<Pdp>) -> Result<Self, Fault> {
        let entities = AppliedEntities::open(folder.join(ENTITIES_FOLDER), Arc::clone(pdp))?;
        let policies = || Arc::clone(pdp) as Arc<dyn Policies>;
        let texts = AppliedPolicies::open(folder.join(FOLDER), policies()).await?;
        // Behind the texts, which hold templates.
        let links =
            AppliedLinks::open(folder.join(LINKS_FOLDER), policies(), &pdp.vocabulary()).await?;
        Ok(Self {
            texts: Arc::new(texts),
            links: Arc::new(links),
            entities: Arc::new(entities),
        })
    }
}

/// An applied text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AppliedText {
    /// Its Cedar text.
    pub(crate) cedar: String,
    /// Digest of the text, as entity tags carry it.
    pub(crate) tag: Hash,
}

impl AppliedText {
    fn new(cedar: String) -> Self {
        Self {
            tag: Hash::of(&cedar),
            cedar,
        }
    }
}

/// What a change came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Changed {
    /// Whether the text was not there before.
    pub(crate) is_new: bool,
    /// Tag of the text that is in force now, or was until now.
    pub(crate) tag: Hash,
    /// Digest of the policy set that is in force now.
    pub(crate) policy_set: Hash,
}

/// The applied texts.
#[derive(Debug)]
pub(crate) struct AppliedPolicies {
    kept: Kept,
    policies: Arc<dyn Policies>,
    /// By name; held from the look at a text to its replacement, on disk and in force.
    texts: Mutex<BTreeMap<String, AppliedText>>,
}

impl AppliedPolicies {
    /// Puts all texts of the folder in force.
    ///
    /// # Errors
    /// A text that cannot be read, or that does not fit the policies folder any more.
    pub(crate) async fn open(folder: PathBuf, policies: Arc<dyn Policies>) -> Result<Self, Fault> {
        let (kept, files) = Kept::open(folder, FILE_END)?;
        let mut texts = BTreeMap::new();
        for (name, cedar) in files {
            let text = PolicyText {
                source: name.clone(),
                cedar: cedar.clone(),
            };
            policies.put(text).await.map_err(|fault| {
                let what = format!("the applied policy text `{name}`");
                kept.unfit(&name, &what, "policies folder", fault)
            })?;
            texts.insert(name, AppliedText::new(cedar));
        }
        Ok(Self {
            kept,
            policies,
            texts: Mutex::new(texts),
        })
    }

    /// All texts, by name.
    pub(crate) async fn list(&self) -> BTreeMap<String, AppliedText> {
        self.texts.lock().await.clone()
    }

    /// One text.
    pub(crate) async fn get(&self, name: &str) -> Option<AppliedText> {
        self.texts.lock().await.get(name).cloned()
    }

    /// Adds or replaces a text: checked, then on disk, then in force.
    ///
    /// # Errors
    /// A text that does not load, a precondition that does not hold, a disk that cannot be written;
    /// in each case nothing changed.
    pub(crate) async fn put(
        &self,
        name: &str,
        cedar: String,
        precondition: &Precondition,
    ) -> Result<Changed, Fault> {
        check_name(name)?;
        let mut texts = self.texts.lock().await;
        let known = texts.get(name).cloned();
        precondition.check(name, known.as_ref().map(|text| text.tag))?;
        if known.is_none() && texts.len() >= TEXTS_MAX {
            let message = format!("more than {TEXTS_MAX} applied texts (TEXTS_MAX)");
            return Err(Fault::new(FaultKind::TooLarge, message));
        }
        let text = PolicyText {
            source: name.to_owned(),
            cedar: cedar.clone(),
        };
        self.policies.check(std::slice::from_ref(&text)).await?;
        self.kept.write(name, Some(&cedar))?;
        let policy_set = match self.policies.put(text).await {
            Ok(policy_set) => policy_set,
            // The folder was reloaded in between and does not fit any more.
            Err(fault) => {
                self.kept
                    .write(name, known.as_ref().map(|text| text.cedar.as_str()))?;
                return Err(fault);
            }
        };
        let text = AppliedText::new(cedar);
        let tag = text.tag;
        texts.insert(name.to_owned(), text);
        Ok(Changed {
            is_new: known.is_none(),
            tag,
            policy_set,
        })
    }

    /// Takes a text out of force, then away.
    ///
    /// # Errors
    /// No such text, a precondition that does not hold, or a disk that cannot be written.
    pub(crate) async fn delete(
        &self,
        name: &str,
        precondition: &Precondition,
    ) -> Result<Changed, Fault> {
        let mut texts = self.texts.lock().await;
        let Some(known) = texts.get(name).cloned() else {
            return Err(self.not_applied(name));
        };
        precondition.check(name, Some(known.tag))?;
        // A template that links use stays; without this look, a crash could lose its file.
        self.policies.check_removal(name).await?;
        self.kept.write(name, None)?;
        let policy_set = match self.policies.remove(name).await {
            Ok(policy_set) => policy_set,
            Err(fault) => {
                self.kept.write(name, Some(&known.cedar))?;
                return Err(fault);
            }
        };
        texts.remove(name);
        Ok(Changed {
            is_new: false,
            tag: known.tag,
            policy_set,
        })
    }

    /// Why there is nothing to change under this name.
    fn not_applied(&self, name: &str) -> Fault {
        match check_name(name) {
            Err(fault) if fault.kind == FaultKind::Conflict => fault,
            _ => Fault::not_found(format!("no policy text `{name}` is applied"))
                .with_hint("dataos-ctl policy list shows where each policy comes from"),
        }
    }
}

/// Names of texts; what cannot be one says what it is instead.
fn check_name(name: &str) -> Result<(), Fault> {
    let conflict = |what: &str, hint: &str| {
        Err(Fault::new(FaultKind::Conflict, format!("`{name}` is {what}")).with_hint(hint))
    };
    if name.ends_with(FILE_END) || name.contains('/') {
        return conflict(
            "a file of the policies folder",
            "change the file; the folder is loaded when it changes",
        );
    }
    if name.contains(':') {
        return conflict(
            "the policy of a resource",
            "apply its manifest again, or delete the resource",
        );
    }
    if is_plain_name(name) {
        return Ok(());
    }
    Err(Fault::invalid(format!("`{name}` is no name for a policy text")).with_hint(format!(
        "use a to z, 0 to 9, `.`, `_` and `-`, starting with a letter or digit, at most {NAME_BYTES_MAX} bytes"
    )))
}

/// Names that are file names as they stand.
fn is_plain_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.bytes().next().is_some_and(is_plain)
        && name
            .bytes()
            .all(|byte| is_plain(byte) || b"._-".contains(&byte))
        && name.len() <= NAME_BYTES_MAX
}

#[cfg(test)]
mod tests;
