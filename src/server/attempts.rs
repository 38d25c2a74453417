//! The computations of password hashes: few at once, and shared fairly between clients.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use super::limits::ClientNetwork;
use super::stats::Stats;
use super::sync::lock;

/// How many attempts of one client network run or wait.
const MAX_PER_NETWORK: usize = 2;

/// How many attempts wait in all.
pub(super) const MAX_WAITING: usize = 64;

/// Gives each login that needs a computation its turn.
///
/// A network's second attempt waits behind the first ones of all others, and gives its place up to
/// one of them where all places are taken. So a client waits for at most one computation of each
/// network that came before it.
#[derive(Debug)]
pub(super) struct Attempts {
    max_running: usize,
    max_waiting: usize,
    queue: Mutex<Queue>,
    stats: Arc<Stats>,
}

#[derive(Debug, Default)]
struct Queue {
    last_id: u64,
    running: Vec<(u64, ClientNetwork)>,
    /// The only attempts of their networks, or the first ones.
    first: VecDeque<Waiting>,
    /// Those of networks that have another one.
    second: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    network: ClientNetwork,
    /// Tells that it may begin. Dropped where it gives its place up.
    begin: oneshot::Sender<()>,
}

/// Too many passwords are being checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Busy;

/// An attempt, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    attempts: Arc<Attempts>,
    id: u64,
    network: ClientNetwork,
}

impl Attempts {
    /// One processor is left for everything else.
    pub(super) fn new(stats: Arc<Stats>) -> Arc<Self> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_limits(processors.saturating_sub(1).max(1), MAX_WAITING, stats)
    }

    pub(super) fn with_limits(
        max_running: usize,
        max_waiting: usize,
        stats: Arc<Stats>,
    ) -> Arc<Self> {
        Arc::new(Self {
            max_running,
            max_waiting,
            queue: Mutex::default(),
            stats,
        })
    }

    /// Waits until a computation for this client may begin.
    pub(super) async fn turn(self: &Arc<Self>, from: ClientNetwork) -> Result<Turn, Busy> {
        let (turn, begun) = self.enter(from)?;
        begun.await.map_err(|_| Busy)?;
        Ok(turn)
    }

    /// Enters the queue; the turn begins when the receiver is told.
    pub(super) fn enter(
        self: &Arc<Self>,
        from: ClientNetwork,
    ) -> Result<(Turn, oneshot::Receiver<()>), Busy> {
        let mut queue = lock(&self.queue);
        let others = queue.count(from);
        if others >= MAX_PER_NETWORK {
            return Err(Busy);
        }
        let is_full = queue.first.len() + queue.second.len() >= self.max_waiting;
        if is_full && (others > 0 || queue.second.pop_back().is_none()) {
            return Err(Busy);
        }
        queue.last_id += 1;
        let (begin, begun) = oneshot::channel();
        let id = queue.last_id;
        let waiting = Waiting {
            id,
            network: from,
            begin,
        };
        match others {
            0 => queue.first.push_back(waiting),
            _ => queue.second.push_back(waiting),
        }
        queue.begin(self.max_running);
        let turn = Turn {
            attempts: Arc::clone(self),
            id,
            network: from,
        };
        Ok((turn, begun))
    }
}

impl Queue {
    /// How many attempts of a network run or wait.
    fn count(&self, network: ClientNetwork) -> usize {
        let running = self.running.iter().map(|(_, network)| network);
        let waiting = self.first.iter().chain(&self.second);
        running
            .chain(waiting.map(|waiting| &waiting.network))
            .filter(|other| **other == network)
            .count()
    }

    /// Begins as many as may run.
    fn begin(&mut self, max_running: usize) {
        while self.running.len() < max_running
            && let Some(next) = self.first.pop_front().or_else(|| self.second.pop_front())
        {
            self.running.push((next.id, next.network));
            // Fails if nobody waits any more; its turn is about to be dropped.
            let _ = next.begin.send(());
        }
    }

    /// Removes an attempt. What is left of its network is no second one.
    fn leave(&mut self, id: u64, network: ClientNetwork) {
        self.running.retain(|(other, _)| *other != id);
        self.first.retain(|waiting| waiting.id != id);
        self.second.retain(|waiting| waiting.id != id);
        let left = self.second.iter().position(|left| left.network == network);
        if self.count(network) == 1
            && let Some(left) = left.and_then(|at| self.second.remove(at))
        {
            self.first.push_back(left);
        }
    }
}

