//! `/api/v1/meters/{meterIdOrSlug}/query`.

use super::*;
use crate::domain::metering::query::UsageRow;
use crate::domain::quantity::Quantity;
use serde_json::json;

fn at(text: &str) -> Instant {
    Instant::parse(text).unwrap()
}

fn row(start: &str, end: &str, subject: Option<&str>, groups: &[&str], value: &str) -> UsageRow {
    UsageRow {
        window_start: at(start),
        window_end: at(end),
        subject: subject.map(str::to_string),
        customer: None,
        groups: groups.iter().map(|group| group.to_string()).collect(),
        value: Quantity::parse(value).unwrap(),
    }
}

fn with_meter() -> Arc<World> {
    let world = world();
    live(&world, meter("job"));
    world
}

#[actix_web::test]
async fn an_answer_has_exact_numbers_and_the_clients_own_bounds() {
    let world = with_meter();
    world.with(|state| {
        state.rows = vec![row(
            "2025-03-01T00:00:00Z",
            "2025-03-02T00:00:00Z",
            None,
            &[],
            "12345678901234567890.1234567890123456789012345678",
        )]
    });
    let path = "/api/v1/meters/job/query?from=2025-03-01T02:00:00%2B02:00&to=2025-03-02T00:00:00.000Z";
    let answer = get(&world, path).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    assert_eq!(
        answer.text,
        "{\"data\":[{\"groupBy\":{},\"subject\":null,\"value\":12345678901234567890.1234567890123456789012345678,\
         \"windowEnd\":\"2025-03-02T00:00:00Z\",\"windowStart\":\"2025-03-01T00:00:00Z\"}],\
         \"from\":\"2025-03-01T02:00:00+02:00\",\"to\":\"2025-03-02T00:00:00Z\"}\n"
    );
}

#[actix_web::test]
async fn windows_are_shown_on_the_querys_clock() {
    let world = with_meter();
    world.with(|state| {
        state.rows = vec![
            row("2025-03-09T08:00:00Z", "2025-03-10T07:00:00Z", Some("b"), &["eu"], "7.5"),
            row("2025-03-09T08:00:00Z", "2025-03-10T07:00:00Z", Some("a"), &["eu"], "1000000000000000000000000000000"),
        ]
    });
    let path =
        "/api/v1/meters/job/query?windowSize=DAY&windowTimeZone=America/Los_Angeles&groupBy=subject&groupBy=region";
    let answer = get(&world, path).await;
    assert_eq!(answer.json()["windowSize"], "DAY");
    assert!(answer.text.contains("\"value\":1000000000000000000000000000000,"), "{}", answer.text);
    let first = &answer.json()["data"][0];
    assert_eq!((&first["subject"], &first["groupBy"]), (&json!("b"), &json!({"region": "eu"})));
    assert_eq!(first["windowStart"], "2025-03-09T00:00:00-08:00");
    assert_eq!(first["windowEnd"], "2025-03-10T00:00:00-07:00");
}

