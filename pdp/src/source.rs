//! One policy text -> checked policies and templates, each policy with what decisions need to know of
//! it.

mod template;

use std::{collections::BTreeSet, sync::OnceLock};

use cedar_policy::{
    Effect, Policy, PolicyId, PolicySet, PrincipalConstraint, ResourceConstraint, pst,
};
use dataos_model::{
    action::Action,
    annotation::Call,
    decision::{PolicyRef, SharedPolicyRef},
    entity::{EntityType, EntityUid},
    hash::Hash,
    mask::Mask,
    policy::PolicyInfo,
};

use crate::{
    conditions,
    convert::{model_type, model_uid},
    explain::Conjunct,
    facts::{self, Fact, Side},
    index::{Key, Scope},
    names::Name,
    place::Lifted,
    problem::Problem,
    program::{Constraint, Program},
    scan::{Statement, statements},
    schema::{BaseSchema, canonical},
    stack::on_big_stack,
};

pub(crate) use template::LoadedTemplate;

/// Longest `@id`, in bytes.
pub const ID_BYTES_MAX: usize = 256;

/// Annotations that mean something here; any other is an error, so that a slip of the pen in
/// `@mask` cannot open a column.
const ANNOTATIONS: [&str; 5] = ["id", "description", "mask", "priority", "obligation"];

/// A checked policy.
#[derive(Debug)]
pub(crate) struct LoadedPolicy {
    /// As decisions name it.
    pub reference: SharedPolicyRef,
    /// As Cedar evaluates it.
    pub cedar: Policy,
    /// Its text, without what stands before it.
    pub text: String,
    /// Digest of its id and canonical form.
    pub digest: Hash,
    /// All annotations but `@id`.
    pub annotations: Vec<(String, String)>,
    /// `@mask`.
    pub mask: Option<Mask>,
    /// `@priority`; lower wins, none is last.
    pub priority: Option<i64>,
    /// `@obligation`.
    pub obligation: Option<Call>,
    /// Where it can apply.
    pub scope: Scope,
    /// What its conditions start with and is known without evaluating them.
    pub facts: Vec<Fact>,
    /// Entities that its conditions may look into, besides those of the request.
    pub looked_into: Vec<EntityUid>,
    /// Entities that it names at all.
    pub named: Vec<Name>,
    /// Whether its conditions nest so deeply that they need a big stack.
    pub is_deep: bool,
    /// Whether it type-checks on the rows and cells of every dataset, whatever their columns.
    pub fits_rows: bool,
    /// Scope and conditions as a program; without one, Cedar evaluates it.
    pub program: Option<Program>,
    /// A value that has to stand in a request.
    pub lifted: Option<Lifted>,
    /// Its conditions as a person reads them; made when first asked for.
    pub conjuncts: OnceLock<Vec<Conjunct>>,
}

impl Scope {
    /// Files the policy under what its conditions start with where the scope itself is open.
    fn narrow(&mut self, facts: &[Fact]) {
        for (key, side) in [
            (&mut self.principal, Side::Principal),
            (&mut self.resource, Side::Resource),
        ] {
            if !matches!(key, Key::Entity(_))
                && let Some(narrower) = facts::key(facts, side)
            {
                *key = narrower;
            }
        }
    }
}

impl LoadedPolicy {
    /// Its id.
    pub(crate) fn id(&self) -> &str {
        &self.reference.id
    }

    /// As listings show it.
    pub(crate) fn info(&self) -> PolicyInfo {
        PolicyInfo {
            id: self.reference.id.clone(),
            effect: if self.reference.effect_is_permit {
                "permit"
            } else {
                "forbid"
            }
            .to_owned(),
            source: self.reference.source.clone(),
            annotations: self.annotations.clone(),
            text: self.text.clone(),
        }
    }
}

/// The kind of a text: files are named with a line, applied resources by their id alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    File,
    Applied,
}

/// What one statement of a text is.
#[derive(Debug)]
pub(crate) enum Loaded {
    Policy(Box<LoadedPolicy>),
    Template(Box<LoadedTemplate>),
}

