//! Bytes that no client sends: a clear error or an end, never a hang.

use std::{sync::Arc, time::Duration};

use rustls::{ClientConfig, RootCertStore, pki_types::pem::PemObject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{House, PASSWORD};

/// Longest wait for an answer or an end.
const WAIT: Duration = Duration::from_secs(30);
/// A log-in of one message, of which nothing has to be calculated.
const CLEAR: &str = "login = \"clear\"\n";
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// All that comes until the server ends the connection.
async fn until_end(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut bytes = Vec::new();
    let read = async {
        let mut space = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut space).await {
            bytes.extend_from_slice(&space[..count]);
        }
    };
    tokio::time::timeout(WAIT, read)
        .await
        .expect("the connection neither answers nor ends");
    String::from_utf8_lossy(&bytes).replace('\0', "|")
}

fn startup(parameters: &[u8]) -> Vec<u8> {
    let length = u32::try_from(parameters.len() + 8).unwrap();
    [&length.to_be_bytes(), [0, 3, 0, 0].as_slice(), parameters].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind], length.to_be_bytes().as_slice(), body].concat()
}

impl House {
    async fn plain(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }

    async fn tls(&self) -> TlsStream<TcpStream> {
        self.try_tls()
            .await
            .expect("a place for one more connection")
    }

    /// TLS, unless the places for connections are taken.
    async fn try_tls(&self) -> Option<TlsStream<TcpStream>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        let ca = std::fs::read(self.server.ca()).unwrap();
        roots
            .add(rustls::pki_types::CertificateDer::from_pem_slice(&ca).unwrap())
            .unwrap();
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut stream = self.plain().await;
        stream.write_all(&TLS_REQUEST).await.ok()?;
        assert_eq!(stream.read_u8().await.ok()?, b'S');
        let name = "127.0.0.1".try_into().unwrap();
        let connected = TlsConnector::from(Arc::new(config)).connect(name, stream);
        Some(connected.await.unwrap())
    }

    /// All that is said to these messages of a log-in.
    async fn answers_to(&self, sent: &[Vec<u8>]) -> String {
        let mut stream = self.tls().await;
        let start = startup(b"user\0ana\0database\0dataos\0\0");
        stream.write_all(&start).await.unwrap();
        stream.write_all(&sent.concat()).await.unwrap();
        until_end(&mut stream).await
    }

    /// A session, at the first turn of the client.
    async fn session(&self) -> TlsStream<TcpStream> {
        log_in(self.tls().await).await
    }
}

async fn log_in(mut stream: TlsStream<TcpStream>) -> TlsStream<TcpStream> {
    stream
        .write_all(&startup(b"user\0ana\0database\0dataos\0\0"))
        .await
        .unwrap();
    let mut request = [0; 9];
    stream.read_exact(&mut request).await.unwrap();
    assert_eq!(request, [b'R', 0, 0, 0, 8, 0, 0, 0, 3]);
    let password = message(b'p', format!("{PASSWORD}\0").as_bytes());
    stream.write_all(&password).await.unwrap();
    until_turn(&mut stream).await;
    stream
}

/// All messages up to the client's next turn: their kinds.
async fn until_turn(stream: &mut TlsStream<TcpStream>) -> String {
    let mut kinds = String::new();
    while !kinds.ends_with('Z') {
        let kind = tokio::time::timeout(WAIT, stream.read_u8())
            .await
            .unwrap()
            .unwrap();
        let length = stream.read_u32().await.unwrap();
        let mut body = vec![0; length as usize - 4];
        stream.read_exact(&mut body).await.unwrap();
        kinds.push(char::from(kind));
    }
    kinds
}

