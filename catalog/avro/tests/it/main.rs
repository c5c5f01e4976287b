//! Files written by fastavro, and files that nobody means well with.

#[cfg(test)]
mod fixtures;

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod types;
