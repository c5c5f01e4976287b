//! Statements of somebody who logged in: what the HTTPS door does for a call, for each of them.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use bytes::Bytes;
use dataos_model::{
    action::Action,
    fault::{Fault, FaultKind},
    query::{Dialect, QueryAnswer, QueryRequest, ResultColumn, RowFormat},
    record::{Entry, Receipt},
    value::Value,
};
use dataos_query::wire::{Asked, Caller, Failed};
use http::StatusCode;
use serde_json::json;

use crate::{
    accounts::Proved,
    authenticate::{self, AuthenticationFault},
    decide,
    limits::{Head, Peer, Refusal, Verb, new_request_id},
    observe::CallFigures,
    record,
    recording::{self, Level},
    respond::{self, Answer, AnswerBody},
    route::{self, Parameters, Route},
    serve::{Call, Gateway, OUT_OF_SCOPE, add_fact, out_of_scope},
};

/// The call that a statement is, to policies and in records.
const QUERY_PATH: &str = "/api/v1/query";
/// What clients write.
const DIALECT: Dialect = Dialect::Postgres;
/// What records say of this door beside that.
const DOOR: (&str, &str) = ("door", "postgresql");

/// What a session logged in with; looked at again for each statement.
#[derive(Debug)]
pub(super) enum Credential {
    /// A password, or an API key that was not sent.
    Proved(Proved),
    /// An API key or an access token.
    Bearer(String),
}

/// Somebody who logged in.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) gateway: Arc<Gateway>,
    pub(super) peer: Peer,
    pub(super) user: String,
    pub(super) credential: Credential,
}

#[async_trait]
impl Caller for Session {
    async fn run(&self, asked: Asked) -> Result<QueryAnswer, Failed> {
        let query = Arc::clone(&self.gateway.seams.query);
        let work = |request| async move { query.run(request).await };
        let shown = |answer: &QueryAnswer| Answer {
            body: AnswerBody::new(answer.chunks.iter().cloned()),
            ..Answer::bytes(StatusCode::OK, "", Bytes::new())
                .with_fact("rows", answer.row_count)
                .with_fact("certificate", answer.receipt.index)
        };
        self.governed(asked, work, shown).await
    }

    async fn describe(&self, asked: Asked) -> Result<Vec<ResultColumn>, Failed> {
        let query = Arc::clone(&self.gateway.seams.query);
        let work = |request| async move { query.describe(request).await };
        let shown = |_: &Vec<ResultColumn>| Answer::bytes(StatusCode::OK, "", Bytes::new());
        self.governed(asked, work, shown).await
    }
}

impl Session {
    /// Who this is now.
    pub(super) async fn caller(&self) -> Result<authenticate::Caller, AuthenticationFault> {
        let caller = match &self.credential {
            Credential::Proved(proved) => {
                let now = self.gateway.seams.clock.now();
                let caller = self.gateway.accounts.caller_of_proved(proved, now);
                caller.map_err(AuthenticationFault::Invalid)?
            }
            // This door takes no client certificates, so no token that is bound to one.
            Credential::Bearer(credential) => {
                let authenticator = &self.gateway.authenticator;
                authenticator.bearer(credential, None).await?
            }
        };
        if caller.principal.uid.id != self.user {
            return Err(AuthenticationFault::Invalid("user_differs"));
        }
        Ok(caller)
    }

