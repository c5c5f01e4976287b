//! Log lines on stderr: JSON for machines, text on a terminal. Never a credential, never a value of
//! governed data.

use std::io::IsTerminal;

use dataos_model::fault::Fault;
use tracing_subscriber::EnvFilter;

use super::calls::{self, LogEnd};
use crate::config::LogFormat;

/// Starts logging for the whole process, until what it returns is dropped; a second call changes nothing.
///
/// # Errors
/// A filter that does not parse, or no thread to write with.
pub fn init(level: &str, format: LogFormat) -> Result<LogEnd, Fault> {
    let filter = EnvFilter::try_new(level)
        .map_err(|error| Fault::invalid(format!("setting `log.level` = `{level}`: {error}")))?;
    let is_json = match format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A test or the demo may have started logging before; its choice stands.
    if !is_json {
        let _ = builder.with_target(false).try_init();
    } else if builder.json().flatten_event(true).try_init().is_ok() {
        calls::start()
            .map_err(|error| Fault::internal(format!("no thread for the log: {error}")))?;
    }
    Ok(LogEnd::new())
}
