//! History: usage and balance by calendar windows, and the burn-down phase by phase.

use super::{BalanceError, Balances};
use crate::domain::entitlement::history::{Segment, history, history_needs};
use crate::domain::metering::window::{Window, WindowSize, Windows};
use crate::domain::quantity::Quantity;
use crate::domain::time::Instant;
use crate::services::entitlements::{NotMetered, Shown};
use jiff::tz::TimeZone;

/// Which time, in windows of which size on whose clock.
#[derive(Debug, Clone)]
pub struct HistoryAsk {
    /// Absent: from the last reset by hand on, else from where measuring began.
    pub from: Option<Instant>,
    /// Absent: up to now.
    pub to: Option<Instant>,
    pub size: WindowSize,
    pub zone: TimeZone,
}

/// How a balance went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalanceHistory {
    /// Consecutive; windows that begin before measuring began are left out.
    pub windows: Vec<BalanceWindow>,
    pub segments: Vec<Segment>,
}

/// A calendar window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalanceWindow {
    pub window: Window,
    /// The meter's value of the window, from the begin of the time that was asked for on.
    pub usage: Quantity,
    /// Of the burn-down at the window's begin, before carried overage is taken.
    pub balance_at_start: Quantity,
}

impl Balances {
    /// How the balance of a metered entitlement went. Bounds are cut to full minutes, outwards.
    pub async fn history(
        &self,
        namespace: &str,
        shown: &Shown,
        ask: &HistoryAsk,
    ) -> Result<BalanceHistory, BalanceError> {
        let entitlement = &shown.entitlement;
        let metered = entitlement.metered().ok_or(NotMetered(entitlement.kind.name()))?;
        let (begun, last_reset) = (metered.measure_from, shown.last_reset.unwrap_or(metered.measure_from));
        let from = ask.from.unwrap_or(last_reset).floor_to_minute();
        let to = ask.to.unwrap_or_else(|| self.now()).ceil_to_minute();
        if from < begun {
            let (from, measure_from) = (from.to_rfc3339(), begun.to_rfc3339());
            return Err(BalanceError::BeforeMeasuring { from, measure_from });
        }
        if to <= from {
            // Nothing has happened yet in a time that nobody named.
            let nothing = BalanceHistory { windows: Vec::new(), segments: Vec::new() };
            let is_named = ask.from.is_some() || ask.to.is_some();
            let backwards = || BalanceError::Backwards { from: from.to_rfc3339(), to: to.to_rfc3339() };
            return if is_named { Err(backwards()) } else { Ok(nothing) };
        }
        let windows = self.windows(ask, from..to, begun)?;
        let mut accounts = self.accounts(namespace, &[entitlement]).await?;
        let account = accounts.remove(&entitlement.id).expect("a metered one has an account");
        let starts: Vec<Instant> = windows.iter().map(|window| window.start).collect();
        // The first window is told from its begin on.
        let told_from = starts.first().copied().map_or(from, |start| start.min(from));
        let needs = history_needs(&account.terms, told_from, to, &starts)?;
        let (usage, _) = self.measure(&account.measured, &needs).await?;
        let told = history(&account.terms, told_from, to, &starts, &usage)?;
        let calendar = Windows::Calendar(ask.size, ask.zone.clone());
        let (rows, _) = self.usage(&account.measured, from, to, calendar).await?;
        let balance_windows = windows.into_iter().map(|window| {
            let row = rows.binary_search_by_key(&window.start, |row| row.window_start);
            let start = told.starts.binary_search_by_key(&window.start, |(at, _)| *at);
            BalanceWindow {
                window,
                usage: row.map_or(Quantity::ZERO, |row| rows[row].value),
                balance_at_start: start.map_or(Quantity::ZERO, |start| told.starts[start].1),
            }
        });
        Ok(BalanceHistory { windows: balance_windows.collect(), segments: told.segments })
    }

    /// The windows that cover the time, but for those that begin before measuring did.
    fn windows(
        &self,
        ask: &HistoryAsk,
        time: std::ops::Range<Instant>,
        begun: Instant,
    ) -> Result<Vec<Window>, BalanceError> {
        let windows_max = self.settings.history_windows_max;
        let mut windows = Vec::new();
        let mut next = time.start;
        while next < time.end {
            let window = ask.size.window_at(next, &ask.zone);
            if window.start >= begun {
                windows.push(window);
            }
            if windows.len() > windows_max {
                return Err(BalanceError::TooManyWindows { windows_max });
            }
            next = window.end;
        }
        Ok(windows)
    }
}
