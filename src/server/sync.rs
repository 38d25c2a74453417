//! Locking that survives a panic in another task, and waiting for the server to stop.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Locks a mutex whose data is valid at every point where its holder could panic.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Completes when the server stops.
pub(super) async fn stopped(closing: &mut watch::Receiver<bool>) {
    // Fails if the server is dropped.
    let _ = closing.wait_for(|closing| *closing).await;
}
