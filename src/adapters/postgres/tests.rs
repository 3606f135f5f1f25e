//! Over the real server. Each test stops what it starts: a [`PrivatePostgres`] by being dropped, one that was left
//! alone by [`Left`].

use super::account::Account;
use super::home::Home;
use super::pid_file::PidFile;
use super::testing::{block_on, open_folder};
use super::*;
use rustix::process::{Pid, Signal, geteuid, getpgid, getpgrp, kill_process};
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, NoTls};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A data directory that is gone after the test.
struct Data {
    path: PathBuf,
    _folder: TempDir,
}

impl Data {
    fn new() -> Self {
        Self::named("data")
    }

    fn named(name: &str) -> Self {
        let folder = open_folder();
        Self { path: folder.path().join(name), _folder: folder }
    }

    fn start(&self) -> PrivatePostgres {
        PrivatePostgres::start(&self.path, PrivateSettings::default())
    }

    fn home(&self) -> Home {
        Home::open(&self.path).unwrap()
    }

    fn drafts(&self) -> usize {
        let entries = std::fs::read_dir(self.home().root).unwrap().map(|entry| entry.unwrap().file_name());
        entries.filter(|name| name.to_str().unwrap().starts_with("new-")).count()
    }
}

/// A server that nobody supervises; ended at the end of the test, however that comes.
struct Left(Pid);

impl Left {
    fn by(server: PrivatePostgres) -> Self {
        let left = Self(pid(&server));
        server.abandon();
        left
    }

    /// Without waiting: whoever supervises it sees it dead.
    fn kill(&self) {
        kill_process(self.0, Signal::KILL).unwrap();
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        if process::alive(self.0) {
            let _ = kill_process(self.0, Signal::QUIT);
        }
    }
}

fn endpoint(server: &PrivatePostgres) -> Config {
    block_on(async { tokio::time::timeout(PATIENCE, server.endpoint()).await.unwrap().unwrap() })
}

/// The fault that whoever waits for the server is told.
fn refusal(server: &PrivatePostgres) -> Fault {
    block_on(async { tokio::time::timeout(PATIENCE, server.endpoint()).await.unwrap().unwrap_err() })
}

fn wait_until(server: &PrivatePostgres, seen: impl Fn(&PrivateState) -> bool + Send + Sync) -> PrivateState {
    let mut status = server.status.clone();
    block_on(async move {
        let waited = tokio::time::timeout(PATIENCE, status.wait_for(|status| seen(&status.shown()))).await;
        waited.unwrap_or_else(|_| panic!("still {}", server.state())).unwrap().shown()
    })
}

fn pid(server: &PrivatePostgres) -> Pid {
    let state = wait_until(server, |state| state.phase == Phase::Running);
    Pid::from_raw(state.pid.unwrap().cast_signed()).unwrap()
}

fn with<T: Send>(endpoint: &Config, work: impl AsyncFnOnce(&Client) -> T + Send) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = endpoint.connect(NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let answer = work(&client).await;
        drop(client);
        connection.await.unwrap().unwrap();
        answer
    })
}

fn ask(endpoint: &Config, question: &str) -> String {
    with(endpoint, async |client| client.query_one(question, &[]).await.unwrap().get(0))
}

fn run(endpoint: &Config, statements: &str) {
    with(endpoint, async |client| client.batch_execute(statements).await.unwrap());
}

#[test]
fn an_empty_directory_becomes_a_database_that_is_set_up_as_promised() {
    let data = Data::new();
    let server = data.start();
    let endpoint = endpoint(&server);
    for (setting, expected) in [
        ("server_encoding", "UTF8"),
        ("lc_collate", "C.UTF-8"),
        ("data_checksums", "on"),
        ("fsync", "on"),
        ("listen_addresses", ""),
        ("max_connections", "40"),
        ("password_encryption", "scram-sha-256"),
    ] {
        assert_eq!(ask(&endpoint, &format!("SELECT current_setting('{setting}')")), expected, "{setting}");
    }
    assert_eq!(ask(&endpoint, "SELECT current_database() || ' ' || current_user"), "weir weir");
    for (name, mode) in [("password", 0o600), ("cluster", 0o700), ("socket", 0o700), ("server.log", 0o600)] {
        let found = std::fs::metadata(data.home().root.join(name)).unwrap();
        assert_eq!(found.mode() & 0o777, mode, "{name}");
    }
    let pid = pid(&server);
    assert_ne!(getpgid(Some(pid)).unwrap(), getpgrp(), "the terminal's signals are not for the server");
    assert_eq!(server.state().to_string(), "running");
    server.stop().unwrap();
    assert!(!process::alive(pid) && !process::served(&data.home().cluster()), "nothing is left");
    assert!(!data.home().postmaster_pid().exists(), "it stopped in order");
}

