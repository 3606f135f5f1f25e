//! A new cluster. It is made beside its place and moved there whole, so that a crash never leaves half of one.

use super::SYSTEM;
use super::account::Account;
use super::binaries::Binaries;
use super::home::{Home, failed, random_hex};
use super::log;
use super::orders::Orders;
use crate::domain::fault::Fault;
use rustix::process::{Pid, Signal, kill_process_group};
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

/// The administrator, as whom weir connects.
pub const USER: &str = "weir";

/// How initdb makes a cluster: any text, compared byte by byte, checked at every read; nobody without the password.
const INITDB: [&str; 5] =
    ["--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums", "--auth=scram-sha-256", "--username=weir"];

/// How often a running initdb is looked at.
const STEP: Duration = Duration::from_millis(10);

/// Makes the cluster of `home`, which has none. Takes seconds; `orders` cut it short.
pub fn make(home: &Home, account: &Account, binaries: &Binaries, orders: &Orders) -> Result<(), Fault> {
    home.clear_drafts();
    let password = random_hex::<32>()?;
    let draft = home.draft(account, &password)?;
    let cluster = draft.join("cluster");
    let made = init(home, account, binaries, &draft, orders).and_then(|()| home.take(&cluster, &password));
    home.clear_drafts();
    made?;
    tracing::info!(cluster = %home.cluster().display(), version = binaries.major, "a PostgreSQL database was made");
    Ok(())
}

fn init(home: &Home, account: &Account, binaries: &Binaries, draft: &Path, orders: &Orders) -> Result<(), Fault> {
    let said = log::length(&home.log());
    let initdb = binaries.initdb();
    let mut command = account.command(&initdb, draft);
    command.args(INITDB).arg("--pwfile=password").arg("--pgdata=cluster");
    command.stdout(Stdio::null()).stderr(log::open(&home.log())?);
    let child = command.spawn().map_err(failed(&initdb))?;
    match ended(child, orders).map_err(failed(&initdb))? {
        Some(status) if status.success() => Ok(()),
        Some(status) => {
            let words = log::last_words(&home.log(), said);
            Err(Fault::retry(SYSTEM, format!("{} failed ({status}): {words}", initdb.display())))
        }
        None => Err(Fault::retry(SYSTEM, "weir stops; the database was not made yet")),
    }
}

/// Waits for the child; `None`: it was ended because weir stops.
fn ended(mut child: Child, orders: &Orders) -> std::io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if !orders.rest(STEP) {
            let group = Pid::from_child(&child);
            // With the processes that it started. A group that is gone has ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
            child.wait()?;
            return Ok(None);
        }
    }
}
