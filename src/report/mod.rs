//! The result and the story: one model, one file a format.

pub mod advice;
pub mod human;
pub mod json;
mod model;
pub mod print;
pub(crate) mod text;

pub use model::{
    BUG_REMEDY, Compared, Context, Endpoint, ErrorReport, Expected, Hop, Look, Observed,
    ObservedIp, ObservedPort, PathReport, ProxyReport, Report, SCHEMA_VERSION, Said, Server,
    Timing,
};
