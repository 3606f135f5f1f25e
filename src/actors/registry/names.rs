//! Names: which tracker an event's subject, or a customer's key, leads to.

use crate::actors::runtime::roster::Seat;
use crate::actors::tracker::Tracker;
use actix::Addr;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// Shards, so that who registers holds up few.
const SHARDS: usize = 64;

/// Where a name leads.
#[derive(Clone)]
pub struct Place {
    pub seat: Seat,
    /// One for all who send, so that the mailbox is bounded.
    pub addr: Arc<Addr<Tracker>>,
    /// Whether it is a customer's key; otherwise it is a subject alone.
    pub is_key: bool,
}

/// The names of all trackers that have read the records, by their hash.
pub struct Names(Box<[RwLock<HashMap<u128, Place>>]>);

impl Default for Names {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| RwLock::default()).collect())
    }
}

impl Names {
    fn shard(&self, name: u128) -> &RwLock<HashMap<u128, Place>> {
        &self.0[(name >> 64) as usize % SHARDS]
    }

    fn read(&self, name: u128) -> RwLockReadGuard<'_, HashMap<u128, Place>> {
        self.shard(name).read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, name: u128) -> Option<Place> {
        self.read(name).get(&name).cloned()
    }

    pub fn insert(&self, name: u128, place: Place) {
        self.shard(name).write().unwrap_or_else(PoisonError::into_inner).insert(name, place);
    }

    /// Unless the name leads somewhere else by now.
    pub fn remove(&self, name: u128, seat: Seat) {
        let mut places = self.shard(name).write().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(place) = places.entry(name)
            && place.get().seat == seat
        {
            place.remove();
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|shard| shard.read().unwrap_or_else(PoisonError::into_inner).is_empty())
    }
}
