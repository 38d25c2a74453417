//! Clients of either server: logins, one after the other or many at a time.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use rustls::{ClientConfig, HandshakeKind};
use support::Outcome;
use support::client::{Browser, Client, connect_from, sign_in_lines, ticket_in};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How many log in at a time.
const AT_A_TIME: usize = 16;

/// So many that a session has ended before its account signs in again.
const TICKETS: u32 = 100;

/// Where to log in, and how.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) session: SocketAddr,
    pub(crate) page: SocketAddr,
    pub(crate) tls: Arc<ClientConfig>,
}

/// What a login consists of.
#[derive(Clone)]
pub(crate) enum Kind {
    /// A session with one of [`TICKETS`] in hand, each of an account of its own.
    Ticket(Vec<String>),
    /// The login page, and a session with the ticket that it gives.
    Whole,
}

thread_local! {
    /// How many TLS sessions were resumed.
    pub(crate) static RESUMED: Cell<usize> = const { Cell::new(0) };
    static NUMBER: Cell<u32> = const { Cell::new(0) };
}

/// The next account, and the address of this machine to log in from: there are more connections than
/// one address has ports.
fn next() -> (String, Ipv4Addr) {
    let number = NUMBER.get();
    NUMBER.set(number.wrapping_add(1));
    let from = Ipv4Addr::from_bits(Ipv4Addr::new(127, 81, 0, 1).to_bits() + number % 250);
    (account(number), from)
}

/// All of one length, as are their tickets.
fn account(number: u32) -> String {
    format!("user{:06}@example.com", number % 1_000_000)
}

/// An account.
pub(crate) fn one_account() -> String {
    account(0)
}

impl Target {
    /// So many logins, many at a time.
    pub(crate) async fn log_in(&self, kind: &Kind, count: usize) -> Outcome<Duration> {
        let left = Cell::new(count);
        let began = Instant::now();
        let left = &left;
        try_join_all((0..AT_A_TIME).map(|_| async move {
            while left.get() > 0 {
                left.set(left.get() - 1);
                let (account, from) = next();
                let _session = match kind {
                    Kind::Ticket(tickets) => {
                        let which = left.get() % tickets.len();
                        let account = self::account(which as u32);
                        self.sign_in(&account, &tickets[which], from).await?
                    }
                    Kind::Whole => self.whole(&account, from).await?,
                };
            }
            Outcome::Ok(())
        }))
        .await?;
        Ok(began.elapsed())
    }

    /// One whole login, and its session.
    pub(crate) async fn one(&self) -> Outcome<TcpStream> {
        let (account, from) = next();
        self.whole(&account, from).await
    }

    async fn whole(&self, account: &str, from: Ipv4Addr) -> Outcome<TcpStream> {
        let (_, ticket) = self.ticket(account, from).await?;
        self.sign_in(account, &ticket, from).await
    }

    /// Tickets for [`Kind::Ticket`].
    pub(crate) async fn tickets(&self) -> Outcome<Kind> {
        let mut tickets = Vec::new();
        for which in 0..TICKETS {
            let account = account(which);
            let (_, ticket) = self.ticket(&account, Ipv4Addr::LOCALHOST).await?;
            tickets.push(ticket);
        }
        Ok(Kind::Ticket(tickets))
    }

    /// The answer of the login page, and its ticket.
    pub(crate) async fn ticket(&self, account: &str, from: Ipv4Addr) -> Outcome<(String, String)> {
        let tcp = self.connect(from, self.page).await?;
        let mut browser = Browser::browse(tcp, &TlsConnector::from(Arc::clone(&self.tls))).await;
        if browser.stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) {
            RESUMED.set(RESUMED.get() + 1);
        }
        let page = browser.log_in(account, "x").await + "\r\n\r\n";
        let ticket = ticket_in(&page).ok_or("no ticket")?;
        Ok((page, ticket))
    }

    async fn sign_in(&self, account: &str, ticket: &str, from: Ipv4Addr) -> Outcome<TcpStream> {
        let mut client = Client::new(self.connect(from, self.session).await?);
        client.sign_in(account, ticket).await;
        Ok(client.stream)
    }

    /// What the server says to a session.
    pub(crate) async fn replies(&self, ticket: &str) -> Outcome<Vec<u8>> {
        let mut stream = self.connect(Ipv4Addr::LOCALHOST, self.session).await?;
        let lines = sign_in_lines(&one_account(), ticket);
        stream.write_all(lines.as_bytes()).await?;
        let mut replies = Vec::with_capacity(2048);
        // The profile is the last thing that is sent; its last line is empty.
        while !replies.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut replies).await? == 0 {
                return Err("the server closed the session".into());
            }
        }
        Ok(replies)
    }

    async fn connect(&self, from: Ipv4Addr, to: SocketAddr) -> Outcome<TcpStream> {
        let stream = connect_from(from, to).await;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}
