//! A log-in on its way: begun here, away at the provider, and taken back once, from the browser that
//! began it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dataos_model::{clock::Timestamp, fault::Fault, hash::Hash};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::refusals::{
    COOKIE_INVALID, COOKIE_MISSING, EXPIRED, LogInFault, PROVIDER_OTHER, RETURN_REFUSED,
    STATE_MISSING, STATE_REUSED, STATE_WRONG,
};
use crate::authenticate::seal::{Seal, random};

/// How long people may take at the provider, coming or going.
pub(crate) const PASSAGE_S_MAX: i64 = 600;
/// Most answers and logout tokens remembered as taken, each for as long as it could come again.
const TAKEN_MAX: usize = 100_000;
/// Longest path to return to.
const RETURN_BYTES_MAX: usize = 1024;
/// Where people go who say nothing.
const RETURN_DEFAULT: &str = "/console/";
/// What the cookie of a log-in is sealed for.
const PLACE: &str = "log-in";

/// What a log-in needs to know when it comes back.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Begun {
    provider: String,
    pub(super) state: String,
    pub(super) nonce: String,
    pub(super) verifier: String,
    pub(super) return_to: String,
    begun_s: i64,
}

/// Seals log-ins, and takes each back once.
#[derive(Debug)]
pub(super) struct Flows {
    /// Of this process: log-ins on their way end with it, and with them the need to remember which
    /// came back.
    seal: Seal,
    /// Digests of states that came back and of logout tokens, with the second in which they end anyway.
    taken: Mutex<HashMap<Hash, i64>>,
}

impl Begun {
    pub(super) fn new(
        provider: &str,
        return_to: Option<&str>,
        now: Timestamp,
    ) -> Result<Self, LogInFault> {
        let text = || random::<32>().map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        let return_to = return_to.unwrap_or(RETURN_DEFAULT);
        if !is_own_path(return_to) {
            return Err(RETURN_REFUSED.into());
        }
        Ok(Self {
            provider: provider.to_owned(),
            state: text()?,
            nonce: text()?,
            verifier: text()?,
            return_to: return_to.to_owned(),
            begun_s: now.0 / 1000,
        })
    }

    /// What the provider is told of the verifier (RFC 7636, S256).
    pub(super) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, self.verifier.as_bytes()))
    }
}

impl Flows {
    pub(super) fn new() -> Result<Self, Fault> {
        Ok(Self {
            seal: Seal::of_process()?,
            taken: Mutex::default(),
        })
    }

    /// The value of the cookie that a log-in comes back with.
    pub(super) fn sealed(&self, begun: &Begun) -> Result<String, Fault> {
        self.seal(PLACE, begun)
    }

    /// A value for a cookie, which opens for the same purpose alone.
    pub(super) fn seal<T: Serialize>(&self, place: &str, value: &T) -> Result<String, Fault> {
        let text = serde_json::to_vec(value)
            .map_err(|error| Fault::internal(format!("a cookie cannot be encoded: {error}")))?;
        Ok(URL_SAFE_NO_PAD.encode(self.seal.seal(place, &text)?))
    }

    /// What was sealed for this purpose.
    pub(super) fn open<T: DeserializeOwned>(&self, place: &str, cookie: &str) -> Option<T> {
        let sealed = URL_SAFE_NO_PAD.decode(cookie).ok()?;
        let text = self.seal.open(place, &sealed)?;
        serde_json::from_slice(text.expose()).ok()
    }

    /// Takes a log-in back from the cookie, if this is its state, for the first time.
    pub(super) fn take(
        &self,
        provider: &str,
        state: Option<&str>,
        cookie: Option<&str>,
        now: Timestamp,
    ) -> Result<Begun, LogInFault> {
        let now_s = now.0 / 1000;
        let state = state.ok_or(STATE_MISSING)?;
        let cookie = cookie.filter(|value| !value.is_empty());
        let begun: Option<Begun> = self.open(PLACE, cookie.ok_or(COOKIE_MISSING)?);
        let begun = begun.ok_or(COOKIE_INVALID)?;
        if begun.provider != provider {
            return Err(PROVIDER_OTHER.into());
        }
        if verify_slices_are_equal(begun.state.as_bytes(), state.as_bytes()).is_err() {
            return Err(STATE_WRONG.into());
        }
        if !(0..PASSAGE_S_MAX).contains(&(now_s - begun.begun_s)) {
            return Err(EXPIRED.into());
        }
        let until_s = begun.begun_s + PASSAGE_S_MAX;
        if !self.is_first(Hash::of(state), now_s, until_s)? {
            return Err(STATE_REUSED.into());
        }
        Ok(begun)
    }

