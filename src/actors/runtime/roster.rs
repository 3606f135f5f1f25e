//! The roster: which customers have a tracker, in which state, and by which names they are reached. Decisions only; who
//! runs trackers is the registry.
//!
//! A tracker is entered when somebody asks for its customer, is loading until it has said by which names it is reached,
//! and leaves when it is forgotten, idle, too many or at its end. Each has a number of its own: what an earlier one of
//! the same customer still says changes nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use ulid::Ulid;

/// Which tracker of which customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seat {
    pub customer: Ulid,
    pub incarnation: u64,
}

/// By what a tracker is reached, once it has loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Hashes of its customer's key and subjects.
    pub names: Box<[u128]>,
    /// The slots of its subjects' acknowledgements.
    pub slots: Arc<[u16]>,
}

/// How far a tracker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It asks records and store.
    Loading,
    /// It answers.
    Live(Arc<[u16]>),
}

#[derive(Debug)]
struct Entry<H> {
    incarnation: u64,
    namespace: Arc<str>,
    is_live: bool,
    handle: H,
    names: Names,
    /// When somebody asked last, in milliseconds since the start.
    asked_ms: u64,
}

/// What has left, with what is to be let go of.
#[derive(Debug, PartialEq, Eq)]
pub struct Left<H> {
    pub seat: Seat,
    pub handle: H,
    pub names: Box<[u128]>,
}

/// Customers remembered as having lost a tracker: enough to tell a rebuilt one from one that wakes.
const LOST_MAX: usize = 4_096;

/// What somebody who asks for a tracker gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered<H> {
    pub seat: Seat,
    pub handle: H,
    pub state: State,
    /// Present when it has just been made: whether it replaces one that was lost.
    pub replaces: Option<bool>,
}

/// One shard of all trackers. `H`: how a tracker is reached.
#[derive(Debug)]
pub struct Roster<H> {
    entries: HashMap<Ulid, Entry<H>>,
    incarnations: u64,
    /// Customers whose tracker was not let go of for want of questions or of room.
    lost: HashSet<Ulid>,
}

impl<H> Default for Roster<H> {
    fn default() -> Self {
        Self { entries: HashMap::new(), incarnations: 0, lost: HashSet::new() }
    }
}

impl<H: Clone> Roster<H> {
    /// The tracker of a customer; one that is not there yet is made by `make`.
    pub fn enter(
        &mut self,
        customer: Ulid,
        namespace: &Arc<str>,
        now_ms: u64,
        make: impl FnOnce(Seat) -> H,
    ) -> Entered<H> {
        let (incarnations, lost) = (&mut self.incarnations, &mut self.lost);
        let mut replaces = None;
        let entry = self.entries.entry(customer).or_insert_with(|| {
            *incarnations += 1;
            replaces = Some(lost.remove(&customer));
            Entry {
                incarnation: *incarnations,
                namespace: namespace.clone(),
                is_live: false,
                handle: make(Seat { customer, incarnation: *incarnations }),
                names: Names::default(),
                asked_ms: now_ms,
            }
        });
        entry.asked_ms = now_ms;
        let state = if entry.is_live { State::Live(entry.names.slots.clone()) } else { State::Loading };
        let seat = Seat { customer, incarnation: entry.incarnation };
        Entered { seat, handle: entry.handle.clone(), state, replaces }
    }

    /// It has read the records and says how it is reached. `None`: it was let go of meanwhile, and what it read is void.
    pub fn settle(&mut self, seat: Seat, names: Names) -> Option<H> {
        let entry = self.current(seat)?;
        entry.names = names;
        Some(entry.handle.clone())
    }

    /// It has all of its balances. False: it was let go of meanwhile.
    pub fn live(&mut self, seat: Seat) -> bool {
        self.current(seat).map(|entry| entry.is_live = true).is_some()
    }

    /// Whether this very tracker is still the customer's.
    pub fn is_current(&self, seat: Seat) -> bool {
        self.entries.get(&seat.customer).is_some_and(|entry| entry.incarnation == seat.incarnation)
    }

