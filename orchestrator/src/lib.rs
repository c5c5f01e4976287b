//! dataos-orchestrator
