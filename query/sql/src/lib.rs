//! dataos-sql
