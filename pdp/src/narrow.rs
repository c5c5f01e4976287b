//! One allowed dataset -> its rows and columns, by partial evaluation of `read_row` and `read_cell`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use cedar_policy::{
    PartialEntities, PartialEntityUid, PartialRequest, PolicySet as CedarSet, Schema, Validator,
};
use dataos_model::{
    access::{AccessRequest, CellOutcome, CellRule, ColumnAccess, DatasetAccess},
    action::Action,
    dataset::{Column, DatasetSchema},
    decision::{Decision, Effect, Reason},
    entity::{EntityType, EntityUid},
    mask::Mask,
    predicate::{Expression, Predicate},
};

use crate::{
    access::this,
    convert::{cedar_context, cedar_uid},
    decide::forbidden,
    residual::{condition, satisfied, unsatisfied},
    set::cedar_set,
    source::LoadedPolicy,
    stack::on_fitting_stack,
    stock::{Refusal, type_check},
    version::{Placed, Version, obligations},
};

/// Everything that is known about a dataset and its caller.
pub(crate) struct Narrowing<'a> {
    pub version: &'a Version,
    pub request: &'a AccessRequest,
    pub principal: Placed,
    pub dataset: Placed,
    pub columns: &'a DatasetSchema,
    pub schema: Arc<Validator>,
}

/// What is left of one policy: it applies where the condition is true.
#[derive(Clone)]
struct Residual {
    policy: Arc<LoadedPolicy>,
    condition: Expression,
}

impl Residual {
    fn is_permit(&self) -> bool {
        self.policy.reference.effect_is_permit
    }

    fn when(&self) -> Predicate {
        satisfied(self.condition.clone())
    }

    /// Where it does not apply.
    fn spares(&self, never_null: &BTreeSet<&str>) -> Predicate {
        unsatisfied(self.condition.clone(), never_null)
    }

    fn can_apply(&self) -> bool {
        self.when() != Predicate::NEVER
    }
}

/// What is left of all policies that can apply.
type Residuals = Arc<Vec<Residual>>;

