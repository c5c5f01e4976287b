//! Statements about the session itself; everything else goes behind the door.

use dataos_model::fault::Fault;
use dataos_sql::script::Word;

/// What a session does by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// BEGIN, or ABORT and the like: a transaction is nothing but its words, since each statement reads
    /// by itself.
    Begin,
    Commit,
    Rollback,
    Savepoint,
    Release,
    RollbackTo,
    Set(String, String),
    Reset(Option<String>),
    Show(String),
    ShowAll,
    Deallocate(Option<String>),
    /// DISCARD ALL.
    Discard,
    /// Nothing; answered with this tag.
    Nothing(&'static str),
}

impl Command {
    /// The command that starts with these words, if it is one.
    ///
    /// # Errors
    /// A command that says what no session does.
    pub(super) fn of(words: &[Word]) -> Result<Option<Self>, Fault> {
        let plain = |index: usize| match words.get(index) {
            Some(Word::Plain(word)) => word.as_str(),
            _ => "",
        };
        let has_to = words
            .iter()
            .take(4)
            .any(|word| *word == Word::Plain("to".to_owned()));
        Ok(Some(match plain(0) {
            "begin" => Self::Begin,
            "start" if plain(1) == "transaction" => Self::Begin,
            "commit" | "end" if plain(1) != "prepared" => Self::Commit,
            "rollback" if has_to => Self::RollbackTo,
            "rollback" | "abort" if plain(1) != "prepared" => Self::Rollback,
            "savepoint" => Self::Savepoint,
            "release" => Self::Release,
            "set" => set(words.get(1..).unwrap_or_default())?,
            "reset" if plain(1) == "all" => Self::Reset(None),
            "reset" => Self::Reset(Some(name(words.get(1..).unwrap_or_default()))),
            "show" if plain(1) == "tables" => return Ok(None),
            "show" => show(words.get(1..).unwrap_or_default()),
            "deallocate" => {
                let of = if plain(1) == "prepare" { 2 } else { 1 };
                match words.get(of) {
                    Some(Word::Plain(word)) if word == "all" => Self::Deallocate(None),
                    Some(word) => Self::Deallocate(Some(word.text().to_owned())),
                    None => return Ok(None),
                }
            }
            "discard" if plain(1) == "all" => Self::Discard,
            "unlisten" => Self::Nothing("UNLISTEN"),
            "close" if plain(1) == "all" => Self::Nothing("CLOSE CURSOR"),
            _ => return Ok(None),
        }))
    }

    /// Whether it ends a transaction, also one that failed.
    pub(super) fn ends_failure(&self) -> bool {
        matches!(self, Self::Commit | Self::Rollback | Self::RollbackTo)
    }

    /// Names of the columns that it answers.
    pub(super) fn columns(&self) -> Option<Vec<String>> {
        match self {
            Self::Show(name) => Some(vec![name.clone()]),
            Self::ShowAll => Some(vec!["name".to_owned(), "setting".to_owned()]),
            _ => None,
        }
    }
}

/// Behind SET.
fn set(words: &[Word]) -> Result<Command, Fault> {
    let first = |words: &[Word]| match words.first() {
        Some(Word::Plain(word)) => word.clone(),
        _ => String::new(),
    };
    let words = match first(words).as_str() {
        "transaction" => return Ok(Command::Nothing("SET")),
        "session" | "local" => words.get(1..).unwrap_or_default(),
        _ => words,
    };
    match first(words).as_str() {
        "characteristics" => return Ok(Command::Nothing("SET")),
        "time" => {
            let zone = words.get(2).map_or("", Word::text);
            return Ok(Command::Set("TimeZone".to_owned(), zone.to_owned()));
        }
        "names" => {
            let encoding = words.get(1).map_or("", Word::text);
            return Ok(Command::Set(
                "client_encoding".to_owned(),
                encoding.to_owned(),
            ));
        }
        _ => {}
    }
    let is_sign =
        |word: &Word| *word == Word::Plain("=".to_owned()) || *word == Word::Plain("to".to_owned());
    let at = words.iter().position(is_sign).ok_or_else(|| {
        Fault::invalid("this form of SET is not understood")
            .with_reason("sql_syntax")
            .with_hint("write SET name = value")
    })?;
    let value = words.get(at + 1..).unwrap_or_default();
    let value: Vec<&str> = value.iter().map(Word::text).collect();
    let value = value.join("").replace(',', ", ");
    Ok(Command::Set(
        name(words.get(..at).unwrap_or_default()),
        value,
    ))
}

/// Behind SHOW.
fn show(words: &[Word]) -> Command {
    match words {
        [Word::Plain(all)] if all == "all" => Command::ShowAll,
        [Word::Plain(first), ..] if first == "transaction" => {
            Command::Show("transaction_isolation".to_owned())
        }
        [Word::Plain(first), ..] if first == "time" => Command::Show("TimeZone".to_owned()),
        words => Command::Show(name(words)),
    }
}

fn name(words: &[Word]) -> String {
    words.iter().map(Word::text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_statements() {
        let of = |sql: &str| {
            let pieces = dataos_sql::script::pieces(sql).unwrap();
            Command::of(&pieces[0].words).unwrap()
        };
        let set = |name: &str, value: &str| Some(Command::Set(name.to_owned(), value.to_owned()));
        assert_eq!(
            of("BEGIN ISOLATION LEVEL SERIALIZABLE"),
            Some(Command::Begin)
        );
        assert_eq!(of("rollback to savepoint a"), Some(Command::RollbackTo));
        assert_eq!(of("ROLLBACK"), Some(Command::Rollback));
        assert_eq!(
            of("set dataos.purpose to 'a b'"),
            set("dataos.purpose", "a b")
        );
        assert_eq!(
            of("SET SESSION DateStyle = ISO, MDY"),
            set("datestyle", "iso, mdy")
        );
        assert_eq!(of("SET TIME ZONE 'UTC'"), set("TimeZone", "UTC"));
        assert_eq!(
            of("SET TRANSACTION READ ONLY"),
            Some(Command::Nothing("SET"))
        );
        let isolation = Some(Command::Show("transaction_isolation".to_owned()));
        assert_eq!(of("show transaction isolation level"), isolation);
        assert_eq!(
            of("DEALLOCATE PREPARE ALL"),
            Some(Command::Deallocate(None))
        );
        for governed in [
            "select 1",
            "show tables",
            "\"begin\"",
            "lock table x",
            "prepare transaction 'x'",
        ] {
            assert_eq!(of(governed), None, "{governed}");
        }
    }
}
