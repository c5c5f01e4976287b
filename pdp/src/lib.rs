//! dataos-pdp
