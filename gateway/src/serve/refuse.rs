//! Answers to what does not pass: refused, not recorded, not routed, denied.

use std::{net::SocketAddr, time::Instant};

use dataos_model::{
    action::Action,
    decision::{Decision, Reason},
    entity::EntityUid,
    fault::{Fault, FaultKind},
    principal::{Authentication, Principal},
    record::Entry,
};
use http::{HeaderValue, Response, StatusCode, header};

use super::{Call, Gateway, Passed};
use crate::{
    authenticate::AuthenticationFault,
    decide,
    limits::{Head, Peer, Refusal, new_request_id},
    observe::CallFigures,
    rate::Left,
    record,
    respond::{self, Answer, AnswerBody},
    route::{Entrance, Hold, Route},
    rpc,
};

/// The reason where a key's scopes lack what is asked.
pub(crate) const OUT_OF_SCOPE: &str = "out_of_scope";

impl Gateway {
    /// The log did not take the record: nothing of the answer may leave.
    pub(super) fn unrecorded(
        &self,
        fault: &Fault,
        route: &'static Route,
        request_id: &str,
    ) -> Passed {
        let shown = unrecorded(fault, request_id);
        self.figures.note_unrecorded();
        Passed::new(respond::problem(&shown, request_id, None), route.pattern)
    }

    pub(super) fn refuse(
        &self,
        refusal: &Refusal,
        head: Option<&Head>,
        peer: &Peer,
        request_id: &str,
    ) -> Passed {
        self.record_refusal(request_id, refusal.reason, head, peer);
        let answer = respond::refusal(refusal, request_id);
        Passed {
            closes: true,
            ..Passed::new(answer, "refused")
        }
    }

    /// Too many calls: nothing is wrong with the connection, so it stays.
    pub(super) fn refuse_rate(
        &self,
        left: Left,
        head: &Head,
        peer: &Peer,
        request_id: &str,
    ) -> Passed {
        let passed = self.refuse(&left.refusal(), Some(head), peer, request_id);
        Passed {
            answer: left.on_refusal(passed.answer),
            closes: false,
            ..passed
        }
    }

    /// Too many calls are under way: neither is anything wrong with this one, nor with its connection.
    pub(super) fn refuse_load(
        &self,
        refusal: &Refusal,
        head: &Head,
        peer: &Peer,
        request_id: &str,
    ) -> Passed {
        let passed = self.refuse(refusal, Some(head), peer, request_id);
        let soon = HeaderValue::from_static("1");
        Passed {
            answer: passed.answer.with_header(header::RETRY_AFTER, soon),
            closes: false,
            ..passed
        }
    }

    pub(super) fn refuse_credential(
        &self,
        fault: AuthenticationFault,
        head: &Head,
        peer: &Peer,
        request_id: &str,
    ) -> Passed {
        self.record_refusal(request_id, fault.code(), Some(head), peer);
        let answer = match fault {
            AuthenticationFault::Invalid(_) => respond::invalid_token(request_id),
            AuthenticationFault::Unavailable(_) => {
                let fault = Fault::unavailable("the issuer of the credential cannot be asked");
                respond::problem(&fault, request_id, None)
            }
            AuthenticationFault::Csrf => {
                let fault = Fault::denied(
                    fault.code(),
                    "a session or client certificate needs the header X-DataOS-CSRF: 1 here",
                );
                respond::problem(&fault, request_id, None)
            }
            AuthenticationFault::Elsewhere => {
                let message = "the browser says that a page of another site sends this";
                let fault = Fault::denied(fault.code(), message);
                respond::problem(&fault, request_id, None)
            }
            AuthenticationFault::NoCertificate => {
                let message = "this service takes a client certificate and nothing else";
                let fault = Fault::new(FaultKind::Unauthenticated, message)
                    .with_reason(fault.code())
                    .with_hint("`dataos-ctl certificate create` issues one");
                respond::problem(&fault, request_id, None)
            }
        };
        Passed {
            is_denied: true,
            ..Passed::new(answer, "refused")
        }
    }

    /// The credential is not made for this: denied before any policy is asked, recorded and held as any
    /// denial.
    pub(super) async fn refuse_scope(
        &self,
        route: &'static Route,
        call: &Call,
        action: Action,
        resource: &EntityUid,
    ) -> Passed {
        let fault = out_of_scope(route, action);
        self.figures.note_refused(OUT_OF_SCOPE);
        let entry = record::refused_scope(call, action, resource, OUT_OF_SCOPE);
        self.denied(route, call, entry, &fault).await
    }

