//! Public behaviour of the audit log.
