//! What is published against what weir's documents say, less the differences that are accepted by name.

use crate::facts::{Facts, Owner, Places, Said};
use std::collections::BTreeSet;
use std::fmt::{self, Display};

/// The place of a whole operation or schema.
const WHOLE: &str = "*";
const ABSENT: &str = "absent";
const HEADER: &str = "document\towner\tplace\tweir\treason";

/// One fact that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub owner: Owner,
    pub place: String,
    pub published: String,
    /// The fact as weir's document has it, `absent`, `own operation` or `own schema`.
    pub weir: String,
}

/// A difference that is meant. `*` stands for any text in its document, owner and place.
#[derive(Debug)]
pub struct Deviation {
    line: usize,
    document: String,
    owner: String,
    place: String,
    weir: String,
    reason: String,
}

/// Every difference between the two in the operations that weir has, and in the schemas that these lead to.
/// Operations that are published and not built are no difference, and a schema is weir's own when it is published nowhere.
pub fn differences(published: &Facts, weir: &Facts) -> Vec<Difference> {
    let theirs: BTreeSet<Owner> = published.operations().cloned().collect();
    let built: BTreeSet<Owner> = weir.operations().filter(|owner| theirs.contains(owner)).cloned().collect();
    let own = weir.operations().filter(|owner| !theirs.contains(owner));
    let mut found: Vec<Difference> = own.map(|owner| whole(owner, ABSENT, "own operation")).collect();

    let (reached, weir) = (published.reached_from(&built), weir.reached_from(&built));
    let owners: BTreeSet<&Owner> = reached.0.keys().chain(weir.0.keys()).collect();
    for owner in owners {
        match (published.0.get(owner), weir.0.get(owner)) {
            (Some(published), Some(weir)) => found.extend(places(owner, published, weir)),
            (Some(_), None) => found.push(whole(owner, "published", ABSENT)),
            (None, _) => found.push(whole(owner, ABSENT, "own schema")),
        }
    }
    found
}

/// How many published operations weir has, of how many.
pub fn built(published: &Facts, weir: &Facts) -> (usize, usize) {
    let has = published.operations().filter(|owner| weir.0.contains_key(owner)).count();
    (has, published.operations().count())
}

fn whole(owner: &Owner, published: &str, weir: &str) -> Difference {
    Difference { owner: owner.clone(), place: WHOLE.into(), published: published.into(), weir: weir.into() }
}

fn places(owner: &Owner, published: &Places, weir: &Places) -> Vec<Difference> {
    let said = |said: Option<&Said>| said.map_or(ABSENT.to_string(), Said::to_string);
    let all: BTreeSet<&String> = published.keys().chain(weir.keys()).collect();
    let differing = all.into_iter().filter(|place| published.get(*place) != weir.get(*place));
    let difference = |place: &String| Difference {
        owner: owner.clone(),
        place: place.clone(),
        published: said(published.get(place)),
        weir: said(weir.get(place)),
    };
    differing.map(difference).collect()
}

impl Display for Difference {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(to, "{}  {}", self.owner, self.place)?;
        writeln!(to, "    published  {}", self.published)?;
        writeln!(to, "    weir       {}", self.weir)
    }
}

impl Deviation {
    /// Reads `deviations.tsv`; lines that begin with `#` are remarks.
    pub fn read(table: &str) -> Vec<Self> {
        let mut lines = table.lines().enumerate().filter(|(_, line)| !line.starts_with('#'));
        assert_eq!(lines.next().map(|(_, line)| line), Some(HEADER), "the first line names the cells");
        lines.map(|(at, line)| Self::read_line(at + 1, line)).collect()
    }

    fn read_line(line: usize, text: &str) -> Self {
        let cells: Vec<&str> = text.split('\t').collect();
        let [document, owner, place, weir, reason] = cells[..] else { panic!("deviations.tsv:{line}: not five cells") };
        assert!(!reason.trim().is_empty(), "deviations.tsv:{line}: no reason");
        let [document, owner, place, weir, reason] = [document, owner, place, weir, reason].map(str::to_string);
        Self { line, document, owner, place, weir, reason }
    }

    fn covers(&self, document: &str, difference: &Difference) -> bool {
        self.weir == difference.weir
            && fits(&self.document, document)
            && fits(&self.owner, &difference.owner.to_string())
            && fits(&self.place, &difference.place)
    }
}

impl Display for Deviation {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, document, owner, place, reason, .. } = self;
        write!(to, "deviations.tsv:{line}: {document} {owner} {place}: {reason}")
    }
}

/// The differences of one document that no deviation covers; adds the lines that covered something to `used`.
pub fn unaccepted(
    document: &str,
    differences: Vec<Difference>,
    deviations: &[Deviation],
    used: &mut BTreeSet<usize>,
) -> Vec<Difference> {
    let mut left = Vec::new();
    for difference in differences {
        let covering = deviations.iter().filter(|deviation| deviation.covers(document, &difference));
        let lines: Vec<usize> = covering.map(|deviation| deviation.line).collect();
        used.extend(&lines);
        if lines.is_empty() {
            left.push(difference);
        }
    }
    left
}

/// The deviations that no longer deviate.
pub fn unused<'a>(deviations: &'a [Deviation], used: &BTreeSet<usize>) -> Vec<&'a Deviation> {
    deviations.iter().filter(|deviation| !used.contains(&deviation.line)).collect()
}

/// Whether a text has the form of a pattern, in which `*` is any text.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(tail) = text.strip_prefix(head) else { return false };
    tail.char_indices().map(|(at, _)| at).chain([tail.len()]).any(|at| fits(rest, &tail[at..]))
}
