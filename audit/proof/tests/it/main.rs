//! Public behaviour of the crate.

mod oracle;
mod vectors;
