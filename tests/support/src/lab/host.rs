//! One host of the lab: a network namespace and what can be done inside it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::panic::resume_unwind;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use super::{Error, Process, process, socket};

/// Where `ip netns` keeps its namespaces.
pub(crate) const NAMESPACES: &str = "/run/netns";

/// Where `ip netns exec` looks for files to lay over those of `/etc`.
pub(crate) const ETC: &str = "/etc/netns";

/// A network namespace of a [`Lab`](super::Lab). A clone is the same host.
#[derive(Debug, Clone)]
pub struct Host(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    namespace: String,
    /// How many devices were named; device names are unique within their host only.
    devices: AtomicU32,
}

impl Host {
    pub(crate) fn create(name: &str, namespace: &str) -> Result<Self, Error> {
        let mut command = Command::new("ip");
        command.args(["netns", "add", namespace]);
        process::run(command, None)?;
        let (name, namespace) = (name.to_owned(), namespace.to_owned());
        Ok(Self(Arc::new(Inner {
            name,
            namespace,
            devices: AtomicU32::new(0),
        })))
    }

    /// Prepares a new namespace; apart from its creation, so that a failure here leaves none.
    pub(crate) fn settle(&self) -> Result<(), Error> {
        // Until duplicate detection is through with a link-local address, some two seconds, an IPv6
        // router does not ask for its neighbours.
        self.sysctl("net.ipv6.conf.default.accept_dad", "0")?;
        // There is nobody to advertise routes, and the questions would only be noise on the wires.
        self.sysctl("net.ipv6.conf.default.router_solicitations", "0")?;
        self.ip("link set lo up")
    }

    /// The name given to [`Lab::host`](super::Lab::host).
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The namespace's name, for `ip netns exec NAME …`.
    pub fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// Sends everything without a better route to `via`, of either family.
    ///
    /// # Errors
    ///
    /// When `via` is not on a link of this host.
    pub fn route_default(&self, via: &str) -> Result<(), Error> {
        self.route("default", via)
    }

    /// Sends `prefix` to `via`, which is an address on a link or `dev DEVICE`.
    ///
    /// Everything in IPv6 by `dev DEVICE` is `::/0`, for `default` would mean IPv4 there.
    ///
    /// # Errors
    ///
    /// When `via` is not reachable directly.
    pub fn route(&self, prefix: &str, via: &str) -> Result<(), Error> {
        let via = if via.starts_with("dev ") {
            via.to_owned()
        } else {
            format!("via {via}")
        };
        self.ip(&format!("route add {prefix} {via}"))
    }

    /// Makes this host a router, for both families.
    ///
    /// # Errors
    ///
    /// When the kernel has no such setting.
    pub fn forward(&self) -> Result<(), Error> {
        self.sysctl("net.ipv4.ip_forward", "1")?;
        self.sysctl("net.ipv6.conf.all.forwarding", "1")
    }

    /// Loads an nftables ruleset, in addition to what is loaded.
    ///
    /// Mind that nft 1.0 wants a line end between two closing braces.
    ///
    /// # Errors
    ///
    /// With what `nft` says about the ruleset.
    pub fn nft(&self, ruleset: &str) -> Result<(), Error> {
        let mut command = self.command("nft");
        command.args(["-f", "-"]);
        process::run(command, Some(ruleset)).map(drop)
    }

