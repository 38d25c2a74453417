//! Proxies that require a user and a password.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use support::Scripted;
use support::intermediary::relay;

pub(super) const USER: &str = "proxy-user";

/// What a proxy does with its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// It accepts the right password.
    Strict,
    /// It refuses everything.
    Closed,
    /// It repeats what it got, which is not an answer.
    Parrot,
}

/// An HTTP proxy: CONNECT, and requests for `http://` addresses.
pub(super) fn http(password: &str, mood: Mood) -> Scripted {
    let pass = BASE64_STANDARD.encode(format!("{USER}:{password}"));
    Scripted::start(move |stream, _| {
        let _ = http_one(stream, &pass, mood);
    })
}

fn http_one(mut stream: &TcpStream, pass: &str, mood: Mood) -> io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut words = text.split_whitespace();
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    if mood == Mood::Parrot {
        return stream.write_all(format!("HTTP/1.1 {pass}\r\n{text}").as_bytes());
    }
    if mood == Mood::Closed || !text.contains(&format!("Basic {pass}\r\n")) {
        let answer = format!("HTTP/1.1 407 {pass}\r\nX-Echo: {pass}\r\nContent-Length: 0\r\n\r\n");
        return stream.write_all(answer.as_bytes());
    }
    if method == "CONNECT" {
        let server = TcpStream::connect(target)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        return relay(stream, server);
    }
    let rest = target.strip_prefix("http://").unwrap_or(target);
    let mut server = TcpStream::connect(rest.split('/').next().unwrap_or(""))?;
    server.write_all(&head)?;
    relay(stream, server)
}

/// A SOCKS5 proxy (RFC 1928, RFC 1929).
pub(super) fn socks5(password: &str, mood: Mood) -> Scripted {
    let password = password.to_owned();
    Scripted::start(move |stream, _| {
        let _ = socks5_one(stream, &password, mood);
    })
}

fn socks5_one(mut stream: &TcpStream, password: &str, mood: Mood) -> io::Result<()> {
    let methods = counted(stream, 1)?;
    if !methods.contains(&2) {
        return stream.write_all(&[5, 0xff]);
    }
    stream.write_all(&[5, 2])?;
    let user = counted(stream, 1)?;
    let given = counted(stream, 0)?;
    if mood == Mood::Parrot {
        return stream.write_all(&[user, given].concat());
    }
    let right = user == USER.as_bytes() && given == password.as_bytes();
    if mood == Mood::Closed || !right {
        return stream.write_all(&[1, 1]);
    }
    stream.write_all(&[1, 0])?;
    let mut request = [0; 10];
    stream.read_exact(&mut request)?;
    let [_, _, _, 1, a, b, c, d, high, low] = request else {
        return stream.write_all(&[5, 8, 0, 1, 0, 0, 0, 0, 0, 0]);
    };
    let to = ([a, b, c, d], u16::from_be_bytes([high, low]));
    let server = TcpStream::connect(std::net::SocketAddr::from(to))?;
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    relay(stream, server)
}

/// So many bytes, then a count, then as many bytes as it says.
fn counted(mut stream: &TcpStream, before: usize) -> io::Result<Vec<u8>> {
    let mut head = vec![0; before + 1];
    stream.read_exact(&mut head)?;
    let mut bytes = vec![0; usize::from(head[before])];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}
