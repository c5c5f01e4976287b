//! `workflow`: a DAG of jobs.

use std::collections::BTreeMap;

use dataos_model::fault::Fault;

use super::{Body, Parsed, Reference, check_name, retry, retry::Retry};
use crate::{
    fields::{Fields, Unknown, expected, items_of, nearest, not_supported, text_of, wrong},
    graph,
    yaml::{Content, Node},
};

/// Most jobs of one workflow.
const JOBS_MAX: usize = 10_000;

/// Stacks of the original product that cannot run here yet.
const RECOGNISED_STACKS: &[&str] = &[
    "flare",
    "bento",
    "soda+python",
    "soda",
    "dbt",
    "flash",
    "steampipestack",
    "nilus",
    "benthos",
];
const SUPPORTED_STACKS: &str = "supported: container, python3, dataos-ctl, sql, scanner";

/// A workflow as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Workflow {
    /// In order of the text.
    pub(crate) jobs: Vec<Job>,
}

/// One job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) stack: String,
    pub(crate) dependencies: Vec<String>,
    pub(crate) retry: Retry,
    pub(crate) work: Work,
}

/// What a job does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// A local process.
    Process {
        /// Program and arguments.
        command: Vec<String>,
        /// Environment, beside the fixed one.
        environment: BTreeMap<String, String>,
        /// Secrets that it gets as files.
        secrets: Vec<SecretUse>,
    },
    /// A statement through the query layer.
    Sql(String),
    /// A scan of a depot.
    Scan(String),
}

/// A secret that a job uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SecretUse {
    pub(crate) workspace: String,
    pub(crate) name: String,
    /// All keys, if `None`.
    pub(crate) keys: Option<Vec<String>>,
}

/// Reads the `workflow` section.
pub(super) fn read(fields: &Fields<'_>, workspace: &str) -> Result<Parsed, Fault> {
    fields.without_effect(&["title", "description", "tags"]);
    fields.not_supported(&["schedule"])?;
    fields.required("dag")?;
    let items = fields.list("dag")?;
    if items.is_empty() || items.len() > JOBS_MAX {
        return Err(fields.fault("dag", format!("`dag` must hold 1 to {JOBS_MAX} jobs")));
    }
    let mut references = Vec::new();
    let mut jobs: Vec<Job> = Vec::with_capacity(items.len());
    for (path, node) in &items {
        let job = job(node, path, workspace, fields, &mut references)?;
        if jobs.iter().any(|other| other.name == job.name) {
            let problem = format!("two jobs are named `{}`", job.name);
            return Err(wrong(node.place, &format!("{path}.name"), problem));
        }
        jobs.push(job);
    }
    fields.finish()?;
    check_dag(&jobs, &items)?;
    Ok(Parsed {
        body: Body::Workflow(Workflow { jobs }),
        references,
        secrets: Vec::new(),
    })
}

fn check_dag(jobs: &[Job], items: &[(String, &Node)]) -> Result<(), Fault> {
    let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
    for (job, (path, node)) in jobs.iter().zip(items) {
        let missing = job
            .dependencies
            .iter()
            .find(|name| !names.contains(&name.as_str()));
        if let Some(missing) = missing {
            let place = node
                .member("dependencies")
                .map_or(node.place, |node| node.place);
            let problem = format!(
                "job `{}` waits for `{missing}`, which does not exist",
                job.name
            );
            let fault = wrong(place, &format!("{path}.dependencies"), problem);
            return Err(match nearest(missing, &names) {
                Some(name) => fault.with_hint(format!("did you mean `{name}`?")),
                None => fault,
            });
        }
    }
    let edges = jobs
        .iter()
        .map(|job| (job.name.clone(), job.dependencies.clone()))
        .collect();
    match graph::order(&edges) {
        Ok(_) => Ok(()),
        Err(cycle) => {
            let start = cycle.first().map(String::as_str).unwrap_or_default();
            let place = jobs
                .iter()
                .position(|job| job.name == start)
                .and_then(|at| items.get(at));
            let (path, node) = place.map_or(("workflow.dag", None), |(p, n)| (p, Some(n)));
            let problem = format!("the jobs wait for each other: {}", cycle.join(" -> "));
            Err(wrong(
                node.map(|node| node.place).unwrap_or_default(),
                path,
                problem,
            )
            .with_hint("take one of these dependencies out"))
        }
    }
}

