//! A session of the engine: fresh for each query, with the query's own tables and no others.

use std::sync::Arc;

use datafusion::{
    catalog::{CatalogProviderList as _, MemoryCatalogProviderList, TableProvider},
    common::{Result as EngineResult, TableReference, config::ConfigNonZeroUsize},
    execution::{
        SessionState, SessionStateBuilder, SessionStateDefaults,
        context::SQLOptions,
        memory_pool::{FairSpillPool, MemoryPool},
        object_store::DefaultObjectStoreRegistry,
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    logical_expr::LogicalPlan,
    prelude::SessionConfig,
};
use dataos_model::{
    depot::{Dataset, DatasetSource},
    fault::Fault,
};
use dataos_sql::limits::GOVERNED_PARSER_DEPTH_MAX;

use super::{
    alike, correlated::Planner, counts::Counts, once::ReadOnce, record, threads::Threads,
    yielding::GiveWay,
};
use crate::config::QueryConfig;

/// Most bytes of the keys of a join that are handed to its other side as a list.
const KEYS_BYTES_MAX: usize = 1 << 20;

/// How sessions are set up; the same for governed queries and for the ungoverned baseline.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    /// What each session starts as. It knows no table; nothing is added to it.
    first: Arc<SessionState>,
    counts: Arc<Counts>,
    threads: Arc<Threads>,
}

impl Sessions {
    /// Sessions that share memory bound, disk, metadata caches and threads.
    ///
    /// # Errors
    /// An engine that does not start.
    pub(crate) fn new(config: &QueryConfig) -> Result<Self, Fault> {
        Ok(Self {
            first: Arc::new(first(runtime(config)?, config.partitions)),
            counts: Arc::default(),
            threads: Arc::new(Threads::start(config.partitions)?),
        })
    }

    /// Where plans run.
    pub(crate) fn threads(&self) -> &Arc<Threads> {
        &self.threads
    }

    /// How many rows callers see, as their statements learn it.
    pub(crate) fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// The same in one partition: rows keep the order in which their sources give them.
    pub(crate) fn in_order(&self) -> Self {
        let mut first = SessionState::clone(&self.first);
        first.config_mut().options_mut().execution.target_partitions = 1;
        Self {
            first: Arc::new(first),
            counts: Arc::clone(&self.counts),
            threads: Arc::clone(&self.threads),
        }
    }

    /// Where memory is accounted for.
    pub(crate) fn memory(&self) -> &Arc<dyn MemoryPool> {
        &self.first.runtime_env().memory_pool
    }

    /// A session for a statement over these datasets, that knows no table yet. The time of the statement is that of
    /// this call.
    pub(crate) fn open<'a>(&self, mut datasets: impl Iterator<Item = &'a Dataset>) -> SessionState {
        let first = SessionState::clone(&self.first);
        if datasets.any(|dataset| matches!(dataset.source, DatasetSource::Objects { .. })) {
            return begun(with_stores(first));
        }
        begun(first)
    }
}

fn runtime(config: &QueryConfig) -> Result<Arc<RuntimeEnv>, Fault> {
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(config.memory_bytes_max)))
        // A listing that is remembered would hide files that came or went since.
        .with_object_list_cache_limit(0)
        .build_arc()
        .map_err(|_| Fault::internal("the engine's runtime does not start"))
}

/// The same with stores of objects of its own, which go with it. Memory, disk and caches are shared.
fn with_stores(state: SessionState) -> SessionState {
    let shared = state.runtime_env();
    let runtime = RuntimeEnv {
        memory_pool: Arc::clone(&shared.memory_pool),
        disk_manager: Arc::clone(&shared.disk_manager),
        cache_manager: Arc::clone(&shared.cache_manager),
        object_store_registry: Arc::new(DefaultObjectStoreRegistry::new()),
    };
    let builder = SessionStateBuilder::new_from_existing(state);
    builder.with_runtime_env(Arc::new(runtime)).build()
}

/// What sessions start as. No table functions, no file formats, no factories: SQL has no way to name a file, a URL or
/// a server.
fn first(runtime: Arc<RuntimeEnv>, partitions: usize) -> SessionState {
    let mut config = SessionConfig::new()
        .with_target_partitions(partitions)
        .with_information_schema(false)
        .with_create_default_catalog_and_schema(false);
    let options = config.options_mut();
    options.sql_parser.enable_ident_normalization = true;
    // What was parsed once is parsed again; a statement that nests too deeply was refused before.
    if let Ok(depth) = ConfigNonZeroUsize::try_new(GOVERNED_PARSER_DEPTH_MAX) {
        options.sql_parser.recursion_limit = depth;
    }
    // Statistics of plain files order joins; governed tables offer none.
    options.execution.collect_statistics = true;
    // The engine tells from the condition of a CASE that its value is never NULL in the plan, and not when it
    // runs it; it refuses to aggregate over the difference unless it is told not to look.
    options.execution.skip_physical_aggregate_schema_check = true;
    // Texts count with the whole buffers that they lie in, and few keys should go to sources as lists.
    options.optimizer.hash_join_inlist_pushdown_max_size = KEYS_BYTES_MAX;
    let mut scalars = SessionStateDefaults::default_scalar_functions();
    scalars.extend(record::functions());
    SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_expr_planners(SessionStateDefaults::default_expr_planners())
        .with_scalar_functions(scalars)
        .with_aggregate_functions(SessionStateDefaults::default_aggregate_functions())
        .with_window_functions(SessionStateDefaults::default_window_functions())
        .with_query_planner(Arc::new(Planner))
        .with_physical_optimizer_rules(alike::rules())
        .with_physical_optimizer_rule(Arc::new(ReadOnce))
        .with_physical_optimizer_rule(Arc::new(GiveWay))
        .build()
}

/// A session that begins now, with a catalog of its own.
fn begun(mut state: SessionState) -> SessionState {
    let catalog = SessionStateDefaults::default_catalog(
        state.config(),
        state.table_factories(),
        state.runtime_env(),
    );
    let name = state.config_options().catalog.default_catalog.clone();
    let catalogs = MemoryCatalogProviderList::new();
    catalogs.register_catalog(name, Arc::new(catalog));
    state.register_catalog_list(Arc::new(catalogs));
    state.mark_start_execution();
    state
}

/// Makes a table known to a session.
///
/// # Errors
/// A name that is taken.
pub(crate) fn register(
    session: &SessionState,
    name: &str,
    table: Arc<dyn TableProvider>,
) -> EngineResult<()> {
    let schema = session.schema_for_ref(TableReference::bare(name))?;
    schema.register_table(name.to_owned(), table).map(drop)
}

/// The logical plan of one query; anything but a query is refused.
///
/// # Errors
/// Text that is no query, or that does not fit the tables.
pub(crate) async fn plan(session: &SessionState, sql: &str) -> EngineResult<LogicalPlan> {
    let plan = session.create_logical_plan(sql).await?;
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(&plan)?;
    Ok(plan)
}
