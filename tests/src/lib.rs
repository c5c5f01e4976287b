//! Harness: starts the real binaries on free ports with temporary directories, waits until they are
//! ready, talks to them as a client would, and stops them.
//!
//! Enters: paths of built binaries. Leaves: running servers, answers. Never done here: a mock where
//! the real server installs from a registry.

pub mod binaries;
pub mod browser;
pub mod collector;
pub mod ctl;
pub mod manifests;
pub mod peers;
pub mod provider;
pub mod roles;
pub mod server;
pub mod tpcds;
pub mod wait;
