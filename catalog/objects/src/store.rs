//! A bucket: its listing, its objects, and what is read of them.

use std::{fmt, ops::Range, time::Duration};

use bytes::Bytes;
use dataos_model::{
    depot::{Addressing, Bucket, Tls},
    fault::Fault,
    secret::Secret,
};
use reqwest::{Client, Response, StatusCode, Url, header, redirect::Policy};
use tokio::{sync::Semaphore, time::sleep};

use crate::{
    answer::{self, Entry},
    failure::{self, Subject},
    sign::{self, NO_BODY, Signer, Unsigned},
    tls,
};

/// Longest wait for a connection.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// Longest wait for the next bytes of an answer.
const READ_TIME_MAX: Duration = Duration::from_secs(30);
/// Most requests to a store that wait for its answer at a time.
const REQUESTS_MAX: usize = 32;
/// How often a request is made that the store is too busy for.
const ATTEMPTS_MAX: u32 = 4;
/// The wait before the second attempt; each further one waits twice as long.
const PAUSE: Duration = Duration::from_millis(200);
/// Most objects of a page of a listing; also what stores allow.
const PAGE_KEYS_MAX: usize = 1_000;
/// Largest page: keys have at most 1,024 bytes, each encoded as three.
const PAGE_BYTES_MAX: usize = 16 << 20;
/// Largest body of an error that is read.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// One version of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its whole key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// What tells this version from others.
    pub etag: String,
}

/// What a listing found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The objects below the prefix.
    pub objects: Vec<Object>,
    /// Whether these are all.
    pub is_whole: bool,
}

/// The bucket of a depot. `Debug` shows no secret.
pub struct Store {
    depot: String,
    bucket: Bucket,
    secret: Secret,
    /// Scheme and host.
    base: Url,
    /// What paths begin with: the bucket, where it stands in the path.
    root: String,
    http: Client,
    requests: Semaphore,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.depot)
    }
}

/// Whether an endpoint is one: scheme, host and perhaps port, with the scheme that the protection of the
/// connection wants.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_endpoint(endpoint: &str, tls: &Tls) -> Result<(), &'static str> {
    let url = Url::parse(endpoint).map_err(|_| "it is no URL such as https://s3.example.com")?;
    let is_plain = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    match (url.scheme(), tls) {
        _ if !is_plain => Err("it has more than scheme, host and port"),
        ("https", Tls::Verified { .. }) | ("http", Tls::Off) => Ok(()),
        ("http", Tls::Verified { .. }) => Err("it begins with http:// and `tls` is not off"),
        ("https", Tls::Off) => Err("it begins with https:// and `tls` is off"),
        _ => Err("it begins neither with https:// nor with http://"),
    }
}

impl Store {
    /// The bucket of a depot, under its secret access key. Nothing is connected yet.
    ///
    /// # Errors
    /// An endpoint that is none, or authorities that hold no certificate.
    pub fn new(depot: &str, bucket: Bucket, secret: Secret) -> Result<Self, Fault> {
        let refused = |field: &str, problem: &dyn fmt::Display| {
            Fault::invalid(format!("depot `{depot}`: `{field}`: {problem}"))
                .with_reason("source")
                .with_hint("correct the depot and apply it again")
        };
        let authorities = match &bucket.tls {
            Tls::Off => None,
            Tls::Verified { authorities } => authorities.as_deref(),
        };
        check_endpoint(&bucket.endpoint, &bucket.tls)
            .map_err(|problem| refused("endpoint", &problem))?;
        let config = tls::verified(authorities).map_err(|error| refused("authorities", &error))?;
        let http = Client::builder()
            .tls_backend_preconfigured(config)
            .connect_timeout(CONNECT_TIME_MAX)
            .read_timeout(READ_TIME_MAX)
            .redirect(Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| refused("endpoint", &error.without_url()))?;
        let mut base = Url::parse(&bucket.endpoint).map_err(|error| refused("endpoint", &error))?;
        let root = match bucket.addressing {
            Addressing::Path => format!("/{}", sign::encoded(&bucket.name, "")),
            Addressing::Host => {
                let host = format!("{}.{}", bucket.name, base.host_str().unwrap_or_default());
                base.set_host(Some(&host))
                    .map_err(|error| refused("bucket", &error))?;
                String::new()
            }
        };
        Ok(Self {
            depot: depot.to_owned(),
            bucket,
            secret,
            base,
            root,
            http,
            requests: Semaphore::new(REQUESTS_MAX),
        })
    }

