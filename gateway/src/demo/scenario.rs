//! The scenario, in the order in which it is told.

use std::time::Duration;

use dataos_model::fault::Fault;
use serde_json::json;

use super::{
    SampleData,
    client::{Answer, Person, Receipts, http},
    people::{Login, PEOPLE},
    screen::{Screen, array, at},
};
use crate::app::RunningApp;

/// Number of synthetic customers.
pub(super) const CUSTOMERS: u64 = 5_000;

const CUSTOMERS_SQL: &str = "SELECT id, full_name, email, phone, region, salary \
     FROM crm.main.customers ORDER BY id LIMIT 3";
const COUNT_SQL: &str = "SELECT count(*) AS customers, count(DISTINCT region) AS regions, \
     min(salary) AS lowest_salary FROM crm.main.customers";
const TAGS: [(&str, &str); 5] = [
    ("full_name", "PII.name"),
    ("email", "PII.email"),
    ("phone", "PII.phone"),
    ("national_id", "PII.national_id"),
    ("salary", "Finance.salary"),
];
/// Longest wait for the workflow.
const WORKFLOW_TIMEOUT: Duration = Duration::from_secs(60);

/// The running server and the data it is shown.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    pub(super) app: &'a RunningApp,
    pub(super) data: &'a SampleData,
}

