//! What the owner wants of the supervising thread, and the thread's interruptible sleep.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Keep the server up.
    Run,
    /// Stop it and end.
    Stop,
    /// End as a killed weir does: the server is left alone.
    #[cfg(test)]
    Abandon,
}

pub struct Orders {
    order: Mutex<Order>,
    given: Condvar,
}

impl Orders {
    pub fn new() -> Self {
        Self { order: Mutex::new(Order::Run), given: Condvar::new() }
    }

    pub fn give(&self, order: Order) {
        *self.order.lock().unwrap_or_else(PoisonError::into_inner) = order;
        self.given.notify_all();
    }

    pub fn current(&self) -> Order {
        *self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps for `wait`, or until something else than to run is ordered; true: go on running.
    pub fn rest(&self, wait: Duration) -> bool {
        let order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let rested = self.given.wait_timeout_while(order, wait, |order| *order == Order::Run);
        *rested.unwrap_or_else(PoisonError::into_inner).0 == Order::Run
    }
}
