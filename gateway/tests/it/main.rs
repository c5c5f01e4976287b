//! The platform as a library: started on a temporary directory, called over TLS.

mod data;
mod path;
mod policies;
mod scene;
mod start;
