//! Who may do what under the shipped policies.

use dataos_model::{
    action::Action,
    decision::{Reason, Request},
    entity::{Entity, EntityType},
    principal::Principal,
    value::Value,
};

use crate::fixture::{World, customers, user};

#[test]
fn the_shipped_folder_decides() {
    let world = World::shipped();
    let public = || EntityType::WORKSPACE.id("public");
    let session = || EntityType::API_PATH.id("/api/v1/session");
    let log = || EntityType::AUDIT_LOG.id("main");
    let set = || EntityType::POLICY_SET.id("active");
    let admin = user("root", &["admin"]);
    let auditor = user("ann", &["auditor"]);
    let steward = user("sam", &["steward"]);
    let nobody = user("bob", &[]);
    let anonymous = Principal::anonymous();
    for (principal, action, resource, expected) in [
        (&admin, Action::Select, customers().uid(), Reason::Permitted),
        (&admin, Action::Delete, customers().uid(), Reason::Permitted),
        (&admin, Action::ChangePolicy, set(), Reason::Permitted),
        (&admin, Action::ManageIdentity, session(), Reason::Permitted),
        (&admin, Action::SearchAudit, log(), Reason::NoPermit),
        (&auditor, Action::SearchAudit, log(), Reason::Permitted),
        (&auditor, Action::VerifyAudit, log(), Reason::Permitted),
        (&auditor, Action::ViewPolicy, set(), Reason::Permitted),
        (
            &auditor,
            Action::Select,
            customers().uid(),
            Reason::NoPermit,
        ),
        (
            &steward,
            Action::TagAsset,
            customers().uid(),
            Reason::Permitted,
        ),
        (
            &steward,
            Action::ViewAsset,
            customers().depot_uid(),
            Reason::Permitted,
        ),
        (
            &steward,
            Action::Select,
            customers().uid(),
            Reason::NoPermit,
        ),
        (&steward, Action::AskDecision, set(), Reason::Permitted),
        (&nobody, Action::Query, public(), Reason::Permitted),
        (&nobody, Action::Call, session(), Reason::Permitted),
        (&nobody, Action::Select, customers().uid(), Reason::NoPermit),
        (
            &nobody,
            Action::ViewAsset,
            customers().uid(),
            Reason::NoPermit,
        ),
        (&nobody, Action::ViewHealth, session(), Reason::NoPermit),
        (&anonymous, Action::Call, session(), Reason::NoPermit),
        (&anonymous, Action::Query, public(), Reason::NoPermit),
    ] {
        let decision = world.decide(principal, action, resource);
        assert_eq!(
            decision.reason, expected,
            "{} {action}: {}",
            principal.uid, decision.detail
        );
    }
}

#[test]
fn owners_and_developers() {
    let world = World::shipped();
    let developer = user("dev", &["data-developer"]);
    let steward = user("sam", &["steward"]);
    let stranger = user("eve", &[]);
    let platform = Principal::platform();
    for (principal, action, kind, expected) in [
        (
            &developer,
            Action::ApplyResource,
            "workflow",
            Reason::Permitted,
        ),
        (
            &developer,
            Action::GetResource,
            "workflow",
            Reason::Permitted,
        ),
        (&developer, Action::RunStep, "workflow", Reason::Permitted),
        (
            &developer,
            Action::DeleteResource,
            "workflow",
            Reason::Permitted,
        ),
        (
            &developer,
            Action::ApplyResource,
            "policy",
            Reason::Forbidden,
        ),
        (
            &developer,
            Action::DeleteResource,
            "policy",
            Reason::Forbidden,
        ),
        (&steward, Action::ApplyResource, "policy", Reason::NoPermit),
        (&stranger, Action::GetResource, "workflow", Reason::NoPermit),
        (&stranger, Action::RunStep, "workflow", Reason::NoPermit),
        (&platform, Action::CreateChild, "depot", Reason::Permitted),
        (&platform, Action::ApplyResource, "depot", Reason::NoPermit),
    ] {
        let uid = EntityType::RESOURCE.id(format!("{kind}:v1:x"));
        let mut entity = Entity::new(uid.clone());
        let owner = Value::Entity(EntityType::USER.id("dev"));
        entity.attributes = [
            ("owner".to_owned(), owner),
            ("type".to_owned(), kind.into()),
        ]
        .into();
        let request = Request::new(principal, action, uid).with_entity(entity);
        let decision = world.pdp.decide_now(&request);
        assert_eq!(decision, world.pdp.decide_stock(&request));
        assert_eq!(
            decision.reason, expected,
            "{} {action} {kind}",
            principal.uid
        );
    }
}
