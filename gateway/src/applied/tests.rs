use std::{fs, sync::Arc};

use dataos_model::{
    clock::{Clock, Timestamp},
    fault::FaultKind,
    seams::Policies,
};
use dataos_pdp::{Pdp, PdpConfig, write_shipped};

use super::{AppliedPolicies, Precondition};

#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp(43_200_000)
    }
}

const TEXT: &str =
    "@id(\"night\")\nforbid (principal, action == DataOS::Action::\"query\", resource);\n";

async fn open(folder: &std::path::Path) -> (Arc<Pdp>, AppliedPolicies) {
    let policies = folder.join("policies");
    write_shipped(&policies).unwrap();
    let pdp = Pdp::open(PdpConfig::new(policies), Arc::new(Noon)).unwrap();
    let applied = AppliedPolicies::open(folder.join("applied"), Arc::clone(&pdp) as _).await;
    (pdp, applied.unwrap())
}

fn condition(if_match: Option<&str>) -> Precondition {
    Precondition::parse(if_match, None).unwrap()
}

#[tokio::test]
async fn a_text_is_in_force_until_it_is_deleted_and_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (pdp, applied) = open(folder.path()).await;
    let shipped = pdp.info();
    let put = applied
        .put("night", TEXT.to_owned(), &condition(None))
        .await
        .unwrap();
    assert!(put.is_new);
    assert_eq!(pdp.info().hash, put.policy_set);
    drop((pdp, applied));

    let (pdp, applied) = open(folder.path()).await;
    assert_eq!(pdp.info().hash, put.policy_set);
    assert_eq!(applied.get("night").await.unwrap().cedar, TEXT);
    let blind = applied
        .put("night", TEXT.to_owned(), &condition(None))
        .await
        .unwrap_err();
    assert_eq!(blind.kind, FaultKind::PreconditionRequired);
    let blind = applied.delete("night", &condition(None)).await.unwrap_err();
    assert_eq!(blind.kind, FaultKind::PreconditionRequired);
    let tag = format!("\"{}\"", put.tag);
    let deleted = applied
        .delete("night", &condition(Some(&tag)))
        .await
        .unwrap();
    assert_eq!(deleted.policy_set, shipped.hash);
    assert_eq!(
        fs::read_dir(folder.path().join("applied")).unwrap().count(),
        0
    );
    let gone = applied
        .delete("night", &condition(Some(&tag)))
        .await
        .unwrap_err();
    assert_eq!(gone.kind, FaultKind::NotFound);
}

#[tokio::test]
async fn a_text_that_does_not_load_changes_nothing_and_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let (pdp, applied) = open(folder.path()).await;
    let before = pdp.info();
    let bad = "@id(\"x\")\npermit (principal, action, resource) when { nothing };\n";
    let fault = applied
        .put("bad", bad.to_owned(), &condition(None))
        .await
        .unwrap_err();
    let location = fault.location.clone().unwrap();
    assert_eq!(
        (location.file.as_deref(), location.line),
        (Some("bad"), Some(2)),
        "{fault}"
    );
    let taken = TEXT.replace("night", "platform.admin");
    let fault = applied
        .put("taken", taken, &condition(None))
        .await
        .unwrap_err();
    assert!(fault.message.contains("already used"), "{fault}");
    assert_eq!(pdp.info(), before);
    assert_eq!(
        fs::read_dir(folder.path().join("applied")).unwrap().count(),
        0
    );
}

#[tokio::test]
async fn names_of_others_are_refused_with_where_to_change_them() {
    let folder = tempfile::tempdir().unwrap();
    let (_pdp, applied) = open(folder.path()).await;
    for (name, kind, hint) in [
        (
            "platform/access.cedar",
            FaultKind::Conflict,
            "change the file",
        ),
        ("own.cedar", FaultKind::Conflict, "change the file"),
        ("policy:v1:mask", FaultKind::Conflict, "manifest"),
        ("Upper", FaultKind::Invalid, "use a to z"),
        (".hidden", FaultKind::Invalid, "use a to z"),
        ("", FaultKind::Invalid, "use a to z"),
        (&"x".repeat(64), FaultKind::Invalid, "use a to z"),
    ] {
        let fault = applied
            .put(name, TEXT.to_owned(), &condition(None))
            .await
            .unwrap_err();
        assert_eq!(fault.kind, kind, "{name}: {fault}");
        assert!(fault.hint.unwrap().contains(hint), "{name}");
    }
    let fault = applied
        .delete("platform/access.cedar", &condition(Some("*")))
        .await
        .unwrap_err();
    assert_eq!(fault.kind, FaultKind::Conflict);
}

#[tokio::test]
async fn a_text_that_does_not_fit_any_more_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (pdp, applied) = open(folder.path()).await;
    applied
        .put("night", TEXT.to_owned(), &condition(None))
        .await
        .unwrap();
    drop((pdp, applied));
    fs::write(folder.path().join("policies/night.cedar"), TEXT).unwrap();
    let policies = PdpConfig::new(folder.path().join("policies"));
    let pdp = Pdp::open(policies, Arc::new(Noon)).unwrap();
    let fault = AppliedPolicies::open(folder.path().join("applied"), pdp as _)
        .await
        .unwrap_err();
    assert!(fault.to_string().contains("`night`"), "{fault}");
    assert!(fault.hint.unwrap().contains("take back"));
}
