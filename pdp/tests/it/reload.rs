//! Loading, reloading and replacing policies: whole or not at all.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use dataos_model::{
    action::Action,
    dataset::{ColumnType, DatasetId, DatasetSchema},
    decision::{Reason, Request},
    entity::{Entity, EntityChange},
    hash::Hash,
    policy::PolicyText,
    seams::{Decide, EntitySink, Policies},
};

use crate::fixture::{World, block_on, column, customers, user};

const PERMIT: &str =
    "@id(\"own\") permit (principal, action == DataOS::Action::\"select\", resource);";

fn write(world: &World, text: &str) {
    fs::write(world.folder.path().join("own.cedar"), text).unwrap();
}

fn hash_of(text: &str) -> Hash {
    World::with(text).pdp.info().hash
}

#[test]
fn a_bad_folder_leaves_the_old_set_and_says_so() {
    let world = World::with(PERMIT);
    let before = world.pdp.info();
    write(
        &world,
        "@id(\"own\")\nforbid (principal, action, resource) when { nonsense };",
    );
    let fault = world.pdp.reload().unwrap_err();
    assert!(fault.to_string().starts_with("own.cedar:2:"), "{fault}");
    let after = world.pdp.info();
    assert_eq!((after.hash, after.count), (before.hash, before.count));
    assert_eq!(after.load_error, Some(fault));
    let ann = user("ann", &[]);
    assert_eq!(
        world.decide(&ann, Action::Select, customers().uid()).reason,
        Reason::Permitted
    );
    write(&world, "");
    world.pdp.reload().unwrap();
    assert_eq!(world.pdp.info().load_error, None);
    assert_eq!(
        world.decide(&ann, Action::Select, customers().uid()).reason,
        Reason::NoPermit
    );
}

