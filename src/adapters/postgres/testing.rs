//! One server for all tests of a process, and a database of its own for each that asks. Also used by the integration
//! tests, which include this file: of weir it uses the public [`PrivatePostgres`] alone.

use super::{PrivatePostgres, PrivateSettings};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio_postgres::config::Host;
use tokio_postgres::{Config, NoTls};

/// Waits for the end of the process that holds its standard input, however that comes, then ends the server and
/// removes its folder, both named by the arguments. A handler at exit would miss a kill and a Ctrl-C.
const WATCHER: &str = r#"
cat >/dev/null
file=$1/postgres/cluster/postmaster.pid
kill -QUIT "$(head -n 1 "$file")" && for _ in $(seq 200); do [ -e "$file" ] && sleep 0.05; done
rm -rf "$1"
"#;

/// The server that this process's tests share.
pub struct SharedPostgres {
    server: PrivatePostgres,
    /// Its standard input is closed by our end.
    _watcher: Child,
}

/// A fresh folder that a server which does not run as root can reach as well.
pub fn open_folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let mut builder = tempfile::Builder::new();
    builder.prefix("weir").permissions(std::fs::Permissions::from_mode(0o755));
    builder.tempdir().expect("a temporary folder")
}

/// The shared server, started by the first call.
pub fn shared() -> &'static SharedPostgres {
    static SHARED: OnceLock<SharedPostgres> = OnceLock::new();
    SHARED.get_or_init(|| {
        let folder = open_folder().keep();
        let watcher = watch(&folder);
        SharedPostgres { server: PrivatePostgres::start(&folder, PrivateSettings::default()), _watcher: watcher }
    })
}

fn watch(folder: &Path) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", WATCHER, "sh"]).arg(folder).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("a shell")
}

impl SharedPostgres {
    /// How to connect to the server.
    pub fn endpoint(&self) -> Config {
        block_on(async { self.server.endpoint().await.expect("PostgreSQL is installed and can be started") })
    }
}

/// The URL of a new, empty database that nobody else uses.
pub fn database() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let endpoint = shared().endpoint();
    let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    block_on(async {
        let (client, connection) = endpoint.connect(NoTls).await.expect("it takes connections");
        let connection = tokio::spawn(connection);
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("a new database");
        drop(client);
        connection.await.expect("no panic").expect("an orderly goodbye");
    });
    url(&endpoint, &name)
}

/// `postgres://user:password@%2Fthe%2Ffolder:5432/name`.
pub fn url(endpoint: &Config, name: &str) -> String {
    let [Host::Unix(folder)] = endpoint.get_hosts() else { panic!("one socket, not {endpoint:?}") };
    let folder = encoded(folder.to_str().expect("a plain path"));
    let user = endpoint.get_user().expect("a user");
    let password = str::from_utf8(endpoint.get_password().expect("a password")).expect("hexadecimal digits");
    format!("postgres://{user}:{password}@{folder}:{}/{name}", endpoint.get_ports()[0])
}

fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// On a thread of its own: a test may be within a runtime already.
pub fn block_on<T: Send>(work: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        scope.spawn(move || runtime.block_on(work)).join().expect("no panic")
    })
}
