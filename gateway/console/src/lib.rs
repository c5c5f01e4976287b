//! The web console, embedded: a table of files made by `build.rs` from `web/`.
//!
//! Enters: the path of a request below `/console/`. Leaves: the stored bytes of that file with the
//! facts that HTTP headers need. Never done here: HTTP itself (only the gateway names a server), any
//! data, any decision; these files are the same for everyone and carry nothing governed.
//!
//! Each file is stored once, as brotli where that is smaller. Brotli is a fifth smaller than gzip on
//! this bundle and every browser of the last years asks for it over TLS; [`inflate`] is for the rest.
//!
//! ```
//! let page = dataos_console::resolve("audit/7").expect("a screen's URL gets the page");
//! assert_eq!(page.content_type, "text/html; charset=utf-8");
//! assert!(dataos_console::resolve("assets/gone-12345678.js").is_none());
//! ```

use std::io::{self, Read};

/// The page that every screen starts from.
pub const INDEX: &str = "index.html";

/// Value of `Content-Security-Policy` under which every screen works; nothing is inline, nothing
/// comes from elsewhere, no text becomes markup.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; script-src 'self'; \
     style-src 'self'; img-src 'self'; connect-src 'self'; object-src 'none'; \
     frame-ancestors 'none'; base-uri 'none'; form-action 'self'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

/// `Cache-Control` of a file whose name holds the digest of its content.
pub const CACHE_IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// `Cache-Control` of any other file: ask again each time, the `ETag` makes it cheap.
pub const CACHE_REVALIDATE: &str = "no-cache";

/// Largest file that [`inflate`] writes, in bytes. The largest of today has a tenth of it.
const INFLATED_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// One file of the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asset {
    /// The bytes as stored.
    pub bytes: &'static [u8],
    /// Value of `Content-Encoding` for the stored bytes: `br`, or none if they are stored plain.
    pub encoding: Option<&'static str>,
    /// Value of `Content-Type`.
    pub content_type: &'static str,
    /// Value of `ETag`, quotes included: the SHA-256 of the plain bytes.
    pub etag: &'static str,
    /// Whether the name holds a digest of the content, so that it may be cached for good.
    pub is_immutable: bool,
}

impl Asset {
    /// Value of `Cache-Control`.
    pub fn cache_control(&self) -> &'static str {
        if self.is_immutable {
            CACHE_IMMUTABLE
        } else {
            CACHE_REVALIDATE
        }
    }
}

/// A file and its path below `/console/`, sorted by path.
struct Entry {
    path: &'static str,
    asset: Asset,
}

// Defines `ENTRIES: &[Entry]` and `IS_PLACEHOLDER: bool`.
include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The file at `path` below `/console/`, such as `assets/main-1a2b3c4d.js`.
pub fn asset(path: &str) -> Option<Asset> {
    let found = ENTRIES
        .binary_search_by_key(&path, |entry| entry.path)
        .ok()?;
    ENTRIES.get(found).map(|entry| entry.asset)
}

/// Whether `path` names a screen rather than a file: its last segment has no extension. A screen's
/// URL gets [`INDEX`]; a missing file must be an error, since a page in place of an old script only
/// hides that the script is gone.
pub fn is_route(path: &str) -> bool {
    !path
        .rsplit('/')
        .next()
        .is_some_and(|last| last.contains('.'))
}

/// What to serve for `path` below `/console/`: the file, the page if it names a screen, or nothing.
pub fn resolve(path: &str) -> Option<Asset> {
    asset(path).or_else(|| if is_route(path) { asset(INDEX) } else { None })
}

/// Whether the console was left out of this build, so that one page says how to build it.
pub fn is_placeholder() -> bool {
    IS_PLACEHOLDER
}

/// The plain bytes, for a client that does not accept [`Asset::encoding`].
///
/// # Errors
/// If the stored bytes are damaged or larger than the bound when plain; a test keeps that from
/// being so in any build.
pub fn inflate(asset: &Asset) -> io::Result<Vec<u8>> {
    if asset.encoding.is_none() {
        return Ok(asset.bytes.to_vec());
    }
    let mut plain = Vec::new();
    let buffer_bytes = 64 * 1024;
    brotli_decompressor::Decompressor::new(asset.bytes, buffer_bytes)
        .take(INFLATED_BYTES_MAX + 1)
        .read_to_end(&mut plain)?;
    if plain.len() as u64 > INFLATED_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "larger than any console file",
        ));
    }
    Ok(plain)
}

#[cfg(test)]
mod tests;
