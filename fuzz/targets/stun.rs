//! An answer of STUN: any bytes, to a request of this number.
#![no_main]

use libfuzzer_sys::fuzz_target;
use msnp9_conntype::packet::stun::parse;

fuzz_target!(|data: &[u8]| {
    if let Some((header, _)) = data.split_first_chunk::<20>()
        && let Ok(number) = header[8..].try_into()
    {
        let _ = parse(data, number);
    }
});
