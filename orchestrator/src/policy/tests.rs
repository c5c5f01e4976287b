use super::{Compiled, Filter, print_filters};
use crate::manifest::{Body, parse};

fn compiled(section: &str) -> String {
    let indented: String = section.lines().map(|line| format!("  {line}\n")).collect();
    let text = format!("name: p\nversion: v1\ntype: policy\ndescription: d\npolicy:\n{indented}");
    match parse(&text, "public") {
        Ok(mut documents) => match documents.remove(0).body {
            Body::Policy(compiled) => compiled.cedar(),
            other => panic!("{other:?}"),
        },
        Err(fault) => fault.to_string(),
    }
}

fn check(section: &str, expected: &str) {
    assert_eq!(compiled(section).trim(), expected.trim(), "{section}");
}

fn refused(section: &str, expected: &str) {
    let shown = compiled(section);
    assert!(shown.contains(expected), "{section}\n{shown}");
}

#[test]
fn access_read() {
    check(
        "access:
  subjects: {tags: [[\"roles:id:analyst\", \"users:dataos:eu\"], [\"users:id:alice\"]]}
  predicates: [read]
  objects: {paths: [\"dataos://lake:sales/**\", \"dataos://lake:hr/people?acl=r\"]}
  allow: true",
        r#"
@id("policy:p")
@description("d")
permit (principal, action in [DataOS::Action::"select", DataOS::Action::"read_row", DataOS::Action::"read_cell", DataOS::Action::"view_asset"], resource)
when { (principal in DataOS::Role::"analyst" && principal in DataOS::Tag::"users:dataos:eu") || principal == DataOS::User::"alice" }
when { resource in DataOS::Collection::"lake:sales" || resource in DataOS::Dataset::"lake:hr/people" };
"#,
    );
}

#[test]
fn access_is_a_forbid_by_default_and_flat_tags_are_alternatives() {
    check(
        "access: {subjects: {tags: [\"groups:id:interns\", \"users:id:*\"]}, predicates: [select], objects: {tags: [[PII, secret]]}}",
        r#"
@id("policy:p")
@description("d")
forbid (principal, action in [DataOS::Action::"select", DataOS::Action::"read_row", DataOS::Action::"read_cell"], resource)
when { principal in DataOS::Group::"interns" || principal is DataOS::User }
when { resource in DataOS::Tag::"PII" && resource in DataOS::Tag::"secret" };
"#,
    );
}

#[test]
fn all_users_are_those_that_logged_in_if_it_permits() {
    check(
        "access: {subjects: {tags: [\"users:id:*\"]}, predicates: [delete], objects: {paths: [\"dataos://**\"]}, allow: true}",
        r#"
@id("policy:p")
@description("d")
permit (principal, action == DataOS::Action::"delete", resource)
when { principal is DataOS::User && principal != DataOS::User::"anonymous" };
"#,
    );
}

#[test]
fn access_to_workspaces() {
    check(
        "access: {subjects: {tags: [\"roles:id:dev\"]}, predicates: [create_in, delete_in], objects: {tags: [\"dataos:workspace:sandbox\"]}, allow: true}",
        r#"
@id("policy:p")
@description("d")
permit (principal, action in [DataOS::Action::"apply_resource", DataOS::Action::"delete_resource"], resource)
when { principal in DataOS::Role::"dev" }
when { resource in DataOS::Workspace::"sandbox" };
"#,
    );
}

#[test]
fn mask_by_tag() {
    check(
        "data:
  type: mask
  priority: 40
  depot: lake
  collection: '*'
  selector: {user: {match: all, tags: [\"roles:id:analyst\", \"users:dataos:eu\"]}, column: {tags: [PII.email, PII.phone]}}
  mask: {operator: regex_replace, regex_replace: {pattern: '^[^@]+\"', replacement: '***'}}",
        r#"
@id("policy:p")
@description("d")
@mask("regex_replace(pattern = '^[^@]+\"', replacement = '***')")
@priority("40")
forbid (principal, action == DataOS::Action::"read_cell", resource)
when { principal in DataOS::Role::"analyst" && principal in DataOS::Tag::"users:dataos:eu" }
when { resource in DataOS::Tag::"PII.email" || resource in DataOS::Tag::"PII.phone" }
when { resource in DataOS::Depot::"lake" };
"#,
    );
}

#[test]
fn mask_by_name() {
    check(
        "data:
  type: mask
  depot: lake
  collection: sales
  dataset: customers
  selector: {user: {match: any, tags: [\"users:id:bob\"]}, column: {names: [email, 'phone no']}}
  mask: {operator: hash, hash: {algo: sha256}}",
        r#"
@id("policy:p")
@description("d")
@mask("hash()")
@priority("100")
forbid (principal, action == DataOS::Action::"read_cell", resource)
when { principal == DataOS::User::"bob" }
when { resource in DataOS::Column::"lake:sales/customers/email" || resource in DataOS::Column::"lake:sales/customers/phone no" };
"#,
    );
}

#[test]
fn each_mask_operator() {
    for (mask, expected) in [
        ("{operator: redact}", "redact(replacement = '[redacted]')"),
        (
            "{operator: redact, redact: {replacement: 000}}",
            "redact(replacement = '000')",
        ),
        (
            "{operator: constant, constant: {value: 7}}",
            "constant(value = 7)",
        ),
        ("{operator: hash}", "hash()"),
        (
            "{operator: partial, partial: {first: 2, fill: '#'}}",
            "partial(fill = '#', first = 2, last = 0)",
        ),
        (
            "{operator: bucket_number, bucket_number: {buckets: [10, 0.5]}}",
            "bucket_number(buckets = [0.5, 10])",
        ),
        (
            "{operator: bucket_date, bucket_date: {precision: month}}",
            "bucket_date(precision = 'month')",
        ),
        ("{operator: pass_through}", "pass_through()"),
        (
            "{operator: rand_pattern, rand_pattern: {pattern: '###-##'}}",
            "rand_pattern(pattern = '###-##')",
        ),
        ("{operator: token}", "token(length = 16)"),
        (
            "{operator: json_keep, json_keep: {paths: [a.b, c]}}",
            "json_keep(paths = ['a.b', 'c'])",
        ),
        (
            "{operator: clamp, clamp: {low: 0, high: 99.5}}",
            "clamp(high = 99.5, low = 0)",
        ),
        ("{operator: \"null\"}", "null()"),
    ] {
        let text = compiled(&format!(
            "data: {{type: mask, selector: {{user: {{tags: [a]}}, column: {{tags: [t]}}}}, mask: {mask}}}"
        ));
        assert!(
            text.contains(&format!("@mask(\"{expected}\")")),
            "{mask}\n{text}"
        );
    }
}

#[test]
fn filter_by_value_and_by_attribute() {
    check(
        "data:
  type: filter
  priority: 5
  depot: lake
  collection: sales
  dataset: orders
  selector: {user: {match: any, tags: [\"roles:id:analyst\"]}}
  filters:
    - {column: region, operator: equals, value: EMEA}
    - {column: 'order no', operator: not_equals, value: 7}
    - {column: dept, operator: equals, valueFrom: {userAttribute: department}}",
        r#"
@id("policy:p:filter")
@description("d")
@priority("5")
forbid (principal, action == DataOS::Action::"read_row", resource)
when { principal in DataOS::Role::"analyst" }
when { resource in DataOS::Dataset::"lake:sales/orders" }
unless { (resource has region && resource.region == "EMEA") && (resource has "order no" && resource["order no"] != 7) && (principal.hasTag("department") && resource has dept && resource.dept == principal.getTag("department")) };
"#,
    );
}

fn filter(name: &str, priority: i64, place: &str, user: &str) -> Filter {
    let text = format!(
        "name: {name}\ntype: policy\npolicy: {{data: {{type: filter, priority: {priority}, {place}selector: {{user: \
         {{tags: ['users:id:{user}']}}}}, filters: [{{column: c, operator: equals, value: {name}}}]}}}}\n"
    );
    match parse(&text, "public").unwrap().remove(0).body {
        Body::Policy(Compiled::Filter(filter)) => filter,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_worse_filter_stands_aside_for_better_ones_that_it_can_meet() {
    let filters = [
        filter("worst", 9, "depot: lake, collection: sales, ", "ann"),
        filter("wider", 2, "depot: lake, ", "bob"),
        filter(
            "narrower",
            1,
            "depot: lake, collection: sales, dataset: orders, ",
            "cy",
        ),
        filter("elsewhere", 1, "depot: shop, ", "dee"),
        filter("equal", 9, "", "eve"),
    ];
    let leading: Vec<&Filter> = filters.iter().collect();
    let text = print_filters(&filters, &leading);
    let aside: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("unless") && !line.contains("resource has c"))
        .collect();
    let bob = "principal == DataOS::User::\"bob\"";
    let cy =
        "principal == DataOS::User::\"cy\" && resource in DataOS::Dataset::\"lake:sales/orders\"";
    let dee = "principal == DataOS::User::\"dee\" && resource in DataOS::Depot::\"shop\"";
    let wider = "principal == DataOS::User::\"bob\" && resource in DataOS::Depot::\"lake\"";
    assert_eq!(
        aside,
        [
            format!("unless {{ {bob} || ({cy}) }}"),
            format!("unless {{ {cy} }}"),
            format!("unless {{ ({wider}) || ({cy}) || ({dee}) }}"),
        ],
        "{text}"
    );
    // Held back, they hide rows and nobody stands aside for them.
    let held = print_filters(&filters, &[]);
    assert_eq!(held.matches("\nunless").count(), filters.len(), "{held}");
}

#[test]
fn many_better_filters_nest_little() {
    let better: Vec<Filter> = (0..5000)
        .map(|number| filter("better", 1, "", &format!("u{number}")))
        .collect();
    let leading: Vec<&Filter> = better.iter().collect();
    let text = print_filters([&filter("worse", 2, "", "ann")], &leading);
    assert_eq!(text.matches("principal == ").count(), 5001);
    assert!(text.matches("((((").count() > 0 && !text.contains(&"(".repeat(20)));
}

#[test]
fn rule_form() {
    check(
        "type: data
rules:
  - resource: urn:dataos:depot:lake
    actions: [select]
    subjects: [\"users:dataos:analyst\"]
    conditions: [\"region == 'EMEA' and not (level in [1, 2] or secret == true)\", \"context.purpose == 'audit'\"]
  - {resource: \"dataos://lake:hr/people\", actions: [write], subjects: [\"roles:id:hr\"]}",
        r#"
@id("policy:p:1")
@description("d")
permit (principal, action in [DataOS::Action::"select", DataOS::Action::"read_cell"], resource)
when { principal in DataOS::Tag::"users:dataos:analyst" }
when { resource in DataOS::Depot::"lake" }
when { context has purpose && context.purpose == "audit" };

@id("policy:p:2")
@description("d")
permit (principal, action == DataOS::Action::"read_row", resource)
when { principal in DataOS::Tag::"users:dataos:analyst" }
when { resource in DataOS::Depot::"lake" }
when { context has purpose && context.purpose == "audit" }
when { (resource has region && resource.region == "EMEA") && ((resource has level && ![1, 2].contains(resource.level)) && (resource has secret && resource.secret != true)) };

@id("policy:p:3")
@description("d")
permit (principal, action in [DataOS::Action::"insert", DataOS::Action::"update", DataOS::Action::"delete", DataOS::Action::"create_dataset"], resource)
when { principal in DataOS::Role::"hr" }
when { resource in DataOS::Dataset::"lake:hr/people" };
"#,
    );
}

#[test]
fn text_cannot_break_out_of_its_literal() {
    let text = compiled(
        "access: {subjects: {tags: ['x\") || true || (\"']}, predicates: [select], objects: {tags: [\"t\\\\\"]}, allow: true}",
    );
    assert!(
        text.contains(r#"DataOS::Tag::"x\") || true || (\"""#),
        "{text}"
    );
    assert!(text.contains(r#"DataOS::Tag::"t\\""#), "{text}");
}

#[test]
fn what_cannot_be_said_exactly_is_refused() {
    let access = |path: &str| {
        format!(
            "access: {{subjects: {{tags: [a]}}, predicates: [read], objects: {{paths: ['{path}']}}, allow: true}}"
        )
    };
    for path in [
        "dataos://lake:sales/cust*",
        "dataos://lake:*",
        "dataos://lake",
        "dataos://*:sales/orders",
        "lake.sales.orders",
        "dataos://lake:*/orders",
    ] {
        refused(&access(path), "cannot be expressed");
    }
    refused(&access("/metis/api/**"), "not supported yet");
    refused(
        "access: {subjects: {tags: []}, predicates: [read], objects: {tags: [x]}}",
        "the list is empty",
    );
    refused(
        "access: {subjects: {tags: [[]]}, predicates: [read], objects: {tags: [x]}}",
        "match everyone",
    );
    refused(
        "access: {subjects: {tags: [a]}, predicates: [read]}",
        "`objects` is missing",
    );
    refused(
        "access: {subjects: {tags: [a]}, predicates: [raed], objects: {tags: [x]}}",
        "unknown predicate `raed`",
    );
    refused(
        "access: {subjects: {tags: ['roles:id:*']}, predicates: [read], objects: {tags: [x]}}",
        "the wildcard",
    );
    let mask = |mask: &str| {
        format!(
            "data: {{type: mask, selector: {{user: {{tags: [a]}}, column: {{tags: [t]}}}}, mask: {mask}}}"
        )
    };
    refused(
        &mask("{operator: rand_pattern}"),
        "parameter `pattern` is missing",
    );
    refused(&mask("{operator: rot13}"), "unknown mask operator `rot13`");
    refused(
        &mask("{operator: hash, hash: {algo: md5}}"),
        "algo `md5` is not offered",
    );
    refused(
        &mask("{operator: hash, redact: {replacement: x}}"),
        "unknown key `redact`",
    );
    refused(
        &mask("{operator: regex_replace, regex_replace: {pattern: '(?=a)', replacement: ''}}"),
        "the pattern is refused",
    );
    refused(
        &mask("{operator: bucket_number, bucket_number: {buckets: [1], under: 0}}"),
        "`under`",
    );
    refused(
        "data: {type: mask, depot: lake, selector: {user: {tags: [a]}, column: {names: [x]}}, mask: {operator: hash}}",
        "columns by name need an exact depot",
    );
    refused(
        "data: {type: mask, mask: {operator: hash}}",
        "`selector` is missing",
    );
    refused(
        "data: {type: mask, prority: 3, selector: {user: {tags: [a]}, column: {tags: [t]}}, mask: {operator: hash}}",
        "did you mean `priority`?",
    );
    refused("data: {type: sort}", "unknown type of data policy `sort`");
    for condition in [
        "region",
        "region = 1",
        "'a' == 'b'",
        "a < 'x'",
        "a in b",
        "(a == 1",
        "a.b == 1",
        "a == 1 b",
    ] {
        refused(
            &format!(
                "rules: [{{resource: 'urn:dataos:depot:d', actions: [read], subjects: [a], conditions: [\"{condition}\"]}}]"
            ),
            "the condition",
        );
    }
    refused("access: {}\ndata: {}", "exactly one of");
}
