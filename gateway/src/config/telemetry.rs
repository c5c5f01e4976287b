//! Where traces go.

use std::path::PathBuf;

use dataos_model::fault::Fault;

use super::{
    sources::Values,
    values::{parsed, text, wrong},
};

const OTLP: &str = "telemetry.otlp";
const SHARE: &str = "telemetry.share";

/// A collector of traces.
#[derive(Clone, Debug, PartialEq)]
pub struct TelemetryConfig {
    /// Its address; `/v1/traces` is added.
    pub otlp: String,
    /// The share of calls that are traced, where the client does not say.
    pub share: f64,
    /// PEM of the CA of its certificate, if not one of the system's.
    pub ca_file: Option<PathBuf>,
    /// File of headers that it wants, each a line `name: value`.
    pub headers_file: Option<PathBuf>,
}

impl TelemetryConfig {
    /// The share, of 2^32.
    pub(crate) fn share_of_2_32(&self) -> u64 {
        (self.share * (1_u64 << 32) as f64) as u64
    }

    pub(super) fn read(values: &Values) -> Result<Option<Self>, Fault> {
        let otlp = text(values, OTLP);
        if otlp.is_empty() {
            return Ok(None);
        }
        let url = reqwest::Url::parse(&otlp).ok();
        let is_usable = |url: &reqwest::Url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.query().is_none()
                && url.password().is_none()
        };
        if !url.as_ref().is_some_and(is_usable) {
            let expected = "http:// or https:// with a host, such as http://127.0.0.1:4318";
            return Err(wrong(values, OTLP, expected));
        }
        let expected = "a number from 0 to 1";
        let share: f64 = parsed(values, SHARE, expected)?;
        if !(0.0..=1.0).contains(&share) {
            return Err(wrong(values, SHARE, expected));
        }
        let file = |key| Some(text(values, key)).filter(|path| !path.is_empty());
        Ok(Some(Self {
            otlp,
            share,
            ca_file: file("telemetry.ca_file").map(PathBuf::from),
            headers_file: file("telemetry.headers_file").map(PathBuf::from),
        }))
    }
}
