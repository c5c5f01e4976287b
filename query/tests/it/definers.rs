//! Views that lend their definers' rights: what is behind them is decided for the definer as he is now, the view
//! itself for who reads it, and who reads it hears nothing of what is behind it.

use std::fs;

use dataos_model::{
    action::Action,
    asked,
    dataset::DatasetId,
    depot::{DatasetSource, Definer},
    entity::EntityType,
    fault::{Fault, FaultKind},
    principal::{Authentication, Principal},
    record::{ASKED_ACCESS, Entry},
    seams::RunQuery,
};

use crate::world::{World, equals};

const PEOPLE: &str = "1,ada,EMEA,10\n2,bela,EMEA,20\n3,cleo,AMER,30\n";
const MAKE: &str =
    "CREATE SQL SECURITY DEFINER VIEW lake.main.v AS SELECT id, name, pay FROM people";

/// Dana and bob have accounts; alice may not select `people`.
fn world() -> (World, DatasetId) {
    let world = World::new();
    let columns = &[
        ("id", "bigint"),
        ("name", "text"),
        ("region", "text"),
        ("pay", "bigint"),
    ];
    let people = world.csv("people", columns, PEOPLE);
    for user in ["alice", "bob", "dana"] {
        world.accounts.put(user, &[]);
    }
    world
        .desk
        .of("alice")
        .deny(Action::Select, "lake:main/people");
    (world, people)
}

impl World {
    async fn made_by(&self, user: &str, sql: &str) {
        let made = self.run_as(user, sql).await;
        made.unwrap_or_else(|fault| panic!("{sql}: {fault:?}"));
    }

    async fn not_made_by(&self, user: &str, sql: &str) -> Fault {
        self.run_as(user, sql).await.expect_err(sql)
    }

    fn definer_of(&self, name: &str) -> Option<Definer> {
        let dataset = self.catalog.dataset(&id(name)).unwrap();
        match &dataset.source {
            DatasetSource::View { definer, .. } => definer.clone(),
            source => panic!("{source:?}"),
        }
    }

    /// The record of the last decision.
    fn decision(&self) -> Entry {
        let mut entries = self.log.entries().into_iter().rev();
        entries.find(|entry| entry.effect.is_some()).unwrap()
    }
}

fn id(name: &str) -> DatasetId {
    DatasetId::new("lake", "main", name)
}

