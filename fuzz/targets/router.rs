//! What a router answers: any bytes, to every question.
#![no_main]

use libfuzzer_sys::fuzz_target;
use msnp9_conntype::packet::{igd, nat_pmp, pcp, ssdp};

fuzz_target!(|data: &[u8]| {
    let _ = nat_pmp::parse(data);
    // The nonce of an answer is at the same place as that of its request.
    let nonce = data.get(24..36).and_then(|nonce| nonce.try_into().ok());
    let _ = pcp::parse(data, nonce.unwrap_or_default());
    let _ = ssdp::location(data);
    let _ = igd::describe(data);
    let _ = igd::Action::Address.parse(data);
});
