//! The rows of the table, in the order of docs/api.md.

use dataos_model::action::Action;

use super::{Bodies, Entrance, Handler, Hold, Route};
use crate::{
    decide::Subject,
    handlers::{
        access, audit, authorize, authzen, catalog, certificates, decisions, entities, overview,
        policies, policy_links, policy_texts, provider, public, queries, query, resources,
        revocations, session, sessions, users,
    },
    limits::Verb,
    load::Priority,
    rpc,
};

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const TEXT: &str = "text/plain";
const FORM: &str = "application/x-www-form-urlencoded";

const fn open(pattern: &'static str, summary: &'static str, handler: Handler) -> Route {
    Route {
        verb: Verb::Get,
        pattern,
        governed: None,
        in_scope_of: None,
        hold: Hold::Open,
        priority: Priority::Vital,
        hides_denied: false,
        query: &[],
        takes: None,
        bodies: Bodies::Recorded,
        summary,
        handler,
    }
}

const fn entrance(pattern: &'static str, entrance: Entrance, summary: &'static str) -> Route {
    Route {
        hold: Hold::Entrance(entrance),
        ..open(pattern, summary, |g, c| Box::pin(session::not_here(g, c)))
    }
}

const fn read(
    pattern: &'static str,
    action: Action,
    subject: Subject,
    summary: &'static str,
    handler: Handler,
) -> Route {
    Route {
        governed: Some((action, subject)),
        hold: Hold::Read,
        priority: Priority::Usual,
        ..open(pattern, summary, handler)
    }
}

const fn change(
    verb: Verb,
    pattern: &'static str,
    action: Action,
    subject: Subject,
    summary: &'static str,
    handler: Handler,
) -> Route {
    Route {
        verb,
        hold: Hold::Change,
        ..read(pattern, action, subject, summary, handler)
    }
}

/// A question with a body: nothing changes, so it runs while its record is written.
const fn ask(pattern: &'static str, summary: &'static str, handler: Handler) -> Route {
    Route {
        verb: Verb::Post,
        ..read(pattern, Action::Call, Subject::ApiPath, summary, handler)
    }
    .taking(JSON)
    .asking()
}

/// A question by gRPC.
const fn call(pattern: &'static str, summary: &'static str, handler: Handler) -> Route {
    ask(pattern, summary, handler).taking(rpc::CONTENT_TYPE)
}

impl Route {
    const fn with_query(mut self, names: &'static [&'static str]) -> Self {
        self.query = names;
        self
    }

    const fn taking(mut self, content_type: &'static str) -> Self {
        self.takes = Some(content_type);
        self
    }

    /// Its handler asks the PDP more than whether it may run, and records that.
    const fn asking(mut self) -> Self {
        self.hold = Hold::Ask;
        self
    }

    /// It is given up when its client goes away.
    const fn stopping(mut self) -> Self {
        self.hold = Hold::Statement;
        self
    }

    /// Its bodies hold secrets.
    const fn secret(mut self) -> Self {
        self.bodies = Bodies::Withheld;
        self
    }

    /// Its answer holds governed data, or entries of the log.
    const fn private(mut self) -> Self {
        self.bodies = Bodies::RequestAlone;
        self
    }

    /// Its handler does this, which is decided on each thing that the body names.
    const fn doing(mut self, action: Action) -> Self {
        self.in_scope_of = Some(action);
        self
    }

    /// It takes long, and can wait.
    const fn bulk(mut self) -> Self {
        self.priority = Priority::Bulk;
        self
    }

    /// It is needed most when there is too much else.
    const fn vital(mut self) -> Self {
        self.priority = Priority::Vital;
        self
    }

    const fn hiding(mut self) -> Self {
        self.hides_denied = true;
        self
    }
}

/// Queries over entries of the log: which entries, then what each query adds.
macro_rules! audit_query {
    ($($own:literal),*) => {
        &[
            "from",
            "to",
            "principal",
            "action",
            "resource",
            "effect",
            "kind",
            "policy",
            "request_id",
            "trace",
            "text",
            $($own),*
        ]
    };
}
/// Which entries of the log.
const AUDIT_FILTER: &[&str] = audit_query!();
/// The same, and which page of them.
const AUDIT_SEARCH: &[&str] = audit_query!("before", "limit");
/// The same, and from where to follow them.
const AUDIT_STREAM: &[&str] = audit_query!("after", "newest");

