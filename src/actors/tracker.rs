//! Tracker: one customer's balances in memory.
//!
//! Receives parts of the line's batches, in order, and questions. Sends answers. Holds the customer's entitlements, their
//! terms, and usage by phase; all of it can be read anew, so nothing is lost with it. It begins with loading: the
//! records, then its names into the registry, so that usage comes (and waits in its mailbox), then the usage store, which
//! must have everything from before that. What comes by both ways is told apart by position.

mod book;

use super::registry::Registry;
use super::registry::stats::Waiting;
use super::runtime::roster::Seat;
use crate::domain::entitlement::burndown::Balance;
use crate::domain::entitlement::standing::Given;
use crate::domain::metering::extract::Reading;
use crate::domain::time::Instant;
use crate::services::balances::{Account, BalanceError, Balances, Basis, FollowedKind};
use actix::prelude::*;
use book::{Book, Line, Usage, Worn};
use std::sync::Arc;
use tokio::sync::oneshot;
use ulid::Ulid;

/// One event as one meter has read it.
#[derive(Debug, Clone)]
pub struct Delta {
    /// Where the record that brought it stands, in the part's partition.
    pub offset: u64,
    /// When it happened.
    pub at: Instant,
    /// The meter version that read it.
    pub meter: Ulid,
    pub reading: Reading,
    /// Its group values, as a measure has them.
    pub groups: Box<[u8]>,
}

/// What a batch of the line has for one customer.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Part {
    pub partition: u32,
    /// Nothing below this offset is in it, nor in any later one.
    pub from: u64,
    /// By position.
    pub deltas: Vec<Delta>,
    /// As long as it waits in a mailbox.
    pub waits: Waiting,
}

/// What the customer may use now.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Ask {
    pub at: Instant,
    /// Only of this feature.
    pub feature_key: Option<Box<str>>,
    /// Dropped unanswered when the tracker cannot go on.
    pub reply: oneshot::Sender<(Instant, Vec<Given>)>,
}

/// Whether it has loaded: dropped when it could not.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Wake(pub oneshot::Sender<()>);

/// See the module.
pub struct Tracker {
    // wiring
    registry: Arc<Registry>,
    seat: Seat,
    namespace: Arc<str>,
    // work in progress
    book: Option<Book>,
}

/// Why a tracker did not load.
#[derive(Debug, thiserror::Error)]
enum NotLoaded {
    #[error("nobody is tracked yet, or any more")]
    Closed,
    /// There is no such customer, or it changed while it was read.
    #[error("let go of while loading")]
    LetGo,
    #[error("the usage store was too far behind")]
    Behind,
    #[error(transparent)]
    Balance(#[from] BalanceError),
}

impl Tracker {
    pub fn new(registry: Arc<Registry>, seat: Seat, namespace: Arc<str>) -> Self {
        Self { registry, seat, namespace, book: None }
    }

    fn end(&self, ctx: &mut Context<Self>) {
        self.registry.end(self.seat);
        ctx.stop();
    }

    fn answer(&mut self, ask: Ask, at: Instant, ctx: &mut Context<Self>) {
        let Some(book) = &mut self.book else { return };
        match book.given(ask.feature_key.as_deref(), at) {
            // Whoever asked may be gone.
            Ok(given) => drop(ask.reply.send((at, given))),
            Err(worn) => self.wear(worn, ctx),
        }
    }

    fn wear(&self, worn: Worn, ctx: &mut Context<Self>) {
        tracing::debug!(customer = %self.seat.customer, %worn, "a tracker is made anew");
        self.end(ctx);
    }
}

impl Actor for Tracker {
    type Context = Context<Self>;