#[test]
fn nobody_comes_in_without_the_password_and_what_is_stored_is_not_logged() {
    let data = Data::new();
    let server = data.start();
    let endpoint = endpoint(&server);
    let refused = block_on(async { endpoint.clone().password("a guess").connect(NoTls).await.err() });
    assert_eq!(refused.unwrap().code().unwrap().code(), "28P01");
    run(&endpoint, "CREATE TABLE t (a text PRIMARY KEY)");
    with(&endpoint, async |client| {
        let insert = "INSERT INTO t VALUES ($1)";
        client.execute(insert, &[&"hunter2"]).await.unwrap();
        client.execute(insert, &[&"hunter2"]).await.unwrap_err();
    });
    let log = std::fs::read_to_string(data.home().log()).unwrap();
    assert!(log.contains("t_pkey") && !log.contains("hunter2"), "{log}");
    assert!(!log.contains(&data.home().password().unwrap()));
    server.stop().unwrap();
}

#[test]
fn a_killed_server_comes_back_with_what_was_committed_and_it_shows() {
    let data = Data::new();
    std::fs::create_dir(&data.path).unwrap();
    let account = Account::choose(&data.home().cluster()).unwrap();
    let installed = binaries::Binaries::find(None, None, &account, &data.home().root).unwrap().dir;
    let link = data.path.join("bin");
    symlink(&installed, &link).unwrap();
    let settings = PrivateSettings { bin_dir: Some(link.clone()), ..PrivateSettings::default() };
    let server = PrivatePostgres::start(&data.path, settings);
    let endpoint = endpoint(&server);
    run(&endpoint, "CREATE TABLE t (a text); INSERT INTO t VALUES ('kept')");
    let first = pid(&server);
    // It cannot come back before somebody looked.
    std::fs::remove_file(&link).unwrap();
    kill_process(first, Signal::KILL).unwrap();
    let state = wait_until(&server, |state| state.phase == Phase::Restarting && state.pid.is_none());
    assert!(state.to_string().starts_with("restarting: "), "{state}");
    symlink(&installed, &link).unwrap();
    let state = wait_until(&server, |state| state.phase == Phase::Running);
    assert_eq!((state.starts, state.why), (2, None));
    assert_ne!(pid(&server), first);
    assert_eq!(ask(&endpoint, "SELECT a FROM t"), "kept", "where it was reached before");
    server.stop().unwrap();
}

#[test]
fn a_server_whose_weir_was_killed_is_adopted_and_stopped_at_the_end() {
    let data = Data::new();
    let first = data.start();
    let before = endpoint(&first);
    run(&before, "CREATE TABLE t (a text); INSERT INTO t VALUES ('kept')");
    let left = Left::by(first);
    assert!(process::alive(left.0), "it is left alone");
    let second = data.start();
    let after = endpoint(&second);
    assert_eq!(pid(&second), left.0);
    assert_eq!(after, before);
    assert_eq!(ask(&after, "SELECT a FROM t"), "kept");
    // An adopted one is supervised as any other.
    left.kill();
    wait_until(&second, |state| state.starts == 2);
    assert_eq!(ask(&after, "SELECT a FROM t"), "kept");
    let third = Left::by(second);
    let fourth = data.start();
    assert_eq!(pid(&fourth), third.0);
    fourth.stop().unwrap();
    assert!(!process::alive(third.0) && !process::served(&data.home().cluster()), "nothing is left");
}

