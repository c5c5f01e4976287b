//! The query layer from outside: real files, a real PostgreSQL server, and stand-ins for the rooms
//! that it is joined to.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "in tests a failed assumption ends the test; clippy spares only #[test] functions"
)]

mod avro;
mod back_ends;
mod twins;
mod world;

mod alike;
mod attacks;
mod audit_table;
mod cache;
mod changes;
mod correlated;
mod counts;
mod definers;
mod dialects;
mod exactness;
mod explain;
mod federated;
mod first_rows;
mod formats;
mod forms;
mod groups;
mod kept;
mod known;
mod leaks;
mod limits;
mod masks;
mod min_group;
mod mysql;
mod noninterference;
mod objects;
mod odd;
mod oracle;
mod postgres;
mod projection;
mod records;
mod rows;
mod samples;
mod sources;
mod sqlite;
mod streams;
mod tpcds;
mod tpch;
mod view_attacks;
mod views;
mod whole_rows;
mod write_attacks;
mod writes;
