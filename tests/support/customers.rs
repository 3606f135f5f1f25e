//! Customers: made, changed and deleted by chance, and whose a subject's events are, found the slow way.

use super::Draw;
use super::client::{Answer, Client};
use super::stream::SUBJECTS;
use serde_json::{Value, json};

/// A customer as it is now, or was when it was deleted.
#[derive(Debug, Clone)]
pub struct Customer {
    pub id: String,
    pub key: Option<String>,
    pub name: String,
    pub subjects: Vec<String>,
    /// Grows with each deletion; `None`: live.
    pub deleted: Option<usize>,
}

impl Customer {
    pub fn is_live(&self) -> bool {
        self.deleted.is_none()
    }

    fn has_key(&self, text: &str) -> bool {
        self.key.as_deref() == Some(text)
    }

    fn has_subject(&self, text: &str) -> bool {
        self.subjects.iter().any(|subject| subject == text)
    }
}

/// The live customer whose key it is, else the live one whose subject key it is.
pub fn owner<'a>(customers: &'a [Customer], subject: &str) -> Option<&'a Customer> {
    let live = || customers.iter().filter(|customer| customer.is_live());
    live().find(|customer| customer.has_key(subject)).or_else(|| live().find(|customer| customer.has_subject(subject)))
}

/// Which of the customers that are asked for (by id) it is: its owner, or the last of those deleted that had it as their
/// key, as long as it has none.
pub fn asked_owner<'a>(customers: &'a [Customer], asked: &[String], subject: &str) -> Option<&'a str> {
    let is_asked = |customer: &&Customer| asked.contains(&customer.id);
    let found = match owner(customers, subject) {
        Some(owner) => Some(owner).filter(is_asked),
        None => {
            let gone = customers.iter().filter(is_asked).filter(|customer| customer.has_key(subject));
            gone.max_by_key(|customer| customer.deleted)
        }
    };
    found.map(|customer| customer.id.as_str())
}

/// Whether a text is the key of one live customer and a subject key of another.
pub fn any_shadowed(customers: &[Customer]) -> bool {
    let live = || customers.iter().filter(|customer| customer.is_live());
    let shadows = |owner: &Customer, other: &Customer| {
        owner.id != other.id && owner.key.as_ref().is_some_and(|key| other.has_subject(key))
    };
    live().any(|owner| live().any(|other| shadows(owner, other)))
}

