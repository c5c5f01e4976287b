//! Versions of objects, as the engine's readers of files see them: nothing else is there, and nothing is written.

use std::{collections::HashMap, fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use datafusion::object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result, path::Path,
};
use dataos_model::fault::Fault;
use dataos_objects::{Object, Reading, Store};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};

use crate::engine::failure::Raised;

/// What error messages of the engine call it.
const NAME: &str = "S3";

/// See the module.
#[derive(Debug)]
pub(super) struct Pinned {
    store: Arc<Store>,
    by_name: HashMap<String, Object>,
}

impl fmt::Display for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)
    }
}

impl Pinned {
    pub(super) fn new(store: Arc<Store>, by_name: HashMap<String, Object>) -> Self {
        Self { store, by_name }
    }

    fn object(&self, location: &Path) -> Result<&Object> {
        self.by_name
            .get(location.as_ref())
            .ok_or_else(|| Error::NotFound {
                path: location.to_string(),
                source: "not of this statement".into(),
            })
    }

    fn refused<T>(operation: &str) -> Result<T> {
        Err(Error::NotImplemented {
            operation: operation.to_owned(),
            implementer: NAME.to_owned(),
        })
    }
}

fn failed(fault: Fault) -> Error {
    Error::Generic {
        store: NAME,
        source: Box::new(Raised(fault)),
    }
}

fn meta(location: &Path, object: &Object) -> ObjectMeta {
    ObjectMeta {
        location: location.clone(),
        // The name says which version it is.
        last_modified: std::time::SystemTime::UNIX_EPOCH.into(),
        size: object.size,
        e_tag: Some(object.etag.clone()),
        version: None,
    }
}

/// What is asked for of so many bytes.
fn wanted(range: Option<GetRange>, size: u64) -> Range<u64> {
    match range {
        None => 0..size,
        Some(GetRange::Bounded(range)) => range.start.min(size)..range.end.min(size),
        Some(GetRange::Offset(start)) => start.min(size)..size,
        Some(GetRange::Suffix(length)) => size.saturating_sub(length)..size,
    }
}

fn chunks(reading: Reading) -> BoxStream<'static, Result<bytes::Bytes>> {
    let next = |mut reading: Reading| async {
        let chunk = reading.next().await.map_err(failed)?;
        Ok(chunk.map(|chunk| (chunk, reading)))
    };
    futures::stream::try_unfold(reading, next).boxed()
}

#[async_trait]
impl ObjectStore for Pinned {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let object = self.object(location)?;
        let range = wanted(options.range, object.size);
        let payload = if options.head {
            futures::stream::empty().boxed()
        } else {
            let reading = self.store.read(object, range.clone()).await;
            chunks(reading.map_err(failed)?)
        };
        Ok(GetResult {
            payload: GetResultPayload::Stream(payload),
            meta: meta(location, object),
            range,
            attributes: Attributes::default(),
        })
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.map(ToString::to_string).unwrap_or_default();
        let named = self
            .by_name
            .iter()
            .filter(|(name, _)| name.starts_with(&prefix));
        let found: Vec<Result<ObjectMeta>> = named
            .map(|(name, object)| Ok(meta(&Path::from(name.as_str()), object)))
            .collect();
        futures::stream::iter(found).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        Ok(ListResult {
            common_prefixes: Vec::new(),
            objects: self.list(prefix).try_collect().await?,
        })
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Self::refused("put")
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Self::refused("put")
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        futures::stream::once(async { Self::refused("delete") }).boxed()
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Self::refused("copy")
    }
}
