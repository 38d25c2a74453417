//! hyper's connection tasks, and what their errors mean.

use std::error::Error as _;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

/// How much is read at a time, in bytes. A response's head has to fit; in small pieces a peer that
/// never stops sending does not keep the thread to itself.
const READ: usize = 8 * 1024;

/// The task that moves a connection's bytes; it ends with this.
pub(super) struct Driver(JoinHandle<hyper::Result<()>>);

/// Begins HTTP/1.1 on an established stream, which may leave it for a tunnel.
pub(super) async fn handshake<T>(stream: T) -> hyper::Result<(SendRequest<Full<Bytes>>, Driver)>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = Builder::new()
        // Servers of that age compare header names byte by byte.
        .title_case_headers(true)
        .read_buf_exact_size(Some(READ))
        .handshake(TokioIo::new(stream))
        .await?;
    let work = connection.with_upgrades();
    let driver = Driver(tokio::spawn(async move {
        let ended = work.await;
        if let Err(error) = &ended {
            tracing::debug!(%error, "HTTP connection ended");
        }
        ended
    }));
    Ok((sender, driver))
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Whether the connection had ended before the request could be answered.
pub(super) fn is_closed(error: &hyper::Error) -> bool {
    error.is_canceled() || error.is_closed() || error.is_incomplete_message()
}

/// Why a request failed. One that came too late for its connection knows only that it did; the
/// connection's driver knows the reason.
pub(super) async fn cause(error: hyper::Error, driver: Option<Driver>) -> hyper::Error {
    match driver {
        Some(mut driver) if is_closed(&error) => match (&mut driver.0).await {
            Ok(Err(reason)) => reason,
            _ => error,
        },
        _ => error,
    }
}

/// Whether the other end speaks another protocol: what came is not HTTP, or came before the
/// request, from a server that speaks first.
pub(super) fn is_not_http(error: &hyper::Error) -> bool {
    if let Some(inner) = error.source().and_then(|inner| inner.downcast_ref()) {
        return is_not_http(inner);
    }
    // hyper has no question for "unexpected message"; it is what remains, without a source.
    let known = is_closed(error) || error.is_body_write_aborted() || error.is_user();
    error.is_parse() || !(known || error.source().is_some())
}
