//! dataos-audit
