//! The command line: names and flags of the original product where it has them (`-f`, `-w`, `-t`,
//! `-n`), long flags only for what is new.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Talks to a DataOS kernel.
#[derive(Debug, Parser)]
#[command(name = "dataos-ctl", version, about, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Form of the result.
    #[arg(long, global = true, value_enum, default_value = "table")]
    pub(crate) output: Format,
    /// Short for `--output json`.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Context to use instead of the current one.
    #[arg(long, global = true, env = "DATAOS_CONTEXT")]
    pub(crate) context: Option<String>,
    /// No hints on stderr.
    #[arg(long, global = true)]
    pub(crate) no_hints: bool,
}

/// Forms of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for a person.
    Table,
    /// One JSON document.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Log in with a local account (`--user`) or through the server's provider; the API key made for this
    /// machine, or the provider's token, is kept in the context file.
    Login(Login),
    /// Log out: end the key or log-in of a context, and forget the context.
    Logout,
    /// Servers and log-ins known on this machine.
    #[command(subcommand)]
    Context(ContextCommand),
    /// Who the server says you are.
    Whoami,
    /// Apply manifests: resources are created or changed.
    Apply(Apply),
    /// Show what apply would change, without effect.
    Plan(Apply),
    /// List resources, or one with its state.
    Get(Get),
    /// Delete resources.
    Delete(Delete),
    /// Show the log of a run.
    #[command(alias = "logs")]
    Log(Log),
    /// Run one governed SQL statement.
    Query(Query),
    /// Search, show and verify audit records.
    #[command(subcommand)]
    Audit(Audit),
    /// Search the catalog, scan depots, set tags, show lineage.
    #[command(subcommand)]
    Catalog(Catalog),
    /// Policies in force, applied texts, and policies as code.
    #[command(subcommand)]
    Policy(Policy),
    /// Entities of types of one's own, applied over REST.
    #[command(subcommand)]
    Entities(Entities),
    /// May somebody do this? Exit code 3 if not.
    Can(Can),
    /// Who may do this?
    WhoCan(WhoCan),
    /// What may somebody do, and on what?
    WhatCan(WhatCan),
    /// Why a recorded decision came out so, and what was missing.
    Why {
        /// Index of an audit entry, or a request id.
        id: String,
    },
    /// Manage local users.
    #[command(subcommand)]
    User(User),
    /// Manage your own API keys.
    #[command(subcommand)]
    Apikey(Apikey),
    /// Who is logged in.
    #[command(subcommand)]
    Session(Session),
    /// Revoke tokens that other issuers gave out.
    #[command(subcommand)]
    Token(Token),
    /// Client certificates of services.
    #[command(subcommand)]
    Certificate(Certificate),
    /// State of the server's parts.
    Health,
}

