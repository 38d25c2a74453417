//! Bytes to commands, both directions: how the bytes are cut on their way makes no difference.
#![no_main]

use libfuzzer_sys::fuzz_target;
use msnp9_conntype::msnp::{Decoder, MAX_LINE, MAX_PAYLOAD, Side};

/// A command's name, parameters and payload.
type Read = (String, Vec<Vec<u8>>, Vec<u8>);

fuzz_target!(|data: &[u8]| {
    let [how, bytes @ ..] = data else { return };
    let side = if how & 1 == 0 {
        Side::Server
    } else {
        Side::Client
    };
    let size = usize::from(how >> 2) + 1;
    let whole = read(side, how & 2 != 0, bytes, bytes.len().max(1));
    let pieces = read(side, how & 2 != 0, bytes, size);
    assert_eq!(whole, pieces);
});

/// The commands, and whether the bytes could be read to their end.
fn read(side: Side, resynchronise: bool, bytes: &[u8], size: usize) -> (Vec<Read>, bool) {
    let mut decoder = Decoder::new(side);
    if resynchronise {
        decoder.resynchronise();
    }
    let mut commands = Vec::new();
    for piece in bytes.chunks(size) {
        decoder.feed(piece);
        loop {
            match decoder.decode() {
                Ok(Some(command)) => {
                    assert_eq!(command.name().len(), 3);
                    assert!(command.payload().len() <= MAX_PAYLOAD);
                    let _ = (command.trid(), command.error_code(), command.exact_arg(1));
                    let args = command.args().map(<[u8]>::to_vec).collect();
                    let payload = command.payload().to_vec();
                    commands.push((command.name().to_owned(), args, payload));
                }
                Ok(None) => break,
                Err(_) => return (commands, false),
            }
        }
        assert!(decoder.space().len() <= MAX_LINE + MAX_PAYLOAD + size);
    }
    (commands, true)
}
