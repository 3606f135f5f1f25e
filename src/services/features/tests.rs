use super::*;
use crate::domain::catalog::feature::FeatureFilter;
use crate::domain::catalog::unit_cost::{LlmCost, Source};
use crate::domain::metering::meter::MeterChanges;
use crate::services::meters::MeterError;
use crate::services::testing::records::{Scene, caller, caller_of, draft as meter_draft, keyed, nothing};
use futures::future::{join, join_all};
use serde_json::Value;
use std::collections::BTreeMap;

/// Of the meter of [`meter_draft`]: it has the dimension `region`.
fn draft(key: &str) -> FeatureDraft {
    FeatureDraft {
        key: key.to_string(),
        name: "Seconds in Europe".to_string(),
        description: None,
        metadata: BTreeMap::new(),
        filters: BTreeMap::from([("region".to_string(), FeatureFilter::Eq("eu".to_string()))]),
        unit_cost: None,
    }
}

fn by_region() -> Option<UnitCost> {
    let fixed = |text: &str| Source::Fixed(text.to_string());
    let model = Source::Dimension("region".to_string());
    Some(UnitCost::Llm(LlmCost { provider: fixed("openai"), model, token_type: fixed("input") }))
}

fn show(feature: &Feature) -> Kept {
    Kept { status: 201, body: feature.id.to_string() }
}

impl Scene {
    async fn meter(&self, slug: &str) -> Ulid {
        let show = crate::services::testing::records::show;
        self.records.meters.create(&caller(), meter_draft(slug), &[], show).await.unwrap();
        self.records.meters.get("default", slug).await.unwrap().meter.id
    }

    async fn try_feature(&self, key: &str, meter: Option<&str>) -> Result<Answered, FeatureError> {
        self.records.features.create(&caller(), draft(key), meter, show).await
    }

    /// A live feature of that meter.
    async fn feature(&self, key: &str, meter: &str) -> Feature {
        self.try_feature(key, Some(meter)).await.unwrap();
        self.records.features.get("default", key).await.unwrap()
    }

    async fn archive(&self, id_or_key: &str) -> Result<Answered, FeatureError> {
        self.records.features.archive(&caller(), id_or_key, nothing()).await
    }

    async fn price(&self, id_or_key: &str, unit_cost: Option<UnitCost>) -> Result<Answered, FeatureError> {
        self.records.features.update_cost(&caller(), id_or_key, unit_cost, show).await
    }

    async fn regroup(&self, slug: &str, dimension: &str) -> Result<Answered, MeterError> {
        let group_by = BTreeMap::from([(dimension.to_string(), "$.region".to_string())]);
        let changes = MeterChanges { name: None, description: None, metadata: None, group_by };
        let show = crate::services::testing::records::show;
        self.records.meters.update(&caller(), slug, changes, &[], show).await
    }

    async fn delete_meter(&self, slug: &str) -> Result<Answered, MeterError> {
        self.records.meters.delete(&caller(), slug, nothing()).await
    }
}

fn is_not_found<T: std::fmt::Debug>(answered: Result<T, FeatureError>) -> bool {
    matches!(answered, Err(FeatureError::NotFound(_)))
}

#[tokio::test]
async fn a_feature_is_found_by_id_and_key_until_it_is_archived() {
    let scene = Scene::open().await;
    let meter_id = scene.meter("jobs").await;
    let feature = scene.feature("eu_jobs", "jobs").await;
    assert_eq!((feature.meter_id, feature.meter_slug.as_deref()), (Some(meter_id), Some("jobs")));
    let id = feature.id.to_string();
    assert_eq!(scene.records.features.get("default", &id).await.unwrap(), feature);
    assert!(is_not_found(scene.records.features.get("other", &id).await));

    scene.tick();
    scene.archive("eu_jobs").await.unwrap();
    for name in ["eu_jobs", &id] {
        assert!(is_not_found(scene.records.features.get("default", name).await), "{name}");
        assert!(is_not_found(scene.archive(name).await), "{name}");
        assert!(is_not_found(scene.price(name, None).await), "{name}");
    }
    assert_eq!(scene.records.features.list("default", false).await.unwrap(), []);
    let archived_at = Instant::parse("2025-03-01T12:00:01.123456Z").ok();
    let archived = Feature { archived_at, updated_at: archived_at.unwrap(), ..feature };
    assert_eq!(scene.records.features.list("default", true).await.unwrap(), [archived]);
    assert_ne!(scene.feature("eu_jobs", "jobs").await.id.to_string(), id, "the key is free again");
}

