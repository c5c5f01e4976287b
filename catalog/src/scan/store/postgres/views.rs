//! What views read: their columns are copies of other columns, so tags must reach them.
//!
//! PostgreSQL records which columns a view uses, not which of its own columns each goes into. So each
//! used column counts as a source of each column of the view: too strict, never too lax. A view that
//! uses whole rows is taken to use every column. What a view reads through functions is not recorded.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use dataos_model::{dataset::DatasetId, lineage::Transformation};
use sqlx::{PgConnection, Row, postgres::types::Oid};

use crate::change::Edge;

/// Most uses of columns in all views together.
const USES_MAX: usize = 2_000_000;
/// Most edges into one view.
const EDGES_PER_VIEW_MAX: usize = 100_000;

const USES: &str = "
    SELECT DISTINCT r.ev_class AS view, d.refobjid AS relation, d.refobjsubid AS attnum
    FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
    JOIN pg_catalog.pg_class c ON c.oid = d.refobjid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
      AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
      AND r.ev_type = '1' AND r.ev_class <> d.refobjid
      AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
    LIMIT $1";

/// A printed definition writes a whole row as `t.*`, and nothing else so; a text that holds the same
/// two characters only makes the answer stricter.
const WHOLE_ROWS: &str = "
    SELECT c.oid
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('v', 'm')
      AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
      AND pg_catalog.strpos(pg_catalog.pg_get_viewdef(c.oid), '.*') > 0";

/// A catalogued table or view.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    /// Its dataset.
    pub(super) id: DatasetId,
    /// Numbers and names of its columns.
    pub(super) columns: Vec<(i32, String)>,
}

/// The columns that a view uses, by relation; 0 stands for the relation as such.
type Uses = BTreeMap<u32, BTreeSet<i32>>;

/// What is known of all views.
#[derive(Debug, Default)]
pub(super) struct Views {
    uses: HashMap<u32, Uses>,
    with_whole_rows: BTreeSet<u32>,
    is_cut: bool,
}

impl Views {
    /// Reads the system catalog.
    pub(super) async fn read(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let bound = i64::try_from(USES_MAX + 1).unwrap_or(i64::MAX);
        let rows = sqlx::query(USES)
            .bind(bound)
            .fetch_all(&mut *connection)
            .await?;
        let mut views = Self {
            is_cut: rows.len() > USES_MAX,
            ..Self::default()
        };
        for row in &rows {
            let (view, relation): (Oid, Oid) = (row.try_get("view")?, row.try_get("relation")?);
            let uses = views.uses.entry(view.0).or_default();
            uses.entry(relation.0)
                .or_default()
                .insert(row.try_get("attnum")?);
        }
        for row in sqlx::query(WHOLE_ROWS).fetch_all(&mut *connection).await? {
            views
                .with_whole_rows
                .insert(row.try_get::<Oid, _>("oid")?.0);
        }
        Ok(views)
    }

    /// The edges into a relation, none if it is no view; or why they are not known.
    pub(super) fn edges(
        &self,
        oid: u32,
        relations: &HashMap<u32, Relation>,
    ) -> Result<BTreeSet<Edge>, String> {
        let (Some(uses), Some(view)) = (self.uses.get(&oid), relations.get(&oid)) else {
            return Ok(BTreeSet::new());
        };
        if self.is_cut {
            return Err(format!(
                "all views together use more than {USES_MAX} columns"
            ));
        }
        let mut edges = BTreeSet::new();
        for (source, used) in uses {
            let Some(source) = relations.get(source) else {
                return Err("a view of a table that is not catalogued".to_owned());
            };
            let is_whole = self.with_whole_rows.contains(&oid) || used.iter().all(|n| *n == 0);
            for (number, column) in &source.columns {
                if !is_whole && !used.contains(number) {
                    continue;
                }
                edges.extend(view.columns.iter().map(|(_, target)| Edge {
                    source: source.id.clone(),
                    source_column: column.clone(),
                    target: view.id.clone(),
                    target_column: target.clone(),
                    transformation: Transformation::Transformation,
                }));
                if edges.len() > EDGES_PER_VIEW_MAX {
                    return Err(format!(
                        "a view with more than {EDGES_PER_VIEW_MAX} column edges"
                    ));
                }
            }
        }
        Ok(edges)
    }
}
