//! The tables in PostgreSQL: what other modules say of an orchestrator holds there too.

use dataos_store::test_server::TestServer;

use crate::{apply, crash, fakes::keep_tables_in, policy, restart, secret, workflow};

#[test]
fn an_orchestrator_in_postgresql_is_like_one_in_a_file() {
    let server = TestServer::start();
    let tests: &[fn()] = &[
        apply::everything_is_decided_and_recorded_before_it_is_done_and_in_order,
        apply::one_bad_document_applies_nothing,
        apply::one_denied_document_applies_nothing,
        apply::nothing_happens_without_a_record,
        apply::a_denied_action_is_not_executed_and_is_tried_again,
        apply::a_dead_depot_does_not_stop_the_others_and_comes_back,
        apply::what_waits_for_a_slow_scan_is_not_carried_out_twice,
        apply::same_content_is_no_revision,
        apply::a_resource_belongs_to_who_applies_it,
        apply::a_plan_binds_the_apply,
        apply::delete_reverses_and_is_refused_while_used,
        apply::filters_of_a_list,
        apply::a_name_is_taken_whatever_the_version,
        policy::policies_survive,
        policy::a_change_that_was_denied_does_not_come_into_force_by_a_restart,
        policy::each_change_of_a_better_filter_reaches_the_worse_ones_in_the_same_change,
        policy::the_filters_of_a_stream_come_into_force_together,
        policy::a_policy_that_becomes_another_kind_is_never_absent,
        restart::a_run_goes_on_and_no_finished_step_runs_again,
        restart::a_lost_step_without_retry_fails_the_run,
        restart::resources_survive,
        secret::a_step_reads_its_secret_from_a_file,
        secret::who_may_not_see_a_secret_may_not_use_it,
        secret::a_shown_manifest_does_not_wipe_out_the_values,
        workflow::jobs_run_in_order_of_their_dependencies,
        workflow::a_failed_job_is_tried_again_and_then_skips_the_rest,
        workflow::a_denied_step_never_starts,
        workflow::no_step_without_a_record_or_an_owner,
        workflow::each_step_is_decided_recorded_run_recorded,
        workflow::a_denied_query_fails_the_step,
        workflow::a_missing_program_is_told,
        workflow::a_new_revision_replaces_the_run_and_delete_ends_it,
        workflow::what_a_job_writes_cannot_steer_a_terminal,
        crash::what_was_left_running_is_killed_and_tried_again,
        crash::a_committed_step_is_never_run_again,
    ];
    for test in tests {
        keep_tables_in(server.empty_metadata(), test);
    }
}
