//! Wires between hosts: veth pairs, alone or plugged into a bridge.

use std::fmt::Write as _;
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Error, Host};

/// A wire between two hosts. It lives as long as they do; nothing happens when this is dropped.
#[derive(Debug, Clone)]
pub struct Link {
    /// The first host and its device.
    pub a: (Host, String),
    /// The second host and its device.
    pub b: (Host, String),
}

impl Link {
    /// Sets the largest packet that either end sends.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the size (IPv6 needs 1280, IPv4 68).
    pub fn mtu(&self, bytes: u32) -> Result<(), Error> {
        for (host, device) in [&self.a, &self.b] {
            host.ip(&format!("link set dev {device} mtu {bytes}"))?;
        }
        Ok(())
    }
}

/// A veth pair, its ends born inside the two namespaces and never seen outside.
pub(crate) fn veth(a: &Host, addr_a: &str, b: &Host, addr_b: &str) -> Result<Link, Error> {
    // Left to the kernel, both ends mostly get the same index, in their two namespaces. It then
    // takes them for a device that is nobody's peer, and that they are up gets around in its slow
    // round of once a second, not at once.
    static INDEX: AtomicU32 = AtomicU32::new(1000);
    let index = INDEX.fetch_add(2, Ordering::Relaxed);
    let (dev_a, dev_b) = (a.next_device(b.name()), b.next_device(a.name()));
    let mut at_a = format!(
        "link add {dev_a} index {index} type veth peer name {dev_b} netns {} index {}\n",
        b.namespace(),
        index + 1
    );
    configure(&mut at_a, &dev_a, addr_a);
    a.ip(&at_a)?;
    let mut at_b = String::new();
    configure(&mut at_b, &dev_b, addr_b);
    b.ip(&at_b)?;
    for (host, device, addr) in [(a, &dev_a, addr_a), (b, &dev_b, addr_b)] {
        wait_until_ready(host, device, addr)?;
    }
    Ok(Link {
        a: (a.clone(), dev_a),
        b: (b.clone(), dev_b),
    })
}

/// A bridge inside `router` with a veth pair to each member.
pub(crate) fn lan(
    router: &Host,
    addr: &str,
    members: &[(&Host, &str)],
) -> Result<Vec<Link>, Error> {
    let bridge = router.next_device("lan");
    // Without forward_delay 0 a bridge listens for 15 s before a new port carries anything.
    let mut at_router = format!("link add {bridge} type bridge forward_delay 0 mcast_snooping 0\n");
    configure(&mut at_router, &bridge, addr);
    router.ip(&at_router)?;
    let mut links = Vec::new();
    for (member, addr) in members {
        let mut link = veth(router, "", member, addr)?;
        router.ip(&format!("link set dev {} master {bridge}", link.a.1))?;
        link.a.1.clone_from(&bridge);
        links.push(link);
    }
    wait_until_ready(router, &bridge, addr)?;
    Ok(links)
}

/// Waits until a device speaks IPv6, if it has such an address: not before it has its link-local
/// address does it hear its neighbours' questions.
fn wait_until_ready(host: &Host, device: &str, addresses: &str) -> Result<(), Error> {
    if !addresses.contains(':') {
        return Ok(());
    }
    wait_for_row(host, "if_inet6", device, |row| is_link_local(row, device))
}

/// Waits until a device is there that a program makes.
pub(crate) fn wait_for_device(host: &Host, device: &str) -> Result<(), Error> {
    let start = format!("{device}:");
    wait_for_row(host, "dev", device, |row| {
        row.trim_start().starts_with(&start)
    })
}

/// Waits for a row of a table of `/proc/net`, as it is inside the host.
fn wait_for_row(
    host: &Host,
    table: &str,
    device: &str,
    is_it: impl Fn(&str) -> bool + Sync,
) -> Result<(), Error> {
    let deadline = Instant::now() + READY;
    let found = host.inside(|| {
        while Instant::now() < deadline {
            // `/proc/net` would be the main thread's namespace.
            let path = format!("/proc/thread-self/net/{table}");
            if fs::read_to_string(path)
                .unwrap_or_default()
                .lines()
                .any(&is_it)
            {
                return true;
            }
            thread::sleep(Duration::from_micros(500));
        }
        false
    })?;
    if found {
        return Ok(());
    }
    let name = host.name();
    Err(Error::new(format!(
        "{device} of {name} is not ready after {READY:?}: see {table}"
    )))
}

/// `fe80…70c7 02 40 20 80 eth0`: address, index, prefix, scope, flags, device.
fn is_link_local(row: &str, device: &str) -> bool {
    let words: Vec<&str> = row.split_whitespace().collect();
    let [address, _, _, _, flags, name] = words[..] else {
        return false;
    };
    let tentative = u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & 0x40 != 0);
    address.starts_with("fe80") && name == device && !tentative
}

/// A device that does not speak by then will not; the slow round of the kernel is one second.
const READY: Duration = Duration::from_secs(5);

/// The `ip` commands that give a device its addresses and bring it up.
pub(crate) fn configure(commands: &mut String, device: &str, addresses: &str) {
    for address in addresses.split_whitespace() {
        // Duplicate detection would hold an IPv6 address back for a second or two.
        let nodad = if address.contains(':') { "nodad" } else { "" };
        let _ = writeln!(commands, "addr add {address} dev {device} {nodad}");
    }
    let _ = writeln!(commands, "link set dev {device} up");
}
