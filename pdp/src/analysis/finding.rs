//! What a check has to say: one finding per place, each of a named rule.

use std::fmt;

use dataos_model::fault::{Fault, Location};

use crate::problem::Problem;

/// Most findings of one report; what is above is counted and not told.
pub const FINDINGS_MAX: usize = 1_000;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The set must not be put in force.
    Error,
    /// Probably not what was meant.
    Warning,
}

impl Severity {
    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

macro_rules! rules {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $severity:ident, $words:literal;)*) => {
        /// What is looked for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule { $($(#[$doc])* $variant,)* }

        impl Rule {
            /// All rules.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its stable name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// How bad a finding of it is.
            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)* }
            }

            /// What it looks for, in one sentence.
            pub fn description(self) -> &'static str {
                match self { $(Self::$variant => $words,)* }
            }
        }
    };
}

rules! {
    /// Does not load.
    Invalid = "invalid", Error, "A text that does not load: syntax, type, annotation, mask, id or bound.";
    /// Does not fit a dataset.
    NotTyped = "not_typed", Error, "A policy that does not type-check on a dataset that it can apply to.";
    /// A forbid that can err.
    ForbidCanFail = "forbid_can_fail", Error, "A forbid whose condition can fail; it would be skipped then, and nothing forbidden.";
    /// A test file that cannot be read.
    TestInvalid = "test_invalid", Error, "A test file that does not parse.";
    /// Cannot apply.
    NeverMatches = "never_matches", Warning, "A policy that no request can satisfy.";
    /// Applies to all.
    AlwaysMatches = "always_matches", Warning, "A policy that every request for its actions satisfies, also one without log-in.";
    /// Another one has the same effect already.
    Shadowed = "shadowed", Warning, "A policy that changes no decision, because another one covers it.";
    /// No dataset that it could be about.
    NoDataset = "no_dataset", Warning, "A policy on data that none of the known datasets can satisfy.";
    /// Looks like something else.
    Confusable = "confusable", Warning, "A text with characters that look like others or change the reading direction.";
    /// Not laid out as the formatter does.
    Unformatted = "unformatted", Warning, "A file that the formatter would lay out differently.";
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked for.
    pub rule: Rule,
    /// The policy, if it is about one.
    pub policy: Option<String>,
    /// Where: the file within the folder, line and column.
    pub location: Location,
    /// What was found.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Finding {
    /// A finding about a whole file.
    pub(crate) fn of_file(rule: Rule, file: &str, message: impl Into<String>) -> Self {
        Self {
            rule,
            policy: None,
            location: Location {
                file: Some(file.to_owned()),
                ..Location::default()
            },
            message: message.into(),
            hint: None,
        }
    }

    /// The same with what to do.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A problem that keeps a text from loading.
    pub(crate) fn of_problem(rule: Rule, problem: Problem) -> Self {
        let (line, column) = problem.position.unzip();
        Self {
            rule,
            policy: None,
            location: Location {
                file: Some(problem.source),
                line,
                column,
                field: None,
            },
            message: problem.message,
            hint: problem.hint,
        }
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.rule.severity()
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        self.severity() == Severity::Error
    }

    /// What findings are ordered by: place, then rule.
    pub(crate) fn order(&self) -> impl Ord + use<> {
        (
            self.location.file.clone(),
            self.location.line,
            self.location.column,
            self.rule,
            self.message.clone(),
        )
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = self.severity().name();
        write!(f, "{}{severity}[{}]: ", self.location, self.rule.name())?;
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl From<Finding> for Fault {
    fn from(finding: Finding) -> Self {
        let mut fault = Self::invalid(finding.message).with_reason("policy_invalid");
        fault.hint = finding.hint;
        fault.at(finding.location)
    }
}
