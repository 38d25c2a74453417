//! Why a session has no label, and why a file could not be read.

use super::FileReport;
use crate::capture::reassembly::Lost;
use crate::capture::{Counts, Ended, FileError, NoVerdict};
use crate::failure::{ErrorCode, Failure, Stage};
use crate::secret::excerpt;

/// How much of a field of the profile a message has, in characters; the longest address has 45.
const LONGEST: usize = 45;

/// Why a session has no verdict.
pub(super) fn failure(why: &NoVerdict) -> Failure {
    let (code, message) = match why {
        NoVerdict::NoProfile(ended) => return ended_early(ended),
        NoVerdict::ServerSide => (
            ErrorCode::ServerSide,
            "the capture was taken on the server's side: the profile is about what the packets show there, and \
             the client's own address does not show"
                .to_owned(),
        ),
        NoVerdict::ServerDisagrees { told: (ip, port) } => (
            ErrorCode::ServerDisagrees,
            format!(
                "the capture was taken on the server's side, and the profile (ClientIP {}, ClientPort {}) is \
                 not what the packets show there: the server does not tell what it sees, or a balancer is in front \
                 of it",
                excerpt(ip, LONGEST),
                excerpt(port, LONGEST)
            ),
        ),
        NoVerdict::Balanced => (
            ErrorCode::BehindBalancer,
            "the connection begins with a header of the PROXY protocol: it comes from a balancer, not from the client"
                .to_owned(),
        ),
        NoVerdict::PlaceUnknown => (
            ErrorCode::SideUnknown,
            "the packets of both ends had passed routers where they were captured, so neither side's address is known \
             to be its own"
                .to_owned(),
        ),
    };
    Failure::new(Stage::Capture, code, message)
}

/// Why a session has no profile.
fn ended_early(why: &Ended) -> Failure {
    let (code, message) = match why {
        Ended::BeginsBefore => (
            ErrorCode::BeginsBefore,
            "the session begins before the capture".to_owned(),
        ),
        Ended::CaptureEnds => (
            ErrorCode::CaptureEnds,
            "the capture ends before the profile".to_owned(),
        ),
        Ended::Closed { signed_in: true } => (
            ErrorCode::EndsEarly,
            "the session ends before the profile, although the server accepted the login"
                .to_owned(),
        ),
        Ended::Closed { signed_in: false } => (
            ErrorCode::NoLogin,
            "the session ends without a login".to_owned(),
        ),
        Ended::NoProfile => (
            ErrorCode::NoProfile,
            "the server sent a mebibyte, and no profile in it".to_owned(),
        ),
        Ended::Referred(to) => (
            ErrorCode::NoLogin,
            format!("the session has no login: the server refers to {to}"),
        ),
        Ended::Refused(number) => (
            ErrorCode::NoLogin,
            format!("the session has no login: the server refuses it with error {number}"),
        ),
        Ended::Lost(Lost::Gap(bytes)) => (
            ErrorCode::BytesMissing,
            format!("{bytes} bytes before the end of the profile are not in the capture"),
        ),
        Ended::Lost(Lost::Cut(bytes)) => (
            ErrorCode::PacketsCut,
            format!(
                "a packet before the end of the profile was captured without its last {bytes} bytes"
            ),
        ),
        Ended::Lost(Lost::Conflict) => (
            ErrorCode::ConflictingBytes,
            "the same bytes were sent twice before the end of the profile, and differ".to_owned(),
        ),
        Ended::Fragments => (
            ErrorCode::IpFragments,
            "packets of the session are IP fragments, which are not put together".to_owned(),
        ),
        Ended::Unreadable(why) => (ErrorCode::NotMsnp, format!("no MSNP: {why}")),
        Ended::Tls => (
            ErrorCode::Encrypted,
            "the session is encrypted (TLS)".to_owned(),
        ),
        Ended::Gateway => (
            ErrorCode::OverHttp,
            "the session runs through the HTTP gateway, for which ClientPort is always 0"
                .to_owned(),
        ),
        Ended::TooMany => (
            ErrorCode::TooManySessions,
            "more connections were open at once than are followed".to_owned(),
        ),
    };
    Failure::new(Stage::Capture, code, message)
}

/// Why a file could not be read to its end.
#[must_use]
pub fn of_file(error: &FileError) -> Failure {
    let code = match error {
        FileError::Empty | FileError::NotACapture => ErrorCode::NotACapture,
        FileError::Cut(_) => ErrorCode::CaptureCut,
        FileError::Damaged(_) | FileError::Compression(_) => ErrorCode::CaptureDamaged,
        FileError::LinkType(_) => ErrorCode::LinkType,
    };
    Failure::new(Stage::Capture, code, error.to_string())
}

/// Why there is no session in a file.
pub(super) fn none(file: &FileReport) -> Failure {
    let Counts { segments, cut, .. } = file.counts;
    let message = match (segments, cut) {
        (0, 0) => "the capture holds no TCP".to_owned(),
        (_, 0) => "the capture holds no session with a notification server".to_owned(),
        (_, cut) => format!(
            "the capture holds no session with a notification server; {cut} packets were cut within their headers"
        ),
    };
    Failure::new(Stage::Capture, ErrorCode::NoSession, message)
}
