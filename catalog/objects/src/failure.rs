//! What is told when a store refuses or cannot be reached. Texts of the store stay out: they can hold what it was
//! sent.

use std::{error::Error, io};

use dataos_model::{
    depot::Bucket,
    fault::{Fault, FaultKind},
};
use reqwest::StatusCode;

use crate::answer::Problem;

/// What a request was about.
#[derive(Clone, Copy)]
pub(crate) enum Subject<'a> {
    /// What there is in the bucket.
    Listing,
    /// The object of this key.
    Object(&'a str),
}

/// The last part of a key.
fn name(key: &str) -> &str {
    key.rsplit_once('/').map_or(key, |(_, name)| name)
}

fn fault(depot: &str, problem: &str, hint: impl Into<String>) -> Fault {
    Fault::unavailable(format!("depot `{depot}`: {problem}"))
        .with_reason("source")
        .with_hint(hint)
}

/// What a refusal means, by its status and code.
pub(crate) fn refused(
    depot: &str,
    bucket: &Bucket,
    subject: Subject<'_>,
    status: StatusCode,
    told: Option<Problem>,
    region: Option<String>,
) -> Fault {
    let told = told.unwrap_or_default();
    let fault = |problem: &str, hint: &str| fault(depot, problem, hint);
    let region = told.region.or(region).filter(|it| *it != bucket.region);
    match (told.code.as_str(), status.as_u16(), subject) {
        ("NoSuchBucket", ..) => fault(
            &format!("the object store has no bucket `{}`", bucket.name),
            "check bucket and endpoint of the depot, and whether the bucket stands in the path or in the host name",
        ),
        ("InvalidAccessKeyId", ..) => fault(
            "the object store does not know the access key (InvalidAccessKeyId)",
            "check the key `accesskeyid` of the depot's secret",
        ),
        ("SignatureDoesNotMatch", ..) => fault(
            "the object store refuses the signature (SignatureDoesNotMatch)",
            "check the key `secretkey` of the depot's secret, and the region",
        ),
        ("RequestTimeTooSkewed" | "RequestExpired", ..) => fault(
            "the clock of this machine differs from that of the object store (RequestTimeTooSkewed)",
            "set the clock of this machine",
        ),
        (
            "AuthorizationHeaderMalformed"
            | "PermanentRedirect"
            | "IllegalLocationConstraintException",
            ..,
        )
        | (_, 301 | 307, _) => fault(
            &format!("the bucket is not in the region `{}`", bucket.region),
            &match region {
                Some(region) => format!("declare the region `{}`", safe(&region)),
                None => "declare the region and the endpoint of the bucket".to_owned(),
            },
        ),
        ("PreconditionFailed", _, Subject::Object(key)) | (_, 412, Subject::Object(key)) => {
            changed(depot, key)
        }
        ("NoSuchKey", _, Subject::Object(key)) | (_, 404, Subject::Object(key)) => fault(
            &format!("object `{}` is not in the bucket", name(key)),
            "check that it is there, then scan the depot again",
        ),
        (code, 401 | 403, subject) => {
            let (what, right) = match subject {
                Subject::Listing => ("a listing of the bucket", "s3:ListBucket on it"),
                Subject::Object(_) => ("an object of the bucket", "s3:GetObject on its objects"),
            };
            fault(
                &format!("the object store denies {what} ({})", shown(code, status)),
                &format!("give the access key {right}"),
            )
        }
        (code, 500.., _) => fault(
            &format!(
                "the object store fails or is too busy ({})",
                shown(code, status)
            ),
            "try again later",
        ),
        (code, ..) => fault(
            &format!(
                "the object store answers in a way that is not understood ({})",
                shown(code, status)
            ),
            "check that the endpoint of the depot is that of an S3-compatible store, and whether it takes https",
        ),
    }
}

/// Codes are words; whatever else stands in their place is not passed on.
fn shown(code: &str, status: StatusCode) -> String {
    match safe(code).as_str() {
        "" => format!("status {}", status.as_u16()),
        code => code.to_owned(),
    }
}

fn safe(word: &str) -> String {
    let is_word = |character: &char| character.is_ascii_alphanumeric() || *character == '-';
    word.chars().filter(is_word).take(60).collect()
}

