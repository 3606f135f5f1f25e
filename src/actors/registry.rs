//! Registry: all trackers, by customer.
//!
//! It is not an actor but what they share: shards of a roster under short locks, the names that lead to trackers, and up
//! to where the line's batches have been handed over. A question goes to the customer's tracker once everything that was
//! acknowledged for that customer has reached its mailbox; an answer counts only if the tracker is still the customer's
//! when it comes. Whoever alters what balances stand on has the tracker dropped; the next question makes another.
//!
//! Trackers never hold the line: what a mailbox cannot take drops its tracker. Those that nobody asks leave, and there
//! are never more than so many.

pub mod acks;
mod audit;
mod feed;
mod names;
pub mod stats;

pub use acks::{Acks, NotedLog};
pub use feed::Parts;

use super::runtime::roster::{Entered, Left, Names as Reached, Roster, Seat, State};
use super::tracker::{Ask, Tracker, Wake};
use crate::domain::position::Frontier;
use crate::domain::time::Instant;
use crate::ports::Clock;
use crate::ports::line::{Check, Checked, Forget, Freshness, Trackers, TrackersSnapshot, Wait};
use crate::services::balances::{Balances, Basis};
use actix::{Addr, Context};
use actix_rt::{Arbiter, ArbiterHandle};
use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use futures::FutureExt;
use names::{Names, Place};
use serde::Deserialize;
use stats::TrackerStats;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use ulid::Ulid;

/// Shards of the roster.
const SHARDS: usize = 16;
/// Most messages that wait for one tracker.
const MAILBOX_MAX: usize = 1_000;
/// How often a question goes to another tracker, because the one it went to was dropped.
const TURNS_MAX: u32 = 5;
/// Longest that a tracker waits for the usage store, in milliseconds.
const APPLIED_WAIT_MAX_MS: u64 = 5_000;
/// Longest that a question waits for a tracker to load or to answer, in milliseconds.
const ANSWER_MAX_MS: u64 = 10_000;
/// How often idle trackers are looked for, in seconds.
const SWEEP_EVERY_S: u64 = 10;

/// `[trackers]` of `weir.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Most customers whose balances are held in memory. 0: none.
    pub live_max: usize,
    /// One that nobody has asked for so long leaves memory, in seconds.
    pub idle_after_s: u64,
    /// Threads that trackers run on.
    pub threads: usize,
    /// How often the balances of some tracker are computed anew and compared, in seconds. 0: never.
    pub audit_every_s: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { live_max: 1_000_000, idle_after_s: 900, threads: 2, audit_every_s: 10 }
    }
}

/// What the registry stands on.
pub struct Ground {
    pub acks: Arc<Acks>,
    pub clock: Arc<dyn Clock>,
    /// What the usage store has at this moment: the line goes on from there.
    pub applied: Frontier,
}

/// What trackers are loaded from. Both stand on the line, which tells the registry of usage.
struct Sources {
    balances: Arc<Balances>,
    freshness: Arc<dyn Freshness>,
}

type Handle = Arc<Addr<Tracker>>;

/// See the module.
pub struct Registry {
    // wiring
    me: Weak<Registry>,
    acks: Arc<Acks>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    threads: Vec<ArbiterHandle>,
    sources: ArcSwapOption<Sources>,
    // work in progress
    shards: Box<[Mutex<Roster<Handle>>]>,
    names: Names,
    /// Up to where batches have been looked through for what concerns trackers.
    taken: Mutex<Frontier>,
    /// Up to where that has been handed over.
    routed: watch::Sender<Frontier>,
    watched: Mutex<HashMap<Ulid, watch::Sender<u64>>>,
    began: std::time::Instant,
    // counters
    stats: TrackerStats,
}