impl Narrowing<'_> {
    /// Adds rows and columns to the answer, or makes it a deny if no row can be seen.
    pub(crate) fn narrow(&self, mut answer: DatasetAccess) -> Result<DatasetAccess, Refusal> {
        let row = this(&EntityType::ROW, &self.dataset, None);
        let slice = self.slice(Action::ReadRow, &row);
        let residuals = self.residuals(Action::ReadRow, &row, &slice)?;
        let rows = self.rows(&residuals);
        note(&mut answer.decision, &residuals);
        if rows == Predicate::NEVER {
            self.deny(&mut answer.decision, &residuals);
            return Ok(answer);
        }
        answer.rows = rows;
        answer.row_policies = references(&residuals);
        answer.columns = self.cells(&mut answer.decision)?;
        Ok(answer)
    }

    fn rows(&self, residuals: &[Residual]) -> Predicate {
        let never_null = self.never_null();
        let permits = residuals.iter().filter(|residual| residual.is_permit());
        let forbids = residuals.iter().filter(|residual| !residual.is_permit());
        let permitted = Predicate::any(permits.map(Residual::when));
        let unforbidden = forbids.map(|residual| residual.spares(&never_null));
        Predicate::all(std::iter::once(permitted).chain(unforbidden))
    }

    /// No row can be seen: said as a deny, not as an empty table.
    fn deny(&self, decision: &mut Decision, residuals: &[Residual]) {
        let never_null = self.never_null();
        let always: Vec<&Arc<LoadedPolicy>> = residuals
            .iter()
            .filter(|residual| !residual.is_permit())
            .filter(|residual| residual.spares(&never_null) == Predicate::NEVER)
            .map(|residual| &residual.policy)
            .collect();
        decision.effect = Effect::Deny;
        decision.obligations = obligations(always.iter().copied());
        decision.policies = always
            .iter()
            .map(|policy| policy.reference.clone())
            .collect();
        if always.is_empty() {
            decision.reason = Reason::NoPermit;
            decision.detail = format!(
                "no policy permits {} to read any row of {}",
                self.request.principal.uid, self.dataset.entity.uid
            );
        } else {
            decision.reason = Reason::Forbidden;
            decision.detail = forbidden(&always);
        }
    }

    fn cells(&self, decision: &mut Decision) -> Result<Vec<ColumnAccess>, Refusal> {
        let mut shared: BTreeMap<(Vec<*const LoadedPolicy>, Vec<EntityUid>), Residuals> =
            BTreeMap::new();
        let mut columns = Vec::with_capacity(self.columns.columns.len());
        for column in &self.columns.columns {
            let Some(placed) = self.placed_column(column) else {
                // Its tags are not known, so neither is what they forbid.
                columns.push(unknown_column(column));
                continue;
            };
            let cell = this(&EntityType::CELL, &self.dataset, Some(&placed));
            let slice = self.slice(Action::ReadCell, &cell);
            // Only ancestors that the policies name can make a difference.
            let named: BTreeSet<&EntityUid> =
                slice.iter().flat_map(|policy| &policy.named).collect();
            let mentioned = cell.ancestors.iter().filter(|uid| named.contains(uid));
            let policies = slice.iter().map(|policy| Arc::as_ptr(policy)).collect();
            let key = (policies, mentioned.cloned().collect());
            let residuals = match shared.get(&key) {
                Some(known) => Arc::clone(known),
                None => {
                    let found = self.residuals(Action::ReadCell, &cell, &slice)?;
                    note(decision, &found);
                    shared.insert(key, Arc::clone(&found));
                    found
                }
            };
            columns.push(self.column(column, &residuals));
        }
        Ok(columns)
    }

    fn placed_column(&self, column: &Column) -> Option<Placed> {
        let dataset = &self.dataset.entity.uid.id;
        self.version
            .stored(&EntityType::COLUMN.id(format!("{dataset}/{}", column.name)))
    }

    /// Absent before masked before plain; the first rule that applies decides.
    fn column(&self, column: &Column, residuals: &[Residual]) -> ColumnAccess {
        let never_null = self.never_null();
        let (permits, forbids): (Vec<&Residual>, Vec<&Residual>) =
            residuals.iter().partition(|residual| residual.is_permit());
        let (mut masked, unmasked): (Vec<&Residual>, Vec<&Residual>) = forbids
            .into_iter()
            .partition(|residual| residual.policy.mask.is_some());
        masked.sort_by_key(|residual| {
            let priority = residual.policy.priority;
            (
                priority.is_none(),
                priority,
                residual.policy.id().to_owned(),
            )
        });
        let mut rules = Vec::new();
        let mut add = |when: Predicate, outcome: CellOutcome, policy: Option<&Residual>| {
            let policy = policy.map(|residual| residual.policy.id().to_owned());
            rules.push(CellRule {
                when,
                outcome,
                policy,
            });
        };
        for residual in unmasked {
            add(residual.when(), CellOutcome::Absent, Some(residual));
        }
        let without_permit = permits.iter().map(|permit| permit.spares(&never_null));
        add(Predicate::all(without_permit), CellOutcome::Absent, None);
        for residual in masked {
            if let Some(mask) = &residual.policy.mask {
                add(residual.when(), outcome(mask, column), Some(residual));
            }
        }
        let permit = match permits.as_slice() {
            [permit] => Some(*permit),
            _ => None,
        };
        add(Predicate::ALWAYS, CellOutcome::Plain, permit);
        ColumnAccess {
            name: column.name.clone(),
            rules: decided(rules),
            policies: references(residuals),
        }
    }

    fn never_null(&self) -> BTreeSet<&str> {
        let required = self
            .columns
            .columns
            .iter()
            .filter(|column| !column.is_nullable);
        required.map(|column| column.name.as_str()).collect()
    }

    fn slice(&self, action: Action, this: &Placed) -> Vec<&Arc<LoadedPolicy>> {
        let context = &self.request.context;
        self.version.slice(action, &self.principal, this, context)
    }

    fn residuals(
        &self,
        action: Action,
        this: &Placed,
        policies: &[&Arc<LoadedPolicy>],
    ) -> Result<Residuals, Refusal> {
        let is_deep = policies.iter().any(|policy| policy.is_deep);
        let found = on_fitting_stack(is_deep, || self.evaluate(action, this, policies));
        found.unwrap_or_else(|| Err((Reason::Internal, "the decision failed".to_owned())))
    }

    fn evaluate(
        &self,
        action: Action,
        this: &Placed,
        policies: &[&Arc<LoadedPolicy>],
    ) -> Result<Residuals, Refusal> {
        let schema = self.schema.schema();
        let invalid = |error: String| (Reason::RequestInvalid, error);
        let request = self.question(action, this, schema).map_err(invalid)?;
        let entities = self.entities(this, policies, schema).map_err(invalid)?;
        let set = cedar_set(policies.iter().copied());
        let response = set
            .tpe(&request, &entities, schema)
            .map_err(|_| not_typed(policies, &request, &entities, &self.schema))?;
        let mut residuals = Vec::new();
        for left in response.policies() {
            let Some(policy) = self.version.policies.get(left.id().as_ref()) else {
                continue;
            };
            let condition = condition(&left, &this.entity.uid).map_err(|inexact| {
                let detail = format!(
                    "policy `{}` has no exact row condition: {}",
                    policy.id(),
                    inexact.node
                );
                (Reason::NotExact, detail)
            })?;
            residuals.push(Residual {
                policy: Arc::clone(policy),
                condition,
            });
        }
        // Cedar's order is that of a hash table.
        residuals.sort_by(|left, right| left.policy.id().cmp(right.policy.id()));
        Ok(Arc::new(residuals))
    }

    fn question(
        &self,
        action: Action,
        this: &Placed,
        schema: &Schema,
    ) -> Result<PartialRequest, String> {
        let facts = self.version.policies.schema.action(action);
        let facts = facts.ok_or_else(|| format!("no action `{action}`"))?;
        PartialRequest::new(
            PartialEntityUid::from_concrete(cedar_uid(&self.principal.entity.uid)?),
            facts.uid.clone(),
            PartialEntityUid::from_concrete(cedar_uid(&this.entity.uid)?),
            Some(cedar_context(&self.request.context)?),
            schema,
        )
        .map_err(|error| error.to_string())
    }

    fn entities(
        &self,
        this: &Placed,
        policies: &[&Arc<LoadedPolicy>],
        schema: &Schema,
    ) -> Result<PartialEntities, String> {
        let looked_into = policies
            .iter()
            .flat_map(|policy| policy.looked_into.iter().cloned());
        let known = self
            .version
            .surroundings([self.principal.clone()], looked_into);
        let known = known.iter().map(|placed| placed.known(schema));
        let all = known
            .chain([this.unknown(schema)])
            .collect::<Result<Vec<_>, _>>()?;
        PartialEntities::from_partial_entities(all, schema).map_err(|error| error.to_string())
    }
}

