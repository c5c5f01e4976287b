//! The tables of a store, written once for both engines.

/// Name, mark and tables of a store.
///
/// Statements of [`Self::migrations`] name types in braces, for each engine has its own words:
/// `{text}` (ordered by bytes), `{integer}` (64 bits), `{bytes}`, `{serial}` (an integer key that the
/// engine counts up and never gives twice), and `{strict}` after the closing bracket of a table. All
/// other statements must be such that both engines understand them: parameters are `$1`, a name
/// that SQL reserves (`user`) stands in double quotes.
#[derive(Debug)]
pub struct Schema {
    /// Name of the store: lower-case letters.
    pub name: &'static str,
    /// Marks a SQLite file as this store's (`application_id`); 0 for none.
    pub application_id: i64,
    /// Statements that lead from each format to the next, the first from nothing to format 1.
    pub migrations: &'static [&'static str],
}

/// The words of an engine.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

impl Schema {
    /// The format that this program writes.
    pub(crate) fn format(&self) -> i64 {
        i64::try_from(self.migrations.len()).unwrap_or(i64::MAX)
    }

    /// The formats after `found`, with the statements that lead to each.
    pub(crate) fn missing(
        &self,
        found: i64,
        dialect: Dialect,
    ) -> impl Iterator<Item = (i64, String)> {
        (1..)
            .zip(self.migrations)
            .filter(move |(format, _)| *format > found)
            .map(move |(format, statements)| (format, dialect.render(statements)))
    }
}

impl Dialect {
    fn render(self, statements: &str) -> String {
        let words = match self {
            Self::Sqlite => [
                ("{text}", "TEXT"),
                ("{integer}", "INTEGER"),
                ("{bytes}", "BLOB"),
                ("{serial}", "INTEGER PRIMARY KEY AUTOINCREMENT"),
                ("{strict}", " STRICT"),
            ],
            Self::Postgres => [
                ("{text}", "TEXT COLLATE \"C\""),
                ("{integer}", "BIGINT"),
                ("{bytes}", "BYTEA"),
                (
                    "{serial}",
                    "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
                ),
                ("{strict}", ""),
            ],
        };
        words
            .iter()
            .fold(statements.to_owned(), |text, (word, meaning)| {
                text.replace(word, meaning)
            })
    }
}
