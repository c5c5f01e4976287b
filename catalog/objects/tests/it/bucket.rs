//! Listing, reading, and what is told when it does not go.

use dataos_model::{
    depot::{Bucket, Tls},
    fault::{Fault, FaultKind},
    secret::Secret,
};
use dataos_objects::{
    Object, Store,
    test_server::{SECRET_KEY, TestStore},
};

fn store(bucket: Bucket) -> Store {
    Store::new("d", bucket, Secret::new(SECRET_KEY)).unwrap()
}

fn keys(objects: &[Object]) -> Vec<&str> {
    objects.iter().map(|object| object.key.as_str()).collect()
}

/// What is told, in which no secret may be.
fn told<T: std::fmt::Debug>(result: Result<T, Fault>) -> String {
    let fault = result.unwrap_err();
    let text = format!("{:?} {fault} {:?}", fault.kind, fault.hint);
    assert!(!text.contains(SECRET_KEY), "{text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_listed_and_read_by_ranges() {
    let server = TestStore::start();
    let hostile = "a/x y+z&%é*'\"<>.csv";
    server.put(hostile, b"0123456789");
    server.put("a/empty.csv", b"");
    server.put("other.csv", b"x");
    let store = store(server.bucket("s", "a"));
    let listing = store.list(10).await.unwrap();
    assert_eq!(keys(&listing.objects), ["a/empty.csv", hostile]);
    assert!(listing.is_whole);
    for object in &listing.objects {
        assert_eq!(&store.object(&object.key).await.unwrap(), object);
    }
    let (empty, object) = (&listing.objects[0], &listing.objects[1]);
    for (range, expected) in [
        (0..10, "0123456789"),
        (3..5, "34"),
        (9..10, "9"),
        (4..4, ""),
    ] {
        let bytes = store.read(object, range).await.unwrap().bytes().await;
        assert_eq!(bytes.unwrap(), expected.as_bytes());
    }
    let bytes = store.read(empty, 0..0).await.unwrap().bytes().await;
    assert!(bytes.unwrap().is_empty());
    let text = told(store.read(object, 5..20).await.unwrap().bytes().await);
    assert!(text.contains("arrived in part"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_go_on_page_by_page_and_end_at_their_bound() {
    let server = TestStore::start();
    server.put_many("many", 1_105, "a\n1\n");
    let store = store(server.bucket("s", "many"));
    let listing = store.list(2_000).await.unwrap();
    assert_eq!((listing.objects.len(), listing.is_whole), (1_105, true));
    let listing = store.list(1_050).await.unwrap();
    assert_eq!((listing.objects.len(), listing.is_whole), (1_050, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_changed_is_not_read() {
    let server = TestStore::start();
    server.put("a.csv", b"0123456789");
    let store = store(server.bucket("s", ""));
    let before = store.object("a.csv").await.unwrap();
    // As long as the former.
    server.put("a.csv", b"abcdefghij");
    let text = told(store.read(&before, 0..5).await);
    assert!(text.starts_with("Conflict"), "{text}");
    assert!(text.contains("object `a.csv` changed"), "{text}");
    server.remove("a.csv");
    for text in [
        told(store.read(&before, 0..5).await),
        told(store.object("a.csv").await),
    ] {
        assert!(
            text.contains("object `a.csv` is not in the bucket"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_what_to_do() {
    let server = TestStore::start();
    server.add_stranger("stranger", "planted-of-the-stranger");
    let bucket = |change: &dyn Fn(&mut Bucket)| {
        let mut bucket = server.bucket("s", "");
        change(&mut bucket);
        bucket
    };
    for (bucket, secret, expected) in [
        (
            bucket(&|b| b.name = "nowhere".to_owned()),
            SECRET_KEY,
            "no bucket `nowhere`",
        ),
        (
            bucket(&|b| b.region = "eu-else-1".to_owned()),
            SECRET_KEY,
            "declare the region `eu-test-1`",
        ),
        (
            bucket(&|b| b.access_key = "nobody".to_owned()),
            SECRET_KEY,
            "`accesskeyid`",
        ),
        (bucket(&|_| ()), "planted-wrong-secret", "`secretkey`"),
        (
            bucket(&|b| b.access_key = "stranger".to_owned()),
            "planted-of-the-stranger",
            "s3:ListBucket",
        ),
        // Port 1 of this machine answers nothing.
        (
            bucket(&|b| b.endpoint = "http://127.0.0.1:1".to_owned()),
            SECRET_KEY,
            "does not answer",
        ),
    ] {
        let store = Store::new("d", bucket, Secret::new(secret)).unwrap();
        let fault = store.list(10).await.unwrap_err();
        assert_eq!(
            (fault.kind, fault.reason.as_str()),
            (FaultKind::Unavailable, "source")
        );
        let text = told::<()>(Err(fault));
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains("planted"), "{text}");
        assert!(!format!("{store:?}").contains("planted"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_must_prove_who_it_is() {
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let server = TestStore::start_with_tls(&own.cert.pem(), &own.signing_key.serialize_pem());
    server.put("a.csv", b"0123456789");
    let bucket = |host: &str, tls: Tls| Bucket {
        endpoint: server.endpoint().replace("127.0.0.1", host),
        tls,
        ..server.bucket("s", "")
    };
    let verified = |pem: String| Tls::Verified {
        authorities: Some(pem),
    };
    let trusted = store(bucket("127.0.0.1", verified(own.cert.pem())));
    assert_eq!(keys(&trusted.list(10).await.unwrap().objects), ["a.csv"]);
    for bucket in [
        bucket("127.0.0.1", Tls::Verified { authorities: None }),
        bucket("127.0.0.1", verified(other.cert.pem())),
        // The certificate is of another name.
        bucket("localhost", verified(own.cert.pem())),
    ] {
        let text = told(store(bucket).list(10).await);
        assert!(
            text.contains("no certificate that can be verified"),
            "{text}"
        );
    }
    let plain = TestStore::start();
    let mut bucket = plain.bucket("s", "");
    bucket.endpoint = bucket.endpoint.replace("http:", "https:");
    bucket.tls = Tls::Verified { authorities: None };
    let text = told(store(bucket).list(10).await);
    assert!(text.contains("offers no TLS"), "{text}");
    let mut bucket = server.bucket("s", "");
    bucket.endpoint = bucket.endpoint.replace("https:", "http:");
    let text = told(store(bucket).list(10).await);
    assert!(text.contains("whether it takes https"), "{text}");
}

#[test]
fn endpoints_say_how_they_are_protected() {
    let verified = Tls::Verified { authorities: None };
    for (endpoint, tls, is_good) in [
        ("https://s3.test", &verified, true),
        ("https://[::1]:9000/", &verified, true),
        ("http://s3.test", &Tls::Off, true),
        ("http://s3.test", &verified, false),
        ("https://s3.test", &Tls::Off, false),
        ("s3.test", &verified, false),
        ("ftp://s3.test", &verified, false),
        ("https://s3.test/bucket", &verified, false),
        ("https://user:secret@s3.test", &verified, false),
        ("https://s3.test/?x=1", &verified, false),
    ] {
        let checked = dataos_objects::check_endpoint(endpoint, tls);
        assert_eq!(checked.is_ok(), is_good, "{endpoint}: {checked:?}");
    }
}
