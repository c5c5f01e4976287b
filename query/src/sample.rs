//! Data for demonstrations, tests and benchmarks: TPC-H, and people who do not exist.

mod customers;
mod tpch;

pub use customers::write_customers;
pub use tpch::write_tpch;
