//! Datasets in objects of an S3-compatible store, read as files are.
//!
//! When a statement opens a dataset, each of its objects is looked at once; what is read afterwards is of that
//! version, whose ETag is part of its name here. So a statement never mixes two versions of an object, and what
//! the engine remembers of an object (the footer of a Parquet file, statistics) is remembered of that version.
//! The store is known to the session of the statement alone, and so goes with it.

mod pinned;

use std::sync::Arc;

use datafusion::{
    catalog::TableProvider, datasource::listing::ListingTableUrl, execution::SessionState,
};
use dataos_model::{
    depot::{Dataset, FileFormat},
    fault::Fault,
    hash::Hash,
};
use dataos_objects::{Object, Store};
use futures::{FutureExt, StreamExt, TryStreamExt};
use uuid::Uuid;

use self::pinned::Pinned;
use super::files::{self, Listed};

/// Most objects of a dataset that are looked at at a time.
const LOOKS_MAX: usize = 16;
/// Bytes at the start of a CSV object in which the header line is looked for first.
const HEADER_BYTES: u64 = 64 << 10;
/// Longest header line; the catalog reads none that is longer.
const HEADER_BYTES_MAX: u64 = 16 << 20;

/// The rows of some objects of one dataset. `salt` is a secret of this process.
///
/// # Errors
/// A store that cannot be reached or refuses, an object that is missing, or whose columns are not those of the
/// catalog.
pub(super) async fn open(
    session: &SessionState,
    store: Arc<Store>,
    dataset: &Dataset,
    (format, keys): (FileFormat, &[String]),
    salt: &Uuid,
) -> Result<Arc<dyn TableProvider>, Fault> {
    let objects = looked_at(&store, keys.to_vec()).await?;
    let named = named(salt, objects);
    // Versions make the host, so another statement's or another table's store is another one.
    let names = named.iter().map(|(name, _)| name);
    let host = Hash::of_parts([&dataset.id.to_string()].into_iter().chain(names));
    let url = |name: &str| {
        ListingTableUrl::parse(format!("objects://{host}/{name}"))
            .map_err(|_| Fault::internal("the URL of an object"))
    };
    let mut listed = Vec::with_capacity(named.len());
    for (name, object) in &named {
        let shown = object.key.rsplit('/').next().unwrap_or_default();
        if format == FileFormat::Csv {
            let header = header(&store, object).await?;
            files::check_header(dataset, shown, header.as_slice())?;
        }
        listed.push(Listed {
            url: url(name)?,
            name: shown.to_owned(),
        });
    }
    let pinned = Pinned::new(store, named.into_iter().collect());
    let runtime = session.runtime_env();
    runtime.register_object_store(url("")?.object_store().as_ref(), Arc::new(pinned));
    files::table(session, dataset, format, listed).await
}

/// What versions of objects are called here: in the order of their keys, which is that of their rows, and without
/// a trace of what is in them, since names stand in plans.
fn named(salt: &Uuid, objects: Vec<Object>) -> Vec<(String, Object)> {
    let name = |(index, object): (usize, Object)| {
        let size = object.size.to_string();
        let parts = [
            salt.as_bytes(),
            object.key.as_bytes(),
            object.etag.as_bytes(),
            size.as_bytes(),
        ];
        (format!("{index:06}-{}", Hash::of_parts(parts)), object)
    };
    objects.into_iter().enumerate().map(name).collect()
}

/// The objects as they are now. Each look owns what it needs: one that borrows is not known to be `Send`.
async fn looked_at(store: &Arc<Store>, keys: Vec<String>) -> Result<Vec<Object>, Fault> {
    let looks = keys.into_iter().map(|key| {
        let store = Arc::clone(store);
        async move { store.object(&key).await }.boxed()
    });
    let looks: Vec<_> = looks.collect();
    let looks = futures::stream::iter(looks).buffered(LOOKS_MAX);
    looks.try_collect().await
}

/// The start of an object up to the end of its first line, or as much as a header line may have.
async fn header(store: &Store, object: &Object) -> Result<Vec<u8>, Fault> {
    let mut length = HEADER_BYTES;
    loop {
        let end = object.size.min(length).min(HEADER_BYTES_MAX);
        let bytes = store.read(object, 0..end).await?.bytes().await?;
        if has_line(&bytes) || end == object.size || end == HEADER_BYTES_MAX {
            return Ok(bytes.into());
        }
        length *= 8;
    }
}

/// Whether a line of CSV ends in there: a line end in a quoted value is none.
fn has_line(bytes: &[u8]) -> bool {
    let mut is_quoted = false;
    bytes.iter().any(|byte| {
        is_quoted ^= *byte == b'"';
        *byte == b'\n' && !is_quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_where_no_value_is_quoted() {
        for (text, expected) in [
            ("a,b", false),
            ("a,b\n", true),
            ("\"a\nb\",c", false),
            ("\"a\n\"\"b\",c\r\n", true),
            ("", false),
        ] {
            assert_eq!(has_line(text.as_bytes()), expected, "{text:?}");
        }
    }
}
