//! Policies as code: what can be said of a folder of policies before it is in force.
//!
//! Enters: the texts of a folder ([`Texts`]) and the entities that they are looked at with. Leaves:
//! findings ([`check`]), results of the folder's own tests ([`test`]), who may do what ([`matrix`]),
//! what differs between two folders ([`compare`]), and layout ([`format`]). Never done here: reading
//! of anything but the folder, a change of the policies in force, output.

mod finding;
mod texts;

mod candidate;
mod fold;
mod shape;

mod check;
mod in_force;
mod layout;
mod lint;

mod difference;
mod matrix;

mod case;
mod fixture;
mod outcome;
mod run;
mod statement;

pub use case::TEST_BYTES_MAX;
pub use check::{Report, check};
pub use difference::{Change, Difference, Flip, compare};
pub use finding::{FINDINGS_MAX, Finding, Rule, Severity};
pub use fixture::FixtureDataset;
pub(crate) use in_force::doubts;
pub use layout::format;
pub use matrix::{Cell, MATRIX_FILE, Matrix, SUBJECTS_MAX, Verdict, matrix};
pub use run::{CaseResult, TestReport, test};
pub use statement::{Answer, RunStatements, Statement};
pub use texts::{TESTS_FOLDER, TESTS_MAX, Texts};
