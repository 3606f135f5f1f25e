//! What a client asks for: a new customer, or the whole of an old one anew.

use super::{Address, Customer};
use crate::domain::time::Instant;
use std::collections::BTreeMap;
use ulid::Ulid;

/// A customer as a client wants it to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CustomerDraft {
    pub key: Option<String>,
    pub name: String,
    pub description: Option<String>,
    /// In any order.
    pub subject_keys: Vec<String>,
    /// Absent: an old customer keeps its own.
    pub primary_email: Option<String>,
    /// Absent: an old customer keeps its own.
    pub currency: Option<String>,
    /// What is absent in an address is kept of the old customer's; without an address there is none.
    pub billing_address: Option<Address>,
    pub metadata: BTreeMap<String, String>,
}

/// Why a customer is refused. Ordered: the first that applies is reported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CustomerRefusal {
    /// Nothing that an event can name would be this customer's.
    #[error("either key or usageAttribution.subjectKeys must be provided")]
    Nameless,
    #[error("{0} must not contain the character U+0000")]
    Nul(&'static str),
    /// A subject was named by its id, which no event carries.
    #[error(
        "use subject key instead of id for usage attribution [namespace={namespace} subject.id={id} subject.key={key}]"
    )]
    SubjectId { namespace: String, id: Ulid, key: String },
}

impl CustomerDraft {
    /// The rules that need nothing but the draft.
    pub fn check(&self) -> Result<(), CustomerRefusal> {
        if self.key.is_none() && self.subject_keys.is_empty() {
            return Err(CustomerRefusal::Nameless);
        }
        match self.texts().find(|(_, text)| text.contains('\0')) {
            Some((field, _)) => Err(CustomerRefusal::Nul(field)),
            None => Ok(()),
        }
    }

    /// Whether a subject key is there twice.
    pub fn repeats_itself(&self) -> bool {
        in_order(self.subject_keys.clone()).len() < self.subject_keys.len()
    }

    fn texts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let address = self.billing_address.iter().flat_map(|address| {
            let members = [&address.country, &address.postal_code, &address.state, &address.city];
            members.into_iter().chain([&address.line1, &address.line2, &address.phone_number]).flatten()
        });
        let single = [
            ("name", Some(&self.name)),
            ("key", self.key.as_ref()),
            ("description", self.description.as_ref()),
            ("primaryEmail", self.primary_email.as_ref()),
            ("currency", self.currency.as_ref()),
        ];
        let single = single.into_iter().filter_map(|(field, text)| text.map(|text| (field, text)));
        let subject_keys = self.subject_keys.iter().map(|key| ("subjectKeys", key));
        let metadata = self.metadata.iter().flat_map(|(key, value)| [("metadata", key), ("metadata", value)]);
        let address = address.map(|text| ("billingAddress", text));
        single.chain(subject_keys).chain(metadata).chain(address).map(|(field, text)| (field, text.as_str()))
    }

    /// A new customer.
    pub fn create(self, namespace: &str, id: Ulid, now: Instant) -> Customer {
        Customer {
            id,
            namespace: namespace.to_string(),
            key: self.key,
            name: self.name,
            description: self.description,
            subject_keys: in_order(self.subject_keys),
            primary_email: self.primary_email,
            currency: self.currency,
            billing_address: self.billing_address.and_then(Address::or_none),
            metadata: self.metadata,
            created_at: now,
            updated_at: now,
            deleted_at: None,
        }
    }

    /// The customer as it is from now on.
    pub fn replace(self, before: &Customer, now: Instant) -> Customer {
        let old = before.billing_address.clone().unwrap_or_default();
        let billing_address = self.billing_address.map(|given| given.over(old));
        let new = Self { billing_address, ..self }.create(&before.namespace, before.id, now);
        Customer {
            primary_email: new.primary_email.or_else(|| before.primary_email.clone()),
            currency: new.currency.or_else(|| before.currency.clone()),
            created_at: before.created_at,
            ..new
        }
    }
}

impl Address {
    fn over(self, old: Self) -> Self {
        Self {
            country: self.country.or(old.country),
            postal_code: self.postal_code.or(old.postal_code),
            state: self.state.or(old.state),
            city: self.city.or(old.city),
            line1: self.line1.or(old.line1),
            line2: self.line2.or(old.line2),
            phone_number: self.phone_number.or(old.phone_number),
        }
    }
}