#[actix_web::test]
async fn get_and_post_ask_the_same() {
    let world = with_meter();
    let asked = || world.with(|state| format!("{:?}", state.asked.take().unwrap()));
    #[rustfmt::skip]
    let table = [
        ("", json!({})),
        ("from=2025-03-01T00:00:00Z&to=2025-03-02T00:00:00Z&windowSize=HOUR&windowTimeZone=Asia/Kathmandu",
            json!({"from": "2025-03-01T00:00:00Z", "to": "2025-03-02T00:00:00Z", "windowSize": "HOUR", "windowTimeZone": "Asia/Kathmandu"})),
        ("subject=a&subject=b&groupBy=region&clientId=me", json!({"subject": ["a", "b"], "groupBy": ["region"], "clientId": "me"})),
        ("groupBy=subject", json!({"subject": []})),
        ("filterGroupBy[region]=eu", json!({"filterGroupBy": {"region": ["eu"]}})),
        ("groupBy=region&groupBy=region", json!({"groupBy": ["region"], "filterGroupBy": {"region": []}})),
        ("advancedMeterGroupByFilters=%7B%22region%22:%7B%22$like%22:%22e%25%22%7D%7D", json!({"advancedMeterGroupByFilters": {"region": {"$like": "e%"}}})),
        ("advancedMeterGroupByFilters=%7B%22region%22:%7B%7D%7D", json!({"advancedMeterGroupByFilters": {"region": {}}})),
    ];
    for (query, body) in table {
        let answer = get(&world, &format!("/api/v1/meters/job/query?{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text);
        let by_get = asked();
        assert_eq!(post_json(&world, "/api/v1/meters/job/query", body.clone()).await.status, 200, "{body}");
        assert_eq!(asked(), by_get, "{query}");
    }
}

#[actix_web::test]
async fn a_query_that_cannot_be_asked_is_refused_in_the_words_of_the_peer() {
    let world = with_meter();
    let day = "from=2025-03-02T00:00:00Z";
    #[rustfmt::skip]
    let table = [
        (format!("{day}&to=2025-03-02T00:00:00Z"), 400, "validation error: from and to cannot be equal"),
        (format!("{day}&to=2025-03-01T00:00:00Z"), 400, "validation error: from must be before to"),
        ("windowTimeZone=Mars/Olympus".into(), 400, "validation error: invalid time zone: unknown time zone Mars/Olympus"),
        ("windowTimeZone=europe/berlin".into(), 400, "validation error: invalid time zone: unknown time zone europe/berlin"),
        ("windowSize=SECOND".into(), 400, "parameter \"windowSize\" in query has an error: value is not one of the allowed values [\"MINUTE\",\"HOUR\",\"DAY\",\"MONTH\"]"),
        ("windowSize=day".into(), 400, "parameter \"windowSize\" in query has an error: value is not one of the allowed values [\"MINUTE\",\"HOUR\",\"DAY\",\"MONTH\"]"),
        ("groupBy=colour".into(), 400, "validation error: invalid group by: colour"),
        ("groupBy=customer_id".into(), 400, "validation error: customer filter is required with customer_id group by"),
        ("filterGroupBy[colour]=x".into(), 400, "validation error: invalid group by filter: colour"),
        ("filterGroupBy[region]=".into(), 400, "validation error: validation error: filter is invalid: format mismatch"),
        ("filterGroupBy[region]=a&filterGroupBy[region]=b".into(), 400, "invalid param format filterGroupBy: Invalid format for parameter filterGroupBy: multiple values for 'filterGroupBy[region]'"),
        ("filterGroupBy=%7B%22region%22:%22eu%22%7D".into(), 400, "invalid param format filterGroupBy: Invalid format for parameter filterGroupBy: must be written filterGroupBy[name]=value"),
        ("advancedMeterGroupByFilters[region][$eq]=eu".into(), 400, "invalid param format advancedMeterGroupByFilters: Invalid format for parameter advancedMeterGroupByFilters: must be JSON text, such as {\"name\":{\"$eq\":\"value\"}}"),
        ("advancedMeterGroupByFilters=%7B%22region%22:%7B%22$eq%22:1%7D%7D".into(), 400, "parameter \"advancedMeterGroupByFilters\" in query has an error: Error at \"/region/$eq\": value must be a string"),
        ("advancedMeterGroupByFilters=%7B%22colour%22:%7B%7D%7D".into(), 400, "validation error: meter does not have group by: colour"),
        ("advancedMeterGroupByFilters=%7B%22region%22:%7B%22$eq%22:%22a%22,%22$ne%22:%22b%22%7D%7D".into(), 400, "validation error: validation error: filter is invalid: multiple operators are set"),
        ("advancedMeterGroupByFilters=%7B%22region%22:%7B%7D%7D&filterGroupBy[region]=a".into(), 400, "validation error: advanced meter group by filters and filter group by cannot be used together"),
        ("clientId=".into(), 400, "parameter \"clientId\" in query has an error: minimum string length is 1"),
        (format!("clientId={}", "x".repeat(37)), 400, "parameter \"clientId\" in query has an error: maximum string length is 36"),
        ("from=2025-03-01T00:00:00".into(), 400, "invalid param format from: Invalid format for parameter from: must be an RFC 3339 date-time with seconds and a zone, such as 2025-03-01T10:00:00Z"),
    ];
    for (query, status, detail) in table {
        let answer = get(&world, &format!("/api/v1/meters/job/query?{query}")).await;
        assert_eq!((answer.status, answer.detail().as_str()), (status, detail), "{query}");
    }
    let answer = get(&world, "/api/v1/meters/nope/query").await;
    assert_eq!((answer.status, answer.detail().as_str()), (404, "not found error: meter not found: nope"));
    let many: Vec<String> = (0..101).map(|i| i.to_string()).collect();
    for field in ["subject", "groupBy", "filterCustomerId"] {
        let answer = post_json(&world, "/api/v1/meters/job/query", json!({field: many})).await;
        assert_eq!(answer.status, 400, "{field}");
        assert!(answer.detail().ends_with(&format!("Error at \"/{field}\": maximum number of items is 100")));
    }
}

#[actix_web::test]
async fn counting_nothing_is_one_zero_and_summing_nothing_is_no_row() {
    let world = with_meter();
    let count = json!({"slug": "count", "aggregation": "COUNT", "eventType": "job"});
    live(&world, count);
    assert_eq!(get(&world, "/api/v1/meters/job/query").await.json(), json!({"data": []}));
    let zero = json!({"groupBy": {}, "subject": null, "value": 0, "windowStart": "1970-01-01T00:00:00Z", "windowEnd": "1970-01-01T00:01:00Z"});
    assert_eq!(get(&world, "/api/v1/meters/count/query").await.json(), json!({"data": [zero]}));
    for query in ["subject=a", "groupBy=subject", "windowSize=DAY"] {
        let answer = get(&world, &format!("/api/v1/meters/count/query?{query}")).await.json();
        assert_eq!(answer["data"], json!([]), "{query}");
    }
    let answer = get(&world, "/api/v1/meters/count/query?from=2025-03-01T00:00:00%2B01:00").await.json();
    assert_eq!(answer["data"][0]["windowStart"], "2025-02-28T23:00:00Z");
}

async fn csv(world: &Arc<World>, query: &str) -> Answer {
    let path = format!("/api/v1/meters/job/query?{query}");
    ask(world, TestRequest::get().uri(&path).insert_header(("accept", "text/csv"))).await
}

#[actix_web::test]
async fn an_answer_can_be_had_as_a_table() {
    let world = with_meter();
    let (day, next) = ("2025-03-01T00:00:00Z", "2025-03-02T00:00:00Z");
    world.with(|state| state.rows = vec![row(day, next, None, &[], "0.0000000000000000000000000001")]);
    let answer = csv(&world, "").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/csv"));
    assert_eq!(answer.header("content-disposition"), "attachment; filename=job.csv");
    let head = "window_start,window_end";
    assert_eq!(answer.text, format!("{head},value\n{day},{next},0.0000000000000000000000000001\n"));

    world.with(|state| state.rows = vec![row(day, next, None, &["a,\"b\""], "7.50")]);
    let quoted = format!("{head},region,value\n{day},{next},\"a,\"\"b\"\"\",7.500000\n");
    assert_eq!(csv(&world, "groupBy=region").await.text, quoted);
    let refused = csv(&world, "groupBy=colour").await;
    assert_eq!((refused.status, refused.detail().as_str()), (400, "validation error: invalid group by: colour"));
}

#[actix_web::test]
async fn a_query_with_a_client_id_can_be_watched() {
    let world = with_meter();
    let state = door_with(&world, HttpSettings::default());
    let progress = "/api/v1/info/progress/me";
    assert_eq!(ask_of(state.clone(), TestRequest::get().uri(progress)).await.status, 404);
    let answer = ask_of(state.clone(), TestRequest::get().uri("/api/v1/meters/job/query?clientId=me")).await;
    assert_eq!(answer.status, 200);
    let asked = world.with(|state| state.asked.take().unwrap());
    let reading = asked.progress.unwrap();
    reading.expect(12);
    reading.advance(5);
    let shown = ask_of(state, TestRequest::get().uri(progress)).await;
    assert_eq!(shown.text, "{\"failed\":0,\"success\":5,\"total\":12,\"updatedAt\":\"2025-03-01T12:00:00Z\"}\n");
}
