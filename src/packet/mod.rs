//! Packets and documents of protocols that are not MSN's: bytes in, values out.
//!
//! Pure: no socket, no clock. Everything here reads what anybody may have sent.

pub mod call;
pub mod igd;
pub mod nat_pmp;
pub mod pcp;
pub mod ssdp;
pub mod stun;

/// What a mapping of a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}
