//! A line with delay, jitter and loss between two hosts, for kernels without the netem queue.
//!
//! Two TUN devices and one thread: it takes packets from one device, holds them for their delay and
//! gives them to the other. While nothing is under way it sleeps in `ppoll` without a time limit.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use tun_rs::{DeviceBuilder, SyncDevice};

use super::{Error, Host, link};
use crate::parallel::joined;

/// How a line treats packets, the same in both directions.
#[derive(Debug, Clone, Copy)]
pub struct LineOptions {
    /// How long a packet takes one way; a round trip takes twice as long.
    pub delay: Duration,
    /// At most this much more, evenly spread. Packets keep their order all the same.
    pub jitter: Duration,
    /// The share of packets lost, from 0.0 to 1.0.
    pub loss: f64,
    /// The largest packet.
    pub mtu: u32,
    /// With the same seed the same packets are lost: the third, the tenth, … of each direction.
    pub seed: u64,
}

impl Default for LineOptions {
    /// Perfect but for 50 ms one way.
    fn default() -> Self {
        let (delay, jitter) = (Duration::from_millis(50), Duration::ZERO);
        Self {
            delay,
            jitter,
            loss: 0.0,
            mtu: 1500,
            seed: 1,
        }
    }
}

/// A running delay line; its thread and its devices end on drop.
#[derive(Debug)]
pub struct Line {
    /// The device at the first host.
    pub device_a: String,
    /// The device at the second host.
    pub device_b: String,
    state: Arc<State>,
    /// Closing it ends the thread.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Line {
    pub(crate) fn start(
        a: &Host,
        addr_a: &str,
        b: &Host,
        addr_b: &str,
        options: &LineOptions,
    ) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&options.loss) {
            return Err(Error::new(format!(
                "loss must be from 0 to 1: {}",
                options.loss
            )));
        }
        let (device_a, tun_a) = open(a, addr_a, b.name(), options.mtu)?;
        let (device_b, tun_b) = open(b, addr_b, a.name(), options.mtu)?;
        let (stop, stopped) = UnixStream::pair()?;
        let state = Arc::new(State::default());
        let directions = [
            Direction::new(tun_a, options, 0),
            Direction::new(tun_b, options, 1),
        ];
        let shared = Arc::clone(&state);
        let thread = thread::Builder::new()
            .name("lab-line".to_owned())
            .spawn(move || carry(directions, &stopped, &shared))?;
        Ok(Self {
            device_a,
            device_b,
            state,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Cuts the line, or mends it: while cut, everything that enters is lost, without a word to
    /// anybody. What was under way arrives.
    pub fn cut(&self, cut: bool) {
        self.state.cut.store(cut, Ordering::Relaxed);
    }

    /// What the line did so far.
    pub fn carried(&self) -> Carried {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Carried {
            delivered: read(&self.state.delivered),
            lost: read(&self.state.lost),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It ends within one packet.
            joined(thread);
        }
    }
}

/// Packets of both directions together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carried {
    /// Packets that reached the other side.
    pub delivered: u64,
    /// Packets lost by chance, by a cut, or because too many others were under way.
    pub lost: u64,
}

/// Packets under way in one direction at most, a bound for memory: 10 MB/s at 200 ms need 1,400.
const LONGEST_QUEUE: usize = 20_000;

#[derive(Debug, Default)]
struct State {
    cut: AtomicBool,
    delivered: AtomicU64,
    lost: AtomicU64,
}

/// Packets from one device to the other.
struct Direction {
    /// Where they come from; they go to the device of the other direction.
    from: SyncDevice,
    /// When each is due, the earliest first.
    queue: VecDeque<(Instant, Vec<u8>)>,
    /// When the last one is due: none after it may be earlier.
    last: Instant,
    /// Each direction has its own numbers, or the losses would depend on how the two mix.
    chance: Chance,
    options: LineOptions,
}

impl Direction {
    fn new(from: SyncDevice, options: &LineOptions, number: u64) -> Self {
        let chance = Chance(options.seed.wrapping_mul(2).wrapping_add(number));
        let options = *options;
        Self {
            from,
            queue: VecDeque::new(),
            last: Instant::now(),
            chance,
            options,
        }
    }

