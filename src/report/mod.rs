//! Everything that is printed: one typed model of a run, one file a format.
//!
//! The model holds enums, addresses and numbers. Text arises in the renderers alone.

pub mod accounts;
pub mod capture;
mod clients;
mod conclusion;
pub mod demo;
pub mod explain;
mod format;
pub mod github;
mod headline;
mod hint;
mod hints;
mod html;
pub mod human;
mod invitation;
pub mod json;
mod junit;
mod masked;
mod meaning;
mod model;
pub mod nagios;
pub mod networks;
pub(crate) mod output_file;
mod page;
pub mod pair;
mod parts;
mod path;
pub mod print;
mod probes;
mod prometheus;
mod remedy;
mod run;
mod schema;
pub(crate) mod text;
pub mod watch;
mod words;

pub use accounts::{ListedAccount, StoredAs};
pub use conclusion::{ConclusionReport, Reasons};
pub use format::{Format, render, render_probe};
pub use invitation::{ClaimReport, InvitationReport, Party};
pub use model::{
    Context, ErrorReport, Expected, Hop, HopAddress, ObservationReport, Observed, ObservedIp,
    ObservedPort, PathReport, ProxyReport, Report, Rewrite, Role, SCHEMA_VERSION, ServerReport,
    Timing, Tool, Why,
};
pub use output_file::OutputFile;
pub use probes::{
    CallsReport, ExternalReport, ListenReport, OpenedReport, PortMappingReport, ProbeReport,
    Probes, StunReport, StunTerm, StunUnknownReport, UdpEchoReport, UdpOutcome, UdpTestReport,
    UdpTests,
};
pub use remedy::remedy;
pub use run::{context, last_login};
pub use schema::Document;