    /// Sets a kernel parameter below `net.`, as in `sysctl -w`.
    ///
    /// # Errors
    ///
    /// When there is no such parameter or it refuses the value.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<(), Error> {
        let file = Path::new("/proc/sys").join(key.replace('.', "/"));
        // `/proc/sys/net` shows the namespace of the thread that opens it.
        self.inside(|| fs::write(&file, value))?
            .map_err(Error::at(format!("{key} = {value}")))
    }

    /// Adds an address to a device of this host (see [`Link`](super::Link) for its name).
    ///
    /// # Errors
    ///
    /// When it is not an address, or is there already.
    pub fn add_address(&self, device: &str, address: &str) -> Result<(), Error> {
        let nodad = if address.contains(':') { " nodad" } else { "" };
        self.ip(&format!("addr add {address} dev {device}{nodad}"))
    }

    /// Runs `ip` commands inside the host, one a line, without the word `ip`.
    ///
    /// # Errors
    ///
    /// With what `ip` says; the commands before the failing one were carried out.
    pub fn ip(&self, commands: &str) -> Result<(), Error> {
        let mut command = Command::new("ip");
        command.args(["-n", self.namespace(), "-batch", "-"]);
        process::run(command, Some(commands)).map(drop)
    }

    /// Lays a file over `/etc/FILE` for the commands of this host: `hosts`, `resolv.conf`.
    ///
    /// Only [`command`](Self::command) and [`spawn`](Self::spawn) see it, not this process, and
    /// only if `/etc/FILE` exists.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn etc(&self, file: &str, text: &str) -> Result<(), Error> {
        let folder = Path::new(ETC).join(self.namespace());
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(file), text).map_err(Error::at(folder.join(file).display()))
    }

    /// A command that will run inside the host, with the environment and folder of this process.
    ///
    /// It goes through `ip netns exec`, which becomes the program: the process id, the signals and
    /// the exit code are the program's own. It costs 1 ms. A program that does not exist is not an
    /// error of `spawn` but an exit code of 255.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", self.namespace()])
            .arg(program);
        command
    }

    /// Starts a program inside the host; it and its process group end with the guard.
    ///
    /// For an environment or a folder of its own, give a [`command`](Self::command) to
    /// [`Process::start`].
    ///
    /// # Errors
    ///
    /// When no process can be started.
    pub fn spawn<A: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = A>,
    ) -> Result<Process, Error> {
        let mut command = self.command(program);
        command.args(args);
        Process::start(command)
    }

    /// Does a job in a thread of this process that is inside the host, and waits for it.
    ///
    /// Sockets that it makes stay inside when they come back, so a test can listen on one host and
    /// dial from another. A thread that the job starts is inside, too.
    ///
    /// # Errors
    ///
    /// When the namespace is gone or may not be entered. A panic of the job goes on here.
    pub fn inside<T: Send>(&self, job: impl FnOnce() -> T + Send) -> Result<T, Error> {
        let path = Path::new(NAMESPACES).join(self.namespace());
        let namespace = File::open(&path).map_err(Error::at(path.display()))?;
        thread::scope(|scope| {
            let done = scope.spawn(|| {
                // The thread ends here, so it need not find its way back.
                setns(&namespace, CloneFlags::CLONE_NEWNET)
                    .map_err(Error::at(format!("cannot enter {}", path.display())))?;
                Ok(job())
            });
            done.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// Listens on an address inside the host.
    ///
    /// # Errors
    ///
    /// When the address is not the host's, or is in use.
    pub fn listen(&self, addr: SocketAddr) -> Result<TcpListener, Error> {
        self.inside(|| TcpListener::bind(addr))?
            .map_err(self.at("listen", addr))
    }

    /// Binds a UDP socket inside the host.
    ///
    /// # Errors
    ///
    /// When the address is not the host's, or is in use.
    pub fn udp(&self, addr: SocketAddr) -> Result<UdpSocket, Error> {
        self.inside(|| UdpSocket::bind(addr))?
            .map_err(self.at("bind", addr))
    }

    /// Connects from inside the host; the [`io::Error`] is the kernel's own.
    ///
    /// # Errors
    ///
    /// Whatever the network path says: refused, unreachable, timed out.
    pub fn connect(&self, to: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        self.inside(|| TcpStream::connect_timeout(&to, timeout))
            .map_err(io::Error::other)?
    }

    /// Connects from a chosen local port, which several connections to different addresses can
    /// share: so a test sees whether a NAT maps one inside port to one outside port.
    ///
    /// # Errors
    ///
    /// Whatever the network path says; `AddrInUse` when the port is taken toward this address.
    pub fn connect_from(
        &self,
        port: u16,
        to: SocketAddr,
        timeout: Duration,
    ) -> io::Result<TcpStream> {
        self.inside(|| socket::connect_from(port, to, timeout))
            .map_err(io::Error::other)?
    }

    /// A device name that this host has not had yet, at most 15 characters.
    pub(crate) fn next_device(&self, peer: &str) -> String {
        format!("{peer}{}", self.0.devices.fetch_add(1, Ordering::Relaxed))
    }

    fn at(&self, what: &str, addr: SocketAddr) -> impl FnOnce(io::Error) -> Error {
        Error::at(format!("{what} {addr} on {}", self.name()))
    }
}
