//! What external enforcement points may say when they ask: settings `authzen.*`.

use std::collections::BTreeMap;

use dataos_model::{
    entity::EntityType,
    fault::{Fault, Location},
    vocabulary::Vocabulary,
};
use dataos_pdp::authzen::{Mode, entity_type, type_named};

use super::{sources::Values, values::text};

/// Most rules about properties.
const RULES_MAX: usize = 1_000;
/// Most names of context attributes.
const NAMES_MAX: usize = 64;

/// How questions of external enforcement points are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthzenConfig {
    /// Address under which the decision point is known; that of the request if empty.
    pub url: Option<String>,
    /// Names of the context that policies may read; all others are ignored.
    pub context: Vec<String>,
    /// What counts of sent properties, by enforcement point and entity type.
    pub properties: BTreeMap<(String, EntityType), Mode>,
}

impl AuthzenConfig {
    /// What counts of the properties that `enforcement_point` sends about entities of a type. A rule
    /// may name an own type shortly, as questions may.
    pub fn mode(
        &self,
        enforcement_point: &str,
        entity_type: &EntityType,
        vocabulary: &Vocabulary,
    ) -> Mode {
        let rule = |named: EntityType| {
            let key = (enforcement_point.to_owned(), named);
            self.properties.get(&key).copied()
        };
        let short = entity_type.base_name();
        let is_meant = type_named(short, vocabulary, "").is_ok_and(|of| of == *entity_type);
        let short = is_meant.then(|| dataos_pdp::authzen::entity_type(short));
        rule(entity_type.clone())
            .or_else(|| rule(short?))
            .unwrap_or_default()
    }

    pub(super) fn read(values: &Values) -> Result<Self, Fault> {
        Ok(Self {
            url: url(&text(values, "authzen.url"))?,
            context: context(&text(values, "authzen.context"))?,
            properties: properties(&text(values, "authzen.properties"))?,
        })
    }
}

fn wrong(key: &str, problem: impl Into<String>) -> Fault {
    Fault::invalid(format!("setting `{key}`: {}", problem.into())).at(Location {
        field: Some(key.to_owned()),
        ..Location::default()
    })
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

fn url(text: &str) -> Result<Option<String>, Fault> {
    if text.is_empty() {
        return Ok(None);
    }
    let rest = text.strip_prefix("https://").unwrap_or_default();
    if rest.is_empty() || rest.contains(['?', '#', ' ']) {
        let problem = format!("`{text}` is no https:// address without query and fragment");
        return Err(wrong("authzen.url", problem));
    }
    Ok(Some(text.trim_end_matches('/').to_owned()))
}

fn context(text: &str) -> Result<Vec<String>, Fault> {
    let names: Vec<String> = items(text).map(str::to_owned).collect();
    let is_name = |name: &String| {
        name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|first: char| first.is_ascii_digit())
    };
    if let Some(name) = names.iter().find(|name| !is_name(name)) {
        return Err(wrong(
            "authzen.context",
            format!("`{name}` is no name of an attribute"),
        ));
    }
    if names.len() > NAMES_MAX {
        return Err(wrong(
            "authzen.context",
            format!("more than {NAMES_MAX} names"),
        ));
    }
    Ok(names)
}

/// `ENFORCEMENT_POINT/TYPE=MODE`, as in `shop/user=fill`.
fn properties(text: &str) -> Result<BTreeMap<(String, EntityType), Mode>, Fault> {
    const KEY: &str = "authzen.properties";
    let mut rules = BTreeMap::new();
    for item in items(text) {
        let malformed = || {
            wrong(KEY, format!("`{item}` is not ENFORCEMENT_POINT/TYPE=MODE")).with_hint(
                "write, for instance, shop/user=fill; a mode is ignore, fill or override",
            )
        };
        let (key, mode) = item.rsplit_once('=').ok_or_else(malformed)?;
        let (point, kind) = key.rsplit_once('/').ok_or_else(malformed)?;
        let mode: Mode = mode.trim().parse().map_err(|_| malformed())?;
        // Trust is given by name: a rule for everyone would let everyone write facts.
        if point.is_empty() || point.contains('*') || kind.trim().is_empty() {
            return Err(malformed());
        }
        let key = (point.to_owned(), entity_type(kind.trim()));
        if rules.insert(key, mode).is_some() {
            return Err(wrong(KEY, format!("`{item}` is given twice")));
        }
    }
    if rules.len() > RULES_MAX {
        return Err(wrong(KEY, format!("more than {RULES_MAX} rules")));
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use dataos_model::{entity::EntityType, vocabulary::Vocabulary};
    use dataos_pdp::authzen::Mode;

    use super::{AuthzenConfig, context, properties, url};

    #[test]
    fn trust_is_given_by_name_and_type() {
        let config = AuthzenConfig {
            properties: properties("shop/user=fill, shop/record=override").unwrap(),
            ..AuthzenConfig::default()
        };
        let record = EntityType::within("Shop", "Record");
        let other = EntityType::within("Lib", "Record");
        let of = |types: &[&EntityType]| {
            let types: BTreeSet<EntityType> = types.iter().map(|of| (*of).clone()).collect();
            Vocabulary::new(types, BTreeMap::new())
        };
        let own = of(&[&record]);
        assert_eq!(config.mode("shop", &EntityType::USER, &own), Mode::Fill);
        assert_eq!(config.mode("shop", &record, &own), Mode::Override);
        assert_eq!(config.mode("other", &record, &own), Mode::Ignore);
        assert_eq!(
            config.mode("shop", &EntityType::DATASET, &own),
            Mode::Ignore
        );
        // A name that means two types is a rule for neither, and one of ours is not another's.
        assert_eq!(
            config.mode("shop", &record, &of(&[&record, &other])),
            Mode::Ignore
        );
        let user = EntityType::within("Shop", "User");
        assert_eq!(config.mode("shop", &user, &of(&[&user])), Mode::Ignore);
        for wrong in [
            "*/user=fill",
            "/user=fill",
            "shop/=fill",
            "shop/user",
            "shop=fill",
            "shop/user=trust",
            "shop/user=fill,shop/User=override",
        ] {
            let fault = properties(wrong).unwrap_err();
            assert!(
                fault.message.contains("authzen.properties"),
                "{wrong}: {fault}"
            );
        }
    }

    #[test]
    fn addresses_and_names_are_checked() {
        assert_eq!(url("").unwrap(), None);
        assert_eq!(
            url("https://pdp.example/").unwrap().unwrap(),
            "https://pdp.example"
        );
        for wrong in [
            "http://pdp.example",
            "https://",
            "https://a?b",
            "https://a#b",
        ] {
            assert!(url(wrong).is_err(), "{wrong}");
        }
        assert_eq!(context("purpose, soft").unwrap(), ["purpose", "soft"]);
        assert!(context("a.b").is_err() && context("1a").is_err());
    }
}
