//! Extraction: what one event means to one meter. One pass over `data`, no tree, no float, duplicate keys: last wins.
//!
//! Only `data` is looked at. Whether the event's time lies before the meter's `eventFrom`
//! ([`NotCounted::BeforeEventFrom`]) is for the caller, who knows the time.

use super::meter::{Aggregation, Meter};
use super::path::Path;
use super::scan::{Found, PathTree, RawText};
use crate::domain::digest::HashKey;
use crate::domain::number::{PLAIN_BYTES_MAX, Value, ValueError};
use crate::domain::varint;

/// What a meter reads out of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// COUNT: the event itself.
    One,
    /// SUM, AVG, MIN, MAX, LATEST.
    Value(Value),
    /// UNIQUE_COUNT: the value's identity.
    Distinct(u128),
}

/// Why an event that matches a meter's type does not count in it. The texts are those of the events list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NotCounted {
    /// `data` is absent or null.
    NoData,
    /// The value property is not in `data`.
    MissingValue,
    /// The value is JSON null (or, for UNIQUE_COUNT, the text `null`, which the peer cannot tell apart).
    NullValue,
    /// A string that is not a number.
    NotANumber,
    /// A number outside what a value can hold.
    OutOfRange,
    /// A boolean, an object or an array.
    UnsupportedType,
    /// The event's time is before the meter's `eventFrom`.
    BeforeEventFrom,
}

/// A meter's paths, compiled.
#[derive(Debug)]
pub struct Extractor {
    tree: PathTree,
    slots: MeterSlots,
    /// The value path as the meter has it, for texts.
    value_property: String,
}

/// The paths of several meters, compiled into one pass: for meters of one event type.
#[derive(Debug)]
pub struct MultiExtractor {
    tree: PathTree,
    meters: Vec<MeterSlots>,
}

/// Where a meter's places are found in a scan. `None`: the path does not parse, and reads nothing.
#[derive(Debug)]
struct MeterSlots {
    aggregation: Aggregation,
    value: Option<usize>,
    groups: Vec<Option<usize>>,
}

/// Up to so many places are scanned without an allocation.
const SLOTS_INLINE: usize = 16;

impl Extractor {
    /// A path that does not parse (meters from a file are not checked there by the peer) reads nothing.
    pub fn of(meter: &Meter) -> Self {
        let (tree, mut slots) = compile(&[meter]);
        let slots = slots.pop().expect("one meter in, one out");
        Self { tree, slots, value_property: meter.value_property.clone().unwrap_or_default() }
    }

    /// Reads the value and appends the group values to `texts` in the form of `Measure::groups`.
    /// Never answers [`NotCounted::BeforeEventFrom`].
    pub fn read(&self, data: Option<&str>, key: &HashKey, texts: &mut Vec<u8>) -> Result<Reading, NotCounted> {
        with_found(&self.tree, data, |found| self.slots.read(found, key, texts))
    }

    /// The text the events list shows for this reason, with the value where it names one; `None` when it counts.
    pub fn explain(&self, data: Option<&str>) -> Option<String> {
        let reason = with_found(&self.tree, data, |found| self.slots.explain(found, &self.value_property))?;
        Some(format!("invalid event: {reason}"))
    }
}

impl MultiExtractor {
    /// Keeps the order of the meters.
    pub fn of(meters: &[&Meter]) -> Self {
        let (tree, meters) = compile(meters);
        Self { tree, meters }
    }

    /// Does for each meter what [`Extractor::read`] does, and hands over its index, its reading and where its group
    /// values lie in `texts`.
    pub fn read(
        &self,
        data: Option<&str>,
        key: &HashKey,
        texts: &mut Vec<u8>,
        mut each: impl FnMut(usize, Result<Reading, NotCounted>, std::ops::Range<usize>),
    ) {
        with_found(&self.tree, data, |found| {
            for (index, meter) in self.meters.iter().enumerate() {
                let start = texts.len();
                let reading = meter.read(found, key, texts);
                each(index, reading, start..texts.len());
            }
        });
    }
}

