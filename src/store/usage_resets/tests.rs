use super::*;
use crate::store::database::begin;
use crate::store::entitlements;
use crate::store::entitlements::tests::{entitlement, world};
use crate::store::tests::{at, fresh};

#[tokio::test]
async fn resets_read_back_ascending_by_their_entitlement() {
    let database = fresh().await;
    let mut client = world(&database, "default").await;
    let tx = begin(&mut client).await.unwrap();
    let (one, two, three) = (Ulid::from(1), Ulid::from(2), Ulid::from(3));
    for (n, feature) in [(1, (2, "tokens")), (2, (3, "seats"))] {
        entitlements::insert(&tx, &entitlement(n, 1, feature)).await.unwrap();
    }
    let plain = Reset { at: at("2025-03-02T00:00:00Z"), anchor: None, preserve_overage: true };
    let moved =
        Reset { at: at("2025-03-01T00:00:00Z"), anchor: Some(at("2025-03-01T00:00:00Z")), preserve_overage: false };
    let now = at("2025-03-02T00:00:30Z");
    for (entitlement, reset) in [(one, &plain), (one, &moved), (two, &plain)] {
        insert(&tx, "default", entitlement, reset, now).await.unwrap();
    }
    let found = of_entitlements(&tx, "default", &[one, two, three]).await.unwrap();
    assert_eq!(found, BTreeMap::from([(one, vec![moved, plain]), (two, vec![plain])]));
    assert!(of_entitlements(&tx, "other", &[one]).await.unwrap().is_empty());
}