#[tokio::test]
async fn what_is_no_start_ends_with_an_error() {
    let house = House::new();
    let long: Vec<u8> = [&0x7fff_ffff_u32.to_be_bytes(), [0, 3, 0, 0].as_slice()].concat();
    for (bytes, says) in [
        (startup(b"user\0ana\0\0"), "TLS alone"),
        (vec![0; 8], "no start"),
        (vec![0xff; 8], "no start"),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "no start"),
        (long, "TLS alone"),
        ([0, 0, 0, 9, 4, 210, 22, 47, 0].to_vec(), "no start"),
        // A cancel request for nobody, and one that is too long.
        (
            [0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 1, 0, 0, 0, 2].to_vec(),
            "",
        ),
        ([0, 1, 0, 0, 4, 210, 22, 46].to_vec(), "no start"),
        (vec![0, 0, 0], ""),
        (vec![], ""),
    ] {
        let mut stream = house.plain().await;
        stream.write_all(&bytes).await.unwrap();
        if bytes.len() < 8 {
            stream.shutdown().await.unwrap();
        }
        let said = until_end(&mut stream).await;
        assert!(
            said.contains(says) && said.is_empty() == says.is_empty(),
            "{bytes:?}: {said}"
        );
    }
    // Plain bytes behind the question about TLS are no part of a session.
    let mut stream = house.plain().await;
    let stuffed = [TLS_REQUEST.as_slice(), &startup(b"user\0ana\0\0")].concat();
    stream.write_all(&stuffed).await.unwrap();
    let said = until_end(&mut stream).await;
    assert!(said.starts_with('S') && !said.contains("SFATAL"), "{said}");
}

#[tokio::test]
async fn start_ups_that_say_nothing_sensible_are_refused_by_name() {
    let house = House::new();
    for (bytes, says) in [
        (startup(b"\0"), "names no user"),
        (startup(b"user\0ana"), "without an end"),
        (
            startup(b"user\0ana\0database\0other\0\0"),
            "no database `other`",
        ),
        (
            startup(b"user\0ana\0database\0dataos\0replication\0true\0\0"),
            "replication",
        ),
        (
            startup(b"user\0ana\0database\0dataos\0no_such\0x\0\0"),
            "no_such",
        ),
        (
            startup(b"user\0ana\0database\0dataos\0options\0-z\0\0"),
            "-z",
        ),
        (
            startup(&[b"user\0ana\0".as_slice(), &b"a\0b\0".repeat(3000)].concat()),
            "longer than",
        ),
        (vec![0, 0, 0, 8, 0, 2, 0, 0], "protocol 2.0"),
        (vec![0, 0, 0, 3, 0, 3, 0, 0], "a length of 3"),
        (vec![0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0], "longer than"),
    ] {
        let mut stream = house.tls().await;
        stream.write_all(&bytes).await.unwrap();
        let said = until_end(&mut stream).await;
        assert!(
            said.contains("FATAL") && said.contains(says),
            "{bytes:?}: {said}"
        );
    }
    refuses_what_proves_nothing(&house).await;
    let house = House::with(CLEAR);
    for password in [message(b'Q', b"select 1\0"), message(b'p', &[b'x'; 20_000])] {
        let said = house.answers_to(&[password]).await;
        assert!(said.contains("08P01") || said.contains("54000"), "{said}");
    }
}

async fn refuses_what_proves_nothing(house: &House) {
    let first = |mechanism: &str, text: &str| {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        let parts = [mechanism.as_bytes(), b"\0", &length, text.as_bytes()];
        message(b'p', &parts.concat())
    };
    let right = first("SCRAM-SHA-256", "n,,n=,r=abc");
    for (sent, state) in [
        (vec![message(b'Q', b"select 1\0")], "08P01"),
        (vec![message(b'p', &[b'x'; 2000])], "54000"),
        (vec![message(b'p', b"")], "08P01"),
        (vec![message(b'p', b"a-password\0")], "08P01"),
        // No first message, a longer one than there is, and bytes behind it.
        (
            vec![message(b'p', b"SCRAM-SHA-256\0\xff\xff\xff\xff")],
            "08P01",
        ),
        (
            vec![message(b'p', b"SCRAM-SHA-256\0\0\0\0\x09n,,n=,r")],
            "08P01",
        ),
        (
            vec![message(b'p', b"SCRAM-SHA-256\0\0\0\0\x03n,,,")],
            "08P01",
        ),
        (vec![first("PLAIN", "\0ana\0a-password")], "08P01"),
        (vec![first("SCRAM-SHA-256", "n,,n=,r=")], "08P01"),
        (vec![first("SCRAM-SHA-256", "y,,n=,r=abc")], "08P01"),
        (
            vec![first("SCRAM-SHA-256-PLUS", "p=tls-unique,,n=,r=abc")],
            "08P01",
        ),
        (vec![right.clone(), message(b'p', b"")], "08P01"),
        (
            vec![right.clone(), message(b'p', b"c=biws,r=abc,p=AAAA")],
            "08P01",
        ),
        (vec![right.clone(), message(b'X', b"")], "08P01"),
        (vec![right.clone(), right], "08P01"),
    ] {
        let said = house.answers_to(&sent).await;
        assert!(said.contains(state), "{sent:?}: {said}");
    }
    let search = [
        "--principal",
        "ana",
        "--effect",
        "deny",
        "--text",
        "scram_downgraded",
    ];
    let entry = house.admin.entry(&search).unwrap();
    assert_eq!(entry["facts"]["mechanism"], "SCRAM-SHA-256");
}

