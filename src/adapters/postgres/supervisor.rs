//! The thread that brings the server up and keeps it up. Every attempt is the same: see what is there, adopt the
//! server that runs or start one, wait until it answers, and watch it until it ends. So it does not matter at which
//! moment the last attempt, or the last weir, was cut off.

use super::SYSTEM;
use super::home::{Home, failed};
use super::log;
use super::orders::{Order, Orders};
use super::probe::{self, Refusal};
use super::process;
use super::server::{Server, Site};
use super::settings::PrivateSettings;
use super::socket;
use super::state::{Phase, Status};
use crate::domain::fault::Fault;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How often a running server is looked at: for its process, its socket, its log's length.
const WATCH_EVERY: Duration = Duration::from_millis(250);
/// How often a starting server is asked.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// How long a server that was found running may be without a socket before it is replaced.
const ORPHAN_WAIT: Duration = Duration::from_secs(5);
/// Between attempts, in milliseconds: the first wait, doubled up to the last.
const BACKOFF_MS: [u64; 2] = [100, 30_000];
/// A server that ran for so long is restarted as if it were the first time.
const STEADY: Duration = Duration::from_secs(60);

pub struct Supervisor {
    data: PathBuf,
    settings: PrivateSettings,
    orders: Arc<Orders>,
    status: watch::Sender<Status>,

    /// Started or adopted, and not known to have ended.
    server: Option<Server>,
    /// Where the first server listened; every later one does, so that clients find it again.
    socket_folder: Option<PathBuf>,
    /// Attempts since the last steady run.
    failures: u32,
}

impl Supervisor {
    pub fn new(data: PathBuf, settings: PrivateSettings, orders: Arc<Orders>, status: watch::Sender<Status>) -> Self {
        Self { data, settings, orders, status, server: None, socket_folder: None, failures: 0 }
    }

    /// Until it is ordered to end. The answer is how stopping the server went.
    pub fn run(mut self) -> Result<(), Fault> {
        while self.orders.current() == Order::Run {
            let attempt = catch_unwind(AssertUnwindSafe(|| self.attempt()));
            let ended = attempt.unwrap_or_else(|_| Err(Fault::retry(SYSTEM, "its supervision panicked; see the log")));
            if let Err(fault) = ended {
                self.note(fault);
                let wait = backoff(self.failures);
                self.failures = self.failures.saturating_add(1);
                self.orders.rest(wait);
            }
        }
        let stopped = match self.server.take() {
            Some(server) if self.orders.current() == Order::Stop => self.stop(&server),
            _ => Ok(()),
        };
        self.status.send_modify(|status| {
            (status.phase, status.why, status.pid) = (Phase::Stopped, stopped.as_ref().err().cloned(), None);
        });
        stopped
    }

    /// Ends with a fault, or because something else was ordered.
    fn attempt(&mut self) -> Result<(), Fault> {
        let site = Site::prepare(&self.data, &self.settings, self.socket_folder.clone(), &self.orders)?;
        let password = site.home.password()?;
        let server = match site.running()? {
            Some(server) => server,
            None => site.start(&self.settings)?,
        };
        self.server = Some(server.clone());
        self.status.send_modify(|status| status.pid = Some(process_id(&server)));
        if self.ready(&server, &site, &password)? {
            self.tell_running(&server, &password);
            self.watch(&server, &site.home)?;
        }
        Ok(())
    }

