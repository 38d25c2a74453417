//! SIGINT and SIGTERM.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::CommandError;
use crate::failure::ErrorCode;

/// How long work may go on after a signal.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// What completes when the program is asked to stop, with what asked it.
///
/// From here on the signal does not end the program by itself any more.
#[cfg(unix)]
pub(super) fn listen() -> io::Result<impl Future<Output = ErrorCode>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => ErrorCode::Interrupted,
            _ = terminate.recv() => ErrorCode::Terminated,
        }
    })
}

/// What completes when the program is asked to stop.
#[cfg(not(unix))]
pub(super) fn listen() -> io::Result<impl Future<Output = ErrorCode>> {
    Ok(async {
        match tokio::signal::ctrl_c().await {
            Ok(()) => ErrorCode::Interrupted,
            Err(_) => std::future::pending().await,
        }
    })
}

/// Runs `work` to its end, or until a signal comes: then what asked for the end is the error.
pub(super) fn until_signal<T>(
    runtime: &Runtime,
    work: impl Future<Output = T>,
) -> Result<T, ErrorCode> {
    let signal = listening(runtime);
    runtime.block_on(first(work, signal))
}

/// Runs `work` to its end, or until a signal comes: then the outcome is that of `interrupted`, which
/// is asked before the work is dropped.
pub(super) fn until_signal_or<T>(
    runtime: &Runtime,
    work: impl Future<Output = T>,
    interrupted: impl FnOnce(ErrorCode) -> T,
) -> T {
    let signal = listening(runtime);
    runtime.block_on(async {
        let mut work = pin!(work);
        match first(work.as_mut(), signal).await {
            Ok(done) => done,
            Err(class) => interrupted(class),
        }
    })
}

/// Runs what cannot be interrupted beside the wait for a signal. Work that ends by itself right
/// after the signal, as a prompt does, is waited for: it may still have to put things back.
pub(super) fn blocking<T: Send + 'static>(
    runtime: &Runtime,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, CommandError> {
    // Before the work begins: from then on a signal is to be heard.
    let signal = listening(runtime);
    let mut work = runtime.spawn_blocking(work);
    let done = runtime.block_on(async {
        match first(&mut work, signal).await {
            Ok(done) => Ok(done),
            Err(class) => tokio::time::timeout(LAST_WORDS, work)
                .await
                .map_err(|_| CommandError::Interrupted(class)),
        }
    })?;
    done.map_err(|error| CommandError::Other(error.into()))
}

/// [`listen`], already listening. Where signals cannot be waited for, they end the program as they
/// always did.
fn listening(runtime: &Runtime) -> impl Future<Output = ErrorCode> + use<> {
    let _entered = runtime.enter();
    let signal = listen().ok();
    async {
        match signal {
            Some(signal) => signal.await,
            None => std::future::pending().await,
        }
    }
}

async fn first<T>(
    work: impl Future<Output = T>,
    signal: impl Future<Output = ErrorCode>,
) -> Result<T, ErrorCode> {
    tokio::select! {
        biased;
        done = work => Ok(done),
        class = signal => Err(class),
    }
}
