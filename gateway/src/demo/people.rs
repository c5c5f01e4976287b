//! The people of the demo.

use serde_json::{Value, json};

/// A log-in, printed at the end.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) name: String,
    pub(crate) password: String,
}

/// A user to create: id, roles, tag, region.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) name: &'static str,
    roles: &'static [&'static str],
    tag: &'static str,
    region: Option<&'static str>,
}

/// Everybody but the administrator.
pub(super) const PEOPLE: [Sample; 5] = [
    Sample {
        name: "analyst-emea",
        roles: &[],
        tag: "users:dataos:analyst",
        region: Some("EMEA"),
    },
    Sample {
        name: "analyst-amer",
        roles: &[],
        tag: "users:dataos:analyst",
        region: Some("AMER"),
    },
    Sample {
        name: "privacy-officer",
        roles: &["steward"],
        tag: "users:dataos:privacy",
        region: None,
    },
    Sample {
        name: "contractor",
        roles: &[],
        tag: "users:dataos:contractor",
        region: None,
    },
    Sample {
        name: "auditor",
        roles: &["auditor"],
        tag: "users:dataos:auditor",
        region: None,
    },
];

impl Sample {
    /// The body that creates the user.
    pub(super) fn body(&self, password: &str) -> Value {
        let mut attributes = serde_json::Map::new();
        if let Some(region) = self.region {
            attributes.insert("region".to_owned(), json!(region));
        }
        json!({
            "user": self.name, "name": self.name, "groups": [], "roles": self.roles,
            "tags": [self.tag], "attributes": attributes, "disabled": false, "password": password,
        })
    }
}
