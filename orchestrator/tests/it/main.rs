//! Public behaviour of the orchestrator, through its seam, with fakes of the rooms that it calls.

mod apply;
mod fakes;
mod policy;
mod restart;
mod secret;
mod workflow;
