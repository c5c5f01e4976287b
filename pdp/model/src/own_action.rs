//! Actions that a schema beside ours declares, as handles that are copied and compared like ours.
//!
//! A name gets its handle when a schema that declares it is loaded, never because a request says it:
//! requests cannot make the table grow. A handle is never taken back while the process runs, so the
//! number of names is bounded for its whole life.

use std::{
    cmp::Ordering,
    collections::BTreeMap,
    fmt,
    hash::{Hash, Hasher},
    sync::{PoisonError, RwLock},
};

/// Most names of own actions over the life of a process.
pub const OWN_ACTION_NAMES_MAX: usize = 65_536;
/// Longest name of an own action, namespace included, in bytes.
pub const OWN_ACTION_BYTES_MAX: usize = 256;

/// All handles given out, by name.
static DECLARED: RwLock<BTreeMap<&'static str, OwnAction>> = RwLock::new(BTreeMap::new());

/// The handle of an own action. Two are equal if and only if their names are.
#[derive(Clone, Copy)]
pub struct OwnAction {
    number: u32,
    name: &'static str,
}

/// A name that gets no handle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDeclared {
    /// It is not `Namespace::name`.
    #[error(
        "`{0}` is no name of an own action: it has a namespace, and behind it letters, digits, `_`, `-` and `.` (at most {OWN_ACTION_BYTES_MAX} bytes, OWN_ACTION_BYTES_MAX)"
    )]
    Malformed(String),
    /// There are [`OWN_ACTION_NAMES_MAX`] others.
    #[error(
        "more than {OWN_ACTION_NAMES_MAX} names of own actions since the start (OWN_ACTION_NAMES_MAX); restart the server"
    )]
    TooMany,
}

impl OwnAction {
    /// The handle of a whole name, `Shop::read`; it gets one if it has none.
    ///
    /// # Errors
    /// A malformed name, or too many names.
    pub fn declare(name: &str) -> Result<Self, NotDeclared> {
        if !is_whole(name) {
            return Err(NotDeclared::Malformed(name.to_owned()));
        }
        if let Some(known) = Self::find(name) {
            return Ok(known);
        }
        let mut declared = DECLARED.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = declared.get(name) {
            return Ok(*known);
        }
        if declared.len() >= OWN_ACTION_NAMES_MAX {
            return Err(NotDeclared::TooMany);
        }
        let number = u32::try_from(declared.len()).map_err(|_| NotDeclared::TooMany)?;
        let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
        let action = Self { number, name };
        declared.insert(name, action);
        Ok(action)
    }

    /// The handle of a whole name, if a schema has declared it.
    pub fn find(name: &str) -> Option<Self> {
        let declared = DECLARED.read().unwrap_or_else(PoisonError::into_inner);
        declared.get(name).copied()
    }

    /// The whole name, `Shop::read`.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// Below [`OWN_ACTION_NAMES_MAX`].
    pub(crate) fn number(self) -> u32 {
        self.number
    }

    /// Namespace and name in it: `Shop` and `read`.
    pub fn parts(self) -> (&'static str, &'static str) {
        self.name.rsplit_once("::").unwrap_or(("", self.name))
    }
}

fn is_whole(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let Some((namespace, id)) = name.rsplit_once("::") else {
        return false;
    };
    name.len() <= OWN_ACTION_BYTES_MAX
        && !namespace.is_empty()
        && !id.is_empty()
        && id.chars().all(is_plain)
}

impl fmt::Debug for OwnAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for OwnAction {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for OwnAction {}

impl PartialOrd for OwnAction {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for OwnAction {
    fn cmp(&self, other: &Self) -> Ordering {
        self.number.cmp(&other.number)
    }
}

impl Hash for OwnAction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::action::Action;

    #[test]
    fn no_two_actions_have_one_number() {
        let own = OwnAction::declare("NumberTest::read").unwrap();
        let other = OwnAction::declare("NumberTest::write").unwrap();
        let all = Action::ALL.iter().copied();
        let all: Vec<Action> = all.chain([own, other].map(Action::Own)).collect();
        let numbers: BTreeSet<u32> = all.iter().map(|action| action.number()).collect();
        assert_eq!(numbers.len(), all.len());
        assert!(numbers.iter().all(|number| *number < 1 << 17));
    }

    #[test]
    fn a_name_has_one_handle_and_only_a_schema_gives_it() {
        assert_eq!(OwnAction::find("HandleTest::read"), None);
        let read = OwnAction::declare("HandleTest::read").unwrap();
        let other = OwnAction::declare("HandleTest::Inner::read").unwrap();
        assert_eq!(OwnAction::declare("HandleTest::read").unwrap(), read);
        assert_eq!(OwnAction::find("HandleTest::read"), Some(read));
        assert_ne!(read, other);
        assert_eq!(other.parts(), ("HandleTest::Inner", "read"));
        for wrong in ["read", "::read", "A::", "A::b c", "A::\u{e9}", "A::\"b\""] {
            assert!(OwnAction::declare(wrong).is_err(), "{wrong}");
        }
    }
}
