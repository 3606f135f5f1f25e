//! Entitlements: what a customer may use, and what is left of it.
//!
//! Grants are amounts, usage is taken from them in a fixed order, and what nothing is left for is overage. The time of
//! balances is the minute. [`burndown`] is the engine: a pure function of terms and usage, so that a late event, a
//! backdated grant or a void need no repair anywhere: the same function gives the new answer.

pub mod burndown;
pub mod draft;
pub mod grant;
pub mod grant_draft;
pub mod history;
pub mod interval;
pub mod layers;
pub mod period;
pub mod phase_usage;
pub mod record;
pub mod recurrence;
pub mod standing;
pub mod terms;

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod testing;
