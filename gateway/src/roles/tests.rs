//! Links against doors over real sockets: who is let in and for how long, what is tried again, what is ended,
//! in which order entries arrive.

mod lists;
mod scene;

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use dataos_model::{
    fault::FaultKind,
    principal::Principal,
    query::{Dialect, QueryRequest, RowFormat},
    record::{Entry, EntryKind},
    seams::{Record, RunQuery},
};

use super::{
    Role, deadline,
    link::Link,
    method::Method,
    remote::{RemoteDecide, RemoteRecord},
    renewal,
};
use scene::{Behaviour, Scene, soon};

fn statement() -> QueryRequest {
    QueryRequest {
        principal: Principal::anonymous(),
        request_id: "r".to_owned(),
        sql: "SELECT 1".to_owned(),
        dialect: Dialect::default(),
        context: Default::default(),
        format: RowFormat::Json,
        rows_max: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_arrive_as_they_were_sent() {
    let scene = Scene::new().await;
    let query = scene.query(&[scene.open(Role::Query).await]);
    let answer = query.run(statement()).await.unwrap();
    assert_eq!(answer.chunks.concat(), scene.rows());
    assert_eq!(answer.row_count, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_ends_the_call_there() {
    let scene = Scene::new().await;
    let query = scene.query(&[scene.open(Role::Query).await]);
    scene.behave(Behaviour::Hang);
    let call = tokio::spawn(async move { query.run(statement()).await });
    soon("begun", || scene.running() == 1).await;
    call.abort();
    soon("ended", || scene.running() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_patience_goes_with_the_call() {
    let scene = Scene::new().await;
    let query = scene.query(&[scene.open(Role::Query).await]);
    query.run(statement()).await.unwrap();
    assert!(scene.patience() > Duration::from_secs(60));
    let short = Duration::from_secs(30);
    deadline::within(short, query.run(statement()))
        .await
        .unwrap();
    assert!(scene.patience() <= short);
    scene.behave(Behaviour::Hang);
    let started = Instant::now();
    let second = Duration::from_secs(1);
    let late = deadline::within(second, query.run(statement())).await;
    assert_eq!(late.unwrap_err().kind, FaultKind::Timeout);
    assert!(started.elapsed() < Duration::from_secs(30));
    soon("ended", || scene.running() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_endpoints_is_enough() {
    let scene = Scene::new().await;
    let (one, two) = (scene.open(Role::Query).await, scene.open(Role::Query).await);
    let query = scene.query(&[one, two]);
    for _ in 0..8 {
        query.run(statement()).await.unwrap();
    }
    scene.close(0).await;
    // Those that cannot have begun go to the other one; soon no call looks at the one that is gone.
    for _ in 0..8 {
        query.run(statement()).await.unwrap();
    }
    assert_eq!(query.0.away(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_away_is_told_at_once_and_found_again() {
    let scene = Scene::new().await;
    let address = scene.open(Role::Query).await;
    let query = scene.query(std::slice::from_ref(&address));
    query.run(statement()).await.unwrap();
    scene.close(0).await;
    soon("away", || query.0.away().is_some()).await;
    let fault = query.run(statement()).await.unwrap_err();
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::Unavailable, "role_away")
    );
    assert!(fault.message.contains("`query`"), "{fault}");
    // The breaker is open soon: nothing waits for a connection.
    soon("open", || {
        query.0.away().is_some_and(|why| why.contains("refused"))
    })
    .await;
    let started = Instant::now();
    for _ in 0..50 {
        query.run(statement()).await.unwrap_err();
    }
    assert!(started.elapsed() < Duration::from_secs(60));
    scene.open_at(Role::Query, &address).await;
    soon("back", || query.0.away().is_none()).await;
    query.run(statement()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_may_have_run_is_not_run_again() {
    let scene = Scene::new().await;
    let query = scene.query(&[scene.open(Role::Query).await]);
    scene.behave(Behaviour::Hang);
    let query = Arc::new(query);
    let call = tokio::spawn({
        let query = Arc::clone(&query);
        async move { query.run(statement()).await }
    });
    soon("begun", || scene.running() == 1).await;
    scene.close(0).await;
    let fault = call.await.unwrap().unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unavailable, "{fault}");
    assert_eq!(scene.begun.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_panics_fails_alone() {
    let scene = Scene::new().await;
    let query = scene.query(&[scene.open(Role::Query).await]);
    scene.behave(Behaviour::Panic);
    for _ in 0..8 {
        let fault = query.run(statement()).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Internal, "{fault}");
    }
    scene.behave(Behaviour::Answer);
    query.run(statement()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_ends_ends_its_calls() {
    let scene = Scene::new().await;
    let query = scene.query(&[scene.open(Role::Query).await]);
    query.run(statement()).await.unwrap();
    scene.clock.pass(Duration::from_secs(25 * 3600));
    let fault = query.run(statement()).await.unwrap_err();
    assert_eq!(fault.reason, "role_away", "{fault}");
    assert!(
        scene.told().contains(&"certificate_expired"),
        "{:?}",
        scene.told()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_is_renewed_at_half_of_its_life() {
    let scene = Scene::new().await;
    let address = scene.open(Role::Gateway).await;
    let (identity, folder) = scene.identity(Role::Query);
    let clock = scene.clock();
    let link = Link::open(Role::Gateway, &[address], &identity, &clock);
    soon("there", || link.away().is_none()).await;
    let before = std::fs::read_to_string(folder.path().join("identity.pem")).unwrap();
    let task = tokio::spawn(renewal::keep_fresh(
        Arc::clone(&identity),
        Some(link),
        clock,
    ));
    let ends = identity.current().not_after();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(identity.current().not_after(), ends, "it is young");
    scene.clock.pass(Duration::from_secs(13 * 3600));
    soon("renewed", || identity.current().not_after() > ends).await;
    soon("kept", || {
        std::fs::read_to_string(folder.path().join("identity.pem")).unwrap() != before
    })
    .await;
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_open_for_another_run_of_the_gateway_is_away() {
    let scene = Scene::new().await;
    let (identity, _folder) = scene.identity(Role::Gateway);
    let open = |opened_for| {
        let (scene, identity) = (&scene, Arc::clone(&identity));
        async move {
            let mut rooms = scene.rooms(Role::Query).await;
            rooms.opened_for = Some(opened_for);
            let address = scene.open_with(Role::Query, "127.0.0.1:0", rooms).await;
            Link::open(Role::Query, &[address], &identity, &scene.clock())
        }
    };
    let ours = open(identity.process()).await;
    soon("there", || ours.away().is_none()).await;
    let other = open(identity.process().wrapping_add(1)).await;
    let is_told = || other.away().is_some_and(|why| why.contains("not open yet"));
    soon("told", is_told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_arrive_in_order_each_once() {
    let scene = Scene::new().await;
    let link = scene.link(
        Role::Query,
        Role::Gateway,
        &[scene.open(Role::Gateway).await],
    );
    let record = RemoteRecord::new(link);
    let mut pending = Vec::new();
    for number in 0..2000 {
        let entry = Entry::new(EntryKind::Decision, number.to_string());
        match number % 3 {
            0 => record.append_behind(entry),
            _ => pending.push((number, record.append(entry))),
        }
    }
    for (number, receipt) in pending {
        assert_eq!(receipt.await.unwrap().index, number);
    }
    record.flush(Duration::from_secs(5)).await;
    let arrived: Vec<String> = scene.appended();
    let expected: Vec<String> = (0..2000).map(|number| number.to_string()).collect();
    assert_eq!(arrived, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_waits_for_is_kept_while_the_gateway_is_away() {
    let scene = Scene::new().await;
    let address = scene.open(Role::Gateway).await;
    scene.close(0).await;
    let link = scene.link(Role::Query, Role::Gateway, std::slice::from_ref(&address));
    let record = RemoteRecord::new(link);
    record.append_behind(Entry::new(EntryKind::Outcome, "behind"));
    let refused = record.append(Entry::new(EntryKind::Decision, "awaited"));
    assert_eq!(refused.await.unwrap_err().kind, FaultKind::Unavailable);
    scene.open_at(Role::Gateway, &address).await;
    soon("sent", || scene.appended() == ["behind"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_ask_is_denied() {
    use dataos_model::{
        access::AccessRequest,
        action::Action,
        decision::{Reason, Request},
        entity::EntityType,
        seams::Decide,
    };

    let scene = Scene::new().await;
    let link = scene.link(Role::Query, Role::Gateway, &["127.0.0.1:1".to_owned()]);
    let decide = RemoteDecide(link);
    let principal = Principal::anonymous();
    let request = Request::new(
        &principal,
        Action::Query,
        EntityType::WORKSPACE.id("public"),
    );
    let decisions = decide.decide_all(&[request.clone(), request.clone()]).await;
    assert_eq!(decisions.len(), 2);
    let access = AccessRequest {
        principal,
        action: Action::Select,
        datasets: vec!["a:b/c".parse().unwrap()],
        context: Default::default(),
    };
    let answers = decide.access(&access).await;
    let all = decisions.into_iter().chain([decide.decide(&request).await]);
    for decision in all.chain(answers.iter().map(|answer| answer.decision.clone())) {
        assert!(!decision.is_allowed());
        assert_eq!(decision.reason, Reason::Unavailable);
        assert_eq!(decision.not_asked().unwrap().kind, FaultKind::Unavailable);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_begun_twice_is_tried_again_and_nothing_else() {
    for method in Method::ALL {
        let is_known = matches!(
            method,
            Method::Append
                | Method::Run
                | Method::Describe
                | Method::StageWrite
                | Method::SettleWrite
                | Method::RetractWrite
                | Method::RemoveDepot
                | Method::Scan
                | Method::Apply
                | Method::DeleteResource
        );
        assert_eq!(method.repeats(), !is_known, "{method:?}");
    }
}
