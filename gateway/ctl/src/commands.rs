//! One file per family; each command returns an [`Answer`] and prints nothing itself.

mod access;
mod audit;
mod catalog;
mod certificate;
mod decision;
mod entities;
mod identity;
mod login;
mod policy;
mod query;
mod resource;

use std::{env, path::PathBuf};

use serde_json::Value;

use crate::{
    arguments::{Arguments, Command},
    client::Client,
    context::Contexts,
    failure::Failure,
    output::{Answer, Output},
};

/// Runs one command, writes its answer and gives the exit code.
pub(crate) async fn run(arguments: Arguments, output: &mut Output) -> Result<u8, Failure> {
    let context = arguments.global.context.as_deref();
    let answer = match arguments.command {
        Command::Login(login) => login::login(&login, output).await?,
        Command::Logout => login::logout(context).await?,
        Command::Context(command) => access::context(&command)?,
        Command::Audit(crate::arguments::Audit::Verify(verify)) => {
            audit::verify(&verify, &Contexts::load()?, context)?
        }
        Command::Audit(crate::arguments::Audit::Replay(replay)) => {
            audit::replay(&replay, &Contexts::load()?, context)?
        }
        Command::Audit(crate::arguments::Audit::Tail(tail)) => {
            let client = login::client(context).await?;
            return audit::tail(&client, &tail, output).await.map(|()| 0);
        }
        Command::Query(query) => {
            let client = login::client(context).await?;
            return query::run(&client, &query, output).await.map(|()| 0);
        }
        Command::Policy(command) => return policy::run(&command, context, output).await,
        Command::Can(can) => {
            let client = login::client(context).await?;
            let (answer, code) = decision::can(&client, &can).await?;
            return output.answer(&answer).map(|()| code);
        }
        command => {
            let client = login::client(context).await?;
            call(command, &client, context, output).await?
        }
    };
    output.answer(&answer).map(|()| 0)
}

/// The commands that need the server.
async fn call(
    command: Command,
    client: &Client,
    context: Option<&str>,
    output: &Output,
) -> Result<Answer, Failure> {
    match command {
        Command::Whoami => access::whoami(client).await,
        Command::Apply(apply) => resource::apply(client, &apply, output).await,
        Command::Plan(apply) => resource::plan(client, &apply, output).await,
        Command::Get(get) => resource::get(client, &get).await,
        Command::Delete(delete) => resource::delete(client, &delete).await,
        Command::Log(log) => resource::log(client, &log).await,
        Command::Audit(command) => audit::run(client, command).await,
        Command::Catalog(command) => catalog::run(client, command).await,
        Command::Entities(command) => entities::run(client, &command).await,
        Command::User(command) => identity::user(client, command).await,
        Command::Apikey(command) => identity::apikey(client, &command, context).await,
        Command::Session(command) => identity::session(client, &command).await,
        Command::Token(command) => identity::token(client, &command).await,
        Command::Certificate(command) => certificate::run(client, &command, context).await,
        Command::Health => access::health(client).await,
        Command::WhoCan(who) => decision::who_can(client, &who).await,
        Command::WhatCan(what) => decision::what_can(client, &what).await,
        Command::Why { id } => decision::why(client, &id).await,
        Command::Login(_)
        | Command::Logout
        | Command::Context(_)
        | Command::Policy(_)
        | Command::Query(_)
        | Command::Can(_) => Err(Failure::failed("this command needs no server")),
    }
}

/// The binary that does without a server what needs more than this one has in it.
const LOCAL_BINARY: &str = "dataos";

/// That binary beside this one, else on the path.
fn local_binary() -> PathBuf {
    let beside = env::current_exe()
        .ok()
        .map(|own| own.with_file_name(LOCAL_BINARY))
        .filter(|path| path.is_file());
    beside.unwrap_or_else(|| PathBuf::from(LOCAL_BINARY))
}

/// A field as a person reads it: text bare, lists joined, null empty.
fn shown(value: &Value, field: &str) -> String {
    plain(value.get(field).unwrap_or(&Value::Null))
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(" "),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, field)| format!("{name}={}", plain(field)))
            .collect::<Vec<_>>()
            .join(" "),
        other => other.to_string(),
    }
}

/// The items of an array field.
fn items<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value
        .get(field)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// One row per item, one cell per field.
fn rows(items: &[Value], fields: &[&str]) -> Vec<Vec<String>> {
    items
        .iter()
        .map(|item| fields.iter().map(|field| shown(item, field)).collect())
        .collect()
}