/// Some of the customers to ask for, by chance: mostly live ones, which every version knows.
pub fn some(draw: &mut Draw, customers: &[Customer]) -> Option<Vec<String>> {
    let gone_too = draw.chance(25);
    let of: Vec<&Customer> = customers.iter().filter(|customer| gone_too || customer.is_live()).collect();
    let asks = !of.is_empty() && draw.chance(50);
    asks.then(|| (0..1 + draw.below(3)).map(|_| draw.pick(&of).id.clone()).collect())
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attempt {
    Made,
    Changed,
    Deleted,
    /// Somebody else has one of the names.
    Refused,
}

pub const ATTEMPTS: [Attempt; 4] = [Attempt::Made, Attempt::Changed, Attempt::Deleted, Attempt::Refused];

/// Tries to make, change or delete a customer.
pub fn attempt(client: &Client, draw: &mut Draw, customers: &mut Vec<Customer>) -> Attempt {
    let live: Vec<usize> = (0..customers.len()).filter(|at| customers[*at].is_live()).collect();
    match draw.below(10) {
        _ if live.len() < 2 => make(client, draw, customers),
        0..=2 => make(client, draw, customers),
        3 => {
            let deletions = customers.iter().filter(|customer| !customer.is_live()).count();
            let gone = &mut customers[*draw.pick(&live)];
            let answer = client.delete(&format!("/api/v1/customers/{}", gone.id)).expect("weir runs");
            assert_eq!(answer.status, 204, "{}", answer.body);
            gone.deleted = Some(deletions);
            gone.subjects.clear();
            Attempt::Deleted
        }
        _ => {
            let wanted = wanted(draw, customers);
            let customer = &mut customers[*draw.pick(&live)];
            let path = format!("/api/v1/customers/{}", customer.id);
            let answer = client.put(&path, "application/json", wanted.to_string().as_bytes()).expect("weir runs");
            match taken(&answer, 200, &wanted) {
                Some(changed) => {
                    *customer = changed;
                    Attempt::Changed
                }
                None => Attempt::Refused,
            }
        }
    }
}

fn make(client: &Client, draw: &mut Draw, customers: &mut Vec<Customer>) -> Attempt {
    let wanted = wanted(draw, customers);
    let answer = client.post("/api/v1/customers", "application/json", wanted.to_string().as_bytes());
    match taken(&answer.expect("weir runs"), 201, &wanted) {
        Some(made) => {
            customers.push(made);
            Attempt::Made
        }
        None => Attempt::Refused,
    }
}

/// The customer of the answer, or `None` where it was refused because of another one.
fn taken(answer: &Answer, status: u16, wanted: &Value) -> Option<Customer> {
    if answer.status == 409 {
        return None;
    }
    assert_eq!(answer.status, status, "{wanted}: {}", answer.body);
    let id = answer.json()["id"].as_str().expect("customers have ids").to_string();
    let text = |value: &Value| value.as_str().map(str::to_string);
    let subjects = wanted["usageAttribution"]["subjectKeys"].as_array().into_iter().flatten().filter_map(text);
    let name = text(&wanted["name"]).expect("customers have names");
    Some(Customer { id, key: text(&wanted["key"]), name, subjects: subjects.collect(), deleted: None })
}

/// A customer with some of the names that events have, and often with one that is another's key.
fn wanted(draw: &mut Draw, customers: &[Customer]) -> Value {
    let mut wanted = json!({"name": format!("Customer, \"{}\"", draw.below(100))});
    let mut subjects: Vec<&str> = SUBJECTS.into_iter().filter(|_| draw.chance(20)).collect();
    let keys: Vec<&str> =
        customers.iter().filter(|other| other.is_live()).filter_map(|other| other.key.as_deref()).collect();
    if !keys.is_empty() && draw.chance(30) {
        subjects.push(draw.pick::<&str>(&keys));
        subjects.sort_unstable();
        subjects.dedup();
    }
    if draw.chance(50) {
        wanted["key"] = json!(draw.pick(&SUBJECTS[..]));
    } else if subjects.is_empty() {
        subjects.push(draw.pick::<&str>(&SUBJECTS));
    }
    if !subjects.is_empty() {
        wanted["usageAttribution"] = json!({"subjectKeys": subjects});
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_knows_whose_a_subject_is() {
        let customer = |id: &str, key: &str, subjects: &[&str], deleted| Customer {
            id: id.to_string(),
            key: (!key.is_empty()).then(|| key.to_string()),
            name: id.to_string(),
            subjects: subjects.iter().map(ToString::to_string).collect(),
            deleted,
        };
        let customers = [
            customer("1", "a", &["b"], None),
            customer("2", "", &["a", "c"], None),
            customer("3", "d", &[], Some(0)),
            customer("4", "d", &[], Some(1)),
            customer("5", "c", &[], Some(2)),
        ];
        let all: Vec<String> = customers.iter().map(|customer| customer.id.clone()).collect();
        let of = |subject: &str| owner(&customers, subject).map(|customer| customer.id.as_str());
        assert_eq!(["a", "b", "c", "d", "e"].map(of), [Some("1"), Some("1"), Some("2"), None, None]);
        let of = |subject: &str| asked_owner(&customers, &all, subject);
        assert_eq!(["a", "b", "c", "d", "e"].map(of), [Some("1"), Some("1"), Some("2"), Some("4"), None]);
        assert_eq!(asked_owner(&customers, &all[1..3], "a"), None, "the key's owner was not asked for");
        assert_eq!(asked_owner(&customers, &all[2..3], "d"), Some("3"));
        assert!(any_shadowed(&customers) && !any_shadowed(&customers[1..]));
    }
}