/// What it means that no answer came.
pub(crate) fn transport(depot: &str, error: &reqwest::Error) -> Fault {
    if is_insecure(error) {
        return fault(
            depot,
            "the object store offers no TLS, or no certificate that can be verified",
            "give the authority of the store's certificate as `authorities` of the depot, and the host name that \
             it is for as `endpoint`",
        );
    }
    fault(
        depot,
        if error.is_connect() {
            "the object store does not answer"
        } else {
            "the connection to the object store broke"
        },
        "check that it runs, that the endpoint of the depot is right, and whether it takes https",
    )
}

/// Whether TLS is behind an error. What an error of I/O was made of is not its source.
fn is_insecure(error: &reqwest::Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if error.is::<rustls::Error>() {
            return true;
        }
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        source = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

/// The object is another by now.
pub(crate) fn changed(depot: &str, key: &str) -> Fault {
    let text = format!(
        "depot `{depot}`: object `{}` changed while it was read",
        name(key)
    );
    Fault::new(FaultKind::Conflict, text)
        .with_reason("source")
        .with_hint("ask again")
}

/// Fewer or more bytes came than were asked for.
pub(crate) fn broken(depot: &str, key: &str) -> Fault {
    fault(
        depot,
        &format!("object `{}` arrived in part", name(key)),
        "ask again; if it stays so, look at what lies between here and the store",
    )
}

/// The store does not do what is needed of it.
pub(crate) fn no_ranges(depot: &str) -> Fault {
    fault(
        depot,
        "the object store does not give the range of bytes that it was asked for",
        "use a store that takes the header Range",
    )
}

/// See [`no_ranges`].
pub(crate) fn no_etag(depot: &str) -> Fault {
    fault(
        depot,
        "the object store tells no ETag, so a change between two reads would go unseen",
        "use a store that tells the header ETag",
    )
}

/// An answer with a good status whose body is none.
pub(crate) fn strange(depot: &str) -> Fault {
    fault(
        depot,
        "the object store answers in a way that is not understood",
        "check that the endpoint of the depot is that of an S3-compatible store",
    )
}

/// A key that no URL can have.
pub(crate) fn unnameable(depot: &str) -> Fault {
    fault(
        depot,
        "a key with `.` or `..` between slashes cannot be asked for",
        "give the object another key",
    )
}

#[cfg(test)]
mod tests {
    use dataos_model::{
        depot::{Addressing, Tls},
        secret::SecretName,
    };

    use super::*;

    fn told(status: u16, code: &str, region: Option<&str>, subject: Subject<'_>) -> String {
        let bucket = Bucket {
            endpoint: "https://s3.test".to_owned(),
            region: "us-east-1".to_owned(),
            name: "b".to_owned(),
            prefix: String::new(),
            addressing: Addressing::Path,
            access_key: "id".to_owned(),
            secret_key: SecretName("public/s/secretkey".to_owned()),
            tls: Tls::Off,
        };
        let problem = Problem {
            code: code.to_owned(),
            region: region.map(str::to_owned),
        };
        let status = StatusCode::from_u16(status).unwrap();
        refused("d", &bucket, subject, status, Some(problem), None).to_string()
    }

    #[test]
    fn refusals_say_what_to_do() {
        let listing = Subject::Listing;
        let object = Subject::Object("a/b.csv");
        for (status, code, region, subject, expected) in [
            (404, "NoSuchBucket", None, listing, "no bucket `b`"),
            (403, "AccessDenied", None, listing, "s3:ListBucket"),
            (403, "AccessDenied", None, object, "s3:GetObject"),
            (403, "RequestTimeTooSkewed", None, listing, "set the clock"),
            (
                400,
                "AuthorizationHeaderMalformed",
                Some("eu-1"),
                listing,
                "declare the region `eu-1`",
            ),
            (
                301,
                "PermanentRedirect",
                None,
                listing,
                "declare the region and the endpoint",
            ),
            (
                404,
                "NoSuchKey",
                None,
                object,
                "`b.csv` is not in the bucket",
            ),
            (412, "PreconditionFailed", None, object, "`b.csv` changed"),
            (503, "SlowDown", None, object, "too busy (SlowDown)"),
            (403, "<script>", None, listing, "(script)"),
            (400, "", None, listing, "(status 400)"),
        ] {
            let text = told(status, code, region, subject);
            assert!(text.contains(expected), "{text}");
        }
    }
}