impl Loaded {
    fn id(&self) -> &str {
        match self {
            Self::Policy(policy) => policy.id(),
            Self::Template(template) => &template.id,
        }
    }
}

/// Parses and checks all policies and templates of a text against the base schema, in its order.
pub(crate) fn load(
    schema: &BaseSchema,
    source: &str,
    origin: Origin,
    text: &str,
) -> Result<Vec<Loaded>, Problem> {
    let found = statements(text)
        .map_err(|refused| Problem::at(source, text, refused.at, refused.problem.to_string()))?;
    on_big_stack(|| {
        let loader = Loader {
            schema,
            source,
            origin,
            text,
        };
        let mut ids = BTreeSet::new();
        let mut policies = Vec::with_capacity(found.len());
        for statement in &found {
            let policy = loader.statement(statement)?;
            if !ids.insert(policy.id().to_owned()) {
                let message = format!("@id(\"{}\") is used twice", policy.id());
                return Err(loader.at(statement, message));
            }
            policies.push(policy);
        }
        let references = policies.iter_mut().filter_map(|loaded| match loaded {
            Loaded::Policy(policy) => Some(&mut policy.reference),
            Loaded::Template(_) => None,
        });
        SharedPolicyRef::gather(references);
        Ok(policies)
    })
    .unwrap_or_else(|| Err(Problem::whole(source, "the policies could not be read")))
}

struct Loader<'a> {
    schema: &'a BaseSchema,
    source: &'a str,
    origin: Origin,
    text: &'a str,
}

