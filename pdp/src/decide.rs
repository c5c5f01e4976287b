//! One request -> one decision, under one version.
//!
//! Programs decide; what they are not sure of (a request that may not fit the schema, an entity that
//! is not there, a policy that was not compiled, an evaluation that fails) is put to Cedar.

use std::{fmt::Write, sync::Arc};

use dataos_model::{
    annotation::Call,
    decision::{Decision, Effect, Reason, Request, SharedPolicyRef},
    entity::{Entity, EntityType},
    principal::Principal,
};

use smallvec::SmallVec;

use crate::{
    index::Candidates,
    names::{Name, Numbers, Table},
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

/// What is known of the policies once each was evaluated.
pub(crate) struct Determined {
    pub is_allowed: bool,
    /// The permits, or the forbids if there are any, by id.
    pub policies: Vec<SharedPolicyRef>,
    pub obligations: Vec<Call>,
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
        let (principal, resource) = self.located(&table, request)?;
        let world = World {
            table: &table,
            entities: &self.entities,
            principal: &principal,
            resource: &resource,
            action: request.action,
            context: &request.context,
        };
        let determined = match engine {
            Engine::CompiledWhole => self.evaluate_all(&world),
            _ => self.evaluate_found(&world),
        };
        Some(self.decision(request, determined?))
    }

    fn evaluate_found<'a>(&'a self, world: &'a World<'a>) -> Option<Determined> {
        let found = self.policies.index.candidates(
            world.action,
            world.principal,
            world.resource,
            world.context,
        );
        let (mut permits, mut forbids) = (Candidates::new(), Candidates::new());
        for filed in found {
            if filed.holds(world).ok()? {
                if filed.is_permit {
                    permits.push(filed);
                } else {
                    forbids.push(filed);
                }
            }
        }
        let is_allowed = forbids.is_empty() && !permits.is_empty();
        let mut policies = if forbids.is_empty() { permits } else { forbids };
        policies.sort_unstable_by(|left, right| left.compare(right));
        let with_obligation = policies.iter().filter(|filed| filed.has_obligation);
        Some(Determined {
            is_allowed,
            obligations: obligations(with_obligation.map(|filed| &filed.policy)),
            policies: policies
                .into_iter()
                .map(|filed| filed.reference.clone())
                .collect(),
        })
    }

    fn evaluate_all<'a>(&'a self, world: &'a World<'a>) -> Option<Determined> {
        let mut applying = Vec::new();
        for policy in self.policies.policies() {
            if policy.scope.actions.contains(&world.action)
                && policy.program.as_ref()?.holds(world).ok()?
            {
                applying.push(policy);
            }
        }
        let is_forbid = |policy: &&Arc<LoadedPolicy>| !policy.reference.effect_is_permit;
        let is_forbidden = applying.iter().any(is_forbid);
        applying.retain(|policy| is_forbid(policy) == is_forbidden);
        let is_allowed = !is_forbidden && !applying.is_empty();
        Some(Determined::by(is_allowed, applying))
    }

    /// Principal and resource of a request.
    pub(crate) fn located<'a>(
        &'a self,
        table: &Table,
        request: &'a Request,
    ) -> Option<(Located<'a>, Located<'a>)> {
        // Both are far away in memory: looked for at once, they are waited for once.
        let of_principal = table.locate(&request.principal.uid);
        let of_resource = table.locate(&request.resource);
        let resource = self.located_resource(table, request, of_resource)?;
        let principal = self.located_principal(table, &request.principal, of_principal)?;
        Some((principal, resource))
    }

    /// The principal as it was verified.
    pub(crate) fn located_principal<'a>(
        &'a self,
        table: &Table,
        principal: &'a Principal,
        (of, name): Numbers,
    ) -> Option<Located<'a>> {
        let mut parents = SmallVec::<[Name; 16]>::new();
        let mut unnamed = Vec::new();
        for (kind, ids) in [
            (&GROUP, &principal.groups),
            (&ROLE, &principal.roles),
            (&TAG, &principal.tags),
        ] {
            for id in ids {
                match table.find(kind, id) {
                    Some(name) => parents.push(name),
                    None => unnamed.push((kind, id.as_str())),
                }
            }
        }
        Some(Located {
            uid: &principal.uid,
            of,
            name,
            attributes: Entity::no_attributes(),
            tags: Tags::Texts(&principal.attributes),
            ancestors: ancestors(&self.entities, parents)?,
            unnamed,
        })
    }

    /// What the snapshot knows counts; the enforcement point speaks only for what it does not hold.
    fn located_resource<'a>(
        &'a self,
        table: &Table,
        request: &'a Request,
        (of, name): Numbers,
    ) -> Option<Located<'a>> {
        if let Some(stored) = name.and_then(|name| self.entities.named(name)) {
            return Some(Located {
                // The same as the entity's, which is further away.
                uid: &request.resource,
                of,
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
            of,
            name,
            attributes: &entity.attributes,
            tags: Tags::Values(&entity.tags),
            ancestors: ancestors(&self.entities, parents)?,
            unnamed,
        })
    }

    /// The answer, once it is known which policies determined it.
    pub(crate) fn decision(&self, request: &Request, determined: Determined) -> Decision {
        let (effect, reason, detail) = if determined.is_allowed {
            (Effect::Allow, Reason::Permitted, String::new())
        } else if determined.policies.is_empty() {
            (Effect::Deny, Reason::NoPermit, not_permitted(request))
        } else {
            let detail = forbidden(&determined.policies);
            (Effect::Deny, Reason::Forbidden, detail)
        };
        Decision {
            effect,
            obligations: determined.obligations,
            policies: determined.policies,
            ..self.denied(reason, detail)
        }
    }
}

impl Determined {
    /// By these policies, in no order.
    pub(crate) fn by(is_allowed: bool, mut policies: Vec<&Arc<LoadedPolicy>>) -> Self {
        policies.sort_unstable_by(|left, right| left.id().cmp(right.id()));
        Self {
            is_allowed,
            obligations: obligations(policies.iter().copied()),
            policies: policies
                .into_iter()
                .map(|policy| policy.reference.clone())
                .collect(),
        }
    }
}

/// Bytes of most texts about a decision.
const DETAIL_BYTES: usize = 192;

/// That no policy permits it.
fn not_permitted(request: &Request) -> String {
    let mut detail = String::with_capacity(DETAIL_BYTES);
    // Writing to a text does not fail.
    let _ = write!(
        detail,
        "no policy permits {} to {} {}",
        request.principal.uid, request.action, request.resource
    );
    detail
}

/// Why it is forbidden, in the words of the policies.
pub(crate) fn forbidden(policies: &[SharedPolicyRef]) -> String {
    let mut detail = String::with_capacity(DETAIL_BYTES);
    detail.push_str("forbidden: ");
    for (number, policy) in policies.iter().enumerate() {
        if number > 0 {
            detail.push_str("; ");
        }
        detail.push_str(policy.description.as_ref().unwrap_or(&policy.id));
    }
    detail
}