#[test]
fn a_server_that_cannot_be_reached_any_more_is_replaced() {
    let data = Data::new();
    let server = data.start();
    let endpoint = endpoint(&server);
    let socket = socket::in_folder(&data.home().root.join("socket"));
    // Under supervision …
    std::fs::remove_file(&socket).unwrap();
    wait_until(&server, |state| state.starts == 2);
    assert_eq!(ask(&endpoint, "SELECT 'here'"), "here");
    // … and left behind.
    let left = Left::by(server);
    std::fs::remove_file(&socket).unwrap();
    let server = data.start();
    assert_ne!(pid(&server), left.0);
    assert!(!process::alive(left.0));
    server.stop().unwrap();
}

#[test]
fn an_old_pid_file_stops_nobody() {
    let data = Data::new();
    let server = data.start();
    endpoint(&server);
    server.stop().unwrap();
    let home = data.home();
    let account = Account::choose(&home.cluster()).unwrap();
    let mut ended = account.command(Path::new("/bin/true"), &home.root).spawn().unwrap();
    ended.wait().unwrap();
    // One of the server's own user: the server alone would take it for a server.
    let mut other = account.command(Path::new("/bin/sleep"), &home.root).arg("600").spawn().unwrap();
    let rest = format!("{}\n1700000000\n5432\n{}/socket\n", home.cluster().display(), home.root.display());
    for (what, text) in [
        ("a process that ended", format!("{}\n{rest}", ended.id())),
        ("another process by now", format!("{}\n{rest}", other.id())),
        ("nothing", String::new()),
    ] {
        let file = home.postmaster_pid();
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        account.own(&file).unwrap();
        let server = data.start();
        assert_eq!(ask(&endpoint(&server), "SELECT 'up'"), "up", "{what}");
        server.stop().unwrap();
    }
    assert!(other.try_wait().unwrap().is_none(), "a stranger is left alone");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn two_directories_have_two_servers_side_by_side() {
    let (one, other) = (Data::new(), Data::new());
    let (first, second) = (one.start(), other.start());
    let (here, there) = (endpoint(&first), endpoint(&second));
    assert_ne!(pid(&first), pid(&second));
    assert_ne!(one.home().password().unwrap(), other.home().password().unwrap());
    run(&here, "CREATE TABLE t (a text)");
    assert_eq!(ask(&there, "SELECT count(*)::text FROM pg_tables WHERE tablename = 't'"), "0");
    first.stop().unwrap();
    assert_eq!(ask(&there, "SELECT 'still up'"), "still up");
    second.stop().unwrap();
}

#[test]
fn a_directory_with_a_long_path_has_its_socket_elsewhere() {
    let data = Data::named(&"x".repeat(150));
    let server = data.start();
    let endpoint = endpoint(&server);
    let [Host::Unix(folder)] = endpoint.get_hosts() else { panic!("{endpoint:?}") };
    assert!(!folder.starts_with(&data.path) && folder.exists(), "{}", folder.display());
    assert_eq!(std::fs::metadata(folder).unwrap().mode() & 0o777, 0o700);
    assert_eq!(ask(&endpoint, "SELECT 'up'"), "up");
    let left = Left::by(server);
    let server = data.start();
    assert_eq!(pid(&server), left.0, "it is found there again");
    server.stop().unwrap();
    assert!(!folder.exists(), "nothing is left in the temporary folder");
}

#[test]
fn a_database_of_another_version_is_refused_with_what_to_do() {
    let data = Data::new();
    let server = data.start();
    endpoint(&server);
    server.stop().unwrap();
    let file = data.home().cluster().join("PG_VERSION");
    let version = std::fs::read(&file).unwrap();
    std::fs::write(&file, "9.6\n").unwrap();
    let server = data.start();
    let fault = refusal(&server);
    assert_eq!(fault.verdict, Verdict::GiveUp);
    assert!(fault.message.contains("made by PostgreSQL 9") && fault.message.contains("pg_upgrade"), "{fault}");
    let state = wait_until(&server, |state| state.phase == Phase::Failed);
    assert!(state.to_string().starts_with("failed: the database was made by"), "{state}");
    // It keeps trying: once a person has seen to it, it is up.
    std::fs::write(&file, version).unwrap();
    wait_until(&server, |state| state.phase == Phase::Running);
    server.stop().unwrap();
}

#[test]
fn a_directory_that_the_server_cannot_reach_is_refused_with_a_proposal() {
    let data = Data::new();
    std::fs::create_dir(&data.path).unwrap();
    std::fs::set_permissions(&data.path, Permissions::from_mode(0o700)).unwrap();
    let server = data.start();
    if geteuid().is_root() {
        let fault = refusal(&server);
        assert_eq!(fault.verdict, Verdict::GiveUp);
        let folder = data.path.canonicalize().unwrap();
        assert!(fault.message.contains(&format!("may not pass {}:", folder.display())), "{fault}");
        assert!(fault.message.contains("--data /var/lib/weir"), "{fault}");
    } else {
        // Whoever owns the folder passes it, and runs the server as itself.
        endpoint(&server);
    }
    server.stop().unwrap();
}

#[test]
fn what_is_missing_is_said_to_whoever_waits() {
    let data = Data::new();
    let settings = PrivateSettings { bin_dir: Some("/nonexistent/bin".into()), ..PrivateSettings::default() };
    let server = PrivatePostgres::start(&data.path, settings);
    let fault = refusal(&server);
    assert!(fault.message.contains("/nonexistent/bin") && fault.message.contains("apt-get install"), "{fault}");
    server.stop().unwrap();
}

#[test]
fn a_lost_password_is_named_and_a_wrong_one_leaves_the_server_alone() {
    let data = Data::new();
    let server = data.start();
    endpoint(&server);
    server.stop().unwrap();
    let file = data.home().root.join("password");
    let right = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let server = data.start();
    assert!(refusal(&server).message.contains(&file.display().to_string()));
    std::fs::write(&file, "wrong").unwrap();
    let fault = wait_until(&server, |state| state.pid.is_some() && state.to_string().contains("authentication"));
    assert_eq!(fault.phase, Phase::Failed);
    std::fs::write(&file, right).unwrap();
    assert_eq!(Pid::from_raw(fault.pid.unwrap().cast_signed()), Some(pid(&server)), "one server all the while");
    server.stop().unwrap();
}

#[test]
fn a_weir_that_ends_while_the_database_is_made_leaves_none_and_the_next_makes_it() {
    let data = Data::new();
    let server = data.start();
    while data.path.join("postgres").read_dir().is_ok_and(|mut entries| entries.all(|entry| !is_draft(&entry.unwrap())))
        || !data.path.join("postgres").exists()
    {
        std::thread::yield_now();
    }
    server.stop().unwrap();
    assert!(!data.home().cluster().exists());
    assert_eq!(data.drafts(), 0);
    // What a kill leaves behind.
    let half = data.home().root.join("new-half/cluster");
    std::fs::create_dir_all(&half).unwrap();
    std::fs::write(half.join("PG_VERSION"), "15\n").unwrap();
    let server = data.start();
    assert_eq!(ask(&endpoint(&server), "SELECT 'whole'"), "whole");
    assert_eq!(data.drafts(), 0);
    server.stop().unwrap();
}

fn is_draft(entry: &std::fs::DirEntry) -> bool {
    entry.file_name().to_string_lossy().starts_with("new-")
}

#[test]
fn the_servers_own_pid_file_is_understood() {
    let data = Data::new();
    let server = data.start();
    endpoint(&server);
    let file = PidFile::parse(&std::fs::read(data.home().postmaster_pid()).unwrap()).unwrap();
    assert_eq!(file.pid, pid(&server));
    assert_eq!(file.cluster, data.home().cluster());
    assert_eq!(file.socket_folder, Some(data.home().root.join("socket")));
    assert!(!file.single_user);
    server.stop().unwrap();
}

#[test]
fn tests_share_one_server_and_each_has_a_database_of_its_own() {
    let (one, other): (Config, Config) = (testing::database().parse().unwrap(), testing::database().parse().unwrap());
    run(&one, "CREATE TABLE t (a text)");
    assert_eq!(ask(&other, "SELECT count(*)::text FROM pg_tables WHERE tablename = 't'"), "0");
    assert_ne!(ask(&one, "SELECT current_database()"), ask(&other, "SELECT current_database()"));
}
