//! The floor: a server that does nothing but read as many bytes and write as many, over the same
//! sockets and the same TLS.

use std::io;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::try_join_all;
use rustls::ServerConfig;
use rustls::crypto::ring::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use support::Outcome;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// The files in its directory.
pub(crate) const CHAIN: &str = "chain.pem";
pub(crate) const KEY: &str = "key.pem";
pub(crate) const REPLIES: &str = "replies";
pub(crate) const PAGE: &str = "page";

/// Serves sessions and the login page until it is killed, the page with the library's settings of TLS
/// and with the suite and the one ticket of `serve`. Prints the three addresses.
pub(crate) fn run(dir: &Path) -> Outcome<()> {
    let read = |name: &str| std::fs::read(dir.join(name)).map(Arc::<[u8]>::from);
    let (replies, page) = (read(REPLIES)?, read(PAGE)?);
    let (bare, tuned) = (tls(dir, false)?, tls(dir, true)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let served = [
            (None, replies),
            (Some(bare), Arc::clone(&page)),
            (Some(tuned), page),
        ];
        let mut listeners = Vec::new();
        for (tls, bytes) in served {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            print!("{} ", listener.local_addr()?);
            listeners.push(async { tokio::spawn(serve(listener, tls, bytes)).await? });
        }
        println!();
        try_join_all(listeners).await?;
        Ok(())
    })
}

async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    bytes: Arc<[u8]>,
) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let bytes = Arc::clone(&bytes);
        match tls.clone() {
            None => drop(tokio::spawn(session(stream, bytes))),
            Some(tls) => drop(tokio::spawn(async move {
                if let Ok(stream) = tls.accept(stream).await {
                    answer(stream, &bytes).await;
                }
            })),
        }
    }
}

fn tls(dir: &Path, is_tuned: bool) -> Outcome<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(dir.join(CHAIN))?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(dir.join(KEY))?;
    let mut provider = rustls::crypto::ring::default_provider();
    if is_tuned {
        let sha_256 = [TLS13_AES_128_GCM_SHA256, TLS13_CHACHA20_POLY1305_SHA256];
        provider.cipher_suites = sha_256.into();
    }
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    if is_tuned {
        config.send_tls13_tickets = 1;
    }
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn session(stream: TcpStream, replies: Arc<[u8]>) {
    answer(stream, &replies).await;
}

/// Everything that is asked arrives in one piece.
async fn answer<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, answer: &[u8]) {
    let mut chunk = [0; 4096];
    while matches!(stream.read(&mut chunk).await, Ok(1..)) {
        if stream.write_all(answer).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}
