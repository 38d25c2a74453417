//! Where the commands of a document run: on a computer behind a home router, in a folder with the files
//! that the document takes for granted, with `ms.example.net` outside.
//!
//! The computer is a namespace of the lab (192.168.1.5, seen as 203.0.113.7) with an `/etc/hosts`, a
//! `/usr/local/bin` and a `/var/lib` of its own. Outside are `serve` with Passport and the gateway, and
//! two proxies. Without a lab, commands run on this host.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;
use support::capture::{RAW, Talk, pcap};
use support::lab::proxies::{Login, Proxy, microsocks, tinyproxy};
use support::lab::{Error, Topology, topology};
use support::{Process, Run, Serve, TOOL};
use tempfile::TempDir;

use crate::ROOT;

/// The order of the fields is that of the drops, here and below.
pub(crate) struct World {
    /// What a document started that does not end by itself.
    background: Option<Process>,
    lab: Option<Lab>,
    folder: TempDir,
}

struct Lab {
    _proxies: [Proxy; 2],
    server: Serve,
    net: Topology,
}

const HOSTS: &str = "127.0.0.1 localhost
203.0.113.80 ms.example.net gateway.example
203.0.113.81 second.example.net proxy.example
";

/// The usual answer to every question that a login asks.
pub(crate) const PASSWORD: &str = "secret";

/// A watch checks once.
static EVERY: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"--every \S+").expect("a pattern"));
static COUNT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r" --count \d+").expect("a pattern"));

/// How long a command may take.
const PATIENCE: &str = "30";

/// A session of this computer, as tcpdump would write it.
fn session() -> Vec<u8> {
    let talk = Talk::session(
        "192.168.1.5:46412",
        "203.0.113.80:1863",
        "203.0.113.7",
        "19637",
    );
    pcap(RAW, &talk.packets, usize::MAX)
}

/// A profile as a server sends it.
const PROFILE: &str = "MIME-Version: 1.0\r\nContent-Type: text/x-msmsgsprofile; charset=UTF-8\r\n\
    ClientIP: 203.0.113.7\r\nClientPort: 8904\r\n\r\n";

/// What root changes in a system is not done.
const SUDO: &str = r#"
[ "$1" = -E ] && shift
case $1 in cargo | msnp9-conntype) exec "$@" ;; esac
"#;

/// Runs the built binary in place of the image, with the files of `conf` in place of `/conf`.
const PODMAN: &str = r#"
case $1 in
    build) exec [ -f "$ROOT/$3" ] ;;
    run) until [ "$1" = msnp9-conntype ]; do shift; done ;;
    *) echo "podman $1 is not known" >&2; exit 1 ;;
