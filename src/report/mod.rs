//! The result and the story: one model, one file a format.

pub mod advice;
mod model;
pub mod print;

pub use model::{
    Compared, Context, Endpoint, ErrorReport, Expected, Hop, Observed, ObservedIp, ObservedPort,
    PathReport, ProxyReport, Report, SCHEMA_VERSION, Said, Server, Timing,
};
