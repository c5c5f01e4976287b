//! Search by words.

use dataos_model::{dataset::DatasetId, seams::Assets};

use crate::fixtures::House;

async fn house() -> House {
    let house = House::with_lake().await;
    house.write("customerEmail2.csv", "id,value\n1,2\n");
    house.write("orders.csv", "order_id,customer_id,total\n1,2,3\n");
    house.write("crm/customer.csv", "id,phone_number\n1,2\n");
    house.write("crm/visits.csv", "id,place\n1,2\n");
    house.catalog.scan("lake").await.unwrap();
    house
        .tag(
            &DatasetId::new("lake", "crm", "visits"),
            Some("place"),
            &["PII.location"],
        )
        .await;
    house
}

async fn names(house: &House, text: &str, hidden: Option<&str>) -> Vec<String> {
    let is_visible = |id: &DatasetId| Some(id.name.as_str()) != hidden;
    let found = house.catalog.search(text, 10, &is_visible).await.unwrap();
    found.into_iter().map(|id| id.name).collect()
}

#[tokio::test]
pub(crate) async fn all_words_must_match_and_names_come_first() {
    let house = house().await;
    for (text, expected) in [
        ("customer", vec!["customer", "customerEmail2", "orders"]),
        ("CUST em", vec!["customerEmail2"]),
        ("email 2", vec!["customerEmail2"]),
        ("phone", vec!["customer"]),
        ("phoneNumber", vec!["customer"]),
        ("pii", vec!["visits"]),
        ("location crm", vec!["visits"]),
        ("customer nothing", vec![]),
        ("***", vec![]),
        ("stomer", vec![]),
    ] {
        assert_eq!(names(&house, text, None).await, expected, "{text}");
    }
    assert_eq!(
        names(&house, "northern", None).await.len(),
        4,
        "the depot's description counts"
    );
    assert_eq!(
        names(&house, "  ", None).await.len(),
        4,
        "no words: everything"
    );
}

#[tokio::test]
pub(crate) async fn what_is_hidden_takes_no_place() {
    let house = house().await;
    assert_eq!(
        names(&house, "customer", Some("customer")).await,
        ["customerEmail2", "orders"]
    );
    let is_visible = |id: &DatasetId| id.name != "customer";
    let found = house.catalog.search("customer", 2, &is_visible);
    let found = found.await.unwrap();
    assert_eq!(found.len(), 2, "the limit counts visible hits");
    assert!(
        house
            .catalog
            .search("customer", 0, &is_visible)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
pub(crate) async fn removed_datasets_are_not_found() {
    let house = house().await;
    std::fs::remove_file(house.lake().join("orders.csv")).unwrap();
    house.catalog.scan("lake").await.unwrap();
    assert!(names(&house, "orders", None).await.is_empty());
}
