//! The connection to a server's port, in the clear or by TLS, as the depot says.

use std::{io, sync::Arc};

use dataos_model::depot::Tls;
use dataos_objects::tls;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

/// A client's wish for TLS, before anything else is said: the length of the message and its code.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// The server's word that it goes on by TLS.
const WILLING: u8 = b'S';

/// Bytes both ways.
pub(super) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum NoTransport {
    /// Nobody answers there.
    Silent,
    /// The server does not speak TLS.
    Plain,
    /// The authorities of the depot are no certificates.
    Authorities,
    /// The server's certificate is not of an authority that is believed, or not for its host name.
    Unverified,
}

impl NoTransport {
    /// What it means, and what to do.
    pub(super) fn told(&self) -> (&'static str, &'static str) {
        match self {
            Self::Silent => (
                "the database server does not answer",
                "check that it runs and that host and port of the depot are right",
            ),
            Self::Plain => (
                "the database server offers no TLS",
                "turn TLS on at the server; on this machine or a trusted network, `tls: off` in the depot does without",
            ),
            Self::Authorities => (
                "the authorities of the depot hold no certificate",
                "give the authority of the server's certificate (PEM) as `authorities` of the depot",
            ),
            Self::Unverified => (
                "the certificate of the database server cannot be verified",
                "give the authority of the server's certificate as `authorities` of the depot, and the host name \
                 that it is for",
            ),
        }
    }
}

impl From<io::Error> for NoTransport {
    fn from(_: io::Error) -> Self {
        Self::Silent
    }
}

/// Connects, and lets the server prove who it is where the depot wants that.
pub(super) async fn connect(
    (host, port): (&str, u16),
    tls: &Tls,
) -> Result<Box<dyn Transport>, NoTransport> {
    let mut stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    let Tls::Verified { authorities } = tls else {
        return Ok(Box::new(stream));
    };
    let config = tls::verified(authorities.as_deref()).map_err(|_| NoTransport::Authorities)?;
    let name = ServerName::try_from(host.to_owned()).map_err(|_| NoTransport::Unverified)?;
    stream.write_all(&SSL_REQUEST).await?;
    // One byte and no more: what came in the clear behind it must not pass for a part of what is protected.
    if stream.read_u8().await? != WILLING {
        return Err(NoTransport::Plain);
    }
    let connector = TlsConnector::from(Arc::new(config));
    match connector.connect(name, stream).await {
        Ok(protected) => Ok(Box::new(protected)),
        // So errors of TLS are told from those of the connection.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(NoTransport::Unverified),
        Err(error) => Err(error.into()),
    }
}
