//! The JSON Schemas of the documents. The tests derive them from the types that are printed, and
//! hold `docs/schema` to that.

use std::io::Read as _;

use flate2::read::DeflateDecoder;

/// A schema as `build.rs` compressed it.
macro_rules! compressed {
    ($word:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $word, ".v1.json"))
    };
}

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
    /// `account list`.
    Accounts,
}

impl Document {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Report,
        Self::Demo,
        Self::Probe,
        Self::Explain,
        Self::Pair,
        Self::Capture,
        Self::Networks,
        Self::Serve,
        Self::Accounts,
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
            Self::Accounts => "accounts",
        }
    }

    /// Its JSON Schema (draft 2020-12), with a newline at its end.
    #[must_use]
    pub fn schema(self) -> String {
        let mut text = String::new();
        // It was compressed when the program was built; a test reads each.
        let _ = DeflateDecoder::new(self.compressed()).read_to_string(&mut text);
        text
    }

    const fn compressed(self) -> &'static [u8] {
        match self {
            Self::Report => compressed!("report"),
            Self::Demo => compressed!("demo"),
            Self::Probe => compressed!("probe"),
            Self::Explain => compressed!("explain"),
            Self::Pair => compressed!("pair"),
            Self::Capture => compressed!("capture"),
            Self::Networks => compressed!("networks"),
            Self::Serve => compressed!("serve"),
            Self::Accounts => compressed!("accounts"),
        }
    }
}

#[cfg(test)]
mod tests;
