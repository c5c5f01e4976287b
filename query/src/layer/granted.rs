//! What a statement may read: one question to the PDP, for its caller and for all whose rights views lend him.
//!
//! A definer is decided about as he is now: by the account that has his name, in the context of this call, and
//! without a credential. If there is no such account, if it is disabled, or if it may not read all that his view
//! reads, the view is refused, and only the log says why.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dataos_model::{
    access::{AccessRequest, DatasetAccess},
    action::Action,
    dataset::DatasetId,
    depot::{AssetSnapshot, Definer},
    entity::EntityUid,
    fault::{Fault, FaultKind},
    principal::Principal,
    query::QueryRequest,
};
use dataos_sql::{Kind, Security, Statement, Tables};

use super::{Inner, writes};
use crate::{
    certificate::{Refusal, Unlent},
    grant::denied,
    questions::Questions,
    rights::{Grants, Rights},
    shown::{AllShown, Shown},
    views::Views,
};

/// The questions about one statement: its caller's, then one for each definer.
pub(super) struct Asked {
    pub(super) rights: Vec<Rights>,
    pub(super) requests: Vec<AccessRequest>,
    /// The first definer who has no rights to lend.
    pub(super) unlent: Option<Unlent>,
}

impl Inner {
    /// What the caller, and those whose rights he is lent, may read of all datasets of a statement.
    pub(super) async fn granted(
        &self,
        request: &QueryRequest,
        snapshot: &AssetSnapshot,
        (statement, tables, behind): (&Statement, &Tables, &Views),
        questions: &mut Questions,
    ) -> Result<Grants, Refusal> {
        let named = tables.datasets();
        let (mut own, lent) = wanted(&named, behind);
        let added_to = writes::added_to(statement, tables);
        let added_to = added_to.filter(|target| !own.contains(target));
        own.extend(added_to.cloned());
        if own.is_empty() {
            return Ok(Grants::default());
        }
        let mut asked = self.asked(request, own, lent).await?;
        let mut answers = self.answers(&asked.requests).await?;
        // Who reads nothing of a table adds to it under that permit alone.
        if let (Some(_), Some(own), Some(answers)) =
            (added_to, asked.requests.first_mut(), answers.first_mut())
            && answers.pop_if(|last| !last.decision.is_allowed()).is_some()
        {
            own.datasets.pop();
        }
        if let Some(refusal) = refusal(&asked, &answers, (&named, behind)) {
            questions.read(&asked.requests, &answers);
            return Err(Refusal {
                questions: std::mem::take(questions),
                ..refusal
            });
        }
        let told = |definer: &str, cause: Fault| behind.unlent(&Unlent::new(definer, cause));
        let requests = std::mem::take(&mut asked.requests);
        let grants = asked.grants((snapshot, &self.shown), answers, told);
        let grants = grants.map_err(|refusal| *refusal)?;
        questions.granted(&requests, &grants);
        Ok(grants)
    }

    /// What is to be asked about datasets that are read with the caller's rights, and with those of definers.
    pub(super) async fn asked(
        &self,
        request: &QueryRequest,
        own: Vec<DatasetId>,
        lent: BTreeMap<String, Vec<DatasetId>>,
    ) -> Result<Asked, Fault> {
        let question = |principal: Principal, datasets| AccessRequest {
            principal,
            action: Action::Select,
            datasets,
            context: request.context.clone(),
        };
        let mut asked = Asked {
            rights: vec![Rights::Caller],
            requests: vec![question(request.principal.clone(), own)],
            unlent: None,
        };
        for (user, datasets) in lent {
            match self.account(&user).await? {
                Ok(definer) => {
                    asked.requests.push(question(definer, datasets));
                    asked.rights.push(Rights::Definer(user));
                }
                Err(cause) => {
                    asked.unlent.get_or_insert(Unlent::new(&user, cause));
                }
            }
        }
        Ok(asked)
    }

    /// The PDP's answers, one for each dataset of each question.
    pub(super) async fn answers(
        &self,
        asked: &[AccessRequest],
    ) -> Result<Vec<Vec<Arc<DatasetAccess>>>, Fault> {
        let answers = self.seams.decide.access_all(asked).await;
        let are_about = |(request, answers): (&AccessRequest, &Vec<Arc<DatasetAccess>>)| {
            let answered = answers.iter().map(|answer| &answer.dataset);
            request.datasets.iter().eq(answered)
        };
        if answers.len() == asked.len() && asked.iter().zip(&answers).all(are_about) {
            return Ok(answers);
        }
        Err(Fault::internal("the PDP answered about other datasets"))
    }

    /// Whose rights the view that a statement makes lends to its readers: its caller's, if he is an account here
    /// and is called with the rights of that account, no more and no less.
    pub(super) async fn lender(
        &self,
        request: &QueryRequest,
        statement: &Statement,
        (tables, behind): (&Tables, &Views),
    ) -> Result<Option<Definer>, Refusal> {
        if !lends(&statement.kind) {
            return Ok(None);
        }
        let caller = &request.principal;
        let known = self.account(&caller.uid.id).await?;
        if known.is_ok_and(|known| stated(&known) == stated(caller)) {
            return Ok(Some(Definer {
                user: caller.uid.id.clone(),
                reads: behind.reads(tables, &Rights::Caller),
            }));
        }
        let message =
            "only a local user lends his rights to a view, and only as his account has them";
        Err(Fault::denied("definer_unknown", message)
            .with_hint("log in as a local user, or leave out SQL SECURITY DEFINER")
            .into())
    }

