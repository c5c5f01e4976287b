//! dataos-console