#[derive(Debug, Args)]
pub(crate) struct Login {
    /// Address of the server.
    #[arg(long, default_value = "https://127.0.0.1:8443", env = "DATAOS_URL")]
    pub(crate) url: String,
    /// File with the certificate authority that the server's certificate comes from (PEM).
    #[arg(long, env = "DATAOS_CA_FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Local user to log in as. The password is asked for, or read from the variable `DATAOS_PASSWORD`.
    #[arg(long, conflicts_with_all = ["provider", "device"])]
    pub(crate) user: Option<String>,
    /// Name of the provider to log in through, where the server has more than one.
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// Log in with a code that is typed in on another machine, where this one has no browser.
    #[arg(long)]
    pub(crate) device: bool,
    /// Name for the context.
    #[arg(long, default_value = "default")]
    pub(crate) name: String,
    /// Life of the API key, in days.
    #[arg(long, default_value_t = 30)]
    pub(crate) days: u32,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// List contexts; the current one is marked.
    List,
    /// Make a context the current one.
    Select {
        /// Its name.
        name: String,
    },
    /// Forget a context.
    Delete {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// Manifest file, folder with `-R`, or `-` for standard input.
    #[arg(short = 'f', long = "manifestFile", alias = "manifest-file")]
    pub(crate) manifest_file: PathBuf,
    /// Workspace for types that live in one.
    #[arg(short, long, default_value = "public")]
    pub(crate) workspace: String,
    /// Take every .yaml and .yml file of the folder and below.
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
    /// Leave `$NAME` and `${NAME}` as they are.
    #[arg(long)]
    pub(crate) disable_interpolation: bool,
    /// Apply only if the plan still has this digest.
    #[arg(long)]
    pub(crate) plan: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// Type, such as `workflow`.
    #[arg(short = 't', long = "type")]
    pub(crate) resource_type: Option<String>,
    /// Name.
    #[arg(short, long)]
    pub(crate) name: Option<String>,
    /// Workspace.
    #[arg(short, long)]
    pub(crate) workspace: Option<String>,
    /// Owner.
    #[arg(short, long)]
    pub(crate) owner: Option<String>,
    /// Identifier: `type:version:name[:workspace]`; shows the runtime and the manifest.
    #[arg(short, long)]
    pub(crate) identifier: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Identifier: `type:version:name[:workspace]`.
    #[arg(short, long, required_unless_present = "manifest_file")]
    pub(crate) identifier: Option<String>,
    /// Delete what this manifest file declares, in reverse order.
    #[arg(
        short = 'f',
        long = "manifestFile",
        alias = "manifest-file",
        conflicts_with = "identifier"
    )]
    pub(crate) manifest_file: Option<PathBuf>,
    /// Workspace for types that live in one.
    #[arg(short, long, default_value = "public")]
    pub(crate) workspace: String,
}

#[derive(Debug, Args)]
pub(crate) struct Log {
    /// Identifier: `type:version:name[:workspace]`.
    #[arg(short, long)]
    pub(crate) identifier: String,
    /// Only this job.
    #[arg(long)]
    pub(crate) node: Option<String>,
    /// Number of lines from the end.
    #[arg(
        short = 'l',
        long = "tailLines",
        alias = "tail-lines",
        default_value_t = 300
    )]
    pub(crate) tail_lines: u32,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Query {
    #[command(subcommand)]
    pub(crate) command: Option<QueryCommand>,
    /// The statement, or `-` to read it from standard input.
    #[arg(required = true)]
    pub(crate) sql: Option<String>,
    /// The dialect that the statement is written in, if not that of the engine.
    #[arg(long, value_enum)]
    pub(crate) dialect: Option<Dialect>,
    /// Purpose of the query, for policies that ask for one.
    #[arg(long)]
    pub(crate) purpose: Option<String>,
    /// Most rows to return.
    #[arg(long)]
    pub(crate) rows: Option<u64>,
    /// Form of the rows; all but `table` and `json` are printed while they come, without a limit.
    #[arg(long, value_enum)]
    pub(crate) format: Option<RowFormat>,
    /// Begin it and print its id; `query fetch` gives its rows.
    #[arg(long = "async")]
    pub(crate) is_async: bool,
}

/// SQL dialects, by the names that the server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dialect {
    /// ANSI SQL as Trino speaks it.
    #[value(alias = "trino")]
    Ansi,
    /// PostgreSQL.
    Postgresql,
    /// MySQL and MariaDB.
    Mysql,
    /// The embedded engine's.
    Datafusion,
}

