//! A PDP over texts that are in no folder: a candidate that is checked and tested, never enforced.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use dataos_model::{clock::Clock, fault::Fault};

use super::{Pdp, PdpConfig, read_all};
use crate::{
    doubts::Doubts,
    entities::Snapshot,
    schema::{BaseSchema, SchemaTexts},
    set::{PolicySet, Source},
    shadow::Shadow,
    source::Origin,
    version::Version,
};

impl Pdp {
    /// A PDP over these texts, without entities. There is no folder to reload.
    pub(crate) fn of_texts(
        schema: SchemaTexts<'_>,
        files: &BTreeMap<String, String>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, Fault> {
        let names = Arc::default();
        let schema = Arc::new(BaseSchema::read(schema, &names)?);
        let read = |name: &String, text: &String| {
            let source = Source::read(&schema, name, Origin::File, text, None)?;
            Ok((name.clone(), source))
        };
        let sources = read_all(files, read)?;
        let policies = PolicySet::new(schema, sources, clock.now())?;
        let version = Version::new(Arc::new(policies), Snapshot::empty(names));
        Ok(Arc::new(Self {
            shadow: Shadow::new(0),
            doubts: Doubts::none(),
            config: PdpConfig::new(PathBuf::new()),
            clock,
            active: arc_swap::ArcSwap::from_pointee(version),
            writing: std::sync::Mutex::default(),
            load_error: arc_swap::ArcSwapOption::empty(),
            listener: std::sync::OnceLock::new(),
        }))
    }
}
