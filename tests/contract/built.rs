//! weir's generated documents against the published contract.

use crate::compare::{Deviation, built, differences, unaccepted, unused};
use crate::facts::Facts;
use crate::{DOCUMENTS, published, table};
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use weir::http::openapi;

#[test]
fn what_is_built_is_what_is_published() {
    let deviations = Deviation::read(&fs::read_to_string(table("deviations")).expect("the deviations are there"));
    let mut used = BTreeSet::new();
    let mut left = Vec::new();
    let mut counts = Vec::new();
    for ((document, base), generated) in DOCUMENTS.into_iter().zip([openapi::v1(), openapi::v3()]) {
        let (published, weir) = (published(document), Facts::of(generated, base));
        counts.push(built(&published, &weir));
        let differences = unaccepted(document, differences(&published, &weir), &deviations, &mut used);
        left.extend(differences.into_iter().map(|difference| format!("{document}  {difference}")));
    }
    let [(v1, v1_all), (v3, v3_all)] = counts[..] else { unreachable!("two documents") };
    let count =
        format!("operations built: {} of {} (v1/v2 {v1} of {v1_all}, v3 {v3} of {v3_all})", v1 + v3, v1_all + v3_all);
    // Past the capture of passing tests: the number is to be seen.
    writeln!(io::stdout(), "{count}").expect("stdout is open");
    for difference in &left {
        println!("{difference}");
    }
    let unused = unused(&deviations, &used);
    for deviation in &unused {
        println!("no longer deviates: {deviation}");
    }
    assert!(left.is_empty() && unused.is_empty(), "{} differences, {} unused deviations", left.len(), unused.len());
}
