//! Closing a connection so that the client receives what was written.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

/// How long the client may take to close its end.
const TIME: Duration = Duration::from_millis(500);

/// How much of what the client still sends is read, in bytes, and how much of it at once.
const MAX_BYTES: usize = 64 * 1024;
const CHUNK: usize = 4096;

/// Closes the sending end and reads until the client closes: a close with unread input is a reset,
/// and a reset discards what the client has not read yet.
pub(super) async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let drain = async {
        if stream.shutdown().await.is_err() {
            return;
        }
        let mut discarded = Vec::with_capacity(CHUNK);
        let mut read = 0;
        while read < MAX_BYTES {
            discarded.clear();
            match stream.read_buf(&mut discarded).await {
                Ok(0) | Err(_) => return,
                Ok(length) => read += length,
            }
        }
    };
    // On the heap, so that the task of a connection that does not end stays small.
    let _ = Box::pin(timeout(TIME, drain)).await;
}
