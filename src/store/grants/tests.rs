use super::*;
use crate::domain::entitlement::record::{Entitlement, Kind};
use crate::domain::quantity::Quantity;
use crate::store::database::{begin, commit};
use crate::store::entitlements;
use crate::store::entitlements::tests::{by, entitlement, metered, world};
use crate::store::tests::{at, fresh};
use std::collections::BTreeMap;

fn grant(n: u128, entitlement: u128) -> GrantRecord {
    let amount = Quantity::parse("10").unwrap();
    let grant = Grant {
        id: Ulid::from(n),
        amount,
        priority: 0,
        effective_at: at("2025-03-01T00:00:00Z"),
        expires_at: None,
        voided_at: None,
        deleted_at: None,
        min_rollover: Quantity::ZERO,
        max_rollover: amount,
        recurrence: None,
        created_at: at("2025-03-01T10:00:00.123456Z"),
    };
    GrantRecord {
        updated_at: grant.created_at,
        grant,
        namespace: "default".to_string(),
        entitlement_id: Ulid::from(entitlement),
        expiration: None,
        metadata: BTreeMap::new(),
        annotations: None,
    }
}

fn full() -> GrantRecord {
    let mut record = grant(1, 1);
    record.grant = Grant {
        amount: Quantity::parse("7.9228162514264337593543950335").unwrap(),
        priority: 255,
        expires_at: Some(at("2261-12-31T23:59:00Z")),
        voided_at: Some(at("2025-03-02T00:00:00Z")),
        deleted_at: Some(at("2025-03-03T00:00:00.000001Z")),
        min_rollover: Quantity::parse("0.0000000000000000000000000001").unwrap(),
        max_rollover: Quantity::parse("79228162514264337593543950335").unwrap(),
        recurrence: Some(by("2024-02-29T00:00:00Z", "P1Y2M10DT2H30M")),
        ..record.grant
    };
    GrantRecord {
        expiration: Some(Expiration { count: u32::MAX, unit: ExpirationUnit::Week }),
        metadata: BTreeMap::from([("z".to_string(), "Größe €".to_string())]),
        // Digits, order, escapes and doubled keys: what jsonb would lose or refuse.
        annotations: Some(r#"{"z":1.50,"a":"\u0000","a":{"issueAfterReset":true}}"#.to_string()),
        ..record
    }
}

async fn of_two_entitlements(database: &crate::store::Database) -> crate::store::Client {
    let mut client = world(database, "default").await;
    let tx = begin(&mut client).await.unwrap();
    for (n, customer, feature) in [(1, 1, (2, "tokens")), (2, 2, (3, "seats"))] {
        let it = Entitlement { kind: Kind::Metered(metered()), ..entitlement(n, customer, feature) };
        entitlements::insert(&tx, &it).await.unwrap();
    }
    commit(tx).await.unwrap();
    client
}

fn numbers(found: &[GrantRecord]) -> Vec<u128> {
    found.iter().map(|record| record.grant.id.0).collect()
}

#[tokio::test]
async fn a_grant_reads_back_to_the_last_digit() {
    let database = fresh().await;
    let mut client = of_two_entitlements(&database).await;
    let tx = begin(&mut client).await.unwrap();
    for record in [full(), grant(2, 1)] {
        insert(&tx, &record).await.unwrap();
    }
    assert_eq!(of_entitlements(&tx, "default", &[Ulid::from(1)], true).await.unwrap(), [full(), grant(2, 1)]);
    let id = grant(2, 1).grant.id.to_string();
    assert_eq!(find(&tx, "default", &id, Lock::ForUpdate).await.unwrap(), Some(grant(2, 1)));
    assert_eq!(find(&tx, "default", &full().grant.id.to_string(), Lock::None).await.unwrap(), None, "it is deleted");
    assert_eq!(find(&tx, "other", &id, Lock::None).await.unwrap(), None);
}

#[tokio::test]
async fn a_void_and_the_end_of_an_entitlement_are_kept() {
    let database = fresh().await;
    let mut client = of_two_entitlements(&database).await;
    let tx = begin(&mut client).await.unwrap();
    for record in [grant(1, 1), grant(2, 1), grant(3, 2)] {
        insert(&tx, &record).await.unwrap();
    }
    let now = at("2025-03-01T10:30:45.123456Z");
    let voided = grant(1, 1).void(None, at("2025-03-01T00:00:00Z"), now).unwrap();
    void(&tx, &voided).await.unwrap();
    assert_eq!(find(&tx, "default", &voided.grant.id.to_string(), Lock::None).await.unwrap(), Some(voided));
    delete_of_entitlement(&tx, "default", Ulid::from(1), now).await.unwrap();
    let both = [Ulid::from(1), Ulid::from(2)];
    assert_eq!(numbers(&of_entitlements(&tx, "default", &both, false).await.unwrap()), [3]);
    let all = of_entitlements(&tx, "default", &both, true).await.unwrap();
    let ends: Vec<_> = all.iter().map(|record| record.grant.deleted_at).collect();
    assert_eq!((numbers(&all), ends), (vec![1, 2, 3], vec![Some(now), Some(now), None]));
}

#[tokio::test]
async fn a_list_has_what_every_filter_accepts() {
    let database = fresh().await;
    let mut client = of_two_entitlements(&database).await;
    let tx = begin(&mut client).await.unwrap();
    let day = |n: u32| at(&format!("2025-03-{n:02}T00:00:00Z"));
    for (n, entitlement, effective, created, updated) in [(1, 1, 9, 1, 5), (2, 1, 7, 3, 3), (3, 2, 8, 2, 4)] {
        let mut record = grant(n, entitlement);
        record.grant.effective_at = day(effective);
        record.grant.created_at = day(created);
        record.updated_at = day(updated);
        insert(&tx, &record).await.unwrap();
    }
    let gone = GrantRecord { grant: Grant { deleted_at: Some(day(9)), ..grant(4, 2).grant }, ..grant(4, 2) };
    insert(&tx, &gone).await.unwrap();
    let texts = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect::<Vec<_>>();
    let all = GrantsQuery::default;
    let sorted = |order, descending| GrantsQuery { order, descending, ..all() };
    let seats = Ulid::from(3).to_string();
    type Row<'a> = (GrantsQuery, Option<&'a [Ulid]>, &'a [u128]);
    #[rustfmt::skip]
    let table: Vec<Row<'_>> = vec![
        (all(),                                                          None, &[2, 3, 1]),
        (sorted(GrantOrder::EffectiveAt, true),                          None, &[1, 3, 2]),
        (sorted(GrantOrder::CreatedAt, false),                           None, &[1, 3, 2]),
        (sorted(GrantOrder::CreatedAt, true),                            None, &[2, 3, 1]),
        (sorted(GrantOrder::UpdatedAt, false),                           None, &[2, 3, 1]),
        (sorted(GrantOrder::UpdatedAt, true),                            None, &[1, 3, 2]),
        (sorted(GrantOrder::Id, false),                                  None, &[1, 2, 3]),
        (sorted(GrantOrder::Id, true),                                   None, &[3, 2, 1]),
        (GrantsQuery { include_deleted: true, ..sorted(GrantOrder::Id, false) }, None, &[1, 2, 3, 4]),
        (GrantsQuery { entitlement_id: Some(Ulid::from(1)), ..all() },   None, &[2, 1]),
        (GrantsQuery { features: texts(&["tokens"]), ..all() },          None, &[2, 1]),
        (GrantsQuery { features: texts(&[&seats]), ..all() },            None, &[3]),
        (GrantsQuery { subject_keys: texts(&["acme-eu"]), ..all() },     None, &[2, 1]),
        (all(),                                                          Some(&[Ulid(2)]), &[3]),
        (all(),                                                          Some(&[]), &[]),
    ];
    for (query, customers, expected) in table {
        let page = list(&tx, "default", &query, customers, PageAsk::ALL).await.unwrap();
        assert_eq!((numbers(&page.items).as_slice(), page.total), (expected, expected.len() as u64), "{query:?}");
    }
    let page = list(&tx, "default", &all(), None, PageAsk { offset: 1, limit: 1 }).await.unwrap();
    assert_eq!((numbers(&page.items), page.total), (vec![3], 3));
}
