//! A network laboratory: hosts (network namespaces), links, NATs, firewalls, a delay line and
//! proxies, all real, all gone when dropped.
//!
//! # Layout
//!
//! - `laboratory`: [`Lab`], which makes hosts, joins them, and sweeps away what a killed run left.
//! - `host`: [`Host`], one namespace: routes, nftables, sysctls, commands, sockets inside it.
//! - `link`: [`Link`], a veth pair or a port of a bridge.
//! - `line`: [`Line`], two TUN devices with delay, jitter and loss between them.
//! - `service`: [`Service`], a TCP server run by threads of this process inside a host.
//! - `observer`: [`Observer`], a service that tells and records which address it sees.
//! - `socket`: sockets with a chosen local port, and who listens inside a host.
//! - `topology`: whole networks, one function each, and what a server at their end sees.
//! - `router`: [`ScriptedRouter`], which answers what a router is asked as a test says.
//! - `proxies`: real proxies and stand-ins that misbehave.
//!
//! Everything needs root; [`requirements`] says in one line what is missing.
//!
//! ```ignore
//! let net = support::lab::topology::masquerade()?;
//! let observer = support::lab::Observer::start(&net.server, &[net.listen(1863)])?;
//! let output = net.client.command("msnp9-conntype").arg("--server").arg(net.dial(1863).to_string());
//! ```

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::OnceLock;

mod host;
mod laboratory;
mod line;
mod link;
mod observer;
pub mod proxies;
mod router;
mod service;
mod socket;
pub mod topology;

pub(crate) use crate::process;
pub use crate::{Error, process::Process};

pub use self::{
    host::Host,
    laboratory::Lab,
    line::{Carried, Line, LineOptions},
    link::Link,
    observer::{Observer, Sighting, ask},
    router::{SILENT, Script, ScriptedRouter},
    service::{Connection, Service},
    socket::{wait_for_port, wait_for_udp_port},
    topology::Topology,
};

/// Says in one line why the lab cannot run here, or that it can.
///
/// It makes a namespace, a NAT rule, a veth pair and a TUN device for real, because a container can
/// have the programs and the user id and still be refused any of these. The answer is kept for the
/// life of the process.
///
/// # Errors
///
/// One line with what is missing and, for a program, the Debian package that has it.
pub fn requirements() -> Result<(), String> {
    static ANSWER: OnceLock<Result<(), String>> = OnceLock::new();
    ANSWER.get_or_init(check_requirements).clone()
}

fn check_requirements() -> Result<(), String> {
    let uid = Path::new("/proc/self")
        .metadata()
        .map_err(|e| format!("no /proc: {e}"))?
        .uid();
    if uid != 0 {
        return Err(format!("the network lab needs root, this is user {uid}"));
    }
    for (program, package) in [("ip", "iproute2"), ("nft", "nftables")] {
        needs_program(program, package)?;
    }
    let opened: io::Result<File> = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun");
    if let Err(e) = opened {
        return Err(format!("the network lab needs /dev/net/tun: {e}"));
    }
    try_everything_once().map_err(|e| {
        // The first line says what was refused; a ruleset may follow.
        let words = e.to_string();
        let reason = words.lines().next().unwrap_or_default();
        format!("the network lab is not allowed here: {reason}")
    })
}

/// Whether `program` is in the PATH, or which package to install.
pub fn needs_program(program: &str, package: &str) -> Result<(), String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join(program).exists()) {
        return Ok(());
    }
    Err(format!(
        "the network lab needs the program {program} in the PATH (apt-get install {package})"
    ))
}

fn try_everything_once() -> Result<(), Error> {
    let lab = Lab::new("probe")?;
    let (a, b) = (lab.host("a")?, lab.host("b")?);
    lab.link(&a, "192.0.2.1/24", &b, "192.0.2.2/24")?;
    a.nft(
        "table ip nat {
            chain out {
                type nat hook postrouting priority srcnat;
                meta l4proto tcp masquerade to :61000-65535 fully-random
            }
        }",
    )?;
    lab.delay_line(
        &a,
        "192.0.2.9/30",
        &b,
        "192.0.2.10/30",
        &LineOptions::default(),
    )?;
    Ok(())
}
