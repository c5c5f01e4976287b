//! One allowed dataset -> its rows and columns, by partial evaluation of `read_row` and `read_cell`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use dataos_model::{
    access::{AccessRequest, CellOutcome, CellRule, ColumnAccess, DatasetAccess},
    action::Action,
    dataset::{Column, DatasetSchema},
    decision::{Decision, Effect, Reason, SharedPolicyRef},
    entity::{Entity, EntityType, EntityUid},
    hash::Hash,
    mask::Mask,
    predicate::{Expression, Predicate},
};

use crate::{
    access::{THIS, this as placed_this},
    decide::forbidden,
    names::{Name, Table},
    program::{Ancestors, Located, Tags, Unknown, World, ancestors},
    residual::{satisfied, unsatisfied},
    source::LoadedPolicy,
    stock::{Refusal, row_type_error},
    tpe,
    version::{Version, obligations},
};

static ROW: LazyLock<EntityUid> = LazyLock::new(|| EntityType::ROW.id(THIS));
static COLUMN: EntityType = EntityType::COLUMN;
static CELL: LazyLock<EntityUid> = LazyLock::new(|| EntityType::CELL.id(THIS));

/// Everything that is known about a dataset and its caller.
pub(crate) struct Narrowing<'a> {
    pub version: &'a Version,
    pub table: &'a Table,
    pub request: &'a AccessRequest,
    pub principal: Located<'a>,
    pub dataset: &'a Arc<Entity>,
    pub columns: &'a DatasetSchema,
    pub schema_hash: Hash,
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

/// The policies on the cells of some columns, and all that they name.
struct Sliced<'a> {
    policies: Vec<&'a Arc<LoadedPolicy>>,
    named: BTreeSet<Name>,
}

impl<'a> Sliced<'a> {
    fn of(policies: Vec<&'a Arc<LoadedPolicy>>) -> Self {
        let named = policies.iter().flat_map(|policy| &policy.named);
        Self {
            named: named.copied().collect(),
            policies,
        }
    }
}

/// What is left of all policies that can apply.
type Residuals = Arc<Vec<Residual>>;

