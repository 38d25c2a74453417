//! A router that answers NAT-PMP, SSDP and HTTP as a test says, and notes what it was asked.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{Error, Host, Service};

/// How it answers.
#[derive(Clone, Copy)]
pub struct Script {
    /// The answers to a datagram at port 5351.
    pub mapping: fn(&[u8]) -> Vec<Vec<u8>>,
    /// The `LOCATION` in the answer to a search; none where it does not answer.
    pub location: Option<&'static str>,
    /// Whether searches are answered from another address of the router.
    pub from_elsewhere: bool,
    /// The answer to this request at port 5000, and whether something follows it without end.
    pub page: fn(&str) -> (String, bool),
}

/// Answers nothing.
pub const SILENT: Script = Script {
    mapping: |_| Vec::new(),
    location: None,
    from_elsewhere: false,
    page: |_| (String::new(), false),
};

/// A router that runs; it ends when this is dropped.
#[derive(Debug)]
pub struct ScriptedRouter {
    asked: Arc<Mutex<Vec<Vec<u8>>>>,
    requests: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    _pages: Service,
}

/// How often a thread looks whether it is to end.
const TURN: Duration = Duration::from_millis(50);

impl ScriptedRouter {
    /// Starts it at the inside address of a router, with another address of its own.
    ///
    /// # Errors
    ///
    /// When a port is in use.
    pub fn start(
        host: &Host,
        inside: IpAddr,
        elsewhere: IpAddr,
        script: Script,
    ) -> Result<Self, Error> {
        let (asked, stop) = (Arc::default(), Arc::default());
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = Arc::clone(&requests);
        let pages = Service::start(host, SocketAddr::new(inside, 5000), move |connection| {
            let mut stream = connection.stream;
            let request = read_request(&mut stream);
            let (answer, is_endless) = (script.page)(&request);
            lock(&noted).push(request);
            let mut sent = stream.write_all(answer.as_bytes());
            while is_endless && sent.is_ok() {
                sent = stream.write_all(&[b'x'; 1024]);
            }
        })?;
        let mut router = Self {
            asked,
            requests,
            stop,
            threads: Vec::new(),
            _pages: pages,
        };
        let note = Arc::clone(&router.asked);
        router.serve(
            host.udp(SocketAddr::new(inside, 5351))?,
            move |socket, bytes, from| {
                lock(&note).push(bytes.to_vec());
                for answer in (script.mapping)(bytes) {
                    let _ = socket.send_to(&answer, from);
                }
            },
        )?;
        let other = host.udp(SocketAddr::new(elsewhere, 0))?;
        router.serve(host.udp(SocketAddr::new(inside, 1900))?, move |socket, _, from| {
            if let Some(location) = script.location {
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\
                     LOCATION: {location}\r\n\r\n"
                );
                let socket = if script.from_elsewhere { &other } else { socket };
                let _ = socket.send_to(answer.as_bytes(), from);
            }
        })?;
        Ok(router)
    }

    /// The datagrams that came to port 5351, in order.
    pub fn asked(&self) -> Vec<Vec<u8>> {
        lock(&self.asked).clone()
    }

    /// The requests that came to port 5000, in order.
    pub fn requests(&self) -> Vec<String> {
        lock(&self.requests).clone()
    }

    fn serve(
        &mut self,
        socket: UdpSocket,
        answer: impl Fn(&UdpSocket, &[u8], SocketAddr) + Send + 'static,
    ) -> Result<(), Error> {
        socket.set_read_timeout(Some(TURN))?;
        let stop = Arc::clone(&self.stop);
        self.threads.push(thread::spawn(move || {
            let mut buffer = [0; 2048];
            while !stop.load(Ordering::Relaxed) {
                if let Ok((len, from)) = socket.recv_from(&mut buffer) {
                    answer(&socket, &buffer[..len], from);
                }
            }
        }));
        Ok(())
    }
}

impl Drop for ScriptedRouter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A request of HTTP, with the envelope of SOAP if it has one.
fn read_request(stream: &mut &TcpStream) -> String {
    let mut request = String::new();
    let mut part = [0; 4096];
    let is_whole = |request: &str| match request.starts_with("POST") {
        true => request.contains("</s:Envelope>"),
        false => request.ends_with("\r\n\r\n"),
    };
    while !is_whole(&request) {
        match stream.read(&mut part) {
            Ok(len @ 1..) => request += &String::from_utf8_lossy(&part[..len]),
            _ => break,
        }
    }
    request
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
