//! What happens on the plain stream: TLS is agreed on, or the peer hears that it must be.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{
    cancel::CancelKey,
    message::{Broken, Input},
    reply,
};

/// Codes in the place of a protocol version.
const TLS: u32 = 80_877_103;
const GSS: u32 = 80_877_104;
pub(super) const CANCEL: u32 = 80_877_102;
/// Most questions about encryption before a start-up.
const QUESTIONS_MAX: usize = 2;

/// What the peer wants.
#[derive(Debug)]
pub enum Negotiated {
    /// The TLS handshake comes next.
    Tls,
    /// A statement of another connection is to be cancelled; this one is at its end.
    Cancel(CancelKey),
    /// The peer was refused, and told so; the reason code is for the record.
    Refused(&'static str),
}

/// Agrees on TLS. Nothing behind the question is read, so nothing plain can slip into the session.
///
/// # Errors
/// Reading or writing fails, or the peer ends the connection.
pub async fn negotiate<S>(stream: &mut S) -> io::Result<Negotiated>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    for _ in 0..=QUESTIONS_MAX {
        let (length, code) = (stream.read_u32().await?, stream.read_u32().await?);
        match (length, code) {
            (8, TLS) => {
                stream.write_all(b"S").await?;
                stream.flush().await?;
                return Ok(Negotiated::Tls);
            }
            (8, GSS) => {
                stream.write_all(b"N").await?;
                stream.flush().await?;
            }
            // Clients up to PostgreSQL 16 cancel without TLS, whatever their connection uses.
            (16.., CANCEL) if length <= CancelKey::MESSAGE_BYTES_MAX => {
                let mut rest = vec![0; usize::try_from(length - 8).unwrap_or(0)];
                stream.read_exact(&mut rest).await?;
                return Ok(match CancelKey::read(&rest) {
                    Some(key) => Negotiated::Cancel(key),
                    None => Negotiated::Refused("message_malformed"),
                });
            }
            _ => {
                let is_startup = code >> 16 == 3 || code >> 16 == 2;
                return refuse(stream, is_startup).await;
            }
        }
    }
    refuse(stream, false).await
}

async fn refuse<S>(stream: &mut S, is_startup: bool) -> io::Result<Negotiated>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (broken, reason) = if is_startup {
        let message = "this server takes connections over TLS alone".to_owned();
        let hint = "connect with sslmode=require, or better sslmode=verify-full and sslrootcert";
        (Broken::Refused("28000", message, hint), "plain_connection")
    } else {
        (
            Broken::malformed("no start of a PostgreSQL connection"),
            "message_malformed",
        )
    };
    stream.write_all(&reply::farewell(&broken)).await?;
    stream.shutdown().await?;
    // Closing with bytes unread would take our answer away from the peer.
    let lingering = async { Input::new(stream).drain().await };
    let _ = tokio::time::timeout(reply::LINGER, lingering).await;
    Ok(Negotiated::Refused(reason))
}
