//! Queries that go on by themselves and results that are kept: whose, for how long, under which policies.

use std::time::Duration;

use dataos_model::{
    action::Action,
    entity::EntityType,
    fault::{Fault, FaultKind},
    principal::{Authentication, Principal},
    query::{KeptQuery, PageRequest, QueryPage, QueryState, RowFormat},
    seams::{KeepQueries, RunQuery},
};
use dataos_query::QueryConfig;

use crate::{
    limits::numbers,
    streams::drained,
    world::{World, equals},
};

const ALL: &str = "SELECT id, text FROM numbers ORDER BY id";
const ENDLESS: &str =
    "SELECT count(*) FROM numbers a, numbers b, numbers c WHERE a.id + b.id + c.id < 0";

impl World {
    fn keeper(&self) -> &dyn KeepQueries {
        self.layer.keeper().unwrap()
    }

    fn alice(&self) -> Principal {
        self.request("").principal
    }

    async fn submitted(&self, sql: &str) -> String {
        let kept = self.keeper().submit(self.request(sql)).await;
        kept.unwrap_or_else(|fault| panic!("{sql}: {fault:?}")).id
    }

    /// Waits until it is so.
    async fn until(&self, id: &str, is: impl Fn(&QueryState) -> bool) -> KeptQuery {
        for _ in 0..2_000 {
            let kept = self.keeper().kept(&self.alice(), id).unwrap();
            if is(&kept.state) {
                return kept;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{:?}", self.keeper().kept(&self.alice(), id))
    }

    async fn succeeded(&self, sql: &str) -> String {
        let id = self.submitted(sql).await;
        let kept = self.until(&id, QueryState::has_ended).await;
        assert_eq!(kept.state, QueryState::Succeeded);
        id
    }

    fn asked(&self, id: &str, cursor: Option<&str>, rows_max: Option<u64>) -> PageRequest {
        let request = self.request("");
        PageRequest {
            principal: request.principal,
            request_id: "page".to_owned(),
            context: request.context,
            id: id.to_owned(),
            cursor: cursor.map(str::to_owned),
            rows_max,
            format: RowFormat::Json,
        }
    }

    async fn page(&self, id: &str, cursor: Option<&str>, rows: u64) -> Result<QueryPage, Fault> {
        self.keeper().page(self.asked(id, cursor, Some(rows))).await
    }
}

async fn rows_of(page: &mut QueryPage) -> Vec<serde_json::Value> {
    let (bytes, _, end) = drained(page.answer.rows.as_mut()).await.unwrap();
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(rows.len() as u64, end.row_count);
    assert_eq!(end.is_truncated, page.next.is_some());
    rows
}

fn reason(fault: &Fault) -> (FaultKind, &str) {
    (fault.kind, fault.reason.as_str())
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_the_whole_result_once() {
    let world = World::new();
    numbers(&world, 20_000);
    let id = world.succeeded(ALL).await;
    let (mut cursor, mut seen, mut pages) = (None::<String>, Vec::new(), 0);
    loop {
        let mut page = world.page(&id, cursor.as_deref(), 3_000).await.unwrap();
        seen.extend(rows_of(&mut page).await);
        pages += 1;
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!((pages, seen.len()), (7, 20_000));
    for (number, row) in seen.iter().enumerate() {
        assert_eq!(row[0], number, "in order, each once");
    }
    // Each page is a decision with an outcome, and its receipt is that of its record.
    let entries = world.log.entries();
    assert_eq!(entries.len(), 2 + 2 * 7);
    assert_eq!(entries[2].action, "select");
    assert_eq!(
        entries[2].facts["sql"],
        format!("rows 0 to 3000 of query {id}")
    );
    assert_eq!(entries[3].completes, Some(2));
    // The same in every form.
    for (format, begins) in [
        (RowFormat::Csv, "id,text\r\n19999,row number 19999\r\n"),
        (
            RowFormat::NdJson,
            "{\"id\":19999,\"text\":\"row number 19999\"}\n",
        ),
    ] {
        let last = world.page(&id, None, 19_999).await.unwrap().next;
        let mut asked = world.asked(&id, last.as_deref(), None);
        asked.format = format;
        let mut page = world.keeper().page(asked).await.unwrap();
        let (text, _, end) = drained(page.answer.rows.as_mut()).await.unwrap();
        assert_eq!(
            (String::from_utf8(text).unwrap().as_str(), end.row_count),
            (begins, 1)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_page_keeps_the_rest_if_there_is_one() {
    let world = World::new();
    numbers(&world, 10);
    let mut request = world.request(ALL);
    request.rows_max = Some(10);
    let mut page = world.keeper().first_page(request.clone()).await.unwrap();
    assert_eq!(rows_of(&mut page).await.len(), 10);
    assert_eq!((page.id, page.next), (None, None));
    assert_eq!(world.layer.figures().kept, 0);
    request.rows_max = Some(4);
    let mut page = world.keeper().first_page(request).await.unwrap();
    let mut seen = rows_of(&mut page).await;
    let id = page.id.unwrap();
    let mut cursor = page.next;
    while let Some(at) = cursor {
        let mut page = world.page(&id, Some(&at), 4).await.unwrap();
        seen.extend(rows_of(&mut page).await);
        cursor = page.next;
    }
    assert_eq!(seen.len(), 10);
    assert!(
        seen.iter()
            .enumerate()
            .all(|(number, row)| row[0] == number)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_its_callers_alone() {
    let world = World::new();
    numbers(&world, 10);
    let id = world.succeeded(ALL).await;
    let bob = Principal::new(EntityType::USER.id("bob"), Authentication::Token);
    let keeper = world.keeper();
    assert_eq!(keeper.list(&world.alice()).len(), 1);
    assert!(keeper.list(&bob).is_empty());
    let mut asked = world.asked(&id, None, None);
    asked.principal = bob.clone();
    let faults = [
        keeper.kept(&bob, &id).unwrap_err(),
        keeper.discard(&bob, &id).await.unwrap_err(),
        keeper.page(asked).await.unwrap_err(),
    ];
    let unknown = keeper.kept(&bob, "nothing").unwrap_err();
    for fault in faults {
        assert_eq!(fault.message.replace(&id, "nothing"), unknown.message);
        assert_eq!(
            (fault.kind, fault.hint),
            (unknown.kind, unknown.hint.clone())
        );
    }
    assert_eq!(keeper.list(&world.alice()).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_caller_may_see_no_more_is_not_shown() {
    let world = World::new();
    let table = numbers(&world, 10);
    let id = world.succeeded(ALL).await;
    let first = world.page(&id, None, 4).await.unwrap();
    let cursor = first.next.unwrap();
    // Another set that says the same: the result is shown, but the cursor was of the former.
    world.desk.reload();
    let fault = world.page(&id, Some(&cursor), 4).await.unwrap_err();
    assert_eq!(reason(&fault), (FaultKind::Conflict, "policy_changed"));
    let again = world.page(&id, None, 4).await.unwrap().next.unwrap();
    assert_ne!(again, cursor);
    assert_eq!(
        rows_of(&mut world.page(&id, Some(&again), 4).await.unwrap()).await[0][0],
        4
    );
    // A mask, a filter, a denial.
    world.desk.mask(&table, "text", "redact()");
    let fault = world.page(&id, None, 4).await.unwrap_err();
    assert_eq!(reason(&fault), (FaultKind::Conflict, "policy_changed"));
    let fault = world.page(&id, Some(&again), 4).await.unwrap_err();
    assert_eq!(reason(&fault), (FaultKind::Conflict, "policy_changed"));
    world.desk.cells(
        &table,
        "text",
        vec![crate::world::always(
            dataos_model::access::CellOutcome::Plain,
        )],
    );
    assert!(world.page(&id, None, 4).await.is_ok());
    world.desk.rows(&table, equals("id", 1));
    let fault = world.page(&id, None, 4).await.unwrap_err();
    assert_eq!(reason(&fault), (FaultKind::Conflict, "policy_changed"));
    world.desk.deny(Action::Select, "lake:main/numbers");
    world.log.take();
    let fault = world.page(&id, None, 4).await.unwrap_err();
    assert_eq!(reason(&fault), (FaultKind::Denied, "no_permit"));
    let refusal = world.log.take().pop().unwrap();
    assert_eq!(
        (refusal.reason.as_str(), refusal.effect.map(|e| e.name())),
        ("no_permit", Some("deny"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_are_of_one_query_and_not_made_by_hand() {
    let world = World::new();
    numbers(&world, 10);
    let (one, two) = (world.succeeded(ALL).await, world.succeeded(ALL).await);
    let cursor = world.page(&one, None, 4).await.unwrap().next.unwrap();
    let mut other = cursor.clone();
    other.replace_range(15..16, "5");
    for (id, cursor) in [
        (&two, cursor.as_str()),
        (&one, other.as_str()),
        (&one, ""),
        (&one, "00"),
        (&one, "zz"),
        (&one, cursor.get(..142).unwrap()),
    ] {
        let fault = world.page(id, Some(cursor), 4).await.unwrap_err();
        assert_eq!(reason(&fault), (FaultKind::Invalid, "cursor"), "{cursor}");
    }
    assert!(world.page(&one, Some(&cursor), 4).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_kept_as_what_its_caller_would_have_heard() {
    let world = World::new();
    numbers(&world, 10);
    let id = world.submitted("SELECT 1 / (id - 3) FROM numbers").await;
    let kept = world.until(&id, QueryState::has_ended).await;
    let QueryState::Failed(fault) = kept.state else {
        panic!("{kept:?}")
    };
    assert_eq!(fault.reason, "division_by_zero");
    let told = world.page(&id, None, 4).await.unwrap_err();
    assert_eq!(told, *fault);
    // What is no statement, and what is answered at once, is refused at once.
    for (sql, expected) in [
        ("SELEC 1", "sql_syntax"),
        ("SHOW TABLES", "sql_unsupported"),
        ("SELECT * FROM pg_catalog.pg_class", "sql_unsupported"),
    ] {
        let fault = world.keeper().submit(world.request(sql)).await.unwrap_err();
        assert_eq!(fault.reason, expected, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_stops_the_work_and_is_recorded() {
    let config = QueryConfig {
        queries_max: 1,
        ..QueryConfig::default()
    };
    let world = World::with(config);
    numbers(&world, 10_000);
    let running = world.submitted(ENDLESS).await;
    world
        .until(&running, |state| *state == QueryState::Running)
        .await;
    let waiting = world.submitted(ALL).await;
    let kept = world.keeper().kept(&world.alice(), &waiting).unwrap();
    assert_eq!(kept.state, QueryState::Queued);
    world
        .recorded("the decision", |entry| entry.action == "select")
        .await;
    let fault = world.page(&running, None, 1).await.unwrap_err();
    assert_eq!(reason(&fault), (FaultKind::Conflict, "no_result"));
    let cancelled = world.keeper().discard(&world.alice(), &running).await;
    assert_eq!(cancelled.unwrap().state, QueryState::Cancelled);
    world
        .recorded("the end", |entry| {
            entry
                .facts
                .get("status")
                .is_some_and(|status| status == "cancelled")
        })
        .await;
    // Its place is free again.
    world
        .until(&waiting, |state| *state == QueryState::Succeeded)
        .await;
    world.idle().await;
    let fault = world.page(&running, None, 1).await.unwrap_err();
    assert_eq!(reason(&fault), (FaultKind::Conflict, "no_result"));
    // One that has ended is forgotten.
    for id in [&running, &waiting] {
        world.keeper().discard(&world.alice(), id).await.unwrap();
    }
    assert_eq!(
        (world.layer.figures().kept, world.layer.figures().kept_bytes),
        (0, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_bounded_in_number_bytes_and_time() {
    let config = QueryConfig {
        kept_queries_per_caller_max: 2,
        kept_bytes_max: 500_000,
        kept_time_max: Duration::from_millis(1_500),
        ..QueryConfig::default()
    };
    let world = World::with(config);
    numbers(&world, 10_000);
    let first = world.succeeded(ALL).await;
    let second = world.submitted(ALL).await;
    let kept = world.until(&second, QueryState::has_ended).await;
    let QueryState::Failed(fault) = kept.state else {
        panic!("{kept:?}")
    };
    assert_eq!(reason(&fault), (FaultKind::TooLarge, "kept_bytes"));
    let fault = world.keeper().submit(world.request(ALL)).await.unwrap_err();
    assert_eq!(reason(&fault), (FaultKind::Unavailable, "kept_queries"));
    let figures = world.layer.figures();
    assert_eq!(figures.kept, 2);
    assert!((1..=500_000).contains(&figures.kept_bytes), "{figures:?}");
    for bound in [("kept_bytes", 1), ("kept_queries", 1)] {
        assert!(figures.bounds_hit.contains(&bound), "{figures:?}");
    }
    for id in [first, second] {
        for _ in 0..1_000 {
            if world.keeper().kept(&world.alice(), &id).is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let fault = world.page(&id, None, 1).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::NotFound);
    }
    assert_eq!(world.layer.figures().kept_bytes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_view_lends_no_more_is_not_shown() {
    let world = World::new();
    let table = numbers(&world, 10);
    world.accounts.put("dana", &[]);
    let make = "CREATE SQL SECURITY DEFINER VIEW lake.main.lent AS SELECT id, text FROM numbers";
    world.run_as("dana", make).await.unwrap();
    world
        .desk
        .of("alice")
        .deny(Action::Select, "lake:main/numbers");
    let id = world.succeeded("SELECT id FROM lent ORDER BY id").await;
    assert_eq!(
        rows_of(&mut world.page(&id, None, 4).await.unwrap()).await[3][0],
        3
    );
    let changes: [&dyn Fn(); 3] = [
        &|| world.desk.of("dana").rows(&table, equals("id", 1)),
        &|| {
            world
                .desk
                .of("dana")
                .deny(Action::Select, "lake:main/numbers")
        },
        &|| world.accounts.remove("dana"),
    ];
    for change in changes {
        change();
        let fault = world.page(&id, None, 4).await.unwrap_err();
        assert_eq!(reason(&fault), (FaultKind::Conflict, "policy_changed"));
        let text = format!("{fault:?}");
        assert!(
            !text.contains("numbers") && !text.contains("dana"),
            "{text}"
        );
        let entry = world.log.entries().pop().unwrap();
        assert_eq!(entry.facts["definers"], "dana");
        world.accounts.put("dana", &[]);
        world.desk.forget("dana");
        assert!(world.page(&id, None, 4).await.is_ok());
    }
    // What the caller may see of the view himself is told to him.
    world
        .desk
        .of("alice")
        .deny(Action::Select, "lake:main/lent");
    let fault = world.page(&id, None, 4).await.unwrap_err();
    assert_eq!(reason(&fault), (FaultKind::Denied, "no_permit"));
}
