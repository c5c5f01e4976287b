//! Parameters of a session: the few that clients set or ask for.

use std::{collections::BTreeMap, time::Duration};

use dataos_model::fault::Fault;
use tokio::io::AsyncWrite;

use super::reply::Output;

/// Longest value.
const VALUE_CHARACTERS_MAX: usize = 256;
/// The version that is told: clients choose by it what they ask of the catalog.
pub(crate) const SERVER_VERSION: &str = "15.0";

/// What a parameter may be set to.
#[derive(Clone, Copy, Debug)]
enum Rule {
    /// Nothing.
    Fixed,
    /// One of these, compared without regard to case.
    OneOf(&'static [&'static str]),
    /// A number up to this; units of time may follow.
    Number(u64),
    /// Any short text.
    Text,
}

#[derive(Clone, Copy, Debug)]
struct Setting {
    name: &'static str,
    default: &'static str,
    rule: Rule,
    /// Whether clients are told of it unasked.
    is_reported: bool,
}

const fn setting(name: &'static str, default: &'static str, rule: Rule) -> Setting {
    Setting {
        name,
        default,
        rule,
        is_reported: false,
    }
}

const fn reported(name: &'static str, default: &'static str, rule: Rule) -> Setting {
    Setting {
        is_reported: true,
        ..setting(name, default, rule)
    }
}

const UTC: &[&str] = &["utc", "gmt", "etc/utc", "0", "+00:00"];
const ON: &[&str] = &["on", "true", "1", "yes"];
const SWITCH: &[&str] = &["on", "off", "true", "false", "1", "0"];
const ISOLATION: &[&str] = &[
    "read committed",
    "read uncommitted",
    "repeatable read",
    "serializable",
];
/// Longest time-out: a day.
const MILLISECONDS_MAX: u64 = 86_400_000;

const PURPOSE: &str = "dataos.purpose";
const ROWS_MAX: &str = "dataos.rows_max";
const STATEMENT_TIMEOUT: &str = "statement_timeout";

const SETTINGS: &[Setting] = &[
    reported("application_name", "", Rule::Text),
    setting("bytea_output", "hex", Rule::OneOf(&["hex"])),
    reported(
        "client_encoding",
        "UTF8",
        Rule::OneOf(&["utf8", "utf-8", "unicode"]),
    ),
    setting("client_min_messages", "notice", Rule::Text),
    setting(PURPOSE, "", Rule::Text),
    setting(ROWS_MAX, "0", Rule::Number(u64::MAX)),
    reported(
        "DateStyle",
        "ISO, MDY",
        Rule::OneOf(&["iso", "iso, mdy", "iso, dmy", "iso, ymd"]),
    ),
    setting(
        "default_transaction_isolation",
        "read committed",
        Rule::OneOf(ISOLATION),
    ),
    reported("default_transaction_read_only", "off", Rule::OneOf(SWITCH)),
    setting("extra_float_digits", "1", Rule::Number(3)),
    reported("in_hot_standby", "off", Rule::Fixed),
    reported("integer_datetimes", "on", Rule::Fixed),
    reported("IntervalStyle", "postgres", Rule::OneOf(&["postgres"])),
    reported("is_superuser", "off", Rule::Fixed),
    setting("jit", "off", Rule::OneOf(SWITCH)),
    setting("max_identifier_length", "63", Rule::Fixed),
    setting("row_security", "on", Rule::OneOf(ON)),
    setting("search_path", "public", Rule::OneOf(&["public"])),
    reported("server_encoding", "UTF8", Rule::Fixed),
    reported("server_version", SERVER_VERSION, Rule::Fixed),
    setting("server_version_num", "150000", Rule::Fixed),
    reported("standard_conforming_strings", "on", Rule::OneOf(ON)),
    setting(STATEMENT_TIMEOUT, "0", Rule::Number(MILLISECONDS_MAX)),
    reported("TimeZone", "UTC", Rule::OneOf(UTC)),
    setting(
        "transaction_isolation",
        "read committed",
        Rule::OneOf(ISOLATION),
    ),
    setting("transaction_read_only", "off", Rule::OneOf(SWITCH)),
];

/// The parameters of one session.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    /// Those that differ from their defaults.
    changed: BTreeMap<&'static str, String>,
}

impl Settings {
    /// The name as it is spelled, and the value.
    ///
    /// # Errors
    /// There is no such parameter.
    pub(super) fn show(&self, name: &str) -> Result<(&'static str, &str), Fault> {
        let setting = find(name)?;
        Ok((setting.name, self.value(setting)))
    }

