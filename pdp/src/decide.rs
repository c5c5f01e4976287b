//! One request -> one decision, under one version.
//!
//! Programs decide; what they are not sure of (a request that may not fit the schema, an entity that
//! is not there, a policy that was not compiled, an evaluation that fails) is put to Cedar.

use std::sync::Arc;

use dataos_model::{
    decision::{Decision, Effect, Reason, Request},
    entity::{Entity, EntityType},
    principal::Principal,
};

use crate::{
    names::Table,
    program::{Located, Tags, World, ancestors},
    source::LoadedPolicy,
    stack::caught,
    stock::{Selection, is_row},
    version::{Version, obligations},
};

/// How a decision is made. All give the same answer; the slower ones are there to show it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// Programs of the policies that the index finds.
    #[default]
    Compiled,
    /// Programs of all policies.
    CompiledWhole,
    /// Cedar's evaluator on the policies that the index finds.
    IndexedStock,
    /// Stock Cedar on all policies: the oracle.
    Stock,
}

static GROUP: EntityType = EntityType::GROUP;
static ROLE: EntityType = EntityType::ROLE;
static TAG: EntityType = EntityType::TAG;

impl Version {
    /// Decides. Never fails: a failure is a deny with its reason.
    pub(crate) fn decide(&self, request: &Request, engine: Engine) -> Decision {
        let compiled = match engine {
            Engine::Compiled | Engine::CompiledWhole => self.decide_compiled(request, engine),
            Engine::IndexedStock | Engine::Stock => None,
        };
        if let Some(decision) = compiled {
            return decision;
        }
        let selection = match engine {
            Engine::Compiled | Engine::IndexedStock => Selection::Indexed,
            Engine::CompiledWhole | Engine::Stock => Selection::Whole,
        };
        let decided = caught(|| self.decide_stock(request, selection));
        let decided = decided.unwrap_or_else(|| {
            tracing::error!(action = %request.action, resource = %request.resource, "a decision panicked");
            Err((Reason::Internal, "the decision failed".to_owned()))
        });
        decided.unwrap_or_else(|(reason, detail)| self.denied(reason, detail))
    }

    /// Decides by programs; `None` where Cedar has to decide, also after a panic.
    pub(crate) fn decide_compiled(&self, request: &Request, engine: Engine) -> Option<Decision> {
        caught(|| self.evaluate_programs(request, engine)).flatten()
    }

    fn evaluate_programs(&self, request: &Request, engine: Engine) -> Option<Decision> {
        let shapes = &self.policies.schema.shapes;
        if is_row(&request.resource.entity_type)
            || !shapes.accepts(
                request.action,
                &request.principal.uid,
                &request.resource,
                &request.context,
            )
        {
            return None;
        }
        let table = self.policies.schema.names.read();
        let principal = self.located_principal(&table, &request.principal)?;
        let resource = self.located_resource(&table, request)?;
        let candidates = match engine {
            Engine::CompiledWhole => self
                .policies
                .policies()
                .filter(|policy| policy.scope.actions.contains(&request.action))
                .collect(),
            _ => self.policies.index.candidates(
                &table,
                request.action,
                &principal,
                &resource,
                &request.context,
            ),
        };
        let world = World {
            table: &table,
            entities: &self.entities,
            principal: &principal,
            resource: &resource,
            action: request.action,
            context: &request.context,
        };
        let (mut permits, mut forbids) = (Vec::new(), Vec::new());
        for policy in candidates {
            if policy.program.as_ref()?.holds(&world).ok()? {
                if policy.reference.effect_is_permit {
                    permits.push(policy);
                } else {
                    forbids.push(policy);
                }
            }
        }
        let is_allowed = forbids.is_empty() && !permits.is_empty();
        let mut determining = if forbids.is_empty() { permits } else { forbids };
        determining.sort_unstable_by(|left, right| left.id().cmp(right.id()));
        Some(self.decision(request, is_allowed, determining))
    }

    /// The principal as it was verified.
    pub(crate) fn located_principal<'a>(
        &'a self,
        table: &Table,
        principal: &'a Principal,
    ) -> Option<Located<'a>> {
        let name = table.find_uid(&principal.uid);
        let mut parents = Vec::with_capacity(8);
        let mut unnamed = Vec::new();
        for (of, ids) in [
            (&GROUP, &principal.groups),
            (&ROLE, &principal.roles),
            (&TAG, &principal.tags),
        ] {
            for id in ids {
                match table.find(of, id) {
                    Some(name) => parents.push(name),
                    None => unnamed.push((of, id.as_str())),
                }
            }
        }
        Some(Located {
            uid: &principal.uid,
            name,
            attributes: Entity::no_attributes(),
            tags: Tags::Texts(&principal.attributes),
            ancestors: ancestors(&self.entities, parents)?,
            unnamed,
        })
    }

    /// What the snapshot knows counts; the enforcement point speaks only for what it does not hold.
    pub(crate) fn located_resource<'a>(
        &'a self,
        table: &Table,
        request: &'a Request,
    ) -> Option<Located<'a>> {
        let name = table.find_uid(&request.resource);
        if let Some(stored) = name.and_then(|name| self.entities.named(name)) {
            return Some(Located {
                uid: &stored.entity.uid,
                name,
                attributes: &stored.entity.attributes,
                tags: Tags::Values(&stored.entity.tags),
                ancestors: ancestors(&self.entities, stored.parents.iter().copied())?,
                unnamed: Vec::new(),
            });
        }
        let entity = request.resource_entity.as_ref()?;
        if entity.uid != request.resource || !self.policies.schema.shapes.accepts_entity(entity) {
            return None;
        }
        let mut parents = Vec::with_capacity(entity.parents.len());
        let mut unnamed = Vec::new();
        for parent in &entity.parents {
            match table.find_uid(parent) {
                Some(name) => parents.push(name),
                None => unnamed.push((&parent.entity_type, parent.id.as_str())),
            }
        }
        Some(Located {
            uid: &entity.uid,
            name,
            attributes: &entity.attributes,
            tags: Tags::Values(&entity.tags),
            ancestors: ancestors(&self.entities, parents)?,
            unnamed,
        })
    }

    /// The answer, once it is known which policies determined it.
    pub(crate) fn decision(
        &self,
        request: &Request,
        is_allowed: bool,
        determining: Vec<&Arc<LoadedPolicy>>,
    ) -> Decision {
        let (effect, reason, detail) = match (is_allowed, determining.is_empty()) {
            (true, _) => (Effect::Allow, Reason::Permitted, String::new()),
            (false, false) => (Effect::Deny, Reason::Forbidden, forbidden(&determining)),
            (false, true) => (
                Effect::Deny,
                Reason::NoPermit,
                format!(
                    "no policy permits {} to {} {}",
                    request.principal.uid, request.action, request.resource
                ),
            ),
        };
        Decision {
            effect,
            obligations: obligations(determining.iter().copied()),
            policies: determining
                .into_iter()
                .map(|policy| policy.reference.clone())
                .collect(),
            ..self.denied(reason, detail)
        }
    }
}

/// Why it is forbidden, in the words of the policies.
pub(crate) fn forbidden(policies: &[&Arc<LoadedPolicy>]) -> String {
    let words = policies.iter().map(|policy| {
        policy
            .reference
            .description
            .clone()
            .unwrap_or_else(|| policy.id().to_owned())
    });
    format!("forbidden: {}", words.collect::<Vec<_>>().join("; "))
}