    pub fn is_there(&self, customer: Ulid) -> bool {
        self.entries.contains_key(&customer)
    }

    fn current(&mut self, seat: Seat) -> Option<&mut Entry<H>> {
        self.entries.get_mut(&seat.customer).filter(|entry| entry.incarnation == seat.incarnation)
    }

    /// Lets go of whatever tracker the customer has.
    pub fn forget(&mut self, customer: Ulid) -> Option<Left<H>> {
        let entry = self.entries.remove(&customer)?;
        self.lose(customer);
        Some(left(customer, entry))
    }

    fn lose(&mut self, customer: Ulid) {
        if self.lost.len() >= LOST_MAX {
            self.lost.clear();
        }
        self.lost.insert(customer);
    }

    /// Lets go of this very tracker.
    pub fn end(&mut self, seat: Seat) -> Option<Left<H>> {
        if self.is_current(seat) { self.forget(seat.customer) } else { None }
    }

    /// Lets go of those of a namespace, or of all.
    pub fn forget_all(&mut self, namespace: Option<&str>) -> Vec<Left<H>> {
        let left = self.take(|entry| namespace.is_none_or(|namespace| *entry.namespace == *namespace));
        left.iter().for_each(|left| self.lose(left.seat.customer));
        left
    }

    /// Lets go of the live ones that nobody has asked since then.
    pub fn idle(&mut self, since_ms: u64) -> Vec<Left<H>> {
        self.take(|entry| entry.is_live && entry.asked_ms < since_ms)
    }

    /// With this many or more, lets go of a sixteenth of them, at least one: of those that were asked longest ago.
    pub fn make_room(&mut self, entries_max: usize) -> Vec<Left<H>> {
        let count = self.entries.len();
        if count < entries_max.max(1) {
            return Vec::new();
        }
        let mut asked: Vec<(u64, Ulid)> = self.entries.iter().map(|(id, entry)| (entry.asked_ms, *id)).collect();
        let (oldest, ..) = asked.select_nth_unstable(count.div_ceil(16).min(count - 1));
        let oldest: Vec<Ulid> = match oldest.is_empty() {
            true => asked.first().map(|(_, id)| *id).into_iter().collect(),
            false => oldest.iter().map(|(_, id)| *id).collect(),
        };
        let gone = oldest.into_iter().filter_map(|id| self.entries.remove(&id).map(|entry| left(id, entry)));
        gone.collect()
    }

    /// Live ones, and those that are loading.
    pub fn counts(&self) -> (u64, u64) {
        let live = self.entries.values().filter(|entry| entry.is_live).count() as u64;
        (live, self.entries.len() as u64 - live)
    }

    /// Some live one, by a number that was drawn; now and then none.
    pub fn any(&self, drawn: usize) -> Option<(Ulid, Arc<str>)> {
        let mut live = self.entries.iter().filter(|(_, entry)| entry.is_live);
        let (id, entry) = live.nth(drawn % self.entries.len().max(1))?;
        Some((*id, entry.namespace.clone()))
    }

    fn take(&mut self, leaves: impl Fn(&Entry<H>) -> bool) -> Vec<Left<H>> {
        let gone = self.entries.extract_if(|_, entry| leaves(entry));
        gone.map(|(customer, entry)| left(customer, entry)).collect()
    }
}