/// A refusal of the whole view that tells nothing of what is behind it.
fn check_unreadable(fault: &Fault) {
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::Denied, "view_unreadable"),
        "{fault:?}"
    );
    let text = format!("{fault:?}");
    for word in ["people", "dana", "bob", "pay", "region", "disabled"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    assert!(fault.policies.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_behind_is_the_definers_and_the_view_its_readers() {
    let (world, people) = world();
    world.made_by("dana", MAKE).await;
    world
        .desk
        .of("dana")
        .rows(&people, equals("region", "EMEA"));
    world
        .desk
        .of("dana")
        .mask(&people, "name", "partial(first = 1)");
    world
        .check(
            "SELECT * FROM v ORDER BY id",
            r#"[[1,"a**",10],[2,"b***",20]]"#,
        )
        .await;
    // The reader's own policies on the view come on top.
    world.desk.of("alice").rows(&id("v"), equals("id", 2));
    world
        .desk
        .of("alice")
        .mask(&id("v"), "pay", "bucket_number(buckets = [0, 15])");
    let accesses = world.desk.accesses();
    let answer = world.run("SELECT name, pay FROM v").await.unwrap();
    assert_eq!(
        world.desk.accesses(),
        accesses + 1,
        "one question about all"
    );
    assert_eq!(answer.chunks.concat(), br#"[["b***",15]]"#);
    assert!(answer.columns.iter().all(|column| column.is_masked));
    let fault = world.refused("SELECT name FROM people").await;
    assert_eq!(fault.reason, "no_permit");
    world.desk.of("alice").deny(Action::Select, "lake:main/v");
    let fault = world.refused("SELECT name FROM v").await;
    assert_eq!(fault.reason, "no_permit");
    assert!(fault.message.contains("lake:main/v"), "{fault:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_table_is_read_once_for_its_caller_and_once_for_a_definer() {
    let (world, people) = world();
    world.made_by("dana", MAKE).await;
    world.desk.of("bob").rows(&people, equals("region", "AMER"));
    world
        .desk
        .of("bob")
        .mask(&people, "name", "redact(replacement = '-')");
    world
        .desk
        .of("dana")
        .rows(&people, equals("region", "EMEA"));
    let sql = "SELECT id, name FROM people UNION ALL SELECT id, name FROM v ORDER BY id";
    let answer = world.run_as("bob", sql).await.unwrap();
    assert_eq!(
        String::from_utf8(answer.chunks.concat()).unwrap(),
        r#"[[1,"ada"],[2,"bela"],[3,"-"]]"#
    );
    // A change of it goes by what its caller sees.
    let stored = "CREATE TABLE lake.main.copy AS SELECT * FROM people";
    world.made_by("dana", stored).await;
    let view = "CREATE SQL SECURITY DEFINER VIEW lake.main.w AS SELECT id, pay FROM copy";
    world.made_by("dana", view).await;
    world.desk.of("bob").rows(&id("copy"), equals("id", 1));
    let change = "UPDATE copy SET pay = w.pay + 1 FROM w WHERE w.id = copy.id + 1";
    world.made_by("bob", change).await;
    assert_eq!(
        world.raw(&id("copy")),
        ["1|ada|EMEA|21", "2|bela|EMEA|20"],
        "dana saw two rows, and bob one of them"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_has_both_principals_and_the_answer_only_whose_rights_they_were() {
    let (world, people) = world();
    world.made_by("dana", MAKE).await;
    world
        .desk
        .of("dana")
        .rows(&people, equals("region", "EMEA"));
    let answer = world.run("SELECT id FROM v").await.unwrap();
    let certificate = &answer.certificate;
    let shown = format!("{:?} {}", certificate.tables, certificate.governed_sql);
    for hidden in ["people", "region", "EMEA"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
    let [table] = certificate.tables.as_slice() else {
        panic!("{certificate:?}")
    };
    assert_eq!(table.dataset, id("v"));
    assert_eq!(table.definer.as_deref(), Some("dana"));
    let lent = &certificate.lent.tables["dana"];
    assert_eq!(lent.len(), 1);
    assert_eq!(lent[0].dataset, people);
    let entry = world.decision();
    assert_eq!(entry.principal, "DataOS::User::\"alice\"");
    assert_eq!(
        entry.resource,
        "DataOS::Dataset::\"lake:main/v\", DataOS::Dataset::\"lake:main/people\""
    );
    assert_eq!(entry.facts["definers"], "dana");
    assert_eq!(entry.facts["rows lake:main/v"], "TRUE");
    assert!(entry.facts["rows lake:main/people as dana"].contains("EMEA"));
    let asked: Vec<String> = entry.facts[ASKED_ACCESS]
        .lines()
        .map(|line| {
            let asked = asked::read_access(line).unwrap();
            let datasets = asked.datasets.iter().map(ToString::to_string);
            format!(
                "{} {}",
                asked.principal.uid.id,
                datasets.collect::<String>()
            )
        })
        .collect();
    assert_eq!(asked, ["alice lake:main/v", "dana lake:main/people"]);
    assert_eq!(entry.facts["answers"].split(' ').count(), 2);
    // EXPLAIN POLICY and EXPLAIN tell no more.
    let policy = world.rows("EXPLAIN POLICY SELECT id FROM v").await;
    assert!(
        policy.contains("reads with the rights of `dana`"),
        "{policy}"
    );
    let plan = world.rows("EXPLAIN SELECT id FROM v").await;
    for hidden in ["people", "region", "EMEA"] {
        assert!(
            !policy.contains(hidden) && !plan.contains(hidden),
            "{policy} {plan}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definer_counts_as_he_is_now() {
    let (world, people) = world();
    world.made_by("dana", MAKE).await;
    let over = "CREATE VIEW lake.main.above AS SELECT id FROM v";
    world.made_by("bob", over).await;
    let disabled = Fault::denied("account_disabled", "user `dana` is disabled");
    let changes: [(&str, &dyn Fn()); 4] = [
        ("there is no user `dana`", &|| world.accounts.remove("dana")),
        ("user `dana` is disabled", &|| {
            world.accounts.fail("dana", disabled.clone());
        }),
        ("people.pay", &|| {
            world.desk.of("dana").absent(&people, "pay")
        }),
        ("", &|| {
            let dana = world.desk.of("dana");
            dana.deny(Action::Select, "lake:main/people");
        }),
    ];
    for (cause, change) in changes {
        world.check("SELECT count(*) FROM v", "[[3]]").await;
        change();
        for (sql, named) in [
            ("SELECT id FROM v", "`lake:main/v`"),
            ("SELECT id FROM above", "`lake:main/above`"),
            ("EXPLAIN POLICY SELECT id FROM v", "`lake:main/v`"),
        ] {
            let fault = world.refused(sql).await;
            check_unreadable(&fault);
            assert!(fault.message.contains(named), "{fault:?}");
            let entry = world.decision();
            assert_eq!(entry.principal, "DataOS::User::\"alice\"");
            assert_eq!(entry.facts["definers"], "dana");
            assert!(entry.facts["cause"].contains(cause), "{entry:?}");
        }
        world.accounts.put("dana", &[]);
        world.desk.forget("dana");
    }
    let dana = world.desk.of("dana");
    dana.deny(Action::Select, "lake:main/people");
    world.refused("SELECT id FROM v").await;
    let resource = world.decision().resource;
    assert_eq!(resource, "DataOS::Dataset::\"lake:main/people\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_definer_stands_is_told_to_nobody() {
    let (world, _) = world();
    world.made_by("dana", MAKE).await;
    // Who may not select the view hears that, and nothing of its definer.
    world.accounts.remove("dana");
    world.desk.of("alice").deny(Action::Select, "lake:main/v");
    let fault = world.refused("SELECT id FROM v").await;
    assert_eq!(fault.reason, "no_permit");
    // Accounts that cannot be looked at are no reason to go on.
    world.desk.forget("alice");
    let away = Fault::unavailable("the gateway of dana is away");
    world.accounts.fail("dana", away);
    let fault = world.refused("SELECT id FROM v").await;
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::Unavailable, "identities")
    );
    assert!(!format!("{fault:?}").contains("dana"), "{fault:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lends_his_rights_must_be_let_and_be_what_his_account_is() {
    let (world, _) = world();
    world
        .desk
        .of("bob")
        .deny(Action::CreateDefinerView, "lake:main");
    let fault = world.not_made_by("bob", MAKE).await;
    assert_eq!(fault.reason, "no_permit");
    assert!(fault.message.contains("create_definer_view"), "{fault:?}");
    assert_eq!(world.decision().action, "create_definer_view");
    world
        .made_by("bob", "CREATE VIEW lake.main.own AS SELECT id FROM people")
        .await;
    // What he may not read he cannot lend.
    let fault = world.not_made_by("alice", MAKE).await;
    assert_eq!(fault.reason, "no_permit");
    // A token's user, and one who comes with other roles than his account has.
    for (user, change) in [("eve", false), ("dana", true)] {
        if change {
            world.accounts.put("dana", &["steward"]);
        }
        let fault = world.not_made_by(user, MAKE).await;
        assert_eq!(fault.reason, "definer_unknown", "{fault:?}");
    }
    // A service of the name of an account is somebody else.
    let mut request = world.request(MAKE);
    let service = EntityType::SERVICE.id("bob");
    request.principal = Principal::new(service, Authentication::Certificate);
    world.desk.forget("bob");
    let fault = world.layer.run(request).await.unwrap_err();
    assert_eq!(fault.reason, "definer_unknown", "{fault:?}");
    world.accounts.put("dana", &[]);
    for (number, (said, is_definer)) in [
        ("CREATE SQL SECURITY DEFINER VIEW lake.main.NAME AS", true),
        ("CREATE SQL SECURITY INVOKER VIEW lake.main.NAME AS", false),
        (
            "CREATE VIEW lake.main.NAME WITH (security_invoker = false) AS",
            true,
        ),
        (
            "CREATE VIEW lake.main.NAME WITH (security_invoker = true) AS",
            false,
        ),
        ("CREATE VIEW lake.main.NAME AS", false),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("said{number}");
        let sql = format!("{} SELECT id FROM people", said.replace("NAME", &name));
        world.made_by("dana", &sql).await;
        let definer = world.definer_of(&name).map(|definer| definer.user);
        assert_eq!(definer.as_deref(), is_definer.then_some("dana"), "{sql}");
    }
    for said in [
        "CREATE DEFINER = dana VIEW lake.main.x AS",
        "CREATE DEFINER = bob SQL SECURITY DEFINER VIEW lake.main.x AS",
        "CREATE ALGORITHM = MERGE SQL SECURITY DEFINER VIEW lake.main.x AS",
        "CREATE SQL SECURITY DEFINER VIEW lake.main.x WITH (security_invoker = true) AS",
        "CREATE VIEW lake.main.x WITH (security_invoker = false, security_barrier = true) AS",
        "CREATE VIEW lake.main.x WITH (security_invoker = off) AS",
        "CREATE VIEW lake.main.x WITH (security_barrier = true) AS",
    ] {
        let sql = format!("{said} SELECT id FROM people");
        let fault = world.not_made_by("dana", &sql).await;
        assert_eq!(fault.kind, FaultKind::Unsupported, "{sql}: {fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_replaces_a_view_lends_his_own_rights_and_never_those_of_another() {
    let (world, people) = world();
    world.made_by("dana", MAKE).await;
    world.desk.of("bob").rows(&people, equals("region", "AMER"));
    let again = MAKE.replace("CREATE", "CREATE OR REPLACE");
    world.made_by("bob", &again).await;
    assert_eq!(world.definer_of("v").unwrap().user, "bob");
    world.check("SELECT id FROM v", "[[3]]").await;
    assert_eq!(
        world.catalog.dataset(&id("v")).unwrap().owner.as_deref(),
        Some("dana")
    );
    let own = "CREATE OR REPLACE VIEW lake.main.v AS SELECT id, name, pay FROM people";
    world.made_by("bob", own).await;
    assert_eq!(world.definer_of("v"), None);
    let fault = world.refused("SELECT id FROM v").await;
    assert_eq!(fault.reason, "no_permit");
    world.desk.of("bob").deny(Action::Delete, "lake:main/v");
    assert_eq!(world.not_made_by("bob", &again).await.reason, "no_permit");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_view_on_the_way_is_its_own_readers() {
    let (world, people) = world();
    // dana's view, over a view of its readers' rights, over bob's view.
    let inner = "CREATE SQL SECURITY DEFINER VIEW lake.main.x AS SELECT id, region FROM people";
    world.made_by("bob", inner).await;
    world
        .made_by(
            "dana",
            "CREATE VIEW lake.main.w AS SELECT x.id, p.pay FROM x, people p WHERE p.id = x.id",
        )
        .await;
    world
        .made_by(
            "dana",
            "CREATE SQL SECURITY DEFINER VIEW lake.main.v AS SELECT id, pay FROM w",
        )
        .await;
    for name in ["x", "w"] {
        world
            .desk
            .of("alice")
            .deny(Action::Select, &format!("lake:main/{name}"));
    }
    world.desk.of("bob").rows(&people, equals("region", "EMEA"));
    world
        .desk
        .of("dana")
        .mask(&people, "pay", "bucket_number(buckets = [0, 15])");
    world.desk.of("dana").rows(&id("x"), equals("id", 2));
    world.check("SELECT * FROM v", "[[2,15]]").await;
    let asked = world.decision().facts[ASKED_ACCESS].clone();
    let asked: Vec<String> = asked
        .lines()
        .map(|line| {
            let asked = asked::read_access(line).unwrap();
            let datasets: Vec<&str> = asked.datasets.iter().map(|id| id.name.as_str()).collect();
            format!("{} {}", asked.principal.uid.id, datasets.join(" "))
        })
        .collect();
    assert_eq!(asked, ["alice v", "bob people", "dana x people w"]);
    // What dana may not select on the way makes her view unreadable; what bob may not, his.
    world.desk.of("dana").deny(Action::Select, "lake:main/x");
    check_unreadable(&world.refused("SELECT * FROM v").await);
    world.desk.forget("dana");
    world.check("SELECT count(*) FROM v", "[[2]]").await;
    world.accounts.remove("bob");
    check_unreadable(&world.refused("SELECT * FROM v").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_writes_into_another_view_what_is_done_with_lent_rights() {
    let (world, people) = world();
    // Bob's view is read with dana's rights; what he writes into it later is not what she lent them to.
    world.desk.of("bob").absent(&people, "pay");
    world
        .made_by(
            "bob",
            "CREATE VIEW lake.main.w AS SELECT id, name FROM people",
        )
        .await;
    world
        .made_by(
            "dana",
            "CREATE SQL SECURITY DEFINER VIEW lake.main.v AS SELECT id, name FROM w",
        )
        .await;
    world
        .check("SELECT name FROM v WHERE id = 1", r#"[["ada"]]"#)
        .await;
    let id_w = id("w");
    let other = r#"SELECT "p"."id" AS "id", CAST("p"."pay" AS VARCHAR) AS "name" FROM "lake"."main"."people" AS "p""#;
    let put = |sql: &str, definer: Option<Definer>| {
        let source = DatasetSource::View {
            sql: sql.to_owned(),
            definer,
        };
        world
            .catalog
            .add(&id_w, &[("id", "bigint"), ("name", "text")], source);
    };
    put(other, None);
    check_unreadable(&world.refused("SELECT name FROM v").await);
    assert!(world.decision().facts["cause"].contains("changed"));
    // Nor does a view that lent its definer's rights become one that borrows hers.
    let bobs =
        "CREATE OR REPLACE SQL SECURITY DEFINER VIEW lake.main.w AS SELECT id, name FROM people";
    world.made_by("bob", bobs).await;
    let again = "CREATE OR REPLACE SQL SECURITY DEFINER VIEW lake.main.v AS SELECT id, name FROM w";
    world.made_by("dana", again).await;
    world
        .check("SELECT name FROM v WHERE id = 1", r#"[["ada"]]"#)
        .await;
    put(other, None);
    check_unreadable(&world.refused("SELECT name FROM v").await);
    // Made again, she has seen it.
    world.made_by("dana", again).await;
    world
        .check("SELECT name FROM v WHERE id = 1", r#"[["10"]]"#)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_readers_is_evaluated_on_what_the_view_leaves_out() {
    let (world, people) = world();
    let make = "CREATE SQL SECURITY DEFINER VIEW lake.main.v AS SELECT id, name FROM people WHERE region = 'EMEA'";
    world.made_by("dana", make).await;
    world.csv("people_ids", &[("id", "bigint")], "-5\n");
    for _ in 0..8 {
        world
            .check(
                "SELECT id FROM v WHERE 1 / (id - 3) < 5 ORDER BY 1",
                "[[1],[2]]",
            )
            .await;
    }
    let fault = world.refused("SELECT pay FROM v").await;
    assert_eq!(fault.reason, "sql_unknown_name");
    // Nor is what its query computes of what it shows, where that is asked for.
    let computed = "CREATE SQL SECURITY DEFINER VIEW lake.main.q AS \
                    SELECT id, 10 / (id - 3) AS q FROM people WHERE region = 'EMEA'";
    world.made_by("dana", computed).await;
    for sql in [
        "SELECT id FROM q WHERE q = -5",
        "SELECT id FROM q WHERE -6 < q AND q IS NOT NULL AND q IN (-5, 7)",
        "SELECT q.id FROM q JOIN people_ids ON q.q = people_ids.id",
    ] {
        world.check(sql, "[[1]]").await;
    }
    // A source that fails says nothing of itself.
    let DatasetSource::Files { paths, .. } = world.catalog.dataset(&people).unwrap().source.clone()
    else {
        panic!("no files")
    };
    fs::write(&paths[0], "id,name,region,pay\nsecret,ada,EMEA,10\n").unwrap();
    let fault = world.refused("SELECT id FROM v").await;
    assert!(!format!("{fault:?}").contains("secret"), "{fault:?}");
    fs::write(&paths[0], "other,names\n1,ada\n").unwrap();
    let fault = world.refused("SELECT id FROM v").await;
    let text = format!("{fault:?}");
    assert!(
        !text.contains("people") && !text.contains("other"),
        "{text}"
    );
    assert!(
        text.contains("what a view of the statement reads"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_of_others_rights_does_not_read_itself() {
    let (world, _) = world();
    world.made_by("dana", MAKE).await;
    world
        .made_by(
            "dana",
            "CREATE VIEW lake.main.w AS SELECT id, name, pay FROM v",
        )
        .await;
    let circle =
        "CREATE OR REPLACE SQL SECURITY DEFINER VIEW lake.main.v AS SELECT id, name, pay FROM w";
    let fault = world.not_made_by("dana", circle).await;
    assert!(fault.message.contains("read itself"), "{fault:?}");
    let fault = world.not_made_by("bob", "UPDATE v SET pay = 1").await;
    assert_eq!(fault.kind, FaultKind::Unsupported);
}
