//! dataos-proof
