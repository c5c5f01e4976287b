//! The platform as a library: started on a temporary directory, called over TLS.

#[cfg(test)]
mod data;
#[cfg(test)]
mod path;
#[cfg(test)]
mod policies;
#[cfg(test)]
mod policy_links;
#[cfg(test)]
mod policy_texts;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod start;
