//! The audit log followed live, by curl and by the command line: whoever comes back misses nothing and sees
//! nothing twice, whatever became of the server meanwhile.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use dataos_tests::{
    ctl::Ctl,
    server::{Options, Server},
};
use serde_json::Value;

use crate::{
    load::until,
    restart::{signal, times},
};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// A program that prints lines as the log grows; killed when dropped.
struct Reader {
    child: Child,
    lines: Receiver<String>,
    printed: Vec<String>,
}

impl Reader {
    fn start(mut command: Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::inherit()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            lines,
            printed: Vec::new(),
        }
    }

    /// curl on the stream, going on behind `last` if that is given.
    fn curl(server: &Server, key: &str, version: &str, query: &str, last: Option<u64>) -> Self {
        let mut command = Command::new("curl");
        command.args(["-sN", version, "--cacert"]).arg(server.ca());
        command.args(["-H", &format!("Authorization: Bearer {key}")]);
        if let Some(last) = last {
            command.args(["-H", &format!("Last-Event-ID: {last}")]);
        }
        command.arg(format!("{}/api/v1/audit/stream{query}", server.url));
        Self::start(command)
    }

    /// Reads on until a line holds this; false if the program ends before.
    fn until(&mut self, text: &str) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    let is_found = line.contains(text);
                    self.printed.push(line);
                    if is_found {
                        return true;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => panic_with(text, &self.printed),
            }
        }
    }

    /// Reads to the end of the program.
    fn end(&mut self) -> Vec<String> {
        assert!(!self.until("\0"));
        self.printed.clone()
    }
}

