use crate::domain::fault::{Fault, Verdict};
use crate::store::tests::{attached, settings};
use crate::store::{Database, Settings};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_postgres::Config;
use tokio_postgres::config::Host;
use tokio_rustls::TlsAcceptor;

/// An authority (`ca.pem`) and a certificate of it for `localhost` (`server.pem`), with their keys.
const MAKE_CERTIFICATES: &str = "
    set -e
    new='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2'
    openssl req -x509 $new -keyout ca.key -out ca.pem -subj /CN=authority -addext basicConstraints=critical,CA:TRUE
    openssl req $new -keyout server.key -out server.csr -subj /CN=localhost
    printf 'subjectAltName=DNS:localhost\\nbasicConstraints=critical,CA:FALSE\\n' > server.ext
    openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext -out server.pem
";
/// Bytes of the question whether the server speaks TLS.
const QUESTION_BYTES: usize = 8;

fn certificates() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("sh").args(["-c", MAKE_CERTIFICATES]).current_dir(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    folder
}

fn acceptor(folder: &Path) -> TlsAcceptor {
    let chain = vec![CertificateDer::from_pem_file(folder.join("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    TlsAcceptor::from(Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap()))
}

/// A port in front of the server's socket, with TLS or without; its number.
async fn listen(server: &Config, tls: Option<TlsAcceptor>) -> u16 {
    let [Host::Unix(folder)] = server.get_hosts() else { panic!("one socket, not {server:?}") };
    let socket = folder.join(format!(".s.PGSQL.{}", server.get_ports()[0]));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = UnixStream::connect(&socket).await.unwrap();
            tokio::spawn(pass(client, server, tls.clone()));
        }
    });
    port
}

async fn pass(mut client: TcpStream, mut server: UnixStream, tls: Option<TlsAcceptor>) -> std::io::Result<()> {
    let Some(tls) = tls else {
        // The server itself says that it has no TLS.
        return copy_bidirectional(&mut client, &mut server).await.map(drop);
    };
    client.read_exact(&mut [0; QUESTION_BYTES]).await?;
    client.write_all(b"S").await?;
    copy_bidirectional(&mut tls.accept(client).await?, &mut server).await.map(drop)
}

/// Connects as a URL with this host and mode would.
async fn ping(real: &Config, port: u16, host: &str, mode: &str, root: Option<&Path>) -> Result<(), Fault> {
    let password = std::str::from_utf8(real.get_password().unwrap()).unwrap();
    let (user, name) = (real.get_user().unwrap(), real.get_dbname().unwrap());
    let url = format!("postgres://{user}:{password}@{host}:{port}/{name}?sslmode={mode}");
    let settings = Settings {
        url: Some(url.as_str().into()),
        tls_root_certificate: root.map(Path::to_path_buf),
        ..Settings::default()
    };
    attached(&settings).ping().await
}

#[tokio::test]
async fn a_server_is_who_its_certificate_says() {
    let real = settings().endpoint().unwrap().unwrap();
    let folder = certificates();
    let authority = folder.path().join("ca.pem");
    let port = listen(&real, Some(acceptor(folder.path()))).await;
    for mode in ["require", "prefer"] {
        ping(&real, port, "localhost", mode, Some(&authority)).await.unwrap();
        let unknown = ping(&real, port, "localhost", mode, None).await.unwrap_err();
        assert_eq!((unknown.verdict, unknown.message.contains("UnknownIssuer")), (Verdict::GiveUp, true), "{unknown}");
        assert!(unknown.message.ends_with("see database.tls_root_certificate"), "{unknown}");
        let other = ping(&real, port, "127.0.0.1", mode, Some(&authority)).await.unwrap_err();
        assert_eq!(other.verdict, Verdict::GiveUp, "{other}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_only_taken_where_that_is_allowed() {
    let real = settings().endpoint().unwrap().unwrap();
    let port = listen(&real, None).await;
    ping(&real, port, "localhost", "prefer", None).await.unwrap();
    ping(&real, port, "localhost", "disable", None).await.unwrap();
    let fault = ping(&real, port, "localhost", "require", None).await.unwrap_err();
    assert_eq!(fault.verdict, Verdict::GiveUp);
    assert_eq!(fault.message, "error performing TLS handshake: server does not support TLS");
}

#[test]
fn a_root_certificate_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (missing, empty) = (folder.path().join("missing.pem"), folder.path().join("empty.pem"));
    std::fs::write(&empty, "nothing").unwrap();
    for (path, why) in [(missing, "No such file"), (empty, "there is no certificate in it")] {
        let settings = Settings { tls_root_certificate: Some(path.clone()), ..Settings::default() };
        let config: Config = "postgres://localhost/db".parse().unwrap();
        let fault = Database::new(&settings).attach(config).unwrap_err();
        let named = fault.message.contains(path.to_str().unwrap());
        assert!(named && fault.message.contains(why) && fault.verdict == Verdict::GiveUp, "{fault}");
    }
}
