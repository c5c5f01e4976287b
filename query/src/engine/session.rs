//! A session of the engine: fresh for each query, with the query's own tables and no others.

use std::sync::Arc;

use datafusion::{
    catalog::TableProvider,
    common::{Result, TableReference},
    execution::{
        SessionState, SessionStateBuilder, SessionStateDefaults, context::SQLOptions,
        memory_pool::MemoryPool, object_store::DefaultObjectStoreRegistry, runtime_env::RuntimeEnv,
    },
    logical_expr::LogicalPlan,
    prelude::SessionConfig,
};

use super::{counts::Counts, once::ReadOnce, yielding::GiveWay};

/// Most bytes of the keys of a join that are handed to its other side as a list.
const KEYS_BYTES_MAX: usize = 1 << 20;

/// How sessions are set up; the same for governed queries and for the ungoverned baseline.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    runtime: Arc<RuntimeEnv>,
    partitions: usize,
    counts: Arc<Counts>,
}

impl Sessions {
    /// Sessions that share memory bound, disk and metadata caches, and use `partitions` in parallel.
    pub(crate) fn new(runtime: Arc<RuntimeEnv>, partitions: usize) -> Self {
        Self {
            runtime,
            partitions,
            counts: Arc::default(),
        }
    }

    /// How many rows callers see, as their statements learn it.
    pub(crate) fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// The same in one partition: rows keep the order in which their sources give them.
    pub(crate) fn in_order(&self) -> Self {
        Self {
            partitions: 1,
            ..self.clone()
        }
    }

    /// Where memory is accounted for.
    pub(crate) fn memory(&self) -> &Arc<dyn MemoryPool> {
        &self.runtime.memory_pool
    }

    /// A session that knows no table yet. No table functions, no file formats, no factories: SQL has no way to
    /// name a file, a URL or a server. The time of the statement is that of this call.
    pub(crate) fn open(&self) -> SessionState {
        let mut config = SessionConfig::new()
            .with_target_partitions(self.partitions)
            .with_information_schema(false);
        config.options_mut().sql_parser.enable_ident_normalization = true;
        // Statistics of plain files order joins; governed tables offer none.
        config.options_mut().execution.collect_statistics = true;
        // The engine tells from the condition of a CASE that its value is never NULL in the plan, and not when it
        // runs it; it refuses to aggregate over the difference unless it is told not to look.
        config
            .options_mut()
            .execution
            .skip_physical_aggregate_schema_check = true;
        // Texts count with the whole buffers that they lie in, and few keys should go to sources as lists.
        config
            .options_mut()
            .optimizer
            .hash_join_inlist_pushdown_max_size = KEYS_BYTES_MAX;
        // Memory, disk and caches are shared. Stores of objects are not: those of a statement go with it.
        let runtime = RuntimeEnv {
            memory_pool: Arc::clone(&self.runtime.memory_pool),
            disk_manager: Arc::clone(&self.runtime.disk_manager),
            cache_manager: Arc::clone(&self.runtime.cache_manager),
            object_store_registry: Arc::new(DefaultObjectStoreRegistry::new()),
        };
        let mut state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(Arc::new(runtime))
            .with_expr_planners(SessionStateDefaults::default_expr_planners())
            .with_scalar_functions(SessionStateDefaults::default_scalar_functions())
            .with_aggregate_functions(SessionStateDefaults::default_aggregate_functions())
            .with_window_functions(SessionStateDefaults::default_window_functions())
            .with_physical_optimizer_rule(Arc::new(ReadOnce))
            .with_physical_optimizer_rule(Arc::new(GiveWay))
            .build();
        state.mark_start_execution();
        state
    }
}

/// Makes a table known to a session.
///
/// # Errors
/// A name that is taken.
pub(crate) fn register(
    session: &SessionState,
    name: &str,
    table: Arc<dyn TableProvider>,
) -> Result<()> {
    let schema = session.schema_for_ref(TableReference::bare(name))?;
    schema.register_table(name.to_owned(), table).map(drop)
}

/// The logical plan of one query; anything but a query is refused.
///
/// # Errors
/// Text that is no query, or that does not fit the tables.
pub(crate) async fn plan(session: &SessionState, sql: &str) -> Result<LogicalPlan> {
    let plan = session.create_logical_plan(sql).await?;
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(&plan)?;
    Ok(plan)
}