    /// Whether this is the bucket under this key.
    pub fn is_of(&self, bucket: &Bucket, secret: &Secret) -> bool {
        self.bucket == *bucket && self.secret == *secret
    }

    /// The bucket as declared.
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// The objects below the prefix, page by page; at most so many.
    ///
    /// # Errors
    /// The store cannot be reached, refuses, or lists in a way that is not understood.
    pub async fn list(&self, objects_max: usize) -> Result<Listing, Fault> {
        let mut listing = Listing::default();
        let mut next: Option<String> = None;
        loop {
            let page = self.page(next.as_deref()).await?;
            for Entry { key, size, etag } in page.entries {
                if listing.objects.len() == objects_max {
                    return Ok(listing);
                }
                let etag = bare(&etag).to_owned();
                listing.objects.push(Object { key, size, etag });
            }
            // A token that stands still would be asked for again and again.
            if page.next.is_some() && page.next == next {
                return Err(self.strange());
            }
            next = page.next;
            if next.is_none() {
                listing.is_whole = true;
                return Ok(listing);
            }
        }
    }

    async fn page(&self, next: Option<&str>) -> Result<answer::Page, Fault> {
        let mut query = Vec::new();
        if let Some(token) = next {
            query.push(format!("continuation-token={}", sign::encoded(token, "")));
        }
        query.push("encoding-type=url".to_owned());
        query.push("list-type=2".to_owned());
        query.push(format!("max-keys={PAGE_KEYS_MAX}"));
        let prefix = match self.bucket.prefix.as_str() {
            "" => String::new(),
            prefix => sign::encoded(&format!("{prefix}/"), ""),
        };
        query.push(format!("prefix={prefix}"));
        let path = match self.root.as_str() {
            "" => "/",
            root => root,
        };
        let request = Request {
            path,
            query: &query.join("&"),
            headers: &[],
        };
        let response = self.get(request, Subject::Listing).await?;
        let body = self.body(response, PAGE_BYTES_MAX).await?;
        let page = answer::page(&body).map_err(|_| self.strange())?;
        // Without it a change between two reads would go unseen.
        if page.entries.iter().any(|entry| entry.etag.is_empty()) {
            return Err(failure::no_etag(&self.depot));
        }
        Ok(page)
    }

    /// An object as it is now.
    ///
    /// # Errors
    /// The store cannot be reached or refuses, or there is no such object.
    pub async fn object(&self, key: &str) -> Result<Object, Fault> {
        let path = self.path(key);
        // A request for its first byte, not for its head: refusals say why in their bodies.
        let headers = [("range", "bytes=0-0".to_owned())];
        let request = Request {
            path: &path,
            query: "",
            headers: &headers,
        };
        let response = self.send(request).await?;
        let size = match response.status() {
            StatusCode::PARTIAL_CONTENT => ContentRange::of(&response).map(|range| range.size),
            // An empty object has no first byte.
            StatusCode::OK | StatusCode::RANGE_NOT_SATISFIABLE => return self.empty(key).await,
            _ => return Err(self.refusal(response, Subject::Object(key)).await),
        };
        self.seen(key, &response, size)
    }

    async fn empty(&self, key: &str) -> Result<Object, Fault> {
        let path = self.path(key);
        let request = Request {
            path: &path,
            query: "",
            headers: &[],
        };
        let response = self.get(request, Subject::Object(key)).await?;
        let size = response.content_length().filter(|size| *size == 0);
        self.seen(key, &response, size)
    }

    fn seen(&self, key: &str, response: &Response, size: Option<u64>) -> Result<Object, Fault> {
        Ok(Object {
            key: key.to_owned(),
            size: size.ok_or_else(|| failure::no_ranges(&self.depot))?,
            etag: etag(response).ok_or_else(|| failure::no_etag(&self.depot))?,
        })
    }

