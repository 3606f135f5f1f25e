use super::*;
use crate::domain::quantity::Quantity;
use crate::store::database::{Client, begin, commit};
use crate::store::tests::{at, fresh};
use crate::store::{Database, sql};
use std::collections::BTreeMap;

const THEN: &str = "2025-03-01T10:00:00.123456Z";

/// Customers 1 (key `acme`, subject keys `acme-eu` and `acme-us`) and 2 (subject key `acme`), and the features 1 and 2
/// (`tokens`, the first archived) and 3 (`seats`), in the namespace.
pub(crate) async fn world(database: &Database, namespace: &str) -> Client {
    let client = database.client().await.unwrap();
    let (one, two, three) = (Ulid::from(1), Ulid::from(2), Ulid::from(3));
    let statements = format!(
        "INSERT INTO customers (namespace, id, key, name, metadata, created_at, updated_at) VALUES \
            ('{namespace}', '{one}', 'acme', 'Acme', '{{}}', '2025-01-01', '2025-01-01'), \
            ('{namespace}', '{two}', NULL, 'Other', '{{}}', '2025-01-01', '2025-01-01'); \
         INSERT INTO customer_subjects (namespace, subject_key, customer_id) VALUES ('{namespace}', 'acme-us', '{one}'), \
            ('{namespace}', 'acme-eu', '{one}'), ('{namespace}', 'acme', '{two}'); \
         INSERT INTO features (namespace, id, key, name, metadata, filters, created_at, updated_at, archived_at) VALUES \
            ('{namespace}', '{one}', 'tokens', 'Tokens', '{{}}', '{{}}', '2025-01-01', '2025-01-01', '2025-01-02'), \
            ('{namespace}', '{two}', 'tokens', 'Tokens', '{{}}', '{{}}', '2025-01-01', '2025-01-01', NULL), \
            ('{namespace}', '{three}', 'seats', 'Seats', '{{}}', '{{}}', '2025-01-01', '2025-01-01', NULL)"
    );
    client.batch_execute(&statements).await.unwrap();
    client
}

/// A boolean one, `n` makes its id, active from then on.
pub(crate) fn entitlement(n: u128, customer: u128, (feature, key): (u128, &str)) -> Entitlement {
    Entitlement {
        id: Ulid::from(n),
        namespace: "default".to_string(),
        customer_id: Ulid::from(customer),
        feature_id: Ulid::from(feature),
        feature_key: key.to_string(),
        kind: Kind::Boolean { usage_period: None },
        metadata: BTreeMap::new(),
        annotations: BTreeMap::new(),
        active_from: at(THEN),
        active_to: None,
        created_at: at(THEN),
        updated_at: at(THEN),
        deleted_at: None,
    }
}

pub(crate) fn by(anchor: &str, interval: &str) -> Recurrence {
    Recurrence { anchor: at(anchor), interval: Interval::parse(interval).unwrap() }
}

pub(crate) fn metered() -> Metered {
    Metered {
        is_soft_limit: true,
        issue_after_reset: Quantity::parse("79228162514264337593543950335"),
        issue_after_reset_priority: Some(255),
        preserve_overage_at_reset: true,
        measure_from: at("1900-01-01T00:00:00Z"),
        usage_period: by("2024-02-29T00:00:00Z", "P100Y"),
    }
}

const TOKENS: (u128, &str) = (2, "tokens");
const SEATS: (u128, &str) = (3, "seats");

async fn add(client: &mut Client, entitlements: &[Entitlement]) {
    let tx = begin(client).await.unwrap();
    for entitlement in entitlements {
        insert(&tx, entitlement).await.unwrap();
    }
    commit(tx).await.unwrap();
}

fn numbers(found: &[Entitlement]) -> Vec<u128> {
    found.iter().map(|entitlement| entitlement.id.0).collect()
}

