//! What differs between two folders: policies, compared in canonical form, and matrix cells.

use std::collections::BTreeMap;

use dataos_model::{action::Action, entity::EntityType, fault::Location};

use crate::stack::on_big_stack;

use super::{
    Texts,
    candidate::{Candidate, Item},
    finding::{Finding, Rule},
    matrix::{Cell, Verdict, of_subjects, subjects},
};

/// A policy that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its id.
    pub id: String,
    /// Where it stands, after the change if it is still there.
    pub location: Location,
    /// Its text before, if it was there.
    pub before: Option<String>,
    /// Its text after, if it is there.
    pub after: Option<String>,
}

impl Change {
    /// `added`, `removed` or `changed`.
    pub fn kind(&self) -> &'static str {
        match (&self.before, &self.after) {
            (None, _) => "added",
            (Some(_), None) => "removed",
            (Some(_), Some(_)) => "changed",
        }
    }
}

/// A cell of the matrix whose verdict differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flip {
    /// The subject, in words.
    pub subject: String,
    /// What.
    pub action: Action,
    /// On what.
    pub resource: EntityType,
    /// Before.
    pub before: Verdict,
    /// After.
    pub after: Verdict,
    /// The policies behind the verdict after.
    pub policies: Vec<String>,
}

/// All that differs. Comments, layout, order and file names do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Whether the schemas mean different things.
    pub is_schema_changed: bool,
    /// Policies, by id.
    pub changes: Vec<Change>,
    /// Matrix cells.
    pub flips: Vec<Flip>,
}

/// Compares two folders.
///
/// # Errors
/// What keeps one of them from loading.
pub fn compare(before: &Texts, after: &Texts) -> Result<Difference, Vec<Finding>> {
    on_big_stack(|| compare_deep(before, after)).unwrap_or_else(|| {
        let message = "the folders could not be compared";
        Err(vec![Finding::of_file(Rule::Invalid, "policies", message)])
    })
}

fn compare_deep(before: &Texts, after: &Texts) -> Result<Difference, Vec<Finding>> {
    let side = |texts, name: &str| {
        Candidate::load_whole(texts).map_err(|mut findings| {
            for finding in &mut findings {
                finding.message = format!("{name}: {}", finding.message);
            }
            findings
        })
    };
    let (before, after) = (side(before, "before")?, side(after, "after")?);
    let mut everyone = subjects(&before);
    everyone.extend(subjects(&after));
    let earlier = of_subjects(&before, &everyone)?;
    let later = of_subjects(&after, &everyone)?;
    let known: BTreeMap<_, &Cell> = earlier
        .cells
        .iter()
        .map(|cell| (cell.key(), cell))
        .collect();
    let flips = later.cells.into_iter().filter_map(|cell| {
        let earlier = known.get(&cell.key())?;
        (earlier.verdict != cell.verdict).then_some(Flip {
            before: earlier.verdict,
            subject: cell.subject,
            action: cell.action,
            resource: cell.resource,
            after: cell.verdict,
            policies: cell.policies,
        })
    });
    Ok(Difference {
        is_schema_changed: before.schema.hash != after.schema.hash,
        flips: flips.collect(),
        changes: changes(&before, &after),
    })
}

fn changes(before: &Candidate<'_>, after: &Candidate<'_>) -> Vec<Change> {
    let by_id = |items: &[Item]| -> BTreeMap<String, usize> {
        let ids = items.iter().enumerate();
        ids.map(|(at, item)| (item.id().to_owned(), at)).collect()
    };
    let (earlier, later) = (by_id(&before.items), by_id(&after.items));
    let ids: std::collections::BTreeSet<&String> = earlier.keys().chain(later.keys()).collect();
    let changed = ids.into_iter().filter_map(|id| {
        let old = earlier.get(id).and_then(|at| before.items.get(*at));
        let new = later.get(id).and_then(|at| after.items.get(*at));
        let is_same = old.map(|item| item.policy.digest) == new.map(|item| item.policy.digest);
        let shown = new.or(old)?;
        (!is_same).then(|| Change {
            id: id.clone(),
            location: shown.location.clone(),
            before: old.map(|item| item.policy.text.clone()),
            after: new.map(|item| item.policy.text.clone()),
        })
    });
    changed.collect()
}