impl Loader<'_> {
    fn at(&self, statement: &Statement<'_>, message: impl Into<String>) -> Problem {
        Problem::at(self.source, self.text, statement.head, message)
    }

    fn statement(&self, statement: &Statement<'_>) -> Result<Loaded, Problem> {
        match Policy::parse(None, statement.text) {
            Ok(parsed) => Ok(Loaded::Policy(Box::new(self.policy(statement, &parsed)?))),
            // Only what is no policy is looked at as a template; a broken one is told as a policy.
            Err(error) => match self.template(statement) {
                Some(template) => Ok(Loaded::Template(Box::new(template?))),
                None => {
                    let start = statement.start;
                    Err(Problem::diagnosed(self.source, self.text, start, &error))
                }
            },
        }
    }

    fn policy(&self, statement: &Statement<'_>, parsed: &Policy) -> Result<LoadedPolicy, Problem> {
        let annotations: Vec<(&str, &str)> = parsed.annotations().collect();
        let id = self.id_among(statement, &annotations)?;
        let cedar = parsed.new_id(PolicyId::new(&id));
        let constraints = constraints(&cedar);
        let mut scope = self.scope(statement, &cedar, &constraints)?;
        self.validate(statement, &cedar, &scope)?;
        let document = cedar
            .to_json()
            .map_err(|error| self.at(statement, format!("policy `{id}`: {error}")))?;
        let conditions = self.conditions(statement, &document)?;
        let facts = facts::leading(&conditions);
        scope.narrow(&facts);
        let named: Vec<EntityUid> = cedar.entity_literals().iter().map(model_uid).collect();
        self.refuse_row_literals(statement, &named)?;
        let annotation = |name: &str| cedar.annotation(name).map(str::to_owned);
        let is_deep = conditions.iter().any(conditions::is_deep);
        let (principal, resource) = &constraints;
        let program = Program::compile(self.schema, principal, resource, &conditions);
        let program = program.ok().filter(|_| !is_deep);
        let is_on_rows = scope.is_on_rows();
        let fits_rows = is_on_rows
            && conditions.iter().all(conditions::is_column_free)
            && self.schema.fits_rows(&cedar, &scope.actions);
        Ok(LoadedPolicy {
            reference: SharedPolicyRef::from(PolicyRef {
                effect_is_permit: cedar.effect() == Effect::Permit,
                source: match self.origin {
                    Origin::File => format!("{}:{}", self.source, statement.line),
                    Origin::Applied => self.source.to_owned(),
                },
                description: annotation("description"),
                id: id.clone(),
            }),
            text: text_of(statement),
            digest: Hash::of_parts([id.as_bytes(), canonical(&document).as_bytes()]),
            annotations: sorted_annotations(&cedar),
            mask: self.mask(statement, &cedar, &scope)?,
            priority: self.priority(statement, &cedar)?,
            obligation: self.obligation(statement, &cedar)?,
            is_deep,
            fits_rows,
            lifted: program
                .as_ref()
                .and_then(|program| Lifted::of(program, is_on_rows)),
            program,
            conjuncts: OnceLock::new(),
            looked_into: conditions
                .iter()
                .flat_map(conditions::looked_into)
                .collect(),
            facts,
            named: named
                .iter()
                .map(|uid| self.schema.names.name(uid))
                .collect(),
            scope,
            cedar,
        })
    }

    /// The `@id` among annotations, of which each must be known.
    fn id_among(
        &self,
        statement: &Statement<'_>,
        annotations: &[(&str, &str)],
    ) -> Result<String, Problem> {
        let mut unknown: Vec<&str> = annotations
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| !ANNOTATIONS.contains(name))
            .collect();
        unknown.sort_unstable();
        if let Some(name) = unknown.first() {
            let message = format!("unknown annotation `@{name}`");
            let hint = format!("known: {}", ANNOTATIONS.join(", "));
            return Err(self.at(statement, message).with_hint(hint));
        }
        let id = annotations.iter().find(|(name, _)| *name == "id");
        match id.map(|(_, id)| *id) {
            Some(id) if !id.is_empty() && id.len() <= ID_BYTES_MAX => Ok(id.to_owned()),
            Some(_) => Err(self.at(
                statement,
                format!("@id must have 1 to {ID_BYTES_MAX} bytes (ID_BYTES_MAX)"),
            )),
            None => Err(self
                .at(statement, "a policy without @id")
                .with_hint("write @id(\"name\") before it; the name must be unique")),
        }
    }

    fn mask(
        &self,
        statement: &Statement<'_>,
        policy: &Policy,
        scope: &Scope,
    ) -> Result<Option<Mask>, Problem> {
        let Some(text) = policy.annotation("mask") else {
            return Ok(None);
        };
        let mask = Mask::parse(text).map_err(|error| self.at(statement, error.to_string()))?;
        if policy.effect() == Effect::Permit {
            return Err(self
                .at(statement, "`@mask` on a permit: a mask never grants")
                .with_hint("put it on a forbid for DataOS::Action::\"read_cell\""));
        }
        if scope.actions != [Action::ReadCell] {
            return Err(self
                .at(
                    statement,
                    "`@mask` on a policy that is not for `read_cell` alone",
                )
                .with_hint("write action == DataOS::Action::\"read_cell\""));
        }
        Ok(Some(mask))
    }

    fn priority(&self, at: &Statement<'_>, policy: &Policy) -> Result<Option<i64>, Problem> {
        let Some(text) = policy.annotation("priority") else {
            return Ok(None);
        };
        let number = text.parse();
        number
            .map(Some)
            .map_err(|_| self.at(at, format!("`@priority(\"{text}\")` is no integer")))
    }

    fn obligation(&self, at: &Statement<'_>, policy: &Policy) -> Result<Option<Call>, Problem> {
        let Some(text) = policy.annotation("obligation") else {
            return Ok(None);
        };
        Call::parse(text)
            .map(Some)
            .map_err(|error| self.at(at, error.to_string()))
    }

    fn scope(
        &self,
        statement: &Statement<'_>,
        policy: &Policy,
        constraints: &(Constraint, Constraint),
    ) -> Result<Scope, Problem> {
        let actions = self.actions(statement, &policy.action_constraint())?;
        Ok(Scope {
            actions,
            principal: constraints.0.key(),
            resource: constraints.1.key(),
        })
    }

    /// Everything but rows and cells is type-checked here; those against each dataset (`access`).
    fn validate(
        &self,
        statement: &Statement<'_>,
        policy: &Policy,
        scope: &Scope,
    ) -> Result<(), Problem> {
        let set = PolicySet::from_policies([policy.clone()])
            .map_err(|error| self.at(statement, error.to_string()))?;
        let named_type = match policy.resource_constraint() {
            ResourceConstraint::Is(name) | ResourceConstraint::IsIn(name, _) => {
                Some(model_type(&name))
            }
            _ => None,
        };
        self.refuse_errors(statement, &set, named_type.as_ref(), &scope.actions)
    }

    /// The first of what strict validation says of a set of one.
    fn refuse_errors(
        &self,
        statement: &Statement<'_>,
        set: &PolicySet,
        named_type: Option<&EntityType>,
        actions: &[Action],
    ) -> Result<(), Problem> {
        let is_on_rows_alone = [Some(&EntityType::ROW), Some(&EntityType::CELL)]
            .contains(&named_type)
            || actions
                .iter()
                .all(|action| matches!(action, Action::ReadRow | Action::ReadCell));
        let errors = if is_on_rows_alone {
            self.schema.name_errors(set, actions)
        } else {
            self.schema.type_errors(set, actions)
        };
        let errors = errors.map_err(|message| self.at(statement, message))?;
        let mut problems: Vec<Problem> = errors
            .iter()
            .map(|error| Problem::diagnosed(self.source, self.text, statement.start, error))
            .collect();
        problems.sort_by(|left, right| {
            (left.position, &left.message).cmp(&(right.position, &right.message))
        });
        problems.into_iter().next().map_or(Ok(()), Err)
    }

    /// The conditions as a tree, from the canonical form: from the policy itself it would be parsed
    /// once more.
    fn conditions(
        &self,
        statement: &Statement<'_>,
        document: &serde_json::Value,
    ) -> Result<Vec<pst::Clause>, Problem> {
        let policy = Policy::from_json(None, document.clone())
            .map_err(|error| self.at(statement, error.to_string()))?;
        match policy.to_pst() {
            Ok(pst::Policy::Static(policy)) => Ok(policy.body().clauses().clone()),
            Ok(pst::Policy::Linked(_)) => Err(self.at(statement, "templates are not supported")),
            Err(error) => Err(self.at(statement, error.to_string())),
        }
    }

    /// A row has no name outside the engine; the reserved one stands for "this row".
    fn refuse_row_literals(&self, at: &Statement<'_>, named: &[EntityUid]) -> Result<(), Problem> {
        let is_row = |uid: &&EntityUid| {
            uid.entity_type == EntityType::ROW || uid.entity_type == EntityType::CELL
        };
        match named.iter().find(is_row) {
            None => Ok(()),
            Some(uid) => Err(self
                .at(at, format!("{uid}: rows and cells cannot be named"))
                .with_hint("name the dataset or column, and compare its columns in `when`")),
        }
    }
}

