//! A connection that ends before the answer came, with nothing said: what asks for something asks once more,
//! what changes something does not.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use dataos_tests::{
    ctl::{Ctl, PASSWORD},
    server::{Options, Server},
};

/// Bytes that a client sends before its request: greeting, and what ends the handshake.
const HANDSHAKE_BYTES: usize = 600;

/// Stands before a server and cuts connections off, without a word, while they carry a request.
struct Cutter {
    port: u16,
    /// Connections that are still to be cut off.
    cuts: Arc<AtomicUsize>,
}

impl Cutter {
    fn start(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let cuts = Arc::new(AtomicUsize::new(0));
        let address = server.url.strip_prefix("https://").unwrap().to_owned();
        let left = Arc::clone(&cuts);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (address, left) = (address.clone(), Arc::clone(&left));
                thread::spawn(move || pass(client, &address, &left));
            }
        });
        Self { port, cuts }
    }

    fn cut(&self, count: usize) {
        self.cuts.store(count, Ordering::SeqCst);
    }

    fn left(&self) -> usize {
        self.cuts.load(Ordering::SeqCst)
    }
}

/// Passes bytes on in both directions; a connection that is to be cut ends with the request that it carries.
fn pass(mut client: TcpStream, address: &str, left: &AtomicUsize) {
    let mut server = TcpStream::connect(address).unwrap();
    let (mut from_server, mut to_client) =
        (server.try_clone().unwrap(), client.try_clone().unwrap());
    let back = thread::spawn(move || {
        let _ = std::io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Write);
    });
    let is_cut = left
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            left.checked_sub(1)
        })
        .is_ok();
    let (mut space, mut sent) = ([0; 16 << 10], 0);
    while let Ok(bytes @ 1..) = client.read(&mut space) {
        sent += bytes;
        // A greeting with a key share for ML-KEM is longer by that.
        let is_greeting = sent == bytes;
        if is_cut && !is_greeting && sent > HANDSHAKE_BYTES {
            // Nothing is left unread for a while, so that this is an end and no reset.
            client
                .set_read_timeout(Some(Duration::from_millis(200)))
                .unwrap();
            while client.read(&mut space).is_ok_and(|bytes| bytes > 0) {}
            break;
        }
        if server.write_all(&space[..bytes]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
    let _ = client.shutdown(Shutdown::Both);
    let _ = back.join();
}

#[test]
fn what_only_asks_asks_once_more_and_what_changes_something_does_not() {
    let server = Server::start(&Options::default()).unwrap();
    let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
    let cutter = Cutter::start(&server);
    let contexts = std::fs::read_to_string(admin.contexts()).unwrap();
    let there = format!("https://127.0.0.1:{}", cutter.port);
    std::fs::write(admin.contexts(), contexts.replace(&server.url, &there)).unwrap();

    cutter.cut(1);
    let shown = admin.json(&["whoami"]).unwrap();
    assert_eq!(shown["user"], "admin");
    assert_eq!(cutter.left(), 0, "one was cut off");
    cutter.cut(2);
    let failed = admin.run(&["whoami"]).unwrap();
    assert_eq!(failed.code, 4, "once and no more: {}", failed.stderr);
    assert_eq!(cutter.left(), 0);

    cutter.cut(1);
    let create = ["user", "create", "--id", "ana"];
    let failed = admin
        .run_with(&create, &[("DATAOS_NEW_PASSWORD", PASSWORD)], "")
        .unwrap();
    assert_eq!(failed.code, 4, "{}{}", failed.stdout, failed.stderr);
    let users = admin.json(&["user", "get"]).unwrap();
    assert_eq!(users["users"].as_array().unwrap().len(), 1, "{users:#}");
}
