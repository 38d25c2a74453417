//! The JSON Schemas of the documents. The tests derive them from the types that are printed, and
//! hold `docs/schema` to that.

/// A kind of JSON document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// A login, or `classify`.
    Report,
    /// `demo`.
    Demo,
    /// `probe`.
    Probe,
    /// `explain`.
    Explain,
    /// `pair`.
    Pair,
    /// `classify --pcap`.
    Capture,
    /// `--network list`.
    Networks,
    /// `serve`: the line with its addresses, or why it cannot start.
    Serve,
}

impl Document {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Report,
        Self::Demo,
        Self::Probe,
        Self::Explain,
        Self::Pair,
        Self::Capture,
        Self::Networks,
        Self::Serve,
    ];

    /// Its word, as in the name of the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Demo => "demo",
            Self::Probe => "probe",
            Self::Explain => "explain",
            Self::Pair => "pair",
            Self::Capture => "capture",
            Self::Networks => "networks",
            Self::Serve => "serve",
        }
    }

    /// Its JSON Schema (draft 2020-12), with a newline at its end.
    #[must_use]
    pub const fn schema(self) -> &'static str {
        match self {
            Self::Report => include_str!("../../docs/schema/report.v1.json"),
            Self::Demo => include_str!("../../docs/schema/demo.v1.json"),
            Self::Probe => include_str!("../../docs/schema/probe.v1.json"),
            Self::Explain => include_str!("../../docs/schema/explain.v1.json"),
            Self::Pair => include_str!("../../docs/schema/pair.v1.json"),
            Self::Capture => include_str!("../../docs/schema/capture.v1.json"),
            Self::Networks => include_str!("../../docs/schema/networks.v1.json"),
            Self::Serve => include_str!("../../docs/schema/serve.v1.json"),
        }
    }
}

#[cfg(test)]
mod tests;
