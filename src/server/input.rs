//! The piece of input that a thread processes: no connection has a buffer of its own to read into.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// How much is read at once, in bytes.
const CHUNK: usize = 4096;

thread_local! {
    static INPUT: RefCell<[u8; CHUNK]> = const { RefCell::new([0; CHUNK]) };
}

/// Reads for this thread, and tells the length: 0 at the end of the stream. The input stays until a
/// task waits, so it is [processed](with) before.
pub(super) fn poll_read<S>(stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<usize>>
where
    S: AsyncRead + Unpin,
{
    INPUT.with_borrow_mut(|input| {
        let mut input = ReadBuf::new(input);
        ready!(Pin::new(stream).poll_read(cx, &mut input))?;
        Poll::Ready(Ok(input.filled().len()))
    })
}

/// Processes the input of this length that was just read.
pub(super) fn with<T>(length: usize, process: impl FnOnce(&mut [u8]) -> T) -> T {
    INPUT.with_borrow_mut(|input| process(&mut input[..length]))
}
