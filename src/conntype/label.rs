//! The names of the connection types, as the official client spells them.

/// What the labels of TCP and of UDP share: `as_str` is how they are printed, and `UnknownConnect` is
/// the one that says nothing.
macro_rules! spelled {
    ($label:ident) => {
        impl $label {
            /// Whether the connection type is known: every label but `Unknown-Connect`.
            #[must_use]
            pub const fn determined(self) -> bool {
                !matches!(self, Self::UnknownConnect)
            }
        }

        impl std::fmt::Display for $label {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl serde::Serialize for $label {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.as_str())
            }
        }
    };
}

pub(super) use spelled;

/// The connection type of one TCP flow to the notification server.
///
/// Source of the names: hypothetic.org, research/msnp9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Label {
    /// Same address, same port: nothing in between rewrites the flow.
    DirectConnect,
    /// Another address, the same port.
    IpRestrictNat,
    /// The same address, another port.
    PortRestrictNat,
    /// Another address and another port.
    SymmetricNat,
    /// Another address, and a port that is unknown or whose mapping is known not to depend on
    /// the destination.
    UnknownNat,
    /// The connection type is not known.
    UnknownConnect,
}

impl Label {
    /// Every label, in the order of the table.
    pub const ALL: [Self; 6] = [
        Self::DirectConnect,
        Self::IpRestrictNat,
        Self::PortRestrictNat,
        Self::SymmetricNat,
        Self::UnknownNat,
        Self::UnknownConnect,
    ];

    /// The spelling on the wire and on stdout.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DirectConnect => "Direct-Connect",
            Self::IpRestrictNat => "IP-Restrict-NAT",
            Self::PortRestrictNat => "Port-Restrict-NAT",
            Self::SymmetricNat => "Symmetric-NAT",
            Self::UnknownNat => "Unknown-NAT",
            Self::UnknownConnect => "Unknown-Connect",
        }
    }
}

spelled!(Label);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unknown_connect_is_undetermined() {
        let unknown: Vec<_> = Label::ALL.into_iter().filter(|l| !l.determined()).collect();
        assert_eq!(unknown, [Label::UnknownConnect]);
    }
}