impl Registry {
    /// Without trackers. Called within an actix system, which its threads belong to.
    pub fn new(ground: Ground, settings: Settings) -> Arc<Self> {
        let Ground { acks, clock, applied } = ground;
        let threads = (0..settings.threads.max(1)).map(|_| Arbiter::new().handle()).collect();
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            acks,
            clock,
            settings,
            threads,
            sources: ArcSwapOption::empty(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            names: Names::default(),
            taken: Mutex::new(applied.clone()),
            routed: watch::Sender::new(applied),
            watched: Mutex::default(),
            began: std::time::Instant::now(),
            stats: TrackerStats::default(),
        })
    }

    /// From now on customers are tracked.
    pub fn open(&self, balances: Arc<Balances>, freshness: Arc<dyn Freshness>) {
        self.sources.store(Some(Arc::new(Sources { balances, freshness })));
        let Some(thread) = self.threads.first() else { return };
        thread.spawn(sweep(self.me.clone()));
        if self.settings.audit_every_s > 0 {
            thread.spawn(audit::keep_comparing(self.me.clone(), Duration::from_secs(self.settings.audit_every_s)));
        }
    }

    /// Nobody is tracked any more, and its threads end.
    pub fn close(&self) {
        self.sources.store(None);
        self.forget_all(None);
        self.threads.iter().for_each(|thread| {
            thread.stop();
        });
    }

    pub(super) fn balances(&self) -> Option<Arc<Balances>> {
        self.sources.load().as_ref().map(|sources| sources.balances.clone())
    }

    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Up to where the line's batches have been handed over.
    pub(super) fn routed(&self) -> Frontier {
        self.routed.borrow().clone()
    }

    /// Waits until the usage store has that. False: it did not get so far in time.
    pub(super) async fn applied(&self, target: Frontier) -> bool {
        self.wait(target, Duration::from_millis(APPLIED_WAIT_MAX_MS)).await == Some(Wait::Reached)
    }

    async fn wait(&self, target: Frontier, at_most: Duration) -> Option<Wait> {
        let freshness = self.sources.load().as_ref()?.freshness.clone();
        Some(freshness.wait(Some(target), at_most).await)
    }

    fn uptime_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn shard(&self, customer: Ulid) -> MutexGuard<'_, Roster<Handle>> {
        let shard = u128::from(customer) as usize % SHARDS;
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The customer's tracker; it is made when there is none.
    fn enter(&self, namespace: &str, customer: Ulid) -> Entered<Handle> {
        let namespace: Arc<str> = namespace.into();
        let mut shard = self.shard(customer);
        if !shard.is_there(customer) {
            let room = self.settings.live_max.div_ceil(SHARDS);
            let evicted = shard.make_room(room);
            self.stats.evicted.add(evicted.len() as u64);
            self.let_go(&evicted);
        }
        let entered = shard.enter(customer, &namespace, self.uptime_ms(), |seat| self.spawn(seat, namespace.clone()));
        if let Some(replaces) = entered.replaces {
            self.stats.woken.inc();
            self.stats.rebuilt.add(u64::from(replaces));
        }
        entered
    }

    fn spawn(&self, seat: Seat, namespace: Arc<str>) -> Handle {
        let (sender, receiver) = actix::dev::channel::channel(MAILBOX_MAX);
        let registry = self.me.upgrade().expect("it is borrowed here");
        let thread = (u128::from(seat.customer) >> 64) as usize % self.threads.len();
        self.threads[thread].spawn_fn(move || {
            let tracker = Tracker::new(registry.clone(), seat, namespace);
            let living = Context::with_receiver(receiver).into_future(tracker);
            actix_rt::spawn(async move {
                if AssertUnwindSafe(living).catch_unwind().await.is_err() {
                    registry.stats.crashed.inc();
                }
                registry.end(seat);
            });
        });
        Arc::new(Addr::new(sender))
    }

    /// A tracker has read the records: from here on usage reaches its mailbox. What is answered has to be in the usage
    /// store before it is asked. `None`: it was let go of.
    pub(super) fn settle(&self, seat: Seat, namespace: &str, basis: &Basis) -> Option<Frontier> {
        let key = basis.key.as_deref().map(|key| self.acks.name(namespace, key));
        let subjects: Vec<u128> = basis.subjects.iter().map(|subject| self.acks.name(namespace, subject)).collect();
        let slots: Arc<[u16]> = subjects.iter().copied().map(Acks::slot).collect();
        let mut names = subjects;
        names.extend(key);
        names.sort_unstable();
        names.dedup();
        {
            // The lock is held until every name leads here: who forgets this tracker finds all of them.
            let mut shard = self.shard(seat.customer);
            let addr = shard.settle(seat, Reached { names: names.as_slice().into(), slots: slots.clone() })?;
            for name in names {
                self.names.insert(name, Place { seat, addr: addr.clone(), is_key: key == Some(name) });
            }
        }
        let mut target = self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone();
        target.join(&self.acks.target(&slots));
        Some(target)
    }

    /// A tracker has its balances. False: it was let go of.
    pub(super) fn live(&self, seat: Seat) -> bool {
        self.shard(seat.customer).live(seat)
    }

    /// This very tracker cannot go on.
    pub(super) fn end(&self, seat: Seat) {
        let mut shard = self.shard(seat.customer);
        let left = shard.end(seat);
        self.let_go(left.as_slice());
    }

    fn forget(&self, customer: Ulid) {
        {
            let mut shard = self.shard(customer);
            let left = shard.forget(customer);
            self.stats.forgotten.add(u64::from(left.is_some()));
            self.let_go(left.as_slice());
        }
        self.changed(customer);
    }

    fn forget_all(&self, namespace: Option<&str>) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let left = shard.forget_all(namespace);
            self.stats.forgotten.add(left.len() as u64);
            self.let_go(&left);
        }
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.values().for_each(|watch| watch.send_modify(|changes| *changes += 1));
    }

    /// Their names lead nowhere any more, and with the last of their addresses they end.
    fn let_go(&self, left: &[Left<Handle>]) {
        left.iter().for_each(|left| left.names.iter().for_each(|name| self.names.remove(*name, left.seat)));
    }

    /// Lets go of those that nobody has asked for long, and of watches that nobody looks at.
    fn sweep(&self) {
        let since = self.uptime_ms().saturating_sub(self.settings.idle_after_s.saturating_mul(1_000));
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let idle = shard.idle(since);
            self.stats.idle_stopped.add(idle.len() as u64);
            self.let_go(&idle);
        }
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, watch| watch.receiver_count() > 0);
    }

    /// Who is meant, if a live customer is. An id goes before a key that looks like one, so such a text names a tracker
    /// only by its id.
    async fn meant(&self, check: &Check<'_>) -> Option<Ulid> {
        match Ulid::from_string(check.customer).ok().filter(|id| id.to_string() == check.customer) {
            Some(id) if self.shard(id).is_there(id) => return Some(id),
            Some(_) => {}
            None => {
                let place = self.names.get(self.acks.name(check.namespace, check.customer));
                if let Some(place) = place.filter(|place| place.is_key) {
                    return Some(place.seat.customer);
                }
            }
        }
        // Whoever asks the records instead learns what is wrong with them.
        self.balances()?.customer(check.namespace, check.customer).await.ok().flatten()
    }

    /// Waits until the trackers have been given that. `None`: the usage store has it and they do not.
    async fn reach(&self, target: &Frontier, until: tokio::time::Instant) -> Option<Wait> {
        if self.routed.borrow().covers(target) {
            return Some(Wait::Reached);
        }
        let mut routed = self.routed.subscribe();
        let reached = tokio::time::timeout_at(until, routed.wait_for(|routed| routed.covers(target))).await;
        match reached.is_ok_and(|reached| reached.is_ok()) {
            true => Some(Wait::Reached),
            false => self.wait(target.clone(), Duration::ZERO).await.filter(|wait| *wait != Wait::Reached),
        }
    }

    async fn ask(&self, check: &Check<'_>) -> Option<Checked> {
        if self.settings.live_max == 0 {
            return None;
        }
        self.balances()?;
        let until = tokio::time::Instant::now() + check.at_most;
        let customer = self.meant(check).await?;
        for _ in 0..TURNS_MAX {
            let Entered { seat, handle, state, .. } = self.enter(check.namespace, customer);
            let slots = match state {
                State::Live(slots) => slots,
                State::Loading => {
                    woken(&handle).await?;
                    continue;
                }
            };
            let mut target = self.acks.target(&slots);
            target.join(&check.after.clone().unwrap_or_default());
            let wait = self.reach(&target, until).await?;
            let applied = self.routed();
            let answered = asked(&handle, check.feature_key, self.now()).await;
            if let Some((at, given)) = answered
                && self.shard(customer).is_current(seat)
            {
                return Some(Checked { at, given, applied, wait });
            }
        }
        None
    }
}