esac
for word; do
    shift
    case $word in /conf/*) word=${word#/} ;; esac
    set -- "$@" "$word"
done
exec "$@"
"#;

/// Stands for cargo: runs the built binary, and checks that a target exists.
const CARGO: &str = r#"
command=$1; shift
case $command in
    run) [ "$1" = -- ] && shift; exec msnp9-conntype "$@" ;;
    fmt | clippy | build | deny) ;;
    install)
        # A version that is named is the one that is used here.
        for word; do
            [ "$option" != --version ] || grep -q "^version = \"$word\"" "$ROOT/Cargo.lock" || exit 1
            option=$word
        done ;;
    test | bench)
        for word; do
            case $option in
                --bench) grep -qx "name = \"$word\"" "$ROOT/Cargo.toml" ;;
                --test) [ -f "$ROOT/tests/$word/main.rs" ] ;;
            esac || { echo "cargo $command: there is no $option $word" >&2; exit 1; }
            option=$word
        done ;;
    *) echo "cargo $command is not known" >&2; exit 1 ;;
esac
"#;

impl World {
    pub(crate) fn new(with_lab: bool) -> Result<Self, Error> {
        let folder = tempfile::tempdir()?;
        let lab = with_lab.then(Lab::new).transpose()?;
        let world = Self {
            folder,
            background: None,
            lab,
        };
        for name in [
            "bin",
            "var/prometheus/node-exporter",
            "var/msnp9",
            "scripts",
            ".ci",
        ] {
            fs::create_dir_all(world.path(name))?;
        }
        symlink(&*TOOL, world.path("bin/msnp9-conntype"))?;
        world.program("bin/cargo", CARGO)?;
        world.program("bin/sudo", SUDO)?;
        world.program("bin/podman", PODMAN)?;
        for name in ["journalctl", "rustup", "sudoedit"] {
            world.program(&format!("bin/{name}"), "")?;
        }
        // What schemas say of documents is tested where documents are made.
        world.program(
            "bin/check-jsonschema",
            "[ \"$1\" = --schemafile ] && cat \"$2\" \"$3\" | jq -e . > checked\n",
        )?;
        // The scripts of the repository exist; what they do is not done here.
        for directory in ["scripts", ".ci"] {
            for entry in fs::read_dir(Path::new(ROOT).join(directory))? {
                let name = entry?.file_name();
                world.program(&format!("{directory}/{}", name.to_string_lossy()), "")?;
            }
        }
        world.write("saved.txt", PROFILE)?;
        world.write("session.pcap", session())?;
        world.write(
            "invitation.txt",
            "NetID: 124846283\r\nConn-Type: IP-Restrict-NAT\r\n",
        )?;
        let names = vec!["ms.example.net".to_owned()];
        let own = rcgen::generate_simple_self_signed(names).expect("a certificate");
        world.write("chain.pem", own.cert.pem())?;
        world.write("key.pem", own.signing_key.serialize_pem())?;
        world.write("var/msnp9/password", PASSWORD)?;
        Ok(world)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> Result<(), Error> {
        Ok(fs::write(self.path(name), text)?)
    }

    fn program(&self, name: &str, script: &str) -> Result<(), Error> {
        self.write(name, format!("#!/bin/sh\n{script}"))?;
        Ok(fs::set_permissions(
            self.path(name),
            fs::Permissions::from_mode(0o755),
        )?)
    }

    /// Words that start a script inside this world, and the variables for it.
    pub(crate) fn shell(
        &self,
        shell: &[&str],
        script: &str,
    ) -> (Vec<String>, Vec<(String, String)>) {
        let at = |name: &str| self.path(name).to_string_lossy().into_owned();
        let mut words: Vec<String> = Vec::new();
        let mut bin = format!("{}:", at("bin"));
        if let Some(lab) = &self.lab {
            let inside = "mount --bind \"$HOME/bin\" /usr/local/bin && mount --bind \"$HOME/var\" /var/lib && exec \"$@\"";
            words.extend(["ip", "netns", "exec", lab.net.client.namespace()].map(str::to_owned));
            words.extend(["sh", "-ec", inside, "sh"].map(str::to_owned));
            bin.clear();
        }
        words.extend(["timeout", "--foreground", PATIENCE].map(str::to_owned));
        words.extend(shell.iter().map(|word| (*word).to_owned()));
        let script = COUNT.replace_all(script, "");
        words.push(EVERY.replace_all(&script, "$0 --count 1").into_owned());
        let mut variables: Vec<(String, String)> = [
            ("HOME", at("")),
            (
                "PATH",
                format!("{bin}/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"),
            ),
            ("ROOT", ROOT.to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            ("TERM", "xterm".to_owned()),
            ("GITHUB_STEP_SUMMARY", at("summary.md")),
            ("MSNP9_SERVER", "ms.example.net".to_owned()),
            ("MSNP9_USER", "me@example.net".to_owned()),
            ("MSNP9_PASSWORD", PASSWORD.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        if let Some(lab) = &self.lab {
            let file = lab.server.ca_file().to_string_lossy().into_owned();
            variables.push(("MSNP9_CA_FILE".to_owned(), file));
        }
        (words, variables)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, shell: &[&str], script: &str) -> Command {
        let (words, variables) = self.shell(shell, script);
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .env_clear()
            .envs(variables)
            .current_dir(self.folder());
        command
    }

    /// Runs a script to its end.
    pub(crate) fn run(&self, shell: &[&str], script: &str) -> Result<Run, Error> {
        let process = Process::start(self.command(shell, script))?;
        let run = Run::from(process.finish(Duration::from_secs(40))?);
        self.write("stdout", &run.stdout)?;
        Ok(run)
    }

    /// Runs a script that ends with `serve` until it has printed `enough`; its lines until then, of
    /// both streams. It runs on, until the document ends or starts another.
    pub(crate) fn serve(
        &mut self,
        shell: &[&str],
        script: &str,
        enough: impl Fn(&[String]) -> bool,
    ) -> Result<Vec<String>, Error> {
        self.background = None;
        let process = Process::start(self.command(shell, &format!("exec 1>&2\n{script}")))?;
        let (mut lines, mut read) = (Vec::new(), 0);
        while !enough(&lines) {
            let (line, end) = process.stderr_line(Duration::from_secs(10), read, |_| true)?;
            lines.push(line);
            read = end;
        }
        self.background = Some(process);
        Ok(lines)
    }
}

impl Lab {
    fn new() -> Result<Self, Error> {
        let net = topology::masquerade()?;
        // Enough of them that two numbers of one block are hardly ever the same by chance.
        net.client
            .sysctl("net.ipv4.ip_local_port_range", "32768 60999")?;
        for host in [&net.client, &net.server] {
            host.etc("hosts", HOSTS)?;
        }
        let mut command = net.server.command(&*TOOL);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
        let options = [
            ["--listen", "0.0.0.0:1863"],
            ["--passport-listen", "0.0.0.0:443"],
            ["--gateway-listen", "0.0.0.0:80"],
            ["--tls-name", "ms.example.net"],
            ["--tls-name", "second.example.net"],
            ["--passport-host", "ms.example.net"],
        ];
        let options = [&options.concat()[..], &["--open"]].concat();
        let server = Serve::start_by(command, &options)?;
        let proxy = |port| std::net::SocketAddr::new(net.servers[1], port);
        let login = Login {
            user: "user",
            password: "password",
        };
        let proxies = [
            microsocks(&net.server, proxy(1080), None)?,
            tinyproxy(&net.server, proxy(3128), Some(login))?,
        ];
        Ok(Self {
            _proxies: proxies,
            server,
            net,
        })
    }
}
