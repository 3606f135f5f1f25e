//! Reading tables: unknown keys, wrong types and values out of range, all of them, each at its place.
//!
//! A table is deserialized whole; when that fails, the mistake is noted at its place, the key left out, and the rest
//! read again. (An enum with an internal tag would report every mistake at the table's head: there is none here.)

use super::keys::keys_of;
use super::problem::{Problem, meant, place};
use super::{Insane, Settings};
use serde::de::DeserializeOwned;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

/// A mistake, its place not yet looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub span: Range<usize>,
    /// Relative to the table that was read.
    pub path: String,
    pub message: String,
}

/// Settings as they will be used, defaults filled in, and what is wrong with them.
pub struct Checked {
    pub value: serde_json::Value,
    pub findings: Vec<Finding>,
}

/// Reads a kind's settings.
pub fn check_settings<T: Settings>(table: &DeTable<'_>) -> Checked {
    let (settings, mut findings) = read_table::<T>(table, &[]);
    for Insane { key, message } in settings.validate() {
        let span = table.get(key).map_or(0..0, Spanned::span);
        findings.push(Finding { span, path: key.to_owned(), message });
    }
    let value = serde_json::to_value(&settings).expect("settings are plain data");
    Checked { value, findings }
}

/// Reads a table into `T`, key by key if need be; keys in `others` are somebody else's.
pub(super) fn read_table<T: DeserializeOwned + Default>(table: &DeTable<'_>, others: &[&str]) -> (T, Vec<Finding>) {
    let mut findings = Vec::new();
    let known = keys_of::<T>();
    let mut left = table.clone();
    for (key, value) in table {
        let name: &str = key.get_ref();
        if others.contains(&name) {
            left.remove(name);
        } else if !known.contains(&name) {
            let all = known.iter().chain(others).copied();
            findings.push(Finding {
                span: key.span(),
                path: name.to_owned(),
                message: format!("unknown key{}", meant(name, all)),
            });
            left.remove(name);
        } else if let Some(unknown) = beyond_integers(value) {
            findings.push(Finding { span: value.span(), path: name.to_owned(), message: unknown });
            left.remove(name);
        }
    }
    loop {
        let value = Spanned::new(0..0, DeValue::Table(left.clone()));
        let error = match T::deserialize(ValueDeserializer::from(value)) {
            Ok(read) => return (read, findings),
            Err(error) => error,
        };
        let message = error.message().to_owned();
        let culprit = error.span().and_then(|span| culprit(&left, &span));
        let Some((key, path, span)) = culprit else {
            findings.push(Finding { span: 0..0, path: String::new(), message });
            return (T::default(), findings);
        };
        findings.push(Finding { span, path, message: in_words(message) });
        left.remove(key.as_str());
    }
}

/// Integers of TOML are 64 bits wide.
fn beyond_integers(value: &Spanned<DeValue<'_>>) -> Option<String> {
    let integer = value.get_ref().as_integer()?;
    let fits = i64::from_str_radix(integer.as_str(), integer.radix()).is_ok();
    (!fits).then(|| "does not fit into 64 bits".to_owned())
}

/// The key of the table in which the mistake lies, its whole path, and the place of the mistake.
fn culprit(table: &DeTable<'_>, span: &Range<usize>) -> Option<(String, String, Range<usize>)> {
    let within = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end && !outer.is_empty();
    for (key, value) in table {
        let name = key.get_ref().to_string();
        if within(key.span()) {
            return Some((name.clone(), name, span.clone()));
        }
        if let DeValue::Table(inner) = value.get_ref()
            && let Some((_, path, span)) = culprit(inner, span)
        {
            return Some((name.clone(), format!("{name}.{path}"), span));
        }
        if let DeValue::Array(items) = value.get_ref()
            && let Some(index) = items.iter().position(|item| within(item.span()))
        {
            return Some((name.clone(), format!("{name}[{index}]"), span.clone()));
        }
        if within(value.span()) {
            return Some((name.clone(), name, span.clone()));
        }
    }
    None
}

/// serde's words in ours.
fn in_words(message: String) -> String {
    let Some(rest) = message.strip_prefix("unknown field `") else {
        let integers = ["expected u64", "expected u32", "expected usize"];
        return integers
            .iter()
            .fold(message, |message, rust| message.replace(rust, "expected a whole number, 0 or more"));
    };
    let mut names = rest.split('`').step_by(2);
    let unknown = names.next().unwrap_or(rest);
    format!("unknown key{}", meant(unknown, names.filter(|known| !known.is_empty())))
}

/// The text, and what has been found wrong with it.
pub(super) struct Reader<'t> {
    pub text: &'t str,
    file: String,
    problems: Vec<Problem>,
}

impl<'t> Reader<'t> {
    pub fn new(text: &'t str, file: &str) -> Self {
        Self { text, file: file.to_owned(), problems: Vec::new() }
    }

    pub fn problem(&self, span: &Range<usize>, path: &str, message: impl Into<String>) -> Problem {
        let (line, column) = place(self.text, span);
        Problem { file: self.file.clone(), line, column, path: path.to_owned(), message: message.into() }
    }

    pub fn note(&mut self, span: &Range<usize>, path: &str, message: impl Into<String>) {
        let problem = self.problem(span, path, message);
        self.problems.push(problem);
    }

    /// Notes findings of a table that stands at `path`; those without a place of their own stand at `head`.
    pub fn note_all(&mut self, path: &str, head: &Range<usize>, findings: Vec<Finding>) {
        for finding in findings {
            let span = if finding.span.is_empty() { head } else { &finding.span };
            let dot = if finding.path.is_empty() { "" } else { "." };
            self.note(span, &format!("{path}{dot}{}", finding.path), finding.message);
        }
    }

    /// In the order of the file.
    pub fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort();
        self.problems.dedup();
        self.problems
    }
}
