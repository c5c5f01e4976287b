//! The PDP through its public face.

mod fixture;
mod shipped;
