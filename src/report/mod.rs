//! The result and the story: one model, one file a format.

pub mod advice;
pub mod human;
pub mod json;
mod model;
pub mod print;
mod remedy;
mod run;
pub(crate) mod text;

pub use remedy::remedy;
pub use run::context;

pub use model::{
    Compared, Context, Endpoint, ErrorReport, Expected, Hop, Look, Observed, ObservedIp,
    ObservedPort, PathReport, ProxyReport, Report, SCHEMA_VERSION, Said, Server, Timing,
};
