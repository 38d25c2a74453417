//! The floor: a server that does nothing but read as many bytes and write as many, over the same
//! sockets and the same TLS.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
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

/// Serves sessions and the login page until it is killed. Prints the two addresses.
pub(crate) fn run(dir: &Path) -> Outcome<()> {
    let read = |name: &str| std::fs::read(dir.join(name)).map(Arc::<[u8]>::from);
    let (replies, page) = (read(REPLIES)?, read(PAGE)?);
    let chain = CertificateDer::pem_file_iter(dir.join(CHAIN))?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(dir.join(KEY))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    let tls = TlsAcceptor::from(Arc::new(config));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let sessions = TcpListener::bind("127.0.0.1:0").await?;
        let pages = TcpListener::bind("127.0.0.1:0").await?;
        println!("{} {}", sessions.local_addr()?, pages.local_addr()?);
        loop {
            tokio::select! {
                accepted = sessions.accept() => {
                    let (stream, _) = accepted?;
                    stream.set_nodelay(true)?;
                    tokio::spawn(session(stream, Arc::clone(&replies)));
                }
                accepted = pages.accept() => {
                    let (stream, _) = accepted?;
                    stream.set_nodelay(true)?;
                    let (tls, page) = (tls.clone(), Arc::clone(&page));
                    tokio::spawn(async move {
                        if let Ok(stream) = tls.accept(stream).await {
                            answer(stream, &page).await;
                        }
                    });
                }
            }
        }
    })
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
