//! SIGINT and SIGTERM.

use std::future::{Future, pending};
use std::io;
use std::sync::Once;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
#[cfg(windows)]
use tokio::signal::windows::{CtrlC, ctrl_c};

use crate::failure::ErrorCode;
use crate::report::{output_file, print};

/// How soon after the first a signal is the same one: GNU `timeout` sends it to its child, and to the
/// group that the child is in.
const SAME: Duration = Duration::from_millis(100);

/// The exit code after a second SIGINT.
static CODE_AT_A_SECOND: AtomicU8 = AtomicU8::new(0);

/// Sets the exit code after a second SIGINT.
pub(super) fn set_code_at_a_second(code: u8) {
    CODE_AT_A_SECOND.store(code, Ordering::Relaxed);
}

/// The signals that ask the program to stop. While this exists, and afterwards, they do not end the
/// program by themselves.
pub(super) struct Signals {
    #[cfg(unix)]
    interrupt: Signal,
    #[cfg(unix)]
    terminate: Signal,
    #[cfg(unix)]
    hangup: Option<Signal>,
    #[cfg(windows)]
    interrupt: CtrlC,
}

impl Signals {
    /// Starts to listen; needs the context of a runtime. From now on, SIGINT ends the program at once
    /// after any other signal.
    pub(super) fn listen() -> io::Result<Self> {
        static IMPATIENCE: Once = Once::new();
        let signals = Self::start()?;
        // A thread of its own: the others may all wait for the reader of a full pipe.
        IMPATIENCE.call_once(|| {
            let first = async {
                Self::start()?.received().await;
                Ok(())
            };
            drop(std::thread::spawn(|| end_at_a_second(first)));
        });
        Ok(signals)
    }

    #[cfg(unix)]
    fn start() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: None,
        })
    }

    #[cfg(windows)]
    fn start() -> io::Result<Self> {
        Ok(Self {
            interrupt: ctrl_c()?,
        })
    }

    /// Listens for SIGHUP as well, with which a terminal tells that it is gone. Without a terminal,
    /// as under `nohup`, SIGHUP keeps its meaning.
    pub(super) fn and_of_the_terminal(self) -> Self {
        #[cfg(unix)]
        if print::is_on_a_terminal() {
            let hangup = signal(SignalKind::hangup()).ok();
            return Self { hangup, ..self };
        }
        self
    }

    /// The next signal. One that came since the last call counts.
    pub(super) async fn next(&mut self) -> ErrorCode {
        let signal = self.received().await;
        if signal == ErrorCode::Interrupted {
            print::end_echoed_line();
        }
        signal
    }

    #[cfg(unix)]
    async fn received(&mut self) -> ErrorCode {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => ErrorCode::Interrupted,
            _ = self.terminate.recv() => ErrorCode::Terminated,
            _ = hangup => ErrorCode::Terminated,
        }
    }

    #[cfg(windows)]
    async fn received(&mut self) -> ErrorCode {
        self.interrupt.recv().await;
        ErrorCode::Interrupted
    }
}

/// Starts to listen, and completes with the first signal. From then on, SIGINT ends the program at
/// once. Until then it takes no thread, for a program that never waits for a reader.
pub(super) fn listen() -> io::Result<impl Future<Output = ErrorCode>> {
    let mut signals = Signals::start()?;
    Ok(async move {
        let signal = signals.next().await;
        std::thread::spawn(|| end_at_a_second(async { Ok(()) }));
        signal
    })
}

/// Waits for the `first` signal, and then for another SIGINT, which ends the program whatever it is
/// doing.
fn end_at_a_second(first: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build()?.block_on(async {
        first.await?;
        tokio::time::sleep(SAME).await;
        let mut signals = Signals::start()?;
        while signals.received().await != ErrorCode::Interrupted {}
        output_file::remove_unfinished();
        std::process::exit(CODE_AT_A_SECOND.load(Ordering::Relaxed).into());
    })
}
