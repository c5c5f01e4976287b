//! Log lines on stderr: JSON for machines, text on a terminal. Never a credential, never a value of
//! governed data.

use std::io::IsTerminal;

use dataos_model::fault::Fault;
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Starts logging for the whole process; a second call changes nothing.
///
/// # Errors
/// A filter that does not parse.
pub fn init(level: &str, format: LogFormat) -> Result<(), Fault> {
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
    let _ = if is_json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_target(false).try_init()
    };
    Ok(())
}
