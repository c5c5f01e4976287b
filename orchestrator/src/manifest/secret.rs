//! `secret`: named values that go to the secret store and nowhere else.

use dataos_model::{
    fault::Fault,
    secret::{Secret, SecretName},
};

use super::{Body, Parsed};
use crate::fields::{Fields, expected, not_supported, text_of};
use crate::yaml::Content;

/// Most keys of one secret.
const KEYS_MAX: usize = 256;

/// Reads the `secret` section.
pub(super) fn read(fields: &Fields<'_>, name: &str, workspace: &str) -> Result<Parsed, Fault> {
    match fields.required_text("type")? {
        "key-value" | "key-value-properties" => {}
        word @ ("cloud-kernel" | "cloud-kernel-image-pull" | "certificate" | "certificates") => {
            let problem = format!("secret type `{word}` is recognised and not supported yet");
            return Err(not_supported(fields.fault("type", problem))
                .with_hint("supported: key-value, key-value-properties"));
        }
        word => {
            return Err(fields
                .fault("type", format!("unknown secret type `{word}`"))
                .with_hint("supported: key-value, key-value-properties"));
        }
    }
    read_acl(fields)?;
    fields.not_supported(&["files"])?;
    let data = fields.required("data")?;
    let Content::Map(members) = &data.content else {
        return Err(expected(data, "secret.data", "a mapping"));
    };
    if members.is_empty() || members.len() > KEYS_MAX {
        return Err(fields.fault("data", format!("`data` must hold 1 to {KEYS_MAX} keys")));
    }
    let mut secrets = Vec::with_capacity(members.len());
    for member in members {
        let field = format!("secret.data.{}", member.key);
        if !is_key(&member.key) {
            return Err(crate::fields::wrong(
                member.place,
                "secret.data",
                "a key is made of letters, digits, `.`, `_` and `-`, at most 128",
            ));
        }
        let value = text_of(&member.node, &field)?;
        secrets.push((
            secret_name(workspace, name, &member.key),
            Secret::new(value.as_bytes()),
        ));
    }
    fields.finish()?;
    Ok(Parsed {
        body: Body::Secret,
        references: Vec::new(),
        secrets,
    })
}

/// `acl` is `r` or `rw`.
pub(super) fn read_acl(fields: &Fields<'_>) -> Result<(), Fault> {
    match fields.text("acl")? {
        None | Some("r" | "rw") => Ok(()),
        Some(word) => Err(fields.fault("acl", format!("expected r or rw, found `{word}`"))),
    }
}

/// Where a key of a declared secret is kept.
pub(crate) fn secret_name(workspace: &str, name: &str, key: &str) -> SecretName {
    SecretName(format!("{workspace}/{name}/{key}"))
}

fn is_key(key: &str) -> bool {
    !key.is_empty()
        && key.len() <= 128
        && !key.starts_with('.')
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}