impl Turn {
    /// Computes on a thread that nobody else waits for. The turn ends with the computation, even if
    /// the client has gone.
    pub(super) async fn compute<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        Stats::count(&self.attempts.stats.password_hashes);
        let computed = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(self);
            done
        });
        computed.await.map_err(|_| Busy)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queue = lock(&self.attempts.queue);
        queue.leave(self.id, self.network);
        queue.begin(self.attempts.max_running);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(n: u8) -> ClientNetwork {
        ClientNetwork::of([192, 0, 2, n].into())
    }

    fn attempts(max_waiting: usize) -> Arc<Attempts> {
        Attempts::with_limits(1, max_waiting, Arc::default())
    }

    /// An attempt that waits, or has begun.
    struct Attempt {
        _turn: Turn,
        begun: oneshot::Receiver<()>,
    }

    impl Attempt {
        fn of(attempts: &Arc<Attempts>, n: u8) -> Result<Self, Busy> {
            let (_turn, begun) = attempts.enter(network(n))?;
            Ok(Self { _turn, begun })
        }

        fn has_begun(&mut self) -> bool {
            self.begun.try_recv().is_ok()
        }

        /// Whether it has given its place up.
        fn is_out(&mut self) -> bool {
            self.begun.try_recv() == Err(oneshot::error::TryRecvError::Closed)
        }
    }

    #[test]
    fn a_network_has_two_attempts_at_once() {
        let attempts = attempts(9);
        let first = Attempt::of(&attempts, 1).unwrap();
        let _second = Attempt::of(&attempts, 1).unwrap();
        assert_eq!(Attempt::of(&attempts, 1).err(), Some(Busy));
        let _other = Attempt::of(&attempts, 2).unwrap();
        drop(first);
        assert!(Attempt::of(&attempts, 1).is_ok());
    }

    #[test]
    fn second_attempts_wait_behind_the_first_ones_of_others() {
        let attempts = attempts(9);
        let mut running = Attempt::of(&attempts, 1).unwrap();
        assert!(running.has_begun());
        let [mut again, mut two, mut two_again, mut three] =
            [1, 2, 2, 3].map(|n| Attempt::of(&attempts, n).unwrap());
        drop(running);
        // The second attempt of network 1 is its only one now. Others came before, and one after.
        let mut four = Attempt::of(&attempts, 4).unwrap();
        assert!(two.has_begun() && !again.has_begun() && !three.has_begun());
        drop(two);
        assert!(three.has_begun() && !again.has_begun());
        drop(three);
        assert!(again.has_begun() && !four.has_begun());
        drop(again);
        assert!(four.has_begun() && !two_again.has_begun());
        drop(four);
        assert!(two_again.has_begun());
        drop(two_again);
        assert!(attempts.queue.lock().unwrap().running.is_empty());
    }

    #[test]
    fn the_queue_is_bounded_and_second_attempts_give_way() {
        let attempts = attempts(3);
        let _running = Attempt::of(&attempts, 1).unwrap();
        let mut again = Attempt::of(&attempts, 1).unwrap();
        let _two = Attempt::of(&attempts, 2).unwrap();
        let mut two_again = Attempt::of(&attempts, 2).unwrap();
        assert_eq!(Attempt::of(&attempts, 2).err(), Some(Busy));
        let _three = Attempt::of(&attempts, 3).unwrap();
        assert!(two_again.is_out() && !again.is_out());
        drop(two_again);
        let _four = Attempt::of(&attempts, 4).unwrap();
        assert!(again.is_out());
        assert_eq!(Attempt::of(&attempts, 5).err(), Some(Busy));
        assert_eq!(Attempt::of(&attempts, 4).err(), Some(Busy));
    }

    #[test]
    fn who_stops_waiting_leaves_the_queue() {
        let attempts = attempts(2);
        let running = Attempt::of(&attempts, 1).unwrap();
        let [two, mut three] = [2, 3].map(|n| Attempt::of(&attempts, n).unwrap());
        drop(two);
        assert_eq!(attempts.queue.lock().unwrap().first.len(), 1);
        drop(running);
        assert!(three.has_begun());
    }

    #[tokio::test]
    async fn a_computation_keeps_its_turn_when_its_client_has_gone() {
        let attempts = attempts(2);
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let turn = attempts.turn(network(1)).await.unwrap();
        let client = tokio::spawn(turn.compute(move || ended.recv()));
        tokio::task::yield_now().await;
        client.abort();
        assert!(client.await.unwrap_err().is_cancelled());
        let mut next = Attempt::of(&attempts, 2).unwrap();
        assert!(!next.has_begun());
        drop(end);
        next.begun.await.unwrap();
        assert_eq!(attempts.stats.counts().password_hashes, 1);
    }

    #[tokio::test]
    async fn a_computation_that_panics_ends_its_turn() {
        let attempts = attempts(2);
        let turn = attempts.turn(network(1)).await.unwrap();
        let failed = turn.compute(|| panic!("a bug")).await;
        assert_eq!(failed, Err::<(), _>(Busy));
        attempts.turn(network(1)).await.unwrap();
    }
}
