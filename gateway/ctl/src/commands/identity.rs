//! Users and API keys.

use serde_json::{Map, Value, json};

use super::{access::password, items, rows, shown};
use crate::{
    arguments::{Apikey, User, UserFields},
    client::{Client, segment},
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

pub(crate) async fn apikey(client: &Client, command: &Apikey) -> Result<Answer, Failure> {
    match command {
        Apikey::Get => {
            let answer = client.get("/api/v1/apikeys", &[]).await?;
            let fields = ["id", "name", "created_at", "expires_at", "last_used_at"];
            let table = rows(items(&answer, "keys"), &fields);
            Ok(Answer::table(
                &["ID", "NAME", "CREATED", "EXPIRES", "LAST USED"],
                table,
                answer,
            ))
        }
        Apikey::Create { name, duration } => {
            let body = json!({"name": name, "expires_in_seconds": seconds(duration)?});
            let key = client.post("/api/v1/apikeys", &body).await?;
            let lines = vec![shown(&key, "key")];
            Ok(Answer::lines(lines, key).hint("the key is not shown again"))
        }
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
