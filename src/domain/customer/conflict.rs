//! What two customers cannot both have.

use super::Customer;
use ulid::Ulid;

/// What others have of a customer's texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// The key is the id of a customer, live or deleted.
    pub key_is_id: bool,
    /// The key is a subject key of this live one.
    pub key_is_subject_of: Option<Ulid>,
    /// The key is the key of a live one.
    pub key_is_key: bool,
    /// One of the subject keys is a subject key of a live one.
    pub subject_keys: bool,
}

/// Why a customer cannot stand beside the others. Ordered: the first that applies is reported. A subject key may be
/// the key of another: usage is the other's then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CustomerConflict {
    #[error("key {key} overlaps with id of another customer")]
    KeyIsId { key: String },
    #[error("key {key} overlaps with subject of another customer: {owner}")]
    KeyIsSubject { key: String, owner: Ulid },
    #[error("key \"{key}\" is already used by an another customer in the namespace {namespace}")]
    KeyIsKey { key: String, namespace: String },
    /// Or the request names one of them twice.
    #[error(
        "one or multiple subject keys of [{}] are already associated with an different customer in the namespace \
         {namespace}",
        subject_keys.join(", ")
    )]
    SubjectKeys { subject_keys: Vec<String>, namespace: String },
}

impl Customer {
    /// Passes when nothing of it is taken.
    pub fn fits(&self, taken: &Taken) -> Result<(), CustomerConflict> {
        let (key, namespace) = (self.key.clone().unwrap_or_default(), self.namespace.clone());
        match *taken {
            Taken { key_is_id: true, .. } => Err(CustomerConflict::KeyIsId { key }),
            Taken { key_is_subject_of: Some(owner), .. } => Err(CustomerConflict::KeyIsSubject { key, owner }),
            Taken { key_is_key: true, .. } => Err(CustomerConflict::KeyIsKey { key, namespace }),
            Taken { subject_keys: true, .. } => Err(self.subject_keys_taken()),
            _ => Ok(()),
        }
    }

    /// The refusal of its subject keys.
    pub fn subject_keys_taken(&self) -> CustomerConflict {
        CustomerConflict::SubjectKeys { subject_keys: self.subject_keys.clone(), namespace: self.namespace.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::customer::CustomerDraft;
    use crate::domain::time::Instant;

    #[test]
    fn the_first_conflict_is_told() {
        let draft = CustomerDraft {
            key: Some("acme".to_string()),
            subject_keys: vec!["b".to_string(), "a".to_string()],
            ..CustomerDraft::default()
        };
        let customer = draft.create("default", Ulid::from(7u128), Instant::from_nanos(0));
        let owner = Ulid::from(8u128);
        let all = Taken { key_is_id: true, key_is_subject_of: Some(owner), key_is_key: true, subject_keys: true };
        let no_id = Taken { key_is_id: false, ..all.clone() };
        let no_subject = Taken { key_is_subject_of: None, ..no_id.clone() };
        let no_key = Taken { key_is_key: false, ..no_subject.clone() };
        let table = [
            (all, "key acme overlaps with id of another customer".to_string()),
            (no_id, format!("key acme overlaps with subject of another customer: {owner}")),
            (no_subject, "key \"acme\" is already used by an another customer in the namespace default".to_string()),
            (
                no_key,
                "one or multiple subject keys of [a, b] are already associated with an different customer in the \
                 namespace default"
                    .to_string(),
            ),
        ];
        for (taken, text) in table {
            assert_eq!(customer.fits(&taken).unwrap_err().to_string(), text);
        }
        assert_eq!(customer.fits(&Taken::default()), Ok(()));
    }
}
