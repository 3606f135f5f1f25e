//! `/api/v1/meters/{meterIdOrSlug}/subjects` and `…/group-by/{groupByKey}/values`.

use super::*;
use crate::domain::metering::query::Dimension;
use serde_json::json;

fn with_meter() -> Arc<World> {
    let world = world();
    live(&world, meter("job"));
    world.with(|state| state.values = vec!["".to_string(), "eu".to_string()]);
    world
}

fn asked(world: &World) -> (Dimension, Option<String>, Option<String>) {
    let asked = world.with(|state| state.asked_values.take()).unwrap();
    (asked.dimension, asked.from.map(Instant::to_rfc3339), asked.to.map(Instant::to_rfc3339))
}

#[actix_web::test]
async fn values_are_a_list_of_texts_over_the_period_that_is_asked_for() {
    let world = with_meter();
    let answer = get(&world, "/api/v1/meters/job/subjects").await;
    assert_eq!((answer.status, answer.text.as_str()), (200, "[\"\",\"eu\"]\n"));
    assert_eq!(asked(&world), (Dimension::Subject, None, None));
    get(&world, "/api/v1/meters/job/group-by/region/values").await;
    let region = || Dimension::Group("region".to_string());
    let some = |text: &str| Some(text.to_string());
    assert_eq!(asked(&world), (region(), some("2025-02-28T12:00:00Z"), None), "the last 24 hours");
    get(&world, "/api/v1/meters/job/group-by/region/values?to=2025-03-01T00:00:00Z").await;
    assert_eq!(asked(&world), (region(), None, some("2025-03-01T00:00:00Z")));
    let period = "from=2025-02-01T00:00:00.5Z&to=2025-03-01T00:00:00%2B01:00";
    get(&world, &format!("/api/v1/meters/job/subjects?{period}")).await;
    assert_eq!(asked(&world), (Dimension::Subject, some("2025-02-01T00:00:00.5Z"), some("2025-02-28T23:00:00Z")));
}

#[actix_web::test]
async fn values_that_cannot_be_asked_for_are_told_why() {
    let world = with_meter();
    let day = "from=2025-03-01T00:00:00Z&to=2025-03-01T00:00:00Z";
    #[rustfmt::skip]
    let table = [
        ("job/subjects?".to_string() + day, 400, "validation error: from and to cannot be equal"),
        ("job/subjects?from=2025-03-02T00:00:00Z&to=2025-03-01T00:00:00Z".into(), 400, "validation error: from time must be before to time"),
        ("job/group-by/region/values?".to_string() + day, 400, "validation error: from and to cannot be equal"),
        ("job/group-by/region/values?from=2024-12-01T12:00:00Z".into(), 400, "validation error: from time must not be more than 90 days ago"),
        ("job/group-by/region/values?from=2025-01-01T00:00:00Z&to=2025-01-31T00:00:01Z".into(), 400, "validation error: time window must be less than 30 days"),
        ("job/group-by/colour/values".into(), 400, "validation error: group by key is not valid for this meter"),
        ("nope/subjects".into(), 404, "not found error: meter not found: nope"),
        ("nope/group-by/region/values".into(), 404, "not found error: meter not found: nope"),
    ];
    for (path, status, detail) in table {
        let answer = get(&world, &format!("/api/v1/meters/{path}")).await;
        assert_eq!((answer.status, answer.detail().as_str()), (status, detail), "{path}");
    }
    let allowed = "job/group-by/region/values?from=2025-01-01T00:00:00Z&to=2025-01-31T00:00:00Z";
    assert_eq!(get(&world, &format!("/api/v1/meters/{allowed}")).await.json(), json!(["", "eu"]));
}
