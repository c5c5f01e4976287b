//! `If-Match` and `If-None-Match` of a change (RFC 9110, section 13.1).

use dataos_model::{
    fault::{Fault, FaultKind},
    hash::Hash,
};

/// Most entity tags in one header.
const TAGS_MAX: usize = 100;

/// What must hold of the present text for a change to happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Precondition {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    /// `*`.
    Any,
    /// Tags, each with whether it is weak.
    Listed(Vec<(String, bool)>),
}

impl Precondition {
    /// From the two headers.
    ///
    /// # Errors
    /// A header that is no list of entity tags.
    pub(crate) fn parse(
        if_match: Option<&str>,
        if_none_match: Option<&str>,
    ) -> Result<Self, Fault> {
        let tags = |name: &str, value: Option<&str>| {
            let parsed = value.map(|value| {
                Tags::parse(value).ok_or_else(|| {
                    Fault::invalid(format!("{name} is neither `*` nor a list of entity tags"))
                        .with_hint("send the ETag as it came, with its quotes")
                })
            });
            parsed.transpose()
        };
        Ok(Self {
            if_match: tags("If-Match", if_match)?,
            if_none_match: tags("If-None-Match", if_none_match)?,
        })
    }

    /// Whether a change of `name` may happen where this is the tag of its present text, if it has one.
    ///
    /// # Errors
    /// It does not hold; or nothing is said, and a change of somebody else's could be lost.
    pub(crate) fn check(&self, name: &str, present: Option<Hash>) -> Result<(), Fault> {
        if self.if_match.is_none() && self.if_none_match.is_none() {
            return match present {
                None => Ok(()),
                Some(_) => Err(Fault::new(
                    FaultKind::PreconditionRequired,
                    format!("`{name}` exists; a change without If-Match could undo another one"),
                )
                .with_hint("get it, and send its ETag as If-Match")),
            };
        }
        let present = present.map(|tag| tag.to_string());
        let failed = |message: String| {
            Err(Fault::new(FaultKind::PreconditionFailed, message)
                .with_hint("get it again, and repeat the change on what is there now"))
        };
        match (&self.if_match, present.as_deref()) {
            (Some(_), None) => return failed(format!("`{name}` does not exist")),
            (Some(tags), Some(present)) if !tags.hold_strongly(present) => {
                return failed(format!("`{name}` has been changed since"));
            }
            _ => {}
        }
        match (&self.if_none_match, present.as_deref()) {
            (Some(tags), Some(present)) if tags.hold_weakly(present) => {
                failed(format!("`{name}` exists already"))
            }
            _ => Ok(()),
        }
    }
}

impl Tags {
    fn parse(value: &str) -> Option<Self> {
        if value.trim() == "*" {
            return Some(Self::Any);
        }
        let listed: Option<Vec<(String, bool)>> = value
            .split(',')
            .map(|item| {
                let item = item.trim();
                let strong = item.strip_prefix("W/");
                let tag = strong
                    .unwrap_or(item)
                    .strip_prefix('"')?
                    .strip_suffix('"')?;
                (!tag.contains('"')).then(|| (tag.to_owned(), strong.is_some()))
            })
            .collect();
        listed
            .filter(|tags| tags.len() <= TAGS_MAX)
            .map(Self::Listed)
    }

    fn hold_strongly(&self, present: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(tags) => tags.iter().any(|(tag, is_weak)| !is_weak && tag == present),
        }
    }

    fn hold_weakly(&self, present: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(tags) => tags.iter().any(|(tag, _)| tag == present),
        }
    }
}

#[cfg(test)]
mod tests {
    use dataos_model::{
        fault::{FaultKind, FaultKind::*},
        hash::Hash,
    };

    use super::Precondition;

    #[test]
    fn each_combination_has_its_outcome() {
        let tag = Hash::of("text");
        let strong = format!("\"{tag}\"");
        let weak = format!("W/\"{tag}\"");
        let list = format!("\"other\", {strong}");
        for (if_match, if_none_match, exists, expected) in [
            (None, None, false, None),
            (None, None, true, Some(PreconditionRequired)),
            (Some("*"), None, true, None),
            (Some("*"), None, false, Some(PreconditionFailed)),
            (Some(strong.as_str()), None, true, None),
            (Some(list.as_str()), None, true, None),
            (Some(strong.as_str()), None, false, Some(PreconditionFailed)),
            (Some(weak.as_str()), None, true, Some(PreconditionFailed)),
            (Some("\"other\""), None, true, Some(PreconditionFailed)),
            (None, Some("*"), false, None),
            (None, Some("*"), true, Some(PreconditionFailed)),
            (None, Some(weak.as_str()), true, Some(PreconditionFailed)),
            (None, Some("\"other\""), true, None),
            (Some("other"), None, true, Some(Invalid)),
            (Some(""), None, true, Some(Invalid)),
        ] {
            let outcome: Option<FaultKind> = Precondition::parse(if_match, if_none_match)
                .and_then(|condition| condition.check("x", exists.then_some(tag)))
                .err()
                .map(|fault| fault.kind);
            assert_eq!(outcome, expected, "{if_match:?} {if_none_match:?} {exists}");
        }
    }
}