    /// A denial, answered once its record is durable.
    pub(super) async fn denied(
        &self,
        route: &'static Route,
        call: &Call,
        entry: Entry,
        fault: &Fault,
    ) -> Passed {
        match self.seams.record.append_awaited(entry).await {
            Ok(receipt) => Passed {
                answer: respond::problem(fault, &call.request_id, Some(&receipt)),
                receipt: Some(receipt),
                is_denied: true,
                ..Passed::new(Answer::no_content(), route.pattern)
            },
            Err(fault) => self.unrecorded(&fault, route, &call.request_id),
        }
    }

    /// The answer to a request whose head nobody can read, so that it is no call.
    pub(crate) fn answer_malformed(&self, refusal: &Refusal, peer: &Peer) -> Response<AnswerBody> {
        let started = Instant::now();
        let request_id = new_request_id();
        let passed = self.refuse(refusal, None, peer, &request_id);
        self.figures.note(&CallFigures {
            route: passed.route,
            method: "",
            status: passed.answer.status,
            is_denied: false,
            principal: None,
            request_id: &request_id,
            bytes: passed.answer.body.len_bytes(),
            took: started.elapsed(),
        });
        let mut response = respond::response(passed.answer, &request_id, None);
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
        response
    }

    /// A refusal that is no call: of a connection, or of something on it.
    pub(crate) fn note_refused(&self, reason: &'static str, address: SocketAddr) {
        let peer = Peer::new(address);
        let request_id = new_request_id();
        self.record_refusal(&request_id, reason, None, &peer);
    }

    /// Records and counts what is refused before authentication, or by it.
    pub(super) fn record_refusal(
        &self,
        request_id: &str,
        reason: &'static str,
        head: Option<&Head>,
        peer: &Peer,
    ) {
        self.figures.note_refused(reason);
        self.refusals.note(request_id, reason, head, peer);
    }

    pub(super) fn no_route(&self, head: &Head, peer: &Peer, request_id: &str) -> Passed {
        self.record_refusal(request_id, "no_route", Some(head), peer);
        let fault =
            Fault::not_found("there is nothing at this path").with_hint("see /api/v1/openapi.json");
        Passed::new(respond::problem(&fault, request_id, None), "none")
    }

    pub(super) fn wrong_method(
        &self,
        allowed: &[&'static str],
        head: &Head,
        peer: &Peer,
        request_id: &str,
    ) -> Passed {
        let refusal = Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            format!("this path takes {}", allowed.join(", ")),
        );
        let mut passed = self.refuse(&refusal, Some(head), peer, request_id);
        if let Ok(value) = HeaderValue::from_str(&allowed.join(", ")) {
            passed.answer = passed.answer.with_header(header::ALLOW, value);
        }
        passed
    }
}

/// What a caller hears whose record was not written.
pub(super) fn unrecorded(fault: &Fault, request_id: &str) -> Fault {
    tracing::error!(request_id, %fault, "not recorded, so not answered");
    Fault::unavailable("the audit log does not take records, so nothing is answered")
        .with_reason("not_recorded")
}

/// Query parameters and content type that the route takes, and no others.
pub(super) fn check_shape(route: &Route, head: &Head) -> Result<(), Refusal> {
    // What is open may be linked to with parameters that only the console reads; providers add to
    // their answers what they like (RFC 6749 4.1.2).
    let takes_any = matches!(
        route.hold,
        Hold::Open | Hold::Entrance(Entrance::Callback | Entrance::Left)
    );
    if !takes_any && let Some(name) = head.query.unknown(route.query) {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "parameter_unknown",
            format!("unknown query parameter `{name}`"),
        ));
    }
    let Some(takes) = route.takes else {
        return Ok(());
    };
    let given = head.content_type.as_deref().unwrap_or("");
    let essence = given.split(';').next().unwrap_or("").trim();
    let fits = if route.is_rpc() {
        rpc::is_content_type(essence)
    } else {
        essence.eq_ignore_ascii_case(takes)
    };
    if fits {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::BAD_REQUEST,
        "content_type",
        format!("this route takes Content-Type {takes}"),
    ))
}

/// What the caller is told about a denial: less where even existence is hidden, and to log in
/// where nobody is logged in.
pub(super) fn denial_shown(route: &Route, principal: &Principal, decision: &Decision) -> Fault {
    if principal.authentication == Authentication::Anonymous {
        return Fault::new(FaultKind::Unauthenticated, "log in first, or send a token")
            .with_reason(decision.reason.code());
    }
    if route.hides_denied || decision.reason == Reason::EntityMissing {
        return Fault::not_found("there is no such thing, or you may not see it");
    }
    decide::denial(decision)
}

/// What the caller of a key is told that is not made for a route.
pub(crate) fn out_of_scope(route: &Route, action: Action) -> Fault {
    let needed = route.in_scope_of.unwrap_or(action);
    let message =
        format!("the scopes of this API key hold neither `action:{needed}` nor this route");
    Fault::denied(OUT_OF_SCOPE, message)
        .with_hint("`dataos-ctl apikey create --scope` makes a key for it")
}