fn job(
    node: &Node,
    path: &str,
    workspace: &str,
    parent: &Fields<'_>,
    references: &mut Vec<Reference>,
) -> Result<Job, Fault> {
    let fields = Fields::of(node, path, Unknown::Warn, parent.warnings())?;
    let name = fields.required_text("name")?.to_owned();
    check_name(&name, "job").map_err(|problem| fields.fault("name", problem))?;
    fields.without_effect(&["title", "description", "tags", "gcWhenComplete"]);
    fields.not_supported(&["file"])?;
    let dependencies = dependencies(&fields)?;
    let retry = retry::read(&fields)?;
    fields.required("spec")?;
    let spec = fields
        .fields("spec")?
        .ok_or_else(|| fields.missing("spec"))?;
    let stack = spec.required_text("stack")?.to_owned();
    let work = work(&spec, &stack, workspace, references)?;
    fields.finish()?;
    Ok(Job {
        name,
        stack,
        dependencies,
        retry,
        work,
    })
}

/// A list of names, or one name; `dependency` is the older spelling.
fn dependencies(fields: &Fields<'_>) -> Result<Vec<String>, Fault> {
    let mut names: Vec<String> = Vec::new();
    for key in ["dependencies", "dependency"] {
        match fields.node(key) {
            None => {}
            Some(Node {
                content: Content::Text(name),
                ..
            }) => names.push(name.clone()),
            Some(_) => names.extend(fields.texts(key)?),
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

fn work(
    spec: &Fields<'_>,
    stack: &str,
    workspace: &str,
    references: &mut Vec<Reference>,
) -> Result<Work, Fault> {
    spec.without_effect(&[
        "title",
        "tags",
        "logLevel",
        "compute",
        "resources",
        "topology",
    ]);
    spec.not_supported(&[
        "dryRun",
        "runAsUser",
        "runAsApiKey",
        "configs",
        "secrets",
        "dataosVolumes",
        "tempVolume",
        "persistentVolume",
    ])?;
    spec.required("stackSpec")?;
    let stack_spec = spec
        .fields("stackSpec")?
        .ok_or_else(|| spec.missing("stackSpec"))?;
    let kind = stack.split(':').next().unwrap_or(stack);
    let work = match kind {
        "container" => process(spec, &stack_spec, None, workspace, references)?,
        "python3" => process(spec, &stack_spec, Some("python3"), workspace, references)?,
        "dataos-ctl" => process(spec, &stack_spec, Some("dataos-ctl"), workspace, references)?,
        "sql" => {
            no_process_fields(spec)?;
            Work::Sql(stack_spec.required_text("sql")?.to_owned())
        }
        "scanner" => {
            no_process_fields(spec)?;
            let depot = stack_spec.required_text("depot")?.to_owned();
            references.push(Reference {
                resource_type: "depot",
                name: depot.clone(),
                workspace: None,
                place: stack_spec.required("depot")?.place,
                field: stack_spec.path("depot"),
            });
            Work::Scan(depot)
        }
        word if RECOGNISED_STACKS.contains(&word) => {
            let problem = format!("stack `{word}` is recognised and not supported yet");
            return Err(not_supported(spec.fault("stack", problem)).with_hint(SUPPORTED_STACKS));
        }
        word => {
            let problem = format!("unknown stack `{word}`");
            return Err(spec.fault("stack", problem).with_hint(SUPPORTED_STACKS));
        }
    };
    stack_spec.finish()?;
    spec.finish()?;
    Ok(work)
}

/// Fields that only a process has must not be silently lost on the built-in stacks.
fn no_process_fields(spec: &Fields<'_>) -> Result<(), Fault> {
    for name in ["envs", "dataosSecrets"] {
        if spec.node(name).is_some() {
            return Err(spec.fault(name, format!("`{name}` does not apply to this stack")));
        }
    }
    Ok(())
}

fn process(
    spec: &Fields<'_>,
    stack_spec: &Fields<'_>,
    program: Option<&str>,
    workspace: &str,
    references: &mut Vec<Reference>,
) -> Result<Work, Fault> {
    if stack_spec.node("image").is_some() {
        let problem = "images cannot run on the local process runtime";
        return Err(not_supported(stack_spec.fault("image", problem))
            .with_hint("leave `image` out to run the command on the server itself"));
    }
    let mut command = match stack_spec.node("command") {
        Some(Node {
            content: Content::Text(word),
            ..
        }) => vec![word.clone()],
        Some(_) => stack_spec.texts("command")?,
        None => program.map(str::to_owned).into_iter().collect(),
    };
    if command.first().is_none_or(String::is_empty) {
        return Err(stack_spec
            .missing("command")
            .with_hint("write `command: [program, argument]`"));
    }
    command.extend(stack_spec.texts("args")?);
    command.extend(stack_spec.texts("arguments")?);
    if command.iter().any(|word| word.contains('\0')) {
        return Err(stack_spec.fault("command", "a word holds a NUL character"));
    }
    let environment = environment(spec)?;
    let mut secrets = Vec::new();
    for (path, node) in spec.list("dataosSecrets")? {
        secrets.push(secret_use(node, &path, workspace, spec, references)?);
    }
    Ok(Work::Process {
        command,
        environment,
        secrets,
    })
}

fn environment(spec: &Fields<'_>) -> Result<BTreeMap<String, String>, Fault> {
    let Some(node) = spec.node("envs") else {
        return Ok(BTreeMap::new());
    };
    let path = spec.path("envs");
    let Content::Map(members) = &node.content else {
        return Err(expected(node, &path, "a mapping"));
    };
    let mut environment = BTreeMap::new();
    for member in members {
        let field = format!("{path}.{}", member.key);
        let is_name = member
            .key
            .starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && member
                .key
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name || member.key.starts_with("DATAOS_") {
            let problem = format!("`{}` is not a name for a variable", member.key);
            return Err(wrong(member.place, &field, problem)
                .with_hint("letters, digits and `_`; `DATAOS_...` is the platform's own"));
        }
        let value = text_of(&member.node, &field)?;
        if value.contains('\0') {
            return Err(wrong(
                member.node.place,
                &field,
                "the value holds a NUL character",
            ));
        }
        environment.insert(member.key.clone(), value.to_owned());
    }
    Ok(environment)
}

fn secret_use(
    node: &Node,
    path: &str,
    workspace: &str,
    spec: &Fields<'_>,
    references: &mut Vec<Reference>,
) -> Result<SecretUse, Fault> {
    let fields = Fields::of(node, path, Unknown::Refuse, spec.warnings())?;
    let name = fields.required_text("name")?.to_owned();
    let workspace = fields.text("workspace")?.unwrap_or(workspace).to_owned();
    let mut keys: Vec<String> = fields.text("key")?.map(str::to_owned).into_iter().collect();
    if let Some(list) = fields.node("keys") {
        for (path, item) in items_of(list, &fields.path("keys"))? {
            keys.push(text_of(item, &path)?.to_owned());
        }
    }
    let all = fields.flag("allKeys")?.unwrap_or(keys.is_empty());
    match fields.text("consumptionType")? {
        None | Some("propFile") => {}
        Some("envVars") => spec.warnings().add(format!(
            "line {}: `{path}.consumptionType: envVars`: values are never put into the \
             environment; DATAOS_SECRET_<NAME>_<KEY>_FILE names a file",
            node.place.line
        )),
        Some(word) => {
            let problem = format!("expected envVars or propFile, found `{word}`");
            return Err(fields.fault("consumptionType", problem));
        }
    }
    fields.finish()?;
    references.push(Reference {
        resource_type: "secret",
        name: name.clone(),
        workspace: Some(workspace.clone()),
        place: node.place,
        field: path.to_owned(),
    });
    Ok(SecretUse {
        workspace,
        name,
        keys: (!all).then_some(keys),
    })
}
