//! Plan, apply, delete.

use dataos_model::{fault::FaultKind, resource::ResourceFilter, seams::Resources};

use crate::fakes::{Bench, principal};

const SECRET: &str =
    "name: login\ntype: secret\nsecret: {type: key-value, data: {username: u, password: pw1}}\n";
const DEPOT: &str = "name: pg\nversion: v1\ntype: depot\ntags: [tier.gold]\ndepot: {type: POSTGRES, spec: {host: h, database: d}, dataosSecrets: [{name: login}]}\n";
const MASK: &str = "name: mask\ntype: policy\npolicy: {data: {type: mask, selector: {user: {tags: ['users:id:*']}, column: {tags: [PII]}}, mask: {operator: hash}}}\n";
const GRANT: &str = "name: grant\ntype: policy\npolicy: {access: {subjects: {tags: ['roles:id:a']}, predicates: [read], objects: {paths: ['dataos://pg:**']}, allow: true}}\n";
const FILES: &str = "name: files\ntype: depot\ndepot: {type: FILES, spec: {path: /data}}\n";

fn stream(documents: &[&str]) -> String {
    documents.join("---\n")
}

#[tokio::test]
pub(crate) async fn everything_is_decided_and_recorded_before_it_is_done_and_in_order() {
    let bench = Bench::new().await;
    let outcomes = bench
        .apply(&stream(&[GRANT, DEPOT, MASK, SECRET]))
        .await
        .unwrap();
    let shown: Vec<String> = outcomes
        .iter()
        .map(|o| format!("{} {} {}", o.id, o.change, o.revision))
        .collect();
    assert_eq!(
        shown,
        [
            "policy:v1:grant created 1",
            "depot:v1:pg created 1",
            "policy:v1:mask created 1",
            "secret:v1:login:public created 1"
        ]
    );
    let resource = |id: &str| format!("DataOS::Resource::\"{id}\"");
    let ids = [
        "secret:v1:login:public",
        "policy:v1:mask",
        "depot:v1:pg",
        "policy:v1:grant",
    ];
    let mut expected: Vec<String> = Vec::new();
    expected.extend(ids.map(|id| format!("decision allow apply_resource {}", resource(id))));
    for id in ids {
        if id == "depot:v1:pg" {
            expected.push("entity tier.gold".to_owned());
        }
        expected.push(format!("entity {id}"));
        expected.push(format!("resource_change apply_resource {}", resource(id)));
    }
    let child = |id: &str| format!("decision allow create_child {}", resource(id));
    let done = |id: &str| format!("outcome create_child {}", resource(id));
    expected.extend([
        child(ids[0]),
        "put public/login/username".to_owned(),
        "put public/login/password".to_owned(),
        done(ids[0]),
        child(ids[1]),
        "put policy:v1:mask".to_owned(),
        done(ids[1]),
        child(ids[2]),
        format!("decision allow get_resource {}", resource(ids[0])),
        "register pg".to_owned(),
        "scan pg".to_owned(),
        done(ids[2]),
        child(ids[3]),
        "put policy:v1:grant".to_owned(),
        done(ids[3]),
    ]);
    assert_eq!(bench.world.events(), expected);
    let view = bench.get("depot:v1:pg").await;
    assert_eq!(
        (view.status.as_str(), view.owner.as_str()),
        ("active", "alice")
    );
    assert_eq!(
        view.message,
        "1 datasets added, 0 changed, 0 dropped, 0 unchanged"
    );
}

#[tokio::test]
pub(crate) async fn one_bad_document_applies_nothing() {
    let bench = Bench::new().await;
    let bad = "name: p\ntype: policy\npolicy: {access: {subjects: {tags: [unknown-to-the-schema]}, predicates: [read], objects: {tags: [x]}}}\n";
    for (text, line, message) in [
        (
            stream(&[FILES, "name: x\ntype: polcy\n"]),
            6,
            "document 2: unknown type `polcy`",
        ),
        (
            stream(&[FILES, bad]),
            5,
            "document 2: the policy does not fit the schema: unexpected attribute",
        ),
        (
            stream(&[FILES, DEPOT]),
            9,
            "document 2: secret `login` in workspace `public` does not exist",
        ),
    ] {
        let fault = bench.apply(&text).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Invalid);
        assert_eq!(fault.message, message);
        assert_eq!(fault.location.unwrap().line, Some(line), "{text}");
    }
    assert_eq!(bench.world.events(), Vec::<String>::new());
}

