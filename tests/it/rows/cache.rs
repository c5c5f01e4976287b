//! Results that are answered again, where a server is told to keep them.

use std::{fs, thread::sleep, time::Duration};

use serde_json::{Value, json};

use super::{EVENTS, House};

fn counted(house: &House) -> Value {
    let sql = "SELECT count(*) FROM local.main.events";
    house.admin.json(&["query", sql]).unwrap()["rows"].clone()
}

#[test]
fn a_result_is_answered_again_until_its_file_changes() {
    let house = House::with("[query]\ncache = \"8 MiB\"\n");
    let hits = || house.figure("dataos_query_cache_hits_total");
    // Until the file is old enough that every change of it shows.
    for _ in 0..600 {
        assert_eq!(counted(&house), json!([[2]]));
        if hits() > 0 {
            break;
        }
        sleep(Duration::from_millis(100));
    }
    let before = hits();
    assert!(before > 0, "no result was found");
    assert_eq!(house.figure("dataos_queries_cached "), 1);
    let path = house.files.path().join("local/events.json");
    fs::write(path, format!("{EVENTS}{{\"id\":3}}\n")).unwrap();
    assert_eq!(counted(&house), json!([[3]]));
    assert_eq!(hits(), before);
}
