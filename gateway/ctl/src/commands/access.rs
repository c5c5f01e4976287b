//! Passwords, contexts, who am I, health.

use std::{env, io::IsTerminal};

use serde_json::{Value, json};

use super::{items, plain, rows};
use crate::{
    arguments::ContextCommand, client::Client, context::Contexts, failure::Failure, output::Answer,
};

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
