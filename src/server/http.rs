//! The three HTTP services: the Passport pages, the gateway and the metrics.
//!
//! ```text
//!   service ──► connection ──► message (pure)
//!      ├──────► passport ──► message, site
//!      ├──────► gateway ──► message, site; sessions by their driver
//!      └──────► metrics ──► message
//! ```

mod connection;
mod gateway;
mod message;
mod metrics;
pub(super) mod passport;
mod service;
pub(super) mod site;

pub(super) use gateway::{Gateway, PAGE as GATEWAY_PAGE};
pub(super) use service::{HttpService, serve};