#[tokio::test]
pub(crate) async fn one_denied_document_applies_nothing() {
    let bench = Bench::new().await;
    bench.world.deny("apply_resource policy:v1:mask");
    let fault = bench.apply(&stream(&[FILES, MASK])).await.unwrap_err();
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::Denied, "no_permit")
    );
    assert_eq!(
        bench.world.events(),
        [
            "decision deny apply_resource DataOS::Resource::\"policy:v1:mask\"",
            "decision allow apply_resource DataOS::Resource::\"depot:v1:files\""
        ]
    );
    assert!(
        bench
            .orchestrator
            .list(&ResourceFilter::default())
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
pub(crate) async fn an_obligation_that_is_not_known_is_a_refusal() {
    let bench = Bench::new().await;
    let obligation = dataos_model::annotation::Call::parse("watermark()").unwrap();
    bench.world.obligations.lock().unwrap().push(obligation);
    let fault = bench.apply(SECRET).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Denied, "{fault}");
    assert_eq!(fault.reason, "obligation_unknown", "{fault}");
    let events = bench.world.events();
    assert!(
        events[0].starts_with("decision deny apply_resource"),
        "{events:?}"
    );
    assert!(bench.world.secrets.lock().unwrap().is_empty());
}

#[tokio::test]
pub(crate) async fn nothing_happens_without_a_record() {
    let bench = Bench::new().await;
    *bench.world.is_record_down.lock().unwrap() = true;
    let fault = bench.apply(FILES).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unavailable);
    assert_eq!(bench.world.events(), Vec::<String>::new());
}

#[tokio::test]
pub(crate) async fn a_denied_action_is_not_executed_and_is_tried_again() {
    let bench = Bench::new().await;
    bench.world.deny("create_child");
    let outcomes = bench.apply(FILES).await.unwrap();
    assert!(
        outcomes[0].warnings[0].starts_with("error: PolicyDenied: "),
        "{outcomes:?}"
    );
    assert!(
        !bench
            .world
            .events()
            .iter()
            .any(|event| event.starts_with("register"))
    );
    let view = bench.get("depot:v1:files").await;
    assert_eq!(view.status, "error");
    bench.world.permit("create_child");
    bench
        .until("depot:v1:files", |view| view.status == "active")
        .await;
}

#[tokio::test]
pub(crate) async fn a_dead_depot_does_not_stop_the_others_and_comes_back() {
    let bench = Bench::new().await;
    bench
        .world
        .dead_depots
        .lock()
        .unwrap()
        .insert("pg".to_owned());
    let outcomes = bench.apply(&stream(&[SECRET, DEPOT, FILES])).await.unwrap();
    assert_eq!(
        outcomes[1].warnings,
        ["error:  connection refused".replace("  ", " ")]
    );
    assert_eq!(bench.get("depot:v1:files").await.status, "active");
    assert_eq!(bench.get("depot:v1:pg").await.status, "error");
    bench.world.dead_depots.lock().unwrap().clear();
    bench
        .until("depot:v1:pg", |view| view.status == "active")
        .await;
}

#[tokio::test]
pub(crate) async fn what_waits_for_a_slow_scan_is_not_carried_out_twice() {
    let bench = Bench::new().await;
    bench
        .world
        .slow_depots
        .lock()
        .unwrap()
        .insert("files".to_owned());
    let workflow = "name: w\ntype: workflow\nworkflow:\n  dag:\n  - {name: q, spec: {stack: sql, stackSpec: {sql: select 1}}}\n";
    bench.apply(&stream(&[workflow, FILES])).await.unwrap();
    bench
        .until("workflow:v1:w:public", |view| view.runtime == "succeeded")
        .await;
    let count = |text: &str| {
        bench
            .world
            .events()
            .iter()
            .filter(|e| e.contains(text))
            .count()
    };
    assert_eq!(count("decision allow create_child"), 2);
    assert_eq!((count("scan files"), count("query alice")), (1, 1));
    let events = bench.world.events();
    let at = |text: &str| events.iter().position(|event| event.contains(text));
    assert!(at("scan files") < at("query alice"), "{events:#?}");
}

