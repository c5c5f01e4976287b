//! The same engine over the same sources without governance: the yardstick of benchmarks.
//!
//! No decision, no record: never reachable from a request. Only benchmarks and tests open it.

use std::{sync::Arc, time::Duration};

use datafusion::{execution::SessionState, physical_plan::displayable};
use dataos_model::{
    dataset::DatasetId, depot::AssetSnapshot, fault::Fault, predicate::Predicate, query::RowFormat,
    seams::Secrets,
};

use crate::{
    config::QueryConfig,
    engine::{
        failure::{Detail, fault},
        session::{Sessions, plan, register},
    },
    execute::{Planned, Progress},
    source::{Exchange, Sources},
};

/// Some datasets of a catalog, as they are.
pub struct Baseline {
    sessions: Sessions,
    session: SessionState,
    config: QueryConfig,
}

impl std::fmt::Debug for Baseline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Baseline(..)")
    }
}

impl Baseline {
    /// Opens datasets under their bare names, with the settings of governed sessions.
    ///
    /// # Errors
    /// A dataset that is not in the snapshot or whose source cannot be opened.
    pub async fn open(
        config: &QueryConfig,
        snapshot: &AssetSnapshot,
        datasets: &[DatasetId],
        secrets: Arc<dyn Secrets>,
    ) -> Result<Self, Fault> {
        let sessions = Sessions::new(config)?;
        let sources = Sources::new(
            secrets,
            None,
            config.connections_max,
            Duration::from_secs(3_600),
        );
        let session = sessions.open(snapshot.datasets.values().map(Arc::as_ref));
        for id in datasets {
            let dataset = snapshot
                .datasets
                .get(id)
                .ok_or_else(|| Fault::not_found(format!("`{id}` is not catalogued")))?;
            let table = sources
                .open(
                    &session,
                    snapshot,
                    dataset,
                    &Predicate::ALWAYS,
                    Exchange::Keys,
                )
                .await?;
            register(&session, &id.name, table).map_err(|error| fault(&error, Detail::Shown))?;
        }
        Ok(Self {
            sessions,
            session,
            config: config.clone(),
        })
    }

    async fn planned(&self, sql: &str) -> Result<Planned, Fault> {
        let shown = |error| fault(&error, Detail::Shown);
        let mut session = self.session.clone();
        session.mark_start_execution();
        let logical = plan(&session, sql).await.map_err(shown)?;
        let plan = session.create_physical_plan(&logical);
        let plan = plan.await.map_err(shown)?;
        Ok(Planned {
            threads: Arc::clone(self.sessions.threads()),
            session,
            schema: plan.schema(),
            plan,
            detail: Detail::Shown,
        })
    }

    /// The physical plan as text.
    ///
    /// # Errors
    /// A statement that the engine does not plan.
    pub async fn physical_plan(&self, sql: &str) -> Result<String, Fault> {
        Ok(displayable(self.planned(sql).await?.plan.as_ref())
            .indent(false)
            .to_string())
    }

    /// Runs a query to its end and encodes its rows as a governed answer would be; the number of
    /// rows and the encoded bytes.
    ///
    /// # Errors
    /// The engine's failure.
    pub async fn run(
        &self,
        sql: &str,
        format: RowFormat,
    ) -> Result<(u64, Vec<bytes::Bytes>), Fault> {
        let planned = self.planned(sql).await?;
        let bytes_max = self.config.result_bytes_max;
        let (encoded, _) = planned
            .encoded(
                format,
                self.config.rows_max,
                bytes_max,
                &Progress::default(),
            )
            .await?;
        Ok((encoded.row_count, encoded.chunks))
    }
}