    /// Takes all packets that wait in the device.
    fn take(&mut self, buffer: &mut [u8], state: &State) -> io::Result<()> {
        loop {
            let packet = match self.from.recv(buffer) {
                Ok(read) => &buffer[..read],
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            if is_housekeeping(packet) {
                continue;
            }
            // Both numbers are drawn for every packet, so that the fate of one does not depend on
            // the options or on a cut.
            let (loss, jitter) = (self.chance.next(), self.chance.next());
            let full = self.queue.len() >= LONGEST_QUEUE;
            if full || loss < self.options.loss || state.cut.load(Ordering::Relaxed) {
                state.lost.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let due = Instant::now() + self.options.delay + self.options.jitter.mul_f64(jitter);
            self.last = self.last.max(due);
            self.queue.push_back((self.last, packet.to_vec()));
        }
    }

    /// Gives away all packets that are due.
    fn give(&mut self, to: &SyncDevice, state: &State) {
        let now = Instant::now();
        while self.queue.front().is_some_and(|(due, _)| *due <= now) {
            let Some((_, packet)) = self.queue.pop_front() else {
                return;
            };
            let counter = if to.send(&packet).is_ok() {
                &state.delivered
            } else {
                &state.lost
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The life of the line's thread. It ends when `stopped` is closed, or when a device is gone.
fn carry([mut ab, mut ba]: [Direction; 2], stopped: &UnixStream, state: &State) {
    let mut buffer = vec![0; 65_536];
    loop {
        let due = [&ab, &ba]
            .into_iter()
            .filter_map(|d| Some(d.queue.front()?.0))
            .min();
        let wait = due.map(|due| due.saturating_duration_since(Instant::now()));
        let mut fds = [
            PollFd::new(stopped.as_fd(), PollFlags::POLLIN),
            PollFd::new(ab.from.as_fd(), PollFlags::POLLIN),
            PollFd::new(ba.from.as_fd(), PollFlags::POLLIN),
        ];
        // ppoll, for poll counts whole milliseconds. An interruption is another turn.
        let _ = ppoll(&mut fds, wait.map(TimeSpec::from_duration), None);
        let ready = fds.map(|fd| fd.any().unwrap_or(true));
        if ready[0] {
            return;
        }
        for (direction, ready) in [(&mut ab, ready[1]), (&mut ba, ready[2])] {
            if ready && direction.take(&mut buffer, state).is_err() {
                return;
            }
        }
        ab.give(&ba.from, state);
        ba.give(&ab.from, state);
    }
}

/// A TUN device inside a host, up and with its addresses.
fn open(host: &Host, addr: &str, peer: &str, mtu: u32) -> Result<(String, SyncDevice), Error> {
    let name = host.next_device(peer);
    let device = host
        .inside(|| {
            let device = DeviceBuilder::new().name(&name).build_sync()?;
            device.set_nonblocking(true)?;
            Ok(device)
        })?
        .map_err(|e: io::Error| Error::new(format!("TUN device {name}: {e}")))?;
    // Without addrgenmode none the kernel would send router solicitations over the line.
    // The device's own queue must hold what a test sends in one go, or it would lose by itself.
    let mut commands = format!(
        "link set dev {name} mtu {mtu} txqueuelen {LONGEST_QUEUE}\nlink set dev {name} addrgenmode none\n"
    );
    link::configure(&mut commands, &name, addr);
    host.ip(&commands)?;
    Ok((name, device))
}

/// Membership reports (IGMP, MLD) that a kernel sends by itself, or what is no IP at all. They are
/// not carried, for they would shift which of the test's own packets are lost.
fn is_housekeeping(packet: &[u8]) -> bool {
    match packet.first().map(|byte| byte >> 4) {
        Some(4) => packet.get(9) == Some(&2),
        // A hop-by-hop header to a link-local group: nothing but MLD has both.
        Some(6) => packet.get(6) == Some(&0) && packet.get(24..26) == Some(&[0xff, 0x02]),
        _ => true,
    }
}

/// Numbers from a seed (`SplitMix64`): the same everywhere and forever, which no crate promises.
struct Chance(u64);

impl Chance {
    /// A number from 0.0 up to but not including 1.0.
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit an f64")]
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
