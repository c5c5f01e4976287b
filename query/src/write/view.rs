//! CREATE VIEW and DROP VIEW: nothing but what the catalog knows.

use std::sync::Arc;

use dataos_model::{
    depot::{Dataset, DatasetSource},
    fault::{Fault, FaultKind},
};
use dataos_sql::{Bound, BoundView, Target};

use super::{Writer, Written, check_name, new_schema};
use crate::execute::{Planned, Planner};

impl Writer<'_> {
    /// Makes a view known with its lineage, in one commit.
    ///
    /// # Errors
    /// A name that is taken, a view that would read itself, or a catalog that does not take it.
    pub(crate) async fn create_view(
        &self,
        bound: &Bound,
        view: &BoundView,
        planned: &Planned,
        planner: Planner<'_>,
    ) -> Result<Written, Fault> {
        let id = &view.target.dataset;
        self.root(&id.depot)?;
        for part in [&id.collection, &id.name] {
            check_name(part)?;
        }
        let known = self.snapshot.datasets.get(id);
        match known.map(|known| &known.source) {
            None => {}
            Some(DatasetSource::View { .. }) if view.is_replacing => {}
            Some(_) => {
                let message = format!("`{id}` exists already");
                let hint = "choose another name; CREATE OR REPLACE VIEW replaces views alone";
                return Err(Fault::new(FaultKind::Conflict, message).with_hint(hint));
            }
        }
        if planner.grants.all().any(|grant| grant.dataset.id == *id) {
            return Err(Fault::invalid(format!("the view `{id}` would read itself")));
        }
        let lineage = bound.lineage().cloned();
        let lineage = lineage.ok_or_else(|| Fault::internal("a view without lineage"))?;
        let owner = known.and_then(|known| known.owner.clone());
        let schema = Arc::new(new_schema(&bound.columns, &planned.schema())?);
        let source = DatasetSource::View {
            sql: view.sql.clone(),
            definer: self.lender.cloned(),
        };
        let dataset = Dataset {
            owner: owner.or_else(|| Some(self.owner.to_owned())),
            scanned_at: self.now,
            ..Dataset::new(id.clone(), schema, source)
        };
        let stage = self.assets.stage_write(dataset.clone(), lineage).await?;
        match self.assets.settle_write(stage, dataset).await {
            Ok(()) => Ok(Written::nothing()),
            Err(fault) => {
                if let Err(error) = self.assets.retract_write(stage).await {
                    tracing::error!(stage, %error, "a failed view could not be retracted");
                }
                Err(fault)
            }
        }
    }

    /// Removes a view.
    ///
    /// # Errors
    /// It is none.
    pub(crate) async fn drop_view(&self, target: &Target) -> Result<Written, Fault> {
        let id = &target.dataset;
        let known = self.snapshot.datasets.get(id);
        let is_view = known.is_some_and(|known| matches!(known.source, DatasetSource::View { .. }));
        if !is_view {
            return Err(Fault::invalid(format!("`{id}` is no view"))
                .with_hint("tables go where their files go, and with the next scan"));
        }
        self.assets.drop_view(id).await?;
        Ok(Written::nothing())
    }
}
