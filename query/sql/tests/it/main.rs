//! Public behaviour of the SQL front end.

#[cfg(test)]
mod aggregation;
#[cfg(test)]
mod bypass;
#[cfg(test)]
mod dialects;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod functions;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod lineage;
#[cfg(test)]
mod names;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod rewrites;
#[cfg(test)]
mod tpch;
#[cfg(test)]
mod wide;
