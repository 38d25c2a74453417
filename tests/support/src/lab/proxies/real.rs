//! Real proxy programs, a real balancer, a real STUN server and a real router's daemon, each with a configuration of its own in a folder of its own.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use msnp9_conntype::packet::stun;
use tempfile::TempDir;

use super::{Error, Host, Process, wait_for_port};
use crate::tool::file;

/// A running program; it ends and its folder goes when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    /// Where clients dial it.
    pub addr: SocketAddr,
    /// The program, for its log.
    pub process: Process,
    _folder: Option<TempDir>,
}

/// What a proxy asks its clients for: user and password.
#[derive(Debug, Clone, Copy)]
pub struct Login<'a> {
    /// The user's name.
    pub user: &'a str,
    /// The password.
    pub password: &'a str,
}

/// Starts microsocks: SOCKS5 (RFC 1928), with user and password (RFC 1929) if `login` is given.
///
/// # Errors
///
/// When it does not listen within thirty seconds; with what it said.
pub fn microsocks(host: &Host, addr: SocketAddr, login: Option<Login<'_>>) -> Result<Proxy, Error> {
    let mut command = host.command("microsocks");
    command
        .arg("-i")
        .arg(addr.ip().to_string())
        .arg("-p")
        .arg(addr.port().to_string());
    if let Some(Login { user, password }) = login {
        command.args(["-u", user, "-P", password]);
    }
    ready(host, addr, Process::start(command)?, None)
}

/// Starts Dante: SOCKS4 and SOCKS5 without a password, to any port.
///
/// `outside` is the address it dials from. Its port is the client's own where that is free, so a
/// server sees the port that the client's socket has.
///
/// # Errors
///
/// When it does not listen within thirty seconds; with what it said.
pub fn dante(host: &Host, addr: SocketAddr, outside: IpAddr) -> Result<Proxy, Error> {
    let folder = tempfile::tempdir()?;
    let (ip, port) = (addr.ip(), addr.port());
    let config = file(
        &folder,
        "danted.conf",
        format!(
            "logoutput: stderr
internal: {ip} port = {port}
external: {outside}
clientmethod: none
socksmethod: none
user.privileged: root
user.unprivileged: nobody
client pass {{
    from: 0/0 to: 0/0
}}
socks pass {{
    from: 0/0 to: 0/0
    protocol: tcp
    proxyprotocol: socks_v4 socks_v5
    log: connect error
}}
"
        ),
    );
    let mut command = host.command("danted");
    // One server process; without -p it would write to /run.
    command
        .args(["-N", "1", "-p"])
        .arg(folder.path().join("pid"))
        .arg("-f")
        .arg(config);
    command.env("TMPDIR", folder.path());
    ready(host, addr, Process::start(command)?, Some(folder))
}

/// Starts tinyproxy: HTTP CONNECT to any port, with a password (Basic) if `login` is given.
///
/// # Errors
///
/// When it does not listen within thirty seconds; with what it said.
pub fn tinyproxy(host: &Host, addr: SocketAddr, login: Option<Login<'_>>) -> Result<Proxy, Error> {
    let folder = tempfile::tempdir()?;
    let (ip, port) = (addr.ip(), addr.port());
    let auth = login.map(|Login { user, password }| format!("BasicAuth {user} {password}\n"));
    // Without a ConnectPort line it allows every port, without LogFile it logs to stdout.
    let config = file(
        &folder,
        "tinyproxy.conf",
        format!(
            "Port {port}\nListen {ip}\nTimeout 600\nMaxClients 100\nLogLevel Info\n{}",
            auth.unwrap_or_default()
        ),
    );
    let mut command = host.command("tinyproxy");
    command.arg("-d").arg("-c").arg(config);
    ready(host, addr, Process::start(command)?, Some(folder))
}

/// Starts HAProxy with this configuration, which makes it listen at an address.
///
/// # Errors
///
/// When it does not listen within thirty seconds; with what it said.
pub fn haproxy(host: &Host, addr: SocketAddr, config: &str) -> Result<Proxy, Error> {
    let folder = tempfile::tempdir()?;
    let config = file(&folder, "haproxy.cfg", config);
    let mut command = host.command("haproxy");
    command.arg("-db").arg("-f").arg(config);
    ready(host, addr, Process::start(command)?, Some(folder))
}

