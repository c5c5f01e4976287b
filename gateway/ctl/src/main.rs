//! The `dataos-ctl` command line.
fn main() {}