#[tokio::test]
async fn a_feature_stands_on_a_live_meter_or_on_none() {
    let scene = Scene::open().await;
    assert_eq!(scene.try_feature("a", Some("nope")).await.unwrap_err().to_string(), "meter not found: nope");
    let id = scene.meter("jobs").await.to_string();
    scene.try_feature("by_slug", Some("jobs")).await.unwrap();
    scene.try_feature("by_id", Some(&id)).await.unwrap();
    scene.try_feature("by_none", None).await.unwrap();
    for key in ["by_slug", "by_id"] {
        scene.archive(key).await.unwrap();
    }
    scene.delete_meter("jobs").await.unwrap();
    assert_eq!(scene.try_feature("b", Some(&id)).await.unwrap_err().to_string(), format!("meter not found: {id}"));
}

#[tokio::test]
async fn of_fifty_racing_creators_one_gets_the_key() {
    let scene = Scene::open().await;
    scene.meter("jobs").await;
    // Half of them wait for the meter's row, half for the key alone.
    let meter = |at: u32| at.is_multiple_of(2).then_some("jobs");
    let outcomes = join_all((0..50).map(async |at| scene.try_feature("eu_jobs", meter(at)).await)).await;
    let there = scene.records.features.get("default", "eu_jobs").await.unwrap();
    let expected = format!("feature {} with key eu_jobs already exists", there.id);
    let refused: Vec<String> =
        outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).map(FeatureError::to_string).collect();
    assert_eq!(refused.len(), 49, "{outcomes:?}");
    assert!(refused.iter().all(|text| *text == expected), "{refused:?}");
    assert_eq!(scene.count("features").await, 1);
}

#[tokio::test]
async fn a_meter_with_a_live_feature_is_not_deleted() {
    let scene = Scene::open().await;
    scene.meter("jobs").await;
    scene.feature("eu_jobs", "jobs").await;
    let refused = scene.delete_meter("jobs").await.unwrap_err();
    assert_eq!(refused.to_string(), "meter has active features and cannot be deleted");
    assert!(matches!(refused, MeterError::HasFeatures));
    scene.archive("eu_jobs").await.unwrap();
    scene.delete_meter("jobs").await.unwrap();
}

#[tokio::test]
async fn a_meter_that_archived_features_entitle_to_is_not_deleted() {
    let scene = Scene::open().await;
    scene.meter("jobs").await;
    let feature = scene.feature("eu_jobs", "jobs").await.id;
    let client = scene.records.database.client().await.unwrap();
    let entitle = format!(
        "INSERT INTO customers (namespace, id, key, name, metadata, created_at, updated_at) \
             VALUES ('default', '{feature}', 'acme', 'Acme', '{{}}', '2025-01-01', '2025-01-01'); \
         INSERT INTO entitlements (namespace, id, customer_id, feature_id, feature_key, kind, metadata, annotations, \
             active_from, created_at, updated_at) VALUES ('default', '{feature}', '{feature}', '{feature}', 'eu_jobs', \
             'boolean', '{{}}', '{{}}', '2025-01-01', '2025-01-01', '2025-01-01')"
    );
    client.batch_execute(&entitle).await.unwrap();
    scene.archive("eu_jobs").await.unwrap();
    let refused = scene.delete_meter("jobs").await.unwrap_err();
    assert_eq!(refused.to_string(), "meter has active entitlements and cannot be deleted");
    let end = "UPDATE entitlements SET active_to = '2025-02-01'";
    client.batch_execute(end).await.unwrap();
    scene.delete_meter("jobs").await.unwrap();
}

#[tokio::test]
async fn what_trackers_remember_is_dropped_when_a_meter_counts_otherwise() {
    let scene = Scene::open().await;
    scene.meter("jobs").await;
    let forgotten = || scene.world.with(|state| state.forgotten.clone());
    scene.regroup("jobs", "region").await.unwrap();
    assert_eq!(forgotten(), Vec::<String>::new(), "the same dimensions count the same");
    scene.regroup("jobs", "zone").await.unwrap();
    assert_eq!(forgotten(), ["all"]);
}