/// All routes.
pub(crate) static ROUTES: &[Route] = &[
    open("/healthz", "Whether the process lives", |g, c| {
        Box::pin(public::health(g, c))
    }),
    open("/startupz", "Whether it has started", |g, c| {
        Box::pin(public::health(g, c))
    }),
    open("/readyz", "Whether it can serve", |g, c| {
        Box::pin(public::ready(g, c))
    }),
    open("/", "To the console", |g, c| Box::pin(public::root(g, c))),
    open("/console", "To the console", |g, c| {
        Box::pin(public::root(g, c))
    }),
    open("/console/{path...}", "The console", |g, c| {
        Box::pin(public::console(g, c))
    }),
    open("/log/checkpoint", "The newest signed checkpoint", |g, c| {
        Box::pin(public::checkpoint(g, c))
    }),
    read(
        "/log/tile/entries/{path...}",
        Action::SearchAudit,
        Subject::AuditLog,
        "An entry bundle of the log",
        |g, c| Box::pin(audit::bundle(g, c)),
    )
    .vital()
    .private(),
    open("/log/tile/{path...}", "A hash tile of the log", |g, c| {
        Box::pin(public::tile(g, c))
    }),
    open("/log/key", "The verifier key of the log", |g, c| {
        Box::pin(public::key(g, c))
    }),
    open("/api/v1/openapi.json", "The API as OpenAPI 3.1", |g, c| {
        Box::pin(public::openapi(g, c))
    }),
    open("/api/v1/reference", "The API as a page", |g, c| {
        Box::pin(public::reference(g, c))
    }),
    Route {
        verb: Verb::Post,
        ..entrance("/api/v1/session", Entrance::Password, "Log in")
    }
    .taking(JSON),
    open(
        "/api/v1/login/providers",
        "Providers to log in with",
        |g, c| Box::pin(provider::list(g, c)),
    ),
    entrance(
        "/login/{provider}",
        Entrance::Begin,
        "To a provider, to log in",
    )
    .with_query(&["return"]),
    entrance(
        "/login/{provider}/callback",
        Entrance::Callback,
        "Back from a provider",
    )
    .with_query(&["code", "state", "iss", "error"]),
    entrance(
        "/login/{provider}/logout",
        Entrance::Leave,
        "To a provider, to log out there too",
    ),
    entrance(
        "/login/{provider}/ended",
        Entrance::Left,
        "Back from a provider that was left",
    )
    .with_query(&["state"]),
    Route {
        verb: Verb::Post,
        ..entrance(
            "/login/{provider}/backchannel-logout",
            Entrance::BackChannel,
            "A provider says that somebody logged out there",
        )
    }
    .taking(FORM),
    read(
        "/api/v1/session",
        Action::Call,
        Subject::ApiPath,
        "Who am I",
        |g, c| Box::pin(session::who(g, c)),
    )
    .vital(),
    change(
        Verb::Delete,
        "/api/v1/session",
        Action::Call,
        Subject::ApiPath,
        "Log out",
        |g, c| Box::pin(session::log_out(g, c)),
    )
    .vital(),
    read(
        "/api/v1/sessions",
        Action::ViewIdentity,
        Subject::ApiPath,
        "Open sessions",
        |g, c| Box::pin(sessions::list(g, c)),
    )
    .with_query(&["limit"]),
    change(
        Verb::Delete,
        "/api/v1/sessions/{id}",
        Action::ManageIdentity,
        Subject::ApiPath,
        "End a session of anybody",
        |g, c| Box::pin(sessions::end(g, c)),
    ),
    read(
        "/api/v1/users",
        Action::ViewIdentity,
        Subject::ApiPath,
        "Users",
        |g, c| Box::pin(users::list(g, c)),
    ),
    change(
        Verb::Post,
        "/api/v1/users",
        Action::ManageIdentity,
        Subject::ApiPath,
        "Create a user",
        |g, c| Box::pin(users::create(g, c)),
    )
    .secret()
    .taking(JSON),
    change(
        Verb::Put,
        "/api/v1/users/{user}",
        Action::ManageIdentity,
        Subject::ApiPath,
        "Replace a user",
        |g, c| Box::pin(users::replace(g, c)),
    )
    .secret()
    .taking(JSON),
    change(
        Verb::Delete,
        "/api/v1/users/{user}",
        Action::ManageIdentity,
        Subject::ApiPath,
        "Delete a user with its keys and sessions",
        |g, c| Box::pin(users::remove(g, c)),
    ),
    read(
        "/api/v1/apikeys",
        Action::Call,
        Subject::ApiPath,
        "Own API keys",
        |g, c| Box::pin(users::keys(g, c)),
    ),
    change(
        Verb::Post,
        "/api/v1/apikeys",
        Action::Call,
        Subject::ApiPath,
        "Create an API key; it is shown once",
        |g, c| Box::pin(users::create_key(g, c)),
    )
    .secret()
    .taking(JSON),
    change(
        Verb::Post,
        "/api/v1/apikeys/{id}/rotation",
        Action::Call,
        Subject::ApiPath,
        "Replace an own API key; the old one works on for a while",
        |g, c| Box::pin(users::rotate_key(g, c)),
    )
    .secret()
    .taking(JSON),
    change(
        Verb::Delete,
        "/api/v1/apikeys/{id}",
        Action::Call,
        Subject::ApiPath,
        "Delete an own API key",
        |g, c| Box::pin(users::remove_key(g, c)),
    ),
    read(
        "/api/v1/revocations",
        Action::ViewIdentity,
        Subject::ApiPath,
        "Revoked tokens and subjects of issuers",
        |g, c| Box::pin(revocations::list(g, c)),
    )
    .vital(),
    change(
        Verb::Post,
        "/api/v1/revocations",
        Action::ManageIdentity,
        Subject::ApiPath,
        "Revoke a token, or all of a subject until now",
        |g, c| Box::pin(revocations::create(g, c)),
    )
    .vital()
    .taking(JSON),
    change(
        Verb::Post,
        "/api/v1/client-certificates",
        Action::ManageIdentity,
        Subject::ApiPath,
        "Issue a client certificate for a service; its key is shown once",
        |g, c| Box::pin(certificates::create(g, c)),
    )
    .secret()
    .taking(JSON),
    read(
        "/api/v1/certificate-authority",
        Action::Call,
        Subject::ApiPath,
        "The built-in certificate authority, and what clients must trust",
        |g, c| Box::pin(certificates::authority(g, c)),
    ),
    change(
        Verb::Post,
        "/api/v1/certificate-authority/steps",
        Action::ManageIdentity,
        Subject::ApiPath,
        "Take a step of its roll-over, or renew the server's certificate",
        |g, c| Box::pin(certificates::roll_over(g, c)),
    )
    .taking(JSON),
    change(
        Verb::Post,
        "/api/v1/query",
        Action::Query,
        Subject::Workspace,
        "Run one governed SQL statement",
        |g, c| Box::pin(query::run(g, c)),
    )
    .stopping()
    .bulk()
    .private()
    .taking(JSON),
    change(
        Verb::Post,
        "/api/v1/queries",
        Action::Query,
        Subject::Workspace,
        "Begin a governed SQL statement whose result is kept",
        |g, c| Box::pin(queries::submit(g, c)),
    )
    .bulk()
    .taking(JSON),
    read(
        "/api/v1/queries",
        Action::Query,
        Subject::Workspace,
        "Own queries whose results are kept",
        |g, c| Box::pin(queries::list(g, c)),
    ),
    read(
        "/api/v1/queries/{id}",
        Action::Query,
        Subject::Workspace,
        "One of them, with its progress",
        |g, c| Box::pin(queries::status(g, c)),
    ),
    change(
        Verb::Delete,
        "/api/v1/queries/{id}",
        Action::Query,
        Subject::Workspace,
        "Cancel it, or forget its result",
        |g, c| Box::pin(queries::discard(g, c)),
    ),
    read(
        "/api/v1/queries/{id}/rows",
        Action::Query,
        Subject::Workspace,
        "Its rows, or a page of them",
        |g, c| Box::pin(queries::rows(g, c)),
    )
    .asking()
    .private()
    .with_query(&["cursor", "limit", "purpose"]),
    read(
        "/api/v1/policies",
        Action::ViewPolicy,
        Subject::PolicySet,
        "The policies in force",
        |g, c| Box::pin(policies::list(g, c)),
    ),
    read(
        "/api/v1/policies/texts",
        Action::ViewPolicy,
        Subject::PolicySet,
        "The texts that policies come from",
        |g, c| Box::pin(policy_texts::list(g, c)),
    ),
    read(
        "/api/v1/policies/texts/{path...}",
        Action::ViewPolicy,
        Subject::PolicySet,
        "One text",
        |g, c| Box::pin(policy_texts::get(g, c)),
    ),
    change(
        Verb::Put,
        "/api/v1/policies/texts/{path...}",
        Action::ChangePolicy,
        Subject::PolicySet,
        "Apply a policy text",
        |g, c| Box::pin(policy_texts::put(g, c)),
    )
    .taking(TEXT),
    change(
        Verb::Delete,
        "/api/v1/policies/texts/{path...}",
        Action::ChangePolicy,
        Subject::PolicySet,
        "Take an applied policy text away",
        |g, c| Box::pin(policy_texts::delete(g, c)),
    ),
    read(
        "/api/v1/policy-templates",
        Action::ViewPolicy,
        Subject::PolicySet,
        "The templates in force, with their links",
        |g, c| Box::pin(policy_links::templates(g, c)),
    ),
    read(
        "/api/v1/policy-templates/{id}",
        Action::ViewPolicy,
        Subject::PolicySet,
        "One template",
        |g, c| Box::pin(policy_links::template(g, c)),
    ),
    read(
        "/api/v1/policy-links",
        Action::ViewPolicy,
        Subject::PolicySet,
        "The applied links",
        |g, c| Box::pin(policy_links::list(g, c)),
    ),
    read(
        "/api/v1/policy-links/{id}",
        Action::ViewPolicy,
        Subject::PolicySet,
        "One link",
        |g, c| Box::pin(policy_links::get(g, c)),
    ),
    change(
        Verb::Put,
        "/api/v1/policy-links/{id}",
        Action::ChangePolicy,
        Subject::PolicySet,
        "Make a policy of a template",
        |g, c| Box::pin(policy_links::put(g, c)),
    )
    .taking(JSON),
    change(
        Verb::Delete,
        "/api/v1/policy-links/{id}",
        Action::ChangePolicy,
        Subject::PolicySet,
        "Take a link away",
        |g, c| Box::pin(policy_links::delete(g, c)),
    ),
    read(
        "/api/v1/entities",
        Action::ViewPolicy,
        Subject::PolicySet,
        "Entities of one's own types",
        |g, c| Box::pin(entities::list(g, c)),
    )
    .with_query(&["type", "limit", "token"]),
    read(
        "/api/v1/entities/{type}/{path...}",
        Action::ViewPolicy,
        Subject::PolicySet,
        "One entity",
        |g, c| Box::pin(entities::get(g, c)),
    ),
    change(
        Verb::Put,
        "/api/v1/entities/{type}/{path...}",
        Action::ChangePolicy,
        Subject::PolicySet,
        "Apply an entity",
        |g, c| Box::pin(entities::put(g, c)),
    )
    .taking(JSON),
    change(
        Verb::Delete,
        "/api/v1/entities/{type}/{path...}",
        Action::ChangePolicy,
        Subject::PolicySet,
        "Take an applied entity away",
        |g, c| Box::pin(entities::delete(g, c)),
    ),
    change(
        Verb::Post,
        "/api/v1/policies/check",
        Action::AskDecision,
        Subject::PolicySet,
        "Check the texts of a policies folder, without effect",
        |g, c| Box::pin(policy_texts::check(g, c)),
    )
    .bulk()
    .taking(JSON),
    change(
        Verb::Post,
        "/api/v1/policies/test",
        Action::AskDecision,
        Subject::PolicySet,
        "Run the tests of a policies folder, without effect",
        |g, c| Box::pin(policy_texts::test(g, c)),
    )
    .bulk()
    .taking(JSON),
    read(
        "/api/v1/catalog/depots",
        Action::SearchCatalog,
        Subject::Workspace,
        "Depots",
        |g, c| Box::pin(catalog::depots(g, c)),
    ),
    change(
        Verb::Post,
        "/api/v1/catalog/depots/{depot}/scan",
        Action::ScanDepot,
        Subject::Depot,
        "Read a depot's structure",
        |g, c| Box::pin(catalog::scan(g, c)),
    )
    .bulk(),
    read(
        "/api/v1/catalog/datasets",
        Action::SearchCatalog,
        Subject::Workspace,
        "Search datasets",
        |g, c| Box::pin(catalog::search(g, c)),
    )
    .with_query(&["q", "depot", "limit"]),
    read(
        "/api/v1/catalog/datasets/{depot}/{collection}/{name}",
        Action::ViewAsset,
        Subject::Dataset,
        "One dataset",
        |g, c| Box::pin(catalog::dataset(g, c)),
    )
    .hiding(),
    change(
        Verb::Put,
        "/api/v1/catalog/datasets/{depot}/{collection}/{name}/tags",
        Action::TagAsset,
        Subject::Dataset,
        "Set the tags of a dataset or column",
        |g, c| Box::pin(catalog::set_tags(g, c)),
    )
    .taking(JSON),
    read(
        "/api/v1/catalog/datasets/{depot}/{collection}/{name}/lineage",
        Action::ViewAsset,
        Subject::Dataset,
        "Lineage around a dataset",
        |g, c| Box::pin(catalog::lineage(g, c)),
    )
    .hiding(),
    read(
        "/api/v1/resources",
        Action::ListResources,
        Subject::Workspace,
        "Resources",
        |g, c| Box::pin(resources::list(g, c)),
    )
    .with_query(&["type", "name", "workspace", "owner"]),
    change(
        Verb::Post,
        "/api/v1/resources",
        Action::ListResources,
        Subject::Workspace,
        "Apply manifests",
        |g, c| Box::pin(resources::apply(g, c)),
    )
    .doing(Action::ApplyResource)
    .with_query(&["workspace", "plan"])
    .taking(YAML)
    .secret(),
    change(
        Verb::Post,
        "/api/v1/resources/plan",
        Action::ListResources,
        Subject::Workspace,
        "What apply would do",
        |g, c| Box::pin(resources::plan(g, c)),
    )
    .with_query(&["workspace"])
    .taking(YAML)
    .secret(),
    read(
        "/api/v1/resources/{rid}",
        Action::GetResource,
        Subject::Resource,
        "One resource",
        |g, c| Box::pin(resources::get(g, c)),
    ),
    change(
        Verb::Delete,
        "/api/v1/resources/{rid}",
        Action::DeleteResource,
        Subject::Resource,
        "Delete a resource",
        |g, c| Box::pin(resources::delete(g, c)),
    ),
    read(
        "/api/v1/resources/{rid}/log",
        Action::ViewLog,
        Subject::Resource,
        "The log of the newest run",
        |g, c| Box::pin(resources::log(g, c)),
    )
    .with_query(&["job", "lines"]),
    read(
        "/api/v1/audit/entries",
        Action::SearchAudit,
        Subject::AuditLog,
        "Search the audit log",
        |g, c| Box::pin(audit::search(g, c)),
    )
    .vital()
    .with_query(AUDIT_SEARCH)
    .private(),
    read(
        "/api/v1/audit/summary",
        Action::SearchAudit,
        Subject::AuditLog,
        "How many entries match, of what, and when",
        |g, c| Box::pin(audit::summary(g, c)),
    )
    .vital()
    .with_query(AUDIT_FILTER)
    .private(),
    read(
        "/api/v1/audit/stream",
        Action::SearchAudit,
        Subject::AuditLog,
        "Follow the audit log: server-sent events",
        |g, c| Box::pin(audit::follow::follow(g, c)),
    )
    .vital()
    .asking()
    .with_query(AUDIT_STREAM)
    .private(),
    read(
        "/api/v1/audit/entries/{index}",
        Action::SearchAudit,
        Subject::AuditLog,
        "One entry",
        |g, c| Box::pin(audit::get(g, c)),
    )
    .vital()
    .private(),
    read(
        "/api/v1/audit/entries/{index}/proof",
        Action::VerifyAudit,
        Subject::AuditLog,
        "A proof of one entry",
        |g, c| Box::pin(audit::proof(g, c)),
    )
    .vital(),
    read(
        "/api/v1/audit/status",
        Action::VerifyAudit,
        Subject::AuditLog,
        "Figures about the log",
        |g, c| Box::pin(audit::status(g, c)),
    )
    .vital(),
    open(
        "/.well-known/authzen-configuration",
        "Metadata of the decision point (AuthZEN)",
        |g, c| Box::pin(authzen::configuration(g, c)),
    ),
    open(
        "/.well-known/jwks.json",
        "The key that signs the metadata",
        |g, c| Box::pin(authzen::key_set(g, c)),
    ),
    ask(
        "/access/v1/evaluation",
        "One access evaluation (AuthZEN)",
        |g, c| Box::pin(authzen::evaluation(g, c)),
    ),
    ask(
        "/access/v1/evaluations",
        "Several access evaluations (AuthZEN)",
        |g, c| Box::pin(authzen::evaluations(g, c)),
    ),
    ask("/access/v1/search/subject", "Who may (AuthZEN)", |g, c| {
        Box::pin(authzen::subjects(g, c))
    }),
    ask("/access/v1/search/resource", "On what (AuthZEN)", |g, c| {
        Box::pin(authzen::resources(g, c))
    }),
    ask("/access/v1/search/action", "What (AuthZEN)", |g, c| {
        Box::pin(authzen::actions(g, c))
    }),
    call(
        "/dataos.heimdall.v1.Decisions/Decide",
        "One question (gRPC)",
        |g, c| Box::pin(decisions::decide(g, c)),
    ),
    call(
        "/dataos.heimdall.v1.Decisions/DecideAll",
        "Several questions (gRPC)",
        |g, c| Box::pin(decisions::decide_all(g, c)),
    ),
    ask(
        "/heimdall/api/v1/authorize",
        "May the user of a token do this (the original product's form)",
        |g, c| Box::pin(authorize::authorize(g, c)),
    ),
    read(
        "/api/v1/access/can",
        Action::Call,
        Subject::ApiPath,
        "May somebody do this, and why",
        |g, c| Box::pin(access::can(g, c)),
    )
    .with_query(&["principal", "action", "resource", "purpose"])
    .asking(),
    read(
        "/api/v1/access/who-can",
        Action::Call,
        Subject::ApiPath,
        "Who may do this",
        |g, c| Box::pin(access::who_can(g, c)),
    )
    .with_query(&["action", "resource", "type", "purpose", "limit", "token"])
    .asking(),
    read(
        "/api/v1/access/what-can",
        Action::Call,
        Subject::ApiPath,
        "What somebody may do, and on what",
        |g, c| Box::pin(access::what_can(g, c)),
    )
    .with_query(&["principal", "action", "type", "purpose", "limit", "token"])
    .asking(),
    read(
        "/api/v1/access/why/{id}",
        Action::Call,
        Subject::ApiPath,
        "Why a recorded decision came out so",
        |g, c| Box::pin(access::why(g, c)),
    )
    .asking(),
    read(
        "/api/v1/overview",
        Action::ViewHealth,
        Subject::ApiPath,
        "Live figures and health",
        |g, c| Box::pin(overview::overview(g, c)),
    )
    .vital(),
    read(
        "/metrics",
        Action::ViewHealth,
        Subject::ApiPath,
        "Prometheus text",
        |g, c| Box::pin(overview::metrics(g, c)),
    )
    .vital(),
];