/// Waits until a tracker has loaded.
async fn woken(tracker: &Addr<Tracker>) -> Option<()> {
    let (reply, told) = oneshot::channel();
    tracker.try_send(Wake(reply)).ok()?;
    in_time(told).await
}

async fn asked(
    tracker: &Addr<Tracker>,
    feature_key: Option<&str>,
    at: Instant,
) -> Option<(Instant, Vec<crate::domain::entitlement::standing::Given>)> {
    let (reply, told) = oneshot::channel();
    tracker.try_send(Ask { at, feature_key: feature_key.map(Box::from), reply }).ok()?;
    in_time(told).await
}

async fn in_time<T>(told: oneshot::Receiver<T>) -> Option<T> {
    tokio::time::timeout(Duration::from_millis(ANSWER_MAX_MS), told).await.ok()?.ok()
}

async fn sweep(registry: Weak<Registry>) {
    loop {
        tokio::time::sleep(Duration::from_secs(SWEEP_EVERY_S)).await;
        let Some(registry) = registry.upgrade() else { return };
        registry.sweep();
    }
}

#[async_trait]
impl Trackers for Registry {
    async fn check(&self, check: &Check<'_>) -> Option<Checked> {
        let began = std::time::Instant::now();
        let checked = self.ask(check).await;
        match checked.is_some() {
            true => {
                self.stats.answered.inc();
                self.stats.check.observe(began.elapsed());
            }
            false => self.stats.passed_on.inc(),
        }
        checked
    }

    fn changes(&self, customer: Ulid) -> watch::Receiver<u64> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.entry(customer).or_default().subscribe()
    }

    fn snapshot(&self) -> TrackersSnapshot {
        let mut snapshot = TrackersSnapshot { routed: self.routed(), ..self.stats.snapshot() };
        for shard in &self.shards {
            let (live, loading) = shard.lock().unwrap_or_else(PoisonError::into_inner).counts();
            snapshot.live += live;
            snapshot.loading += loading;
        }
        snapshot
    }
}

#[async_trait]
impl Forget for Registry {
    async fn customers(&self, _: &str, ids: &[Ulid]) {
        ids.iter().for_each(|id| self.forget(*id));
    }

    async fn subjects(&self, namespace: &str, subjects: &[String]) {
        for subject in subjects {
            if let Some(place) = self.names.get(self.acks.name(namespace, subject)) {
                self.forget(place.seat.customer);
            }
        }
    }

    async fn all(&self, namespace: &str) {
        self.forget_all(Some(namespace));
    }
}
