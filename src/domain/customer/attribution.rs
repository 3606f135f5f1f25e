//! Attribution: whose usage the events of a subject are.
//!
//! A text that events name as their subject belongs to the live customer with that key, else to the live one with that
//! subject key. What a deleted customer was called stays its own until a live one is called so; of several deleted ones
//! it is the last's. It is as of the question: history moves with the text.
//!
//! Example: `acme` is the key of Acme and a subject key of Globex, which has `globex`, too. Of the events of both
//! subjects, those of `acme` are usage of Acme and those of `globex` of Globex; none counts twice.

use super::Customer;
use std::collections::BTreeMap;
use ulid::Ulid;

/// Whose each subject is, of all subjects that are one of these customers'. `owners`: the live customer that owns each
/// of their texts, where one does.
pub fn attribute(customers: &[Customer], owners: &BTreeMap<String, Customer>) -> BTreeMap<String, Ulid> {
    let mut by_end: Vec<&Customer> = customers.iter().collect();
    by_end.sort_by_key(|customer| (customer.deleted_at, customer.id));
    let mut attributed = BTreeMap::new();
    for customer in by_end {
        let own = |text: &String| owners.get(text).is_none_or(|owner| owner.id == customer.id);
        attributed.extend(customer.attribution().into_iter().filter(own).map(|text| (text, customer.id)));
    }
    attributed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::customer::CustomerDraft;
    use crate::domain::time::Instant;

    /// `deleted_at`: in nanoseconds, 0 for a live one.
    fn customer(id: u128, key: Option<&str>, subject_keys: &[&str], deleted_at: i64) -> Customer {
        let subject_keys = subject_keys.iter().map(ToString::to_string).collect();
        let draft = CustomerDraft { key: key.map(str::to_string), subject_keys, ..CustomerDraft::default() };
        let deleted_at = (deleted_at > 0).then(|| Instant::from_nanos(deleted_at));
        Customer { deleted_at, ..draft.create("default", Ulid::from(id), Instant::from_nanos(0)) }
    }

    #[test]
    fn a_text_is_one_customers_and_its_keys_before_its_subject_keys() {
        let acme = customer(1, Some("acme"), &["shared", "acme-eu"], 0);
        let globex = customer(2, Some("shared"), &["acme", "globex"], 0);
        let (before, after) = (customer(3, Some("old"), &[], 7), customer(4, Some("old"), &[], 8));
        let (taken, none) = (customer(5, Some("acme-eu"), &[], 9), customer(6, None, &[], 9));
        let live = [("acme", &acme), ("shared", &globex), ("acme-eu", &acme), ("globex", &globex)];
        let owners = live.map(|(text, owner)| (text.to_string(), owner.clone())).into();
        let table = [
            (vec![&acme], vec![("acme", 1), ("acme-eu", 1)]),
            (vec![&globex], vec![("globex", 2), ("shared", 2)]),
            (vec![&globex, &acme], vec![("acme", 1), ("acme-eu", 1), ("globex", 2), ("shared", 2)]),
            (vec![&before], vec![("old", 3)]),
            (vec![&after, &before], vec![("old", 4)]),
            (vec![&before, &after], vec![("old", 4)]),
            (vec![&taken, &none], vec![]),
            (vec![], vec![]),
        ];
        for (asked, expected) in table {
            let asked: Vec<Customer> = asked.into_iter().cloned().collect();
            let expected = expected.into_iter().map(|(text, id)| (text.to_string(), Ulid::from(id))).collect();
            assert_eq!(attribute(&asked, &owners), expected, "{asked:?}");
        }
    }
}
