//! Black-box tests: the workspace as a whole, and the binaries over TLS, CLI and browser.

mod console;
mod crash;
mod demo;
mod journey;
mod refusals;
mod secrets;
mod workspace;
