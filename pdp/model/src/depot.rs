//! Depots: where data lies, and what the catalog knows about it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    clock::Timestamp,
    dataset::{DatasetId, DatasetSchema},
    hash::Hash,
    secret::SecretName,
};

/// How a depot is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DepotSource {
    /// A folder of Parquet, CSV and JSON files. `root/x.csv` is dataset `main/x`, `root/a/x.csv` is
    /// `a/x`, and a folder `root/a/x.parquet/` of parts is one dataset.
    Files {
        /// The folder.
        root: PathBuf,
        /// Whether SQL may create datasets in it.
        is_writable: bool,
    },
    /// A PostgreSQL database.
    Postgres {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
        /// Database name.
        database: String,
        /// Role to log in as.
        user: String,
        /// Where the password is kept.
        password: Option<SecretName>,
        /// How the connection is protected.
        tls: Tls,
    },
    /// A database of a MariaDB or MySQL server.
    MySql {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
        /// Database name.
        database: String,
        /// Account to log in as.
        user: String,
        /// Where the password is kept.
        password: Option<SecretName>,
        /// How the connection is protected.
        tls: Tls,
    },
    /// A SQLite file.
    Sqlite {
        /// The file.
        path: PathBuf,
    },
    /// Objects of an S3-compatible store. Keys below the prefix are datasets as paths below a folder are.
    S3(Bucket),
    /// The platform itself: its audit log.
    System,
}

impl DepotSource {
    /// The word for its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Files { .. } => "files",
            Self::Postgres { .. } => "postgres",
            Self::MySql { .. } => "mysql",
            Self::Sqlite { .. } => "sqlite",
            Self::S3(_) => "s3",
            Self::System => "system",
        }
    }
}

/// A bucket of an S3-compatible store, or what lies in it below a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// Where the store answers: `https://host` or `https://host:port`; `http://` only with TLS off.
    pub endpoint: String,
    /// The region that requests are signed for.
    pub region: String,
    /// Its name.
    pub name: String,
    /// What keys begin with, without a slash at either end; empty for all of the bucket.
    pub prefix: String,
    /// Where the name of the bucket stands in a request.
    pub addressing: Addressing,
    /// Id of the access key.
    pub access_key: String,
    /// Where the secret access key is kept.
    pub secret_key: SecretName,
    /// How the connection is protected.
    pub tls: Tls,
}

/// Where the name of a bucket stands in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Addressing {
    /// First in the path: `https://host/bucket/key`.
    Path,
    /// First in the host name: `https://bucket.host/key`.
    Host,
}

/// How the connection to the server of a depot is protected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tls {
    /// Not at all: for this machine and trusted networks.
    Off,
    /// By TLS, with a certificate for the server's host name.
    Verified {
        /// Certificates (PEM) of authorities that are believed besides the public ones.
        authorities: Option<String>,
    },
}

/// A declared data source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Depot {
    /// Its name: `[a-z][a-z0-9]*`.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// User id of its owner.
    pub owner: String,
    /// Tags of the depot itself.
    pub tags: BTreeSet<String>,
    /// How it is reached.
    pub source: DepotSource,
}

/// The format of a file dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FileFormat {
    /// Apache Parquet.
    Parquet,
    /// Comma-separated values with a header line, RFC 4180.
    Csv,
    /// One JSON object a line.
    Json,
    /// Apache Avro object container files.
    Avro,
}

/// Where the rows of one dataset lie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DatasetSource {
    /// One or more files of one format and schema.
    Files {
        /// The format.
        format: FileFormat,
        /// Absolute paths, sorted.
        paths: Vec<PathBuf>,
    },
    /// One or more objects of the depot's bucket, of one format and schema.
    Objects {
        /// The format.
        format: FileFormat,
        /// Whole keys, sorted.
        keys: Vec<String>,
    },
    /// A table or view of the depot's database.
    Table {
        /// Schema in the database.
        schema: String,
        /// Table in the schema.
        table: String,
    },
    /// The audit log.
    AuditLog,
    /// A view: a query over other datasets, which are named in full. The view itself is read with the rights of
    /// who reads it, and so is what is behind it, unless its definer lends his.
    View {
        /// The query.
        sql: String,
        /// Whose rights count behind it, if not those of who reads it.
        definer: Option<Definer>,
    },
}

