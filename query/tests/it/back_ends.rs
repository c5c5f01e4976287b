//! The same table in every kind of source.

use std::{fmt::Write as _, path::PathBuf, process::Command, sync::Arc};

use datafusion::arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{
        Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
        TimestampMicrosecondType,
    },
};
use dataos_model::{
    dataset::{ColumnType, DatasetId},
    depot::{DatasetSource, DepotSource, FileFormat, Tls},
    secret::SecretName,
};
use dataos_objects::test_server::{SECRET_KEY, TestStore};
use dataos_store::test_mysql::{MYSQL_PASSWORD, TestMySql};
use tempfile::TempDir;

use crate::{
    avro::{self, avro},
    postgres::server::{PASSWORD, Server},
    world::{World, parquet},
};

/// A kind of source that is there and ready.
pub(crate) enum BackEnd {
    Files,
    Avro,
    Postgres(Box<Server>),
    MySql(Box<TestMySql>),
    Sqlite(TempDir),
    Objects(Box<TestStore>),
}

impl BackEnd {
    /// Every kind; servers are started.
    pub(crate) fn all() -> Vec<Self> {
        let others = [Self::Files, Self::Avro, Self::objects()];
        others.into_iter().chain(Self::databases()).collect()
    }

    /// Databases, which compute more than which rows there are.
    pub(crate) fn databases() -> [Self; 4] {
        [
            Self::postgres(),
            Self::maria_db(),
            Self::my_sql(),
            Self::sqlite(),
        ]
    }

    pub(crate) fn is_database(&self) -> bool {
        matches!(self, Self::Postgres(_) | Self::MySql(_) | Self::Sqlite(_))
    }

    pub(crate) fn postgres() -> Self {
        Self::Postgres(Box::new(Server::start()))
    }

    pub(crate) fn maria_db() -> Self {
        Self::MySql(Box::new(TestMySql::mariadb()))
    }

