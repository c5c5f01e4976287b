//! The PDP through its public face.

mod access;
mod differential;
mod entities;
mod fixture;
mod hostile;
mod messages;
mod reload;
mod rows;
mod shipped;
mod spread;
