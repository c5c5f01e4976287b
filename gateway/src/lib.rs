//! The policy enforcement point and composition root of DataOS kernel.
//!
//! Enters: every outside call, over TLS. Leaves: an answer whose decision is durable in the audit
//! log, with a receipt. Never done here: a governed byte before its record; a decision other than by
//! the PDP; looking at a credential behind `authenticate`; SQL, Cedar.
//!
//! The order below is the way of a request, after what is needed to start.

pub mod app;
pub mod config;
pub mod listeners;

mod certificates;
mod data_directory;
mod secrets;
mod store;

mod accept;
mod limits;
mod load;
mod outbound;
mod rate;

mod accounts;
mod applied;
mod authenticate;
mod authzen_keys;

mod route;
mod rpc;

pub use route::openapi::text as openapi;

pub mod roles;

mod decide;
mod history;
mod record;
mod recording;

mod handlers;
mod respond;

pub mod observe;
mod reload;

mod serve;

mod postgres;

pub mod demo;

pub mod audit_check;
mod audit_replay;
pub mod policy_code;
pub mod role_certificate;
