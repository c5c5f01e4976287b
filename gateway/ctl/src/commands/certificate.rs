//! Client certificates of services, and the CA that issues them.

use std::{fs::OpenOptions, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use clap::ValueEnum;
use serde_json::{Value, json};

use super::{identity::seconds, shown};
use crate::{
    arguments::Certificate, client::Client, context::Contexts, failure::Failure, output::Answer,
};

const AUTHORITY: &str = "/api/v1/certificate-authority";

pub(crate) async fn run(
    client: &Client,
    command: &Certificate,
    context: Option<&str>,
) -> Result<Answer, Failure> {
    match command {
        Certificate::Create {
            name,
            duration,
            out,
        } => create(client, name, duration, out).await,
        Certificate::Authority => authority(client.get(AUTHORITY, &[]).await?, context),
        Certificate::RollOver { step } => {
            let step = step.to_possible_value();
            let step = step.map(|step| step.get_name().to_owned());
            authority(take(client, &step.unwrap_or_default()).await?, context)
        }
        Certificate::Renew => authority(take(client, "renew").await?, context),
    }
}

async fn take(client: &Client, step: &str) -> Result<Value, Failure> {
    client
        .post(&format!("{AUTHORITY}/steps"), &json!({"step": step}))
        .await
}

async fn create(
    client: &Client,
    name: &str,
    duration: &str,
    out: &Path,
) -> Result<Answer, Failure> {
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

/// Shows the CAs. The context in use trusts them from now on, as told over a connection that it trusts.
fn authority(told: Value, context: Option<&str>) -> Result<Answer, Failure> {
    let authorities = told.get("authorities").and_then(Value::as_array);
    let authorities = authorities.map(Vec::as_slice).unwrap_or_default();
    let row = |ca: &Value| {
        ["role", "subject", "fingerprint", "expires_at"]
            .map(|field| shown(ca, field))
            .to_vec()
    };
    let rows = authorities.iter().map(row).collect();
    let mut hints = vec![
        match told.get("phase").and_then(Value::as_str) {
            Some("announced") => {
                "let every client take up `ca`, then: dataos-ctl certificate roll-over issue"
            }
            Some("issuing") => {
                "issue client certificates anew, then: dataos-ctl certificate roll-over finish"
            }
            _ => "to replace it: dataos-ctl certificate roll-over announce",
        }
        .to_owned(),
    ];
    let (mut contexts, _lock) = Contexts::load_locked()?;
    let name = contexts.chosen_name(context);
    if let Some(name) = name
        && contexts.replace_ca(&name, &shown(&told, "ca"))
    {
        contexts.save()?;
        hints.push(format!("the context `{name}` trusts these from now on"));
    }
    let answer = Answer::table(&["ROLE", "SUBJECT", "FINGERPRINT", "EXPIRES"], rows, told);
    Ok(hints.into_iter().fold(answer, Answer::hint))
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
