//! The path of one request: limits, route, authenticate, decide, record, handler, respond.
//!
//! [`Gateway`] holds the seams and knows no transport: `accept` feeds it from TLS, tests feed it
//! directly. Whatever fails on the way, no byte of a governed answer leaves before its record.

#[cfg(test)]
mod by_decision;
mod entrance;
mod governed;
mod refuse;

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use bytes::Bytes;
use dataos_model::{
    action::Action,
    clock::Clock,
    fault::{Fault, FaultKind},
    hash::Hash,
    obligation::Obliged,
    principal::{Authentication, Principal},
    record::{Entry, Receipt},
    seams::{Assets, Decide, Explore, Policies, Record, Records, Resources, RunQuery},
    value::Value,
};
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Body;
use tokio::sync::Semaphore;

use crate::{
    accounts::{Accounts, Scopes, SessionLife},
    applied::Applied,
    authenticate::{AuthenticationFault, Authenticator, Caller, oidc::Providers},
    authzen_keys::AuthzenKeys,
    certificates::Certificates,
    config::{AuthzenConfig, Limits, RateConfig},
    decide,
    limits::{self, Head, Peer, Refusal},
    load::{Load, Priority, streams::Streams},
    observe::{
        CallFigures, Figures,
        spans::{Span, Spans, Step},
    },
    rate::Rates,
    record::Refusals,
    recording,
    respond::{self, Answer, AnswerBody},
    roles::{deadline, link::Link, served::Gate},
    route::{self, Found, Hold, Parameters, Route},
    rpc,
};

pub(crate) use governed::add_fact;
use refuse::check_shape;
pub(crate) use refuse::{OUT_OF_SCOPE, out_of_scope};

/// Most candidate policy folders that are checked or tested at a time; each takes a core.
pub(crate) const CANDIDATES_MAX: usize = 2;

/// The rooms behind the edge.
#[derive(Clone, Debug)]
pub(crate) struct Seams {
    /// The PDP.
    pub(crate) decide: Arc<dyn Decide>,
    /// Asks the PDP why, and who or what else.
    pub(crate) explore: Arc<dyn Explore>,
    /// The policies in force.
    pub(crate) policies: Arc<dyn Policies>,
    /// Appends to the audit log.
    pub(crate) record: Arc<dyn Record>,
    /// Reads the audit log.
    pub(crate) records: Arc<dyn Records>,
    /// The catalog.
    pub(crate) assets: Arc<dyn Assets>,
    /// The orchestrator.
    pub(crate) resources: Arc<dyn Resources>,
    /// The query layer.
    pub(crate) query: Arc<dyn RunQuery>,
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
}

/// The policy enforcement point.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// The rooms; what `decide` permits is without obligations that the gateway does not know.
    pub(crate) seams: Seams,
    /// The PDP for questions of others, who carry out obligations themselves.
    pub(crate) advice: Arc<dyn Decide>,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) applied: Applied,
    /// Places for candidates that are being checked or tested.
    pub(crate) candidates: Arc<Semaphore>,
    pub(crate) authenticator: Authenticator,
    pub(crate) figures: Figures,
    pub(crate) spans: Spans,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) limits: Limits,
    pub(crate) load: Load,
    pub(crate) streams: Streams,
    pub(crate) rates: Rates,
    pub(crate) session_life: SessionLife,
    pub(crate) providers: Arc<Providers>,
    pub(crate) authzen: AuthzenConfig,
    pub(crate) authzen_keys: AuthzenKeys,
    /// None in tests alone.
    certificates: Option<Arc<Certificates>>,
    /// The ways to roles that are processes of their own.
    pub(crate) links: Vec<Arc<Link>>,
    /// What decisions wait for after the start.
    pub(crate) gate: Option<Arc<Gate>>,
}

/// An authenticated call on a known route.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) request_id: String,
    pub(crate) principal: Arc<Principal>,
    /// What its credential is limited to.
    pub(crate) scopes: Option<Arc<Scopes>>,
    pub(crate) head: Head,
    pub(crate) parameters: Parameters,
    pub(crate) body: Bytes,
    pub(crate) digest: Hash,
    pub(crate) peer: Peer,
    /// What policies may read of the call.
    pub(crate) context: BTreeMap<String, Value>,
}

impl Call {
    /// A step of the call begins; it ends when what is returned is dropped.
    pub(crate) fn step(&self, name: &'static str) -> Step {
        Step::of(self.head.span.as_ref(), name)
    }

    /// Whether the credential may be used for this route at all.
    pub(crate) fn is_in_scope(&self, route: &Route, action: Action) -> bool {
        let needed = route.in_scope_of.unwrap_or(action);
        let allow = |scopes: &Scopes| scopes.allow(needed, self.head.verb, self.head.path.text());
        self.scopes.as_deref().is_none_or(allow)
    }
}

