//! dataos-gateway
