use super::super::unit_cost::{LlmCost, Source};
use super::*;

fn meter() -> Meter {
    Meter {
        id: Ulid(7),
        version: Ulid(8),
        namespace: "default".into(),
        slug: "tokens".into(),
        name: "Tokens".into(),
        description: None,
        aggregation: Aggregation::Sum,
        event_type: "prompt".into(),
        event_from: None,
        value_property: Some("$.tokens".into()),
        group_by: ["model", "region"].map(|name| (name.to_string(), format!("$.{name}"))).into(),
        metadata: None,
        created_at: Instant::from_nanos(0),
        updated_at: Instant::from_nanos(0),
    }
}

fn draft() -> FeatureDraft {
    FeatureDraft {
        key: "gpt_4_tokens".into(),
        name: "GPT-4 tokens".into(),
        description: None,
        metadata: BTreeMap::new(),
        filters: BTreeMap::from([("model".to_string(), FeatureFilter::Eq("gpt-4".into()))]),
        unit_cost: None,
    }
}

fn check(draft: FeatureDraft, meter: Option<&Meter>) -> Result<Feature, FeatureRefusal> {
    draft.check("default", Ulid(1), meter, Instant::from_nanos(5_999))
}

fn llm(model: Source) -> Option<UnitCost> {
    let fixed = |text: &str| Source::Fixed(text.to_string());
    Some(UnitCost::Llm(LlmCost { provider: fixed("openai"), model, token_type: fixed("input") }))
}

#[test]
fn a_feature_stands_on_its_meter_or_on_none() {
    let feature = check(draft(), Some(&meter())).unwrap();
    assert_eq!((feature.meter_id, feature.meter_slug.as_deref()), (Some(Ulid(7)), Some("tokens")));
    assert_eq!((feature.created_at, feature.archived_at), (Instant::from_nanos(5_000), None));
    // Without a meter there is nothing that filters could be held against.
    let bare = check(draft(), None).unwrap();
    assert_eq!((bare.meter_id, bare.filters.len()), (None, 1));
}

#[test]
fn every_rule_has_its_text() {
    type Change = fn(&mut FeatureDraft, &mut Meter);
    fn filter(draft: &mut FeatureDraft, dimension: &str, filter: FeatureFilter) {
        draft.filters = BTreeMap::from([(dimension.to_string(), filter)]);
    }
    #[rustfmt::skip]
    let table: [(Change, &str); 12] = [
        (|d, _| d.key = "a\0".into(), "key must not contain the character U+0000"),
        (|d, _| d.name = "\0".into(), "name must not contain the character U+0000"),
        (|d, _| d.description = Some("\0".into()), "description must not contain the character U+0000"),
        (|d, _| d.metadata = BTreeMap::from([("a".into(), "\0".into())]), "metadata must not contain the character U+0000"),
        (|d, _| filter(d, "model", FeatureFilter::Or(vec![FeatureFilter::In(vec!["\0".into()])])), "filters must not contain the character U+0000"),
        (|d, _| d.key = "01jk0000000000000000000000".into(), "feature key 01jk0000000000000000000000 must not be a ULID"),
        (|_, m| m.aggregation = Aggregation::Avg, "meter tokens aggregates by AVG, and features can only be created for SUM, COUNT, UNIQUE_COUNT and LATEST"),
        (|_, m| m.aggregation = Aggregation::Max, "meter tokens aggregates by MAX, and features can only be created for SUM, COUNT, UNIQUE_COUNT and LATEST"),
        (|d, _| filter(d, "colour", FeatureFilter::Eq("red".into())), "colour is not a group by of meter tokens (known: model, region)"),
        (|d, _| d.unit_cost = llm(Source::Dimension("colour".into())), "unit cost: model property colour is not a group by of meter tokens"),
        (|d, _| d.unit_cost = Some(UnitCost::Llm(LlmCost { provider: Source::Fixed("a".into()), model: Source::Fixed("b".into()), token_type: Source::Fixed("c".into()) })),
            "unit cost: c is not a token type (known: input, output, cache_read, cache_write, reasoning, request, response)"),
        // The key is looked at before the meter.
        (|d, m| { d.key = "01jk0000000000000000000000".into(); m.aggregation = Aggregation::Min }, "feature key 01jk0000000000000000000000 must not be a ULID"),
    ];
    for (change, message) in table {
        let (mut draft, mut meter) = (draft(), meter());
        change(&mut draft, &mut meter);
        assert_eq!(check(draft, Some(&meter)).unwrap_err().to_string(), message);
    }
    let alone = FeatureDraft { unit_cost: llm(Source::Fixed("gpt-4".into())), ..draft() };
    assert_eq!(check(alone, None).unwrap_err().to_string(), "unit cost: the llm type requires a meter");
}

