//! The JSON bodies that the store keeps, apart from the domain types so that either can move.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use dataos_model::{
    clock::Timestamp,
    dataset::{Column, DatasetId, DatasetSchema},
    depot::{Addressing, Bucket, DatasetSource, Definer, Depot, DepotSource, FileFormat, Tls},
    lineage::Transformation,
    secret::SecretName,
};
use serde::{Deserialize, Serialize};

use crate::change::{Record, Stage, Target};

/// Why a stored body cannot be read.
pub(super) type Problem = String;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DepotBody {
    name: String,
    description: String,
    owner: String,
    tags: BTreeSet<String>,
    source: DepotSourceBody,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum DepotSourceBody {
    Files {
        root: PathBuf,
        is_writable: bool,
    },
    Postgres {
        host: String,
        port: u16,
        database: String,
        user: String,
        /// The name of the secret; its value is never here.
        password: Option<String>,
        /// Depots that were stored before there was a choice have none.
        #[serde(default = "TlsBody::off")]
        tls: TlsBody,
    },
    MySql {
        host: String,
        port: u16,
        database: String,
        user: String,
        /// The name of the secret; its value is never here.
        password: Option<String>,
        tls: TlsBody,
    },
    Sqlite {
        path: PathBuf,
    },
    S3 {
        endpoint: String,
        region: String,
        bucket: String,
        prefix: String,
        addressing: AddressingBody,
        access_key: String,
        /// The name of the secret; its value is never here.
        secret_key: String,
        tls: TlsBody,
    },
    System,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AddressingBody {
    Path,
    Host,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum TlsBody {
    Off,
    Verified { authorities: Option<String> },
}

impl TlsBody {
    fn off() -> Self {
        Self::Off
    }

    fn of(tls: &Tls) -> Self {
        match tls {
            Tls::Off => Self::Off,
            Tls::Verified { authorities } => Self::Verified {
                authorities: authorities.clone(),
            },
        }
    }

    fn tls(self) -> Tls {
        match self {
            Self::Off => Tls::Off,
            Self::Verified { authorities } => Tls::Verified { authorities },
        }
    }
}

#[derive(Serialize, Deserialize)]
struct IdBody(String, String, String);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordBody {
    id: IdBody,
    columns: Vec<ColumnBody>,
    source: DatasetSourceBody,
    owner: Option<String>,
    row_count: Option<u64>,
    size_bytes: Option<u64>,
    scanned_at_ms: i64,
    fingerprint: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnBody {
    name: String,
    #[serde(rename = "type")]
    column_type: String,
    is_nullable: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum DatasetSourceBody {
    Files {
        format: String,
        paths: Vec<PathBuf>,
    },
    Objects {
        format: String,
        keys: Vec<String>,
    },
    Table {
        schema: String,
        table: String,
    },
    AuditLog,
    View {
        sql: String,
        // Without it a body is as it was before there were definers; with it, an older build refuses it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        definer: Option<DefinerBody>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DefinerBody {
    user: String,
    reads: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TagsBody {
    dataset: IdBody,
    column: Option<String>,
    tags: BTreeSet<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StageBody {
    id: u64,
    target: IdBody,
    creates: bool,
    is_new: bool,
    paths: Vec<PathBuf>,
    statement: String,
}

impl IdBody {
    fn of(id: &DatasetId) -> Self {
        Self(id.depot.clone(), id.collection.clone(), id.name.clone())
    }

    fn id(self) -> DatasetId {
        DatasetId::new(self.0, self.1, self.2)
    }
}

/// The body of a depot.
pub(crate) fn depot_body(depot: &Depot) -> Result<String, serde_json::Error> {
    serde_json::to_string(&DepotBody {
        name: depot.name.clone(),
        description: depot.description.clone(),
        owner: depot.owner.clone(),
        tags: depot.tags.clone(),
        source: source_body(&depot.source),
    })
}

fn source_body(source: &DepotSource) -> DepotSourceBody {
    match source {
        DepotSource::Files { root, is_writable } => DepotSourceBody::Files {
            root: root.clone(),
            is_writable: *is_writable,
        },
        DepotSource::Postgres {
            host,
            port,
            database,
            user,
            password,
            tls,
        } => DepotSourceBody::Postgres {
            host: host.clone(),
            port: *port,
            database: database.clone(),
            user: user.clone(),
            password: password.as_ref().map(|name| name.0.clone()),
            tls: TlsBody::of(tls),
        },
        DepotSource::MySql {
            host,
            port,
            database,
            user,
            password,
            tls,
        } => DepotSourceBody::MySql {
            host: host.clone(),
            port: *port,
            database: database.clone(),
            user: user.clone(),
            password: password.as_ref().map(|name| name.0.clone()),
            tls: TlsBody::of(tls),
        },
        DepotSource::Sqlite { path } => DepotSourceBody::Sqlite { path: path.clone() },
        DepotSource::S3(bucket) => bucket_body(bucket),
        DepotSource::System => DepotSourceBody::System,
    }
}

fn bucket_body(bucket: &Bucket) -> DepotSourceBody {
    DepotSourceBody::S3 {
        endpoint: bucket.endpoint.clone(),
        region: bucket.region.clone(),
        bucket: bucket.name.clone(),
        prefix: bucket.prefix.clone(),
        addressing: match bucket.addressing {
            Addressing::Path => AddressingBody::Path,
            Addressing::Host => AddressingBody::Host,
        },
        access_key: bucket.access_key.clone(),
        secret_key: bucket.secret_key.0.clone(),
        tls: TlsBody::of(&bucket.tls),
    }
}

/// The inverse of [`depot_body`].
pub(super) fn depot(body: &str) -> Result<Arc<Depot>, Problem> {
    let body: DepotBody = serde_json::from_str(body).map_err(|error| error.to_string())?;
    let source = source(body.source);
    Ok(Arc::new(Depot {
        name: body.name,
        description: body.description,
        owner: body.owner,
        tags: body.tags,
        source,
    }))
}

fn source(body: DepotSourceBody) -> DepotSource {
    match body {
        DepotSourceBody::Files { root, is_writable } => DepotSource::Files { root, is_writable },
        DepotSourceBody::Postgres {
            host,
            port,
            database,
            user,
            password,
            tls,
        } => DepotSource::Postgres {
            host,
            port,
            database,
            user,
            password: password.map(SecretName),
            tls: tls.tls(),
        },
        DepotSourceBody::MySql {
            host,
            port,
            database,
            user,
            password,
            tls,
        } => DepotSource::MySql {
            host,
            port,
            database,
            user,
            password: password.map(SecretName),
            tls: tls.tls(),
        },
        DepotSourceBody::Sqlite { path } => DepotSource::Sqlite { path },
        DepotSourceBody::S3 {
            endpoint,
            region,
            bucket,
            prefix,
            addressing,
            access_key,
            secret_key,
            tls,
        } => DepotSource::S3(Bucket {
            endpoint,
            region,
            name: bucket,
            prefix,
            addressing: match addressing {
                AddressingBody::Path => Addressing::Path,
                AddressingBody::Host => Addressing::Host,
            },
            access_key,
            secret_key: SecretName(secret_key),
            tls: tls.tls(),
        }),
        DepotSourceBody::System => DepotSource::System,
    }
}

/// The body of a dataset.
pub(crate) fn record_body(record: &Record) -> Result<String, serde_json::Error> {
    let columns = record.schema.columns.iter().map(|column| ColumnBody {
        name: column.name.clone(),
        column_type: column.column_type.to_string(),
        is_nullable: column.is_nullable,
    });
    let source = match &record.source {
        DatasetSource::Files { format, paths } => DatasetSourceBody::Files {
            format: format_name(*format).to_owned(),
            paths: paths.clone(),
        },
        DatasetSource::Objects { format, keys } => DatasetSourceBody::Objects {
            format: format_name(*format).to_owned(),
            keys: keys.clone(),
        },
        DatasetSource::AuditLog => DatasetSourceBody::AuditLog,
        DatasetSource::View { sql, definer } => DatasetSourceBody::View {
            sql: sql.clone(),
            definer: definer.as_ref().map(|definer| DefinerBody {
                user: definer.user.clone(),
                reads: definer.reads.to_string(),
            }),
        },
        DatasetSource::Table { schema, table } => DatasetSourceBody::Table {
            schema: schema.clone(),
            table: table.clone(),
        },
    };
    serde_json::to_string(&RecordBody {
        id: IdBody::of(&record.id),
        columns: columns.collect(),
        source,
        owner: record.owner.clone(),
        row_count: record.row_count,
        size_bytes: record.size_bytes,
        scanned_at_ms: record.scanned_at.0,
        fingerprint: record.fingerprint.map(|hash| hash.to_string()),
    })
}

/// The inverse of [`record_body`].
pub(super) fn record(body: &str) -> Result<Arc<Record>, Problem> {
    let body: RecordBody = serde_json::from_str(body).map_err(|error| error.to_string())?;
    let column = |column: ColumnBody| {
        Ok(Column {
            column_type: column
                .column_type
                .parse()
                .map_err(|fault| format!("{fault}"))?,
            name: column.name,
            is_nullable: column.is_nullable,
        })
    };
    let columns = body
        .columns
        .into_iter()
        .map(column)
        .collect::<Result<_, Problem>>()?;
    let source = match body.source {
        DatasetSourceBody::Files { format, paths } => DatasetSource::Files {
            format: file_format(&format)?,
            paths,
        },
        DatasetSourceBody::Objects { format, keys } => DatasetSource::Objects {
            format: file_format(&format)?,
            keys,
        },
        DatasetSourceBody::AuditLog => DatasetSource::AuditLog,
        DatasetSourceBody::View { sql, definer } => DatasetSource::View {
            sql,
            definer: definer.map(definer_of).transpose()?,
        },
        DatasetSourceBody::Table { schema, table } => DatasetSource::Table { schema, table },
    };
    let fingerprint = body.fingerprint.map(|text| text.parse()).transpose();
    Ok(Arc::new(Record {
        id: body.id.id(),
        schema: DatasetSchema { columns },
        source,
        owner: body.owner,
        row_count: body.row_count,
        size_bytes: body.size_bytes,
        scanned_at: Timestamp(body.scanned_at_ms),
        fingerprint: fingerprint.map_err(|error| format!("{error}"))?,
    }))
}

/// The body of the tags set by hand on a target.
pub(super) fn tags_body(
    target: &Target,
    tags: &BTreeSet<String>,
) -> Result<String, serde_json::Error> {
    serde_json::to_string(&TagsBody {
        dataset: IdBody::of(&target.dataset),
        column: target.column.clone(),
        tags: tags.clone(),
    })
}

/// The inverse of [`tags_body`].
pub(super) fn tags(body: &str) -> Result<(Target, BTreeSet<String>), Problem> {
    let body: TagsBody = serde_json::from_str(body).map_err(|error| error.to_string())?;
    Ok((
        Target {
            dataset: body.dataset.id(),
            column: body.column,
        },
        body.tags,
    ))
}

/// The body of a stage.
pub(super) fn stage_body(stage: &Stage) -> Result<String, serde_json::Error> {
    serde_json::to_string(&StageBody {
        id: stage.id,
        target: IdBody::of(&stage.target),
        creates: stage.creates,
        is_new: stage.is_new,
        paths: stage.paths.clone(),
        statement: stage.statement.clone(),
    })
}

/// The inverse of [`stage_body`].
pub(super) fn stage(body: &str) -> Result<Arc<Stage>, Problem> {
    let body: StageBody = serde_json::from_str(body).map_err(|error| error.to_string())?;
    Ok(Arc::new(Stage {
        id: body.id,
        target: body.target.id(),
        creates: body.creates,
        is_new: body.is_new,
        paths: body.paths,
        statement: body.statement,
    }))
}

/// The key of a target: an address, unambiguous by the rules in `names`.
pub(super) fn target_key(target: &Target) -> String {
    match &target.column {
        Some(column) => format!("{}/{column}", target.dataset),
        None => target.dataset.to_string(),
    }
}

/// The inverse of the address of a dataset, without the freedoms that users have in writing one.
pub(super) fn dataset_id(address: &str) -> Result<DatasetId, Problem> {
    address
        .split_once(':')
        .and_then(|(depot, rest)| {
            rest.split_once('/')
                .map(|(c, n)| DatasetId::new(depot, c, n))
        })
        .ok_or_else(|| format!("`{address}` is not an address"))
}

/// The inverse of `Transformation::name`.
pub(super) fn transformation(name: &str) -> Result<Transformation, Problem> {
    [
        Transformation::Identity,
        Transformation::Transformation,
        Transformation::Aggregation,
        Transformation::Indirect,
    ]
    .into_iter()
    .find(|transformation| transformation.name() == name)
    .ok_or_else(|| format!("`{name}` is not a transformation"))
}

fn format_name(format: FileFormat) -> &'static str {
    match format {
        FileFormat::Parquet => "parquet",
        FileFormat::Csv => "csv",
        FileFormat::Json => "json",
        FileFormat::Avro => "avro",
    }
}

fn definer_of(DefinerBody { user, reads }: DefinerBody) -> Result<Definer, Problem> {
    let reads = reads.parse().map_err(|error| format!("{error}"))?;
    Ok(Definer { user, reads })
}

fn file_format(name: &str) -> Result<FileFormat, Problem> {
    match name {
        "parquet" => Ok(FileFormat::Parquet),
        "csv" => Ok(FileFormat::Csv),
        "json" => Ok(FileFormat::Json),
        "avro" => Ok(FileFormat::Avro),
        _ => Err(format!("`{name}` is not a file format")),
    }
}
