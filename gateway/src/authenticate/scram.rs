//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, the server's side: RFC 5802 and RFC 7677, with the channel binding
//! `tls-server-end-point` of RFC 5929. No input or output, no state beside one log-in.

use aws_lc_rs::{
    constant_time,
    digest::{SHA256, digest},
    hmac, pbkdf2,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use dataos_model::fault::Fault;

/// The mechanism without and with a channel binding.
pub(crate) const SCRAM: &str = "SCRAM-SHA-256";
pub(crate) const SCRAM_PLUS: &str = "SCRAM-SHA-256-PLUS";
/// How often a secret is hashed. Drivers do that for each connection, and some take no more than 100 000.
pub(crate) const ITERATIONS: u32 = 65_536;
/// The channel binding that there is.
const BINDING: &str = "tls-server-end-point";
const KEY_BYTES: usize = 32;

type Key = [u8; KEY_BYTES];

/// By what a secret is known without being known.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Verifier {
    stored_key: Key,
    server_key: Key,
}

impl Verifier {
    /// Of a secret; takes some ten milliseconds.
    pub(crate) fn of(secret: &str, salt: &[u8], iterations: u32) -> Self {
        // What cannot be prepared is taken as it is, as by PostgreSQL and its drivers.
        let prepared = stringprep::saslprep(secret).unwrap_or(secret.into());
        let mut salted = [0; KEY_BYTES];
        let iterations = std::num::NonZeroU32::new(iterations).unwrap_or(std::num::NonZeroU32::MIN);
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            iterations,
            salt,
            prepared.as_bytes(),
            &mut salted,
        );
        Self {
            stored_key: hash(&sign(&salted, b"Client Key")),
            server_key: sign(&salted, b"Server Key"),
        }
    }

    /// Which no proof shows: there is no known text with this hash.
    pub(crate) const NOBODYS: Self = Self {
        stored_key: [0; KEY_BYTES],
        server_key: [0; KEY_BYTES],
    };

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        [self.stored_key, self.server_key].concat()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (stored_key, server_key) = bytes.split_at_checked(KEY_BYTES)?;
        Some(Self {
            stored_key: stored_key.try_into().ok()?,
            server_key: server_key.try_into().ok()?,
        })
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier(..)")
    }
}

/// A log-in of which the first message came.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// What the second message must say of the channel, in Base64.
    channel: String,
    /// The first message without what it says of the channel.
    first: String,
    challenge: String,
    /// Of both sides.
    nonce: String,
}

/// What a client showed.
#[derive(Debug)]
pub(crate) struct Proof {
    /// What it is about: all that was said.
    said: String,
    proof: Key,
}

impl Exchange {
    /// Takes the first message. `channel` is the hash of the certificate that the client was shown, if the
    /// mechanism with a binding was offered.
    ///
    /// # Errors
    /// It is no such message, names somebody else to act for, or was changed on its way.
    pub(crate) fn begin(
        mechanism: &str,
        message: &[u8],
        channel: Option<&[u8]>,
        salt: &[u8],
        nonce: &str,
    ) -> Result<Self, Fault> {
        let message = std::str::from_utf8(message).map_err(|_| malformed("it is not UTF-8"))?;
        let (flag, rest) = part(message)?;
        let (actor, first) = part(rest)?;
        if !actor.is_empty() {
            let problem = "it names another user to act for";
            return Err(malformed(problem).with_hint("log in as that user, or use `dataos-ctl`"));
        }
        let bound: &[u8] = match (mechanism, flag, channel) {
            (SCRAM, "n", _) | (SCRAM, "y", None) => b"",
            (SCRAM, "y", Some(_)) => return Err(downgraded()),
            (SCRAM_PLUS, flag, Some(hash)) if flag.strip_prefix("p=") == Some(BINDING) => hash,
            (SCRAM_PLUS, flag, Some(_)) if flag.starts_with("p=") => {
                let problem = "it binds to something other than `tls-server-end-point`";
                return Err(malformed(problem));
            }
            (SCRAM | SCRAM_PLUS, ..) => {
                return Err(malformed("mechanism and channel binding do not agree"));
            }
            _ => return Err(malformed("the mechanism was not offered")),
        };
        let (name, rest) = part(first)?;
        if !name.starts_with("n=") {
            return Err(malformed("its user name is missing"));
        }
        let theirs = rest.split(',').next().unwrap_or_default();
        let theirs = theirs.strip_prefix("r=");
        let theirs = theirs.filter(|text| !text.is_empty() && text.bytes().all(is_printable));
        let theirs = theirs.ok_or_else(|| malformed("its nonce is missing"))?;
        let nonce = format!("{theirs}{nonce}");
        let channel = [format!("{flag},,").as_bytes(), bound].concat();
        Ok(Self {
            channel: STANDARD.encode(channel),
            first: first.to_owned(),
            challenge: format!("r={nonce},s={},i={ITERATIONS}", STANDARD.encode(salt)),
            nonce,
        })
    }