    /// Bytes of this version of an object.
    ///
    /// # Errors
    /// The store cannot be reached or refuses, or the object has changed.
    pub async fn read(&self, object: &Object, range: Range<u64>) -> Result<Reading, Fault> {
        let Some(last) = range.end.checked_sub(1).filter(|last| *last >= range.start) else {
            return Ok(self.reading(object, None, 0));
        };
        let path = self.path(&object.key);
        let headers = [
            ("if-match", format!("\"{}\"", object.etag)),
            ("range", format!("bytes={}-{last}", range.start)),
        ];
        let request = Request {
            path: &path,
            query: "",
            headers: &headers,
        };
        let subject = Subject::Object(&object.key);
        let response = self.get(request, subject).await?;
        // A store may pass over what it was asked on condition of.
        let wanted = ContentRange {
            start: range.start,
            size: object.size,
        };
        let is_range = response.status() == StatusCode::PARTIAL_CONTENT;
        if etag(&response).is_some_and(|etag| etag != object.etag) {
            return Err(failure::changed(&self.depot, &object.key));
        }
        if !is_range || ContentRange::of(&response) != Some(wanted) {
            return Err(failure::no_ranges(&self.depot));
        }
        Ok(self.reading(object, Some(response), range.end - range.start))
    }

    fn reading(&self, object: &Object, response: Option<Response>, left: u64) -> Reading {
        Reading {
            depot: self.depot.clone(),
            key: object.key.clone(),
            response,
            left,
        }
    }

    fn path(&self, key: &str) -> String {
        format!("{}/{}", self.root, sign::encoded(key, "/"))
    }

    /// The answer to a request that was granted.
    async fn get(&self, request: Request<'_>, subject: Subject<'_>) -> Result<Response, Fault> {
        let response = self.send(request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refusal(response, subject).await)
    }

    async fn refusal(&self, response: Response, subject: Subject<'_>) -> Fault {
        let status = response.status();
        let header = response.headers().get("x-amz-bucket-region");
        let region = header.and_then(|region| region.to_str().ok().map(str::to_owned));
        let told = match self.body(response, ERROR_BYTES_MAX).await {
            Ok(body) => answer::problem(&body).ok(),
            Err(_) => None,
        };
        failure::refused(&self.depot, &self.bucket, subject, status, told, region)
    }

    /// Sends a request, again if the store is too busy.
    async fn send(&self, request: Request<'_>) -> Result<Response, Fault> {
        let closed = |_| Fault::internal("the requests to a store are closed");
        let _place = self.requests.acquire().await.map_err(closed)?;
        let mut attempt = 1;
        loop {
            let sent = self.signed(request)?.send().await;
            let response = sent.map_err(|error| failure::transport(&self.depot, &error))?;
            let is_busy = response.status().is_server_error();
            if !is_busy || attempt == ATTEMPTS_MAX {
                return Ok(response);
            }
            sleep(PAUSE * 2_u32.pow(attempt - 1)).await;
            attempt += 1;
        }
    }

    fn signed(&self, request: Request<'_>) -> Result<reqwest::RequestBuilder, Fault> {
        let mut url = self.base.clone();
        url.set_path(request.path);
        url.set_query(Some(request.query).filter(|query| !query.is_empty()));
        // What would be sent under another name than it is signed under.
        if url.path() != request.path {
            return Err(failure::unnameable(&self.depot));
        }
        let host = match (self.base.host_str(), self.base.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        let at = sign::instant(std::time::SystemTime::now());
        let mut headers = vec![("host", host)];
        headers.extend_from_slice(request.headers);
        headers.push(("x-amz-content-sha256", NO_BODY.to_owned()));
        headers.push(("x-amz-date", at.clone()));
        let signer = Signer {
            key_id: &self.bucket.access_key,
            secret: self.secret.expose().trim_ascii_end(),
            region: &self.bucket.region,
        };
        let unsigned = Unsigned {
            path: request.path,
            query: request.query,
            headers: &headers,
        };
        let authorization = sign::authorization(signer, unsigned, &at);
        let mut signed = self.http.get(url).header("authorization", authorization);
        for (name, value) in headers {
            signed = signed.header(name, value);
        }
        Ok(signed)
    }

    async fn body(&self, mut response: Response, bytes_max: usize) -> Result<Vec<u8>, Fault> {
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= bytes_max => {
                    body.extend_from_slice(&chunk);
                }
                Ok(Some(_)) => return Err(self.strange()),
                Ok(None) => return Ok(body),
                Err(error) => return Err(failure::transport(&self.depot, &error)),
            }
        }
    }

    fn strange(&self) -> Fault {
        failure::strange(&self.depot)
    }
}