fn left<H>(customer: Ulid, entry: Entry<H>) -> Left<H> {
    let seat = Seat { customer, incarnation: entry.incarnation };
    Left { seat, handle: entry.handle, names: entry.names.names }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace() -> Arc<str> {
        "default".into()
    }

    fn customer(n: u128) -> Ulid {
        Ulid::from(n)
    }

    fn names(names: &[u128]) -> Names {
        Names { names: names.into(), slots: [7].into() }
    }

    /// The handle of a tracker is its incarnation.
    fn enter(roster: &mut Roster<u64>, n: u128, now_ms: u64) -> (Seat, State) {
        let entered = roster.enter(customer(n), &namespace(), now_ms, |seat| seat.incarnation);
        assert_eq!(entered.handle, entered.seat.incarnation);
        (entered.seat, entered.state)
    }

    fn live(roster: &mut Roster<u64>, n: u128, now_ms: u64) -> Seat {
        let (seat, _) = enter(roster, n, now_ms);
        roster.settle(seat, names(&[n])).expect("it is current");
        assert!(roster.live(seat));
        seat
    }

    fn ids(left: &[Left<u64>]) -> Vec<u128> {
        let mut ids: Vec<u128> = left.iter().map(|left| left.seat.customer.into()).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn a_tracker_is_made_once_and_answers_when_it_has_loaded() {
        let mut roster = Roster::default();
        let (seat, state) = enter(&mut roster, 1, 0);
        assert_eq!((enter(&mut roster, 1, 5), state), ((seat, State::Loading), State::Loading));
        assert_eq!(roster.settle(seat, names(&[1, 2])), Some(seat.incarnation));
        assert_eq!(enter(&mut roster, 1, 6).1, State::Loading, "its balances are still on their way");
        assert!(roster.live(seat));
        assert_eq!(enter(&mut roster, 1, 7), (seat, State::Live([7].into())));
        assert_eq!(roster.counts(), (1, 0));
    }

    #[test]
    fn what_a_forgotten_tracker_has_read_is_void() {
        let mut roster = Roster::default();
        let (first, _) = enter(&mut roster, 1, 0);
        assert_eq!(roster.forget(customer(1)).map(|left| left.seat), Some(first));
        assert_eq!(roster.settle(first, names(&[1])), None);
        let (second, _) = enter(&mut roster, 1, 0);
        assert_ne!(first, second);
        assert!(!roster.live(first) && roster.end(first).is_none() && roster.is_current(second));
        assert_eq!(roster.settle(second, names(&[1])), Some(second.incarnation));
        let left = roster.end(second).expect("it is current");
        assert_eq!((left.names, roster.counts()), ([1].into(), (0, 0)));
    }

    #[test]
    fn the_idle_and_those_asked_longest_ago_leave_first() {
        let mut roster = Roster::default();
        for n in 0..32 {
            live(&mut roster, n, n as u64);
        }
        enter(&mut roster, 0, 100);
        assert_eq!(ids(&roster.idle(3)), [1, 2], "the first was asked again");
        enter(&mut roster, 99, 0);
        assert_eq!(ids(&roster.idle(3)), [0; 0], "what loads is not idle");
        assert_eq!(ids(&roster.make_room(32)), [0; 0]);
        assert_eq!(ids(&roster.make_room(31)), [3, 99]);
        assert_eq!(roster.counts(), (29, 0));
        let mut lonely = Roster::default();
        live(&mut lonely, 1, 0);
        assert_eq!(ids(&lonely.make_room(1)), [1]);
    }

    #[test]
    fn a_tracker_that_was_lost_is_replaced_and_an_idle_one_wakes() {
        let mut roster = Roster::default();
        let replaces = |roster: &mut Roster<u64>| {
            let entered = roster.enter(customer(1), &namespace(), 0, |seat| seat.incarnation);
            roster.live(entered.seat);
            entered.replaces
        };
        assert_eq!((replaces(&mut roster), replaces(&mut roster)), (Some(false), None));
        roster.forget(customer(1));
        assert_eq!(replaces(&mut roster), Some(true));
        roster.idle(1);
        assert_eq!(replaces(&mut roster), Some(false));
        roster.forget_all(None);
        assert_eq!(replaces(&mut roster), Some(true));
    }

    #[test]
    fn a_namespace_is_forgotten_alone() {
        let mut roster = Roster::default();
        live(&mut roster, 1, 0);
        roster.enter(customer(2), &"other".into(), 0, |seat| seat.incarnation);
        assert_eq!(ids(&roster.forget_all(Some("other"))), [2]);
        assert_eq!(ids(&roster.forget_all(None)), [1]);
    }
}
