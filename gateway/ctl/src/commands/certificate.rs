//! Client certificates of services.

use std::{fs::OpenOptions, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use serde_json::{Value, json};

use super::{identity::seconds, shown};
use crate::{arguments::Certificate, client::Client, failure::Failure, output::Answer};

pub(crate) async fn run(client: &Client, command: &Certificate) -> Result<Answer, Failure> {
    let Certificate::Create {
        name,
        duration,
        out,
    } = command;
    let body = json!({"service": name, "expires_in_seconds": seconds(duration)?});
    let mut issued = client.post("/api/v1/client-certificates", &body).await?;
    let (certificate, key) = (
        out.join(format!("{name}.pem")),
        out.join(format!("{name}.key")),
    );
    write_new(&key, &shown(&issued, "key"), 0o600)?;
    write_new(&certificate, &shown(&issued, "certificate"), 0o644)?;
    let lines = vec![
        format!(
            "{} until {}",
            shown(&issued, "identity"),
            shown(&issued, "expires_at")
        ),
        format!("certificate: {}", certificate.display()),
        format!("key:         {}", key.display()),
    ];
    if let Some(fields) = issued.as_object_mut() {
        // It is in the file, and belongs into no log.
        fields.remove("key");
        let path = |path: &Path| Value::String(path.display().to_string());
        fields.insert("certificate_file".to_owned(), path(&certificate));
        fields.insert("key_file".to_owned(), path(&key));
    }
    Ok(Answer::lines(lines, issued))
}

/// Writes a file that is not there yet.
fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(mode);
    let written = options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Failure::failed(format!("{}: {error}", path.display())))
}
