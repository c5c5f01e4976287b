//! Public behaviour of the audit log.

#[cfg(test)]
mod append;
#[cfg(test)]
mod child;
#[cfg(test)]
mod contents;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod full;
#[cfg(test)]
mod mounts;
#[cfg(test)]
mod open;
#[cfg(test)]
mod power;
#[cfg(test)]
mod read;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod sealed;
#[cfg(test)]
mod sealed_damage;
#[cfg(test)]
mod shim;
#[cfg(test)]
#[expect(
    dead_code,
    reason = "shared with the tests of the PDP, which use all of it"
)]
#[path = "../../../pdp/tests/it/spread.rs"]
mod spread;
#[cfg(test)]
mod tampered;
