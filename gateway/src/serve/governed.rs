//! A governed call: decided, recorded, run, answered. Each way through says when its handler may start
//! and what its answer waits for.

use std::{
    future::{poll_fn, ready},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Instant,
};

use dataos_model::{
    fault::{Fault, FaultKind},
    record::{Entry, Receipt},
};

use super::{Call, Gateway, Passed, refuse::denial_shown};
use crate::{
    decide,
    observe::CallFigures,
    record,
    recording::{self, Level},
    respond::{self, Answer},
    roles::deadline,
    route::{Hold, Route},
};

impl Gateway {
    /// Decides, records and answers a governed call.
    pub(super) async fn governed(
        self: &Arc<Self>,
        route: &'static Route,
        call: Arc<Call>,
    ) -> Passed {
        let principal = Arc::clone(&call.principal);
        let workspace = call.head.query.get("workspace");
        let left = match self
            .rates
            .take_call(&principal, workspace, route.pattern)
            .await
        {
            Ok(left) => left,
            Err(left) => return self.refuse_rate(left, &call.head, &call.peer, &call.request_id),
        };
        let mut passed = self.decided(route, call).await;
        passed.principal = Some(principal);
        if let Some(left) = left {
            passed.answer = left.on(passed.answer);
        }
        passed
    }

    async fn decided(self: &Arc<Self>, route: &'static Route, call: Arc<Call>) -> Passed {
        let Some((action, subject)) = route.governed else {
            let fault = Fault::internal("a governed route without action");
            return Passed::new(
                respond::problem(&fault, &call.request_id, None),
                route.pattern,
            );
        };
        let workspace = call.head.query.get("workspace");
        let path = call.head.path.text();
        let resources = self.seams.resources.as_ref();
        let target =
            match decide::target(subject, path, workspace, &call.parameters, resources).await {
                Ok(target) => target,
                Err(fault) => {
                    let reason = match fault.kind {
                        FaultKind::Unavailable => "resource_unavailable",
                        _ => "resource_malformed",
                    };
                    self.record_refusal(&call.request_id, reason, Some(&call.head), &call.peer);
                    let answer = respond::problem(&fault, &call.request_id, None);
                    return Passed::new(answer, route.pattern);
                }
            };
        if !call.is_in_scope(route, action) {
            return self.refuse_scope(route, &call, action, &target.uid).await;
        }
        let request = decide::request(&call.principal, action, target, &call.context);
        let step = call.step("decide");
        let decision = decide::ask(&self.seams.decide, &request).await;
        drop(step);
        let level = Level::of_decision(&decision);
        let mut entry = record::decision(&call, &request, &decision, level);
        add_fact(
            &mut entry,
            recording::request(level, route.bodies, &call.body),
        );
        if !decision.is_allowed() {
            let fault = denial_shown(route, &call.principal, &decision);
            return self.denied(route, &call, entry, &fault).await;
        }
        // As in `answer`: before the wait for the record.
        drop((request, decision));
        match route.hold {
            Hold::Read => self.read(route, call, entry, level).await,
            Hold::Change => {
                let receipt = match self.recorded(&call, entry).await {
                    Ok(receipt) => receipt,
                    Err(fault) => return self.unrecorded(&fault, route, &call.request_id),
                };
                self.change(route, call, receipt, level).await
            }
            Hold::Statement => {
                let receipt = match self.recorded(&call, entry).await {
                    Ok(receipt) => receipt,
                    Err(fault) => return self.unrecorded(&fault, route, &call.request_id),
                };
                self.statement(route, call, receipt, level).await
            }
            _ => {
                let work = self.run_handler(route, Arc::clone(&call));
                self.beside(route, &call, (entry, level), Instant::now(), work)
                    .await
            }
        }
    }

    /// Runs the handler of a read. What it answers at once is recorded with its decision: one entry
    /// where there would be two, and the receipt commits to the outcome too.
    async fn read(
        self: &Arc<Self>,
        route: &'static Route,
        call: Arc<Call>,
        mut entry: Entry,
        level: Level,
    ) -> Passed {
        let started = Instant::now();
        let mut work = pin!(self.run_handler(route, Arc::clone(&call)));
        let at_once = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
        let answered = match at_once {
            Poll::Pending => {
                return self
                    .beside(route, &call, (entry, level), started, work)
                    .await;
            }
            Poll::Ready(answered) => answered,
        };
        let Ok(answer) = answered else {
            // Its words name the entry of the decision.
            return self
                .beside(route, &call, (entry, level), started, ready(answered))
                .await;
        };
        if level > Level::None {
            record::add_outcome(&mut entry, &answer, started.elapsed());
            let body = recording::response(level, route.bodies, &answer.body);
            add_fact(&mut entry, body);
        }
        let step = call.step("record");
        let request_id = call.request_id.clone();
        // As in `answer`: before the wait for the record.
        drop(call);
        let receipt = self.seams.record.append_awaited(entry).await;
        drop(step);
        match receipt {
            Ok(receipt) => Passed {
                receipt: Some(receipt),
                ..Passed::new(answer, route.pattern)
            },
            Err(fault) => self.unrecorded(&fault, route, &request_id),
        }
    }

