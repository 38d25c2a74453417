//! The verdict: from what was observed to the name of the connection type.
//!
//! Pure. It takes an [`Observation`] and returns a [`Verdict`]; it knows no socket, no clock and
//! no terminal, so every rule can be tested as a row of a table. It holds enums, addresses and
//! numbers; the sentences about them are the report's.
//!
//! The names and the table are those of the MSNP9 research page at hypothetic.org
//! ("Connection types"), repeated in its MSNC1 page.

mod classify;
mod evidence;
mod label;
mod observation;
mod range;
mod settle;

use std::fmt;
use std::str::FromStr;

pub use classify::classify;
pub use evidence::{
    Comparison, Destination, Mapping, Missing, OrderMatch, ProxyRelation, Reason, Sameness,
    Unsettled, Verdict, Warning,
};
pub use label::Label;
pub use observation::{
    Field, IpUnknown, Observation, PathKind, PortOrder, PortUnknown, Proxy, can_be_local,
    normalise, swap_port,
};
pub use range::Range;
pub use settle::settle;

/// Prints, serialises and reads an enum by the one spelling that its `as_str` gives.
macro_rules! by_name {
    ($($name:ident: $what:literal),+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;

            /// Ignores case. The error lists the names there are.
            fn from_str(word: &str) -> Result<Self, String> {
                let is_it = |one: &Self| one.as_str().eq_ignore_ascii_case(word.trim());
                Self::ALL.into_iter().find(is_it).ok_or_else(|| {
                    let names = Self::ALL.map(Self::as_str).join(", ");
                    format!(concat!("invalid ", $what, " '{}' (expected one of {})"), word, names)
                })
            }
        }
    )+};
}

by_name!(Label: "connection type", PathKind: "path", PortOrder: "port order");