fn compile(meters: &[&Meter]) -> (PathTree, Vec<MeterSlots>) {
    let parse = |path: &String| Path::parse(path).ok();
    let paths: Vec<(Option<Path>, Vec<Option<Path>>)> = meters
        .iter()
        .map(|meter| (meter.value_property.as_ref().and_then(parse), meter.group_by.values().map(parse).collect()))
        .collect();
    let tree = PathTree::of(paths.iter().flat_map(|(value, groups)| value.iter().chain(groups.iter().flatten())));
    let slot = |path: &Option<Path>| path.as_ref().and_then(|path| tree.slot(path));
    let slots = meters
        .iter()
        .zip(&paths)
        .map(|(meter, (value, groups))| MeterSlots {
            aggregation: meter.aggregation,
            value: slot(value),
            groups: groups.iter().map(slot).collect(),
        })
        .collect();
    (tree, slots)
}

/// Scans `data` and hands over what was found; `None` when it is absent, null or broken.
fn with_found<R>(tree: &PathTree, data: Option<&str>, use_it: impl FnOnce(Option<&[Found<'_>]>) -> R) -> R {
    let Some(data) = data.filter(|data| data.trim_ascii() != "null") else { return use_it(None) };
    let mut inline = [Found::Missing; SLOTS_INLINE];
    let mut many;
    let found = match inline.get_mut(..tree.slots()) {
        Some(found) => found,
        None => {
            many = vec![Found::Missing; tree.slots()];
            &mut many[..]
        }
    };
    let scanned = tree.scan(data, found);
    use_it(scanned.is_ok().then_some(&*found))
}

/// What lies at a slot; `None` for all of `found` is an event without data.
fn at<'d>(found: Option<&[Found<'d>]>, slot: Option<usize>) -> Found<'d> {
    found.zip(slot).map_or(Found::Missing, |(found, slot)| found[slot])
}

impl MeterSlots {
    fn read(&self, found: Option<&[Found]>, key: &HashKey, texts: &mut Vec<u8>) -> Result<Reading, NotCounted> {
        let reading = self.reading(found, key, texts);
        for slot in &self.groups {
            append_group(at(found, *slot), texts);
        }
        reading
    }

    /// `scratch` is left as it was.
    fn reading(&self, found: Option<&[Found]>, key: &HashKey, scratch: &mut Vec<u8>) -> Result<Reading, NotCounted> {
        let value = at(found, self.value);
        match self.aggregation {
            Aggregation::Count => Ok(Reading::One),
            Aggregation::UniqueCount => distinct(value, key, scratch).map(Reading::Distinct),
            _ if found.is_none() => Err(NotCounted::NoData),
            _ => number(value, scratch).map(Reading::Value),
        }
    }

    /// The peer's words, without their common beginning.
    fn explain(&self, found: Option<&[Found]>, value_property: &str) -> Option<String> {
        // What the key is does not matter: only whether there is a reading.
        let reason = self.reading(found, &HashKey(0, 0), &mut Vec::new()).err()?;
        let value = at(found, self.value);
        Some(match reason {
            NotCounted::NoData => "null and missing value property".to_owned(),
            NotCounted::MissingValue => format!("missing value property: {value_property:?}"),
            NotCounted::NullValue => "value cannot be null".to_owned(),
            NotCounted::NotANumber => not_a_number(&shown(value)),
            NotCounted::OutOfRange => format!("value out of range: {}", shown(value)),
            NotCounted::UnsupportedType => format!("unsupported value property type: {}", go_type(value)),
            NotCounted::BeforeEventFrom => unreachable!("reading looks at no time"),
        })
    }
}

/// SUM, AVG, MIN, MAX, LATEST: a number or a string that is one.
fn number(found: Found, scratch: &mut Vec<u8>) -> Result<Value, NotCounted> {
    let parsed = match found {
        Found::Number(text) => Value::parse(text),
        Found::Text(text) => with_text(text, scratch, Value::parse),
        Found::Missing => return Err(NotCounted::MissingValue),
        Found::Null => return Err(NotCounted::NullValue),
        Found::Bool(_) | Found::Object | Found::Array => return Err(NotCounted::UnsupportedType),
    };
    parsed.map_err(|error| match error {
        ValueError::NotANumber => NotCounted::NotANumber,
        ValueError::OutOfRange => NotCounted::OutOfRange,
    })
}

