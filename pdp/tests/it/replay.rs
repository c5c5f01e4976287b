//! Decisions made again from what was told of policies and entities are those that were made.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use dataos_model::{
    asked,
    decision::{Decision, Request},
    entity::{Entity, EntityChange, EntityType},
    fault::FaultKind,
    hash::Hash,
    policy::{PolicyLink, PolicyText},
    seams::{EntitySink, Policies},
    state::{self, StateChange, StateOf},
};
use dataos_pdp::{NotReplayed, Pdp, Replay, StateStep};

use crate::{
    fixture::{World, block_on},
    generate,
    spread::Spread,
};

const TEMPLATE: &str = "@id(\"template\") permit (principal == ?principal, action, resource);\n";

/// What a log would hold.
enum Kept {
    State(StateChange),
    /// A question as text, how it was decided, and how another PDP decided it at the same moment.
    Decision(String, Box<[Decision; 2]>),
}

/// A PDP that tells, beside one over other files; what happens to the one happens to the other.
struct Pair {
    told: World,
    other: World,
    kept: Arc<Mutex<Vec<Kept>>>,
}

/// The entries of a step; a whole in parts of a few lines.
fn entries(step: &StateStep) -> Vec<Kept> {
    let lines: Vec<String> = step.changes.iter().map(state::write).collect();
    let lines_max = if step.before.is_none() { 7 } else { usize::MAX };
    let parts: Vec<&[String]> = lines.chunks(lines_max).collect();
    let entry = |(part, lines): (u64, &&[String])| {
        Kept::State(StateChange {
            of: step.of,
            before: step.before,
            after: step.after,
            part,
            is_last: part + 1 == parts.len() as u64,
            lines: lines.join("\n"),
        })
    };
    (0..).zip(&parts).map(entry).collect()
}

impl Pair {
    fn new(spread: &mut Spread) -> Self {
        let mut world = |more: &str| World::with(&(generate::policies(spread) + more));
        let (told, other) = (world(TEMPLATE), world(TEMPLATE));
        let pair = Self {
            told,
            other,
            kept: Arc::default(),
        };
        pair.apply(
            generate::entities(spread)
                .into_iter()
                .map(EntityChange::Upsert),
        );
        let kept = Arc::clone(&pair.kept);
        let listener = move |step| kept.lock().unwrap().extend(entries(&step));
        pair.told.pdp.on_state_change(listener).unwrap();
        let again = pair.told.pdp.on_state_change(|_| {});
        assert_eq!(again.unwrap_err().kind, FaultKind::Conflict);
        pair
    }

    fn both(&self) -> [&Arc<Pdp>; 2] {
        [&self.told.pdp, &self.other.pdp]
    }

    fn apply(&self, changes: impl Iterator<Item = EntityChange>) {
        let changes: Vec<EntityChange> = changes.collect();
        for pdp in self.both() {
            pdp.apply(changes.clone()).unwrap();
        }
    }

    /// One of the things that happen to a PDP.
    fn happen(&self, spread: &mut Spread) {
        let uid = match spread.below(2) {
            0 => EntityType::RESOURCE.id(format!("r{}", spread.below(8))),
            _ => EntityType::DATASET.id(format!("d{}:c/{}", spread.below(4), spread.below(3))),
        };
        let number = spread.below(3);
        match spread.below(8) {
            0 => self.apply([EntityChange::Remove(uid)].into_iter()),
            1 | 2 => {
                let world = generate::entities(spread);
                self.apply(
                    world
                        .into_iter()
                        .filter(|entity| entity.uid == uid)
                        .map(EntityChange::Upsert),
                );
            }
            3 => {
                let group = EntityType::GROUP.id(format!("g{number}"));
                self.apply([EntityChange::Upsert(Entity::new(group))].into_iter());
            }
            4 => {
                let text = generate::policies(spread);
                let cedar = text
                    .lines()
                    .next()
                    .unwrap()
                    .replace("\"p0\"", &format!("\"a{number}\""));
                for pdp in self.both() {
                    let text = PolicyText {
                        source: format!("policy:v1:access:a{number}"),
                        cedar: cedar.clone(),
                    };
                    block_on(pdp.put(text)).unwrap();
                }
            }
            5 => {
                for pdp in self.both() {
                    block_on(pdp.remove(&format!("policy:v1:access:a{number}"))).unwrap();
                }
            }
            6 => {
                let link = PolicyLink {
                    id: format!("link{number}"),
                    template: "template".to_owned(),
                    principal: Some(EntityType::USER.id(format!("u{}", spread.below(6)))),
                    resource: None,
                };
                let is_put = spread.is(60);
                for pdp in self.both() {
                    if is_put {
                        block_on(pdp.put_link(link.clone())).unwrap();
                    } else {
                        block_on(pdp.remove_link(&link.id)).unwrap();
                    }
                }
            }
            _ => {
                let path = self.told.folder.path().join("own.cedar");
                let comment = if spread.is(30) { "// moved\n" } else { "" };
                fs::write(path, generate::policies(spread) + TEMPLATE + comment).unwrap();
                self.told.pdp.reload().unwrap();
            }
        }
    }

