//! Public behaviour of the SQL front end.

mod bypass;
mod fixture;
mod functions;
mod limits;
mod lineage;
mod names;
mod refusals;
mod rewrites;
mod tpch;