    /// Writes the record of a call, and waits for it.
    async fn recorded(&self, call: &Call, entry: Entry) -> Result<Receipt, Fault> {
        let step = call.step("record");
        let receipt = self.seams.record.append_awaited(entry).await;
        drop(step);
        receipt
    }

    /// Runs a handler while its decision is written.
    async fn beside(
        &self,
        route: &'static Route,
        call: &Call,
        (entry, level): (Entry, Level),
        started: Instant,
        work: impl Future<Output = Result<Answer, Fault>>,
    ) -> Passed {
        let step = call.step("record");
        let pending = self.seams.record.append(entry);
        let recorded = async move {
            let receipt = pending.await;
            drop(step);
            receipt
        };
        match tokio::join!(recorded, work) {
            (Ok(receipt), answered) => {
                self.finish(route, call, (receipt, level), answered, started)
            }
            (Err(fault), _) => self.unrecorded(&fault, route, &call.request_id),
        }
    }

    /// Runs the handler of a change to its end, even if the client goes away meanwhile.
    async fn change(
        self: &Arc<Self>,
        route: &'static Route,
        call: Arc<Call>,
        receipt: Receipt,
        level: Level,
    ) -> Passed {
        let gateway = Arc::clone(self);
        let request_id = call.request_id.clone();
        // Bounded by the connections and streams that wait for it, and by the answer timeout.
        let task = tokio::spawn(async move {
            let started = Instant::now();
            let answered = gateway.run_handler(route, Arc::clone(&call)).await;
            gateway.finish(route, &call, (receipt, level), answered, started)
        });
        task.await.unwrap_or_else(|error| {
            let fault = Fault::internal(format!("a handler was stopped: {error}"));
            Passed::new(respond::problem(&fault, &request_id, None), route.pattern)
        })
    }

    /// Runs the handler of a statement for as long as the client waits; that he went away is its outcome.
    async fn statement(
        self: &Arc<Self>,
        route: &'static Route,
        call: Arc<Call>,
        receipt: Receipt,
        level: Level,
    ) -> Passed {
        let started = Instant::now();
        let mut waiting = Waiting {
            gateway: self,
            route,
            call: &call,
            receipt: Some((receipt, level)),
            started,
        };
        let answered = self.run_handler(route, Arc::clone(&call)).await;
        let Some(recorded) = waiting.receipt.take() else {
            let fault = Fault::internal("a call that ended twice");
            return self.unrecorded(&fault, route, &call.request_id);
        };
        drop(waiting);
        self.finish(route, &call, recorded, answered, started)
    }

    async fn run_handler(
        self: &Arc<Self>,
        route: &'static Route,
        call: Arc<Call>,
    ) -> Result<Answer, Fault> {
        let step = call.step("handle");
        let time = self.limits.answer_timeout;
        let work = deadline::within(time, (route.handler)(Arc::clone(self), call));
        let answered = tokio::time::timeout(time, work).await;
        drop(step);
        answered.unwrap_or_else(|_| {
            Err(Fault::new(
                FaultKind::Timeout,
                "the answer was not ready in time",
            ))
        })
    }

    /// The answer of an allowed call whose decision is durable; its outcome is recorded behind it.
    fn finish(
        &self,
        route: &'static Route,
        call: &Call,
        (receipt, level): (Receipt, Level),
        answered: Result<Answer, Fault>,
        started: Instant,
    ) -> Passed {
        let mut answer = match answered {
            Ok(answer) => answer,
            Err(fault) => respond::problem(&fault, &call.request_id, Some(&receipt)),
        };
        if let Some((action, _)) = route.governed
            && level > Level::None
        {
            let took = started.elapsed();
            let mut entry = record::outcome(call, action, receipt.index, &answer, took);
            add_fact(
                &mut entry,
                recording::response(level, route.bodies, &answer.body),
            );
            // Queued by this call; the answer rests on the decision's record alone.
            answer.body.record(&self.seams.record, entry, started);
        }
        Passed {
            receipt: Some(receipt),
            ..Passed::new(answer, route.pattern)
        }
    }
}

/// A statement whose client waits. Dropped before its end, it was cancelled.
struct Waiting<'a> {
    gateway: &'a Gateway,
    route: &'static Route,
    call: &'a Call,
    /// Until there is an answer.
    receipt: Option<(Receipt, Level)>,
    started: Instant,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(recorded) = self.receipt.take() else {
            return;
        };
        let (gateway, call) = (self.gateway, self.call);
        let answer = Answer::cancelled();
        let passed = gateway.finish(self.route, call, recorded, Ok(answer), self.started);
        let figures = CallFigures {
            route: self.route.pattern,
            method: call.head.verb.name(),
            status: passed.answer.status,
            is_denied: false,
            principal: Some(&call.principal),
            request_id: &call.request_id,
            bytes: 0,
            took: self.started.elapsed(),
        };
        let span = call.head.span.as_deref();
        gateway.note(&figures, span, passed.receipt.as_ref());
    }
}

/// Adds a fact, if there is one.
pub(crate) fn add_fact(entry: &mut Entry, fact: Option<recording::Fact>) {
    if let Some((name, value)) = fact {
        entry.facts.insert(name.to_owned(), value);
    }
}
