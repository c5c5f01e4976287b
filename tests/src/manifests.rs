//! Manifests of policies that many tests apply, so that each tells what is its own alone.

/// Rows of the region that the reader's own attribute names.
pub const OWN_REGION: &str = "valueFrom: {userAttribute: region}";

/// The analysts may read these datasets, such as `local:main/orders`.
pub fn readers(datasets: &[&str]) -> String {
    let paths: Vec<String> = datasets
        .iter()
        .map(|dataset| format!("\"dataos://{dataset}\""))
        .collect();
    format!(
        r#"
name: readers
version: v1
type: policy
policy:
  access:
    subjects: {{tags: [["users:dataos:analyst"]]}}
    predicates: [read]
    objects: {{paths: [{}]}}
    allow: true
"#,
        paths.join(", ")
    )
}

/// The same, with the orders of a depot governed: analysts see rows whose region is this (`value: EMEA`, or
/// [`OWN_REGION`]), and no column that is tagged as a name.
pub fn governed_orders(depot: &str, datasets: &[&str], region: &str) -> String {
    readers(datasets)
        + &format!(
            r#"---
name: own-region
version: v1
type: policy
policy:
  data:
    type: filter
    priority: 40
    depot: {depot}
    collection: main
    dataset: orders
    selector: {{user: {{match: any, tags: ["users:dataos:analyst"]}}}}
    filters: [{{column: region, operator: equals, {region}}}]
---
name: mask-customer
version: v1
type: policy
policy:
  data:
    type: mask
    priority: 50
    depot: {depot}
    collection: main
    dataset: "**"
    selector:
      user: {{match: any, tags: ["users:dataos:analyst"]}}
      column: {{tags: ["PII.name"]}}
    mask: {{operator: redact, redact: {{replacement: "(hidden)"}}}}
"#
        )
}