/// Who lends his rights to the readers of a view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definer {
    /// His user id. What he may do counts as it is when the view is read.
    pub user: String,
    /// Digest of the views without a definer that his view reads, on any way, as they were when he made it: their
    /// queries are carried out with his rights, so none is that he did not see.
    pub reads: Hash,
}

/// The generation of a part of a folder, by the name of its file: `gen-7-part-x.parquet` is of the
/// seventh, and a name of another form of none, 0. Of a folder of parts, those of the newest generation
/// are the dataset: a write that replaces rows adds the next generation, in one file, before it takes
/// the older parts away.
pub fn generation(part: &Path) -> u64 {
    let name = part.file_name().and_then(|name| name.to_str());
    let number = name
        .and_then(|name| name.strip_prefix("gen-"))
        .and_then(|rest| rest.split_once('-'))
        .map(|(number, _)| number)
        .filter(|number| number.bytes().all(|digit| digit.is_ascii_digit()));
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}

/// A dataset as catalogued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    /// Its name.
    pub id: DatasetId,
    /// Its columns.
    pub schema: Arc<DatasetSchema>,
    /// Where its rows lie.
    pub source: DatasetSource,
    /// Effective tags of the dataset itself.
    pub tags: BTreeSet<String>,
    /// Effective tags of each column that has any: set by hand or propagated.
    pub column_tags: BTreeMap<String, BTreeSet<String>>,
    /// User id of its owner, if known.
    pub owner: Option<String>,
    /// Rows at the last scan, if the source tells.
    pub row_count: Option<u64>,
    /// Bytes at the last scan, if the source tells.
    pub size_bytes: Option<u64>,
    /// When it was last scanned.
    pub scanned_at: Timestamp,
}

impl Dataset {
    /// One of which nothing else is known.
    pub fn new(id: DatasetId, schema: Arc<DatasetSchema>, source: DatasetSource) -> Self {
        Self {
            id,
            schema,
            source,
            tags: BTreeSet::new(),
            column_tags: BTreeMap::new(),
            owner: None,
            row_count: None,
            size_bytes: None,
            scanned_at: Timestamp(0),
        }
    }
}

/// An immutable view of the whole catalog; one atomic swap per transaction.
#[derive(Clone, Debug, Default)]
pub struct AssetSnapshot {
    /// Number of the catalog transaction.
    pub transaction: u64,
    /// Digest of the content.
    pub hash: Hash,
    /// Depots by name.
    pub depots: BTreeMap<String, Arc<Depot>>,
    /// Datasets by id.
    pub datasets: BTreeMap<DatasetId, Arc<Dataset>>,
}

impl Serialize for AssetSnapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let depots: Vec<&Depot> = self.depots.values().map(Arc::as_ref).collect();
        let datasets: Vec<&Dataset> = self.datasets.values().map(Arc::as_ref).collect();
        (self.transaction, self.hash, depots, datasets).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for AssetSnapshot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (transaction, hash, depots, datasets) =
            <(u64, Hash, Vec<Depot>, Vec<Dataset>)>::deserialize(deserializer)?;
        let depots = depots
            .into_iter()
            .map(|one| (one.name.clone(), Arc::new(one)));
        let datasets = datasets
            .into_iter()
            .map(|one| (one.id.clone(), Arc::new(one)));
        Ok(Self {
            transaction,
            hash,
            depots: depots.collect(),
            datasets: datasets.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_tell_their_generation() {
        for (name, expected) in [
            ("/x/gen-7-part-a.parquet", 7),
            ("/x/gen-10-part-a.parquet", 10),
            ("/x/part-a.parquet", 0),
            ("/x/gen-7.parquet", 0),
            ("/x/gen--part.parquet", 0),
            ("/x/gen-+7-part.parquet", 0),
            ("/x/gen-99999999999999999999-part.parquet", 0),
            ("/gen-7-x/part.parquet", 0),
        ] {
            assert_eq!(generation(Path::new(name)), expected, "{name}");
        }
    }
}
