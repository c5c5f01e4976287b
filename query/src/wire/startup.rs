//! From the start-up message to a session that is logged in.

use std::sync::Arc;

use bytes::BufMut;
use dataos_model::fault::{Fault, FaultKind};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    Caller, DATABASE, Door,
    cancel::{CancelKey, Cancellable, Cancels},
    message::{Body, Broken, Input},
    negotiate::CANCEL,
    reply::{Output, Status, put_text},
    settings::Settings,
};

/// The newest minor version that is spoken.
const MINOR_MAX: u32 = 2;
/// Most parameters of a start-up message.
const PARAMETERS_MAX: usize = 64;
/// Authentication codes.
const OK: u32 = 0;
const CLEARTEXT: u32 = 3;
const SASL: u32 = 10;
const SASL_CONTINUE: u32 = 11;
const SASL_FINAL: u32 = 12;
/// The parameter by which a client says that it will send an access token, and its one value.
const CREDENTIAL: &str = "dataos.credential";
const TOKEN: &str = "token";

/// What a session starts with.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) caller: Arc<dyn Caller>,
    pub(super) settings: Settings,
    pub(super) cancellable: Cancellable,
}

/// What the start-up message says.
#[derive(Debug, Default)]
struct Wanted {
    user: String,
    database: String,
    /// Whether the client has a token, which no mechanism can prove.
    sends_token: bool,
    /// Names of protocol options, of which none is known.
    options: Vec<String>,
    settings: Settings,
}

/// Starts a session; `None` if the message only cancelled a statement.
pub(super) async fn run<R, W>(
    input: &mut Input<R>,
    output: &mut Output<W>,
    door: &dyn Door,
    cancels: &Arc<Cancels>,
) -> Result<Option<Opened>, Broken>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (code, body) = input.startup().await?;
    if code == CANCEL {
        if let Some(key) = CancelKey::read(&body) {
            cancels.cancel(&key);
        }
        return Ok(None);
    }
    let (major, minor) = (code >> 16, code & 0xffff);
    if major != 3 {
        let message = format!("protocol {major}.{minor} is not spoken here");
        return Err(Broken::Refused("0A000", message, "use protocol 3.0 or 3.2"));
    }
    let wanted = Wanted::read(&body)?;
    if minor > MINOR_MAX || !wanted.options.is_empty() {
        output.put(b'v', |body| {
            body.put_u32((3 << 16) | minor.min(MINOR_MAX));
            body.put_u32(u32::try_from(wanted.options.len()).unwrap_or(0));
            wanted.options.iter().for_each(|name| put_text(body, name));
        });
    }
    if wanted.database != DATABASE {
        let message = format!("there is no database `{}`", wanted.database);
        let hint = "the one database is `dataos`: add dbname=dataos";
        return Err(Broken::Refused("3D000", message, hint));
    }
    let offered = door.mechanisms();
    let caller = match offered.is_empty() || wanted.sends_token {
        true => asked(input, output, door, &wanted.user).await?,
        false => proved(input, output, door, &wanted.user, offered).await?,
    };
    output.authentication(OK, b"");
    wanted.settings.report(output);
    output.parameter("session_authorization", &wanted.user);
    let cancellable = cancels.enter(minor >= 2);
    let CancelKey { process, secret } = &cancellable.key;
    output.put(b'K', |body| {
        body.put_u32(*process);
        body.put_slice(secret);
    });
    output.ready(Status::Idle);
    output.flush().await?;
    Ok(Some(Opened {
        caller,
        settings: wanted.settings,
        cancellable,
    }))
}

/// Asks for the secret itself.
async fn asked<R, W>(
    input: &mut Input<R>,
    output: &mut Output<W>,
    door: &dyn Door,
    user: &str,
) -> Result<Arc<dyn Caller>, Broken>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    output.authentication(CLEARTEXT, b"");
    output.flush().await?;
    let secret = input.password().await?;
    door.log_in(user, &secret).await.map_err(not_logged_in)
}

