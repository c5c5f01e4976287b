//! Who may do what: subject by action by resource type.
//!
//! Subjects are the visitor without log-in, a user in nothing, and every role, group, tag, user and
//! service that a policy names. Only types are known of resources, so a verdict holds for all of
//! them: `allow` on each, `deny` on each, or `if`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use cedar_policy::pst::Var;
use dataos_model::{
    action::Action,
    entity::{EntityType, EntityUid},
};

use crate::{convert::model_uid, stack::on_big_stack};

use super::{
    Texts,
    candidate::{Candidate, Item},
    finding::{Finding, Rule},
    fold::{Asker, Folded, Kind, fold},
};

/// File of the snapshot within the policies folder.
pub const MATRIX_FILE: &str = "matrix.txt";
/// Most subjects of a matrix.
pub const SUBJECTS_MAX: usize = 200;
/// Id of the user who is in nothing; no policy names it.
const NOBODY: &str = "(in nothing)";

const HEADING: &str = "\
# Who may do what: subject, action, resource type, verdict, and the policies behind it (! forbids).
# Made by `dataos-ctl policy matrix --write`; a change of it is reviewed like a change of a policy.
# allow: on every resource. deny: on none. if: on some, by resource, attributes or call.
";

/// Whether a subject may do something on the resources of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// On every one.
    Allow,
    /// On some.
    Depends,
    /// On none.
    Deny,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Depends => "if",
            Self::Deny => "deny",
        })
    }
}

/// One cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The subject, in words.
    pub subject: String,
    /// What.
    pub action: Action,
    /// On what.
    pub resource: EntityType,
    /// Whether.
    pub verdict: Verdict,
    /// The policies behind it, forbids with a `!` in front.
    pub policies: Vec<String>,
}

impl Cell {
    /// What it is about.
    pub(super) fn key(&self) -> (String, Action, EntityType) {
        (self.subject.clone(), self.action, self.resource.clone())
    }
}

/// All cells: by subject, then in the order of actions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matrix {
    /// The cells.
    pub cells: Vec<Cell>,
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEADING)?;
        let mut subject = "";
        for cell in &self.cells {
            if cell.subject != subject {
                subject = &cell.subject;
                write!(f, "\n[{subject}]\n")?;
            }
            write!(
                f,
                "{} {}: {}",
                cell.action,
                cell.resource.name(),
                cell.verdict
            )?;
            if !cell.policies.is_empty() {
                write!(f, " by {}", cell.policies.join(", "))?;
            }
            f.write_str("\n")?;
        }
        Ok(())
    }
}

/// Somebody who asks, as the matrix knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Anonymous,
    Nobody,
    /// Who is in this and in nothing else.
    Member(EntityUid),
    /// This very one.
    Principal(EntityUid),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Nobody => f.write_str("user in nothing"),
            Self::Member(uid) | Self::Principal(uid) => {
                let kind = uid.entity_type.name().to_lowercase();
                write!(f, "{kind} {}", uid.id.escape_debug())
            }
        }
    }
}

/// The matrix of some texts.
///
/// # Errors
/// What keeps them from loading, or too many subjects.
pub fn matrix(texts: &Texts) -> Result<Matrix, Vec<Finding>> {
    on_big_stack(|| {
        let candidate = Candidate::load_whole(texts)?;
        let subjects = subjects(&candidate);
        of_subjects(&candidate, &subjects)
    })
    .unwrap_or_else(|| {
        let message = "the matrix could not be made";
        Err(vec![Finding::of_file(Rule::Invalid, "policies", message)])
    })
}

/// Everyone whom the policies tell apart.
pub(super) fn subjects(candidate: &Candidate<'_>) -> BTreeSet<Subject> {
    let mut subjects = BTreeSet::from([Subject::Anonymous, Subject::Nobody]);
    for item in &candidate.items {
        for uid in item.policy.cedar.entity_literals().iter().map(model_uid) {
            if uid.entity_type == EntityType::ROLE || uid.entity_type == EntityType::GROUP {
                subjects.insert(Subject::Member(uid));
            } else if uid.entity_type == EntityType::SERVICE
                || (uid.entity_type == EntityType::USER && uid.id != "anonymous")
            {
                subjects.insert(Subject::Principal(uid));
            }
        }
        // Tags are on principals and on resources.
        let tags = item.shape.bounds(&Var::Principal).into_iter().flatten();
        let tags = tags.filter(|uid| uid.entity_type == EntityType::TAG);
        subjects.extend(tags.map(Subject::Member));
    }
    subjects
}

