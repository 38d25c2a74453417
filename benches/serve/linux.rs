//! The measurements.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use rustls::client::Resumption;
use support::authority::Authority;
use support::client::tls;
use support::vitals::{Vitals, max_open_files, processor_time};
use support::{Outcome, Serve, file, text};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::floor;
use crate::load::{Kind, RESUMED, Target, one_account};

/// Sessions that are open while the memory is measured.
const SESSIONS: [usize; 5] = [1, 100, 1000, 10_000, 20_000];

/// Descriptors of this process and of the server that are not sessions.
const SPARE: usize = 300;

/// Fresh logins of which the median and the 99th percentile are taken.
const FRESH: usize = 400;

/// Rounds, and logins of each, unless told otherwise: many and short ones, so that some are undisturbed.
const ROUNDS: usize = 41;
const LOGINS: usize = 1000;

struct Bench {
    authority: Authority,
    dir: TempDir,
    rounds: usize,
    logins: usize,
    is_good: bool,
}

pub(crate) fn run() -> Outcome<ExitCode> {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let first = args.next();
    if first.as_deref() == Some("floor") {
        let dir = args.next().ok_or("no directory")?;
        floor::run(Path::new(&dir))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut bench = Bench {
        authority: Authority::generate(),
        dir: tempfile::tempdir()?,
        rounds: first.map_or(Ok(ROUNDS), |text| text.parse())?,
        logins: args.next().map_or(Ok(LOGINS), |text| text.parse())?,
        is_good: true,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        bench.speed().await?;
        bench.memory().await?;
        bench.balancer().await
    })?;
    Ok(match bench.is_good {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

impl Bench {
    fn serve(&self, options: &[&str]) -> Serve {
        let (chain, key) = self.authority.files("server", &["127.0.0.1"]);
        let mut all = vec!["-q", "--open", "--max-per-address", "100000"];
        all.extend(["--max-connections", "100000"]);
        all.extend(["--tls-cert", text(&chain), "--tls-key", text(&key)]);
        all.extend(options);
        Serve::start(&all)
    }

    fn target(&self, session: SocketAddr, page: SocketAddr) -> Outcome<Target> {
        let pem = fs::read(self.authority.file())?;
        let tls = tls(&pem, rustls::ALL_VERSIONS);
        Ok(Target { session, page, tls })
    }

    /// Says whether a figure is as it should be.
    fn judge(&mut self, what: &str, figure: f64, is_good: bool, limit: &str) {
        self.is_good &= is_good;
        let verdict = if is_good { "" } else { "  MISSED" };
        println!("{what:<58}{figure:>9.2}  ({limit}){verdict}");
    }

    /// Logins a second, beside the floor. Clients and servers share one core: on another one, a server
    /// that needs less time than its clients sleeps more often, and sleeping takes processor time too.
    async fn speed(&mut self) -> Outcome<()> {
        let this = Pid::from_raw(0);
        let all = sched_getaffinity(this)?;
        let mut one = CpuSet::new();
        let first = (0..CpuSet::count()).find(|core| all.is_set(*core) == Ok(true));
        one.set(first.ok_or("no core")?)?;
        sched_setaffinity(this, &one)?;
        self.speed_of_logins().await?;
        Ok(sched_setaffinity(this, &all)?)
    }

    async fn speed_of_logins(&mut self) -> Outcome<()> {
        let serve = self.serve(&[]);
        let ours = self.target(serve.at("notification"), serve.at("passport"))?;
        let (page, ticket) = ours.ticket(&one_account(), Ipv4Addr::LOCALHOST).await?;
        let replies = ours.replies(&ticket).await?;
        let floor = Floor::start(&self.dir, &self.authority, &replies, page.as_bytes())?;
        let bare = self.target(floor.session, floor.page)?;
        let tuned = self.target(floor.session, floor.tuned_page)?;
        for (name, is_whole, resumes) in [
            ("ticket in hand", false, false),
            ("whole login, a handshake each", true, false),
            ("whole login, sessions of TLS resumed", true, true),
        ] {
            let [ours, bare, tuned] = [&ours, &bare, &tuned].map(|target| target.resuming(resumes));
            let count = if is_whole {
                self.logins / 2
            } else {
                self.logins
            };
            let floor = floor.process.id();
            let pairs = [(serve.pid(), &ours), (floor, &bare), (floor, &tuned)];
            // The settings of TLS make no difference without it.
            let pairs = if is_whole { &pairs[..] } else { &pairs[..2] };
            let mut costs = [Vec::new(), Vec::new(), Vec::new()];
            let mut resumed = [0; 3];
            RESUMED.set(0);
            for _ in 0..self.rounds {
                let kind = match is_whole {
                    true => Kind::Whole,
                    false => ours.tickets().await?,
                };
                for (at, (pid, target)) in pairs.iter().enumerate() {
                    costs[at].push(cost(*pid, target, &kind, count).await?);
                    resumed[at] += RESUMED.take();
                }
            }
            let [to_bare, to_tuned] = [1, 2].map(|floor| speed(&costs[0], &costs[floor]));
            let [ours, bare, _] = costs.map(|costs| 1e6 * undisturbed(costs));
            println!(
                "{name}: {ours:.0} us of processor time a login, the floor {bare:.0} us; one core \
                 carries {:.0} logins a second",
                1e6 / ours
            );
            if is_whole {
                println!("  of a floor's with the same suite and tickets {to_tuned:>22.2}");
            }
            if resumes {
                let [ours, bare, tuned] =
                    resumed.map(|resumed| resumed as f64 / (self.rounds * count) as f64);
                println!(
                    "  TLS sessions resumed, of all: {ours:.2}; of the floors' {bare:.2} and {tuned:.2}"
                );
            }
            let (what, is_good) = ("  speed, of the floor's", to_bare >= 0.9);
            self.judge(what, to_bare, is_good, "0.90 at least");
        }
        Ok(())
    }

    /// Memory of a session, and logins while many are idle.
    async fn memory(&mut self) -> Outcome<()> {
        let serve = self.serve(&[]);
        let target = self.target(serve.at("notification"), serve.at("passport"))?;
        let empty = quantiles(&target).await?;
        let most = usize::try_from(max_open_files()?)?.saturating_sub(SPARE);
        let before = Vitals::of(serve.pid())?.memory_kib;
        let mut sessions: Vec<TcpStream> = Vec::new();
        for wanted in SESSIONS {
            let wanted = wanted.min(most);
            while sessions.len() < wanted {
                sessions.push(target.one().await?);
            }
            let grown = Vitals::of(serve.pid())?.memory_kib.saturating_sub(before);
            let each = grown as f64 / sessions.len() as f64;
            let what = format!("{wanted} sessions: memory of each, KiB");
            // Of few, what the server takes once is the larger part.
            let is_good = each <= 2.5 || wanted < 1000;
            self.judge(&what, each, is_good, "2.50 at most, of 1,000 and more");
        }
        let full = quantiles(&target).await?;
        println!(
            "fresh login: median {:.2} ms, p99 {:.2} ms; with {} idle {:.2} ms and {:.2} ms",
            empty.0,
            empty.1,
            sessions.len(),
            full.0,
            full.1
        );
        let ratio = full.1 / empty.0;
        self.judge(
            "  p99 while idle ones are there, of the empty median",
            ratio,
            ratio <= 3.0,
            "3.00 at most",
        );
        Ok(())
    }

    /// The same through HAProxy.
    async fn balancer(&self) -> Outcome<()> {
        if Command::new("haproxy")
            .arg("-v")
            .stdout(Stdio::null())
            .status()
            .is_err()
        {
            println!("skipped: logins through HAProxy, which is not installed");
            return Ok(());
        }
        let serve = self.serve(&["--proxy-protocol-from", "127.0.0.1"]);
        let direct = self.serve(&[]);
        let plain = self.target(direct.at("notification"), direct.at("passport"))?;
        let balancer = Balancer::start(&self.dir, serve.at("notification"), serve.at("passport"))?;
        let through = self.target(balancer.session, balancer.page)?;
        let (mut costs, mut straight, mut own) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            let count = self.logins / 2;
            costs.push(cost(serve.pid(), &through, &Kind::Whole, count).await?);
            own.push(cost(balancer.process.id(), &through, &Kind::Whole, count).await?);
            straight.push(cost(direct.pid(), &plain, &Kind::Whole, count).await?);
        }
        let ratio = speed(&costs, &straight);
        let [costs, own] = [costs, own].map(undisturbed);
        println!(
            "whole login through HAProxy: {:.0} us of the server, {:.0} us of HAProxy",
            1e6 * costs,
            1e6 * own
        );
        println!("  speed of the server, of a direct login's {ratio:>35.2}");
        let (there, here) = (quantiles(&through).await?, quantiles(&plain).await?);
        println!(
            "fresh login through HAProxy: median {:.2} ms, p99 {:.2} ms; direct {:.2} ms and {:.2} ms",
            there.0, there.1, here.0, here.1
        );
        Ok(())
    }
}

impl Target {
    /// With or without resumption of TLS sessions.
    fn resuming(&self, resumes: bool) -> Self {
        let mut config = (*self.tls).clone();
        config.resumption = match resumes {
            true => Resumption::in_memory_sessions(64),
            false => Resumption::disabled(),
        };
        Self {
            tls: Arc::new(config),
            ..self.clone()
        }
    }
}

/// The processor time that a login takes of a process, seconds.
async fn cost(pid: u32, target: &Target, kind: &Kind, count: usize) -> Outcome<f64> {
    let before = processor_time(pid)?;
    target.log_in(kind, count).await?;
    Ok((processor_time(pid)? - before).as_secs_f64() / count as f64)
}

/// Median and 99th percentile of fresh logins, one after the other, milliseconds.
async fn quantiles(target: &Target) -> Outcome<(f64, f64)> {
    let mut took = Vec::with_capacity(FRESH);
    for _ in 0..FRESH {
        let began = Instant::now();
        target.one().await?;
        took.push(1e3 * began.elapsed().as_secs_f64());
    }
    took.sort_by(f64::total_cmp);
    Ok((took[FRESH / 2], took[FRESH * 99 / 100]))
}

/// The speed of one server, of another's: the median of the rounds. In each, the two are measured one
/// after the other, so that a slower time of the machine slows both.
fn speed(costs: &[f64], of: &[f64]) -> f64 {
    let mut ratios: Vec<_> = of.iter().zip(costs).map(|(of, own)| of / own).collect();
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The lower quartile: what else the machine does only adds to a cost.
fn undisturbed(mut costs: Vec<f64>) -> f64 {
    costs.sort_by(f64::total_cmp);
    costs.get(costs.len() / 4).copied().unwrap_or(f64::NAN)
}

/// The floor, a process of its own.
struct Floor {
    process: Child,
    session: SocketAddr,
    page: SocketAddr,
    /// With the suite and the one ticket of `serve`.
    tuned_page: SocketAddr,
}

impl Floor {
    fn start(dir: &TempDir, authority: &Authority, replies: &[u8], page: &[u8]) -> Outcome<Self> {
        let (chain, key) = authority.files("server", &["127.0.0.1"]);
        fs::copy(chain, dir.path().join(floor::CHAIN))?;
        fs::copy(key, dir.path().join(floor::KEY))?;
        file(dir, floor::REPLIES, replies);
        file(dir, floor::PAGE, page);
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("floor").arg(dir.path()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let mut line = String::new();
        let stdout = process.stdout.take().ok_or("no stdout")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let addresses: Vec<_> = line.split_whitespace().collect();
        let [session, page, tuned_page] = addresses[..] else {
            return Err("no addresses".into());
        };
        Ok(Self {
            process,
            session: session.parse()?,
            page: page.parse()?,
            tuned_page: tuned_page.parse()?,
        })
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// HAProxy before one server.
struct Balancer {
    process: Child,
    session: SocketAddr,
    page: SocketAddr,
}

impl Balancer {
    fn start(dir: &TempDir, session: SocketAddr, page: SocketAddr) -> Outcome<Self> {
        let mut config =
            "defaults\n mode tcp\n timeout connect 3s\n timeout client 1h\n timeout server 1h\n"
                .to_owned();
        let mut ends = Vec::new();
        for server in [session, page] {
            let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
            config += &format!(
                "listen {}\n bind {free}\n server one {server} send-proxy-v2\n",
                free.port()
            );
            ends.push(free);
        }
        let config = file(dir, "haproxy.cfg", config);
        let mut command = Command::new("haproxy");
        let process = command.args(["-q", "-db", "-f"]).arg(config).spawn()?;
        let until = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(ends[1]).is_err() {
            if Instant::now() > until {
                return Err("HAProxy does not listen".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Self {
            process,
            session: ends[0],
            page: ends[1],
        })
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