#[tokio::test]
async fn messages_that_are_none_end_the_session_and_errors_do_not() {
    let house = House::with(CLEAR);
    for bytes in [
        vec![b'Q', 0, 0, 0, 0],
        vec![b'Q', 0x3f, 0xff, 0xff, 0xff],
        vec![b'Q', 0xff, 0xff, 0xff, 0xff],
        vec![b'!', 0, 0, 0, 4],
        message(b'Q', b"select 1"),
        message(b'Q', b"select \xff\0"),
        message(b'B', b"\0\0\xff\xff"),
        message(b'p', b"again\0"),
    ] {
        let mut stream = house.session().await;
        stream.write_all(&bytes).await.unwrap();
        let said = until_end(&mut stream).await;
        assert!(
            said.contains("FATAL") && !said.contains("XX000"),
            "{bytes:?}: {said}"
        );
    }
    let mut stream = house.session().await;
    let parse = message(b'P', b"s\0select $1 as a\0\0\x01\0\0\0\x17");
    let bind = |value: &[u8]| {
        message(
            b'B',
            &[b"\0s\0\0\0\0\x01\0\0\0\x01", value, b"\0\0"].concat(),
        )
    };
    let execute = message(b'E', b"\0\0\0\0\0");
    let sync = message(b'S', b"");
    for (sent, wanted) in [
        (vec![message(b'Q', b"\0")], "IZ"),
        (vec![message(b'Q', b"select 1; selec; select 2\0")], "TDCEZ"),
        (
            vec![parse.clone(), bind(b"7"), execute.clone(), sync.clone()],
            "12DCZ",
        ),
        // After an error nothing is done until Sync; the session goes on.
        (
            vec![bind(b"x"), execute.clone(), execute.clone(), sync.clone()],
            "EZ",
        ),
        (vec![parse, sync.clone()], "EZ"),
        (vec![execute, sync.clone()], "EZ"),
        (vec![message(b'D', b"Ss\0"), sync.clone()], "tTZ"),
        (vec![message(b'D', b"Pnone\0"), sync.clone()], "EZ"),
        (
            vec![
                message(b'C', b"Ss\0"),
                message(b'd', b"stray"),
                sync.clone(),
            ],
            "3Z",
        ),
        (vec![message(b'F', b"")], "EZ"),
    ] {
        stream.write_all(&sent.concat()).await.unwrap();
        assert_eq!(until_turn(&mut stream).await, wanted);
    }
    stream.write_all(&message(b'X', b"")).await.unwrap();
    assert_eq!(until_end(&mut stream).await, "");
}

#[tokio::test]
async fn connections_are_bounded_and_told_when_the_server_stops() {
    let mut house = House::with(&format!("{CLEAR}connections = 2\nidle_timeout = \"4s\"\n"));
    let (mut first, second) = (house.session().await, house.session().await);
    let mut third = house.plain().await;
    assert_eq!(until_end(&mut third).await, "");
    let said = until_end(&mut first).await;
    assert!(said.contains("57P05"), "{said}");
    drop((first, second));
    // The server notices a while later that they are gone.
    let place = loop {
        if let Some(stream) = house.try_tls().await {
            break stream;
        }
    };
    let mut last = log_in(place).await;
    let stopping = tokio::task::spawn_blocking(move || house.server.stop());
    let said = until_end(&mut last).await;
    assert!(said.contains("57P01"), "{said}");
    stopping.await.unwrap().unwrap();
}
