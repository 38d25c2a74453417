//! The two HTTP services: the Passport pages and the gateway.
//!
//! ```text
//!   service ──► connection ──► message (pure)
//!      ├──────► passport ──► message, site
//!      └──────► gateway ──► message, site; sessions by their driver
//! ```

mod connection;
mod gateway;
mod message;
pub(super) mod passport;
mod service;
pub(super) mod site;

pub(super) use gateway::{Gateway, PAGE as GATEWAY_PAGE, SWEEP_INTERVAL};
pub(super) use service::{HttpService, serve};
