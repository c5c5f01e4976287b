//! dataos-tests