/// UNIQUE_COUNT: the identity of the value's string form. What is missing is the one value "".
fn distinct(found: Found, key: &HashKey, scratch: &mut Vec<u8>) -> Result<u128, NotCounted> {
    match found {
        Found::Null => Err(NotCounted::NullValue),
        Found::Number(text) => Ok(distinct_number(text, key)),
        Found::Bool(bool) => Ok(key.distinct_value(if bool { "true" } else { "false" })),
        Found::Missing | Found::Object | Found::Array => Ok(key.distinct_value("")),
        Found::Text(text) => with_text(text, scratch, |text| match text {
            "null" => Err(NotCounted::NullValue),
            text => Ok(key.distinct_value(text)),
        }),
    }
}

/// A number is told apart by its plain text, one that is out of range by its text as sent.
fn distinct_number(text: &str, key: &HashKey) -> u128 {
    // Most are whole and short: their text is the plain text already.
    if !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return key.distinct_value(text);
    }
    match Value::parse(text) {
        Ok(value) => key.distinct_value(value.plain_into(&mut [0; PLAIN_BYTES_MAX])),
        Err(_) => key.distinct_value(text),
    }
}

/// Shows a string unescaped; `scratch` is written to behind its end and left as it was.
fn with_text<R>(text: RawText<'_>, scratch: &mut Vec<u8>, use_it: impl FnOnce(&str) -> R) -> R {
    if !text.escaped {
        return use_it(text.raw);
    }
    let start = scratch.len();
    text.unescape_into(scratch);
    let result = use_it(std::str::from_utf8(&scratch[start..]).expect("unescaping writes whole characters"));
    scratch.truncate(start);
    result
}

/// Appends one group value: its length, then its text. What is missing or has parts is "".
fn append_group(found: Found, texts: &mut Vec<u8>) {
    let text = match found {
        Found::Missing | Found::Object | Found::Array => "",
        Found::Null => "null",
        Found::Bool(true) => "true",
        Found::Bool(false) => "false",
        Found::Number(text) => text,
        Found::Text(text) if text.escaped => return append_unescaped_group(text, texts),
        Found::Text(text) => text.raw,
    };
    varint::put(text.len() as u64, texts);
    texts.extend_from_slice(text.as_bytes());
}

/// The length is known only afterwards: it is appended behind the text and turned round to its front.
fn append_unescaped_group(text: RawText<'_>, texts: &mut Vec<u8>) {
    let start = texts.len();
    text.unescape_into(texts);
    let end = texts.len();
    varint::put((end - start) as u64, texts);
    let length_bytes = texts.len() - end;
    texts[start..].rotate_right(length_bytes);
}

/// Reads one group value off the front of a measure's group bytes; `None` at the end.
pub fn next_group<'a>(groups: &mut &'a [u8]) -> Option<&'a str> {
    let mut rest = *groups;
    let length = varint::take(&mut rest).and_then(|length| usize::try_from(length).ok())?;
    let (text, rest) = rest.split_at_checked(length)?;
    let text = std::str::from_utf8(text).ok()?;
    *groups = rest;
    Some(text)
}

/// A value as it stands in an explanation.
fn shown(found: Found) -> String {
    match found {
        Found::Number(text) => text.to_owned(),
        Found::Text(text) => with_text(text, &mut Vec::new(), str::to_owned),
        _ => String::new(),
    }
}

/// Go reads these words as floats, and so the peer has words of its own for them.
fn not_a_number(text: &str) -> String {
    let word = text.strip_prefix(['+', '-']).unwrap_or(text).to_ascii_lowercase();
    match word.as_str() {
        "nan" if text.len() == 3 => "value cannot be NaN".to_owned(),
        "inf" | "infinity" => "value cannot be infinity".to_owned(),
        _ => format!("value cannot be parsed as float64: {text}"),
    }
}

/// The type as the peer, written in Go, names it.
fn go_type(found: Found) -> &'static str {
    match found {
        Found::Object => "map[string]interface {}",
        Found::Array => "[]interface {}",
        _ => "bool",
    }
}

#[cfg(test)]
mod tests;
