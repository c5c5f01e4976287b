//! Objects of an S3-compatible store, read only: the listing of a bucket, and ranges of bytes of one version of
//! an object.
//!
//! Every request is signed with Signature Version 4 and asks for what it may not miss: a range of an object goes
//! with the ETag that the object had when it was looked at, so that no reader mixes two versions of it. An answer
//! is believed only if it is as long as it says, of the range and of the version that were asked for. The secret
//! key is in the signature alone, and no text of the store is passed on: errors are told by their codes.
//!
//! Here is also how servers of depots are verified (`tls`), for whoever does TLS by itself.

mod answer;
mod failure;
mod sign;
mod store;
pub mod tls;

#[cfg(feature = "test-server")]
pub mod test_server;

pub use store::{Listing, Object, Reading, Store, check_endpoint};
