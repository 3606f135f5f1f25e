//! Subjects: whose usage an event is. A subject's key is what events name; the rest is for people.

use super::time::Instant;
use serde::Serialize;
use ulid::Ulid;

/// What every Stripe customer id begins with.
const STRIPE_CUSTOMER_PREFIX: &str = "cus_";
/// Metadata that nobody gave.
const NO_METADATA: &str = "{}";

/// A subject as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub id: Ulid,
    pub namespace: String,
    /// What events carry as their subject; unique among the live ones of a namespace.
    pub key: String,
    pub display_name: Option<String>,
    /// A JSON object, byte for byte as it came: any values, every digit.
    pub metadata: String,
    pub stripe_customer_id: Option<String>,
    pub created_at: Instant,
    pub updated_at: Instant,
    /// Absent: live.
    pub deleted_at: Option<Instant>,
}

/// What a client asks for: to make the subject with this key, or to change it. An absent field is kept, a present one
/// overwrites, also when it is null.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubjectChanges {
    pub key: String,
    pub display_name: Option<Option<String>>,
    /// A JSON object; null is the empty one.
    pub metadata: Option<Option<String>>,
    pub stripe_customer_id: Option<Option<String>>,
}

/// Why a subject is refused. Ordered: the first that applies is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize)]
pub enum SubjectRefusal {
    #[error("key is required")]
    KeyMissing,
    #[error("{0} must not contain the character U+0000")]
    Nul(&'static str),
    #[error("metadata must be an object")]
    MetadataNoObject,
    #[error("stripeCustomerId must start with cus_ when set")]
    StripeCustomerId,
}

impl SubjectChanges {
    /// All rules, before anything is written.
    pub fn check(&self) -> Result<(), SubjectRefusal> {
        if self.key.is_empty() {
            return Err(SubjectRefusal::KeyMissing);
        }
        let stripe = self.stripe_customer_id.as_ref().and_then(Option::as_deref);
        let texts = [
            ("key", Some(self.key.as_str())),
            ("displayName", self.display_name.as_ref().and_then(Option::as_deref)),
            ("stripeCustomerId", stripe),
        ];
        for (field, text) in texts {
            if text.is_some_and(|text| text.contains('\0')) {
                return Err(SubjectRefusal::Nul(field));
            }
        }
        let metadata = self.metadata.as_ref().and_then(Option::as_deref);
        if metadata.is_some_and(|text| !text.trim_start().starts_with('{')) {
            return Err(SubjectRefusal::MetadataNoObject);
        }
        if stripe.is_some_and(|id| !id.starts_with(STRIPE_CUSTOMER_PREFIX)) {
            return Err(SubjectRefusal::StripeCustomerId);
        }
        Ok(())
    }

    /// A new subject.
    pub fn create(self, namespace: &str, id: Ulid, now: Instant) -> Subject {
        let blank = Subject {
            id,
            namespace: namespace.to_string(),
            key: self.key.clone(),
            display_name: None,
            metadata: NO_METADATA.to_string(),
            stripe_customer_id: None,
            created_at: now,
            updated_at: now,
            deleted_at: None,
        };
        self.apply(&blank, now)
    }

    /// The subject with the changes made. Its key stays.
    pub fn apply(self, before: &Subject, now: Instant) -> Subject {
        let kept = before.clone();
        Subject {
            display_name: self.display_name.unwrap_or(kept.display_name),
            metadata: match self.metadata {
                None => kept.metadata,
                Some(given) => given.unwrap_or_else(|| NO_METADATA.to_string()),
            },
            stripe_customer_id: self.stripe_customer_id.unwrap_or(kept.stripe_customer_id),
            updated_at: now,
            ..kept
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(key: &str) -> SubjectChanges {
        SubjectChanges { key: key.to_string(), ..SubjectChanges::default() }
    }

    #[test]
    fn every_rule_has_its_text() {
        let text = |text: &str| Some(Some(text.to_string()));
        let table = [
            (changes(""), "key is required"),
            (changes("a\0"), "key must not contain the character U+0000"),
            (
                SubjectChanges { display_name: text("\0"), ..changes("a") },
                "displayName must not contain the character U+0000",
            ),
            (SubjectChanges { metadata: text("[]"), ..changes("a") }, "metadata must be an object"),
            (
                SubjectChanges { stripe_customer_id: text("acme"), ..changes("a") },
                "stripeCustomerId must start with cus_ when set",
            ),
        ];
        for (changes, message) in table {
            assert_eq!(changes.check().unwrap_err().to_string(), message);
        }
        let allowed = SubjectChanges { stripe_customer_id: text("cus_1"), metadata: text(" {}"), ..changes("a") };
        assert_eq!(allowed.check(), Ok(()));
        assert_eq!(SubjectChanges { stripe_customer_id: Some(None), ..changes("a") }.check(), Ok(()));
    }

    #[test]
    fn an_absent_field_is_kept_and_a_null_overwrites() {
        let (first, later) = (Instant::from_nanos(1), Instant::from_nanos(2));
        let given = SubjectChanges {
            display_name: Some(Some("Acme".into())),
            metadata: Some(Some("{\"n\":1.50}".into())),
            stripe_customer_id: Some(Some("cus_1".into())),
            ..changes("acme")
        };
        let made = given.create("default", Ulid::nil(), first);
        assert_eq!((made.metadata.as_str(), made.created_at, made.updated_at), ("{\"n\":1.50}", first, first));
        let kept = changes("acme").apply(&made, later);
        assert_eq!(kept, Subject { updated_at: later, ..made.clone() });
        let null = SubjectChanges { display_name: Some(None), metadata: Some(None), ..changes("acme") };
        let cleared = null.apply(&made, later);
        assert_eq!((cleared.display_name, cleared.metadata.as_str()), (None, "{}"));
        assert_eq!(cleared.stripe_customer_id, made.stripe_customer_id);
        assert_eq!(changes("b").create("default", Ulid::nil(), first).metadata, "{}");
    }
}
