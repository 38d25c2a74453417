//! Packets and documents of protocols that are not MSN's: bytes in, values out.
//!
//! Pure: no socket, no clock. Everything here reads what anybody may have sent.

pub mod stun;
