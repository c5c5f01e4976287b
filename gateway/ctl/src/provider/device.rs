//! Log-in with a code that is typed in on another machine (RFC 8628).

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{Granted, Provider};
use crate::failure::Failure;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Seconds between two questions where the provider says nothing, and what it adds where it wants fewer.
const INTERVAL_S: u64 = 5;
const SLOWER_S: u64 = 5;
/// Longest time between two questions, and that a code is waited for.
const INTERVAL_S_MAX: u64 = 300;
const WAIT_S_MAX: u64 = 1800;

/// What a person types in, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) user_code: String,
    pub(crate) address: String,
    /// The same with the code in it, if there is one.
    pub(crate) whole_address: Option<String>,
}

/// What to do after a question.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Take,
    /// Ask again after so many seconds.
    Wait(u64),
    Denied,
    Expired,
    Refused,
}

impl Provider {
    /// Tokens for whoever types the code in that is shown.
    pub(crate) async fn by_device(&self, show: impl Fn(&Code)) -> Result<Granted, Failure> {
        let mut form = vec![("scope", self.log_in.scope.as_str())];
        form.extend(self.resource());
        let (status, told) = self.post("device_authorization_endpoint", form).await?;
        let text = |name: &str| told.get(name).and_then(Value::as_str);
        let seconds = |name: &str| told.get(name).and_then(Value::as_u64);
        let given = (
            text("device_code"),
            text("user_code"),
            text("verification_uri"),
        );
        let (Some(device_code), Some(user_code), Some(address)) = given else {
            return Err(self.refused(&told));
        };
        if status != 200 {
            return Err(self.refused(&told));
        }
        show(&Code {
            user_code: user_code.to_owned(),
            address: address.to_owned(),
            whole_address: text("verification_uri_complete").map(str::to_owned),
        });
        let wait_s = seconds("expires_in").unwrap_or(WAIT_S_MAX).min(WAIT_S_MAX);
        let deadline = Instant::now() + Duration::from_secs(wait_s);
        let mut interval_s = seconds("interval")
            .unwrap_or(INTERVAL_S)
            .clamp(1, INTERVAL_S_MAX);
        loop {
            let next_at = Instant::now() + Duration::from_secs(interval_s);
            if next_at > deadline {
                return Err(self.too_late());
            }
            sleep(Duration::from_secs(interval_s)).await;
            let form = vec![("grant_type", GRANT), ("device_code", device_code)];
            let answer = match self.post("token_endpoint", form).await {
                Ok(answer) => answer,
                // RFC 8628 3.5: a provider that does not answer is asked less and less often.
                Err(Failure::Unreachable(_)) => {
                    interval_s = interval_s.saturating_mul(2).min(INTERVAL_S_MAX);
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            match next(&answer, interval_s) {
                Next::Take => return self.granted(&answer),
                Next::Wait(seconds) => interval_s = seconds,
                Next::Denied => {
                    let problem = "the log-in was refused where the code was typed in";
                    return Err(Failure::Denied(problem.to_owned()));
                }
                Next::Expired => return Err(self.too_late()),
                Next::Refused => return Err(self.refused(&answer.1)),
            }
        }
    }

    fn too_late(&self) -> Failure {
        Failure::failed("the code was not typed in in time; run the command again")
    }
}

fn next((status, told): &(u16, Value), interval_s: u64) -> Next {
    if *status == 200 {
        return Next::Take;
    }
    match told.get("error").and_then(Value::as_str) {
        Some("authorization_pending") => Next::Wait(interval_s),
        Some("slow_down") => Next::Wait(interval_s.saturating_add(SLOWER_S).min(INTERVAL_S_MAX)),
        Some("access_denied") => Next::Denied,
        Some("expired_token") => Next::Expired,
        // A provider that fails is asked again, as one that does not answer is.
        None if *status >= 500 => Next::Wait(interval_s.saturating_mul(2).min(INTERVAL_S_MAX)),
        _ => Next::Refused,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Next, next};

    #[test]
    fn each_answer_to_a_waiting_device_has_its_consequence() {
        let error = |error: &str| (400, json!({"error": error}));
        for (answer, expected) in [
            ((200, json!({"access_token": "a"})), Next::Take),
            (error("authorization_pending"), Next::Wait(5)),
            (error("slow_down"), Next::Wait(10)),
            (error("access_denied"), Next::Denied),
            (error("expired_token"), Next::Expired),
            (error("invalid_grant"), Next::Refused),
            (error("invalid_client"), Next::Refused),
            ((503, Value::Null), Next::Wait(10)),
            ((404, Value::Null), Next::Refused),
        ] {
            assert_eq!(next(&answer, 5), expected, "{answer:?}");
        }
        let mut interval_s = 5;
        for _ in 0..100 {
            match next(&error("slow_down"), interval_s) {
                Next::Wait(seconds) => interval_s = seconds,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(interval_s, 300, "slower and slower, to a bound");
    }
}
