//! dataos-query