    /// All names and values.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, &str)> {
        SETTINGS
            .iter()
            .map(|setting| (setting.name, self.value(setting)))
    }

    /// Sets a parameter.
    ///
    /// # Errors
    /// There is no such parameter, or it does not take this value; by name.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), Fault> {
        let setting = find(name)?;
        if value.eq_ignore_ascii_case("default") {
            self.changed.remove(setting.name);
            return Ok(());
        }
        let fits = match setting.rule {
            Rule::Fixed => false,
            Rule::OneOf(values) => values.iter().any(|one| one.eq_ignore_ascii_case(value)),
            Rule::Number(most) => milliseconds(value).is_some_and(|number| number <= most),
            Rule::Text => {
                value.chars().count() <= VALUE_CHARACTERS_MAX && !value.contains(char::is_control)
            }
        };
        if !fits {
            let takes = match setting.rule {
                Rule::Fixed => "it cannot be changed".to_owned(),
                Rule::OneOf(values) => format!("it takes {}", values.join(", ")),
                Rule::Number(most) => format!("it takes a number up to {most}"),
                Rule::Text => format!("it takes up to {VALUE_CHARACTERS_MAX} characters"),
            };
            return Err(Fault::invalid(format!(
                "parameter `{}` is not set to `{value}`",
                setting.name
            ))
            .with_reason("setting_value")
            .with_hint(takes));
        }
        // What has one meaning is told in one spelling.
        let is_shown = matches!(setting.rule, Rule::Number(_) | Rule::Text)
            || matches!(setting.rule, Rule::OneOf(values) if values.len() > 1 && !has_one_meaning(setting));
        if is_shown {
            self.changed.insert(setting.name, value.to_owned());
        }
        Ok(())
    }

    /// Back to the default, or all of them.
    ///
    /// # Errors
    /// There is no such parameter.
    pub(super) fn reset(&mut self, name: Option<&str>) -> Result<(), Fault> {
        match name {
            Some(name) => {
                self.changed.remove(find(name)?.name);
            }
            None => self.changed.clear(),
        }
        Ok(())
    }

    /// Tells the peer those that it is told unasked.
    pub(super) fn report<W: AsyncWrite + Unpin>(&self, output: &mut Output<W>) {
        for setting in SETTINGS.iter().filter(|setting| setting.is_reported) {
            output.parameter(setting.name, self.value(setting));
        }
    }

    /// Tells the peer of one, if it is told of it unasked.
    pub(super) fn report_one<W: AsyncWrite + Unpin>(&self, name: &str, output: &mut Output<W>) {
        if let Ok(setting) = find(name)
            && setting.is_reported
        {
            output.parameter(setting.name, self.value(setting));
        }
    }

    /// The declared purpose.
    pub(super) fn purpose(&self) -> Option<String> {
        self.changed
            .get(PURPOSE)
            .filter(|text| !text.is_empty())
            .cloned()
    }

    /// The rows after which an answer may be cut, if the session says so.
    pub(super) fn rows_max(&self) -> Option<u64> {
        self.number(ROWS_MAX)
    }

    /// The time after which a statement ends.
    pub(super) fn statement_timeout(&self) -> Option<Duration> {
        self.number(STATEMENT_TIMEOUT).map(Duration::from_millis)
    }

    fn number(&self, name: &str) -> Option<u64> {
        let number = self.changed.get(name).and_then(|text| milliseconds(text));
        number.filter(|number| *number > 0)
    }

    fn value(&self, setting: &'static Setting) -> &str {
        self.changed
            .get(setting.name)
            .map_or(setting.default, String::as_str)
    }
}

fn has_one_meaning(setting: &Setting) -> bool {
    matches!(
        setting.name,
        "client_encoding" | "TimeZone" | "row_security" | "standard_conforming_strings"
    )
}

fn find(name: &str) -> Result<&'static Setting, Fault> {
    let found = SETTINGS
        .iter()
        .find(|setting| setting.name.eq_ignore_ascii_case(name));
    found.ok_or_else(|| {
        let name: String = name.chars().take(64).collect();
        Fault::invalid(format!("there is no parameter `{name}`"))
            .with_reason("unknown_setting")
            .with_hint("SHOW ALL lists the parameters of a session")
    })
}

/// A number; a unit of time behind it makes milliseconds of it.
fn milliseconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end)?;
    let factor = match unit.trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_shown_and_what_does_not_fit_is_refused_by_name() {
        let mut settings = Settings::default();
        settings.set("Statement_Timeout", "2min").unwrap();
        assert_eq!(settings.statement_timeout(), Some(Duration::from_secs(120)));
        settings.set("dataos.rows_max", "5").unwrap();
        assert_eq!(settings.rows_max(), Some(5));
        settings.set("client_encoding", "utf-8").unwrap();
        assert_eq!(settings.show("client_encoding").unwrap().1, "UTF8");
        settings.set("dataos.purpose", "audit").unwrap();
        assert_eq!(settings.purpose().as_deref(), Some("audit"));
        for (name, value, says) in [
            ("timezone", "Europe/Berlin", "TimeZone"),
            ("server_version", "17", "server_version"),
            ("client_encoding", "latin1", "latin1"),
            ("statement_timeout", "-1", "statement_timeout"),
            ("no_such", "1", "no_such"),
            ("search_path", "lake", "search_path"),
        ] {
            let fault = settings.set(name, value).unwrap_err();
            assert!(fault.to_string().contains(says), "{fault}");
        }
        settings.reset(None).unwrap();
        assert_eq!(settings.rows_max(), None);
    }
}