/// A GET that is not signed yet.
#[derive(Clone, Copy)]
struct Request<'a> {
    path: &'a str,
    query: &'a str,
    headers: &'a [(&'static str, String)],
}

/// What a range is of.
#[derive(Clone, Copy, PartialEq, Eq)]
struct ContentRange {
    start: u64,
    size: u64,
}

impl ContentRange {
    fn of(response: &Response) -> Option<Self> {
        let text = response
            .headers()
            .get(header::CONTENT_RANGE)?
            .to_str()
            .ok()?;
        let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (start, _) = range.split_once('-')?;
        Some(Self {
            start: start.parse().ok()?,
            size: size.parse().ok()?,
        })
    }
}

fn etag(response: &Response) -> Option<String> {
    let etag = response.headers().get(header::ETAG)?.to_str().ok()?;
    Some(bare(etag).to_owned()).filter(|etag| !etag.is_empty())
}

/// An ETag without its quotes: listings of some stores leave them out.
fn bare(etag: &str) -> &str {
    let inner = etag
        .strip_prefix('"')
        .and_then(|etag| etag.strip_suffix('"'));
    inner.unwrap_or(etag)
}

/// Bytes on their way.
#[derive(Debug)]
pub struct Reading {
    depot: String,
    key: String,
    response: Option<Response>,
    left: u64,
}

impl Reading {
    /// The next bytes; `None` after the last one that was asked for.
    ///
    /// # Errors
    /// The connection broke, or there are fewer or more bytes than were asked for.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        let Some(response) = &mut self.response else {
            return Ok(None);
        };
        let chunk = response.chunk().await;
        let chunk = chunk.map_err(|error| failure::transport(&self.depot, &error))?;
        let length = chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        match self.left.checked_sub(length) {
            Some(left) if chunk.is_some() || left == 0 => self.left = left,
            _ => return Err(failure::broken(&self.depot, &self.key)),
        }
        if chunk.is_none() {
            self.response = None;
        }
        Ok(chunk)
    }

    /// All of them.
    ///
    /// # Errors
    /// See [`Reading::next`].
    pub async fn bytes(mut self) -> Result<Bytes, Fault> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.next().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use dataos_model::secret::SecretName;

    use super::*;

    fn asked(addressing: Addressing, key: &str) -> Result<String, Fault> {
        let bucket = Bucket {
            endpoint: "https://s3.test:9000".to_owned(),
            region: "r".to_owned(),
            name: "b".to_owned(),
            prefix: String::new(),
            addressing,
            access_key: "id".to_owned(),
            secret_key: SecretName("public/s/secretkey".to_owned()),
            tls: Tls::Verified { authorities: None },
        };
        let store = Store::new("d", bucket, Secret::new("secret"))?;
        let path = store.path(key);
        let request = Request {
            path: &path,
            query: "",
            headers: &[],
        };
        let request = store.signed(request)?.build().unwrap();
        let host = request.headers().get("host").unwrap().to_str().unwrap();
        Ok(format!("{} {host}", request.url()))
    }

    #[test]
    fn the_bucket_stands_in_the_path_or_in_the_host_name() {
        for (addressing, key, expected) in [
            (
                Addressing::Path,
                "a/é.csv",
                "https://s3.test:9000/b/a/%C3%A9.csv s3.test:9000",
            ),
            (
                Addressing::Host,
                "a b.csv",
                "https://b.s3.test:9000/a%20b.csv b.s3.test:9000",
            ),
            (
                Addressing::Host,
                "a//b",
                "https://b.s3.test:9000/a//b b.s3.test:9000",
            ),
        ] {
            assert_eq!(asked(addressing, key).unwrap(), expected);
        }
        let fault = asked(Addressing::Path, "a/../../c/x.csv").unwrap_err();
        assert!(fault.message.contains("cannot be asked for"), "{fault}");
    }

    #[test]
    fn etags_are_compared_without_their_quotes() {
        for (etag, expected) in [("\"a\"", "a"), ("a", "a"), ("\"", "\""), ("", "")] {
            assert_eq!(bare(etag), expected);
        }
    }
}
