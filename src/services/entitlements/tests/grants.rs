//! Grants and resets.

use super::*;
use crate::domain::entitlement::grant::{Expiration, ExpirationUnit};
use crate::services::meters;
use crate::services::testing::World;
use crate::services::testing::records::{NOW, keyed};
use crate::store::tests::proxy::Proxy;
use crate::store::tests::{attached, settings};

#[tokio::test]
async fn a_grant_is_kept_to_the_last_digit() {
    let scene = scene().await;
    let id = scene.create(metered("tokens")).await;
    let fine = "79228162514264337593543950335";
    let draft = GrantDraft {
        priority: 255,
        expiration: Some(Expiration { count: 1, unit: ExpirationUnit::Month }),
        min_rollover: quantity("0.0000000000000000000000000001"),
        recurrence: Some(PeriodDraft { anchor: Some(at("2025-01-01T00:00:30Z")), ..period("P1D") }),
        annotations: Some(r#"{"reference":"a\u0000","n":1.50}"#.to_string()),
        ..grant(fine)
    };
    scene.try_grant(&id, draft).await.unwrap();
    let [given] = &scene.grants(GrantsQuery::default()).await[..] else { panic!("one grant") };
    let kept = &given.record.grant;
    assert_eq!((kept.amount, kept.priority), (quantity(fine), 255));
    assert_eq!(kept.min_rollover, quantity("0.0000000000000000000000000001"));
    assert_eq!(kept.expires_at, Some(at("2025-04-01T12:00:00Z")));
    assert_eq!(given.next_recurrence, Some(at("2025-03-02T00:00:00Z")));
    assert_eq!(given.record.annotations.as_deref(), Some(r#"{"reference":"a\u0000","n":1.50}"#));
    scene.pass_seconds(400 * 86_400);
    let [over] = &scene.grants(GrantsQuery::default()).await[..] else { panic!("one grant") };
    assert_eq!(over.next_recurrence, Some(at("2026-04-06T00:00:00Z")), "also when it is over");
}

#[tokio::test]
async fn a_grant_may_reach_back_into_the_running_period_but_not_behind_it() {
    let scene = scene().await;
    let id = scene.create(metered("tokens")).await;
    scene.pass_seconds(10 * 86_400);
    let effective = |text: &str| GrantDraft { effective_at: at(text), ..grant("1") };
    scene.try_grant(&id, effective("2025-03-01T12:00:00Z")).await.unwrap();
    scene.try_grant(&id, effective("2026-01-01T00:00:00Z")).await.unwrap();
    scene.try_reset(&id, ResetDraft { retain_anchor: true, ..ResetDraft::default() }).await.unwrap();
    let text = "grant effective date 2025-03-11T11:59:00Z is before the current usage period 2025-03-11T12:00:00Z";
    let late = scene.try_grant(&id, effective("2025-03-11T11:59:59Z")).await;
    assert_eq!(late.unwrap_err().to_string(), text);
    scene.try_grant(&id, effective("2025-03-11T12:00:30Z")).await.unwrap();
}

#[tokio::test]
async fn a_grant_is_voided_once() {
    let scene = scene().await;
    let entitlements = &scene.records.entitlements;
    let id = scene.create(metered("tokens")).await;
    let given = scene.try_grant(&id, grant("1")).await.unwrap();
    let void = async |id: &str, at: Option<Instant>| entitlements.void_grant(&caller(), id, at, nothing()).await;
    assert_eq!(void("01", None).await.unwrap_err().to_string(), "grant not found: 01");
    let future = void(&given, Some(at("2025-03-01T12:01:00Z"))).await;
    assert_eq!(future.unwrap_err().to_string(), "grant cannot be voided in the future: 2025-03-01T12:01:00Z");
    assert!(void(&given, Some(at("2025-03-01T11:59:59Z"))).await.is_err(), "before the period");
    void(&given, Some(at("2025-03-01T12:00:59Z"))).await.unwrap();
    assert_eq!(void(&given, None).await.unwrap_err().to_string(), "grant already voided");
    let [voided] = &scene.grants(GrantsQuery::default()).await[..] else { panic!("a voided grant is listed") };
    assert_eq!(voided.record.grant.voided_at, Some(at("2025-03-01T12:00:00Z")));
    let other = scene.try_grant(&id, grant("1")).await.unwrap();
    entitlements.delete(&caller(), Which::Id(&id), nothing()).await.unwrap();
    let gone = void(&other, None).await.unwrap_err().to_string();
    assert_eq!(gone, format!("grant not found: {other}"), "it went with its entitlement");
}

#[tokio::test]
async fn a_reset_moves_the_period_and_is_not_repeated() {
    let scene = scene().await;
    let id = scene.create(metered("tokens")).await;
    let at_once = scene.try_reset(&id, ResetDraft::default()).await.unwrap_err().to_string();
    assert_eq!(at_once, "reset at 2025-03-01T12:00:00Z must be after last reset at 2025-03-01T12:00:00Z");
    scene.pass_seconds(86_400);
    scene.try_reset(&id, ResetDraft::default()).await.unwrap();
    let shown = scene.get(&id).await;
    assert_eq!(shown.last_reset, Some(at("2025-03-02T12:00:00Z")));
    assert_eq!(shown.current_period, Some(at("2025-03-02T12:00:00Z")..at("2025-04-02T12:00:00Z")));
    let original = &shown.entitlement.metered().unwrap().usage_period;
    assert_eq!(original.anchor, at("2025-03-01T12:00:00Z"), "what is shown as usage period stays");
    scene.pass_seconds(30);
    let again = scene.try_reset(&id, ResetDraft::default()).await.unwrap_err().to_string();
    assert_eq!(again, "reset at 2025-03-02T12:00:00Z must be after last reset at 2025-03-02T12:00:00Z");
    let back = ResetDraft { effective_at: Some(at("2025-03-02T12:00:59Z")), ..ResetDraft::default() };
    assert!(matches!(scene.try_reset(&id, back).await, Err(EntitlementError::ResetRefused(ResetRefusal::InFuture(_)))));
}

#[tokio::test]
async fn a_repeated_grant_void_or_reset_with_its_key_applies_once() {
    let scene = scene().await;
    let entitlements = &scene.records.entitlements;
    let id = scene.create(metered("tokens")).await;
    let give = async || entitlements.create_grant(&keyed("grant"), Which::Id(&id), grant("5"), show_grant).await;
    let (first, again) = (give().await.unwrap(), give().await.unwrap());
    assert_eq!((again.kept, again.replayed), (first.kept.clone(), true));
    assert_eq!(scene.count("grants").await, 1);
    let void = async || entitlements.void_grant(&keyed("void"), &first.kept.body, None, nothing()).await;
    void().await.unwrap();
    assert!(void().await.unwrap().replayed, "though it is voided");
    scene.pass_seconds(60);
    let reset = async || entitlements.reset(&keyed("reset"), Which::Id(&id), ResetDraft::default(), nothing()).await;
    reset().await.unwrap();
    scene.pass_seconds(60);
    assert!(reset().await.unwrap().replayed);
    assert_eq!(scene.count("usage_resets").await, 1);
    let make = async || entitlements.create(&keyed("create"), ACME, boolean("seats"), show).await;
    assert_eq!(make().await.unwrap().kept, make().await.unwrap().kept);
}

#[tokio::test]
async fn a_write_of_unknown_outcome_is_forgotten_and_applies_once() {
    let settings = settings();
    attached(&settings).migrate().await.unwrap();
    let config = settings.endpoint().unwrap().unwrap();
    let proxy = Proxy::start(&config).await;
    let database = Database::new(&settings);
    database.attach(proxy.endpoint(&config)).unwrap();
    let world = World::new(NOW);
    let scene = filled(Scene::over(world, database, meters::Settings::default())).await;
    let entitlements = &scene.records.entitlements;
    let id = scene.create(metered("tokens")).await;
    scene.pass_seconds(60);
    scene.forgotten();
    let give = async || {
        let later = GrantDraft { effective_at: at("2025-03-01T12:01:00Z"), ..grant("5") };
        entitlements.create_grant(&keyed("grant"), Which::Id(&id), later, show_grant).await
    };
    let reset = async || entitlements.reset(&keyed("reset"), Which::Id(&id), ResetDraft::default(), nothing()).await;
    let told = vec![format!("customer {}", scene.get(&id).await.customer.id)];
    proxy.swallow_the_answer_to_the_next_commit();
    let unknown = reset().await.unwrap_err();
    assert!(matches!(unknown, EntitlementError::Write(WriteError::Unknown(_))), "{unknown}");
    assert_eq!(scene.forgotten(), told);
    proxy.swallow_the_answer_to_the_next_commit();
    let unknown = give().await.unwrap_err();
    assert!(matches!(unknown, EntitlementError::Write(WriteError::Unknown(_))), "{unknown}");
    assert_eq!(scene.forgotten(), told);
    assert!(reset().await.unwrap().replayed && give().await.unwrap().replayed);
    assert_eq!((scene.count("grants").await, scene.count("usage_resets").await), (1, 1));
}