impl Stage<'_> {
    /// Plays the whole scenario; the log-ins for the reader to go on with.
    pub(super) async fn run(&self, screen: &mut Screen) -> Result<Vec<Login>, Fault> {
        let receipts = Receipts::default();
        let url = format!("https://{}", self.app.address());
        let http = http(self.app.ca_pem())?;
        let (admin_name, admin_password) = self
            .app
            .first_login()
            .ok_or_else(|| Fault::internal("a fresh data directory has no first log-in"))?;
        let admin = Person::log_in(&http, &url, admin_name, admin_password, &receipts).await?;
        let mut logins = vec![Login {
            name: admin_name.to_owned(),
            password: admin_password.to_owned(),
        }];
        self.set_up(screen, &admin).await?;
        let mut people = Vec::new();
        for sample in PEOPLE {
            let password = format!("{}-{}", sample.name, uuid::Uuid::new_v4().simple());
            let created = admin.post("/api/v1/users", &sample.body(&password)).await?;
            screen.check(
                &format!("user {} created", sample.name),
                created.status == 201,
            );
            people.push(Person::log_in(&http, &url, sample.name, &password, &receipts).await?);
            logins.push(Login {
                name: sample.name.to_owned(),
                password,
            });
        }
        let [emea, amer, privacy, contractor, auditor] = people.as_slice() else {
            return Err(Fault::internal("the demo has five people"));
        };
        let readers = [emea, amer, privacy, contractor];
        same_sql(screen, &readers).await?;
        tpch(screen, emea).await?;
        denials(screen, contractor, auditor).await?;
        workflow(screen, &admin, emea, contractor).await?;
        explain(screen, contractor).await?;
        audit(screen, auditor, contractor).await?;
        let key = http.get(format!("{url}/log/key")).send().await;
        let key = match key {
            Ok(response) => response.text().await.unwrap_or_default(),
            Err(error) => return Err(Fault::internal(format!("/log/key: {error}"))),
        };
        verify(screen, &receipts, key.trim());
        Ok(logins)
    }

    async fn set_up(&self, screen: &mut Screen, admin: &Person) -> Result<(), Fault> {
        screen.heading("The administrator declares depots, tags and policies");
        let depots = include_str!("depots.yaml")
            .replace("${CRM}", &self.data.crm.to_string_lossy())
            .replace("${TPCH}", &self.data.tpch.to_string_lossy());
        applied(screen, admin, depots).await?;
        let found = admin.get("/api/v1/catalog/datasets?limit=100").await?;
        let names: Vec<String> = array(&found.body, "datasets")
            .iter()
            .map(|dataset| {
                at(dataset, "/sql_name")
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect();
        screen.line(&format!("   catalog: {}", names.join(", ")));
        let own = names.iter().filter(|name| !name.starts_with("system."));
        screen.check("both depots were scanned: 9 datasets", own.count() == 9);
        for (column, tag) in TAGS {
            let body = json!({"column": column, "tags": [tag]});
            let tagged = admin
                .put("/api/v1/catalog/datasets/crm/main/customers/tags", &body)
                .await?;
            screen.check(
                &format!("column {column} is tagged {tag}"),
                tagged.status == 200,
            );
        }
        applied(screen, admin, include_str!("policies.yaml").to_owned()).await
    }
}

async fn applied(screen: &mut Screen, admin: &Person, manifests: String) -> Result<(), Fault> {
    let answer = admin.apply(manifests).await?;
    if answer.status != 200 {
        return Err(Fault::internal(format!(
            "apply was refused: {}",
            answer.body
        )));
    }
    for outcome in array(&answer.body, "outcomes") {
        let text = |field: &str| {
            at(outcome, &format!("/{field}"))
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        screen.check(
            &format!("{} {}", text("id"), text("change")),
            text("change") == "created",
        );
    }
    Ok(())
}

/// The heart: one statement, four people.
async fn same_sql(screen: &mut Screen, readers: &[&Person; 4]) -> Result<(), Fault> {
    screen.heading("The same SQL as four people");
    screen.line(&format!("   {CUSTOMERS_SQL}"));
    let mut seen = Vec::new();
    for person in readers {
        let (rows, counts) = (
            person.query(CUSTOMERS_SQL).await?,
            person.query(COUNT_SQL).await?,
        );
        screen.line(&format!("\n   -- {}", person.name));
        screen.result(&rows.body);
        screen.enforced(&rows.body);
        screen.check("answered", rows.status == 200 && counts.status == 200);
        seen.push(Seen {
            name: person.name.clone(),
            rows,
            counts,
        });
    }
    side_by_side(screen, &seen);
    Ok(())
}

/// What one person was answered.
#[derive(Debug)]
struct Seen {
    name: String,
    rows: Answer,
    counts: Answer,
}

impl Seen {
    fn count(&self, column: usize) -> Option<u64> {
        at(&self.counts.body, &format!("/rows/0/{column}")).as_u64()
    }

    /// `plain`, `absent` or the name of the mask.
    fn outcome(&self, column: &str) -> String {
        let table = at(&self.rows.body, "/certificate/tables/0");
        array(table, "columns")
            .iter()
            .find(|found| at(found, "/name") == column)
            .and_then(|found| at(found, "/outcome").as_str()?.split('(').next())
            .unwrap_or("absent")
            .to_owned()
    }

    fn reads_email(&self) -> bool {
        at(&self.rows.body, "/rows/0/2")
            .as_str()
            .is_some_and(|email| email.contains('@'))
    }
}

fn side_by_side(screen: &mut Screen, seen: &[Seen]) {
    screen.line("\n   Side by side:");
    let columns = ["full_name", "email", "phone", "salary", "national_id"];
    let header = ["user", "customers", "regions"].iter().chain(&columns);
    let table: Vec<Vec<String>> = seen
        .iter()
        .map(|seen| {
            let counts = [0, 1].map(|column| seen.count(column).unwrap_or(0).to_string());
            std::iter::once(seen.name.clone())
                .chain(counts)
                .chain(columns.map(|column| seen.outcome(column)))
                .collect()
        })
        .collect();
    screen.table(&header.map(ToString::to_string).collect::<Vec<_>>(), &table);
    let [emea, amer, privacy, contractor] = seen else {
        screen.check("four people were answered", false);
        return;
    };
    screen.check(
        "the privacy officer sees every customer",
        privacy.count(0) == Some(CUSTOMERS),
    );
    screen.check(
        "the contractor sees every row, masked",
        contractor.count(0) == Some(CUSTOMERS),
    );
    let is_part = |seen: &Seen| {
        seen.count(1) == Some(1)
            && seen
                .count(0)
                .is_some_and(|count| 0 < count && count < CUSTOMERS)
    };
    screen.check(
        "each analyst sees a part, and only of one region",
        is_part(emea) && is_part(amer),
    );
    screen.check(
        "the privacy officer reads e-mail addresses",
        privacy.reads_email(),
    );
    screen.check(
        "nobody else does",
        ![emea, amer, contractor]
            .iter()
            .any(|seen| seen.reads_email()),
    );
}

async fn tpch(screen: &mut Screen, analyst: &Person) -> Result<(), Fault> {
    screen.heading("TPC-H, allowed whole: the governed plan is the ungoverned one");
    let sql = "SELECT l_returnflag, count(*) AS lines, sum(l_quantity) AS quantity \
         FROM tpch.main.lineitem GROUP BY l_returnflag ORDER BY l_returnflag";
    screen.line(&format!("   {sql}"));
    let answer = analyst.query(sql).await?;
    screen.result(&answer.body);
    screen.check("three return flags", array(&answer.body, "rows").len() == 3);
    Ok(())
}

async fn denials(screen: &mut Screen, contractor: &Person, auditor: &Person) -> Result<(), Fault> {
    screen.heading("Denials say why");
    for (person, sql, expected) in [
        (contractor, "SELECT count(*) FROM tpch.main.orders", 403),
        (auditor, CUSTOMERS_SQL, 403),
        (
            contractor,
            "SELECT national_id FROM crm.main.customers",
            404,
        ),
        (
            contractor,
            "SELECT * FROM read_parquet('customers.parquet')",
            422,
        ),
        (contractor, "DROP TABLE crm.main.customers", 422),
    ] {
        let answer = person.query(sql).await?;
        screen.line(&format!("   {}: {sql}", person.name));
        screen.line(&format!(
            "      {} {} {}",
            answer.status,
            answer.text("reason"),
            answer.text("detail")
        ));
        let is_refused = answer.status == expected;
        screen.check("refused, and the refusal has a receipt", is_refused);
    }
    Ok(())
}

async fn workflow(
    screen: &mut Screen,
    admin: &Person,
    analyst: &Person,
    contractor: &Person,
) -> Result<(), Fault> {
    screen.heading("A workflow copies contacts; the copy is governed from its first read");
    applied(screen, admin, include_str!("workflow.yaml").to_owned()).await?;
    let path = "/api/v1/resources/workflow:v1:contacts:public";
    let deadline = std::time::Instant::now() + WORKFLOW_TIMEOUT;
    let runtime = loop {
        let state = admin.get(path).await?;
        let runtime = state.text("runtime");
        if runtime == "succeeded" || runtime == "failed" || std::time::Instant::now() > deadline {
            for node in array(&state.body, "nodes") {
                screen.line(&format!(
                    "   job {}: {} {}",
                    at(node, "/job"),
                    at(node, "/phase"),
                    at(node, "/message")
                ));
            }
            break runtime;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    screen.check("the workflow succeeded", runtime == "succeeded");
    let log = admin.get(&format!("{path}/log?lines=5")).await?;
    screen.check(
        "its log is kept",
        log.body.to_string().contains("contacts are ready"),
    );
    let sql = "SELECT * FROM crm.main.contacts ORDER BY id LIMIT 2";
    for person in [analyst, contractor] {
        let answer = person.query(sql).await?;
        screen.line(&format!("   {}: {sql}", person.name));
        screen.result(&answer.body);
        let first = at(&answer.body, "/rows/0/1")
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let is_masked = answer.status == 200 && !first.is_empty() && !first.contains('@');
        screen.check("`contact` inherited PII.email and is masked", is_masked);
    }
    let lineage = admin
        .get("/api/v1/catalog/datasets/crm/main/contacts/lineage")
        .await?;
    let has_edge = array(&lineage.body, "upstream").iter().any(|edge| {
        at(edge, "/source_column") == "email" && at(edge, "/target_column") == "contact"
    });
    screen.check(
        "column lineage: customers.email -> contacts.contact",
        has_edge,
    );
    Ok(())
}

async fn explain(screen: &mut Screen, contractor: &Person) -> Result<(), Fault> {
    screen.heading("EXPLAIN POLICY");
    let answer = contractor
        .query("EXPLAIN POLICY SELECT id, email FROM crm.main.customers")
        .await?;
    screen.result(&answer.body);
    screen.check(
        "names the policy behind the mask",
        answer.body.to_string().contains("mask-email"),
    );
    Ok(())
}

async fn audit(screen: &mut Screen, auditor: &Person, contractor: &Person) -> Result<(), Fault> {
    screen.heading("The auditor reads the log; nobody else may");
    let denied = auditor
        .get("/api/v1/audit/entries?effect=deny&limit=5")
        .await?;
    for entry in array(&denied.body, "entries") {
        let text = |field: &str| {
            at(entry, &format!("/{field}"))
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        screen.line(&format!(
            "   #{} {} {} {} {} {}",
            at(entry, "/index"),
            text("time"),
            text("principal"),
            text("action"),
            text("resource"),
            text("reason")
        ));
    }
    screen.check(
        "denials are in the log",
        !array(&denied.body, "entries").is_empty(),
    );
    let refused = contractor.get("/api/v1/audit/entries").await?;
    screen.check("the contractor may not read it", refused.status == 403);
    Ok(())
}

/// Offline: the public key and the receipts, nothing else.
fn verify(screen: &mut Screen, receipts: &Receipts, key: &str) {
    screen.heading("Every receipt verifies offline with the log's public key alone");
    screen.line(&format!("   key {key}"));
    let receipts = receipts
        .lock()
        .map(|receipts| receipts.clone())
        .unwrap_or_default();
    let Ok(key) = key.parse::<dataos_proof::note::VerifierKey>() else {
        screen.check("the key is a note verifier key", false);
        return;
    };
    let valid = receipts
        .iter()
        .filter(|receipt| dataos_proof::receipt::verify(receipt, &key).is_ok())
        .count();
    screen.check(
        &format!("{valid} of {} receipts verify", receipts.len()),
        valid == receipts.len() && valid > 0,
    );
    let forged = receipts.first().map(|receipt| {
        let at = receipt.len() / 2;
        let flipped = |c: char| if c == 'A' { 'B' } else { 'A' };
        receipt
            .chars()
            .enumerate()
            .map(|(i, c)| if i == at { flipped(c) } else { c })
            .collect::<String>()
    });
    let is_found = forged.is_some_and(|text| dataos_proof::receipt::verify(&text, &key).is_err());
    screen.check("a receipt with one character changed does not", is_found);
    let longest = receipts.iter().map(String::len).max().unwrap_or(0);
    screen.line(&format!("   longest receipt: {longest} characters"));
}