impl Narrowing<'_> {
    /// Adds rows and columns to the answer, or makes it a deny if no row can be seen.
    pub(crate) fn narrow(&self, mut answer: DatasetAccess) -> Result<DatasetAccess, Refusal> {
        let row = self.this(&ROW, None)?;
        let slice = self.slice(Action::ReadRow, &row);
        let residuals = self.residuals(Action::ReadRow, &row, None, &slice)?;
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
                self.request.principal.uid, self.dataset.uid
            );
        } else {
            decision.reason = Reason::Forbidden;
            decision.detail = forbidden(&decision.policies);
        }
    }

    fn cells(&self, decision: &mut Decision) -> Result<Vec<ColumnAccess>, Refusal> {
        let mut shared: BTreeMap<(Vec<*const LoadedPolicy>, Vec<Name>), Residuals> =
            BTreeMap::new();
        let mut slices: BTreeMap<Ancestors, Sliced<'_>> = BTreeMap::new();
        let mut columns = Vec::with_capacity(self.columns.columns.len());
        for column in &self.columns.columns {
            let id = format!("{}/{}", self.dataset.uid.id, column.name);
            let name = self.table.find(&COLUMN, &id);
            let Some(name) = name.filter(|name| self.version.entities.named(*name).is_some())
            else {
                // Its tags are not known, so neither is what they forbid.
                columns.push(unknown_column(column));
                continue;
            };
            let cell = self.this(&CELL, Some(name))?;
            // Columns that are in the same have the same policies, but for those on one column.
            let mut above = cell.ancestors.clone();
            if !self.has_policies(name) {
                above.retain(|above| *above != name);
            }
            let sliced = slices
                .entry(above)
                .or_insert_with(|| Sliced::of(self.slice(Action::ReadCell, &cell)));
            // Only ancestors that the policies name can make a difference.
            let mentioned = cell.ancestors.iter().copied();
            let mut mentioned: Vec<Name> = mentioned
                .filter(|name| sliced.named.contains(name))
                .collect();
            mentioned.sort_unstable();
            let policies = sliced.policies.iter();
            let key = (
                policies.map(|policy| Arc::as_ptr(policy)).collect(),
                mentioned,
            );
            let residuals = match shared.get(&key) {
                Some(known) => Arc::clone(known),
                None => {
                    let policies = &sliced.policies;
                    let found = self.residuals(Action::ReadCell, &cell, Some(name), policies)?;
                    note(decision, &found);
                    shared.insert(key, Arc::clone(&found));
                    found
                }
            };
            columns.push(self.column(column, &residuals));
        }
        Ok(columns)
    }

    /// The row or cell whose values are not known, with all its ancestors.
    fn this(&self, uid: &'static EntityUid, column: Option<Name>) -> Result<Located<'_>, Refusal> {
        let dataset = self.table.find_uid(&self.dataset.uid);
        let ancestors = ancestors(&self.version.entities, column.into_iter().chain(dataset));
        Ok(Located {
            uid,
            of: self.table.locate(uid).0,
            name: None,
            attributes: Entity::no_attributes(),
            tags: Tags::Values(Entity::no_attributes()),
            ancestors: ancestors.ok_or((
                Reason::RequestInvalid,
                "the dataset has too many ancestors (ANCESTORS_MAX)".to_owned(),
            ))?,
            unnamed: Vec::new(),
        })
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

    fn slice(&self, action: Action, this: &Located<'_>) -> Vec<&Arc<LoadedPolicy>> {
        let index = &self.version.policies.index;
        let context = &self.request.context;
        index.slice(action, &self.principal, this, context)
    }

    /// Whether there may be policies on the cells of this column in particular.
    fn has_policies(&self, column: Name) -> bool {
        let index = &self.version.policies.index;
        index.may_have_resource(Action::ReadCell, column)
    }

    /// What is left of each of the policies, by id. Programs say it; what they leave is put to Cedar.
    fn residuals(
        &self,
        action: Action,
        this: &Located<'_>,
        column: Option<Name>,
        policies: &[&Arc<LoadedPolicy>],
    ) -> Result<Residuals, Refusal> {
        self.check_types(action, policies)?;
        let world = World {
            table: self.table,
            entities: &self.version.entities,
            principal: &self.principal,
            resource: this,
            action,
            context: &self.request.context,
        };
        let unknown = Unknown {
            world: &world,
            columns: self.columns,
        };
        let mut residuals = Vec::with_capacity(policies.len());
        let mut left = Vec::new();
        for policy in policies {
            let residual = policy
                .program
                .as_ref()
                .map(|program| program.residual(&unknown));
            match residual {
                Some(Ok(condition)) => residuals.push(Residual {
                    policy: Arc::clone(policy),
                    condition,
                }),
                Some(Err(_)) | None => left.push(*policy),
            }
        }
        if !left.is_empty() {
            let column = column.and_then(|name| self.version.entities.named(name));
            let column = column.map(|stored| self.version.placed(Arc::clone(&stored.entity)));
            let dataset = self.version.placed(Arc::clone(self.dataset));
            let this = placed_this(&this.uid.entity_type, &dataset, column.as_ref());
            let asked = tpe::Question::new(self.version, self.request, action, this);
            for (policy, condition) in asked.conditions(self.columns, &left)? {
                residuals.push(Residual { policy, condition });
            }
            residuals.sort_by(|left, right| left.policy.id().cmp(right.policy.id()));
        }
        Ok(Arc::new(residuals))
    }

    /// Every policy that can apply must type-check on the dataset: one that does not could fail at
    /// run time, and a forbid that fails is skipped.
    fn check_types(&self, action: Action, policies: &[&Arc<LoadedPolicy>]) -> Result<(), Refusal> {
        let schema = &self.version.policies.schema;
        let columns = (self.columns, self.schema_hash);
        let principal = &self.request.principal.uid.entity_type;
        for policy in policies {
            row_type_error(schema, policy, columns, action, principal).map_err(|message| {
                let detail = format!(
                    "policy `{}` ({}): {message}",
                    policy.id(),
                    policy.reference.source
                );
                (Reason::PolicyNotTyped, detail)
            })?;
        }
        Ok(())
    }
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

fn references(residuals: &[Residual]) -> Vec<SharedPolicyRef> {
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
