//! Log-in and log-out: with the password of a local account, or through a provider.

use serde_json::{Value, json};

use super::{access::password, items, shown};
use crate::{
    arguments::Login,
    client::{Client, segment},
    context::{Context, Contexts, read_ca},
    failure::Failure,
    output::{Answer, Output},
    provider::{Code, LogIn, Provider, now_s},
};

pub(crate) async fn login(login: &Login, output: &Output) -> Result<Answer, Failure> {
    let mut context = Context {
        url: login.url.clone(),
        ca: login.ca.as_deref().map(read_ca).transpose()?,
        ..Context::default()
    };
    let ends = match &login.user {
        Some(user) => with_password(login, user, &mut context).await?,
        None => through_provider(login, &mut context, output).await?,
    };
    let client = Client::new(&context)?;
    context.log_key = Some(client.get_text("/log/key").await?.trim().to_owned());
    let user = context.user.clone();
    let mut contexts = Contexts::load()?;
    contexts.contexts.insert(login.name.clone(), context);
    contexts.current = Some(login.name.clone());
    contexts.save()?;
    let (url, name) = (&login.url, &login.name);
    let line = format!(
        "logged in to {url} as {user}; context `{name}`, {}",
        ends.told
    );
    let json = json!({
        "context": name, "url": url, "user": user, "expires_at": ends.expires_at,
    });
    Ok(Answer::lines(vec![line], json).hint("dataos-ctl catalog search"))
}

/// When a log-in ends, for a person and for a program.
struct Ends {
    told: String,
    expires_at: Value,
}

/// Password log-in, once: the API key made with it is what is kept. The log's key is pinned too.
async fn with_password(login: &Login, user: &str, context: &mut Context) -> Result<Ends, Failure> {
    let password = password("DATAOS_PASSWORD", &format!("Password of {user}: "))?;
    user.clone_into(&mut context.user);
    let client = Client::new(context)?;
    let session = client.session(user, &password).await?;
    let body = json!({
        "name": format!("dataos-ctl context {}", login.name),
        "expires_in_seconds": u64::from(login.days) * 86_400,
    });
    let key = session.post("/api/v1/apikeys", &body).await?;
    session.end().await?;
    context.api_key = shown(&key, "key");
    let expires_at = shown(&key, "expires_at");
    Ok(Ends {
        told: format!("key expires {expires_at}"),
        expires_at: json!(expires_at),
    })
}

/// The provider's own pages ask for the password; its access token is what is kept.
async fn through_provider(
    login: &Login,
    context: &mut Context,
    output: &Output,
) -> Result<Ends, Failure> {
    let told = Client::new(context)?
        .get("/api/v1/login/providers", &[])
        .await?;
    let provider = Provider::discover(chosen(&told, login.provider.as_deref())?).await?;
    let granted = if login.device {
        provider.by_device(|code| show_code(output, code)).await?
    } else {
        let show = |url: &str| output.note(&format!("open this address to log in:\n  {url}"));
        provider.by_browser(show).await?
    };
    context.api_key = granted.access_token;
    let who = Client::new(context)?.get("/api/v1/session", &[]).await?;
    context.user = shown(&who, "user");
    let told = match granted.log_in.refresh_token {
        Some(_) => "renewed by the provider while that allows it",
        None => "until the provider's token ends",
    };
    context.provider = Some(granted.log_in);
    Ok(Ends {
        told: told.to_owned(),
        expires_at: Value::Null,
    })
}

fn show_code(output: &Output, code: &Code) {
    let (typed, address) = (&code.user_code, &code.address);
    output.note(&format!(
        "open {address} on any machine and type in: {typed}"
    ));
    if let Some(whole) = &code.whole_address {
        output.note(&format!("or open {whole}"));
    }
}

/// The one provider of this name, or the only one.
fn chosen(told: &Value, name: Option<&str>) -> Result<LogIn, Failure> {
    let mut known = Vec::new();
    let mut found = Vec::new();
    for item in items(told, "providers") {
        let Some(log_in) = LogIn::of(item) else {
            continue;
        };
        let own = shown(item, "name");
        if name.is_none_or(|name| name == own) {
            found.push(log_in);
        }
        known.push(own);
    }
    match (found.pop(), found.is_empty()) {
        (Some(log_in), true) => Ok(log_in),
        _ if known.is_empty() => Err(Failure::usage(
            "the server has no provider that a command line may log in through; log in with --user NAME",
        )),
        _ => Err(Failure::usage(format!(
            "name one of the server's providers with --provider: {}",
            known.join(", ")
        ))),
    }
}