    pub(crate) fn my_sql() -> Self {
        Self::MySql(Box::new(TestMySql::mysql()))
    }

    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(TempDir::with_prefix("query-sqlite-").unwrap())
    }

    pub(crate) fn objects() -> Self {
        Self::Objects(Box::new(TestStore::start()))
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Avro => "avro",
            Self::Postgres(_) => "postgresql",
            Self::MySql(server) => server.product,
            Self::Sqlite(_) => "sqlite",
            Self::Objects(_) => "objects",
        }
    }

    /// Makes a table in the database `space`, which is made if it is not there, and catalogues it in
    /// the world, permitted whole.
    pub(crate) fn fill(
        &self,
        world: &World,
        space: &str,
        name: &str,
        columns: &[(&str, &str)],
        arrays: Vec<ArrayRef>,
    ) -> DatasetId {
        let Some(depot) = self.depot(space) else {
            return match self {
                Self::Avro => {
                    avro::written(world, name, columns, &avro(columns, &arrays, "deflate"))
                }
                _ => world.parquet(name, columns, arrays),
            };
        };
        world.catalog.add_depot(self.depot_name(), depot);
        world.vault.keep(&self.secret(), self.password());
        let id = DatasetId::new(self.depot_name(), "main", name);
        if let Self::Objects(store) = self {
            let key = format!("{space}/{name}.parquet");
            store.put(&key, &parquet(columns, arrays));
            let source = DatasetSource::Objects {
                format: FileFormat::Parquet,
                keys: vec![key],
            };
            world.catalog.add(&id, columns, source);
            return id;
        }
        let sql = self.statements(name, columns, &arrays);
        self.execute(space, &sql);
        let schema = match self {
            Self::Files | Self::Avro | Self::Sqlite(_) | Self::Objects(_) => "main",
            Self::Postgres(_) => "public",
            Self::MySql(_) => space,
        };
        let source = DatasetSource::Table {
            schema: schema.to_owned(),
            table: name.to_owned(),
        };
        world.catalog.add(&id, columns, source);
        id
    }

    fn password(&self) -> &'static [u8] {
        match self {
            Self::MySql(_) => MYSQL_PASSWORD.as_bytes(),
            Self::Objects(_) => SECRET_KEY.as_bytes(),
            _ => PASSWORD.as_bytes(),
        }
    }

    /// As long as the name of the folder depot, so that tables of names look alike.
    fn depot_name(&self) -> &'static str {
        match self {
            Self::Files | Self::Avro => "lake",
            Self::Postgres(_) => "pgdb",
            Self::MySql(_) => "mydb",
            Self::Sqlite(_) => "lite",
            Self::Objects(_) => "objs",
        }
    }

    fn secret(&self) -> String {
        match self {
            Self::Objects(_) => format!("public/{}/secretkey", self.depot_name()),
            _ => format!("public/{}/password", self.depot_name()),
        }
    }

    fn depot(&self, space: &str) -> Option<DepotSource> {
        let (host, database) = ("127.0.0.1".to_owned(), space.to_owned());
        let password = Some(SecretName(self.secret()));
        Some(match self {
            Self::Files | Self::Avro => return None,
            Self::Postgres(server) => DepotSource::Postgres {
                host,
                port: server.port,
                database,
                user: "postgres".to_owned(),
                password,
                tls: Tls::Off,
            },
            Self::MySql(server) => DepotSource::MySql {
                host,
                port: server.port,
                database,
                user: "dataos".to_owned(),
                password,
                tls: Tls::Off,
            },
            Self::Sqlite(_) => DepotSource::Sqlite {
                path: self.path(space),
            },
            Self::Objects(store) => DepotSource::S3(store.bucket(self.depot_name(), space)),
        })
    }

    fn path(&self, space: &str) -> PathBuf {
        match self {
            Self::Sqlite(folder) => folder.path().join(format!("{space}.db")),
            _ => panic!("{} is no file", self.name()),
        }
    }

    /// Runs statements in the database `space`, which is made if it is not there.
    pub(crate) fn execute(&self, space: &str, sql: &str) {
        match self {
            Self::Files | Self::Avro | Self::Objects(_) => {}
            Self::Postgres(server) => {
                server.make_database(space);
                server.script_in(space, &format!("BEGIN;\n{sql}\nCOMMIT;"));
            }
            Self::MySql(server) => {
                server.sql("mysql", &format!("CREATE DATABASE IF NOT EXISTS {space}"));
                server.sql(
                    space,
                    &format!("SET time_zone = '+00:00'; BEGIN;\n{sql}\nCOMMIT;"),
                );
            }
            Self::Sqlite(_) => sqlite(&self.path(space), sql),
        }
    }

    fn statements(&self, name: &str, columns: &[(&str, &str)], arrays: &[ArrayRef]) -> String {
        let declared: Vec<String> = columns
            .iter()
            .map(|(column, kind)| format!("{} {}", self.quoted(column), self.declared(kind)))
            .collect();
        let table = self.quoted(name);
        let mut sql = format!("CREATE TABLE {table} ({});\n", declared.join(", "));
        let count = arrays.first().map_or(0, |array| array.len());
        for row in 0..count {
            let values: Vec<String> = columns
                .iter()
                .zip(arrays)
                .map(|((_, kind), array)| self.literal(&kind.parse().unwrap(), array, row))
                .collect();
            writeln!(sql, "INSERT INTO {table} VALUES ({});", values.join(", ")).unwrap();
        }
        sql
    }

    fn quoted(&self, name: &str) -> String {
        match self {
            Self::MySql(_) => format!("`{name}`"),
            _ => format!("\"{name}\""),
        }
    }

    fn declared(&self, kind: &str) -> String {
        match (self, kind) {
            (Self::MySql(_), "boolean") => "bit(1)",
            (Self::MySql(_), "real") => "float",
            (Self::MySql(_), "text") => "varchar(300)",
            (Self::MySql(_), "binary") => "varbinary(300)",
            (Self::MySql(server), "uuid") if server.product == "mysql" => "char(36)",
            (Self::MySql(_), "timestamp") => "datetime(6)",
            (Self::MySql(_), "timestamptz") => "timestamp(6) NULL",
            (Self::Postgres(_), "double") => "double precision",
            (Self::Postgres(_), "binary") => "bytea",
            (Self::Sqlite(_), "binary") => "blob",
            (_, kind) => kind,
        }
        .to_owned()
    }

    fn literal(&self, kind: &ColumnType, array: &ArrayRef, row: usize) -> String {
        if array.is_null(row) {
            return "NULL".to_owned();
        }
        match kind {
            ColumnType::Bool => match (self, array.as_boolean().value(row)) {
                (Self::MySql(_), value) => format!("b'{}'", u8::from(value)),
                (_, value) => value.to_string(),
            },
            ColumnType::Int(16) => array.as_primitive::<Int16Type>().value(row).to_string(),
            ColumnType::Int(32) => array.as_primitive::<Int32Type>().value(row).to_string(),
            ColumnType::Int(_) => array.as_primitive::<Int64Type>().value(row).to_string(),
            ColumnType::Float(32) => {
                format!("{:e}", array.as_primitive::<Float32Type>().value(row))
            }
            ColumnType::Float(_) => format!("{:e}", array.as_primitive::<Float64Type>().value(row)),
            ColumnType::Decimal { .. } => {
                array.as_primitive::<Decimal128Type>().value_as_string(row)
            }
            ColumnType::Text => self.text(array.as_string::<i32>().value(row).as_bytes()),
            ColumnType::Uuid => format!("'{}'", array.as_string::<i32>().value(row)),
            ColumnType::Binary => self.bytes(array.as_binary::<i32>().value(row)),
            ColumnType::Date => {
                let days = array.as_primitive::<Date32Type>();
                format!("'{}'", days.value_as_date(row).unwrap())
            }
            ColumnType::Timestamp | ColumnType::LocalTimestamp => {
                let at = array.as_primitive::<TimestampMicrosecondType>();
                let text = at.value_as_datetime(row).unwrap().to_string();
                let zone = match (self, kind) {
                    (Self::MySql(_), _) | (_, ColumnType::LocalTimestamp) => "",
                    _ => "+00:00",
                };
                format!("'{text}{zone}'")
            }
            other => panic!("no literal of {other}"),
        }
    }

    fn bytes(&self, bytes: &[u8]) -> String {
        let digits = hex(bytes);
        match self {
            Self::Postgres(_) => format!("'\\x{digits}'::bytea"),
            _ => format!("X'{digits}'"),
        }
    }

    /// By its bytes, so that no quoting of any dialect plays a part.
    fn text(&self, bytes: &[u8]) -> String {
        let bytes = self.bytes(bytes);
        match self {
            Self::Postgres(_) => format!("convert_from({bytes}, 'UTF8')"),
            Self::MySql(_) => format!("CONVERT({bytes} USING utf8mb4)"),
            _ => format!("CAST({bytes} AS TEXT)"),
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Runs statements by SQLite's own shell.
pub(crate) fn sqlite(path: &std::path::Path, sql: &str) {
    let script = path.with_extension("sql");
    std::fs::write(&script, format!("BEGIN;\n{sql}\nCOMMIT;")).unwrap();
    let output = Command::new("sqlite3")
        .args(["-batch", "-bail"])
        .arg(path)
        .arg(format!(".read {}", script.display()))
        .output()
        .expect("sqlite3 is not installed; install it with: apt-get install sqlite3");
    std::fs::remove_file(script).unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

/// The same rows for all of them.
pub(crate) type Columns = Vec<(&'static str, &'static str, ArrayRef)>;

/// Names and types apart from the values.
pub(crate) fn split(columns: &Columns) -> (Vec<(&'static str, &'static str)>, Vec<ArrayRef>) {
    columns
        .iter()
        .map(|(name, kind, array)| ((*name, *kind), Arc::clone(array)))
        .unzip()
}
