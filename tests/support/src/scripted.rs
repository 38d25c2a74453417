//! Servers that do to each connection what a test's script says.

use std::any::Any;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::answer::POLICY;
use crate::parallel::joined;

/// How long a script waits for a client that sends nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server with a script, until dropped. The drop waits for every connection's script and fails
/// the test if one of them has panicked.
pub struct Scripted {
    pub address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Session>>>,
}

/// One connection and the thread that runs its script. The thread alone keeps the connection
/// open: how it is closed is part of the script.
struct Session {
    stream: Weak<TcpStream>,
    thread: JoinHandle<()>,
}

impl Scripted {
    /// `script` gets each connection, and its number from 0, on a thread of its own.
    pub fn start(script: impl Fn(&mut &TcpStream, usize) + Send + Sync + 'static) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST, script)
    }

    /// The same at another address of this host.
    pub fn start_at(
        ip: impl Into<IpAddr>,
        script: impl Fn(&mut &TcpStream, usize) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((ip.into(), 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (accepted, stop) = (Arc::default(), Arc::default());
        let thread = {
            let (accepted, stop) = (Arc::clone(&accepted), Arc::clone(&stop));
            let script = Arc::new(script);
            std::thread::spawn(move || accept(&listener, &accepted, &stop, &script))
        };
        Self {
            address,
            accepted,
            stop,
            thread: Some(thread),
        }
    }

    /// A server that answers each line with what `answer` makes of it; `None` ends the connection.
    pub fn answering(answer: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self::answering_at(Ipv4Addr::LOCALHOST, answer)
    }

    /// The same at another address of this host.
    pub fn answering_at(
        ip: impl Into<IpAddr>,
        answer: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        Self::start_at(ip, move |stream, _| {
            let mut lines = BufReader::new(stream.try_clone().expect("a second handle"));
            loop {
                let mut line = Vec::new();
                match lines.read_until(b'\n', &mut line) {
                    Ok(1..) => {}
                    _ => return,
                }
                let line = String::from_utf8_lossy(&line);
                match answer(line.trim_end()) {
                    Some(bytes) if stream.write_all(&bytes).is_ok() => {}
                    _ => return,
                }
            }
        })
    }

    /// A server that answers whatever one read returns with these bytes.
    pub fn repeating(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::start(move |stream, _| {
            let mut request = [0; 8192];
            while let Ok(1..) = stream.read(&mut request) {
                if stream.write_all(&bytes).is_err() {
                    return;
                }
            }
        })
    }

    /// A server that accepts and sends nothing.
    pub fn silent() -> Self {
        Self::start(|stream, _| wait_for_close(stream))
    }

    /// How many connections it has accepted.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.address);
        let Some(thread) = self.thread.take() else {
            return;
        };
        let mut panic = None;
        for session in joined(thread).unwrap_or_default() {
            // The tool has ended by now; another server of the same test may still be connected.
            if let Some(stream) = session.stream.upgrade() {
                let _ = stream.shutdown(Shutdown::Both);
            }
            panic = session.thread.join().err().or(panic);
        }
        if let Some(panic) = panic
            && !std::thread::panicking()
        {
            panic!("the script of a server failed: {}", message(&*panic));
        }
    }
}

fn accept(
    listener: &TcpListener,
    accepted: &AtomicUsize,
    stop: &AtomicBool,
    script: &Arc<impl Fn(&mut &TcpStream, usize) + Send + Sync + 'static>,
) -> Vec<Session> {
    let mut sessions = Vec::new();
    for stream in listener.incoming() {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let stream = Arc::new(stream.expect("a connection"));
        let _ = stream.set_read_timeout(Some(PATIENCE));
        let _ = stream.set_write_timeout(Some(PATIENCE));
        let _ = stream.set_nodelay(true);
        let number = accepted.fetch_add(1, Ordering::SeqCst);
        let script = Arc::clone(script);
        sessions.push(Session {
            stream: Arc::downgrade(&stream),
            thread: std::thread::spawn(move || script(&mut &*stream, number)),
        });
    }
    sessions
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message")
}

/// Waits until the other end closes, and sends nothing.
pub fn wait_for_close(stream: &mut impl Read) {
    let mut sink = [0; 1024];
    while matches!(stream.read(&mut sink), Ok(1..)) {}
}

/// The transaction id of a line.
pub fn trid(line: &str) -> &str {
    line.split_whitespace().nth(1).unwrap_or("0")
}

/// A profile message with these values.
pub fn profile_message(ip: &str, port: &str) -> Vec<u8> {
    let payload = format!(
        "MIME-Version: 1.0\r\nContent-Type: text/x-msmsgsprofile; charset=UTF-8\r\n\
         MSPAuth: marker-mspauth\r\nClientIP: {ip}\r\nClientPort: {port}\r\n\r\n"
    );
    format!("MSG Hotmail Hotmail {}\r\n{payload}", payload.len()).into_bytes()
}

/// What an honest server answers to a line of the login. `profile` comes after `USR OK`.
pub fn honest(line: &str, profile: &[u8]) -> Vec<u8> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let trid = trid(line);
    match (words.first().copied(), words.get(3).copied()) {
        (Some("VER"), _) => format!("VER {trid} MSNP9 CVR0\r\n").into_bytes(),
        (Some("CVR"), _) => {
            format!("CVR {trid} 6.0.0602 6.0.0602 1.0.0000 http://a http://b\r\n").into_bytes()
        }
        (Some("USR"), Some("I")) => format!("USR {trid} TWN S {POLICY}\r\n").into_bytes(),
        (Some("USR"), Some("S")) => {
            let mut answer = format!("USR {trid} OK user@example.com Name 1 0\r\n").into_bytes();
            answer.extend_from_slice(profile);
            answer
        }
        _ => Vec::new(),
    }
}
