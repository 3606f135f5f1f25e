//! The published contract as a test: what weir's own OpenAPI documents say is what the published ones say, but for
//! the differences that `deviations.tsv` lists with their reasons.

#[path = "contract/built.rs"]
mod built;
#[path = "contract/compare.rs"]
mod compare;
#[path = "contract/facts.rs"]
mod facts;
#[path = "contract/reading.rs"]
mod reading;
#[path = "contract/shape.rs"]
mod shape;
#[path = "contract/telling_apart.rs"]
mod telling_apart;

use facts::{Facts, Owner};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Document, and the base of its paths.
const DOCUMENTS: [(&str, &str); 2] = [("v1", ""), ("v3", "/api/v3")];

fn table(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract").join(name).with_extension("tsv")
}

fn published(document: &str) -> Facts {
    Facts::from_tsv(&fs::read_to_string(table(document)).expect("`make contract` wrote it"))
}

#[test]
fn the_published_contract_has_254_operations() {
    let count = |document: &str| published(document).operations().count();
    assert_eq!((count("v1"), count("v3")), (153, 101));
}

#[test]
#[ignore = "`make contract` runs it, with the published documents"]
fn write_the_published_contract() {
    for (document, base) in DOCUMENTS {
        let variable = format!("CONTRACT_{}", document.to_uppercase());
        let path = std::env::var(&variable).unwrap_or_else(|_| panic!("{variable} names the published document"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let value: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let facts = Facts::of(&value, base);
        let operations: BTreeSet<Owner> = facts.operations().cloned().collect();
        let facts = facts.reached_from(&operations);
        fs::write(table(document), facts.to_tsv()).expect("the table can be written");
        println!("{document}: {} operations", operations.len());
    }
}
