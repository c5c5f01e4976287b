//! Public behaviour of the catalog, through the seam `Assets`.

mod fixtures;

mod feed;
mod files;
mod postgres;
mod search;
mod store;
mod tags;
mod writes;
