//! What only a server can do: be down, go away, come back, be shared.

use std::time::{Duration, Instant};

use dataos_model::fault::{Fault, FaultKind};
use dataos_store::{
    Metadata, Store, StoreError,
    test_server::{PASSWORD, TestServer},
};

use crate::fixtures::{SCHEMA, insert, open, users};

async fn refused(metadata: &Metadata) -> Fault {
    let folder = tempfile::tempdir().unwrap();
    fault_of(open(&SCHEMA, metadata, &folder).await.map(drop))
}

fn fault_of(outcome: Result<(), StoreError>) -> Fault {
    let error = outcome.expect_err("it must be refused");
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("battery"), "{shown}");
    error.into()
}

async fn open_on(server: &TestServer) -> Store {
    let folder = tempfile::tempdir().unwrap();
    open(&SCHEMA, &server.metadata(), &folder).await.unwrap()
}

#[tokio::test]
async fn what_cannot_be_reached_is_named_without_the_password() {
    let server = TestServer::start();
    let place = format!("postgresql://127.0.0.1:{}/", server.port);
    let good = server.url("dataos");
    for (url, expected) in [
        (server.url("nowhere"), "\"nowhere\" does not exist"),
        (good.replace("battery", "batterie"), "authentication failed"),
        (format!("{good}?sslmode=require"), "TLS"),
    ] {
        let fault = refused(&Metadata::Postgres(url.parse().unwrap())).await;
        assert_eq!(fault.kind, FaultKind::Unavailable, "{fault}");
        for text in ["sample store", place.as_str(), expected] {
            assert!(fault.message.contains(text), "`{text}` is not in: {fault}");
        }
        assert!(fault.hint.is_some());
    }
    server.stop();
    let fault = refused(&server.metadata()).await;
    assert_eq!(fault.reason, "sample_unreachable", "{fault}");
    assert!(fault.message.contains("refused"), "{fault}");
    assert!(!good.contains(PASSWORD), "the URL has it escaped");
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let url = format!("postgresql://ana:{PASSWORD}@127.0.0.1:{port}/meta").replace(' ', "%20");
    let started = Instant::now();
    let metadata = Metadata::Postgres(url.replacen("horse/", "horse%2F", 1).parse().unwrap());
    let fault = refused(&metadata).await;
    assert!(fault.message.contains("no answer within 10 s"), "{fault}");
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn databases_that_are_not_ours_are_left_alone() {
    let server = TestServer::start();
    server.psql(
        "dataos",
        "CREATE SCHEMA dataos_sample; CREATE TABLE dataos_sample.x (a int)",
    );
    let fault = refused(&server.metadata()).await;
    assert_eq!(fault.kind, FaultKind::Damaged, "{fault}");
    server.psql("dataos", "DROP TABLE dataos_sample.x");
    // An empty schema that an administrator made for us is welcome.
    open_on(&server).await;

    server.psql(
        "postgres",
        "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0",
    );
    let fault = refused(&Metadata::Postgres(server.url("latin").parse().unwrap())).await;
    assert!(fault.message.contains("UTF8"), "{fault}");
}

#[tokio::test]
async fn a_cut_connection_is_made_again() {
    let server = TestServer::start();
    let store = open_on(&server).await;
    insert(&store, "a").await.unwrap();
    server.cut();
    assert_eq!(users(&store).await.unwrap(), "a", "idle, nobody notices");

    let mut torn = store.begin().await.unwrap();
    torn.execute("DELETE FROM item", &[]).await.unwrap();
    server.cut();
    let fault = fault_of(torn.commit().await);
    assert_eq!(fault.reason, "sample_unreachable", "{fault}");
    assert!(fault.message.contains("connection was lost"), "{fault}");
    assert_eq!(users(&store).await.unwrap(), "a");

    server.stop();
    let fault = fault_of(insert(&store, "b").await.map(drop));
    assert_eq!(fault.reason, "sample_unreachable", "{fault}");
    server.resume();
    insert(&store, "b").await.unwrap();
    assert_eq!(users(&store).await.unwrap(), "a b");
}

#[tokio::test]
async fn who_lost_the_lock_to_another_process_stays_out() {
    let server = TestServer::start();
    let first = open_on(&server).await;
    server.cut();
    let second = open_on(&server).await;
    insert(&second, "a").await.unwrap();
    let fault = fault_of(insert(&first, "b").await.map(drop));
    assert_eq!(fault.reason, "sample_in_use", "{fault}");
    second.close().await;
    let fault = fault_of(insert(&first, "b").await.map(drop));
    assert_eq!(fault.reason, "sample_superseded", "{fault}");
    assert_eq!(users(&open_on(&server).await).await.unwrap(), "a");
}

#[tokio::test]
async fn a_commit_is_on_disk_whatever_the_default_is() {
    let server = TestServer::start();
    server.psql(
        "postgres",
        "ALTER DATABASE dataos SET synchronous_commit = off",
    );
    let store = open_on(&server).await;
    let rows = store
        .query(
            "SELECT current_setting('synchronous_commit') AS setting",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(rows[0].text("setting").unwrap(), "on");
}

#[tokio::test]
async fn over_tls_the_server_must_prove_who_it_is() {
    let server = TestServer::start();
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let own = rcgen::generate_simple_self_signed(names).unwrap();
    server.turn_on_tls(&own.cert.pem(), &own.signing_key.serialize_pem());
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.crt");
    std::fs::write(&authority, own.cert.pem()).unwrap();
    let metadata = |parameters: &str| {
        let url = format!("{}?{parameters}", server.url("dataos"));
        Metadata::Postgres(url.parse().unwrap())
    };
    let fault = refused(&metadata("sslmode=verify-full")).await;
    assert!(fault.message.contains("UnknownIssuer"), "{fault}");
    let verified = format!("sslmode=verify-full&sslrootcert={}", authority.display());
    let store = open(&SCHEMA, &metadata(&verified), &folder).await.unwrap();
    let rows = store
        .query(
            "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(rows[0].text("version").unwrap(), "TLSv1.3");
}