    /// While it loads, everything else waits in the mailbox.
    fn started(&mut self, ctx: &mut Self::Context) {
        let loading = load(self.registry.clone(), self.seat, self.namespace.clone());
        ctx.wait(loading.into_actor(self).map(|loaded, tracker, ctx| match loaded {
            Ok(book) => tracker.book = Some(book),
            Err(error) => {
                if let NotLoaded::Balance(error) = &error {
                    tracing::warn!(customer = %tracker.seat.customer, %error, "a tracker could not load");
                }
                tracker.end(ctx);
            }
        }));
    }
}

impl Handler<Part> for Tracker {
    type Result = ();

    fn handle(&mut self, part: Part, ctx: &mut Self::Context) {
        let Some(book) = &mut self.book else { return };
        if let Err(overflow) = book.take(&part) {
            self.wear(overflow.into(), ctx);
        }
    }
}

impl Handler<Wake> for Tracker {
    type Result = ();

    fn handle(&mut self, Wake(reply): Wake, _: &mut Self::Context) {
        if self.book.is_some() {
            let _ = reply.send(());
        }
    }
}

impl Handler<Ask> for Tracker {
    type Result = ();

    fn handle(&mut self, ask: Ask, ctx: &mut Self::Context) {
        let Some(book) = &mut self.book else { return };
        let at = match book.ask(ask.at) {
            Ok(at) => at,
            Err(worn) => return self.wear(worn, ctx),
        };
        if book.unknown(ask.feature_key.as_deref(), at).is_empty() {
            return self.answer(ask, at, ctx);
        }
        // Usage that comes meanwhile waits, and makes what is learnt unknown again.
        let Some(book) = self.book.take() else { return };
        let learning = learn(self.registry.clone(), book, ask.feature_key.clone(), at);
        ctx.wait(learning.into_actor(self).map(move |learnt, tracker, ctx| match learnt {
            Ok(book) => {
                tracker.book = Some(book);
                tracker.answer(ask, at, ctx);
            }
            Err(error) => {
                tracing::warn!(customer = %tracker.seat.customer, %error, "a tracker could not ask the usage store");
                tracker.end(ctx);
            }
        }));
    }
}

async fn load(registry: Arc<Registry>, seat: Seat, namespace: Arc<str>) -> Result<Book, NotLoaded> {
    let balances = registry.balances().ok_or(NotLoaded::Closed)?;
    let now = registry.now();
    let basis = balances.basis(&namespace, seat.customer, now).await?.ok_or(NotLoaded::LetGo)?;
    let target = registry.settle(seat, &namespace, &basis).ok_or(NotLoaded::LetGo)?;
    if !registry.applied(target).await {
        return Err(NotLoaded::Behind);
    }
    let Basis { until, entitlements, .. } = basis;
    let mut lines = Vec::with_capacity(entitlements.len());
    for followed in entitlements {
        let usage = match &followed.kind {
            FollowedKind::Metered(account) => usage(&balances, account, now).await?,
            FollowedKind::Static(_) | FollowedKind::Boolean => Usage::None,
        };
        lines.push(Line { followed, usage });
    }
    match registry.live(seat) {
        true => Ok(Book::new(lines, until, now)),
        false => Err(NotLoaded::LetGo),
    }
}

async fn usage(balances: &Balances, account: &Account, now: Instant) -> Result<Usage, BalanceError> {
    Ok(match account.adds_up() {
        true => Usage::counted(balances.counted(account, now).await?),
        false => Usage::Asked(None),
    })
}

/// Asks the usage store for what only it knows.
async fn learn(
    registry: Arc<Registry>,
    mut book: Book,
    feature_key: Option<Box<str>>,
    at: Instant,
) -> Result<Book, NotLoaded> {
    let balances = registry.balances().ok_or(NotLoaded::Closed)?;
    // What this tracker has heard of may have to be applied again, after the line began anew.
    if !registry.applied(registry.routed()).await {
        return Err(NotLoaded::Behind);
    }
    for place in book.unknown(feature_key.as_deref(), at) {
        let Some(account) = book.account(place) else { continue };
        let (balance, _): (Balance, _) = balances.balance(account, at).await?;
        book.learn(place, balance);
    }
    Ok(book)
}
