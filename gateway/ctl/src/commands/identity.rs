//! Users, API keys, sessions and revoked tokens.

use serde_json::{Map, Value, json};

use super::{access::password, items, rows, shown};
use crate::{
    arguments::{Apikey, Session, Token, User, UserFields},
    client::{Client, segment},
    context::Contexts,
    failure::Failure,
    output::Answer,
};

const USER_HEADER: [&str; 7] = [
    "USER",
    "NAME",
    "GROUPS",
    "ROLES",
    "TAGS",
    "ATTRIBUTES",
    "DISABLED",
];
const USER_FIELDS: [&str; 7] = [
    "user",
    "name",
    "groups",
    "roles",
    "tags",
    "attributes",
    "disabled",
];

pub(crate) async fn user(client: &Client, command: User) -> Result<Answer, Failure> {
    match command {
        User::Get { id } => {
            let mut answer = client.get("/api/v1/users", &[]).await?;
            if let (Some(id), Some(users)) =
                (id, answer.get_mut("users").and_then(Value::as_array_mut))
            {
                users.retain(|user| shown(user, "user") == id);
                if users.is_empty() {
                    return Err(Failure::failed(format!("there is no user `{id}`")));
                }
            }
            let table = rows(items(&answer, "users"), &USER_FIELDS);
            Ok(Answer::table(&USER_HEADER, table, answer))
        }
        User::Create(fields) => {
            let secret = password(
                "DATAOS_NEW_PASSWORD",
                &format!("New password of {}: ", fields.id),
            )?;
            let mut body = json!({
                "user": fields.id, "name": fields.id, "groups": [], "roles": [], "tags": [],
                "attributes": {}, "disabled": false, "password": secret,
            });
            set(&mut body, &fields)?;
            let user = client.post("/api/v1/users", &body).await?;
            Ok(one(user))
        }
        User::Update(fields) => {
            let users = client.get("/api/v1/users", &[]).await?;
            let mut body = items(&users, "users")
                .iter()
                .find(|user| shown(user, "user") == fields.id)
                .cloned()
                .ok_or_else(|| Failure::failed(format!("there is no user `{}`", fields.id)))?;
            set(&mut body, &fields)?;
            if fields.set_password {
                let secret = password(
                    "DATAOS_NEW_PASSWORD",
                    &format!("New password of {}: ", fields.id),
                )?;
                put(&mut body, "password", json!(secret));
            }
            let user = client
                .put(&format!("/api/v1/users/{}", segment(&fields.id)), &body)
                .await?;
            Ok(one(user))
        }
        User::Delete { id } => {
            client
                .delete(&format!("/api/v1/users/{}", segment(&id)))
                .await?;
            Ok(Answer::lines(
                vec![format!("user `{id}` deleted")],
                json!({"deleted": id}),
            ))
        }
    }
}

fn one(user: Value) -> Answer {
    let table = rows(std::slice::from_ref(&user), &USER_FIELDS);
    Answer::table(&USER_HEADER, table, user)
}

fn put(body: &mut Value, field: &str, value: Value) {
    if let Some(fields) = body.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
}

fn set(body: &mut Value, fields: &UserFields) -> Result<(), Failure> {
    if let Some(name) = &fields.name {
        put(body, "name", json!(name));
    }
    for (field, values) in [
        ("groups", &fields.groups),
        ("roles", &fields.roles),
        ("tags", &fields.tags),
    ] {
        if !values.is_empty() {
            put(body, field, json!(values));
        }
    }
    if !fields.attributes.is_empty() {
        let mut attributes = Map::new();
        for pair in &fields.attributes {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| Failure::usage(format!("attribute `{pair}`: write name=value")))?;
            attributes.insert(name.to_owned(), json!(value));
        }
        put(body, "attributes", Value::Object(attributes));
    }
    Ok(())
}

