//! The runtime of a command, which SIGINT and SIGTERM end early.

use std::future::{Future, pending};
use std::pin::pin;
use std::time::Duration;

use anyhow::Context as _;

use super::error::CommandError;
use super::signals::Signals;
use crate::failure::ErrorCode;

/// How long blocking work may take to clean up after a signal.
const GRACE: Duration = Duration::from_millis(100);

/// The runtime of a command. It listens for signals from the start: one that comes between two
/// pieces of work ends the second.
pub(super) struct Runtime {
    tokio: tokio::runtime::Runtime,
    /// `None` where the system cannot listen: signals then end the program by themselves.
    signals: Option<Signals>,
}

/// Runs a command's body with a runtime. Blocking work that still waits then, for a name or for a
/// pipe, is abandoned.
pub(super) fn with<T>(
    body: impl FnOnce(&mut Runtime) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    // One thread is enough for one login, and starts fastest.
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let signals = {
        let _entered = tokio.enter();
        Signals::listen().ok().map(Signals::and_of_the_terminal)
    };
    let mut runtime = Runtime { tokio, signals };
    let done = body(&mut runtime);
    runtime.tokio.shutdown_background();
    done
}

impl Runtime {
    /// Runs `work` to its end. After a signal `clean_up` runs, which a second signal ends; the outcome
    /// is that of `interrupted`, which is called before the work is dropped.
    pub(super) fn run<T>(
        &mut self,
        work: impl Future<Output = T>,
        clean_up: impl Future<Output = ()>,
        interrupted: impl FnOnce(ErrorCode) -> T,
    ) -> T {
        let Self { tokio, signals } = self;
        tokio.block_on(async {
            let mut work = pin!(work);
            tokio::select! {
                biased;
                done = &mut work => done,
                signal = next(signals) => {
                    tokio::select! {
                        biased;
                        () = clean_up => {}
                        // One signal may come twice, as of 'timeout': to the process and to its group.
                        _ = async { tokio::time::sleep(GRACE).await; next(signals).await } => {}
                    }
                    interrupted(signal)
                }
            }
        })
    }

    /// Runs `work` to its end, or until a signal.
    pub(super) fn until_signal<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, CommandError> {
        let work = async { Ok(work.await) };
        self.run(work, async {}, |signal| {
            Err(CommandError::Interrupted(signal))
        })
    }

    /// Runs `work` beside what runs from now on.
    #[cfg(unix)]
    pub(super) fn beside(
        &self,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> tokio::task::JoinHandle<()> {
        self.tokio.spawn(work)
    }

    /// Runs blocking `work` beside what runs from now on. It is abandoned at the end.
    pub(super) fn beside_blocking(&self, work: impl FnOnce() + Send + 'static) {
        self.tokio.spawn_blocking(work);
    }

    /// Runs blocking `work` to its end, or until a signal. Work that ends right after the signal, as
    /// a prompt does, has the time to restore what it changed.
    pub(super) fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CommandError> {
        let Self { tokio, signals } = self;
        let mut work = tokio.spawn_blocking(work);
        tokio.block_on(async {
            tokio::select! {
                biased;
                done = &mut work => Ok(done.context("the task was lost")?),
                signal = next(signals) => {
                    let _ = tokio::time::timeout(GRACE, work).await;
                    Err(CommandError::Interrupted(signal))
                }
            }
        })
    }
}

async fn next(signals: &mut Option<Signals>) -> ErrorCode {
    match signals {
        Some(signals) => signals.next().await,
        None => pending().await,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_signal_between_two_pieces_of_work_ends_the_second() {
        let outcome = with(|runtime| {
            runtime.until_signal(async {})?;
            runtime.tokio.block_on(async {
                let mut witness = Signals::listen().unwrap();
                let own = rustix::process::getpid();
                rustix::process::kill_process(own, rustix::process::Signal::INT).unwrap();
                witness.next().await
            });
            let patience = Duration::from_secs(10);
            runtime.until_signal(async { tokio::time::timeout(patience, pending::<()>()).await })
        });
        assert!(matches!(
            outcome,
            Err(CommandError::Interrupted(ErrorCode::Interrupted))
        ));
    }
}
