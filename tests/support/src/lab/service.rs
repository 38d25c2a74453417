//! TCP servers made of threads of this process, inside a host: quick to start, gone on drop.

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Error, Host};
use crate::parallel::joined;

/// A listening service; its connections, threads and listener end on drop, which fails the test
/// if a handler has panicked.
#[derive(Debug)]
pub struct Service {
    addr: SocketAddr,
    streams: Arc<Streams>,
    /// Closing it ends the accepting thread.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    /// Listens on `addr` (port 0 chooses one) and runs `handler` in a thread for each connection.
    ///
    /// The threads are inside the host, so what a handler dials is dialled from there. When the
    /// handler returns, the connection is closed.
    ///
    /// # Errors
    ///
    /// When the address is not the host's, or is in use.
    pub fn start<F>(host: &Host, addr: SocketAddr, handler: F) -> Result<Self, Error>
    where
        F: Fn(&Connection<'_>) + Send + Sync + 'static,
    {
        let listener = host.listen(addr)?;
        // A connection can vanish between poll and accept.
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let (stop, stopped) = UnixStream::pair()?;
        let streams = Arc::new(Streams::default());
        let shared = Arc::clone(&streams);
        let thread = host.inside(move || {
            thread::Builder::new()
                .name("lab-service".to_owned())
                .spawn(move || accept(&listener, &stopped, &shared, &Arc::new(handler)))
        })??;
        Ok(Self {
            addr,
            streams,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.streams.close_all();
        if let Some(thread) = self.thread.take() {
            joined(thread);
        }
    }
}

/// One connection to a service.
#[derive(Debug)]
pub struct Connection<'a> {
    /// The connection itself; `&TcpStream` reads and writes.
    pub stream: &'a TcpStream,
    /// Who it comes from, as this host sees it.
    pub peer: SocketAddr,
    /// The address that was dialled, as this host sees it.
    pub local: SocketAddr,
    streams: &'a Arc<Streams>,
}

impl Connection<'_> {
    /// Has another socket shut down when the service is dropped, until the guard is dropped. A
    /// handler that reads from a socket of its own needs this, or drop would wait for it.
    ///
    /// # Errors
    ///
    /// When the socket cannot be duplicated.
    pub fn keep(&self, stream: &TcpStream) -> io::Result<Kept> {
        self.streams.keep(stream)
    }
}

/// A socket that the end of its service shuts down.
#[derive(Debug)]
pub struct Kept {
    number: u64,
    streams: Arc<Streams>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        // The duplicate must go, too: while it is open the other side sees no end.
        self.streams.lock().open.remove(&self.number);
    }
}

/// The sockets of all handlers, so that a drop can wake them.
#[derive(Debug, Default)]
struct Streams(Mutex<OpenStreams>);

#[derive(Debug, Default)]
struct OpenStreams {
    open: HashMap<u64, TcpStream>,
    next: u64,
    closed: bool,
}

impl Streams {
    fn lock(&self) -> MutexGuard<'_, OpenStreams> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(self: &Arc<Self>, stream: &TcpStream) -> io::Result<Kept> {
        let copy = stream.try_clone()?;
        let mut streams = self.lock();
        if streams.closed {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let number = streams.next;
        streams.next += 1;
        streams.open.insert(number, copy);
        Ok(Kept {
            number,
            streams: Arc::clone(self),
        })
    }

    fn close_all(&self) {
        let mut streams = self.lock();
        streams.closed = true;
        for stream in streams.open.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// The life of the accepting thread, which waits for its handlers at the end.
fn accept<F>(listener: &TcpListener, stopped: &UnixStream, streams: &Arc<Streams>, handler: &Arc<F>)
where
    F: Fn(&Connection<'_>) + Send + Sync + 'static,
{
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    let mut panic = None;
    loop {
        let mut fds = [
            PollFd::new(stopped.as_fd(), PollFlags::POLLIN),
            PollFd::new(listener.as_fd(), PollFlags::POLLIN),
        ];
        let _ = poll(&mut fds, PollTimeout::NONE);
        if fds[0].any().unwrap_or(true) {
            break;
        }
        let Ok((stream, peer)) = listener.accept() else {
            continue;
        };
        let (streams, handler) = (Arc::clone(streams), Arc::clone(handler));
        for thread in threads.extract_if(.., |thread| thread.is_finished()) {
            panic = thread.join().err().or(panic);
        }
        threads.push(thread::spawn(move || {
            handle(&stream, peer, &streams, &*handler);
        }));
    }
    for thread in threads {
        panic = thread.join().err().or(panic);
    }
    if let Some(panic) = panic {
        resume_unwind(panic);
    }
}

fn handle<F>(stream: &TcpStream, peer: SocketAddr, streams: &Arc<Streams>, handler: &F)
where
    F: Fn(&Connection<'_>),
{
    // Accepted sockets do not inherit the listener's mode on Linux; said for other kernels' sake.
    let usable = stream.set_nonblocking(false);
    let (Ok(()), Ok(local), Ok(_kept)) = (usable, stream.local_addr(), streams.keep(stream)) else {
        return;
    };
    handler(&Connection {
        stream,
        peer,
        local,
        streams,
    });
}
