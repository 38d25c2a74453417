//! `classify --pcap`: the sessions of a capture.

use std::io::{ErrorKind, Read as _};
use std::path::Path;

use tokio::sync::mpsc;

use super::error::CommandError;
use super::output::Output;
use super::runtime::{self, Runtime};
use super::secret_input::open;
use crate::capture::{Capture, Found, Place};
use crate::conntype::PortOrder;
use crate::exit::Exit;
use crate::failure::{Failure, Stage};
use crate::report::capture::{CaptureReport, FileReport, Sessions, of_file};

/// How much is read at once, in bytes.
const PIECE: usize = 256 * 1024;

/// How many pieces are read ahead.
const AHEAD: usize = 4;

/// Reads the capture, and prints what its sessions say. `side` is where it was taken, if that is known.
pub(super) fn run(
    path: &Path,
    side: Option<Place>,
    order: PortOrder,
    output: &Output,
) -> Result<Exit, CommandError> {
    output.check_capture()?;
    let mut sessions = Sessions::default();
    let mut report = |found: Found| sessions.add(found, side, order);
    let mut capture = Capture::new();
    let ended = runtime::with(|runtime| read(path, runtime, &mut capture, &mut report))?;
    let file = FileReport {
        format: capture.format(),
        compressed: capture.is_compressed(),
        counts: capture.counts(),
    };
    let report = CaptureReport::new(sessions, file, ended, output.expected.clone());
    Ok(output.finish_capture(report))
}

/// Reads the file to its end, to its first error, or until a signal: why it ended early. What was read
/// until then counts.
fn read(
    path: &Path,
    runtime: &mut Runtime,
    capture: &mut Capture,
    report: &mut impl FnMut(Found),
) -> Result<Option<Failure>, CommandError> {
    let unread =
        |why| CommandError::value("--pcap", format!("cannot read {}: {why}", path.display()));
    let mut pieces = pieces(path, runtime);
    loop {
        // The signals have to come to their turn, however fast the pieces come.
        let next = runtime.until_signal(async {
            tokio::task::yield_now().await;
            pieces.recv().await
        });
        let piece = match next {
            Ok(Some(piece)) => piece.map_err(unread)?,
            Ok(None) => return Ok(capture.finish(report).err().as_ref().map(of_file)),
            Err(CommandError::Interrupted(code)) => {
                capture.abandon(report);
                let why = "interrupted; what was read until then counts";
                return Ok(Some(Failure::new(Stage::Capture, code, why)));
            }
            Err(other) => return Err(other),
        };
        if let Err(why) = capture.feed(&piece, report) {
            capture.abandon(report);
            return Ok(Some(of_file(&why)));
        }
    }
}

/// Reads the file beside the work, some pieces ahead.
fn pieces(path: &Path, runtime: &Runtime) -> mpsc::Receiver<std::io::Result<Vec<u8>>> {
    let (to, pieces) = mpsc::channel(AHEAD);
    let path = path.to_owned();
    runtime.beside_blocking(move || {
        let mut file = match open(&path) {
            Ok(file) => file,
            Err(why) => return drop(to.blocking_send(Err(why))),
        };
        loop {
            let mut piece = vec![0; PIECE];
            let sent = match file.read(&mut piece) {
                Ok(0) => return,
                Ok(length) => {
                    piece.truncate(length);
                    to.blocking_send(Ok(piece))
                }
                Err(why) if why.kind() == ErrorKind::Interrupted => continue,
                Err(why) => return drop(to.blocking_send(Err(why))),
            };
            // Nobody waits for more.
            if sent.is_err() {
                return;
            }
        }
    });
    pieces
}
