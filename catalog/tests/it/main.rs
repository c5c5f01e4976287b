//! Public behaviour of the catalog, through the seam `Assets`.

#[cfg(test)]
mod fixtures;

#[cfg(test)]
mod bucket;
#[cfg(test)]
mod feed;
#[cfg(test)]
mod files;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod metadata;
#[cfg(test)]
mod mysql;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod search;
#[cfg(test)]
mod sqlite;
#[cfg(test)]
mod store;
#[cfg(test)]
mod tags;
#[cfg(test)]
mod writes;