    /// What the client is to answer.
    pub(crate) fn challenge(&self) -> &str {
        &self.challenge
    }

    /// Takes the answer.
    ///
    /// # Errors
    /// It is no such message, or TLS ends elsewhere for the client.
    pub(crate) fn answered(&self, message: &[u8]) -> Result<Proof, Fault> {
        let message = std::str::from_utf8(message).map_err(|_| malformed("it is not UTF-8"))?;
        let (unproved, proof) = message
            .rsplit_once(",p=")
            .ok_or_else(|| malformed("its proof is missing"))?;
        let proof = STANDARD.decode(proof).ok();
        let proof = proof.and_then(|proof| Key::try_from(proof).ok());
        let proof = proof.ok_or_else(|| malformed("its proof is none"))?;
        let mut parts = unproved.split(',');
        let channel = parts.next().and_then(|part| part.strip_prefix("c="));
        if channel != Some(&self.channel) {
            let problem = "the client does not see the certificate that this server showed";
            return Err(Fault::invalid(problem)
                .with_reason("scram_channel")
                .with_hint("something between the two ends TLS; connect without it"));
        }
        if parts.next().and_then(|part| part.strip_prefix("r=")) != Some(&self.nonce) {
            return Err(malformed("its nonce is of another log-in"));
        }
        Ok(Proof {
            said: format!("{},{},{unproved}", self.first, self.challenge),
            proof,
        })
    }
}

impl Proof {
    /// If it shows the secret of this verifier, the server's own proof.
    pub(crate) fn shows(&self, verifier: &Verifier) -> Option<String> {
        let mut key = sign(&verifier.stored_key, self.said.as_bytes());
        for (byte, proof) in key.iter_mut().zip(self.proof) {
            *byte ^= proof;
        }
        constant_time::verify_slices_are_equal(&hash(&key), &verifier.stored_key).ok()?;
        let own = sign(&verifier.server_key, self.said.as_bytes());
        Some(format!("v={}", STANDARD.encode(own)))
    }
}

/// What stands before the next comma, and what behind it.
fn part(text: &str) -> Result<(&str, &str), Fault> {
    let parts = text.split_once(',');
    parts.ok_or_else(|| malformed("it ends too early"))
}

fn is_printable(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b','
}

fn malformed(problem: &str) -> Fault {
    Fault::invalid(format!(
        "a message of the log-in cannot be taken: {problem}"
    ))
    .with_reason("scram_malformed")
}

fn downgraded() -> Fault {
    let message = "the client could bind to the channel and believes that this server cannot";
    Fault::invalid(message)
        .with_reason("scram_downgraded")
        .with_hint("something between the two changes what is said; connect without it")
}

fn sign(key: &Key, text: &[u8]) -> Key {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    bytes(hmac::sign(&key, text).as_ref())
}

fn hash(text: &[u8]) -> Key {
    bytes(digest(&SHA256, text).as_ref())
}

/// As many as SHA-256 gives.
fn bytes(given: &[u8]) -> Key {
    let mut key = [0; KEY_BYTES];
    for (byte, given) in key.iter_mut().zip(given) {
        *byte = *given;
    }
    key
}

#[cfg(test)]
pub(crate) mod tests;