/// Starts coturn as a STUN server at two addresses (RFC 5780), with the ports 3478 and 3479.
///
/// # Errors
///
/// When it does not answer within thirty seconds.
pub fn coturn(host: &Host, addresses: [IpAddr; 2]) -> Result<Proxy, Error> {
    let folder = tempfile::tempdir()?;
    let mut command = host.command("turnserver");
    command.args(["-n", "--no-auth", "--no-tls", "--no-dtls", "--no-cli"]);
    command.args(["--listening-port=3478", "--alt-listening-port=3479"]);
    for ip in addresses {
        command.arg(format!("--listening-ip={ip}"));
    }
    for (option, name) in [("pidfile", "pid"), ("userdb", "db"), ("log-file", "log")] {
        command.arg(format!("--{option}={}", folder.path().join(name).display()));
    }
    let addr = SocketAddr::new(addresses[1], 3479);
    let server = ready(host, addr, Process::start(command)?, Some(folder))?;
    answers_from_elsewhere(host, SocketAddr::new(addresses[0], 3478), addr)?;
    Ok(server)
}

/// Waits until a STUN server that is asked at `asked` answers from `other`.
///
/// coturn listens before it creates its database, and answers nothing until that is on the disk.
fn answers_from_elsewhere(host: &Host, asked: SocketAddr, other: SocketAddr) -> Result<(), Error> {
    let request = stun::request([0; 12], Some(stun::Change::Both));
    let deadline = Instant::now() + READY;
    let answered = host.inside(|| {
        let socket = UdpSocket::bind((asked.ip(), 0))?;
        socket.set_read_timeout(Some(TURN))?;
        while Instant::now() < deadline {
            socket.send_to(&request, asked)?;
            if matches!(socket.recv_from(&mut [0; 1500]), Ok((_, from)) if from == other) {
                return Ok(true);
            }
        }
        Ok::<_, io::Error>(false)
    })?;
    match answered? {
        true => Ok(()),
        false => Err(Error::new(format!(
            "the STUN server does not answer from {other} within {READY:?}"
        ))),
    }
}

/// Starts miniupnpd on a router: UPnP IGD, NAT-PMP and PCP for hosts of the link of `inside`, which
/// has the address `ip`, with these lines in its configuration as well. The other side is a device with a
/// public address; it lets in what it opened, and no other new connection.
///
/// # Errors
///
/// When it does not listen within thirty seconds; with what it said.
pub fn miniupnpd(
    router: &Host,
    (inside, ip): (&str, IpAddr),
    (device, outside): (&str, IpAddr),
    line: &str,
) -> Result<Proxy, Error> {
    router.nft(&format!(
        "table inet upnp {{
            chain forward {{
                type filter hook forward priority filter;
                jump opened
                iifname {device} ct state new drop
            }}
            chain opened {{ }}
            chain prerouting {{
                type nat hook prerouting priority dstnat;
                jump opened_in
            }}
            chain opened_in {{ }}
            chain postrouting {{
                type nat hook postrouting priority srcnat;
                jump opened_out
            }}
            chain opened_out {{ }}
        }}"
    ))?;
    let folder = tempfile::tempdir()?;
    let config = file(
        &folder,
        "miniupnpd.conf",
        format!(
            "ext_ifname={device}\next_ip={outside}\nlistening_ip={inside}\nport=5000\n{line}\n\
             enable_upnp=yes\nsecure_mode=yes\nmin_lifetime=10\nmax_lifetime=86400\n\
             upnp_table_name=upnp\nupnp_nat_table_name=upnp\nupnp_forward_chain=opened\n\
             upnp_nat_chain=opened_in\nupnp_nat_postrouting_chain=opened_out\n\
             uuid=00000000-0000-4000-8000-000000000001\n\
             allow 1024-65535 0.0.0.0/0 1024-65535\ndeny 0-65535 0.0.0.0/0 0-65535\n"
        ),
    );
    let mut command = router.command("miniupnpd");
    command.arg("-d").arg("-f").arg(config);
    command.arg("-P").arg(folder.path().join("pid"));
    let addr = SocketAddr::new(ip, 5000);
    ready(router, addr, Process::start(command)?, Some(folder))
}

/// A program that does not listen by then will not, even where it waits for a slow disk.
const READY: Duration = Duration::from_secs(30);

/// How long to look for its port before looking whether it still runs.
const TURN: Duration = Duration::from_millis(20);

fn ready(
    host: &Host,
    addr: SocketAddr,
    mut process: Process,
    folder: Option<TempDir>,
) -> Result<Proxy, Error> {
    let deadline = Instant::now() + READY;
    while let Err(e) = wait_for_port(host, addr, TURN) {
        let ended = process.try_wait()?;
        if ended.is_some() || Instant::now() > deadline {
            let (stdout, stderr) = (process.stdout(), process.stderr());
            return Err(Error::new(format!(
                "{e}; the proxy: {ended:?}\n{stdout}\n{stderr}"
            )));
        }
    }
    Ok(Proxy {
        addr,
        process,
        _folder: folder,
    })
}
