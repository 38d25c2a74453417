//! The profile: as the payload of a message, and within a saved transcript.
#![no_main]

use libfuzzer_sys::fuzz_target;
use msnp9_conntype::conntype::{Observation, classify};
use msnp9_conntype::msnp::{Profile, find_profile};

fuzz_target!(|data: &[u8]| {
    for profile in [Profile::parse(data), find_profile(data)]
        .into_iter()
        .flatten()
    {
        let values = [&profile.client_ip, &profile.client_port];
        for value in values.into_iter().flatten() {
            // Each byte may have been replaced by a character of three.
            assert!(value.len() <= 3 * data.len() && !value.contains('\n'), "{value:?}");
        }
        let local = ([192, 0, 2, 1], 1033).into();
        let ip = profile.client_ip.as_deref();
        let seen = Observation::new(local, ip, profile.client_port.as_deref());
        let verdict = classify(&seen);
        assert_eq!(
            verdict.label.determined(),
            verdict.label.as_str() != "Unknown-Connect"
        );
    }
});
