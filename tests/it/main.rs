//! Black-box tests: the workspace as a whole, and the binaries over TLS, CLI and browser.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod audit;
mod authzen;
mod certificates;
mod console;
mod crash;
mod credentials;
mod cut_off;
mod degradation;
mod demo;
mod filters;
mod follow;
mod grpc;
mod journey;
mod load;
mod login;
mod metadata;
mod objects;
mod own_types;
mod policy_code;
mod postgres;
mod refusals;
mod replay;
mod restart;
mod roles;
mod rows;
mod secrets;
mod soak;
mod sources;
mod telemetry;
mod views;
mod workspace;
mod writes;
