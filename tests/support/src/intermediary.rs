//! Proxies and an HTTP gateway in front of the servers, each answer of which can be changed too.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::panic::resume_unwind;
use std::time::Duration;

use crate::answer::{Answer, Step};
use crate::fake_servers::{Tamper, send};

/// What stands in front of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intermediary {
    HttpProxy,
    Socks5,
    Socks4,
    Gateway,
}

impl Intermediary {
    /// Its address, as an option wants it.
    pub fn url(self, at: SocketAddr) -> String {
        match self {
            Self::HttpProxy | Self::Gateway => format!("http://{at}"),
            Self::Socks5 => format!("socks5://{at}"),
            Self::Socks4 => format!("socks4://{at}"),
        }
    }

    /// That option.
    pub const fn option(self) -> &'static str {
        match self {
            Self::Gateway => "--http-gateway",
            _ => "--proxy",
        }
    }

    /// Serves one connection; `seen` is what the gateway's profile says of the client.
    pub(crate) fn serve(
        self,
        mut stream: &TcpStream,
        seen: SocketAddr,
        tamper: &Tamper,
    ) -> io::Result<()> {
        let mut say = |step, answer| send(&mut &*stream, &tamper(step, answer));
        let server = match self {
            Self::HttpProxy => {
                let head = head(stream)?;
                let target = head.split_whitespace().nth(1).unwrap_or("").to_owned();
                let server = TcpStream::connect(target)?;
                say(Step::HttpConnect, Answer::connected())?;
                server
            }
            Self::Socks5 => {
                let mut greeting = [0; 2];
                stream.read_exact(&mut greeting)?;
                stream.read_exact(&mut vec![0; usize::from(greeting[1])])?;
                say(Step::Socks5Method, Answer::socks(vec![5, 0]))?;
                let mut request = [0; 10];
                stream.read_exact(&mut request)?;
                let [_, _, _, 1, a, b, c, d, high, low] = request else {
                    return Ok(());
                };
                let server = reach([a, b, c, d], [high, low])?;
                say(
                    Step::Socks5Reply,
                    Answer::socks(vec![5, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
                )?;
                server
            }
            Self::Socks4 => {
                let mut request = [0; 8];
                stream.read_exact(&mut request)?;
                let mut byte = [1];
                while byte != [0] {
                    stream.read_exact(&mut byte)?;
                }
                let [_, _, high, low, a, b, c, d] = request;
                let server = reach([a, b, c, d], [high, low])?;
                say(
                    Step::Socks4Reply,
                    Answer::socks(vec![0, 90, 0, 0, 0, 0, 0, 0]),
                )?;
                server
            }
            Self::Gateway => return gateway(stream, seen, &mut say),
        };
        relay(stream, server)
    }
}

fn reach(ip: [u8; 4], port: [u8; 2]) -> io::Result<TcpStream> {
    TcpStream::connect(SocketAddr::from((ip, u16::from_be_bytes(port))))
}

/// A session at a gateway, which is also the server behind it.
fn gateway(
    mut stream: &TcpStream,
    seen: SocketAddr,
    say: &mut impl FnMut(Step, Answer) -> io::Result<()>,
) -> io::Result<()> {
    loop {
        let head = head(stream)?.to_ascii_lowercase();
        let length = head.split_once("content-length:").and_then(|(_, rest)| {
            let digits = rest.split_whitespace().next()?;
            digits.parse().ok()
        });
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body)?;
        let (mut step, mut answers) = (Step::GatewayPoll, Vec::new());
        for line in String::from_utf8_lossy(&body).lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let trid = words.get(1).copied().unwrap_or("0");
            match (words.first().copied(), words.get(3).copied()) {
                (Some("VER"), _) => answers.extend(Answer::ver(trid).bytes),
                (Some("CVR"), _) => answers.extend(Answer::cvr(trid).bytes),
                (Some("USR"), Some("I")) => {
                    step = Step::GatewayOpen;
                    answers.extend(Answer::policy(trid).bytes);
                }
                (Some("USR"), Some("S")) => {
                    step = Step::GatewayProfile;
                    answers.extend(Answer::ok(trid).bytes);
                    answers.extend(Answer::profile(seen, "sso").bytes);
                }
                _ => {}
            }
        }
        say(step, Answer::gateway(&answers))?;
    }
}

/// The head of a request.
fn head(stream: &TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut lines = BufReader::with_capacity(1, stream);
    while !head.ends_with(b"\r\n\r\n") {
        if lines.read_until(b'\n', &mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Carries bytes both ways until neither end has more.
pub fn relay(client: &TcpStream, server: TcpStream) -> io::Result<()> {
    server.set_read_timeout(Some(Duration::from_secs(60)))?;
    let (mut up, mut back) = (client.try_clone()?, client.try_clone()?);
    let mut to = server.try_clone()?;
    let upward = std::thread::spawn(move || {
        let _ = io::copy(&mut up, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut from = server;
    let _ = io::copy(&mut from, &mut back);
    let _ = back.flush();
    let _ = back.shutdown(Shutdown::Both);
    upward.join().unwrap_or_else(|panic| resume_unwind(panic));
    Ok(())
}