#[tokio::test]
async fn a_dimension_that_a_live_feature_uses_is_not_dropped() {
    let scene = Scene::open().await;
    scene.meter("jobs").await;
    scene.feature("eu_jobs", "jobs").await;
    let refused = scene.regroup("jobs", "zone").await.unwrap_err();
    let text = "meter group by: region cannot be dropped because it is used by feature: eu_jobs";
    assert_eq!(refused.to_string(), text);
    scene.archive("eu_jobs").await.unwrap();
    // Its cost needs a dimension as its filters do.
    let priced = FeatureDraft { filters: BTreeMap::new(), unit_cost: by_region(), ..draft("priced") };
    scene.records.features.create(&caller(), priced, Some("jobs"), show).await.unwrap();
    assert!(matches!(scene.regroup("jobs", "zone").await, Err(MeterError::DimensionUsed { .. })));
    scene.price("priced", None).await.unwrap();
    scene.regroup("jobs", "zone").await.unwrap();
}

#[tokio::test]
async fn a_live_feature_has_a_live_meter_however_the_two_race() {
    let scene = Scene::open().await;
    for round in 0..20 {
        let slug = format!("jobs_{round}");
        let id = scene.meter(&slug).await.to_string();
        let (key, by_id) = (format!("feature_{round}"), round % 2 == 0);
        let meter = if by_id { &id } else { &slug };
        let (made, deleted) = join(scene.try_feature(&key, Some(meter)), scene.delete_meter(&slug)).await;
        match (made, deleted) {
            (Ok(_), Err(MeterError::HasFeatures)) | (Err(FeatureError::MeterNotFound(_)), Ok(_)) => {}
            other => panic!("round {round}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_live_feature_keeps_its_dimensions_however_cost_and_meter_race() {
    let scene = Scene::open().await;
    for round in 0..20 {
        let (slug, key) = (format!("jobs_{round}"), format!("feature_{round}"));
        scene.meter(&slug).await;
        let bare = FeatureDraft { filters: BTreeMap::new(), ..draft(&key) };
        scene.records.features.create(&caller(), bare, Some(&slug), show).await.unwrap();
        let (priced, regrouped) = join(scene.price(&key, by_region()), scene.regroup(&slug, "zone")).await;
        match (priced, regrouped) {
            (Ok(_), Err(MeterError::DimensionUsed { .. })) | (Err(FeatureError::Refused(_)), Ok(_)) => {}
            other => panic!("round {round}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_unit_cost_is_set_and_cleared_and_nothing_else_changes() {
    let scene = Scene::open().await;
    scene.meter("jobs").await;
    let before = scene.feature("eu_jobs", "jobs").await;
    scene.tick();
    let cost = UnitCost::manual("0.000003").ok();
    scene.price("eu_jobs", cost.clone()).await.unwrap();
    let after = scene.records.features.get("default", "eu_jobs").await.unwrap();
    assert_eq!(after.updated_at.to_rfc3339(), "2025-03-01T12:00:01.123456Z");
    assert_eq!(after, Feature { unit_cost: cost, updated_at: after.updated_at, ..before });
    scene.price("eu_jobs", None).await.unwrap();
    assert_eq!(scene.records.features.get("default", "eu_jobs").await.unwrap().unit_cost, None);
}

#[tokio::test]
async fn every_change_is_in_the_audit_and_a_refusal_is_not() {
    let scene = Scene::open().await;
    scene.meter("jobs").await;
    let feature = scene.feature("eu_jobs", "jobs").await;
    scene.try_feature("eu_jobs", None).await.unwrap_err();
    scene.price("eu_jobs", by_region()).await.unwrap();
    scene.archive("eu_jobs").await.unwrap();
    let entries: Vec<_> =
        scene.audit("default").await.into_iter().filter(|entry| entry.entity_kind == "feature").collect();
    let operations: Vec<&str> = entries.iter().map(|entry| entry.operation.as_str()).collect();
    assert_eq!(operations, ["feature.create", "feature.update", "feature.archive"]);
    assert!(entries.iter().all(|entry| entry.entity_id == feature.id.to_string()));
    let json = |text: &Option<String>| serde_json::from_str::<Value>(text.as_ref().unwrap()).unwrap();
    assert_eq!(json(&entries[0].after)["filters"]["region"]["$eq"], "eu");
    assert_eq!(json(&entries[1].after)["unitCost"]["type"], "llm");
    assert_eq!((entries[0].before.is_none(), entries[2].after.is_none()), (true, true));
}

#[tokio::test]
async fn a_repeat_with_the_same_key_makes_no_second_feature() {
    let scene = Scene::open().await;
    let create = async || scene.records.features.create(&keyed("k"), draft("a"), None, show).await.unwrap();
    let (first, second) = (create().await, create().await);
    assert_eq!((second.replayed, &second.kept), (true, &first.kept));
    assert_eq!(scene.count("features").await, 1);
    let elsewhere = caller_of("other");
    scene.records.features.create(&elsewhere, draft("a"), None, show).await.unwrap();
}
