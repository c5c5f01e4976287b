//! The lints: what loads and is still not what was meant.

mod confusable;
mod constant;
mod fallible;
mod places;
mod shadow;

pub(super) use places::{Places, is_on_data};

use super::{candidate::Candidate, finding::Finding};

/// Findings of all lints, in no order.
pub(super) fn all(candidate: &Candidate<'_>, places: &Places) -> Vec<Finding> {
    let mut findings = places.findings(candidate);
    findings.extend(constant::findings(candidate, places));
    findings.extend(fallible::findings(candidate));
    findings.extend(shadow::findings(candidate));
    findings.extend(confusable::findings(candidate));
    findings
}
