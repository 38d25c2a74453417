//! One run of the tool: what came out, and what may never come out.

use std::net::{IpAddr, SocketAddr};
use std::process::Output;
use std::time::Duration;

use serde_json::Value;

use crate::ends::{PASSWORD, PROXY_PASSWORD};
use support::lab::Topology;
use support::lab::topology::Sees;
use support::{Document, document};

/// How one run ended.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) json: Value,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
    /// What is wrong in any case, whatever was expected.
    pub(crate) faults: Vec<String>,
}

/// How long after its deadline the tool may end: 0.2 s would do on an idle machine.
const LATE: Duration = Duration::from_secs(2);

impl Run {
    pub(crate) fn new(output: &Output, took: Duration, timeout: Duration) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut run = Self {
            code: output.status.code().unwrap_or(-1),
            json: Value::Null,
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            took,
            faults: Vec::new(),
        };
        run.must(took <= timeout + LATE, || {
            format!("{took:?}, though the time limit was {timeout:?}")
        });
        for secret in [PASSWORD, PROXY_PASSWORD] {
            let shown = run.stdout.contains(secret) || run.stderr.contains(secret);
            run.must(!shown, || "it shows a password".to_owned());
        }
        if run.code == 2 {
            run.must(run.stdout.is_empty(), || "a usage error on stdout".into());
        } else {
            run.read_json();
        }
        run
    }

    /// What a session of a capture came to; `output` is of the run that read the capture.
    pub(crate) fn of_session(output: &Output, session: &Value) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code().unwrap_or(-1),
            json: session.clone(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            took: Duration::ZERO,
            faults: Vec::new(),
        }
    }

    /// The one document that stands on stdout, and what must be so in each.
    fn read_json(&mut self) {
        match document::read(Document::Report, &self.stdout) {
            Ok(json) => self.json = json,
            Err(why) => return self.faults.push(why),
        }
        let exit_code = self.json["exit_code"].as_i64();
        self.must(exit_code == Some(self.code.into()), || {
            format!("the document says exit code {exit_code:?}")
        });
        let determined = self.json["determined"] == true;
        self.must(determined == self.json["error"].is_null(), || {
            "determined and error, or neither".to_owned()
        });
        self.must(determined == (self.label() != "Unknown-Connect"), || {
            format!("determined is {determined}")
        });
        for part in ["message", "remedy"] {
            let text = self.json["error"][part].as_str().unwrap_or("-");
            let one_line = !text.is_empty() && !text.contains('\n');
            self.must(one_line, || format!("error.{part} is no line"));
        }
    }

    /// Holds the profile against what this network is known to show a server: the lab's own tests
    /// have asked it with plain sockets.
    pub(crate) fn seen_as(mut self, net: &Topology) -> Self {
        let (local, seen) = (self.local(), self.seen());
        let as_known = match (net.sees, local, seen) {
            (Sees::From(..), Some(local), Some(seen)) => net.sees.fits(local, seen),
            (Sees::Nothing(_), _, None) => true,
            _ => false,
        };
        self.must(as_known, || {
            format!("{local:?} seen as {seen:?}, not as {}", net.sees)
        });
        self
    }

    /// Adds a fault where `holds` is not so.
    pub(crate) fn must(&mut self, holds: bool, words: impl FnOnce() -> String) {
        if !holds {
            self.faults.push(words());
        }
    }

    /// What this run came to, as the table of expectations writes it:
    /// `LABEL IP/PORT EXIT`, or `LABEL EXIT STAGE CODE` where nothing was compared.
    pub(crate) fn summary(&self) -> String {
        let text = |pointer| self.json.pointer(pointer).and_then(Value::as_str);
        if self.code == 2 {
            return "usage 2".to_owned();
        }
        let mut words = vec![self.label().to_owned()];
        if let (Some(ip), Some(port)) = (text("/comparison/ip"), text("/comparison/port")) {
            words.push(format!("{ip}/{port}"));
        }
        words.push(self.code.to_string());
        if self.json["comparison"].is_null() {
            let what = ["/error/stage", "/error/code"].map(text);
            words.extend(what.into_iter().flatten().map(str::to_owned));
        }
        words.join(" ")
    }

    pub(crate) fn label(&self) -> &str {
        self.json["label"].as_str().unwrap_or("no label")
    }

    pub(crate) fn local(&self) -> Option<SocketAddr> {
        let local = &self.json["local"];
        let port = u16::try_from(local["port"].as_u64()?).ok()?;
        Some(SocketAddr::new(local["ip"].as_str()?.parse().ok()?, port))
    }

    /// The client as the server saw it. Our server prints the port with its bytes exchanged, as
    /// Microsoft's did, unless an option says otherwise.
    pub(crate) fn seen(&self) -> Option<SocketAddr> {
        let observed = &self.json["observed"];
        let ip: IpAddr = observed["client_ip"]["ip"].as_str()?.parse().ok()?;
        let raw: u16 = observed["client_port"]["raw"].as_str()?.parse().ok()?;
        Some(SocketAddr::new(ip, raw.swap_bytes()))
    }
}