/// A client for a context. The token of a provider is renewed first where it ends: one command at a time,
/// for a refresh token that is used twice counts as stolen.
pub(crate) async fn client(name: Option<&str>) -> Result<Client, Failure> {
    let chosen = Contexts::load()?.choose(name)?;
    let is_ending = |log_in: &LogIn| log_in.is_ending(now_s());
    if !chosen.provider.as_ref().is_some_and(is_ending) {
        return Client::new(&chosen);
    }
    let (mut contexts, _lock) = Contexts::load_locked()?;
    let mut chosen = contexts.choose(name)?;
    let Some(log_in) = chosen.provider.clone().filter(is_ending) else {
        return Client::new(&chosen);
    };
    let ended = || {
        let problem = format!("the log-in at {} has ended", log_in.issuer);
        Failure::Denied(format!(
            "{problem}\n  next: dataos-ctl login --url {}",
            chosen.url
        ))
    };
    let refresh_token = log_in.refresh_token.as_deref().ok_or_else(ended)?;
    let provider = Provider::discover(log_in.clone()).await?;
    let granted = match provider.refreshed(refresh_token).await {
        Err(Failure::Denied(_)) => return Err(ended()),
        granted => granted?,
    };
    chosen.api_key = granted.access_token;
    chosen.provider = Some(granted.log_in);
    if let Some(name) = contexts.chosen_name(name)
        && let Some(kept) = contexts.contexts.get_mut(&name)
    {
        kept.api_key.clone_from(&chosen.api_key);
        kept.provider.clone_from(&chosen.provider);
        contexts.save()?;
    }
    Client::new(&chosen)
}

/// Ends what a context logs in with, and forgets the context.
pub(crate) async fn logout(name: Option<&str>) -> Result<Answer, Failure> {
    let known = Contexts::load()?.chosen_name(name);
    let known = known.ok_or_else(|| Failure::usage("there is no context to log out of"))?;
    let (mut contexts, _lock) = Contexts::load_locked()?;
    let context = contexts.choose(Some(&known))?;
    let has_ended = match &context.provider {
        Some(log_in) => taken_back(log_in).await?,
        None => {
            let id = context.api_key.split('_').nth(1).unwrap_or_default();
            let path = format!("/api/v1/apikeys/{}", segment(id));
            Client::new(&context)?.delete(&path).await?;
            true
        }
    };
    contexts.contexts.remove(&known);
    contexts.current = contexts.current.filter(|current| *current != known);
    contexts.save()?;
    let url = &context.url;
    let mut lines = vec![format!("logged out of {url}; context `{known}` deleted")];
    if !has_ended {
        lines.push("its token works on until it ends: the provider takes none back".to_owned());
    }
    let json = json!({"context": known, "url": url, "ended": has_ended});
    Ok(Answer::lines(lines, json))
}

/// Whether a provider took back what it gave for a log-in.
async fn taken_back(log_in: &LogIn) -> Result<bool, Failure> {
    let Some(refresh_token) = &log_in.refresh_token else {
        return Ok(false);
    };
    let provider = Provider::discover(log_in.clone()).await?;
    provider.revoke(refresh_token).await
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::chosen;

    #[test]
    fn a_provider_is_named_where_there_are_more() {
        let provider = |name: &str| {
            let own =
                json!({"issuer": name, "client_id": "ctl", "scope": "openid", "resource": null});
            json!({"name": name, "command_line": own})
        };
        let of = |list: &[Value], name: Option<&str>| {
            let told = json!({"providers": list});
            chosen(&told, name)
                .map(|log_in| log_in.issuer)
                .map_err(|failure| failure.to_string())
        };
        let browsers_alone = json!({"name": "c"});
        let (a, b) = (provider("a"), provider("b"));
        assert_eq!(
            of(&[a.clone(), browsers_alone.clone()], None),
            Ok("a".to_owned())
        );
        let both = [a.clone(), b];
        assert_eq!(of(&both, Some("b")), Ok("b".to_owned()));
        assert!(of(&both, None).unwrap_err().ends_with("a, b"));
        assert!(of(&both, Some("c")).unwrap_err().ends_with("a, b"));
        assert!(of(&[browsers_alone], None).unwrap_err().contains("--user"));
    }
}
