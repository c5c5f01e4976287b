//! Texts that look like something else: Cedar's own warnings about characters.

use cedar_policy::ValidationWarning;

use super::super::{
    candidate::Candidate,
    finding::{Finding, Rule},
};

/// Strings and names with mixed scripts or with characters that change the reading direction.
pub(super) fn findings(candidate: &Candidate<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for item in &candidate.items {
        // Cedar looks at all texts of the policy here, whatever the schema.
        if item.policy.text.is_ascii() {
            continue;
        }
        let Some(result) = item.validated(candidate.schema.plain()) else {
            continue;
        };
        let about_texts = result.validation_warnings().filter(|warning| {
            !matches!(
                warning,
                ValidationWarning::ImpossiblePolicy(_)
                    | ValidationWarning::InvalidActionApplication(_)
            )
        });
        let text = candidate.text(item);
        findings.extend(about_texts.map(|warning| item.diagnosed(Rule::Confusable, text, warning)));
    }
    findings
}