#[tokio::test]
pub(crate) async fn same_content_is_no_revision() {
    let bench = Bench::new().await;
    bench.apply(&stream(&[SECRET, FILES])).await.unwrap();
    bench.world.forget();
    let reordered =
        "# a comment\ntype: depot\nname: files\ndepot: {type: FILES, spec: {path: /data}}\n";
    let outcomes = bench
        .apply_as("bob", &stream(&[SECRET, FILES]))
        .await
        .unwrap();
    assert!(
        outcomes
            .iter()
            .all(|o| o.change == "unchanged" && o.revision == 1),
        "{outcomes:?}"
    );
    assert!(
        !bench
            .world
            .events()
            .iter()
            .any(|event| event.starts_with("put "))
    );
    assert_eq!(bench.get("depot:v1:files").await.owner, "alice");
    let outcomes = bench.apply(reordered).await.unwrap();
    assert_eq!(
        (outcomes[0].change.as_str(), outcomes[0].revision),
        ("updated", 2)
    );
    let rotated = SECRET.replace("pw1", "pw2");
    let outcomes = bench.apply(&rotated).await.unwrap();
    assert_eq!(
        (outcomes[0].change.as_str(), outcomes[0].revision),
        ("updated", 2)
    );
}

#[tokio::test]
pub(crate) async fn a_resource_belongs_to_who_applies_it() {
    let bench = Bench::new().await;
    let outcomes = bench.apply(&format!("{FILES}owner: root\n")).await.unwrap();
    assert_eq!(
        outcomes[0].warnings,
        ["owner `root` is replaced by `alice`: a resource belongs to who applies it"]
    );
    let entries = bench.world.entries.lock().unwrap();
    let declared = entries
        .iter()
        .find_map(|entry| entry.facts.get("declared_owner"));
    assert_eq!(declared.map(String::as_str), Some("root"));
}

#[tokio::test]
pub(crate) async fn a_plan_binds_the_apply() {
    let bench = Bench::new().await;
    let alice = principal("alice");
    let text = stream(&[GRANT, FILES]);
    let plan = bench
        .orchestrator
        .plan(&alice, "public", &text)
        .await
        .unwrap();
    let shown: Vec<String> = plan
        .changes
        .iter()
        .map(|c| format!("{} {} {:?}", c.id, c.action, c.fields))
        .collect();
    assert_eq!(
        shown,
        ["depot:v1:files create []", "policy:v1:grant create []"]
    );
    assert_eq!(
        bench
            .orchestrator
            .plan(&alice, "public", &text)
            .await
            .unwrap(),
        plan
    );
    assert_eq!(
        bench.world.events(),
        Vec::<String>::new(),
        "a plan has no effect"
    );
    let apply = |text: String, hash| {
        let (orchestrator, alice) = (bench.orchestrator.clone(), alice.clone());
        async move {
            orchestrator
                .apply(&alice, "r", "public", &text, Some(hash))
                .await
        }
    };
    let other = stream(&[GRANT, &FILES.replace("/data", "/other")]);
    let fault = apply(other, plan.hash).await.unwrap_err();
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::Conflict, "plan_stale")
    );
    apply(text.clone(), plan.hash).await.unwrap();
    let fault = apply(text.clone(), plan.hash).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Conflict, "the base has moved");

    let changed = FILES.replace("/data", "/other");
    let plan = bench
        .orchestrator
        .plan(&alice, "public", &changed)
        .await
        .unwrap();
    assert_eq!(
        plan.changes[0].fields,
        ["depot.spec.path: \"/data\" -> \"/other\""]
    );
    bench.apply(MASK).await.unwrap();
    let fault = apply(changed.clone(), plan.hash).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Conflict, "the policies have moved");
    bench.world.deny("get_resource");
    let plan = bench
        .orchestrator
        .plan(&alice, "public", &changed)
        .await
        .unwrap();
    assert_eq!(
        plan.changes[0].fields,
        ["(the present content is not yours to see)"]
    );
}

