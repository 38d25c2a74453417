//! A packet of UDP echo: what is read is written the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use msnp9_conntype::msnp::udp_echo::{LEN, Packet};

fuzz_target!(|data: &[u8]| {
    if let Some(packet) = Packet::parse(data) {
        assert_eq!(data.len(), LEN);
        assert_eq!(packet.bytes(), data);
    }
});