#[test]
fn only_what_is_a_ulid_looks_like_one() {
    for key in ["01jk000000000000000000000", "81jk0000000000000000000000", "01ik0000000000000000000000", "tokens"] {
        assert!(check(FeatureDraft { key: key.into(), ..draft() }, None).is_ok(), "{key}");
    }
}

#[test]
fn a_unit_cost_changes_by_the_same_rules_and_nothing_else_does() {
    let feature = check(draft(), Some(&meter())).unwrap();
    let later = Instant::from_nanos(9_999);
    let priced = feature.with_unit_cost(llm(Source::Dimension("model".into())), Some(&meter()), later).unwrap();
    assert_eq!(priced.updated_at, Instant::from_nanos(9_000));
    assert_eq!(priced.with_unit_cost(None, None, feature.updated_at).unwrap(), feature);
    let refused = feature.with_unit_cost(llm(Source::Dimension("colour".into())), Some(&meter()), later);
    assert!(matches!(refused, Err(FeatureRefusal::UnitCost(_))));
}

#[test]
fn every_filter_means_what_it_says_and_is_kept_as_v1_writes_it() {
    #[rustfmt::skip]
    let table = [
        (r#"{"$eq":"m"}"#, "m", "n"), (r#"{"$ne":"m"}"#, "n", "m"), (r#"{"$in":["a","m"]}"#, "m", "n"),
        (r#"{"$nin":["a","m"]}"#, "n", "m"), (r#"{"$like":"m%"}"#, "mx", "Mx"), (r#"{"$nlike":"m%"}"#, "Mx", "mx"),
        (r#"{"$ilike":"m%"}"#, "Mx", "n"), (r#"{"$nilike":"m%"}"#, "n", "Mx"), (r#"{"$gt":"m"}"#, "n", "m"),
        (r#"{"$gte":"m"}"#, "m", "l"), (r#"{"$lt":"m"}"#, "l", "m"), (r#"{"$lte":"m"}"#, "m", "n"),
        (r#"{"$and":[{"$gt":"a"},{"$lt":"c"}]}"#, "b", "c"), (r#"{"$or":[{"$eq":"a"},{"$eq":"c"}]}"#, "c", "b"),
    ];
    for (json, passes, fails) in table {
        let filter: FeatureFilter = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&filter).unwrap(), json);
        let filter = filter.text_filter();
        assert!(filter.accepts(passes) && !filter.accepts(fails), "{json}");
    }
}

#[test]
fn equalities_are_there_when_every_filter_asks_for_one_value() {
    let of = |filters: &[(&str, FeatureFilter)]| {
        let filters = filters.iter().map(|(name, filter)| (name.to_string(), filter.clone())).collect();
        check(FeatureDraft { filters, ..draft() }, Some(&meter())).unwrap()
    };
    let gpt = ("model", FeatureFilter::Eq("gpt-4".into()));
    let equalities = of(&[gpt.clone(), ("region", FeatureFilter::Eq("eu".into()))]).equalities().unwrap();
    assert_eq!(equalities, BTreeMap::from([("model".into(), "gpt-4".into()), ("region".into(), "eu".into())]));
    assert_eq!(of(&[gpt, ("region", FeatureFilter::In(vec!["eu".into()]))]).equalities(), None);
    assert_eq!(of(&[]).equalities(), Some(BTreeMap::new()));
    assert!(of(&[("model", FeatureFilter::Like("gpt%".into()))]).text_filters()["model"].accepts("gpt-4"));
}