/// The warnings once there are so many; they come a little after the policies.
fn warnings(world: &World, count: usize) -> Vec<String> {
    let started = Instant::now();
    loop {
        let warnings = world.pdp.info().warnings;
        if warnings.len() == count {
            return warnings.iter().map(ToString::to_string).collect();
        }
        let took = started.elapsed();
        assert!(took < Duration::from_secs(300), "{warnings:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn policies_that_fit_no_dataset_are_told_after_they_are_in_force() {
    let world = World::with(
        "@id(\"somewhere\") permit (principal, action == DataOS::Action::\"select\", resource in DataOS::Depot::\"shop\");
         @id(\"nowhere\") permit (principal, action == DataOS::Action::\"select\",
           resource == DataOS::Dataset::\"shop:crm/costumers\");
         @id(\"fitting\") permit (principal, action == DataOS::Action::\"read_row\", resource) when { resource.id > 1 };
         @id(\"no.column\") permit (principal, action == DataOS::Action::\"read_row\", resource) when { resource.agee > 1 };
         @id(\"no.tag\") forbid (principal, action == DataOS::Action::\"read_cell\", resource in DataOS::Tag::\"PIII\");",
    );
    let told = warnings(&world, 3);
    for (id, line, words) in [
        ("nowhere", 2, "can match none of the 1 known datasets"),
        ("no.column", 5, "agee"),
        ("no.tag", 6, "can match none"),
    ] {
        let is_it = |text: &&String| {
            text.starts_with(&format!("own.cedar:{line}")) && text.contains(&format!("`{id}`"))
        };
        let text = told.iter().find(is_it);
        assert!(text.is_some_and(|text| text.contains(words)), "{told:#?}");
    }
    assert_eq!(world.pdp.info().load_error, None);
    // A dataset that comes later, and policies that go.
    let later = DatasetId::new("shop", "crm", "costumers").uid();
    let mut dataset = Entity::new(later);
    dataset.schema = Some(DatasetSchema {
        columns: vec![
            column("agee", ColumnType::Int(64), false),
            column("id", ColumnType::Int(64), false),
        ],
    });
    world
        .pdp
        .apply(vec![EntityChange::Upsert(dataset)])
        .unwrap();
    assert!(
        warnings(&world, 2)
            .iter()
            .all(|text| !text.contains("nowhere"))
    );
    write(&world, PERMIT);
    world.pdp.reload().unwrap();
    warnings(&world, 0);
}

#[test]
fn the_hash_changes_with_meaning_and_not_with_layout() {
    let base = hash_of(PERMIT);
    for same in [
        "// why\n@id(\"own\")\n\n  permit ( principal , action==DataOS::Action::\"select\",resource ) ;".to_owned(),
        format!("\n\n{PERMIT}\n// end"),
    ] {
        assert_eq!(hash_of(&same), base, "{same}");
    }
    let mut seen = vec![base];
    for other in [
        PERMIT.replace("\"own\"", "\"owm\""),
        PERMIT.replace("permit", "forbid"),
        PERMIT.replace("select", "insert"),
        PERMIT.replace("resource)", "resource is DataOS::Dataset)"),
        PERMIT.replace(";", " when { true };"),
        PERMIT.replace(";", " unless { true };"),
        PERMIT.replace("permit", "@obligation(\"no_projection()\") permit"),
        PERMIT.replace("permit", "@obligation(\"no_projection(x = 1)\") permit"),
        PERMIT.replace("permit", "@priority(\"1\") permit"),
        PERMIT.replace("permit", "@description(\"d\") permit"),
        format!("{PERMIT} @id(\"two\") permit (principal, action, resource);"),
        String::new(),
    ] {
        let hash = hash_of(&other);
        assert!(!seen.contains(&hash), "{other}");
        seen.push(hash);
    }
}

#[test]
fn applied_texts_join_the_folder_and_survive_a_reload() {
    let world = World::with("");
    let ann = user("ann", &[]);
    let ask = || world.decide(&ann, Action::Select, customers().uid());
    let empty = world.pdp.info().hash;
    let text = PolicyText {
        source: "policy:v1:own".to_owned(),
        cedar: PERMIT.to_owned(),
    };
    let applied = block_on(world.pdp.put(text)).unwrap();
    assert_eq!(ask().policies[0].source, "policy:v1:own");
    assert_eq!(ask().policy_set, applied);
    assert_eq!(world.pdp.reload().unwrap(), applied);
    let schema = world.folder.path().join("schema.cedarschema");
    let wider = fs::read_to_string(&schema)
        .unwrap()
        .replace("method?: String,", "method?: String, time?: Long,");
    fs::write(&schema, wider).unwrap();
    let rechecked = world.pdp.reload().unwrap();
    assert_ne!(rechecked, applied, "the schema is part of the set");
    assert_eq!(ask().reason, Reason::Permitted);
    assert_eq!(world.pdp.list()[0].text, PERMIT);
    block_on(world.pdp.remove("policy:v1:own")).unwrap();
    assert_eq!(ask().reason, Reason::NoPermit);
    assert_ne!(world.pdp.info().hash, empty);
}

#[test]
fn no_answer_mixes_two_versions_under_reload() {
    // In each version both permits name the same colour; a mix would show two.
    let version = |colour: &str| {
        format!(
            "@id(\"{colour}-1\") permit (principal, action == DataOS::Action::\"select\", resource);
             @id(\"{colour}-2\") permit (principal, action == DataOS::Action::\"select\", resource);"
        )
    };
    let texts = [version("red"), version("blue")];
    let hashes = [hash_of(&texts[0]), hash_of(&texts[1])];
    let world = World::with(&texts[0]);
    let request = Request::new(&user("ann", &[]), Action::Select, customers().uid());
    let is_done = AtomicBool::new(false);
    let asked = std::thread::scope(|scope| {
        let askers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut asked = [0, 0];
                    while !is_done.load(Ordering::Relaxed) {
                        let answers =
                            block_on(world.pdp.decide_all(&[request.clone(), request.clone()]));
                        assert_eq!(answers[0], answers[1], "one batch, one version");
                        let answer = &answers[0];
                        assert_eq!(answer.reason, Reason::Permitted);
                        let which = usize::from(answer.policies[0].id.starts_with("red"));
                        let colour = ["blue", "red"][which];
                        let ids: Vec<&str> =
                            answer.policies.iter().map(|p| p.id.as_str()).collect();
                        assert_eq!(ids, [format!("{colour}-1"), format!("{colour}-2")]);
                        assert_eq!(answer.policy_set, hashes[1 - which]);
                        asked[which] += 1;
                    }
                    asked
                })
            })
            .collect();
        for round in 1..=100 {
            write(&world, &texts[round % 2]);
            assert_eq!(world.pdp.reload().unwrap(), hashes[round % 2]);
        }
        is_done.store(true, Ordering::Relaxed);
        askers
            .into_iter()
            .map(|asker| asker.join().unwrap())
            .fold([0, 0], |sum, asked| [sum[0] + asked[0], sum[1] + asked[1]])
    });
    assert!(asked[0] > 0 && asked[1] > 0, "{asked:?}");
}
