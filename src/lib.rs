//! x
pub mod address;
pub mod conntype;
pub mod msnp;
pub mod report;
pub mod secret;
