//! Public behaviour of the orchestrator, through its seam, with fakes of the rooms that it calls.

#[cfg(test)]
mod apply;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod fakes;
#[cfg(test)]
mod metadata;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod secret;
#[cfg(test)]
mod workflow;
