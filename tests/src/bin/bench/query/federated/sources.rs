//! The three kinds of source, each with its tables.

use std::{
    fs,
    io::Result as IoResult,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use dataos_model::{
    dataset::{ColumnType, DatasetSchema},
    depot::{DepotSource, Tls},
    fault::Fault,
    query::RowFormat,
    secret::SecretName,
};
use dataos_query::Baseline;
use dataos_tests::peers::{MariaDb, Postgres};
use serde_json::{Value, json};

use super::super::world::{World, files, unwritable};

const IN_FILES: [&str; 2] = ["lineitem", "orders"];
const IN_POSTGRES: [&str; 3] = ["customer", "nation", "region"];
const IN_MARIADB: [&str; 3] = ["part", "partsupp", "supplier"];
const HOST: &str = "127.0.0.1";
const USER: &str = "dataos";

/// The sources; servers stop when it is dropped.
pub(super) struct Sources {
    folder: PathBuf,
    postgres: Postgres,
    mariadb: MariaDb,
}

impl Sources {
    /// Registers and scans them.
    pub(super) async fn catalogue(&self, world: &World) -> Result<(), Fault> {
        world
            .scan("lake", files(&self.folder), IN_FILES.len())
            .await?;
        let secret = |name: &str| SecretName(format!("public/{name}/password"));
        world
            .keep(&secret("pgdb").0, self.postgres.password.as_bytes())
            .await?;
        let postgres = DepotSource::Postgres {
            host: HOST.to_owned(),
            port: self.postgres.port,
            database: "postgres".to_owned(),
            user: USER.to_owned(),
            password: Some(secret("pgdb")),
            tls: Tls::Off,
        };
        world.scan("pgdb", postgres, IN_POSTGRES.len()).await?;
        world
            .keep(&secret("mydb").0, self.mariadb.password.as_bytes())
            .await?;
        let mariadb = DepotSource::MySql {
            host: HOST.to_owned(),
            port: self.mariadb.port,
            database: "tpch".to_owned(),
            user: USER.to_owned(),
            password: Some(secret("mydb")),
            tls: Tls::Off,
        };
        world.scan("mydb", mariadb, IN_MARIADB.len()).await
    }

    /// The same for the peer, which is to split its work so often.
    pub(super) fn described(&self, partitions: usize) -> Value {
        json!({
            "partitions": partitions,
            "files": { "folder": self.folder, "tables": IN_FILES },
            "postgres": {
                "host": HOST,
                "port": self.postgres.port,
                "user": USER,
                "password": self.postgres.password,
                "database": "postgres",
                "tables": IN_POSTGRES,
            },
            "mariadb": {
                "host": HOST,
                "port": self.mariadb.port,
                "user": USER,
                "password": self.mariadb.password,
                "database": "tpch",
                "tables": IN_MARIADB,
            },
        })
    }
}

/// Starts the servers and fills all three with the tables of a folder.
pub(super) async fn filled(world: &World, data: &Path, rows: &Baseline) -> Result<Sources, Fault> {
    let folder = world.path().join("federated");
    fs::create_dir(&folder).map_err(unwritable)?;
    for table in IN_FILES {
        let file = format!("{table}.parquet");
        fs::copy(data.join(&file), folder.join(&file)).map_err(unwritable)?;
    }
    let place = world.path();
    // Servers run as users of their own.
    fs::set_permissions(place, fs::Permissions::from_mode(0o755)).map_err(unwritable)?;
    let sources = Sources {
        folder,
        postgres: Postgres::start_durable(place).map_err(unwritable)?,
        mariadb: MariaDb::start(place).map_err(unwritable)?,
    };
    sources
        .mariadb
        .execute("CREATE DATABASE tpch")
        .map_err(unwritable)?;
    let snapshot = world.snapshot();
    for (id, dataset) in &snapshot.datasets {
        let table = id.name.as_str();
        if IN_FILES.contains(&table) {
            continue;
        }
        let sql = format!("SELECT * FROM {table}");
        let (_, chunks) = rows.run(&sql, RowFormat::Csv).await?;
        let file = place.join(format!("{table}.csv"));
        fs::write(&file, chunks.concat()).map_err(unwritable)?;
        let made = if IN_POSTGRES.contains(&table) {
            sources.to_postgres(table, &dataset.schema, &file)
        } else {
            sources.to_mariadb(table, &dataset.schema, &file)
        };
        made.map_err(unwritable)?;
    }
    Ok(sources)
}

impl Sources {
    fn to_postgres(&self, table: &str, schema: &DatasetSchema, file: &Path) -> IoResult<()> {
        let columns = declared(table, schema, "text");
        self.postgres
            .execute(&format!("CREATE TABLE {table} ({columns})"))?;
        let file = file.display();
        self.postgres
            .execute(&format!("COPY {table} FROM '{file}' CSV HEADER"))?;
        self.postgres.execute(&format!("ANALYZE {table}")).map(drop)
    }

    fn to_mariadb(&self, table: &str, schema: &DatasetSchema, file: &Path) -> IoResult<()> {
        let columns = declared(table, schema, "varchar(200)");
        let file = file.display();
        self.mariadb.execute(&format!(
            "USE tpch; CREATE TABLE {table} ({columns}); \
             LOAD DATA INFILE '{file}' INTO TABLE {table} FIELDS TERMINATED BY ',' \
             OPTIONALLY ENCLOSED BY '\"' ESCAPED BY '' LINES TERMINATED BY '\\r\\n' IGNORE 1 LINES; \
             ANALYZE TABLE {table};"
        ))
    }
}

/// Columns and primary key as SQL declares them.
fn declared(table: &str, schema: &DatasetSchema, text: &str) -> String {
    let columns = schema.columns.iter().map(|column| {
        let declared = match &column.column_type {
            ColumnType::Int(32) => "integer".to_owned(),
            ColumnType::Int(_) => "bigint".to_owned(),
            ColumnType::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
            ColumnType::Date => "date".to_owned(),
            _ => text.to_owned(),
        };
        let required = if column.is_nullable { "" } else { " NOT NULL" };
        format!("{} {declared}{required}", column.name)
    });
    // TPC-H names the key first.
    let key = if table == "partsupp" { 2 } else { 1 };
    let key = schema
        .columns
        .iter()
        .take(key)
        .map(|column| column.name.as_str());
    let key = format!("PRIMARY KEY ({})", key.collect::<Vec<_>>().join(", "));
    columns.chain([key]).collect::<Vec<_>>().join(", ")
}
