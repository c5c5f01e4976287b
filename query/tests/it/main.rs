//! The query layer from outside: real files, a real PostgreSQL server, and stand-ins for the rooms
//! that it is joined to.

mod world;

mod explain;
mod formats;
mod leaks;
mod limits;
mod masks;
mod postgres;
mod records;
mod rows;
mod samples;
mod tpch;
mod writes;