    /// Decides, records and carries out one statement, as the HTTPS door does a call of its route.
    async fn governed<T, F>(
        &self,
        asked: Asked,
        work: impl FnOnce(QueryRequest) -> F,
        shown: impl FnOnce(&T) -> Answer,
    ) -> Result<T, Failed>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let request_id = new_request_id();
        let done = self.governed_call(&request_id, asked, work, shown).await;
        done.map_err(|fault| Failed {
            fault: Box::new(fault),
            request_id,
        })
    }

    async fn governed_call<T, F>(
        &self,
        request_id: &str,
        asked: Asked,
        work: impl FnOnce(QueryRequest) -> F,
        shown: impl FnOnce(&T) -> Answer,
    ) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let route = route::of(Verb::Post, QUERY_PATH)?;
        let place = self.gateway.load.enter(route.priority);
        let _place = place.map_err(|refusal| self.put_off(refusal))?;
        let call = self.call(request_id, &asked).await?;
        let mut open = self.decided(route, &call).await?;
        let mut context = call.context.clone();
        if let Some(purpose) = asked.purpose {
            context.insert("purpose".to_owned(), Value::String(purpose));
        }
        let work = work(QueryRequest {
            principal: (*call.principal).clone(),
            request_id: request_id.to_owned(),
            sql: asked.sql,
            dialect: DIALECT,
            context,
            format: RowFormat::ArrowStream,
            rows_max: Some(asked.rows_max),
        });
        let time_max = self.gateway.limits.answer_timeout;
        let done = tokio::time::timeout(time_max, Box::pin(work)).await;
        let done = done.unwrap_or_else(|_| {
            let message = "the answer was not ready in time";
            Err(Fault::new(FaultKind::Timeout, message))
        });
        open.end(&match &done {
            Ok(done) => shown(done),
            Err(fault) => respond::problem(fault, request_id, None),
        });
        done
    }

    /// Counts and records what is refused for now.
    fn put_off(&self, refusal: Refusal) -> Fault {
        self.gateway.note_refused(refusal.reason, self.peer.address);
        later(refusal)
    }

    /// The statement as a call of the route that answers statements.
    async fn call(&self, request_id: &str, asked: &Asked) -> Result<Call, Fault> {
        let caller = self.caller().await.map_err(|fault| {
            self.gateway.note_refused(fault.code(), self.peer.address);
            not_valid(fault)
        })?;
        let mut head = Head::posted(QUERY_PATH)?;
        head.span = self.gateway.spans.begin(None);
        let body = match &asked.purpose {
            Some(purpose) => json!({"sql": asked.sql, "dialect": DIALECT, "purpose": purpose}),
            None => json!({"sql": asked.sql, "dialect": DIALECT}),
        };
        let body = Bytes::from(body.to_string());
        Ok(Call {
            request_id: request_id.to_owned(),
            principal: caller.principal,
            scopes: caller.scopes,
            digest: head.digest(&body),
            context: decide::context(head.verb, &self.peer),
            head,
            parameters: Parameters::default(),
            body,
            peer: self.peer.clone(),
        })
    }

    /// The decision, once it is durable.
    async fn decided<'a>(
        &'a self,
        route: &'static Route,
        call: &'a Call,
    ) -> Result<Open<'a>, Fault> {
        let gateway = self.gateway.as_ref();
        let taken = gateway
            .rates
            .take_call(&call.principal, None, route.pattern)
            .await;
        taken.map_err(|left| self.put_off(left.refusal()))?;
        let (action, subject) = route
            .governed
            .ok_or_else(|| Fault::internal("a governed route without action"))?;
        let path = call.head.path.text();
        let resources = gateway.seams.resources.as_ref();
        let target = decide::target(subject, path, None, &call.parameters, resources).await?;
        if !call.is_in_scope(route, action) {
            gateway.figures.note_refused(OUT_OF_SCOPE);
            let mut entry = record::refused_scope(call, action, &target.uid, OUT_OF_SCOPE);
            at_door(&mut entry);
            gateway.append(entry, &call.request_id).await?;
            return Err(out_of_scope(route, action));
        }
        let request = decide::request(&call.principal, action, target, &call.context);
        let step = call.step("decide");
        let decision = decide::ask(&gateway.seams.decide, &request).await;
        drop(step);
        let level = Level::of_decision(&decision);
        let mut entry = record::decision(call, &request, &decision, level);
        if level > Level::None {
            at_door(&mut entry);
        }
        add_fact(
            &mut entry,
            recording::request(level, route.bodies, &call.body),
        );
        let step = call.step("record");
        let receipt = gateway.append(entry, &call.request_id).await?;
        drop(step);
        let mut open = Open {
            gateway,
            route,
            action,
            call,
            level,
            receipt,
            started: Instant::now(),
            is_ended: false,
        };
        if decision.is_allowed() {
            return Ok(open);
        }
        let fault = decide::denial(&decision);
        open.is_ended = true;
        open.note(&respond::problem(&fault, &call.request_id, None));
        Err(fault)
    }
}

/// An allowed call whose outcome is not recorded yet. Dropped before its end, it was cancelled.
struct Open<'a> {
    gateway: &'a Gateway,
    route: &'static Route,
    action: Action,
    call: &'a Call,
    level: Level,
    receipt: Receipt,
    started: Instant,
    is_ended: bool,
}

impl Open<'_> {
    /// Records how it ended.
    fn end(&mut self, answer: &Answer) {
        self.is_ended = true;
        self.note(answer);
        if self.level == Level::None {
            return;
        }
        let took = self.started.elapsed();
        let mut entry = record::outcome(self.call, self.action, self.receipt.index, answer, took);
        at_door(&mut entry);
        let response = recording::response(self.level, self.route.bodies, &answer.body);
        add_fact(&mut entry, response);
        self.gateway.seams.record.append_behind(entry);
    }

    fn note(&self, answer: &Answer) {
        let call = CallFigures {
            route: self.route.pattern,
            method: self.call.head.verb.name(),
            status: answer.status,
            is_denied: answer.status == StatusCode::FORBIDDEN,
            principal: Some(&self.call.principal),
            request_id: &self.call.request_id,
            bytes: answer.body.len_bytes(),
            took: self.started.elapsed(),
        };
        let span = self.call.head.span.as_deref();
        self.gateway.note(&call, span, Some(&self.receipt));
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if !self.is_ended {
            self.end(&Answer::cancelled());
        }
    }
}

/// Says in a record where it comes from.
pub(super) fn at_door(entry: &mut Entry) {
    let (name, value) = DOOR;
    entry.facts.insert(name.to_owned(), value.to_owned());
}

/// What may be asked again later.
pub(super) fn later(refusal: Refusal) -> Fault {
    Fault::unavailable(refusal.detail).with_reason(refusal.reason)
}

/// No word about which check failed.
pub(super) fn not_valid(fault: AuthenticationFault) -> Fault {
    match fault {
        AuthenticationFault::Unavailable(code) => {
            Fault::unavailable("the issuer of the token cannot be reached").with_reason(code)
        }
        fault => Fault::new(FaultKind::Unauthenticated, "the credential is not valid")
            .with_reason(fault.code()),
    }
}
