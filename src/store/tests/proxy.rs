//! A way to PostgreSQL that can lose an answer.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// Largest piece that is passed on at once, in bytes.
const PIECE_BYTES: usize = 64 << 10;

/// Listens on a port of its own until the test's runtime ends.
pub struct Proxy {
    port: u16,
    swallow: Arc<AtomicBool>,
}

impl Proxy {
    /// In front of a server with a socket.
    pub async fn start(server: &Config) -> Self {
        let [Host::Unix(folder)] = server.get_hosts() else { panic!("one socket, not {server:?}") };
        let socket = folder.join(format!(".s.PGSQL.{}", server.get_ports()[0]));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let swallow = Arc::new(AtomicBool::new(false));
        tokio::spawn(listen(listener, socket, swallow.clone()));
        Self { port, swallow }
    }

    /// The same database, by this way.
    pub fn endpoint(&self, server: &Config) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).ssl_mode(tokio_postgres::config::SslMode::Disable);
        config.user(server.get_user().unwrap()).dbname(server.get_dbname().unwrap());
        config.password(server.get_password().unwrap());
        config
    }

    /// The server gets the next `COMMIT` and does it; the connection ends before its answer is passed on.
    pub fn swallow_the_answer_to_the_next_commit(&self) {
        self.swallow.store(true, Ordering::SeqCst);
    }
}

async fn listen(listener: TcpListener, socket: PathBuf, swallow: Arc<AtomicBool>) {
    while let Ok((client, _)) = listener.accept().await {
        let server = UnixStream::connect(&socket).await.unwrap();
        tokio::spawn(pass(client, server, swallow.clone()));
    }
}

/// Until one side ends, or an answer is swallowed.
async fn pass(mut client: TcpStream, mut server: UnixStream, swallow: Arc<AtomicBool>) {
    let (mut asked, mut answered) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                // The word alone: `READ COMMITTED` begins a transaction.
                let commits = asked[..length].windows(7).any(|word| word == b"COMMIT\0");
                server.write_all(&asked[..length]).await.unwrap();
                if commits && swallow.swap(false, Ordering::SeqCst) {
                    // The answer comes when the commit is done.
                    assert!(server.read(&mut answered).await.unwrap() > 0, "the server answered");
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                if client.write_all(&answered[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}
