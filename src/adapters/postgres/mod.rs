//! The private PostgreSQL: who runs weir on one node installs the package and nothing else; weir makes a database in
//! its data directory, starts the server, and keeps it up.
//!
//! - Nobody else reaches it: no port, a socket in a folder of mode 0700, a password that is generated and kept beside.
//! - It outlives a killed weir, and the next weir adopts it: tying its life to ours (`PDEATHSIG`) would tie it to the
//!   thread that started it, and a server that dies with every crash of ours has to recover with every crash of ours.
//! - It is in a process group of its own: a Ctrl-C stops weir, and weir stops the server when nobody needs it any more.

mod account;
mod binaries;
mod cluster;
mod home;
mod log;
mod orders;
mod pid_file;
mod probe;
mod process;
mod server;
mod settings;
mod socket;
mod state;
mod supervisor;

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;

pub use settings::PrivateSettings;
pub use state::{Phase, PrivateState};

use crate::domain::fault::{Fault, Verdict};
use orders::{Order, Orders};
use state::Status;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use supervisor::Supervisor;
use tokio::sync::watch;

/// What faults name.
const SYSTEM: &str = "database";

/// A PostgreSQL of weir's own, under supervision. Dropping it without [`PrivatePostgres::stop`] stops it as well,
/// unheard.
pub struct PrivatePostgres {
    orders: Arc<Orders>,
    status: watch::Receiver<Status>,
    thread: Option<JoinHandle<Result<(), Fault>>>,
}

impl PrivatePostgres {
    /// Returns at once; a thread of its own brings the server up and keeps it up. `data` is weir's data directory, and
    /// nobody else may use it: the caller holds its lock.
    pub fn start(data: &Path, settings: PrivateSettings) -> Self {
        let orders = Arc::new(Orders::new());
        let (tell, status) = watch::channel(Status::new());
        let supervisor = Supervisor::new(data.to_path_buf(), settings, orders.clone(), tell);
        let thread = std::thread::Builder::new().name("weir-postgres".into()).spawn(move || supervisor.run());
        let thread = thread.inspect_err(|error| tracing::error!(%error, "no thread for PostgreSQL")).ok();
        Self { orders, status, thread }
    }

    /// How to connect. Waits for the first successful start; from then on it answers at once, and always the same.
    ///
    /// # Errors
    /// Give up: something is missing that a person must see to; the message says what. The attempts go on, so that
    /// asking again later is worth while. Retry: it was stopped before it was up.
    pub async fn endpoint(&self) -> Result<tokio_postgres::Config, Fault> {
        let hopeless = |status: &Status| status.why.as_ref().is_some_and(|fault| fault.verdict == Verdict::GiveUp);
        let settled = |status: &Status| status.endpoint.is_some() || status.phase == Phase::Stopped || hopeless(status);
        let mut status = self.status.clone();
        let ended = || Fault::retry(SYSTEM, "the private PostgreSQL was stopped before it was up");
        let status = status.wait_for(|status| settled(status)).await.map_err(|_| ended())?;
        match (&status.endpoint, &status.why) {
            (Some(endpoint), _) => Ok(endpoint.clone()),
            (None, Some(fault)) => Err(fault.clone()),
            (None, None) => Err(ended()),
        }
    }

    /// How it is.
    pub fn state(&self) -> PrivateState {
        self.status.borrow().shown()
    }

    /// Stops the server, the one it adopted too, and waits until it is gone: usually a fraction of a second, at most
    /// 40 s. Blocks the thread.
    ///
    /// # Errors
    /// Give up: the server does not stop; the message names its process.
    pub fn stop(mut self) -> Result<(), Fault> {
        self.end(Order::Stop)
    }

    fn end(&mut self, order: Order) -> Result<(), Fault> {
        self.orders.give(order);
        let ended = self.thread.take().map_or(Ok(Ok(())), JoinHandle::join);
        ended.unwrap_or_else(|_| Err(Fault::give_up(SYSTEM, "the supervision of PostgreSQL panicked; see the log")))
    }

    /// What a killed weir does: the server is left alone.
    #[cfg(test)]
    fn abandon(mut self) {
        self.end(Order::Abandon).unwrap();
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        if self.thread.is_some()
            && let Err(fault) = self.end(Order::Stop)
        {
            tracing::error!(%fault, "the private PostgreSQL did not stop in order");
        }
    }
}
