//! Each attribute's own rule: what it must be, said once. A value that breaks its rule is named and left out.

use super::envelope::Attribute;
use super::faults::Code;
use super::{Work, uri};
use crate::domain::number::{Value, ValueError};
use rust_decimal::Decimal;
use serde_json::value::RawValue;
use std::borrow::Cow;

const JSON: &str = "application/json";

/// The text of a JSON string; `None` when it is none, an error when it escapes half a surrogate pair.
pub(super) fn decoded(raw: &str) -> Option<Result<Cow<'_, str>, ()>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.as_bytes().contains(&b'\\') {
        return Some(serde_json::from_str::<String>(raw).map(Cow::Owned).map_err(|_| ()));
    }
    Some(Ok(Cow::Borrowed(inner)))
}

/// A string of bounded length; anything else is said and left out.
fn text<'de>(attribute: Attribute, raw: &'de RawValue, work: &mut Work<'_>) -> Option<Cow<'de, str>> {
    let name = attribute.name();
    let text = match decoded(raw.get()) {
        Some(Ok(text)) => text,
        Some(Err(())) => {
            work.fault(name, Code::InvalidText, "escapes half of a surrogate pair");
            return None;
        }
        None => {
            work.fault(name, Code::WrongType, "must be a string");
            return None;
        }
    };
    let bytes_max = work.limits.attribute_bytes_max;
    if text.is_empty() {
        work.fault(name, Code::EmptyField, "must not be empty");
        return None;
    }
    if text.len() > bytes_max {
        work.fault(name, Code::TooLong, format!("has {} bytes; at most {bytes_max}", text.len()));
        return None;
    }
    Some(text)
}

pub(super) fn required_text<'de>(
    attribute: Attribute,
    raw: &'de RawValue,
    work: &mut Work<'_>,
) -> Option<Cow<'de, str>> {
    text(attribute, raw, work)
}

/// Null is the same as absent.
pub(super) fn optional_text<'de>(
    attribute: Attribute,
    raw: &'de RawValue,
    work: &mut Work<'_>,
) -> Option<Cow<'de, str>> {
    if raw.get() == "null" { None } else { text(attribute, raw, work) }
}

/// Checked, and kept as sent.
pub(super) fn source<'de>(raw: &'de RawValue, work: &mut Work<'_>) -> Option<Cow<'de, str>> {
    let source = required_text(Attribute::Source, raw, work)?;
    if !uri::is_uri_reference(&source) {
        work.fault("source", Code::NotAUriReference, "must be a URI reference");
    }
    Some(source)
}

pub(super) fn dataschema<'de>(raw: &'de RawValue, work: &mut Work<'_>) -> Option<Cow<'de, str>> {
    let schema = optional_text(Attribute::Dataschema, raw, work)?;
    if !uri::is_uri_reference(&schema) {
        work.fault("dataschema", Code::NotAUriReference, "must be a URI");
    }
    Some(schema)
}

pub(super) fn specversion<'de>(raw: &'de RawValue, work: &mut Work<'_>) -> Option<Cow<'de, str>> {
    let version = required_text(Attribute::Specversion, raw, work)?;
    if !matches!(&*version, "1.0" | "0.3") {
        work.fault("specversion", Code::UnsupportedSpecversion, "must be 1.0 or 0.3");
    }
    Some(version)
}

pub(super) fn datacontenttype<'de>(raw: &'de RawValue, work: &mut Work<'_>) -> Option<Cow<'de, str>> {
    let content_type = optional_text(Attribute::Datacontenttype, raw, work)?;
    if content_type != JSON {
        work.fault("datacontenttype", Code::UnsupportedContentType, "must be application/json");
    }
    Some(content_type)
}

/// An object or null, not nested too deeply, as the bytes that came.
pub(super) fn data<'de>(raw: Cow<'de, str>, attribute: Attribute, work: &mut Work<'_>) -> Option<Cow<'de, str>> {
    if !raw.starts_with('{') && raw != "null" {
        work.fault(attribute.name(), Code::WrongType, "must be a JSON object or null");
    } else if depth_exceeds(&raw, work.limits.json_depth_max) {
        let message = format!("is nested deeper than {} levels", work.limits.json_depth_max);
        work.fault(attribute.name(), Code::TooDeep, message);
    }
    Some(raw)
}

/// Whether valid JSON is nested deeper than `depth_max`. Few brackets, the common case, cannot be.
fn depth_exceeds(json: &str, depth_max: usize) -> bool {
    let opens = |byte: &u8| matches!(byte, b'{' | b'[');
    if json.as_bytes().iter().filter(|byte| opens(byte)).count() <= depth_max {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > depth_max {
            return true;
        }
    }
    false
}

/// CloudEvents' rules for extension attributes: a name of letters and digits, a string, a boolean or a 32-bit integer.
pub(super) fn check_extension(name: &str, raw: &str, bytes_max: usize) -> Result<(), (Code, String)> {
    let invalid = |message: &str| Err((Code::InvalidExtension, message.to_string()));
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return invalid("is no attribute's name: letters A-Z, a-z and digits only");
    }
    if name.len() > bytes_max || raw.len() > bytes_max {
        return Err((Code::TooLong, format!("has {} bytes; at most {bytes_max}", name.len().max(raw.len()))));
    }
    match raw.as_bytes().first() {
        Some(b'"') if matches!(decoded(raw), Some(Ok(_))) => Ok(()),
        Some(b'"') => Err((Code::InvalidText, "escapes half of a surrogate pair".to_string())),
        Some(b't' | b'f' | b'n') => Ok(()),
        Some(b'{' | b'[') => invalid("must be a string, a number or a boolean"),
        _ if is_32_bit(raw) => Ok(()),
        _ => invalid("must be a number within 32 bits"),
    }
}

fn is_32_bit(number: &str) -> bool {
    let (least, most) = (Decimal::from(i32::MIN), Decimal::from(i32::MAX));
    match Value::parse(number) {
        Ok(value) => value.decimal() >= least && value.decimal() <= most,
        Err(ValueError::NotANumber | ValueError::OutOfRange) => false,
    }
}
