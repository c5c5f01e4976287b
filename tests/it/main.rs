//! Black-box tests: the workspace as a whole, and the binaries over TLS, CLI and browser.

mod workspace;