/// Forms of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RowFormat {
    /// Columns for a person.
    Table,
    /// One JSON document, with what was enforced.
    Json,
    /// One JSON object a row.
    Ndjson,
    /// RFC 4180 with a header line.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueryCommand {
    /// Your queries whose results are kept, newest first.
    List,
    /// How far one is.
    Status {
        /// Its id.
        id: String,
    },
    /// Cancel one that runs, or forget the result of one that has ended.
    Cancel {
        /// Its id.
        id: String,
    },
    /// The rows of one that succeeded.
    Fetch {
        /// Its id.
        id: String,
        /// Form of the rows.
        #[arg(long, value_enum)]
        format: Option<RowFormat>,
        /// Purpose, if it ran under one.
        #[arg(long)]
        purpose: Option<String>,
        /// Wait until it has ended.
        #[arg(long)]
        wait: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Search records, newest first.
    Search(AuditSearch),
    /// Show one record by index, or all records of a request id.
    Show {
        /// Index or request id.
        record: String,
        /// Also print the proof against the newest checkpoint.
        #[arg(long)]
        proof: bool,
    },
    /// Print the newest records and each new one, oldest first, until interrupted.
    Tail(AuditTail),
    /// Verify, offline, a receipt or a whole log directory.
    Verify(AuditVerify),
    /// Make, offline, the decisions of a log directory again, as recorded or under other policies.
    Replay(AuditReplay),
    /// Size, root and key of the log; how many records, of what, when.
    Stats(AuditFilter),
}