#[tokio::test]
async fn every_kind_reads_back_as_it_was_written() {
    let database = fresh().await;
    let mut client = world(&database, "default").await;
    let fine = Quantity::parse("0.0000000000000000000000000001");
    let text = |text: &str| text.to_string();
    let given = [
        Entitlement {
            metadata: BTreeMap::from([(text("z"), text("Größe €")), (text("a\u{1}"), text("\""))]),
            annotations: BTreeMap::from([(text("subscription.id"), text("01"))]),
            active_to: Some(at("2261-12-31T23:59:59.999999Z")),
            ..entitlement(1, 1, TOKENS)
        },
        Entitlement { kind: Kind::Metered(metered()), ..entitlement(2, 1, SEATS) },
        Entitlement {
            kind: Kind::Metered(Metered { issue_after_reset: fine, issue_after_reset_priority: None, ..metered() }),
            ..entitlement(3, 2, TOKENS)
        },
        Entitlement {
            kind: Kind::Static {
                config: text(r#"{"b": 1, "aa": [1.50, 12345678901234567890.1]}"#),
                usage_period: Some(by("2025-01-31T00:00:30Z", "PT24H")),
            },
            ..entitlement(4, 2, SEATS)
        },
    ];
    add(&mut client, &given).await;
    for entitlement in given {
        let id = entitlement.id.to_string();
        assert_eq!(find(&client, "default", &id, Lock::None).await.unwrap(), Some(entitlement));
        assert_eq!(find(&client, "other", &id, Lock::None).await.unwrap(), None);
    }
    assert_eq!(find(&client, "default", "\0", Lock::None).await.unwrap(), None);
}

#[tokio::test]
async fn a_configuration_is_written_as_jsonb_writes_it() {
    let database = fresh().await;
    let mut client = database.client().await.unwrap();
    #[rustfmt::skip]
    let table = [
        (r#"{"b":1,"aa":[1,2]}"#,          Some(r#"{"b": 1, "aa": [1, 2]}"#)),
        (r#"{"aa":1,"b":2,"b":1.50}"#,     Some(r#"{"b": 1.50, "aa": 1}"#)),
        (" [ ] ",                          Some("[]")),
        (r#""größer\u00df\/""#,            Some(r#""größerß/""#)),
        ("1e2",                            Some("100")),
        ("null",                           Some("null")),
        ("0.12345678901234567890123456789012345678901234567890", Some("0.12345678901234567890123456789012345678901234567890")),
        ("",                               None),
        ("{",                              None),
        ("{a:1}",                          None),
        ("{} {}",                          None),
        (r#""\u0000""#,                    None),
        (r#""\ud800""#,                    None),
        ("1e999999",                       None),
        ("\0",                             None),
    ];
    for (sent, expected) in table {
        // Each in a transaction of its own: a refusal ends it.
        let tx = begin(&mut client).await.unwrap();
        assert_eq!(normalised(&tx, sent).await.unwrap().as_deref(), expected, "{sent}");
    }
    let tx = begin(&mut client).await.unwrap();
    assert_eq!(normalised(&tx, &"[".repeat(1_000_000)).await.unwrap(), None, "nested deeper than the server goes");
}

#[tokio::test]
async fn what_decides_is_what_is_active() {
    let database = fresh().await;
    let mut client = world(&database, "default").await;
    let (noon, later) = (at("2025-03-02T12:00:00Z"), at("2025-03-03T00:00:00Z"));
    let given = [
        Entitlement { active_to: Some(noon), ..entitlement(1, 1, (1, "tokens")) },
        Entitlement { active_from: noon, ..entitlement(2, 1, TOKENS) },
        entitlement(3, 1, SEATS),
        entitlement(4, 2, SEATS),
    ];
    add(&mut client, &given).await;
    let active = async |client: &Client, when: &str| {
        numbers(&active_of_customer(client, "default", Ulid::from(1), at(when)).await.unwrap())
    };
    for (when, expected) in [
        ("2025-03-01T10:00:00Z", &[][..]),
        (THEN, &[3, 1]),
        ("2025-03-02T11:59:59.999999Z", &[3, 1]),
        ("2025-03-02T12:00:00Z", &[3, 2]),
    ] {
        assert_eq!(active(&client, when).await, expected, "{when}");
    }
    let of_tokens = active_of_feature(&client, "default", Ulid::from(1), "tokens", at(THEN)).await.unwrap();
    assert_eq!(of_tokens.map(|entitlement| entitlement.id.0), Some(1));
    assert_eq!(active_of_feature(&client, "default", Ulid::from(1), "\0", at(THEN)).await.unwrap(), None);
    let using = using_features(&client, "default", &[Ulid::from(1), Ulid::from(2)]).await.unwrap();
    assert_eq!(numbers(&using), [1, 2]);

    let tx = begin(&mut client).await.unwrap();
    let in_the_way = async |key: &str, when: &str| {
        unended(&tx, "default", Ulid::from(1), key, at(when)).await.unwrap().map(|it| it.id.0)
    };
    assert_eq!(in_the_way("tokens", THEN).await, Some(1));
    assert_eq!(in_the_way("tokens", "2025-03-02T12:00:00Z").await, Some(2));
    assert_eq!(in_the_way("none", THEN).await, None);
    end(&tx, "default", Ulid::from(2), later).await.unwrap();
    delete(&tx, "default", Ulid::from(3), later).await.unwrap();
    assert_eq!(in_the_way("tokens", "2025-03-03T00:00:00Z").await, None);
    assert_eq!(in_the_way("seats", THEN).await, None);
    assert!(active_of_customer(&tx, "default", Ulid::from(1), later).await.unwrap().is_empty());
    commit(tx).await.unwrap();
    let ended = find(&client, "default", &Ulid::from(2).to_string(), Lock::ForUpdate).await.unwrap().unwrap();
    assert_eq!((ended.active_to, ended.updated_at), (Some(later), later));
    assert_eq!(find(&client, "default", &Ulid::from(3).to_string(), Lock::None).await.unwrap(), None);
}

#[tokio::test]
async fn the_database_itself_keeps_a_second_open_one_out() {
    let database = fresh().await;
    let mut client = world(&database, "default").await;
    add(&mut client, &[entitlement(1, 1, TOKENS)]).await;
    let tx = begin(&mut client).await.unwrap();
    let fault = insert(&tx, &entitlement(2, 1, (1, "tokens"))).await.unwrap_err();
    assert!(fault.message.contains("entitlements_open"), "{fault}");
}

#[tokio::test]
async fn a_list_has_what_every_filter_accepts() {
    let database = fresh().await;
    let mut client = world(&database, "default").await;
    let day = |n: u32| at(&format!("2025-03-{n:02}T00:00:00Z"));
    let given = [
        Entitlement {
            active_to: Some(day(2)),
            created_at: day(1),
            updated_at: day(9),
            ..entitlement(1, 1, (1, "tokens"))
        },
        Entitlement { active_from: day(2), created_at: day(2), updated_at: day(2), ..entitlement(2, 1, TOKENS) },
        Entitlement { kind: Kind::Metered(metered()), created_at: day(3), ..entitlement(3, 2, TOKENS) },
        Entitlement { active_from: day(20), created_at: day(3), ..entitlement(4, 2, SEATS) },
        Entitlement { deleted_at: Some(day(3)), ..entitlement(5, 1, SEATS) },
    ];
    add(&mut client, &given).await;
    let texts = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect::<Vec<_>>();
    let all = EntitlementsQuery::default;
    let (one, two) = (Ulid::from(1).to_string(), Ulid::from(2).to_string());
    #[rustfmt::skip]
    let table: Vec<(&str, EntitlementsQuery, Option<Instant>, &[u128])> = vec![
        ("everything that is there", all(), None, &[1, 2, 3, 4]),
        ("what is active", all(), Some(day(10)), &[2, 3]),
        ("by feature key", EntitlementsQuery { features: texts(&["tokens"]), ..all() }, None, &[1, 2, 3]),
        ("by feature id", EntitlementsQuery { features: texts(&[&one, "seats"]), ..all() }, None, &[1, 4]),
        ("by customer id", EntitlementsQuery { customer_ids: texts(&[&two]), ..all() }, None, &[3, 4]),
        ("a lower-case id is none", EntitlementsQuery { customer_ids: texts(&["0000000000000000000000000z"]), ..all() }, None, &[]),
        ("by customer key", EntitlementsQuery { customer_keys: texts(&["acme"]), ..all() }, None, &[1, 2]),
        ("by subject key, though it is another's key", EntitlementsQuery { subject_keys: texts(&["acme"]), ..all() }, None, &[3, 4]),
        ("by one of several subject keys", EntitlementsQuery { subject_keys: texts(&["acme-eu", "none"]), ..all() }, None, &[1, 2]),
        ("by kind", EntitlementsQuery { kinds: vec![EntitlementType::Metered, EntitlementType::Static], ..all() }, None, &[3]),
        ("by all together", EntitlementsQuery { customer_ids: texts(&[&one]), customer_keys: texts(&["acme"]), features: texts(&[&two]), ..all() }, None, &[2]),
        ("which no text can be", EntitlementsQuery { features: texts(&["\0"]), ..all() }, None, &[]),
        ("newest first", EntitlementsQuery { descending: true, ..all() }, None, &[4, 3, 2, 1]),
        ("by change", EntitlementsQuery { order: EntitlementOrder::UpdatedAt, ..all() }, None, &[3, 4, 2, 1]),
        ("by change, newest first", EntitlementsQuery { order: EntitlementOrder::UpdatedAt, descending: true, ..all() }, None, &[1, 2, 4, 3]),
    ];
    for (name, query, active_at, expected) in table {
        let page = list(&client, "default", &query, active_at, PageAsk::ALL).await.unwrap();
        assert_eq!((numbers(&page.items).as_slice(), page.total), (expected, expected.len() as u64), "{name}");
    }
    let page = list(&client, "default", &all(), None, PageAsk { offset: 1, limit: 2 }).await.unwrap();
    assert_eq!((numbers(&page.items), page.total), (vec![2, 3], 4));
    let beyond = list(&client, "default", &all(), None, PageAsk { offset: 9, limit: 2 }).await.unwrap();
    assert_eq!((beyond.items.len(), beyond.total), (0, 4));
    assert_eq!(list(&client, "other", &all(), None, PageAsk::ALL).await.unwrap().total, 0);
    assert_eq!(sql::total(&client, "SELECT count(*) AS total FROM entitlements", &[]).await.unwrap(), 5);
}