pub(crate) async fn apikey(
    client: &Client,
    command: &Apikey,
    context: Option<&str>,
) -> Result<Answer, Failure> {
    match command {
        Apikey::Get => {
            let answer = client.get("/api/v1/apikeys", &[]).await?;
            let fields = [
                "id",
                "name",
                "created_at",
                "expires_at",
                "last_used_at",
                "scopes",
            ];
            let table = rows(items(&answer, "keys"), &fields);
            let header = ["ID", "NAME", "CREATED", "EXPIRES", "LAST USED", "SCOPES"];
            Ok(Answer::table(&header, table, answer))
        }
        Apikey::Create {
            name,
            duration,
            scopes,
        } => {
            let mut body = json!({"name": name, "expires_in_seconds": seconds(duration)?});
            if !scopes.is_empty() {
                put(&mut body, "scopes", json!(scopes));
            }
            let key = client.post("/api/v1/apikeys", &body).await?;
            let lines = vec![shown(&key, "key")];
            Ok(Answer::lines(lines, key).hint("the key is not shown again"))
        }
        Apikey::Rotate { id, overlap } => rotate(client, id, overlap, context).await,
        Apikey::Delete { id } => {
            client
                .delete(&format!("/api/v1/apikeys/{}", segment(id)))
                .await?;
            Ok(Answer::lines(
                vec![format!("key `{id}` deleted")],
                json!({"deleted": id}),
            ))
        }
    }
}

/// A new key in an old one's place. The one by which we call moves on in the context file, and is not
/// shown.
async fn rotate(
    client: &Client,
    id: &str,
    overlap: &str,
    context: Option<&str>,
) -> Result<Answer, Failure> {
    let body = json!({"overlap_seconds": seconds(overlap)?});
    let path = format!("/api/v1/apikeys/{}/rotation", segment(id));
    let mut key = client.post(&path, &body).await?;
    let end = shown(key.get("replaces").unwrap_or(&Value::Null), "expires_at");
    let hint = format!("the old key ends at {end}");
    let mut contexts = Contexts::load()?;
    if !contexts.replace_key(context, id, &shown(&key, "key")) {
        let lines = vec![shown(&key, "key")];
        return Ok(Answer::lines(lines, key).hint(format!("the key is not shown again; {hint}")));
    }
    contexts.save()?;
    if let Some(fields) = key.as_object_mut() {
        fields.remove("key");
    }
    let line = format!("key `{id}` of the context is now `{}`", shown(&key, "id"));
    Ok(Answer::lines(vec![line], key).hint(hint))
}

pub(crate) async fn session(client: &Client, command: &Session) -> Result<Answer, Failure> {
    match command {
        Session::Get { limit } => {
            let query = [("limit", limit.to_string())];
            let answer = client.get("/api/v1/sessions", &query).await?;
            let fields = ["id", "user", "issuer", "used_at", "expires_at"];
            let table = rows(items(&answer, "sessions"), &fields);
            let header = ["ID", "USER", "ISSUER", "USED", "ENDS"];
            Ok(Answer::table(&header, table, answer))
        }
        Session::End { id } => {
            let path = format!("/api/v1/sessions/{}", segment(id));
            client.delete(&path).await?;
            let line = format!("session `{id}` has ended");
            Ok(Answer::lines(vec![line], json!({"ended": id})))
        }
    }
}

pub(crate) async fn token(client: &Client, command: &Token) -> Result<Answer, Failure> {
    let fields = ["issuer", "jti", "subject", "revoked_at", "expires_at"];
    let header = ["ISSUER", "JTI", "SUBJECT", "REVOKED", "REMEMBERED UNTIL"];
    match command {
        Token::Get => {
            let answer = client.get("/api/v1/revocations", &[]).await?;
            let table = rows(items(&answer, "revocations"), &fields);
            Ok(Answer::table(&header, table, answer))
        }
        Token::Revoke {
            issuer,
            jti,
            subject,
            duration,
        } => {
            let body = json!({
                "issuer": issuer, "jti": jti, "subject": subject,
                "expires_in_seconds": seconds(duration)?,
            });
            let revoked = client.post("/api/v1/revocations", &body).await?;
            let table = rows(std::slice::from_ref(&revoked), &fields);
            Ok(Answer::table(&header, table, revoked))
        }
    }
}

/// `90s`, `15m`, `24h`, `30d`.
pub(super) fn seconds(duration: &str) -> Result<u64, Failure> {
    let wrong = || {
        Failure::usage(format!(
            "`{duration}` is no duration; write 90s, 15m, 24h or 30d"
        ))
    };
    let unit = duration.chars().last().ok_or_else(wrong)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let count: u64 = duration
        .trim_end_matches(unit)
        .parse()
        .map_err(|_| wrong())?;
    count.checked_mul(factor).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_carry_units() {
        assert_eq!(seconds("24h").ok(), Some(86_400));
        assert_eq!(seconds("30d").ok(), Some(2_592_000));
        for wrong in ["", "24", "h", "-1h", "1w", "99999999999999999999d"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