/// Which policy it was: Cedar only says that one of them does not type-check.
fn not_typed(
    policies: &[&Arc<LoadedPolicy>],
    request: &PartialRequest,
    entities: &PartialEntities,
    schema: &Validator,
) -> Refusal {
    let failing = policies.iter().find_map(|policy| {
        let alone: CedarSet = cedar_set([*policy]);
        let error = alone.tpe(request, entities, schema.schema()).err()?;
        let message = match type_check(&[*policy], schema) {
            Err((_, message)) => message,
            Ok(()) => error.to_string(),
        };
        Some(format!(
            "policy `{}` ({}): {message}",
            policy.id(),
            policy.reference.source
        ))
    });
    let detail = failing.unwrap_or_else(|| "a policy does not type-check".to_owned());
    (Reason::PolicyNotTyped, detail)
}

/// Obligations of policies that can apply to some row bind the whole answer; policies that always
/// fail are named as skipped.
fn note(decision: &mut Decision, residuals: &[Residual]) {
    for residual in residuals {
        if let Expression::Error(text) = &residual.condition {
            let error = (residual.policy.id().to_owned(), text.clone());
            if !decision.errors.contains(&error) {
                decision.errors.push(error);
            }
        }
        let obligation = residual
            .policy
            .obligation
            .iter()
            .filter(|_| residual.can_apply());
        for obligation in obligation {
            if !decision.obligations.contains(obligation) {
                decision.obligations.push(obligation.clone());
            }
        }
    }
}

fn references(residuals: &[Residual]) -> Vec<dataos_model::decision::PolicyRef> {
    let applying = residuals.iter().filter(|residual| residual.can_apply());
    applying
        .map(|residual| residual.policy.reference.clone())
        .collect()
}

/// A mask that does not fit the column's type hides the column.
fn outcome(mask: &Mask, column: &Column) -> CellOutcome {
    match mask {
        _ if !mask.fits(&column.column_type) => CellOutcome::Absent,
        Mask::PassThrough => CellOutcome::Plain,
        mask => CellOutcome::Masked(mask.clone()),
    }
}

fn unknown_column(column: &Column) -> ColumnAccess {
    ColumnAccess {
        name: column.name.clone(),
        rules: vec![CellRule {
            when: Predicate::ALWAYS,
            outcome: CellOutcome::Absent,
            policy: None,
        }],
        policies: Vec::new(),
    }
}

/// Without rules that never apply and without those behind one that always does.
fn decided(rules: Vec<CellRule>) -> Vec<CellRule> {
    let mut kept = Vec::new();
    for rule in rules
        .into_iter()
        .filter(|rule| rule.when != Predicate::NEVER)
    {
        let is_last = rule.when == Predicate::ALWAYS;
        kept.push(rule);
        if is_last {
            break;
        }
    }
    kept
}
