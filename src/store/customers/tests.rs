use super::*;
use crate::domain::customer::query::FieldFilter;
use crate::domain::customer::{Address, CustomerDraft};
use crate::domain::metering::query::{Pattern, TextFilter};
use crate::store::database::{begin, commit};
use crate::store::tests::{at, fresh};
use crate::store::{Client, Database};

fn customer(key: Option<&str>, subject_keys: &[&str], n: u128) -> Customer {
    let draft = CustomerDraft {
        key: key.map(str::to_string),
        name: format!("Customer {n}"),
        subject_keys: subject_keys.iter().map(|key| key.to_string()).collect(),
        ..CustomerDraft::default()
    };
    draft.create("default", Ulid::from(n), at("2025-03-01T10:00:00.123456Z"))
}

async fn inserted(database: &Database, customers: &[Customer]) -> Client {
    let mut client = database.client().await.unwrap();
    let tx = begin(&mut client).await.unwrap();
    for customer in customers {
        insert(&tx, customer).await.unwrap();
    }
    commit(tx).await.unwrap();
    client
}

#[tokio::test]
async fn a_customer_reads_back_as_it_was_written() {
    let database = fresh().await;
    let address = Address { country: Some("HU".into()), line2: Some("2. em.".into()), ..Address::default() };
    let full = Customer {
        description: Some("Größe".to_string()),
        primary_email: Some("a@b.c".to_string()),
        currency: Some("HUF".to_string()),
        billing_address: Some(address),
        metadata: [("tier", "1.50"), ("ключ", "\u{1f980}")].map(|(k, v)| (k.to_string(), v.to_string())).into(),
        ..customer(Some("a/b %"), &["a", "b"], 1)
    };
    let bare = customer(None, &["c"], 2);
    let client = inserted(&database, &[full.clone(), bare.clone()]).await;
    for (name, expected) in [(full.id.to_string(), &full), ("a/b %".into(), &full), (bare.id.to_string(), &bare)] {
        assert_eq!(find(&client, "default", &name, Lock::None).await.unwrap().as_ref(), Some(expected));
        assert_eq!(find(&client, "other", &name, Lock::None).await.unwrap(), None);
    }
    let ids = [Ulid::from(9u128), bare.id, full.id];
    assert_eq!(by_ids(&client, "default", &ids).await.unwrap(), [full, bare]);
    assert_eq!(find(&client, "default", "a\0", Lock::None).await.unwrap(), None);
}

#[tokio::test]
async fn the_owner_of_a_key_goes_before_the_owner_of_the_subject_key() {
    let database = fresh().await;
    let (a, b) = (customer(Some("x"), &["y"], 1), customer(Some("b"), &["x", "z"], 2));
    let mut client = inserted(&database, &[b.clone(), a.clone()]).await;
    let owned = owners(&client, "default", &["x", "y", "z", "b", "nobody", "x\0"]).await.unwrap();
    let expected = [("b", &b), ("x", &a), ("y", &a), ("z", &b)];
    let expected = expected.map(|(text, customer)| (text.to_string(), customer.clone()));
    assert_eq!(owned, expected.into());
    assert!(owners(&client, "other", &["x"]).await.unwrap().is_empty());

    let tx = begin(&mut client).await.unwrap();
    let mut holding = holders(&tx, "default", &["x".to_string()]).await.unwrap();
    holding.sort();
    assert_eq!(holding, [a.id, b.id]);
    let when = at("2025-03-02T00:00:00Z");
    delete(&tx, "default", a.id, when).await.unwrap();
    commit(tx).await.unwrap();
    let owned = owners(&client, "default", &["x", "y"]).await.unwrap();
    assert_eq!(owned, BTreeMap::from([("x".to_string(), b)]), "what the deleted one had is another's or free");
    assert_eq!(find(&client, "default", "x", Lock::None).await.unwrap(), None);
    let gone = find(&client, "default", &a.id.to_string(), Lock::None).await.unwrap().unwrap();
    assert_eq!(gone, Customer { subject_keys: vec![], updated_at: when, deleted_at: Some(when), ..a });
}

#[tokio::test]
async fn a_row_that_was_waited_for_is_read_with_its_newest_subject_keys() {
    let database = fresh().await;
    let before = customer(Some("acme"), &["old"], 1);
    let mut first = inserted(&database, std::slice::from_ref(&before)).await;
    let changing = begin(&mut first).await.unwrap();
    find(&changing, "default", "acme", Lock::ForUpdate).await.unwrap();
    let after = Customer { subject_keys: vec!["new".to_string()], ..before };
    update(&changing, &after).await.unwrap();
    let mut second = database.client().await.unwrap();
    let waiting = begin(&mut second).await.unwrap();
    let (read, ()) = tokio::join!(find(&waiting, "default", "acme", Lock::ForUpdate), async {
        wait_for_a_lock(&database).await;
        commit(changing).await.unwrap();
    });
    assert_eq!(read.unwrap(), Some(after));
}