#[expect(clippy::panic, reason = "a test stops with what it waited for")]
fn panic_with(text: &str, printed: &[String]) -> ! {
    panic!("no `{text}` in {printed:#?}")
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Indexes of the entries among lines of events.
fn entries(lines: &[String]) -> Vec<u64> {
    let data = lines.iter().filter_map(|line| line.strip_prefix("data: "));
    let parsed = data.map(|data| serde_json::from_str::<Value>(data).unwrap());
    parsed.filter_map(|entry| entry["index"].as_u64()).collect()
}

/// Where a client goes on: the newest id that was said.
fn place(lines: &[String]) -> Option<u64> {
    let mut ids = lines.iter().filter_map(|line| line.strip_prefix("id: "));
    ids.next_back().map(|id| id.parse().unwrap())
}

fn assert_whole(indexes: &[u64], who: &str) {
    let (first, last) = (indexes[0], indexes[indexes.len() - 1]);
    let expected: Vec<u64> = (first..=last).collect();
    assert_eq!(indexes, expected, "{who}");
}

fn called(server: &Server, key: &str, id: &str) {
    let headers = [
        format!("Authorization: Bearer {key}"),
        format!("X-Request-Id: {id}"),
    ];
    let arguments = ["-H", &headers[0], "-H", &headers[1]];
    let (status, _, _) = server.request(&arguments, "/api/v1/session").unwrap();
    assert_eq!(status, 200, "{id}");
}

/// Clients of the stream itself, one for each version of HTTP.
struct Followers {
    key: String,
    readers: Vec<(&'static str, Option<Reader>, Vec<String>)>,
}

impl Followers {
    fn start(server: &Server, key: &str) -> Self {
        let mut followers = Self {
            key: key.to_owned(),
            readers: ["--http1.1", "--http2"]
                .map(|version| (version, None, Vec::new()))
                .into(),
        };
        followers.come_back(server);
        followers
    }

    fn come_back(&mut self, server: &Server) {
        for (version, reader, lines) in &mut self.readers {
            let mut begun = Reader::curl(server, &self.key, version, "", place(lines));
            assert!(begun.until("id: "), "{version}: no stream");
            *reader = Some(begun);
        }
    }

    fn until(&mut self, text: &str) {
        for (version, reader, _) in &mut self.readers {
            assert!(reader.as_mut().unwrap().until(text), "{version}: no {text}");
        }
    }

    /// Their streams end, in this way.
    fn ended(&mut self, in_order: bool) {
        for (version, reader, lines) in &mut self.readers {
            let mut reader = reader.take().unwrap();
            let read = reader.end();
            let said = read
                .iter()
                .any(|line| line.contains("\"reason\":\"stopping\""));
            assert_eq!(said, in_order, "{version}: {read:#?}");
            assert_eq!(
                reader.child.wait().unwrap().success(),
                in_order,
                "{version}"
            );
            lines.extend(read);
        }
    }
}

#[test]
fn whoever_follows_the_log_misses_nothing_while_the_server_ends_and_comes_back() {
    let mut server = Server::start(&Options::default()).unwrap();
    let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
    let key = admin.key().unwrap();
    let mut tail = Reader::start(admin.command(&["audit", "tail", "--json", "--lines", "3"]));
    assert!(tail.until("\"index\""));
    let mut followers = Followers::start(&server, &key);
    called(&server, &key, "before-the-restart");
    followers.until("before-the-restart");

    let starts = times(&server, "DataOS kernel listens on");
    signal(&server, "USR2");
    followers.ended(true);
    until("the next start", || {
        times(&server, "DataOS kernel listens on") > starts
    });
    called(&server, &key, "behind-the-restart");
    followers.come_back(&server);
    followers.until("behind-the-restart");
    assert!(tail.until("behind-the-restart"));

    called(&server, &key, "before-the-crash");
    server.kill().unwrap();
    followers.ended(false);
    server.start_again().unwrap();
    called(&server, &key, "behind-the-crash");
    followers.come_back(&server);
    followers.until("behind-the-crash");
    assert!(tail.until("behind-the-crash"));
    for (version, reader, lines) in &mut followers.readers {
        lines.extend(reader.take().unwrap().printed.clone());
        assert_whole(&entries(lines), version);
    }
    let printed = tail
        .printed
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let printed: Vec<u64> = printed
        .map(|entry| entry["index"].as_u64().unwrap())
        .collect();
    assert_whole(&printed, "dataos-ctl");
}

#[test]
fn a_stream_shows_what_a_search_finds_to_whom_it_may_and_no_longer() {
    let server = Server::start(&Options::default()).unwrap();
    let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
    let ana = admin.person(&server, "ana", &[]).unwrap();
    let eve = admin
        .person(&server, "eve", &["--role", "auditor"])
        .unwrap();
    let denied = ana.run(&["audit", "tail"]).unwrap();
    assert_eq!(denied.code, 3, "{}", denied.stderr);

    let query = "?principal=ana&text=LOOK-FOR-ME&newest=5";
    let key = eve.key().unwrap();
    let mut found = Reader::curl(&server, &key, "--http2", query, None);
    assert!(found.until("id: "));
    let path = "/api/v1/session";
    for (who, name) in [
        (&ana, "look-for-me-1"),
        (&admin, "look-for-me-2"),
        (&ana, "unwanted"),
    ] {
        called(&server, &who.key().unwrap(), name);
    }
    called(&server, &ana.key().unwrap(), "look-for-me-3");
    assert!(found.until("look-for-me-3"), "{path}");
    let text = found.printed.join("\n");
    assert!(text.contains("look-for-me-1"), "{text}");
    assert!(
        !text.contains("look-for-me-2") && !text.contains("unwanted"),
        "{text}"
    );

    // Whoever is no auditor any more reads no further, and that is recorded.
    let mut all = Reader::curl(&server, &key, "--http1.1", "", None);
    assert!(all.until("id: "));
    let update = ["user", "update", "--id", "eve", "--role", "nobody"];
    let printed = admin.run(&update).unwrap();
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    assert!(all.until("\"reason\":\"denied\""));
    assert!(found.until("\"reason\":\"denied\""));
    assert_eq!(all.end().last().unwrap(), "");
    let search = ["audit", "search", "--principal", "eve", "--effect", "deny"];
    let denials = admin.json(&search).unwrap();
    assert_eq!(
        denials["entries"].as_array().unwrap().len(),
        2,
        "{denials:#}"
    );
    let search = [
        "audit",
        "search",
        "--principal",
        "eve",
        "--kind",
        "outcome",
        "--text",
        "denied",
    ];
    let outcomes = admin.json(&search).unwrap();
    assert_eq!(
        outcomes["entries"][0]["facts"]["ended"], "denied",
        "{outcomes:#}"
    );

    // Nor does one whose key is gone.
    let key = admin.key().unwrap();
    let mut own = Reader::curl(&server, &key, "--http2", "", None);
    assert!(own.until("id: "));
    let keys = admin.json(&["apikey", "get"]).unwrap();
    let id = keys["keys"][0]["id"].as_str().unwrap().to_owned();
    let printed = admin.run(&["apikey", "delete", "--id", &id]).unwrap();
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    assert!(own.until("\"reason\":\"credential\""));
}
