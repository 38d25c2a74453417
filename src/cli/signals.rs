//! SIGINT and SIGTERM.

use std::future::Future;
use std::io;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
#[cfg(windows)]
use tokio::signal::windows::{CtrlC, ctrl_c};

use crate::failure::ErrorCode;
use crate::report::print;

/// The signals that ask the program to stop. While this exists, and afterwards, they do not end the
/// program by themselves.
pub(super) struct Signals {
    #[cfg(unix)]
    interrupt: Signal,
    #[cfg(unix)]
    terminate: Signal,
    #[cfg(windows)]
    interrupt: CtrlC,
}

impl Signals {
    /// Starts to listen; needs the context of a runtime.
    #[cfg(unix)]
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Starts to listen; needs the context of a runtime.
    #[cfg(windows)]
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: ctrl_c()?,
        })
    }

    /// The next signal. One that came since the last call counts.
    pub(super) async fn next(&mut self) -> ErrorCode {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => return ErrorCode::Terminated,
        }
        #[cfg(windows)]
        self.interrupt.recv().await;
        print::end_echoed_line();
        ErrorCode::Interrupted
    }
}

/// Starts to listen, and completes with the first signal.
pub(super) fn listen() -> io::Result<impl Future<Output = ErrorCode>> {
    let mut signals = Signals::listen()?;
    Ok(async move { signals.next().await })
}
