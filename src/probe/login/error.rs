//! Maps errors of the login to failures.

use crate::address::Address;
use crate::failure::{ErrorCode, Failure, Stage};
use crate::msnp::{CodecError, ErrorClass, LoginError, LoginStage, LooksLike};

/// The stage of the run that a step of the login belongs to.
pub(super) const fn stage_of(stage: LoginStage) -> Stage {
    match stage {
        LoginStage::Version | LoginStage::ClientVersion | LoginStage::Account => Stage::Negotiate,
        LoginStage::Ticket => Stage::Login,
        LoginStage::SignIn => Stage::SignIn,
        LoginStage::Profile => Stage::Profile,
    }
}

/// The failure of bytes that are not MSNP.
pub(super) fn garbled(error: &CodecError, at: &Address, stage: LoginStage) -> Failure {
    let code = match error {
        CodecError::NotMsnp(LooksLike::Http) => ErrorCode::SpeaksHttp,
        CodecError::NotMsnp(LooksLike::Tls) => ErrorCode::SpeaksTls,
        CodecError::NotMsnp(_) => ErrorCode::NotMsnp,
        _ => ErrorCode::Malformed,
    };
    let message = match error {
        CodecError::NotMsnp(looks) => format!("{at} speaks {looks}"),
        other => format!("{at}: {other}"),
    };
    Failure::new(stage_of(stage), code, message)
}

/// The failure of a login that ended while it waited for `waiting`.
pub(super) fn ended(error: &LoginError, at: &Address, waiting: LoginStage) -> Failure {
    let (stage, code) = match error {
        LoginError::Refused { code, stage } => {
            let code = match code.class() {
                ErrorClass::Credentials => ErrorCode::CredentialsRefused,
                ErrorClass::Busy => ErrorCode::ServerBusy,
                ErrorClass::Server => ErrorCode::ServerError,
                ErrorClass::Protocol => ErrorCode::ProtocolError,
            };
            (stage_of(*stage), code)
        }
        LoginError::NoDialect { .. } => (Stage::Negotiate, ErrorCode::NoDialect),
        LoginError::Closed { stage, .. } => (stage_of(*stage), ErrorCode::Closed),
        LoginError::SignedOut { reason } if reason.as_deref() == Some("OTH") => {
            (Stage::Profile, ErrorCode::SignedInElsewhere)
        }
        LoginError::SignedOut { .. } => (stage_of(waiting), ErrorCode::SignedOut),
        LoginError::ReferralLoop { .. } | LoginError::TooManyReferrals => {
            (Stage::Negotiate, ErrorCode::ReferralLoop)
        }
        LoginError::BadReferral(_) => (Stage::Negotiate, ErrorCode::BadReferral),
        LoginError::OtherScheme { .. } => (Stage::Negotiate, ErrorCode::OtherScheme),
        _ => (stage_of(waiting), ErrorCode::Malformed),
    };
    Failure::new(stage, code, format!("{at}: {error}"))
}