    /// Whether this is seen for the first time; it is remembered until then.
    pub(super) fn is_first(&self, seen: Hash, now_s: i64, until_s: i64) -> Result<bool, Fault> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.contains_key(&seen) {
            return Ok(false);
        }
        if taken.len() >= TAKEN_MAX {
            taken.retain(|_, until_s| *until_s > now_s);
        }
        if taken.len() >= TAKEN_MAX {
            let fault = Fault::unavailable("too many people came or went within ten minutes");
            return Err(fault.with_reason("login_busy"));
        }
        taken.insert(seen, until_s);
        Ok(true)
    }
}

/// Whether a browser that follows this stays here: a path from the root, of plain characters, in which
/// nothing can be read as another host.
fn is_own_path(path: &str) -> bool {
    let (before, _) = path.split_once(['?', '#']).unwrap_or((path, ""));
    path.len() <= RETURN_BYTES_MAX
        && path.starts_with('/')
        && !before.contains("//")
        && path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
}

#[cfg(test)]
mod tests {
    use dataos_model::clock::Timestamp;

    use super::{Begun, Flows, LogInFault, PASSAGE_S_MAX, is_own_path};

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn after(seconds: i64) -> Timestamp {
        Timestamp(NOW.0 + seconds * 1000)
    }

    fn code(taken: Result<Begun, LogInFault>) -> String {
        taken.unwrap_err().shown().reason
    }

    #[test]
    fn only_plain_paths_of_this_server_are_returned_to() {
        for good in [
            "/",
            "/console/",
            "/console/#/query?sql=a//b",
            "/console/?next=https://a",
            "/%2f%2fevil.example",
            "/@evil.example",
            "/console/..",
        ] {
            assert!(is_own_path(good), "{good}");
        }
        for bad in [
            "",
            "console",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/console//evil.example",
            "https://evil.example/",
            "https:evil.example",
            "javascript:alert(1)",
            "/\t/evil.example",
            "/a\r\nSet-Cookie: a=b",
            "/\u{e9}",
            "/a b",
            "?a",
            &format!("/{}", "a".repeat(1024)),
        ] {
            assert!(!is_own_path(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_log_in_is_taken_back_once_in_time_and_from_its_browser() {
        let flows = Flows::new().unwrap();
        let begun = Begun::new("corp", None, NOW).unwrap();
        let cookie = flows.sealed(&begun).unwrap();
        let state = begun.state.as_str();
        let take = |state, cookie, at| flows.take("corp", state, cookie, at);
        let ours = Some(cookie.as_str());
        assert_eq!(code(take(None, ours, NOW)), "login_state_missing");
        assert_eq!(code(take(Some(state), None, NOW)), "login_cookie_missing");
        let end = after(PASSAGE_S_MAX);
        assert_eq!(code(take(Some(state), ours, end)), "login_expired");
        assert_eq!(code(take(Some(state), ours, after(-1))), "login_expired");
        let other = Begun::new("corp", None, NOW).unwrap();
        let other = code(take(Some(other.state.as_str()), ours, NOW));
        assert_eq!(other, "login_state_wrong");
        let elsewhere = flows.take("other", Some(state), ours, NOW);
        assert_eq!(code(elsewhere), "login_provider_other");
        let of_another_process = Flows::new().unwrap().sealed(&begun).unwrap();
        let foreign = take(Some(state), Some(of_another_process.as_str()), NOW);
        assert_eq!(code(foreign), "login_cookie_invalid");
        let taken = take(Some(state), ours, after(PASSAGE_S_MAX - 1)).unwrap();
        assert_eq!(taken.verifier, begun.verifier);
        assert_eq!(code(take(Some(state), ours, NOW)), "login_state_reused");
    }
}
