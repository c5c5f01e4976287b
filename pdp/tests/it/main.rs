//! The PDP through its public face.

#[cfg(test)]
mod access;
#[cfg(test)]
mod analysis;
#[cfg(test)]
mod differential;
#[cfg(test)]
mod entities;
#[cfg(test)]
mod explore;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod fuzz;
mod generate;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod own;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod rows;
#[cfg(test)]
mod shipped;
#[cfg(test)]
mod spread;
#[cfg(test)]
mod wire;
