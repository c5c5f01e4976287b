//! Public behaviour of the crate.

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod vectors;