/// Which records; all that is given must hold.
#[derive(Debug, Args)]
pub(crate) struct AuditFilter {
    /// Principal, such as `alice`.
    #[arg(long)]
    pub(crate) principal: Option<String>,
    /// Action, such as `select`.
    #[arg(long)]
    pub(crate) action: Option<String>,
    /// Resource: id or whole name.
    #[arg(long)]
    pub(crate) resource: Option<String>,
    /// `allow` or `deny`.
    #[arg(long)]
    pub(crate) effect: Option<String>,
    /// Kind, such as `decision` or `outcome`.
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// Id of a determining policy.
    #[arg(long)]
    pub(crate) policy: Option<String>,
    /// Request id.
    #[arg(long)]
    pub(crate) request_id: Option<String>,
    /// Trace id: 32 hexadecimal digits of the caller's `traceparent`.
    #[arg(long)]
    pub(crate) trace: Option<String>,
    /// Text anywhere in the record.
    #[arg(long)]
    pub(crate) text: Option<String>,
    /// At or after this time, RFC 3339.
    #[arg(long)]
    pub(crate) from: Option<String>,
    /// Before this time, RFC 3339.
    #[arg(long)]
    pub(crate) to: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct AuditSearch {
    #[command(flatten)]
    pub(crate) filter: AuditFilter,
    /// Most records, at most 1000.
    #[arg(long, default_value_t = 50)]
    pub(crate) limit: u32,
    /// Only records with an index below this one.
    #[arg(long)]
    pub(crate) before: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct AuditTail {
    #[command(flatten)]
    pub(crate) filter: AuditFilter,
    /// Records to begin with, at most 1000.
    #[arg(long, default_value_t = 10)]
    pub(crate) lines: u32,
    /// Print these and end.
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AuditVerify {
    /// The text of a `DataOS-Receipt` header; `-` reads one receipt a line from standard input.
    #[arg(required_unless_present = "log")]
    pub(crate) receipt: Option<String>,
    /// Directory of a log (`audit` in the data directory): every entry is checked.
    #[arg(long, conflicts_with = "receipt")]
    pub(crate) log: Option<PathBuf>,
    /// File with the log's public key (a note verifier key); default: the key kept at log-in.
    #[arg(long)]
    pub(crate) key: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct AuditReplay {
    /// Directory of a log (`audit` in the data directory) that nobody writes to, or a copy of one; it
    /// is verified first.
    #[arg(long)]
    pub(crate) log: PathBuf,
    /// Policies folder to decide by, in the place of the files that were in force.
    #[arg(long)]
    pub(crate) policies: Option<PathBuf>,
    /// File with the log's public key (a note verifier key); default: the key kept at log-in.
    #[arg(long)]
    pub(crate) key: Option<PathBuf>,
    /// Most decisions that are listed.
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: usize,
    /// Write every decision that differs to this new file, one line of JSON each.
    #[arg(long, value_name = "FILE")]
    pub(crate) flips: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Catalog {
    /// Search datasets by name, tag or description.
    Search {
        /// Words; all must match. None lists everything visible.
        words: Vec<String>,
        /// Only this depot.
        #[arg(long)]
        depot: Option<String>,
    },
    /// Show one dataset: columns, types, tags.
    Show {
        /// `dataos://depot:collection/dataset` or `depot.collection.dataset`.
        dataset: String,
    },
    /// List depots.
    Depots,
    /// Read a depot's structure.
    Scan {
        /// Name of the depot.
        depot: String,
    },
    /// Set the tags of a dataset or column; without tags, remove them.
    Tag {
        /// The dataset.
        dataset: String,
        /// The column; the dataset itself if left out.
        #[arg(long)]
        column: Option<String>,
        /// Tags, such as `PII.email`.
        tags: Vec<String>,
    },
    /// Show where columns come from and where they go.
    Lineage {
        /// The dataset.
        dataset: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// List the policies in force.
    List,
    /// Show the text of one policy.
    Show {
        /// Its id.
        id: String,
    },
    /// List the texts that policies come from, or show one with its ETag (`--json`).
    Get {
        /// Its name: that of an applied text, a file or a resource.
        name: Option<String>,
    },
    /// Apply a policy text: checked, in force at once, kept over restarts.
    Put(PolicyPut),
    /// Take an applied policy text away.
    Delete {
        /// Its name.
        name: String,
        /// Only if the text still has this ETag.
        #[arg(long)]
        etag: Option<String>,
    },
    /// Make a policy of a template, or change which; kept over restarts.
    Link(PolicyLink),
    /// Take a link away.
    Unlink {
        /// Its id.
        id: String,
        /// Only if the link still has this ETag.
        #[arg(long)]
        etag: Option<String>,
    },
    /// List the links of templates.
    Links,
    /// Check a policies folder: syntax, types on each dataset, lints, layout.
    Check(PolicyCheck),
    /// Run the tests of a policies folder and say which policies no test covers.
    Test(PolicyTest),
    /// Print who may do what, or compare it with the committed snapshot.
    Matrix {
        /// The policies folder.
        #[arg(default_value = "policies")]
        folder: PathBuf,
        /// Fail if the snapshot in the folder (`matrix.txt`) differs.
        #[arg(long, conflicts_with = "write")]
        check: bool,
        /// Write the snapshot.
        #[arg(long)]
        write: bool,
    },
    /// Show which policies and which cells of the matrix differ between two git revisions.
    Diff {
        /// `BASE..HEAD`; `BASE..` compares with the files as they are.
        revisions: String,
        /// The policies folder.
        #[arg(default_value = "policies")]
        folder: PathBuf,
    },
    /// Lay policy files out.
    Format {
        /// The policies folder.
        #[arg(default_value = "policies")]
        folder: PathBuf,
        /// Change nothing; fail if a file would change.
        #[arg(long)]
        check: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Entities {
    /// List the entities of own types.
    List {
        /// Only of this type: `record`, or whole, `Shop::Record`.
        #[arg(long = "type")]
        of: Option<String>,
        /// Most entities.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// Where the page before ended.
        #[arg(long)]
        token: Option<String>,
    },
    /// Show one entity in Cedar's JSON form, with its ETag (`--json`).
    Get {
        /// Its type.
        of: String,
        /// Its id.
        id: String,
    },
    /// Apply an entity: checked, known at once, kept over restarts.
    Put {
        /// Its type.
        of: String,
        /// Its id.
        id: String,
        /// File with the entity as Cedar's JSON has it, or `-` for standard input.
        #[arg(short, long)]
        file: PathBuf,
        /// Replace the entity that has this ETag; without it the entity must be new.
        #[arg(long)]
        etag: Option<String>,
    },
    /// Take an applied entity away.
    Delete {
        /// Its type.
        of: String,
        /// Its id.
        id: String,
        /// Only if the entity still has this ETag.
        #[arg(long)]
        etag: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct PolicyLink {
    /// Id of the policy that it makes: a to z, 0 to 9, `.`, `_` and `-`.
    pub(crate) id: String,
    /// Id of the template.
    #[arg(short, long)]
    pub(crate) template: String,
    /// Entity for `?principal`, such as `role:analyst`.
    #[arg(short, long)]
    pub(crate) principal: Option<String>,
    /// Entity for `?resource`, such as `dataos://shop:main/orders`.
    #[arg(short, long)]
    pub(crate) resource: Option<String>,
    /// Replace the link that has this ETag; without it the link must be new.
    #[arg(long)]
    pub(crate) etag: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PolicyPut {
    /// Name of the text: a to z, 0 to 9, `.`, `_` and `-`.
    pub(crate) name: String,
    /// File with Cedar policies, or `-` for standard input.
    #[arg(short, long)]
    pub(crate) file: PathBuf,
    /// Replace the text that has this ETag; without it the text must be new.
    #[arg(long)]
    pub(crate) etag: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PolicyCheck {
    /// The policies folder.
    #[arg(default_value = "policies")]
    pub(crate) folder: PathBuf,
    /// Fail on warnings too.
    #[arg(long)]
    pub(crate) deny_warnings: bool,
    /// Also write the findings as SARIF 2.1.0.
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    pub(crate) sarif: Option<PathBuf>,
    /// Check in the server of the context, against its datasets.
    #[arg(long)]
    pub(crate) server: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PolicyTest {
    /// The policies folder.
    #[arg(default_value = "policies")]
    pub(crate) folder: PathBuf,
    /// Fail if a policy decides no case.
    #[arg(long)]
    pub(crate) require_coverage: bool,
    /// Also write the results as JUnit XML.
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    pub(crate) junit: Option<PathBuf>,
    /// Run in the server of the context, beside what is known there.
    #[arg(long)]
    pub(crate) server: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Can {
    /// User id, `user:ID`, `service:ID`, or `me`.
    pub(crate) principal: String,
    /// Action, such as `select`.
    pub(crate) action: String,
    /// Resource: `dataos://depot:collection/dataset`, `depot.collection.dataset`,
    /// `type:version:name`, `/api/path`, or `TYPE:ID`.
    pub(crate) resource: String,
    /// Purpose, for policies that ask for one.
    #[arg(long)]
    pub(crate) purpose: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct WhoCan {
    /// Action, such as `select`.
    pub(crate) action: String,
    /// Resource, written as for `can`.
    pub(crate) resource: String,
    /// Type of principals.
    #[arg(long = "type", default_value = "user")]
    pub(crate) principal_type: String,
    /// Purpose, for policies that ask for one.
    #[arg(long)]
    pub(crate) purpose: Option<String>,
    /// Most results, at most 1000.
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: u32,
    /// Token of the next page.
    #[arg(long)]
    pub(crate) token: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct WhatCan {
    /// User id, `user:ID`, `service:ID`, or `me`.
    pub(crate) principal: String,
    /// Action; all if left out.
    pub(crate) action: Option<String>,
    /// Only resources of this type, such as `dataset`.
    #[arg(long = "type")]
    pub(crate) resource_type: Option<String>,
    /// Purpose, for policies that ask for one.
    #[arg(long)]
    pub(crate) purpose: Option<String>,
    /// Most results of each type, at most 1000.
    #[arg(long)]
    pub(crate) limit: Option<u32>,
    /// Token of the next page.
    #[arg(long)]
    pub(crate) token: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// List users, or one.
    Get {
        /// User id.
        #[arg(short, long)]
        id: Option<String>,
    },
    /// Create a user. The password is asked for, or read from the variable `DATAOS_NEW_PASSWORD`.
    Create(UserFields),
    /// Change a user; what is not given stays.
    Update(UserFields),
    /// Delete a user; keys and sessions end.
    Delete {
        /// User id.
        #[arg(short, long)]
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct UserFields {
    /// User id.
    #[arg(short, long)]
    pub(crate) id: String,
    /// Full name.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Group; may be repeated.
    #[arg(long = "group")]
    pub(crate) groups: Vec<String>,
    /// Role; may be repeated.
    #[arg(long = "role")]
    pub(crate) roles: Vec<String>,
    /// Tag, such as `users:dataos:analyst`; may be repeated.
    #[arg(short, long = "tag")]
    pub(crate) tags: Vec<String>,
    /// Attribute as `name=value`; may be repeated.
    #[arg(long = "attribute")]
    pub(crate) attributes: Vec<String>,
    /// Set a new password (update only).
    #[arg(long)]
    pub(crate) set_password: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Apikey {
    /// List your keys.
    Get,
    /// Make a key; it is shown once.
    Create {
        /// What it is for.
        #[arg(short, long)]
        name: String,
        /// Life, such as `24h` or `30d`.
        #[arg(short, long, default_value = "24h")]
        duration: String,
        /// What it is limited to: `action:NAME` or `route:METHOD PATH`; may be repeated.
        #[arg(short, long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
    },
    /// Make a key in the place of another, with its name, life and scopes; it is shown once. The key of
    /// the context is replaced in the context file instead.
    Rotate {
        /// Id of the old key.
        #[arg(short, long)]
        id: String,
        /// How long the old key works on, such as `1h`; `0s` ends it at once.
        #[arg(long, default_value = "1h")]
        overlap: String,
    },
    /// Delete a key.
    Delete {
        /// Its id.
        #[arg(short, long)]
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Session {
    /// List open sessions, those used last first.
    Get {
        /// How many at most.
        #[arg(short, long, default_value_t = 100)]
        limit: u32,
    },
    /// End a session at once.
    End {
        /// Its id, which is the credential of its audit records.
        #[arg(short, long)]
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// List what is revoked.
    Get,
    /// Refuse a token, or all that a subject was given until now, from now on.
    Revoke {
        /// The issuer, as the configuration names it.
        #[arg(long)]
        issuer: String,
        /// `jti` of the token.
        #[arg(long, required_unless_present = "subject", conflicts_with = "subject")]
        jti: Option<String>,
        /// `sub` of the tokens.
        #[arg(long)]
        subject: Option<String>,
        /// How long it is remembered, such as `30d`: longer than such tokens live.
        #[arg(short, long, default_value = "366d")]
        duration: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Certificate {
    /// Issue one by the built-in CA, as the files NAME.pem and NAME.key; the key exists nowhere else.
    Create {
        /// Name of the service.
        #[arg(short, long)]
        name: String,
        /// Life, such as `24h` or `30d`.
        #[arg(short, long, default_value = "30d")]
        duration: String,
        /// Folder for the files.
        #[arg(long, value_name = "FOLDER", default_value = ".")]
        out: PathBuf,
    },
    /// Show the built-in CA. The context in use trusts what is shown from now on.
    Authority,
    /// Replace the built-in CA, step by step: `announce`, then `issue`, then `finish`.
    RollOver {
        #[arg(value_enum)]
        step: RollOverStep,
    },
    /// Replace the server's own certificate and key; the CA stays.
    Renew,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RollOverStep {
    /// Make the next CA; it is trusted from now on.
    Announce,
    /// Drop the next CA again.
    Cancel,
    /// Issue by the next CA from now on; the old one is still trusted.
    Issue,
    /// Trust the old CA no more.
    Finish,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_original_spellings_parse() {
        for line in [
            "apply -f a.yaml -w sandbox -R",
            "apply --manifestFile a.yaml",
            "get -t workflow -w public",
            "log -i workflow:v1:x:public -l 10",
            "logs -i workflow:v1:x:public",
            "delete -i depot:v1:x",
            "user get -i alice",
            "can alice select dataos://crm:main/people",
            "who-can select crm.main.people --type service",
            "what-can me",
            "what-can alice select --type dataset",
            "why 17",
        ] {
            let words = std::iter::once("dataos-ctl").chain(line.split(' '));
            assert!(Arguments::try_parse_from(words).is_ok(), "{line}");
        }
    }
}