/// An answer with what belongs to it.
struct Passed {
    answer: Answer,
    receipt: Option<Receipt>,
    /// The pattern of the route, for metrics; a path would make them unbounded.
    route: &'static str,
    principal: Option<Arc<Principal>>,
    is_denied: bool,
    closes: bool,
}

impl Passed {
    fn new(answer: Answer, route: &'static str) -> Self {
        Self {
            answer,
            receipt: None,
            route,
            principal: None,
            is_denied: false,
            closes: false,
        }
    }
}

/// What the request path needs to know.
#[derive(Debug)]
pub(crate) struct GatewayConfig {
    pub(crate) limits: Limits,
    pub(crate) rates: RateConfig,
    pub(crate) session_life: SessionLife,
    pub(crate) providers: Arc<Providers>,
    pub(crate) authzen: AuthzenConfig,
    pub(crate) authzen_keys: AuthzenKeys,
    pub(crate) certificates: Option<Arc<Certificates>>,
    pub(crate) links: Vec<Arc<Link>>,
    pub(crate) gate: Option<Arc<Gate>>,
    pub(crate) spans: Spans,
}

impl Gateway {
    /// Certificates of the doors, and the CA behind them.
    ///
    /// # Errors
    /// There are none, as in tests.
    pub(crate) fn certificates(&self) -> Result<&Certificates, Fault> {
        let certificates = self.certificates.as_deref();
        certificates.ok_or_else(|| Fault::internal("the doors have no certificates"))
    }

    pub(crate) fn new(
        seams: Seams,
        accounts: Arc<Accounts>,
        applied: Applied,
        authenticator: Authenticator,
        config: GatewayConfig,
    ) -> Self {
        Self {
            refusals: Arc::new(Refusals::new(Arc::clone(&seams.record))),
            figures: Figures::new(),
            spans: config.spans,
            advice: Arc::clone(&seams.decide),
            seams: Seams {
                decide: Arc::new(Obliged::new(Arc::clone(&seams.decide), recording::is_known)),
                ..seams
            },
            accounts,
            applied,
            candidates: Arc::new(Semaphore::new(CANDIDATES_MAX)),
            authenticator,
            load: Load::new(config.limits.calls_max),
            streams: Streams::default(),
            limits: config.limits,
            rates: Rates::new(config.rates),
            session_life: config.session_life,
            providers: config.providers,
            authzen: config.authzen,
            authzen_keys: config.authzen_keys,
            certificates: config.certificates,
            links: config.links,
            gate: config.gate,
        }
    }