/// Until somebody waits for somebody.
async fn wait_for_a_lock(database: &Database) {
    const WAITING: &str =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while crate::store::tests::one(database, WAITING).await == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_is_taken_is_told_and_nothing_of_ones_own() {
    let database = fresh().await;
    let (a, deleted) = (customer(Some("a"), &["s", "t"], 1), customer(Some("gone"), &["free"], 2));
    let mut client = inserted(&database, &[a.clone(), deleted.clone()]).await;
    let tx = begin(&mut client).await.unwrap();
    delete(&tx, "default", deleted.id, at("2025-03-02T00:00:00Z")).await.unwrap();
    let nothing = Taken::default();
    let ids = [a.id.to_string(), deleted.id.to_string()];
    #[rustfmt::skip]
    let table = [
        (customer(Some("a"), &["s"], 1), nothing.clone()),
        (customer(Some("gone"), &["free", "a"], 3), nothing.clone()),
        (customer(Some("a"), &[], 3), Taken { key_is_key: true, ..nothing.clone() }),
        (customer(Some("s"), &[], 3), Taken { key_is_subject_of: Some(a.id), ..nothing.clone() }),
        (customer(None, &["q", "t"], 3), Taken { subject_keys: true, ..nothing.clone() }),
        (customer(Some(&ids[0]), &[], 3), Taken { key_is_id: true, ..nothing.clone() }),
        (customer(Some(&ids[1]), &[], 3), Taken { key_is_id: true, ..nothing.clone() }),
        (customer(Some(&ids[0]), &[], 1), Taken { key_is_id: true, ..nothing.clone() }),
        (Customer { namespace: "other".into(), ..customer(Some("a"), &["s"], 3) }, nothing),
    ];
    for (customer, expected) in table {
        assert_eq!(taken(&tx, &customer).await.unwrap(), expected, "{customer:?}");
    }
}

#[tokio::test]
async fn a_list_is_filtered_ordered_and_cut() {
    let database = fresh().await;
    let named = |n: u128, name: &str, email: Option<&str>, subject_keys: &[&str]| Customer {
        name: name.to_string(),
        primary_email: email.map(str::to_string),
        created_at: at(&format!("2025-03-01T10:00:0{}Z", 9 - n)),
        ..customer(Some(&format!("k{n}")), subject_keys, n)
    };
    let rows = [
        named(1, "Same", Some("x@a.io"), &["eu-1", "us-2"]),
        named(2, "Same", None, &["eu-2"]),
        named(3, "100% _Éva\\", Some("y@B.io"), &[]),
        named(4, "zed", Some("z@c.io"), &["us-1"]),
    ];
    let mut client = inserted(&database, &rows).await;
    let tx = begin(&mut client).await.unwrap();
    delete(&tx, "default", rows[3].id, at("2025-03-02T00:00:00Z")).await.unwrap();
    commit(tx).await.unwrap();

    let like = |pattern: &str| FieldFilter::Text(TextFilter::Like(Pattern::new(pattern, true)));
    let is = |text: &str| FieldFilter::Text(TextFilter::In(vec![text.to_string()]));
    let all = CustomersQuery::default;
    #[rustfmt::skip]
    let table: Vec<(CustomersQuery, &[u128])> = vec![
        (all(), &[3, 1, 2]),
        (CustomersQuery { descending: true, ..all() }, &[1, 2, 3]),
        (CustomersQuery { order: CustomerOrder::Id, descending: true, with_deleted: true, ..all() }, &[4, 3, 2, 1]),
        (CustomersQuery { order: CustomerOrder::CreatedAt, ..all() }, &[3, 2, 1]),
        (CustomersQuery { name: vec![like("%same%")], ..all() }, &[1, 2]),
        (CustomersQuery { name: vec![like("%\\%%")], ..all() }, &[3]),
        (CustomersQuery { name: vec![like("%éVA\\\\%")], ..all() }, &[3]),
        (CustomersQuery { key: vec![is("k2")], name: vec![is("Same")], ..all() }, &[2]),
        (CustomersQuery { primary_email: vec![FieldFilter::Exists(false)], ..all() }, &[2]),
        (CustomersQuery { primary_email: vec![FieldFilter::Exists(true), like("%b.IO")], ..all() }, &[3]),
        (CustomersQuery { subject_key: vec![FieldFilter::Exists(false)], ..all() }, &[3]),
        (CustomersQuery { subject_key: vec![like("eu-%"), like("%1")], ..all() }, &[1]),
        (CustomersQuery { subject_key: vec![like("eu-%"), like("us-%")], ..all() }, &[]),
        (CustomersQuery { subject_key: vec![FieldFilter::Exists(true)], with_deleted: true, ..all() }, &[1, 2]),
    ];
    for (query, expected) in table {
        let page = list(&client, "default", &query, PageAsk { offset: 0, limit: 10 }).await.unwrap();
        let ids: Vec<u128> = page.items.iter().map(|customer| customer.id.into()).collect();
        assert_eq!((ids.as_slice(), page.total), (expected, expected.len() as u64), "{query:?}");
    }
    let cut = async |offset, limit| list(&client, "default", &all(), PageAsk { offset, limit }).await.unwrap();
    let second = cut(1, 1).await;
    assert_eq!((second.items, second.total), (vec![rows[0].clone()], 3));
    let beyond = cut(u64::MAX, u64::MAX).await;
    assert_eq!((beyond.items, beyond.total), (vec![], 3));
    assert_eq!(list(&client, "other", &all(), PageAsk { offset: 0, limit: 9 }).await.unwrap().total, 0);
}

#[tokio::test]
async fn a_customer_of_many_subject_keys_takes_few_locks() {
    let database = fresh().await;
    let mut client = database.client().await.unwrap();
    let tx = begin(&mut client).await.unwrap();
    let texts: Vec<String> = (0..10_000).map(|n| format!("subject-{n}")).collect();
    hold(&tx, "default", &texts).await.unwrap();
    hold(&tx, "default", &[]).await.unwrap();
    let locks = format!(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = {HOLD_KEY} \
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    );
    assert_eq!(crate::store::tests::one(&database, &locks).await, i64::from(STRIPES));
}
