//! Log-in, contexts, who am I, health.

use std::{env, io::IsTerminal};

use serde_json::{Value, json};

use super::{items, plain, rows, shown};
use crate::{
    arguments::{ContextCommand, Login},
    client::Client,
    context::{Context, Contexts, read_ca},
    failure::Failure,
    output::Answer,
};

/// Password log-in, once: the API key made with it is what is kept. The log's key is pinned too.
pub(crate) async fn login(login: &Login) -> Result<Answer, Failure> {
    let password = password("DATAOS_PASSWORD", &format!("Password of {}: ", login.user))?;
    let mut context = Context {
        url: login.url.clone(),
        ca: login.ca.as_deref().map(read_ca).transpose()?,
        user: login.user.clone(),
        ..Context::default()
    };
    let client = Client::new(&context)?;
    let session = client.session(&login.user, &password).await?;
    let body = json!({
        "name": format!("dataos-ctl context {}", login.name),
        "expires_in_seconds": u64::from(login.days) * 86_400,
    });
    let key = session.post("/api/v1/apikeys", &body).await?;
    session.end().await?;
    context.api_key = shown(&key, "key");
    context.log_key = Some(client.get_text("/log/key").await?.trim().to_owned());
    let mut contexts = Contexts::load()?;
    contexts.contexts.insert(login.name.clone(), context);
    contexts.current = Some(login.name.clone());
    contexts.save()?;
    let line = format!(
        "logged in to {} as {}; context `{}`, key expires {}",
        login.url,
        login.user,
        login.name,
        shown(&key, "expires_at")
    );
    let json = json!({
        "context": login.name, "url": login.url, "user": login.user, "expires_at": shown(&key, "expires_at"),
    });
    Ok(Answer::lines(vec![line], json).hint("dataos-ctl catalog search"))
}

/// A password from the variable, else asked for on the terminal. Never from an argument.
pub(crate) fn password(variable: &str, prompt: &str) -> Result<String, Failure> {
    if let Ok(password) = env::var(variable) {
        return Ok(password);
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!(
            "no terminal to ask for the password; set the variable {variable}"
        )));
    }
    rpassword::prompt_password(prompt)
        .map_err(|error| Failure::failed(format!("cannot read the password: {error}")))
}

pub(crate) fn context(command: &ContextCommand) -> Result<Answer, Failure> {
    let mut contexts = Contexts::load()?;
    let known = |contexts: &Contexts, name: &str| {
        if contexts.contexts.contains_key(name) {
            Ok(())
        } else {
            Err(Failure::usage(format!("there is no context `{name}`")))
        }
    };
    match command {
        ContextCommand::List => {
            let (mut lines, mut list) = (Vec::new(), Vec::new());
            for (name, context) in &contexts.contexts {
                let is_current = contexts.current.as_deref() == Some(name);
                let mark = if is_current { "*" } else { "" };
                lines.push(vec![
                    mark.into(),
                    name.clone(),
                    context.user.clone(),
                    context.url.clone(),
                ]);
                list.push(json!({
                    "name": name, "current": is_current, "user": context.user, "url": context.url,
                }));
            }
            Ok(Answer::table(
                &["", "NAME", "USER", "URL"],
                lines,
                json!({"contexts": list}),
            ))
        }
        ContextCommand::Select { name } => {
            known(&contexts, name)?;
            contexts.current = Some(name.clone());
            contexts.save()?;
            Ok(Answer::lines(
                vec![format!("context `{name}` selected")],
                json!({"current": name}),
            ))
        }
        ContextCommand::Delete { name } => {
            known(&contexts, name)?;
            contexts.contexts.remove(name);
            contexts.current = contexts.current.filter(|current| current != name);
            contexts.save()?;
            Ok(Answer::lines(
                vec![format!("context `{name}` deleted")],
                json!({"deleted": name}),
            ))
        }
    }
}

pub(crate) async fn whoami(client: &Client) -> Result<Answer, Failure> {
    let session = client.get("/api/v1/session", &[]).await?;
    let lines = session
        .as_object()
        .map(|fields| {
            fields
                .iter()
                .map(|(name, value)| format!("{name}: {}", plain(value)))
                .collect()
        })
        .unwrap_or_default();
    Ok(Answer::lines(lines, session))
}

pub(crate) async fn health(client: &Client) -> Result<Answer, Failure> {
    let overview = client.get("/api/v1/overview", &[]).await?;
    let health = overview.get("health").cloned().unwrap_or(Value::Null);
    let table = rows(
        items(&overview, "health"),
        &["component", "state", "detail"],
    );
    Ok(Answer::table(
        &["COMPONENT", "STATE", "DETAIL"],
        table,
        json!({"health": health}),
    ))
}
