//! What each label means and what to do about it.

use crate::conntype::Reason;

/// What to try when this reason kept us from a label.
#[must_use]
pub fn remedy(reason: &Reason) -> &'static str {
    match reason {
        Reason::KnownConstant | Reason::ObservedConstant => {
            "ask a server that reports what it sees, your own (msnp9-conntype serve) for one"
        }
        Reason::AddressUnknown => "ask another server, your own (msnp9-conntype serve) for one",
        _ => "try a direct connection, without gateway and proxy",
    }
}
