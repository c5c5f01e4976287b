//! The `dataos` binary.
fn main() {}
