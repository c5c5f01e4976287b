//! Datasets in files as they were opened last: files that are the same as then are not looked into again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use datafusion::catalog::TableProvider;
use dataos_model::{
    clock::Timestamp,
    dataset::{DatasetId, DatasetSchema},
    depot::{Dataset, FileFormat},
};

use crate::source::version::FileVersion;

/// Most files that are remembered, of all datasets.
const FILES_MAX: usize = 1 << 16;
/// A dataset whose files have the columns that the catalog knew of.
#[derive(Debug)]
struct Known {
    schema: Arc<DatasetSchema>,
    format: FileFormat,
    files: Vec<FileVersion>,
    table: Arc<dyn TableProvider>,
}

/// See the module.
#[derive(Debug, Default)]
pub(in crate::source) struct Opened(Mutex<HashMap<DatasetId, Known>>);

impl Opened {
    /// The rows of the same files of the same dataset.
    pub(super) fn find(
        &self,
        dataset: &Dataset,
        format: FileFormat,
        files: &[FileVersion],
    ) -> Option<Arc<dyn TableProvider>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(&dataset.id)?;
        let is_same =
            known.schema == dataset.schema && known.format == format && known.files == files;
        is_same.then(|| Arc::clone(&known.table))
    }

    /// Remembers the rows of files that were looked into, unless one of them may change without a sign of it.
    pub(super) fn keep(
        &self,
        dataset: &Dataset,
        format: FileFormat,
        files: Vec<FileVersion>,
        table: &Arc<dyn TableProvider>,
        now: Timestamp,
    ) {
        if files.len() > FILES_MAX || !files.iter().all(|file| file.is_settled(now)) {
            return;
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count: usize = all.values().map(|known| known.files.len()).sum();
        if count + files.len() > FILES_MAX || all.len() >= FILES_MAX {
            all.clear();
        }
        let known = Known {
            schema: dataset.schema.clone(),
            format,
            files,
            table: Arc::clone(table),
        };
        all.insert(dataset.id.clone(), known);
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use datafusion::{arrow::datatypes::Schema, datasource::empty::EmptyTable};
    use dataos_model::{
        dataset::{Column, ColumnType},
        depot::DatasetSource,
    };

    use super::*;
    use crate::{fixture, source::version::versions};

    /// Long after each file of a test was written.
    const LATER: Timestamp = Timestamp(i64::MAX);

    fn dataset(column: &str, paths: Vec<PathBuf>) -> Dataset {
        let column = Column {
            name: column.to_owned(),
            column_type: ColumnType::Text,
            is_nullable: true,
        };
        let format = FileFormat::Csv;
        let source = DatasetSource::Files { format, paths };
        fixture::dataset("lake:main/t", vec![column], source)
    }

    #[tokio::test]
    async fn what_did_not_change_is_known_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        fs::write(&path, "word\none\n").unwrap();
        let seen = async || versions(vec![path.clone()]).await.unwrap();
        let opened = Opened::default();
        let words = dataset("word", vec![path.clone()]);
        let table: Arc<dyn TableProvider> = Arc::new(EmptyTable::new(Arc::new(Schema::empty())));
        let is_known = |dataset: &Dataset, format, files: &[FileVersion]| {
            let found = opened.find(dataset, format, files);
            found.is_some_and(|found| Arc::ptr_eq(&found, &table))
        };
        let first = seen().await;
        // Written just now: it may be written again within the same tick of the file system's clock.
        opened.keep(&words, FileFormat::Csv, first.clone(), &table, Timestamp(0));
        assert!(!is_known(&words, FileFormat::Csv, &first));
        opened.keep(&words, FileFormat::Csv, first.clone(), &table, LATER);
        assert!(is_known(&words, FileFormat::Csv, &seen().await));
        assert!(!is_known(&words, FileFormat::Json, &first));
        let names = dataset("name", vec![path.clone()]);
        assert!(!is_known(&names, FileFormat::Csv, &first));
        assert!(!is_known(&words, FileFormat::Csv, &[]));
        fs::write(&path, "word\ntwo and more\n").unwrap();
        assert!(!is_known(&words, FileFormat::Csv, &seen().await));
        fs::remove_file(&path).unwrap();
        assert_eq!(versions(vec![path.clone()]).await, Err(path.clone()));
    }

    #[tokio::test]
    async fn a_bound_of_files_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        fs::write(&path, "word\n").unwrap();
        let one = versions(vec![path]).await.unwrap();
        let table: Arc<dyn TableProvider> = Arc::new(EmptyTable::new(Arc::new(Schema::empty())));
        let opened = Opened::default();
        let known = |name: usize, files: usize| {
            let mut dataset = dataset("word", Vec::new());
            dataset.id = format!("lake:main/t{name}").parse().unwrap();
            let files: Vec<_> = one.iter().cycle().take(files).cloned().collect();
            opened.keep(&dataset, FileFormat::Csv, files.clone(), &table, LATER);
            opened.find(&dataset, FileFormat::Csv, &files).is_some()
        };
        assert!(known(1, FILES_MAX - 1) && known(2, 1));
        assert_eq!(opened.0.lock().unwrap().len(), 2);
        assert!(known(3, 1));
        assert_eq!(opened.0.lock().unwrap().len(), 1);
        assert!(!known(4, FILES_MAX + 1));
    }
}