/// The matrix for these subjects.
pub(super) fn of_subjects(
    candidate: &Candidate<'_>,
    subjects: &BTreeSet<Subject>,
) -> Result<Matrix, Vec<Finding>> {
    if subjects.len() > SUBJECTS_MAX {
        let message = format!(
            "the policies tell {} subjects apart, more than {SUBJECTS_MAX} (SUBJECTS_MAX)",
            subjects.len()
        );
        let finding = Finding::of_file(Rule::Invalid, "policies", message);
        return Err(vec![finding.with_hint("give permits to roles and groups")]);
    }
    let mut by_action: BTreeMap<Action, Vec<&Item>> = BTreeMap::new();
    for item in &candidate.items {
        for action in &item.policy.scope.actions {
            by_action.entry(*action).or_default().push(item);
        }
    }
    let mut cells = Vec::new();
    for subject in subjects {
        let asker = asker(subject, candidate)
            .map_err(|message| vec![Finding::of_file(Rule::Invalid, "policies", message)])?;
        let vocabulary = &candidate.schema.vocabulary;
        for action in vocabulary.actions() {
            let items = by_action
                .get(&action)
                .map_or(&[] as &[&Item], Vec::as_slice);
            for resource in vocabulary.resource_types(action) {
                let kind = Kind { action, resource };
                let (verdict, policies) = verdict(candidate, items, &asker, kind);
                cells.push(Cell {
                    subject: subject.to_string(),
                    action,
                    resource: resource.clone(),
                    verdict,
                    policies,
                });
            }
        }
    }
    Ok(Matrix { cells })
}

fn asker(subject: &Subject, candidate: &Candidate<'_>) -> Result<Asker, String> {
    let schema = candidate.schema.plain().schema();
    let user = |id: &str| EntityType::USER.id(id);
    match subject {
        Subject::Anonymous => Asker::known(&user("anonymous"), &[], schema),
        Subject::Nobody => Asker::known(&user(NOBODY), &[], schema),
        Subject::Member(uid) => Asker::known(&user(NOBODY), std::slice::from_ref(uid), schema),
        Subject::Principal(uid) => Asker::known(uid, &[], schema),
    }
}

fn verdict(
    candidate: &Candidate<'_>,
    items: &[&Item],
    asker: &Asker,
    kind: Kind<'_>,
) -> (Verdict, Vec<String>) {
    let schema = candidate.schema.plain().schema();
    let (mut permits, mut maybe_permits) = (Vec::new(), Vec::new());
    let (mut forbids, mut maybe_forbids) = (Vec::new(), Vec::new());
    for item in items {
        let policy = &item.policy;
        let mut folded = fold(&policy.cedar, asker, kind, &candidate.schema, schema);
        // A mask takes the plain value away and leaves the cell.
        if folded == Folded::Always && policy.mask.is_some() {
            folded = Folded::Depends;
        }
        let id = item.id().to_owned();
        match (policy.reference.effect_is_permit, folded) {
            (_, Folded::Never) => {}
            (true, Folded::Always) => permits.push(id),
            (true, Folded::Depends) => maybe_permits.push(id),
            (false, Folded::Always) => forbids.push(format!("!{id}")),
            (false, Folded::Depends) => maybe_forbids.push(format!("!{id}")),
        }
    }
    let is_permitted = !permits.is_empty() || !maybe_permits.is_empty();
    let (verdict, mut policies) = if !is_permitted {
        (Verdict::Deny, Vec::new())
    } else if !forbids.is_empty() {
        (Verdict::Deny, forbids)
    } else if !permits.is_empty() && maybe_forbids.is_empty() {
        (Verdict::Allow, permits)
    } else {
        (
            Verdict::Depends,
            [permits, maybe_permits, maybe_forbids].concat(),
        )
    };
    policies.sort();
    (verdict, policies)
}