fn in_order(mut keys: Vec<String>) -> Vec<String> {
    keys.sort_unstable();
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> CustomerDraft {
        CustomerDraft { key: Some("acme".to_string()), name: "Acme".to_string(), ..CustomerDraft::default() }
    }

    fn text(text: &str) -> Option<String> {
        Some(text.to_string())
    }

    #[test]
    fn a_customer_has_a_key_or_a_subject_key() {
        let refused = CustomerDraft { key: None, ..draft() }.check().unwrap_err().to_string();
        assert_eq!(refused, "either key or usageAttribution.subjectKeys must be provided");
        assert_eq!(CustomerDraft { key: None, subject_keys: vec!["a".into()], ..draft() }.check(), Ok(()));
        assert_eq!(draft().check(), Ok(()));
    }

    #[test]
    fn a_nul_is_refused_wherever_it_stands() {
        let nul = || text("a\0");
        let address = |address| CustomerDraft { billing_address: Some(address), ..draft() };
        let metadata = |key: &str, value: &str| BTreeMap::from([(key.to_string(), value.to_string())]);
        #[rustfmt::skip]
        let table = [
            ("key", CustomerDraft { key: nul(), ..draft() }),
            ("name", CustomerDraft { name: "\0".to_string(), ..draft() }),
            ("description", CustomerDraft { description: nul(), ..draft() }),
            ("subjectKeys", CustomerDraft { subject_keys: vec!["a".into(), "\0".into()], ..draft() }),
            ("primaryEmail", CustomerDraft { primary_email: nul(), ..draft() }),
            ("currency", CustomerDraft { currency: nul(), ..draft() }),
            ("metadata", CustomerDraft { metadata: metadata("\0", ""), ..draft() }),
            ("metadata", CustomerDraft { metadata: metadata("a", "\0"), ..draft() }),
            ("billingAddress", address(Address { country: nul(), ..Address::default() })),
            ("billingAddress", address(Address { phone_number: nul(), ..Address::default() })),
        ];
        for (field, draft) in table {
            assert_eq!(draft.check(), Err(CustomerRefusal::Nul(field)));
        }
    }

    #[test]
    fn subject_keys_are_ascending_and_distinct() {
        let given = CustomerDraft { subject_keys: ["b", "acme", "a", "b"].map(String::from).to_vec(), ..draft() };
        assert!(given.repeats_itself());
        assert!(!draft().repeats_itself());
        let made = given.create("default", Ulid::nil(), Instant::from_nanos(1));
        assert_eq!(made.subject_keys, ["a", "acme", "b"]);
        assert_eq!(made.attribution(), ["acme", "a", "b"], "the key first, and once");
    }

    #[test]
    fn a_replacement_clears_what_it_leaves_out_but_for_email_and_currency() {
        let (first, later) = (Instant::from_nanos(1), Instant::from_nanos(2));
        let address = Address { country: text("HU"), city: text("Pécs"), ..Address::default() };
        let full = CustomerDraft {
            description: text("d"),
            subject_keys: vec!["a".to_string()],
            primary_email: text("a@b.c"),
            currency: text("HUF"),
            billing_address: Some(address.clone()),
            metadata: BTreeMap::from([("tier".to_string(), "1".to_string())]),
            ..draft()
        };
        let before = full.create("default", Ulid::nil(), first);
        let bare = CustomerDraft { key: None, subject_keys: vec!["b".into()], name: "B".into(), ..Default::default() };
        let after = bare.replace(&before, later);
        let expected = Customer {
            key: None,
            name: "B".to_string(),
            description: None,
            subject_keys: vec!["b".to_string()],
            billing_address: None,
            metadata: BTreeMap::new(),
            updated_at: later,
            ..before.clone()
        };
        assert_eq!(after, expected);

        let moved = Address { city: text("Győr"), line1: text("1 Fő út"), ..Address::default() };
        let after = CustomerDraft { billing_address: Some(moved.clone()), ..draft() }.replace(&before, later);
        assert_eq!(after.billing_address, Some(Address { country: text("HU"), ..moved }), "what is absent is kept");
        let empty = CustomerDraft { billing_address: Some(Address::default()), ..draft() };
        assert_eq!(empty.clone().replace(&before, later).billing_address, Some(address));
        assert_eq!(empty.create("default", Ulid::nil(), first).billing_address, None);
    }
}
