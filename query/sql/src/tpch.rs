//! The queries of the TPC-H benchmark with their validation parameters, Q15 in its WITH form.

/// Name and text of each query, over lower-case table names without a qualifier.
pub const TPCH: [(&str, &str); 0] = [];
