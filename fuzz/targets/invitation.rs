//! Invitations in any bytes, and what they claim against what was observed.
#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use msnp9_conntype::conntype::{Label, UdpLabel};
use msnp9_conntype::invitation::{MOST_INVITATIONS, Seen, check, find_invitations};

fuzz_target!(|data: &[u8]| {
    let found = find_invitations(data);
    assert!(found.len() <= MOST_INVITATIONS);
    let seen = Seen {
        local: "192.168.1.5:1033".parse().ok(),
        client_ip: "203.0.113.7".parse().ok(),
        tcp: vec![Label::IpRestrictNat],
        udp: Some(UdpLabel::PortRestrictNat),
    };
    for invitation in &found {
        for claim in check(invitation, &seen) {
            assert!(claim.field.raw.chars().count() <= 256);
            let _ = claim.because.outcome();
        }
        // Each field once.
        let names: HashSet<_> = invitation.fields.iter().map(|field| field.name).collect();
        assert!(!names.is_empty() && names.len() == invitation.fields.len());
    }
});
