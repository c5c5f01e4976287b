//! Telling a listener what decisions are made from.

use std::sync::Arc;

use dataos_model::{
    entity::EntityChange,
    fault::{Fault, FaultKind},
    hash::Hash,
    state::{Change, StateOf},
};

use super::Pdp;
use crate::{
    state::{Listener, State, StateStep},
    version::Version,
};

/// What the texts of a set become.
pub(super) enum Texts {
    /// These change.
    Changed(Vec<Change>),
    /// All are read anew, under another schema.
    Replaced,
}

impl Texts {
    /// They stay as they are.
    pub(super) fn stay() -> Self {
        Self::Changed(Vec::new())
    }
}

impl Pdp {
    /// Tells `listener` all that decisions are made from now, and from now on each step, before the first
    /// decision that is made from it and in order. It must not call back, and holds up whoever changes
    /// policies or entities.
    ///
    /// # Errors
    /// There is a listener already.
    pub fn on_state_change(
        &self,
        listener: impl Fn(StateStep) + Send + Sync + 'static,
    ) -> Result<(), Fault> {
        let _writing = self.write();
        let set = self.listener.set(Listener(Box::new(listener)));
        set.map_err(|_| Fault::new(FaultKind::Conflict, "the PDP has a listener already"))?;
        let state = self.state();
        for of in [StateOf::Policies, StateOf::Entities] {
            let changes = state.changes(of).collect();
            self.tell_step(of, None, state.hash(of), changes);
        }
        Ok(())
    }

    /// Policies and entities as they are now.
    pub fn state(&self) -> State {
        State(self.active.load_full())
    }

    /// Tells of the step from the active version to `next`; called while `writing` is held.
    pub(super) fn tell(&self, next: &Arc<Version>, entities: Vec<EntityChange>, texts: Texts) {
        if self.listener.get().is_none() {
            return;
        }
        let before = self.active.load();
        let (from, to) = (before.entities.hash(), next.entities.hash());
        if from != to {
            let changes = entities.into_iter().map(Change::Entity).collect();
            self.tell_step(StateOf::Entities, Some(from), to, changes);
        }
        let (from, to) = (before.policies.hash, next.policies.hash);
        match texts {
            // Also where the hash stays: a policy may have moved to another text.
            Texts::Changed(changes) if changes.is_empty() && from == to => {}
            Texts::Changed(changes) => {
                self.tell_step(StateOf::Policies, Some(from), to, changes);
            }
            Texts::Replaced => {
                let whole = State(Arc::clone(next));
                let changes = whole.changes(StateOf::Policies).collect();
                self.tell_step(StateOf::Policies, None, to, changes);
            }
        }
    }

    fn tell_step(&self, of: StateOf, before: Option<Hash>, after: Hash, changes: Vec<Change>) {
        if let Some(Listener(listener)) = self.listener.get() {
            listener(StateStep {
                of,
                before,
                after,
                changes,
            });
        }
    }
}
