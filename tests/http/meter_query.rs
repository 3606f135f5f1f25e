//! `/api/v1/meters/{meterIdOrSlug}/query`.

use super::*;

fn at(id: &str, time: &str, subject: &str, seconds: Value, region: &str) -> Value {
    let mut event = event(id);
    (event["time"], event["subject"]) = (json!(time), json!(subject));
    event["data"] = json!({"seconds": seconds, "region": region});
    event
}

fn house() -> House {
    let house = House::new();
    house.create(&meter("sum"));
    house.send(&[
        at("1", "2025-02-28T23:30:00Z", "customer-1", json!(1), "eu"),
        at("2", "2025-03-01T00:30:00Z", "customer-2", json!("0.1"), "us"),
        at("3", "2025-03-01T10:00:30Z", "customer-1", json!(0.2), "eu"),
    ]);
    house
}

#[test]
fn values_are_exact_and_bounds_are_whole_minutes() {
    let house = house();
    let body = at("4", "2025-03-01T10:00:31Z", "c", json!(0), "eu").to_string();
    let exact = body.replace("\"seconds\":0", "\"seconds\":12345678901234567890.123456789");
    assert_eq!(house.post("/api/v1/events", ONE, exact).status, 204);
    assert_eq!(
        house.get("/api/v1/meters/sum/query").body,
        "{\"data\":[{\"groupBy\":{},\"subject\":null,\"value\":12345678901234567891.423456789,\
         \"windowEnd\":\"2025-03-01T10:01:00Z\",\"windowStart\":\"2025-02-28T23:30:00Z\"}]}\n"
    );
}

#[test]
fn windows_follow_the_querys_zone() {
    let house = house();
    let path = "/api/v1/meters/sum/query?windowSize=DAY&windowTimeZone=America/New_York";
    let days = house.get(path).json();
    assert_eq!(days["data"].as_array().unwrap().len(), 2);
    assert_eq!(days["data"][0]["windowStart"], "2025-02-28T00:00:00-05:00");
    assert_eq!(days["data"][0]["value"], json!(1.1));
    let cut = format!("{path}&from=2025-03-01T00:00:00%2B00:00&to=2025-03-01T10:00:30Z");
    let rows = house.get(&cut).json();
    assert_eq!(rows["data"][0]["windowEnd"], "2025-03-01T00:00:00-05:00", "a cut window shows its whole bounds");
    assert_eq!((rows["data"].as_array().unwrap().len(), &rows["data"][0]["value"]), (1, &json!(0.1)));
}

#[test]
fn rows_are_told_apart_and_filtered_as_asked() {
    let house = house();
    let rows = |query: &str| {
        let answer = house.get(&format!("/api/v1/meters/sum/query?{query}"));
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        let rows = answer.json()["data"].clone();
        let show =
            |row: &Value| format!("{} {} {}", row["subject"].as_str().unwrap_or("-"), row["groupBy"], row["value"]);
        rows.as_array().unwrap().iter().map(show).collect::<Vec<_>>()
    };
    assert_eq!(rows("groupBy=subject"), ["customer-2 {} 0.1", "customer-1 {} 1.2"]);
    assert_eq!(rows("groupBy=region"), ["- {\"region\":\"eu\"} 1.2", "- {\"region\":\"us\"} 0.1"]);
    assert_eq!(rows("subject=customer-2"), ["customer-2 {} 0.1"]);
    assert_eq!(rows("subject=nobody"), Vec::<String>::new());
    assert_eq!(rows("filterGroupBy[region]=us"), ["- {} 0.1"]);
    assert_eq!(rows("advancedMeterGroupByFilters=%7B%22region%22:%7B%22$ilike%22:%22E%25%22%7D%7D"), ["- {} 1.2"]);
    let body = json!({"subject": ["customer-1", "customer-2"], "filterGroupBy": {"region": ["us", "eu"]}, "groupBy": ["region"]});
    let posted = house.post_json("/api/v1/meters/sum/query", &body).json();
    assert_eq!(posted["data"].as_array().unwrap().len(), 2);
}

#[test]
fn a_query_that_cannot_be_asked_says_why() {
    let house = house();
    #[rustfmt::skip]
    let table = [
        ("sum/query?from=2025-03-01T00:00:00Z&to=2025-03-01T00:00:00Z", 400, "validation error: from and to cannot be equal"),
        ("sum/query?from=2025-03-02T00:00:00Z&to=2025-03-01T00:00:00Z", 400, "validation error: from must be before to"),
        ("sum/query?windowTimeZone=Mars", 400, "validation error: invalid time zone: unknown time zone Mars"),
        ("sum/query?windowSize=SECOND", 400, "parameter \"windowSize\" in query has an error: value is not one of the allowed values [\"MINUTE\",\"HOUR\",\"DAY\",\"MONTH\"]"),
        ("sum/query?groupBy=x", 400, "validation error: invalid group by: x"),
        ("nope/query", 404, "not found error: meter not found: nope"),
    ];
    for (path, status, detail) in table {
        assert_eq!(problem(&house.get(&format!("/api/v1/meters/{path}"))), (status, detail.to_string()));
    }
}