/// Has the peer prove its secret by one of the mechanisms that are offered.
async fn proved<R, W>(
    input: &mut Input<R>,
    output: &mut Output<W>,
    door: &dyn Door,
    user: &str,
    offered: &[&str],
) -> Result<Arc<dyn Caller>, Broken>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let names = offered.iter().flat_map(|name| [name, "\0"]);
    let names = names.collect::<String>() + "\0";
    output.authentication(SASL, names.as_bytes());
    output.flush().await?;
    let (mechanism, first) = input.sasl_first().await?;
    let begun = door.begin(user, &mechanism, &first).await;
    let exchange = begun.map_err(not_logged_in)?;
    output.authentication(SASL_CONTINUE, exchange.challenge().as_bytes());
    output.flush().await?;
    let answer = input.sasl().await?;
    let finished = exchange.finish(&answer).await;
    let (caller, proof) = finished.map_err(not_logged_in)?;
    output.authentication(SASL_FINAL, proof.as_bytes());
    Ok(caller)
}

/// Which half of the pair was wrong is for the record alone.
fn not_logged_in(fault: Fault) -> Broken {
    let shown = match fault.kind {
        FaultKind::Unauthenticated => Fault {
            reason: "login_wrong".to_owned(),
            ..fault
        },
        _ => fault,
    };
    Broken::NotLoggedIn(Box::new(shown))
}

impl Wanted {
    fn read(body: &[u8]) -> Result<Self, Broken> {
        let mut body = Body(body);
        let mut wanted = Self::default();
        for _ in 0..=PARAMETERS_MAX {
            let name = body.text()?;
            if name.is_empty() {
                body.end()?;
                return wanted.checked();
            }
            let value = body.text()?;
            match name.as_str() {
                "user" => wanted.user = value,
                "database" => wanted.database = value,
                "options" => wanted.options(&value)?,
                "replication" => {
                    let message = "replication is not supported".to_owned();
                    return Err(Broken::Refused("0A000", message, ""));
                }
                name if name.starts_with("_pq_.") => wanted.options.push(name.to_owned()),
                name => wanted.set(name, &value)?,
            }
        }
        Err(Broken::malformed("too many parameters"))
    }

    fn checked(mut self) -> Result<Self, Broken> {
        if self.user.is_empty() {
            let message = "the connection names no user".to_owned();
            return Err(Broken::Refused("28000", message, ""));
        }
        if self.database.is_empty() {
            self.database.clone_from(&self.user);
        }
        Ok(self)
    }

    /// `-c name=value` and `--name=value`, as PGOPTIONS has them.
    fn options(&mut self, options: &str) -> Result<(), Broken> {
        let mut words = options.split_ascii_whitespace();
        while let Some(word) = words.next() {
            let pair = match word.strip_prefix("--") {
                Some(pair) => Some(pair),
                None if word == "-c" => words.next(),
                None => word.strip_prefix("-c"),
            };
            let Some((name, value)) = pair.and_then(|pair| pair.split_once('=')) else {
                let message = format!("the option `{word}` is not understood");
                return Err(Broken::Refused("42601", message, "write -c name=value"));
            };
            self.set(&name.replace('-', "_"), value)?;
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Broken> {
        // Drivers send their own zone unasked. Instants are shown in UTC with their offset in any case.
        if name.eq_ignore_ascii_case("timezone") {
            return Ok(());
        }
        // Some drivers put a value in quotes, as SET would have it.
        let value = value.trim_matches('\'');
        if name.eq_ignore_ascii_case(CREDENTIAL) {
            self.sends_token = value == TOKEN;
            if self.sends_token {
                return Ok(());
            }
            let message = format!("{CREDENTIAL} cannot be `{value}`");
            return Err(Broken::Refused(
                "22023",
                message,
                "its one value is `token`",
            ));
        }
        self.settings
            .set(name, value)
            .map_err(|fault| Broken::NotLoggedIn(Box::new(fault)))
    }
}
