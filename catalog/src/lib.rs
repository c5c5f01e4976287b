//! dataos-catalog