    /// Answers one request.
    pub(crate) async fn answer<B>(
        self: Arc<Self>,
        request: Request<B>,
        peer: Peer,
    ) -> Response<AnswerBody>
    where
        B: Body<Data = Bytes> + Unpin + Send,
        B::Error: std::error::Error + 'static,
    {
        let started = Instant::now();
        let (parts, mut body) = request.into_parts();
        let request_id = limits::request_id(&parts.headers);
        let echoed = limits::echoed(&parts.headers);
        let checked = limits::check(&parts, &peer).map(|head| Head {
            span: self.spans.begin(head.trace.as_ref()),
            ..head
        });
        let span = checked.as_ref().ok().and_then(|head| head.span.clone());
        let (method, version) = (parts.method.clone(), parts.version);
        let expects = parts.headers.contains_key(header::EXPECT);
        let (is_rpc, deadline) = (rpc::is_call(&parts), rpc::deadline(&parts));
        // A call waits for its record; what is dropped behind that has left the caches.
        drop(parts);
        let passed = match checked {
            Ok(head) => match deadline {
                Ok(None) => self.pass(head, &mut body, &peer, &request_id).await,
                Ok(Some(time)) => {
                    // Few calls have one; the others need no room for it.
                    let passed = Box::pin(self.pass(head, &mut body, &peer, &request_id));
                    let passed = deadline::within(time, passed);
                    let passed = tokio::time::timeout(time, passed).await;
                    passed.unwrap_or_else(|_| too_late(&request_id))
                }
                Err(refusal) => self.refuse(&refusal, Some(&head), &peer, &request_id),
            },
            Err(refusal) => self.refuse(&refusal, None, &peer, &request_id),
        };
        if !expects {
            limits::discard(body).await;
        }
        let took = started.elapsed();
        let call = CallFigures {
            route: passed.route,
            method: method.as_str(),
            status: passed.answer.status,
            is_denied: passed.is_denied,
            principal: passed.principal.as_deref(),
            request_id: &request_id,
            bytes: passed.answer.body.len_bytes(),
            took,
        };
        self.note(&call, span.as_deref(), passed.receipt.as_ref());
        let answer = if is_rpc {
            rpc::answered(passed.answer)
        } else {
            passed.answer
        };
        let mut response = respond::response(answer, &request_id, passed.receipt.as_ref());
        response.headers_mut().extend(echoed);
        if passed.closes && version != http::Version::HTTP_2 {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Counts a call that ended, writes its line in the log, and ends its span.
    pub(crate) fn note(
        &self,
        call: &CallFigures<'_>,
        span: Option<&Span>,
        receipt: Option<&Receipt>,
    ) {
        self.figures.note(call);
        if let Some(span) = span {
            span.end(call, receipt.map(|receipt| receipt.index));
        }
    }

    async fn pass<B>(self: &Arc<Self>, head: Head, body: B, peer: &Peer, request_id: &str) -> Passed
    where
        B: Body<Data = Bytes> + Unpin + Send,
        B::Error: std::error::Error + 'static,
    {
        let found = route::find(head.verb, head.path.segments());
        let priority = match &found {
            Found::Route(route, _) => route.priority,
            Found::WrongMethod(_) | Found::Nothing => Priority::Usual,
        };
        let _place = match self.load.enter(priority) {
            Ok(place) => place,
            Err(refusal) => return self.refuse_load(&refusal, &head, peer, request_id),
        };
        // What is open costs little, and tells whether we live.
        let is_open = matches!(&found, Found::Route(route, _) if route.hold == Hold::Open);
        if !is_open && let Err(left) = self.rates.take_address(peer.address.ip()).await {
            return self.refuse_rate(left, &head, peer, request_id);
        }
        let Caller { principal, scopes } = match &found {
            Found::Route(route, _) if matches!(route.hold, Hold::Open | Hold::Entrance(_)) => {
                Arc::new(Principal::anonymous()).into()
            }
            _ => match self.authenticator.authenticate(&head, peer).await {
                Ok(caller) => caller,
                Err(fault) => return self.refuse_credential(fault, &head, peer, request_id),
            },
        };
        let (route, parameters) = match found {
            Found::Route(route, parameters) => (route, parameters),
            Found::Nothing => return self.no_route(&head, peer, request_id),
            Found::WrongMethod(allowed) => {
                return self.wrong_method(&allowed, &head, peer, request_id);
            }
        };
        if route.is_rpc() && principal.authentication != Authentication::Certificate {
            let fault = AuthenticationFault::NoCertificate;
            return self.refuse_credential(fault, &head, peer, request_id);
        }
        if let Err(refusal) = check_shape(route, &head) {
            return self.refuse(&refusal, Some(&head), peer, request_id);
        }
        let body = match self.body(route, body).await {
            Ok(body) => body,
            Err(refusal) => return self.refuse(&refusal, Some(&head), peer, request_id),
        };
        let call = Arc::new(Call {
            request_id: request_id.to_owned(),
            principal,
            scopes,
            digest: head.digest(&body),
            context: decide::context(head.verb, peer),
            head,
            parameters,
            body,
            peer: peer.clone(),
        });
        match route.hold {
            Hold::Open => {
                let answered = (route.handler)(Arc::clone(self), Arc::clone(&call)).await;
                Passed::new(or_problem(answered, &call), route.pattern)
            }
            Hold::Entrance(entrance) => self.enter(route, entrance, &call).await,
            Hold::Read | Hold::Ask | Hold::Change | Hold::Statement => {
                self.governed(route, call).await
            }
        }
    }

    /// The body that the route takes, or none.
    async fn body<B>(&self, route: &Route, body: B) -> Result<Bytes, Refusal>
    where
        B: Body<Data = Bytes> + Unpin + Send,
        B::Error: std::error::Error + 'static,
    {
        let limits = &self.limits;
        if route.takes.is_some() {
            limits::read_body(body, limits.body_bytes_max, limits.body_timeout).await
        } else if body.is_end_stream() {
            Ok(Bytes::new())
        } else {
            Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                "body_unexpected",
                "this route takes no request body",
            ))
        }
    }

    /// Writes a record that an answer waits for; what is not recorded is not answered.
    pub(crate) async fn append(&self, entry: Entry, request_id: &str) -> Result<Receipt, Fault> {
        let appended = self.seams.record.append_awaited(entry);
        appended.await.map_err(|fault| {
            let shown = refuse::unrecorded(&fault, request_id);
            self.figures.note_unrecorded();
            shown
        })
    }
}

/// The client's own deadline passed; what was decided until then is in the log.
fn too_late(request_id: &str) -> Passed {
    let fault = Fault::new(FaultKind::Timeout, "the deadline of the call passed");
    Passed::new(respond::problem(&fault, request_id, None), "timeout")
}

fn or_problem(answered: Result<Answer, Fault>, call: &Call) -> Answer {
    answered.unwrap_or_else(|fault| respond::problem(&fault, &call.request_id, None))
}

#[cfg(test)]
pub(crate) mod tests;
