//! The tables in PostgreSQL: what other modules say of a catalog holds there too.

use std::sync::Arc;

use dataos_model::{fault::FaultKind, seams::Assets};
use dataos_store::test_server::TestServer;

use crate::{
    feed, files,
    fixtures::{House, keep_tables_in, main_id},
    search, store, tags, writes,
};

#[test]
fn a_catalog_in_postgresql_is_like_one_in_a_file() {
    let server = TestServer::start();
    let tests: &[fn()] = &[
        feed::entities_form_the_hierarchy,
        feed::a_new_start_feeds_the_same_entities,
        feed::what_the_pdp_refuses_is_undone,
        feed::a_change_torn_out_by_a_panic_stops_the_writer_and_not_the_readers,
        writes::a_copy_is_governed_before_it_exists,
        writes::a_retracted_write_leaves_nothing,
        writes::a_replacement_carries_both_until_it_is_settled,
        writes::one_write_does_not_take_the_support_of_another,
        writes::after_a_crash_what_left_a_file_stays_governed_and_the_rest_is_voided,
        writes::a_scan_leaves_alone_what_is_being_written,
        writes::malformed_writes_are_refused,
        tags::tags_are_checked,
        tags::setting_replaces_and_the_pdp_sees_it_at_once,
        tags::tags_outlive_the_absence_of_their_dataset,
        tags::random_writes_and_edits_equal_a_derivation_from_nothing,
        search::all_words_must_match_and_names_come_first,
        search::what_is_hidden_takes_no_place,
        search::removed_datasets_are_not_found,
        files::a_rescan_reports_what_differs,
        files::depots_are_checked_moved_and_removed,
        store::each_change_is_one_transaction_and_no_change_is_none,
        store::a_caller_that_stops_waiting_leaves_no_half_change,
    ];
    for test in tests {
        keep_tables_in(server.empty_metadata(), test);
    }
}

#[test]
fn a_server_that_went_away_stops_changes_until_it_is_back() {
    let server = Arc::new(TestServer::start());
    keep_tables_in(server.metadata(), &|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(goes_away(&server));
    });
}

async fn goes_away(server: &Arc<TestServer>) {
    let house = House::with_lake().await;
    house.write("a.csv", "x\n1\n");
    house.catalog.scan("lake").await.unwrap();
    let id = main_id("a");
    let tag = |tag: &str| house.catalog.set_tags(&id, None, vec![tag.to_owned()]);
    let shown = || -> Vec<String> {
        let tags = house.dataset(&id).unwrap().tags.clone();
        assert!(
            tags.is_subset(&house.sink.tags_of(&id.uid())),
            "the PDP differs"
        );
        tags.into_iter().collect()
    };
    tag("before").await.unwrap();

    server.stop();
    for _ in 0..2 {
        let fault = tag("down").await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Unavailable, "{fault}");
        assert!(fault.message.contains("postgresql://127.0.0.1"), "{fault}");
        assert!(!fault.to_string().contains("battery"), "{fault}");
    }
    assert_eq!(shown(), ["before"], "reads go on");
    server.resume();
    tag("back").await.unwrap();

    // The connection is cut between write and commit; the PDP, which is told in between, does it.
    let cutter = Arc::clone(server);
    house.sink.before_next(move || cutter.cut());
    let fault = tag("torn").await.unwrap_err();
    assert_eq!(fault.reason, "catalog_unreachable", "{fault}");
    assert_eq!(shown(), ["back"]);

    // The same, and the server stays away for a while.
    let stopper = Arc::clone(server);
    house.sink.before_next(move || stopper.stop());
    assert!(tag("torn").await.is_err());
    assert_eq!(tag("later").await.unwrap_err().reason, "catalog_stopped");
    server.resume();
    tag("later").await.unwrap();
    assert_eq!(shown(), ["later"]);
}
