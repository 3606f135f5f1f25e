//! The gate: closed until the business records were up for the first time since this start.
//!
//! Before that the catalog that the line has need not be the whole truth: changes may be committed that the log does
//! not have yet. Once open it stays open: what comes from the catalog can be answered while PostgreSQL is away.

use crate::domain::fault::Fault;
use tokio::sync::watch;

/// Which system a fault of the gate names.
const SYSTEM: &str = "business records";

/// Closed while weir starts, then open for good.
pub struct Gate(watch::Sender<State>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// With what is being waited for.
    Starting(String),
    Open,
}

impl Default for Gate {
    fn default() -> Self {
        Self(watch::Sender::new(State::Starting("the database is not attached yet".to_string())))
    }
}

impl Gate {
    /// Passes once the gate is open. Err: not yet, with the reason; to be retried.
    pub fn check(&self) -> Result<(), Fault> {
        match &*self.0.borrow() {
            State::Open => Ok(()),
            State::Starting(why) => Err(Fault::retry(SYSTEM, format!("still starting: {why}"))),
        }
    }

    /// Returns once the gate is open.
    pub async fn opened(&self) {
        let open = |state: &State| *state == State::Open;
        self.0.subscribe().wait_for(open).await.expect("the sender is borrowed here");
    }

    /// `open`, or `starting: ` and what is being waited for.
    pub fn state(&self) -> String {
        match &*self.0.borrow() {
            State::Open => "open".to_string(),
            State::Starting(why) => format!("starting: {why}"),
        }
    }

    /// Says what is being waited for.
    pub(super) fn waits_for(&self, why: String) {
        self.0.send_replace(State::Starting(why));
    }

    pub(super) fn open(&self) {
        self.0.send_replace(State::Open);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fault::Verdict;

    #[tokio::test]
    async fn a_gate_says_what_it_waits_for_until_it_is_open() {
        let gate = Gate::default();
        gate.waits_for("the line is 3 events behind".to_string());
        assert_eq!(gate.state(), "starting: the line is 3 events behind");
        let fault = gate.check().unwrap_err();
        assert_eq!(fault.verdict, Verdict::Retry);
        assert_eq!(fault.to_string(), "business records: still starting: the line is 3 events behind");
        gate.open();
        gate.opened().await;
        assert_eq!((gate.state().as_str(), gate.check().is_ok()), ("open", true));
    }
}
