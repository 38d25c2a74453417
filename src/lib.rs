//! x
pub mod address;
pub mod conntype;
pub mod exit;
pub mod failure;
pub mod msnp;
pub mod report;
pub mod net;
pub mod secret;