#[tokio::test]
pub(crate) async fn delete_reverses_and_is_refused_while_used() {
    let bench = Bench::new().await;
    bench.apply(&stream(&[SECRET, DEPOT, MASK])).await.unwrap();
    let fault = bench.delete("secret:v1:login:public").await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Conflict);
    assert_eq!(
        fault.message,
        "secret:v1:login:public is used by depot:v1:pg"
    );
    bench.world.deny("delete_child");
    assert_eq!(
        bench.delete("depot:v1:pg").await.unwrap_err().kind,
        FaultKind::Denied
    );
    bench.world.permit("delete_child");
    bench.world.forget();
    for id in ["depot:v1:pg", "secret:v1:login:public", "policy:v1:mask"] {
        assert_eq!(bench.delete(id).await.unwrap().change, "deleted");
    }
    // A resource that could not be deleted is tried again, which may fall in between.
    let of_retry = |event: &String| event.contains("create_child") || event.starts_with("entity ");
    let events = bench.world.events().into_iter();
    let of_depot: Vec<String> = events.filter(|event| !of_retry(event)).take(6).collect();
    assert_eq!(
        of_depot,
        [
            "decision allow delete_resource DataOS::Resource::\"depot:v1:pg\"",
            "decision allow delete_child DataOS::Resource::\"depot:v1:pg\"",
            "unregister pg",
            "no entity depot:v1:pg",
            "outcome delete_child DataOS::Resource::\"depot:v1:pg\"",
            "resource_change delete_resource DataOS::Resource::\"depot:v1:pg\"",
        ]
    );
    assert!(bench.world.secrets.lock().unwrap().is_empty());
    assert!(bench.world.policies.lock().unwrap().is_empty());
    assert!(
        bench
            .orchestrator
            .list(&ResourceFilter::default())
            .await
            .unwrap()
            .is_empty()
    );
    let fault = bench.delete("depot:v1:pg").await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::NotFound);
    let outcomes = bench.apply(FILES).await.unwrap();
    assert_eq!(outcomes[0].revision, 1);
    bench.delete("depot:v1:files").await.unwrap();
    let outcomes = bench.apply(FILES).await.unwrap();
    assert_eq!(outcomes[0].revision, 2, "a number is never used twice");
}

#[tokio::test]
pub(crate) async fn filters_of_a_list() {
    let bench = Bench::new().await;
    bench.apply(&stream(&[SECRET, FILES])).await.unwrap();
    for (filter, expected) in [
        (
            ResourceFilter {
                resource_type: Some("depot".into()),
                ..Default::default()
            },
            1,
        ),
        (
            ResourceFilter {
                workspace: Some("other".into()),
                ..Default::default()
            },
            1,
        ),
        (
            ResourceFilter {
                name: Some("login".into()),
                ..Default::default()
            },
            1,
        ),
        (
            ResourceFilter {
                owner: Some("bob".into()),
                ..Default::default()
            },
            0,
        ),
    ] {
        let found = bench.orchestrator.list(&filter).await.unwrap();
        assert_eq!(found.len(), expected, "{filter:?}");
    }
}

#[tokio::test]
pub(crate) async fn a_name_is_taken_whatever_the_version() {
    let bench = Bench::new().await;
    bench.apply(FILES).await.unwrap();
    let other =
        "name: files\nversion: v2alpha\ntype: depot\ndepot: {type: FILES, files: {path: /data}}\n";
    let fault = bench.apply(other).await.unwrap_err();
    assert_eq!(
        fault.message,
        "document 1: the name is taken by depot:v1:files"
    );
}
