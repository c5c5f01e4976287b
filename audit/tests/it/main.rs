//! Public behaviour of the audit log.

#[cfg(test)]
mod append;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod open;
#[cfg(test)]
mod read;
#[cfg(test)]
mod scene;
