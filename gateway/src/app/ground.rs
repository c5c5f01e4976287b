//! The rooms that may be processes of their own: opened here on what they stand on, or joined by a link.

use std::{path::Path, sync::Arc};

use dataos_audit::AuditLog;
use dataos_catalog::{Catalog, CatalogConfig, CatalogSeams};
use dataos_model::{
    clock::Clock,
    fault::Fault,
    seams::{Assets, Resources, RunQuery},
};
use dataos_orchestrator::{Orchestrator, OrchestratorConfig, OrchestratorSeams};
use dataos_pdp::Pdp;
use dataos_query::{QueryConfig, QueryLayer, QuerySeams};

use super::{Split, attach};
use crate::{accounts::Accounts, config::Config, roles::served::Gate, secrets::SealedSecrets};

/// What they stand on.
pub(super) struct Ground<'a> {
    pub(super) config: &'a Config,
    pub(super) folder: &'a Path,
    pub(super) split: Option<&'a Split>,
    pub(super) pdp: &'a Arc<Pdp>,
    pub(super) log: &'a Arc<AuditLog>,
    /// Decides for all but what looks at policies themselves.
    pub(super) gate: &'a Arc<Gate>,
    pub(super) secrets: &'a Arc<SealedSecrets>,
    pub(super) clock: &'a Arc<dyn Clock>,
}

impl Ground<'_> {
    pub(super) async fn catalog(&self) -> Result<Arc<dyn Assets>, Fault> {
        if let Some(elsewhere) = self.split.and_then(Split::assets) {
            return Ok(elsewhere);
        }
        let catalog = Catalog::open(
            catalog_config(self.config, self.folder),
            CatalogSeams {
                sink: Arc::clone(self.pdp) as _,
                secrets: Arc::clone(self.secrets) as _,
                clock: Arc::clone(self.clock),
            },
        );
        let catalog = catalog.await?;
        attach::system(catalog.as_ref()).await?;
        Ok(catalog)
    }

    pub(super) fn query(
        &self,
        catalog: &Arc<dyn Assets>,
        accounts: &Arc<Accounts>,
    ) -> Result<Arc<dyn RunQuery>, Fault> {
        if let Some(elsewhere) = self.split.and_then(Split::query) {
            return Ok(elsewhere);
        }
        Ok(QueryLayer::open(
            QueryConfig {
                cache_bytes_max: self.config.query_cache_bytes_max,
                ..QueryConfig::default()
            },
            QuerySeams {
                decide: Arc::clone(self.gate) as _,
                record: Arc::clone(self.log) as _,
                records: Some(Arc::clone(self.log) as _),
                assets: Arc::clone(catalog),
                identities: Arc::clone(accounts) as _,
                secrets: Arc::clone(self.secrets) as _,
                clock: Arc::clone(self.clock),
            },
        )?)
    }

    /// The orchestrator, and itself again if it is to be closed at the end.
    pub(super) async fn resources(
        &self,
        catalog: &Arc<dyn Assets>,
        query: &Arc<dyn RunQuery>,
        accounts: &Arc<Accounts>,
    ) -> Result<(Arc<dyn Resources>, Option<Arc<Orchestrator>>), Fault> {
        if let Some(elsewhere) = self.split.and_then(Split::resources) {
            return Ok((elsewhere, None));
        }
        let orchestrator = Orchestrator::open(
            orchestrator_config(self.config, self.folder),
            OrchestratorSeams {
                decide: Arc::clone(self.gate) as _,
                record: Arc::clone(self.log) as _,
                policies: Arc::clone(self.pdp) as _,
                assets: Arc::clone(catalog),
                secrets: Arc::clone(self.secrets) as _,
                query: Arc::clone(query),
                identities: Arc::clone(accounts) as _,
                sink: Arc::clone(self.pdp) as _,
                clock: Arc::clone(self.clock),
            },
        );
        let orchestrator = orchestrator.await?;
        Ok((Arc::clone(&orchestrator) as _, Some(orchestrator)))
    }
}

/// Where the catalog keeps what it keeps.
pub(super) fn catalog_config(config: &Config, folder: &Path) -> CatalogConfig {
    CatalogConfig {
        directory: folder.join("catalog"),
        metadata: config.metadata.clone(),
    }
}

/// The same of the orchestrator.
pub(super) fn orchestrator_config(config: &Config, folder: &Path) -> OrchestratorConfig {
    OrchestratorConfig {
        metadata: config.metadata.clone(),
        ..OrchestratorConfig::new(folder.join("orchestrator"))
    }
}
