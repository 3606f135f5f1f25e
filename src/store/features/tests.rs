use super::*;
use crate::domain::catalog::feature::{FeatureDraft, FeatureFilter};
use crate::domain::catalog::unit_cost::UnitCost;
use crate::domain::metering::Aggregation;
use crate::domain::metering::meter::{Meter, MeterDraft};
use crate::store::database::{begin, commit};
use crate::store::meters;
use crate::store::tests::{at, fresh};
use std::collections::BTreeMap;

const THEN: &str = "2025-03-01T10:00:00.123456Z";

fn meter(namespace: &str, n: u128) -> Meter {
    let draft = MeterDraft {
        slug: "tokens".to_string(),
        name: None,
        description: None,
        aggregation: Aggregation::Count,
        event_type: "prompt".to_string(),
        event_from: None,
        value_property: None,
        group_by: BTreeMap::from([("model".to_string(), "$.model".to_string())]),
        metadata: None,
    };
    draft.check(namespace, Ulid::from(n), Ulid::from(n), at(THEN)).unwrap()
}

fn feature(namespace: &str, key: &str, n: u128, meter: Option<&Meter>) -> Feature {
    let draft = FeatureDraft {
        key: key.to_string(),
        name: "Tokens".to_string(),
        description: None,
        metadata: BTreeMap::new(),
        filters: BTreeMap::new(),
        unit_cost: None,
    };
    draft.check(namespace, Ulid::from(n), meter, at(THEN)).unwrap()
}

fn keys(list: Vec<Feature>) -> Vec<String> {
    list.into_iter().map(|feature| feature.key).collect()
}

#[tokio::test]
async fn a_feature_reads_back_as_it_was_written() {
    let database = fresh().await;
    let mut client = database.client().await.unwrap();
    let tx = begin(&mut client).await.unwrap();
    let meter = meter("default", 9);
    assert!(meters::insert(&tx, &meter).await.unwrap());
    let either = ["gpt-4", "größer"].map(|model| FeatureFilter::Eq(model.to_string())).to_vec();
    let given = Feature {
        description: Some("Größe".to_string()),
        metadata: BTreeMap::from([("z".to_string(), "1".to_string()), ("a\u{1}".to_string(), "\"".to_string())]),
        filters: BTreeMap::from([("model".to_string(), FeatureFilter::Or(either))]),
        unit_cost: Some(UnitCost::manual("1234567890.123456789012345678").unwrap()),
        ..feature("default", "tokens", 1, Some(&meter))
    };
    assert!(insert(&tx, &given).await.unwrap());
    commit(tx).await.unwrap();
    for name in [given.id.to_string(), given.key.clone()] {
        assert_eq!(find(&client, "default", &name, Lock::None).await.unwrap(), Some(given.clone()));
    }
    assert_eq!(of_meter(&client, "default", meter.id).await.unwrap(), [given]);
}

#[tokio::test]
async fn a_key_is_taken_until_its_feature_is_archived() {
    let database = fresh().await;
    let mut client = database.client().await.unwrap();
    let tx = begin(&mut client).await.unwrap();
    let meter = meter("default", 9);
    assert!(meters::insert(&tx, &meter).await.unwrap());
    let (b, a) = (feature("default", "b", 1, Some(&meter)), feature("default", "a", 2, None));
    for (feature, inserted) in
        [(&b, true), (&a, true), (&feature("default", "b", 3, None), false), (&feature("other", "b", 1, None), true)]
    {
        assert_eq!(insert(&tx, feature).await.unwrap(), inserted);
    }
    assert_eq!(keys(list(&tx, "default", false).await.unwrap()), ["b", "a"]);
    assert_eq!(keys(by_keys(&tx, "default", &["b", "none", "a\0", "a"]).await.unwrap()), ["a", "b"]);

    let when = at("2025-03-02T00:00:00Z");
    archive(&tx, "default", b.id, when).await.unwrap();
    archive(&tx, "default", b.id, at("2025-03-03T00:00:00Z")).await.unwrap();
    assert_eq!(find(&tx, "default", "b", Lock::ForUpdate).await.unwrap(), None);
    let gone = find(&tx, "default", &b.id.to_string(), Lock::None).await.unwrap().unwrap();
    assert_eq!((gone.archived_at, gone.updated_at), (Some(when), when));
    assert_eq!(keys(by_keys(&tx, "default", &["a", "b"]).await.unwrap()), ["a"]);
    assert_eq!(keys(by_ids(&tx, "default", &[a.id, b.id, Ulid::from(7)]).await.unwrap()), ["b", "a"]);
    assert_eq!(of_meter(&tx, "default", meter.id).await.unwrap(), []);
    assert_eq!(ever_of_meter(&tx, "default", meter.id).await.unwrap(), [b.id]);
    assert_eq!(keys(list(&tx, "default", false).await.unwrap()), ["a"]);
    assert_eq!(keys(list(&tx, "default", true).await.unwrap()), ["b", "a"]);
    assert!(insert(&tx, &feature("default", "b", 4, None)).await.unwrap());
}

#[tokio::test]
async fn only_the_unit_cost_of_a_live_feature_changes() {
    let database = fresh().await;
    let mut client = database.client().await.unwrap();
    let tx = begin(&mut client).await.unwrap();
    let given = feature("default", "tokens", 1, None);
    assert!(insert(&tx, &given).await.unwrap());
    let when = at("2025-03-02T00:00:00Z");
    let priced = given.with_unit_cost(Some(UnitCost::manual("0.5").unwrap()), None, when).unwrap();
    update_unit_cost(&tx, &Feature { name: "Renamed".to_string(), ..priced.clone() }).await.unwrap();
    assert_eq!(find(&tx, "default", "tokens", Lock::None).await.unwrap(), Some(priced.clone()));
    archive(&tx, "default", given.id, when).await.unwrap();
    update_unit_cost(&tx, &given).await.unwrap();
    let archived = find(&tx, "default", &given.id.to_string(), Lock::None).await.unwrap();
    assert_eq!(archived, Some(Feature { archived_at: Some(when), ..priced }));
}
