//! What the benchmark prints and writes: rows with median and spread, the machine, ratios to an earlier run.

use crate::cli::client::Failure;
use crate::cli::text;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// One measured thing: what it is, in which unit, and each run's figure.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// The row of the performance table: `1`, `4`, `15`, …
    pub row: String,
    pub what: String,
    /// Events stored when it was measured, in millions, rounded.
    pub stored_millions: u64,
    pub unit: String,
    pub runs: Vec<f64>,
    pub goal: Option<f64>,
    pub floor: Option<f64>,
    /// Greater is better; else less is.
    pub more_is_better: bool,
}

impl Row {
    pub fn median(&self) -> f64 {
        let mut runs = self.runs.clone();
        runs.sort_by(f64::total_cmp);
        let middle = runs.len() / 2;
        match runs.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => runs[middle],
            _ => (runs[middle - 1] + runs[middle]) / 2.0,
        }
    }

    fn least(&self) -> f64 {
        self.runs.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn greatest(&self) -> f64 {
        self.runs.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    fn met(&self, bound: f64) -> bool {
        if self.more_is_better { self.median() >= bound } else { self.median() <= bound }
    }

    /// `goal met`, `floor met`, `BELOW THE FLOOR`, or nothing to compare with.
    pub fn verdict(&self) -> &'static str {
        match (self.goal, self.floor) {
            (Some(goal), _) if self.met(goal) => "goal met",
            (_, Some(floor)) if self.met(floor) => "floor met",
            (_, Some(_)) => "BELOW THE FLOOR",
            _ => "",
        }
    }
}

/// Everything one `weir bench` found.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    pub version: String,
    pub date: String,
    pub machine: Vec<(String, String)>,
    pub acknowledgement: String,
    pub rows: Vec<Row>,
}

/// As many digits as tell something.
fn figure(value: f64) -> String {
    match value.abs() {
        v if v.is_nan() => "-".to_string(),
        v if v >= 1_000.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

impl Report {
    pub fn table(&self, before: Option<&Report>) -> String {
        let row = |row: &Row| {
            let mut cells = vec![
                row.row.clone(),
                row.what.clone(),
                format!("{} M", row.stored_millions),
                figure(row.median()),
                format!("{} – {}", figure(row.least()), figure(row.greatest())),
                row.unit.clone(),
                row.goal.map(figure).unwrap_or_default(),
                row.verdict().to_string(),
            ];
            if let Some(before) = before {
                let same = |other: &&Row| {
                    other.row == row.row && other.what == row.what && other.stored_millions == row.stored_millions
                };
                let old = before.rows.iter().find(same);
                cells.push(old.map(|old| format!("{:.2}×", row.median() / old.median())).unwrap_or_default());
            }
            cells
        };
        let mut header = vec!["#", "WHAT", "STORED", "MEDIAN", "LEAST – MOST", "UNIT", "GOAL", ""];
        if before.is_some() {
            header.push("AGAINST BEFORE");
        }
        let machine: Vec<String> = self.machine.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let rows: Vec<_> = self.rows.iter().map(row).collect();
        format!("{}\n{}\n\n{}", machine.join("\n"), self.acknowledgement, text::table(&header, &rows))
    }

    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self).expect("a report is plain data");
        std::fs::write(path, text).map_err(|error| Failure::Said(format!("cannot write {}: {error}", path.display())))
    }

    pub fn read(path: &Path) -> Result<Self, Failure> {
        let said = |error: String| Failure::Said(format!("cannot read {}: {error}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| said(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| said(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(runs: &[f64], more_is_better: bool) -> Row {
        Row {
            row: "1".into(),
            what: "posts".into(),
            stored_millions: 1,
            unit: "req/s".into(),
            runs: runs.to_vec(),
            goal: Some(20.0),
            floor: Some(if more_is_better { 10.0 } else { 40.0 }),
            more_is_better,
        }
    }

    #[test]
    fn a_row_is_judged_by_its_median() {
        assert_eq!(row(&[5.0, 21.0, 30.0], true).verdict(), "goal met");
        assert_eq!(row(&[5.0, 15.0, 30.0], true).verdict(), "floor met");
        assert_eq!(row(&[5.0, 9.0, 30.0], true).verdict(), "BELOW THE FLOOR");
        assert_eq!(row(&[5.0, 15.0], false).verdict(), "goal met");
        assert_eq!(row(&[50.0], false).verdict(), "BELOW THE FLOOR");
    }
}
