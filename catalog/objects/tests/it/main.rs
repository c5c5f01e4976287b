//! Objects of a real S3-compatible server.

#[cfg(test)]
mod bucket;