    /// Waits until the server answers; false: something else was ordered.
    fn ready(&self, server: &Server, site: &Site, password: &str) -> Result<bool, Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed(&site.home.root))?;
        let began = Instant::now();
        loop {
            let answer = match server.adopted.map_or(Ok(()), |_| socket::check(&server.socket_folder, &site.account)) {
                Ok(()) => runtime.block_on(probe::probe(server, &site.home, password)),
                Err(fault) => Err(Refusal::NotThere(fault.message)),
            };
            match answer {
                Ok(()) => return Ok(true),
                Err(Refusal::Fault(fault)) => return Err(fault),
                Err(_) if !process::alive(server.pid) => return Err(ended(server, &site.home)),
                Err(Refusal::NotThere(why)) if server.adopted.is_some() && began.elapsed() > ORPHAN_WAIT => {
                    return Err(replace(server, &site.home, &why));
                }
                Err(Refusal::NotThere(_)) => {}
                Err(Refusal::NotYet(why)) => self.status.send_modify(|status| {
                    status.why = Some(Fault::retry(SYSTEM, why));
                }),
            }
            if !self.orders.rest(ASK_EVERY) {
                return Ok(false);
            }
        }
    }

    fn tell_running(&mut self, server: &Server, password: &str) {
        let adopted = server.adopted.is_some();
        tracing::info!(pid = %server.pid, adopted, folder = %server.socket_folder.display(), "PostgreSQL is up");
        self.socket_folder = Some(server.socket_folder.clone());
        self.status.send_modify(|status| {
            (status.phase, status.why) = (Phase::Running, None);
            status.starts += 1;
            status.endpoint = Some(probe::endpoint(&server.socket_folder, password));
        });
    }

    /// Watches the server until it ends (a fault) or something else is ordered.
    fn watch(&mut self, server: &Server, home: &Home) -> Result<(), Fault> {
        let began = Instant::now();
        let socket = socket::in_folder(&server.socket_folder);
        while self.orders.rest(WATCH_EVERY) {
            if !process::alive(server.pid) {
                return Err(ended(server, home));
            }
            if !socket.exists() {
                // Cleaners of temporary folders do that; nobody could connect any more.
                process::shut_down(server.pid)?;
                return Err(Fault::retry(SYSTEM, format!("the socket {} was removed", socket.display())));
            }
            if began.elapsed() > STEADY {
                self.failures = 0;
            }
            if let Err(error) = log::bound(&home.log()) {
                tracing::warn!(%error, path = %home.log().display(), "the server's log cannot be kept short");
            }
        }
        Ok(())
    }

    fn note(&mut self, fault: Fault) {
        tracing::warn!(%fault, tries = self.failures, "PostgreSQL is not up; weir will try again");
        self.server = self.server.take().filter(|server| process::alive(server.pid));
        let pid = self.server.as_ref().map(process_id);
        self.status.send_modify(|status| {
            status.phase = if status.starts > 0 { Phase::Restarting } else { Phase::Failed };
            (status.why, status.pid) = (Some(fault), pid);
        });
    }

    fn stop(&self, server: &Server) -> Result<(), Fault> {
        process::shut_down(server.pid)?;
        tracing::info!(pid = %server.pid, "PostgreSQL is stopped");
        // Elsewhere than in the data directory nothing is left; in it the empty folder harms nobody.
        let _ = std::fs::remove_dir(&server.socket_folder);
        Ok(())
    }
}

fn process_id(server: &Server) -> u32 {
    server.pid.as_raw_nonzero().get().unsigned_abs()
}

fn ended(server: &Server, home: &Home) -> Fault {
    let words = log::last_words(&home.log(), server.log_from);
    Fault::retry(SYSTEM, format!("PostgreSQL, process {}, ended; its last words: {words}", server.pid))
}

/// Ends a server that runs on our cluster and cannot be used, so that the next attempt starts one.
fn replace(server: &Server, home: &Home, why: &str) -> Fault {
    if process::serves(server.pid, &home.cluster()).is_none() {
        let message = format!(
            "process {} seems to run on {}, and cannot be reached ({why}): stop it, or if it is no PostgreSQL remove {}",
            server.pid,
            home.cluster().display(),
            home.postmaster_pid().display()
        );
        return Fault::give_up(SYSTEM, message);
    }
    let stopped = || format!("a PostgreSQL that was left behind could not be reached ({why}), and was stopped");
    process::shut_down(server.pid).err().unwrap_or_else(|| Fault::retry(SYSTEM, stopped()))
}

/// Half of the wait is fixed, half random: weirs that fell together do not rise together.
fn backoff(failures: u32) -> Duration {
    let whole = BACKOFF_MS[0].saturating_mul(1 << failures.min(20)).min(BACKOFF_MS[1]);
    let off = RandomState::new().hash_one(failures) % (whole / 2 + 1);
    Duration::from_millis(whole - off)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_lose_at_most_half() {
        for (failures, whole) in [(0, 100), (1, 200), (5, 3_200), (9, 30_000), (u32::MAX, 30_000)] {
            let wait = u64::try_from(backoff(failures).as_millis()).unwrap();
            assert!((whole / 2..=whole).contains(&wait), "after {failures}: {wait} ms");
        }
    }
}
