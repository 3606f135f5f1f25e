//! Many at once.

use super::*;
use crate::services::meters::MeterError;
use futures::future::{join, join_all};

#[tokio::test]
async fn of_fifty_that_make_the_same_one_wins() {
    let (scene, me) = (scene().await, caller());
    let outcomes = join_all((0..50).map(|n| {
        let owner = if n % 2 == 0 { ACME } else { Owner::Subject("acme-eu") };
        scene.records.entitlements.create(&me, owner, metered("tokens"), show)
    }));
    let outcomes = outcomes.await;
    let won: Vec<String> =
        outcomes.iter().filter_map(|outcome| Some(outcome.as_ref().ok()?.kept.body.clone())).collect();
    let [winner] = &won[..] else { panic!("{} won", won.len()) };
    for lost in outcomes.into_iter().filter_map(Result::err) {
        assert!(matches!(lost, EntitlementError::Exists { id, .. } if id.to_string() == *winner), "{lost}");
    }
    assert_eq!(scene.count("entitlements").await, 1);
}

#[tokio::test]
async fn what_is_metered_has_a_live_meter_however_feature_and_meter_end() {
    let (scene, me) = (scene().await, caller());
    for round in 0..20u64 {
        let (slug, key) = (format!("meter_{round}"), format!("feature_{round}"));
        scene.records.meters.create(&me, meter_draft(&slug), &[], show_meter).await.unwrap();
        scene.feature(&key, Some(&slug)).await;
        let end = async {
            // Who is first is left to chance.
            tokio::time::sleep(std::time::Duration::from_millis(round % 5)).await;
            scene.records.features.archive(&me, &key, nothing()).await.unwrap();
            scene.records.meters.delete(&me, &slug, nothing()).await
        };
        match join(scene.try_create(metered(&key)), end).await {
            (Ok(_), Err(MeterError::HasEntitlements)) | (Err(EntitlementError::FeatureNotFound(_)), Ok(_)) => {}
            other => panic!("round {round}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn of_many_that_replace_each_finds_the_one_before() {
    let (scene, me) = (scene().await, caller());
    scene.create(metered("tokens")).await;
    let replace = || scene.records.entitlements.replace(&me, ACME, "tokens", metered("tokens"), show);
    for outcome in join_all((0..20).map(|_| replace())).await {
        outcome.unwrap();
    }
    assert_eq!(scene.count("entitlements").await, 21);
    let all = EntitlementsQuery::default();
    let active = scene.records.entitlements.list_active("default", ACME, all, PageAsk::ALL).await.unwrap();
    assert_eq!(active.total, 1);
}

#[tokio::test]
async fn of_many_resets_at_once_one_wins() {
    let scene = scene().await;
    let id = scene.create(metered("tokens")).await;
    scene.pass_seconds(60);
    let outcomes = join_all((0..20).map(|_| scene.try_reset(&id, ResetDraft::default()))).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let given = scene.try_grant(&id, grant("1")).await.is_err();
    assert!(given, "the grant's minute is behind the reset");
    assert_eq!(scene.count("usage_resets").await, 1);
}

#[tokio::test]
async fn of_many_voids_at_once_one_wins() {
    let (scene, me) = (scene().await, caller());
    let id = scene.create(metered("tokens")).await;
    let given = scene.try_grant(&id, grant("1")).await.unwrap();
    let void = || scene.records.entitlements.void_grant(&me, &given, None, nothing());
    let outcomes = join_all((0..20).map(|_| void())).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
}

#[tokio::test]
async fn a_customer_is_never_deleted_under_a_new_entitlement() {
    let (scene, me) = (scene().await, caller());
    for round in 0..12 {
        let key = format!("customer-{round}");
        let customer = scene.customer(&key, &[]).await;
        let owner = Owner::Customer(&key);
        let create = scene.records.entitlements.create(&me, owner, boolean("seats"), show);
        let delete = scene.records.customers.delete(&me, &key, nothing());
        // Each of the two begins first in half of the rounds.
        let (created, deleted) = match round % 2 {
            0 => join(create, delete).await,
            _ => {
                let (deleted, created) = join(delete, create).await;
                (created, deleted)
            }
        };
        assert!(created.is_ok() != deleted.is_ok(), "{created:?} {deleted:?}");
        let query = EntitlementsQuery { customer_ids: vec![customer.id.to_string()], ..EntitlementsQuery::default() };
        let active = scene.records.entitlements.list("default", query, true, PageAsk::ALL).await.unwrap();
        assert_eq!(active.total, u64::from(created.is_ok()));
    }
}

#[tokio::test]
async fn a_grant_and_the_end_of_its_entitlement_come_in_one_order() {
    let (scene, me) = (scene().await, caller());
    for _ in 0..12 {
        let id = scene.create(metered("tokens")).await;
        let end = scene.records.entitlements.delete(&me, Which::Id(&id), nothing());
        let (given, ended) = join(scene.try_grant(&id, grant("1")), end).await;
        ended.unwrap();
        assert!(matches!(given, Ok(_) | Err(EntitlementError::NotFound { .. })), "{given:?}");
        assert!(scene.grants(GrantsQuery::default()).await.is_empty(), "none outlives its entitlement");
    }
}