    fn ask(&self, request: &Request) {
        let decisions = self.both().map(|pdp| pdp.decide_now(request));
        let kept = Kept::Decision(asked::write(request), Box::new(decisions));
        self.kept.lock().unwrap().push(kept);
    }
}

/// All decisions made again, in order.
fn again(kept: &[Kept], mut replay: Replay) -> Vec<Result<Decision, NotReplayed>> {
    let mut found = Vec::new();
    for kept in kept {
        match kept {
            Kept::State(change) => {
                // As it comes back from the log.
                let entry = change.clone().entry("r");
                replay
                    .learn(&StateChange::of_entry(&entry).unwrap())
                    .unwrap();
            }
            Kept::Decision(text, decisions) => {
                let told = &decisions[0];
                let state = replay.at(told.policy_set, told.entities);
                let request = asked::read(text).unwrap();
                found.push(state.map(|state| state.decide(&request)));
            }
        }
    }
    found
}

#[test]
fn decisions_are_made_again_as_they_were_and_as_other_files_would_have_made_them() {
    let (mut count, mut differing) = (0, 0);
    for seed in 0..3 {
        let mut spread = Spread::new(seed);
        let pair = Pair::new(&mut spread);
        for _ in 0..40 {
            pair.happen(&mut spread);
            for _ in 0..20 {
                let caller = generate::principal(&mut spread);
                pair.ask(&generate::request(&mut spread, &caller));
            }
        }
        let kept = pair.kept.lock().unwrap();
        let decisions: Vec<&[Decision; 2]> = kept
            .iter()
            .filter_map(|kept| match kept {
                Kept::Decision(_, decisions) => Some(decisions.as_ref()),
                Kept::State(_) => None,
            })
            .collect();
        let recorded = again(&kept, Replay::recorded());
        let files = Replay::with_files(pair.other.folder.path()).unwrap();
        let replaced = again(&kept, files);
        assert_eq!(
            (recorded.len(), replaced.len()),
            (decisions.len(), decisions.len())
        );
        for ([told, other], (recorded, replaced)) in decisions
            .into_iter()
            .zip(recorded.into_iter().zip(replaced))
        {
            assert_eq!(&recorded.unwrap(), told);
            assert_eq!(&replaced.unwrap(), other);
            count += 1;
            differing += usize::from(told.effect != other.effect);
        }
    }
    assert!(count == 2_400 && differing > 200, "{count} {differing}");
}

#[test]
fn what_was_not_told_is_not_guessed() {
    let mut spread = Spread::new(7);
    let pair = Pair::new(&mut spread);
    let caller = generate::principal(&mut spread);
    pair.ask(&generate::request(&mut spread, &caller));
    let kept = pair.kept.lock().unwrap();
    for (of, why) in [
        (StateOf::Policies, NotReplayed::Policies),
        (StateOf::Entities, NotReplayed::Entities),
    ] {
        // Each part in turn is missing.
        let is_of = |kept: &Kept| matches!(kept, Kept::State(change) if change.of == of);
        for missing in (0..kept.len()).filter(|at| is_of(&kept[*at])) {
            let mut replay = Replay::recorded();
            for (at, kept) in kept.iter().enumerate() {
                match kept {
                    Kept::State(change) if at != missing => replay.learn(change).unwrap(),
                    Kept::State(_) => {}
                    Kept::Decision(_, decisions) => {
                        let told = &decisions[0];
                        let state = replay.at(told.policy_set, told.entities);
                        assert_eq!(state.err().as_ref(), Some(&why), "{missing}");
                    }
                }
            }
        }
    }
}

#[test]
fn changes_that_lead_elsewhere_and_texts_that_do_not_go_together_are_told() {
    let mut spread = Spread::new(8);
    let pair = Pair::new(&mut spread);
    let link = PolicyLink {
        id: "link".to_owned(),
        template: "template".to_owned(),
        principal: Some(EntityType::USER.id("u0")),
        resource: None,
    };
    block_on(pair.told.pdp.put_link(link)).unwrap();
    let caller = generate::principal(&mut spread);
    pair.ask(&generate::request(&mut spread, &caller));
    let kept = pair.kept.lock().unwrap();
    let mut replay = Replay::recorded();
    for kept in kept.iter() {
        if let Kept::State(change) = kept
            && change.of == StateOf::Entities
            && change.is_last
        {
            let after = Hash([9; 32]);
            let forged = StateChange {
                after,
                part: 0,
                ..change.clone()
            };
            let fault = replay.learn(&forged).unwrap_err();
            assert_eq!(fault.kind, FaultKind::Damaged);
            let foreign = StateChange {
                of: StateOf::Policies,
                part: 0,
                ..change.clone()
            };
            assert_eq!(replay.learn(&foreign).unwrap_err().kind, FaultKind::Damaged);
        }
    }
    // The template of the link is in no other file.
    let bare = World::with("@id(\"all\") permit (principal, action, resource);");
    let files = Replay::with_files(bare.folder.path()).unwrap();
    let found = again(&kept, files);
    let Some(Err(NotReplayed::Unfit(why))) = found.first() else {
        panic!("{found:?}");
    };
    assert!(why.contains("template"), "{why}");
    let fault = Replay::with_files(&bare.folder.path().join("none")).unwrap_err();
    assert!(fault.to_string().contains("schema"), "{fault}");
}