/// The text of a statement, without what stands before it.
fn text_of(statement: &Statement<'_>) -> String {
    let head = statement.head.saturating_sub(statement.start);
    statement.text.get(head..).unwrap_or_default().to_owned()
}

/// What the scope asks of principal and resource.
pub(crate) fn constraints(policy: &Policy) -> (Constraint, Constraint) {
    let principal = match policy.principal_constraint() {
        PrincipalConstraint::Any => Constraint::Any,
        PrincipalConstraint::Is(name) => Constraint::Is(model_type(&name)),
        PrincipalConstraint::In(uid) => Constraint::In(model_uid(&uid)),
        PrincipalConstraint::Eq(uid) => Constraint::Eq(model_uid(&uid)),
        PrincipalConstraint::IsIn(name, uid) => {
            Constraint::IsIn(model_type(&name), model_uid(&uid))
        }
    };
    let resource = match policy.resource_constraint() {
        ResourceConstraint::Any => Constraint::Any,
        ResourceConstraint::Is(name) => Constraint::Is(model_type(&name)),
        ResourceConstraint::In(uid) => Constraint::In(model_uid(&uid)),
        ResourceConstraint::Eq(uid) => Constraint::Eq(model_uid(&uid)),
        ResourceConstraint::IsIn(name, uid) => Constraint::IsIn(model_type(&name), model_uid(&uid)),
    };
    (principal, resource)
}

fn sorted_annotations(policy: &Policy) -> Vec<(String, String)> {
    let mut annotations: Vec<(String, String)> = policy
        .annotations()
        .filter(|(name, _)| *name != "id")
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    annotations.sort();
    annotations
}
