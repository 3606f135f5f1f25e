//! Customers: who pays, and whose usage an event is.
//!
//! A customer owns what events say of its key and of its subject keys, at the time of the question: moving a subject
//! key from one customer to another moves its history, too. With the key `acme` and the subject keys `acme-eu` and
//! `acme-us`, usage of 3, 4 and 5 under these three subjects is a usage of 12.

pub mod attribution;
mod conflict;
mod draft;
pub mod query;

use super::time::Instant;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use ulid::Ulid;

pub use conflict::{CustomerConflict, Taken};
pub use draft::{CustomerDraft, CustomerRefusal};

/// A customer as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    pub id: Ulid,
    pub namespace: String,
    /// What the client's own systems call it; unique among the live ones of a namespace.
    pub key: Option<String>,
    pub name: String,
    pub description: Option<String>,
    /// Ascending and distinct; each belongs to one live customer at most. A deleted customer has none.
    pub subject_keys: Vec<String>,
    pub primary_email: Option<String>,
    /// ISO 4217, three capital letters.
    pub currency: Option<String>,
    /// Absent rather than empty.
    pub billing_address: Option<Address>,
    pub metadata: BTreeMap<String, String>,
    pub created_at: Instant,
    pub updated_at: Instant,
    /// Absent: live.
    pub deleted_at: Option<Instant>,
}

/// Where bills go. Serialised as the row holds it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// ISO 3166-1 alpha-2, two capital letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line1: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line2: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone_number: Option<String>,
}

impl Customer {
    /// What events may name to be this customer's: its key, then its subject keys, each once.
    pub fn attribution(&self) -> Vec<String> {
        let key = self.key.iter();
        let others = self.subject_keys.iter().filter(|subject| Some(*subject) != self.key.as_ref());
        key.chain(others).cloned().collect()
    }
}

impl Address {
    /// Nothing when no member is set.
    pub fn or_none(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }
}
