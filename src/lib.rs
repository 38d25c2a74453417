//! Determines the connection type between this host and an MSN notification server.
//!
//! The program is `msnp9-conntype`; this library holds its modules ("rooms"), so that tests, benches
//! and fuzz targets can use each separately.
//!
//! # Layout
//! ```text
//!  arguments and environment                          stdout: the result   stderr: the report
//!         │                                                       ▲             ▲
//!         ▼                                                       │             │
//!    cli ──► Plan ──► probe ──► Observation ──► conntype ──► Verdict ──► report
//!                      │ │                      (pure)                     ▲
//!                      │ └── events ──► run_log ───────────────────────────┘
//!                      ▼
//!                  transport ◄── bytes ──► msnp, packet
//!                  (sockets)               (sans-IO)
//!
//!    server = the other end of the same wire: it uses msnp's, packet's and conntype's types, never transport's,
//!             probe's, report's or cli's
//! ```
//! Data goes one way, and so do imports: the test at the end of this file lists what each room may
//! use. [`conntype`], [`msnp`], [`packet`], [`capture`] and [`invitation`] know no socket, clock, terminal or randomness.
//!
//! - [`conntype`]: the verdict. Observation in, label and evidence out.
//! - [`msnp`]: commands, profile, Passport headers, and the login as a state machine.
//! - [`packet`]: the same for protocols that are not MSN's: STUN, those of port mapping, and the
//!   lines of calling back.
//! - [`capture`]: the same for files of packets: sessions that others had.
//! - [`invitation`]: the connection fields of invitations, checked against what was observed.
//! - [`transport`]: the client's sockets, all of them: names, dialing, proxies, TLS, HTTP.
//! - [`probe`]: what is asked of the network; [`probe::login`] is the login, [`probe::udp_echo`] and
//!   [`probe::stun`] the tests of UDP, [`probe::port_mapping`] the questions to the router,
//!   [`probe::listen`] being called.
//! - [`run_log`]: what happened during a run, so that one that fails can still be reported.
//! - [`report`]: one model, one file a format, every text a person reads, and the one place that
//!   prints.
//! - [`server`]: the embedded notification server with its Passport pages.
//! - [`cli`]: one file a command.
//! - [`failure`]: what went wrong and where, with stable codes. [`exit`]: the table of exit codes.
//!   [`address`]: `host:port`. [`secret`]: values that cannot be printed. [`mask`]: values that
//!   stand for others in what is shown to strangers. `networks`: the presets.
//!
//! Modules named `fuzz` are public for the fuzz targets only; nothing else uses them.

pub mod address;
pub mod capture;
pub mod cli;
pub mod conntype;
pub mod exit;
pub mod failure;
pub mod invitation;
pub mod mask;
pub mod msnp;
mod networks;
pub mod packet;
pub mod probe;
pub mod report;
pub mod run_log;
pub mod secret;
pub mod server;
pub mod transport;

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    /// Each room, and the rooms it may import from.
    const ROOMS: [(&str, &[&str]); 17] = [
        ("address", &["secret"]),
        ("networks", &[]),
        ("packet", &[]),
        ("secret", &[]),
        ("conntype", &["address"]),
        ("invitation", &["conntype", "secret"]),
        (
            "capture",
            &["address", "conntype", "invitation", "msnp", "secret"],
        ),
        ("mask", &["address", "conntype"]),
        ("msnp", &["address", "secret"]),
        ("exit", &["conntype"]),
        ("failure", &["exit", "secret"]),
        ("run_log", &["address", "conntype", "failure", "msnp"]),
        (
            "transport",
            &["address", "conntype", "failure", "run_log", "secret"],
        ),
        (
            "probe",
            &[
                "address",
                "conntype",
                "failure",
                "msnp",
                "packet",
                "run_log",
                "secret",
                "transport",
            ],
        ),
        (
            "server",
            &["address", "conntype", "msnp", "packet", "secret"],
        ),
        (
            "report",
            &[
                "address",
                "capture",
                "conntype",
                "exit",
                "failure",
                "invitation",
                "mask",
                "msnp",
                "networks",
                "run_log",
                "secret",
            ],
        ),
        (
            "cli",
            &[
                "address",
                "capture",
                "conntype",
                "exit",
                "failure",
                "invitation",
                "mask",
                "msnp",
                "networks",
                "probe",
                "report",
                "run_log",
                "secret",
                "server",
                "transport",
            ],
        ),
    ];

    fn sources(at: &Path) -> Vec<PathBuf> {
        if at.is_file() {
            return vec![at.to_owned()];
        }
        let entries = std::fs::read_dir(at).unwrap();
        entries
            .flat_map(|entry| sources(&entry.unwrap().path()))
            .collect()
    }

    #[test]
    fn imports_go_one_way() {
        let mut wrong = Vec::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        for file in sources(&root) {
            let inner = file.strip_prefix(&root).unwrap();
            let shown = inner.display();
            let is_root = ["lib.rs", "main.rs"].iter().any(|name| inner == *name);
            let is_test = inner.ends_with("tests.rs") || inner.iter().any(|part| part == "tests");
            if is_root || is_test || inner.extension().is_none_or(|end| end != "rs") {
                continue;
            }
            let first = Path::new(inner.iter().next().unwrap()).file_stem();
            let room = ROOMS.iter().find(|(room, _)| first.unwrap() == *room);
            let Some((room, allowed)) = room else {
                wrong.push(format!("{shown}: not in ROOMS"));
                continue;
            };
            let text = std::fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for line in code
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
            {
                for path in line.split("crate::").skip(1) {
                    let to = path
                        .split(|c: char| !c.is_alphanumeric() && c != '_')
                        .next();
                    let to = to.unwrap_or_default();
                    if to != *room && !allowed.contains(&to) {
                        wrong.push(format!("{shown}: {room} -> {to}"));
                    }
                }
            }
        }
        assert_eq!(wrong, Vec::<String>::new());
    }
}