    /// The account of a user as it is now, or why there is none that could do anything.
    async fn account(&self, user: &str) -> Result<Result<Principal, Fault>, Fault> {
        match self.seams.identities.principal(user).await {
            Ok(principal) => Ok(Ok(principal)),
            Err(cause) if matches!(cause.kind, FaultKind::NotFound | FaultKind::Denied) => {
                Ok(Err(cause))
            }
            Err(fault) => {
                tracing::warn!(%fault, "the accounts cannot be looked at");
                Err(
                    Fault::unavailable("who lends his rights to a view cannot be looked up")
                        .with_reason("identities")
                        .with_hint("try again later"),
                )
            }
        }
    }
}

impl Asked {
    /// The answers, all of which allow, joined with the catalog. What is not as it was catalogued is told to the
    /// caller about his own datasets; about others, `unlent` says what he hears.
    pub(super) fn grants(
        self,
        (snapshot, kept): (&AssetSnapshot, &AllShown),
        answers: Vec<Vec<Arc<DatasetAccess>>>,
        unlent: impl Fn(&str, Fault) -> Refusal,
    ) -> Result<Grants, Box<Refusal>> {
        let mut grants = Grants::default();
        for (rights, answers) in self.rights.into_iter().zip(answers) {
            let made = answers.into_iter().map(|access| {
                let dataset = snapshot.datasets.get(&access.dataset).ok_or_else(|| {
                    Fault::not_found(format!("`{}` is not catalogued", access.dataset))
                })?;
                kept.of(dataset, access)
            });
            let made: Result<Vec<Arc<Shown>>, Fault> = made.collect();
            match rights {
                Rights::Caller => {
                    grants.caller = made.map_err(|fault| Box::new(fault.into()))?;
                }
                Rights::Definer(user) => {
                    let made = made.map_err(|cause| Box::new(unlent(&user, cause)))?;
                    grants.definers.insert(user, made);
                }
            }
        }
        Ok(grants)
    }

    /// The first answer that denies, and to whom. Whoever sent the statement is looked at first: of what he may not
    /// read himself he does not hear how its definer stands.
    fn denied<'a>(
        &self,
        answers: &'a [Vec<Arc<DatasetAccess>>],
    ) -> Option<(&Rights, &'a DatasetAccess)> {
        let mut all = self
            .rights
            .iter()
            .zip(answers)
            .flat_map(|(rights, answers)| {
                let answers = answers.iter();
                answers.map(move |access| (rights, access.as_ref()))
            });
        all.find(|(_, access)| !access.decision.is_allowed())
    }
}

/// The datasets to be read with the caller's rights, and with those of each definer.
fn wanted(
    named: &[DatasetId],
    behind: &Views,
) -> (Vec<DatasetId>, BTreeMap<String, Vec<DatasetId>>) {
    let (mut own, mut lent) = (named.to_vec(), BTreeMap::<String, Vec<DatasetId>>::new());
    for (rights, dataset) in behind.datasets() {
        let datasets = match rights {
            Rights::Caller => &mut own,
            Rights::Definer(user) => lent.entry(user.clone()).or_default(),
        };
        if !datasets.contains(&dataset) {
            datasets.push(dataset);
        }
    }
    (own, lent)
}

/// Why a statement does not run, if it does not.
fn refusal(
    asked: &Asked,
    answers: &[Vec<Arc<DatasetAccess>>],
    (named, behind): (&[DatasetId], &Views),
) -> Option<Refusal> {
    let denied = asked.denied(answers).map(|(rights, access)| {
        let behind_view = behind.denied(access, rights, named);
        Refusal {
            fault: behind_view.unwrap_or_else(|| denied(access)),
            action: Action::Select,
            decision: Some((access.dataset.uid(), Box::new(access.decision.clone()))),
            questions: Questions::default(),
            unlent: match rights {
                Rights::Caller => None,
                Rights::Definer(user) => Some(Unlent {
                    definer: user.clone(),
                    cause: access.decision.detail.clone(),
                }),
            },
        }
    });
    match denied {
        Some(refusal) if refusal.unlent.is_none() => Some(refusal),
        denied => {
            let unlent = asked.unlent.as_ref().map(|unlent| behind.unlent(unlent));
            unlent.or(denied).or_else(|| behind.changed())
        }
    }
}

/// Whether a statement makes a view that lends its maker's rights, or tells of making one.
fn lends(kind: &Kind) -> bool {
    match kind {
        Kind::CreateView { security, .. } => *security == Security::Definer,
        Kind::ExplainWrite(write, _) => lends(&write.kind),
        Kind::Query(_)
        | Kind::CreateTableAs { .. }
        | Kind::DropView { .. }
        | Kind::Insert { .. }
        | Kind::Change(_)
        | Kind::Explain(_)
        | Kind::ExplainPolicy(_)
        | Kind::ShowTables => false,
    }
}

/// All of a principal that policies can ask for.
fn stated(principal: &Principal) -> (EntityUid, BTreeSet<EntityUid>, &BTreeMap<String, String>) {
    let entity = principal.entity();
    let parents = entity.parents.into_iter().collect();
    (entity.uid, parents, &principal.attributes)
}
