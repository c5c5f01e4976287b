//! Domain types and seams of DataOS kernel.
//!
//! Enters: nothing. Leaves: the words that every room speaks (ids, principals, actions, decisions,
//! predicates, masks, records) and the traits by which rooms meet. Never done here: I/O, an async
//! runtime, Cedar, SQL, Arrow, HTTP.

#[macro_use]
mod depth;

pub mod clock;
pub mod fault;
pub mod hash;
pub mod json;

pub mod action;
pub mod entity;
pub mod own_action;
pub mod principal;
pub mod value;
pub mod vocabulary;

pub mod dataset;
pub mod depot;

pub mod annotation;
pub mod asked;
pub mod audit_table;
pub mod mask;
pub mod predicate;
pub mod state;
mod values_json;

pub use values_json::Malformed;

pub mod access;
pub mod decision;
pub mod explain;
pub mod policy;

pub mod lineage;
pub mod record;
pub mod resource;
pub mod secret;

pub mod obligation;
pub mod query;
pub mod seams;
