//! A store on both engines.

#[cfg(test)]
mod fixtures;

#[cfg(test)]
mod both;
#[cfg(test)]
mod postgres;
