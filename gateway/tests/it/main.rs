//! The platform as a library: started on a temporary directory, called over TLS.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod data;
mod path;
mod policies;
mod scene;
mod start;
