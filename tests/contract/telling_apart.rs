//! Differences are found, named and accepted: on small documents, and on the published contract changed on purpose.

use crate::compare::{Deviation, Difference, built, differences, unaccepted, unused};
use crate::facts::{Facts, Owner};
use crate::{DOCUMENTS, published};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Things can be listed and read; the list has a limit.
fn things() -> Value {
    json!({
        "paths": {
            "/things": {"get": {"operationId": "listThings",
                "parameters": [{"in": "query", "name": "limit", "schema": {"type": "integer", "maximum": 100}}],
                "responses": {"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}},
                    "412": {"content": {"application/problem+json": {"schema": {"type": "object"}}}}}}},
            "/things/{id}": {"get": {"operationId": "getThing", "responses": {"204": {}}}}},
        "components": {"schemas": {"Thing": {"properties": {"id": {"type": "string"}, "of": {"$ref": "#/components/schemas/Part"}}},
            "Part": {"properties": {"id": {"type": "string"}}}}}
    })
}

/// What weir is found to say differently, when its document is `things` after `change`.
fn found(change: impl FnOnce(&mut Value)) -> Vec<(String, String, String, String)> {
    let mut weir = things();
    change(&mut weir);
    let found = differences(&Facts::of(&things(), ""), &Facts::of(&weir, ""));
    found.into_iter().map(|d| (d.owner.to_string(), d.place, d.published, d.weir)).collect()
}

fn one(owner: &str, place: &str, published: &str, weir: &str) -> Vec<(String, String, String, String)> {
    vec![(owner.into(), place.into(), published.into(), weir.into())]
}

#[test]
fn every_kind_of_difference_has_its_line() {
    const LIST: &str = "/paths/~1things/get";
    let at = |weir: &mut Value, path: &str, value: Value| *weir.pointer_mut(path).expect("the place is there") = value;
    let list = "GET /things";

    assert_eq!(found(|_| {}), []);
    let narrower = found(|weir| at(weir, &format!("{LIST}/parameters/0/schema/maximum"), json!(10)));
    assert_eq!(narrower, one(list, "query limit", "integer maximum=100", "integer maximum=10"));
    let without = found(|weir| at(weir, &format!("{LIST}/parameters"), json!([])));
    assert_eq!(without, one(list, "query limit", "integer maximum=100", "absent"));
    let status = found(|weir| weir.pointer_mut(LIST).expect("it is there")["responses"]["503"] = json!({}));
    assert_eq!(status, one(list, "503", "absent", "nothing"));
    let property = found(|weir| at(weir, "/components/schemas/Part/properties/id/type", json!("integer")));
    assert_eq!(property, one("schema Part", ".id", "string", "integer"));
    let own = found(|weir| weir["paths"]["/own"] = json!({"get": {"responses": {}}}));
    assert_eq!(own, one("GET /own", "*", "absent", "own operation"));
    let unreached = found(|weir| at(weir, "/components/schemas/Thing/properties/of", json!({"type": "string"})));
    let property = one("schema Thing", ".of", "Part", "string");
    assert_eq!(unreached, [one("schema Part", "*", "published", "absent"), property].concat());
}

#[test]
fn what_is_not_built_is_counted_and_not_compared() {
    let mut weir = things();
    weir["paths"].as_object_mut().expect("paths").remove("/things");
    weir["components"] = json!({});
    let (published, weir) = (Facts::of(&things(), ""), Facts::of(&weir, ""));
    assert_eq!(differences(&published, &weir), []);
    assert_eq!(built(&published, &weir), (1, 2));
}

/// The deviations of a table of these lines, with its first line.
fn deviations(lines: &str) -> Vec<Deviation> {
    Deviation::read(&format!("document\towner\tplace\tweir\treason\n{lines}"))
}

#[test]
fn a_deviation_covers_what_it_names_and_must_cover_something() {
    let difference = |place: &str, weir: &str| Difference {
        owner: Owner::Operation { path: "/things".into(), method: "GET".into() },
        place: place.into(),
        published: "Problem".into(),
        weir: weir.into(),
    };
    let found = || vec![difference("412 application/problem+json", "absent"), difference("503", "nothing")];
    let cases = [
        (
            "v1\tGET /things\t412 application/problem+json\tabsent\tnever sent\nv1\tGET /things\t503\tnothing\tempty",
            0,
            0,
        ),
        ("*\t* /th*\t412 *\tabsent\tnever sent\n# a remark", 1, 0),
        ("v3\t*\t*\tabsent\tthe other document", 2, 1),
        ("v1\tGET /things\t412 application/problem+json\tProblem\tnot what weir says", 2, 1),
        ("v1\tPOST *\t503\tnothing\tanother method", 2, 1),
    ];
    for (lines, left, idle) in cases {
        let deviations = deviations(lines);
        let mut used = BTreeSet::new();
        assert_eq!(unaccepted("v1", found(), &deviations, &mut used).len(), left, "{lines}");
        assert_eq!(unused(&deviations, &used).len(), idle, "{lines}");
    }
}

#[test]
#[should_panic(expected = "deviations.tsv:2: no reason")]
fn a_deviation_without_a_reason_is_refused() {
    deviations("v1\tGET /things\t503\tnothing\t ");
}

#[test]
fn the_published_contract_agrees_with_itself() {
    for (document, _) in DOCUMENTS {
        let published = published(document);
        assert_eq!(differences(&published, &published), [], "{document}");
        assert_eq!(Facts::from_tsv(&published.to_tsv()), published, "{document}");
    }
}

#[test]
fn a_change_of_any_fact_of_the_published_contract_is_found() {
    for (document, _) in DOCUMENTS {
        let published = published(document);
        let mut weir = published.clone();
        for said in weir.0.values_mut().flat_map(|places| places.values_mut()) {
            said.rules.push_str(" changed");
        }
        let found = differences(&published, &weir);
        assert_eq!(found.len(), published.to_tsv().lines().count() - 1, "{document}");
    }
}
