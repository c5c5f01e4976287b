//! TPC-H over three kinds of source: lineitem and orders in Parquet files, customer, nation and region in
//! PostgreSQL, part, partsupp and supplier in MariaDB. Both servers are real.
//!
//! Ours is the whole layer, with its records. The peer is the same engine without governance over the same
//! sources, where databases give whole tables: no condition, no choice of columns and no keys of joins reach
//! them, as the rules of datafusion-federation do it in their default order for statements over several
//! sources. Every answer of both is compared with that over files alone.

use std::{
    fs,
    io::Result as IoResult,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use dataos_model::{
    dataset::{ColumnType, DatasetSchema},
    depot::{DepotSource, Tls},
    fault::Fault,
    query::RowFormat,
    seams::RunQuery as _,
    secret::SecretName,
};
use dataos_query::{Baseline, QueryLayer, sample::write_tpch};
use dataos_tests::peers::{MariaDb, Postgres};

use super::{
    Options, policies,
    world::{World, files, request, sorted, unwritable},
};
use crate::report::{Figure, Goal};

const IN_FILES: [&str; 2] = ["lineitem", "orders"];
const IN_POSTGRES: [&str; 3] = ["customer", "nation", "region"];
const IN_MARIADB: [&str; 3] = ["part", "partsupp", "supplier"];
const FORMAT: RowFormat = RowFormat::Json;

/// The sources; servers stop when it is dropped.
struct Sources {
    folder: PathBuf,
    postgres: Postgres,
    mariadb: MariaDb,
}

struct Contenders {
    ours: Arc<QueryLayer>,
    peer: Baseline,
    files: Baseline,
}

pub(super) async fn run(options: &Options) -> Result<Vec<Figure>, Fault> {
    let whole = World::open().await?;
    let data = whole.path().join("tpch");
    fs::create_dir(&data).map_err(unwritable)?;
    write_tpch(&data, options.scale)?;
    whole.scan("tpch", files(&data), 8).await?;
    let on_files = whole.baseline().await?;
    let sources = filled(&whole, &data, &on_files).await?;
    let world = World::open().await?;
    sources.catalogue(&world).await?;
    world.rule(policies::OPEN)?;
    let contenders = Contenders {
        ours: world.layer()?,
        peer: world.unpushed().await?,
        files: on_files,
    };
    let mut figures = Vec::new();
    let (mut ours, mut peer, mut least) = (0.0, 0.0, f64::INFINITY);
    for (name, sql) in dataos_sql::tpch::TPCH {
        contenders.check(name, sql).await?;
        let best = contenders.best(sql, options.rounds).await?;
        figures.push(Figure::new(format!("{name} federated"), best.0, "ms"));
        let ratio = best.1 / best.0;
        figures.push(Figure::ratio(format!("{name} peer to ours"), ratio, PEER));
        ours += best.0;
        peer += best.1;
        least = least.min(ratio);
    }
    figures.push(Figure::new("22 queries federated", ours, "ms"));
    figures.push(Figure::new(
        "22 queries, databases give whole tables",
        peer,
        "ms",
    ));
    figures.push(
        Figure::ratio("22 queries, peer to ours", peer / ours, PEER).with_goal(Goal::AtLeast(3.0)),
    );
    figures.push(Figure::ratio("least gain of a query", least, PEER));
    Ok(figures)
}

const PEER: &str = "the same engine, nothing pushed to databases";

impl Contenders {
    async fn check(&self, name: &str, sql: &str) -> Result<(), Fault> {
        let ours = self.ours.run(request(sql, FORMAT)).await?;
        let (_, peer) = self.peer.run(sql, FORMAT).await?;
        let (_, files) = self.files.run(sql, FORMAT).await?;
        let wanted = sorted(&files.concat())?;
        for (who, found) in [("ours", ours.chunks.concat()), ("the peer", peer.concat())] {
            if sorted(&found)? != wanted {
                let message = format!("{name}: rows of {who} are not those over files alone");
                return Err(Fault::internal(message));
            }
        }
        Ok(())
    }

    /// Best milliseconds of ours and of the peer.
    async fn best(&self, sql: &str, rounds: usize) -> Result<(f64, f64), Fault> {
        let (mut ours, mut peer) = (f64::INFINITY, f64::INFINITY);
        for round in 0..rounds {
            for turn in 0..2 {
                let started = Instant::now();
                let taken = || started.elapsed().as_secs_f64() * 1e3;
                if (round + turn) % 2 == 0 {
                    self.ours.run(request(sql, FORMAT)).await?;
                    ours = ours.min(taken());
                } else {
                    self.peer.run(sql, FORMAT).await?;
                    peer = peer.min(taken());
                }
            }
        }
        Ok((ours, peer))
    }
}

impl Sources {
    /// Registers and scans them.
    async fn catalogue(&self, world: &World) -> Result<(), Fault> {
        world
            .scan("lake", files(&self.folder), IN_FILES.len())
            .await?;
        let secret = |name: &str| SecretName(format!("public/{name}/password"));
        world
            .keep(&secret("pgdb").0, self.postgres.password.as_bytes())
            .await?;
        let postgres = DepotSource::Postgres {
            host: "127.0.0.1".to_owned(),
            port: self.postgres.port,
            database: "postgres".to_owned(),
            user: "dataos".to_owned(),
            password: Some(secret("pgdb")),
            tls: Tls::Off,
        };
        world.scan("pgdb", postgres, IN_POSTGRES.len()).await?;
        world
            .keep(&secret("mydb").0, self.mariadb.password.as_bytes())
            .await?;
        let mariadb = DepotSource::MySql {
            host: "127.0.0.1".to_owned(),
            port: self.mariadb.port,
            database: "tpch".to_owned(),
            user: "dataos".to_owned(),
            password: Some(secret("mydb")),
            tls: Tls::Off,
        };
        world.scan("mydb", mariadb, IN_MARIADB.len()).await
    }
}

/// Starts the servers and fills all three with the tables of a folder.
async fn filled(world: &World, data: &Path, rows: &Baseline) -> Result<Sources, Fault> {
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
