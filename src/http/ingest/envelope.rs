//! One CloudEvent: read attribute by attribute out of the body's own bytes, checked, and encoded as a record.

use super::attributes::{
    check_extension, data, datacontenttype, dataschema, decoded, optional_text, required_text, source, specversion,
};
use super::faults::Code;
use super::{Attributes, Work, base64};
use crate::domain::record::{EventView, encode_event};
use crate::domain::time::Instant;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The envelope's own attributes, by the place of their bit in [`Envelope::seen`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attribute {
    Id,
    Source,
    Type,
    Subject,
    Specversion,
    Time,
    Dataschema,
    Datacontenttype,
    Data,
    DataBase64,
}

impl Attribute {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "id" => Self::Id,
            "source" => Self::Source,
            "type" => Self::Type,
            "subject" => Self::Subject,
            "specversion" => Self::Specversion,
            "time" => Self::Time,
            "dataschema" => Self::Dataschema,
            "datacontenttype" => Self::Datacontenttype,
            "data" => Self::Data,
            "data_base64" => Self::DataBase64,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Source => "source",
            Self::Type => "type",
            Self::Subject => "subject",
            Self::Specversion => "specversion",
            Self::Time => "time",
            Self::Dataschema => "dataschema",
            Self::Datacontenttype => "datacontenttype",
            Self::Data => "data",
            Self::DataBase64 => "data_base64",
        }
    }
}

/// The events of a batch, one after the other.
pub(super) struct BatchVisitor<'a, 'b>(pub &'a mut Work<'b>);

impl<'de> Visitor<'de> for BatchVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(EventSeed(self.0))?.is_some() {
            if self.0.events > self.0.limits.batch_events_max {
                self.0.too_many = true;
                return Err(A::Error::custom("too many events"));
            }
        }
        Ok(())
    }
}

/// One event, or something else in its place.
pub(super) struct EventSeed<'a, 'b>(pub &'a mut Work<'b>);

impl<'de> DeserializeSeed<'de> for EventSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let work = self.0;
        deserializer.deserialize_any(EventVisitor(work))?;
        work.events += 1;
        Ok(())
    }
}

fn unknown(name: &str, work: &mut Work<'_>) {
    work.fault(name, Code::UnknownAttribute, "is no attribute of an event");
}

struct EventVisitor<'a, 'b>(&'a mut Work<'b>);

impl EventVisitor<'_, '_> {
    fn not_an_event<E>(self) -> Result<(), E> {
        self.0.fault("", Code::WrongType, "must be an event, a JSON object");
        Ok(())
    }
}

impl<'de> Visitor<'de> for EventVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut envelope = Envelope::default();
        while let Some(name) = map.next_key_seed(Name)? {
            envelope.take(name, map.next_value()?, self.0);
        }
        envelope.finish(self.0);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        self.not_an_event()
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.not_an_event()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.not_an_event()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.not_an_event()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.not_an_event()
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.not_an_event()
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.not_an_event()
    }
}

/// A member's name: one of the envelope's, or an extension's.
enum MemberName<'de> {
    Known(Attribute),
    Other(Cow<'de, str>),
}

struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = MemberName<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = MemberName<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Attribute::of(name).map_or(MemberName::Other(Cow::Borrowed(name)), MemberName::Known))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Attribute::of(name).map_or_else(|| MemberName::Other(Cow::Owned(name.into())), MemberName::Known))
    }
}

/// What has been read of one event so far.
#[derive(Default)]
struct Envelope<'de> {
    /// One bit per [`Attribute`] that was there, null or not.
    seen: u16,
    id: Option<Cow<'de, str>>,
    source: Option<Cow<'de, str>>,
    event_type: Option<Cow<'de, str>>,
    subject: Option<Cow<'de, str>>,
    specversion: Option<Cow<'de, str>>,
    time_text: Option<Cow<'de, str>>,
    time: Option<Instant>,
    dataschema: Option<Cow<'de, str>>,
    datacontenttype: Option<Cow<'de, str>>,
    data: Option<Cow<'de, str>>,
    extensions: Vec<(Cow<'de, str>, &'de str)>,
}

/// The peer takes this instant, its language's zero, for an absent time; its clients rely on that.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

impl<'de> Envelope<'de> {
    fn take(&mut self, name: MemberName<'de>, raw: &'de RawValue, work: &mut Work<'_>) {
        let attribute = match name {
            MemberName::Known(Attribute::DataBase64) if work.limits.attributes != Attributes::Open => {
                return unknown(Attribute::DataBase64.name(), work);
            }
            MemberName::Known(attribute) => attribute,
            MemberName::Other(name) => return self.take_extension(name, raw.get(), work),
        };
        let bit = 1 << attribute as u16;
        if self.seen & bit != 0 {
            return work.fault(attribute.name(), Code::DuplicateField, "is there twice");
        }
        self.seen |= bit;
        match attribute {
            Attribute::Id => self.id = required_text(attribute, raw, work),
            Attribute::Source => self.source = source(raw, work),
            Attribute::Type => self.event_type = required_text(attribute, raw, work),
            Attribute::Subject => self.subject = required_text(attribute, raw, work),
            Attribute::Specversion => self.specversion = specversion(raw, work),
            Attribute::Time => self.take_time(raw, work),
            Attribute::Dataschema => self.dataschema = dataschema(raw, work),
            Attribute::Datacontenttype => self.datacontenttype = datacontenttype(raw, work),
            Attribute::Data => self.data = data(Cow::Borrowed(raw.get()), Attribute::Data, work),
            Attribute::DataBase64 => self.take_base64(raw, work),
        }
    }

    fn take_time(&mut self, raw: &'de RawValue, work: &mut Work<'_>) {
        let Some(text) = optional_text(Attribute::Time, raw, work) else { return };
        if text == ZERO_TIME {
            return;
        }
        match Instant::parse(&text) {
            Ok(time) => (self.time, self.time_text) = (Some(time), Some(text)),
            Err(error) => work.fault("time", Code::InvalidTime, error.to_string()),
        }
    }

    /// The decoded JSON object becomes `data`.
    fn take_base64(&mut self, raw: &'de RawValue, work: &mut Work<'_>) {
        let name = Attribute::DataBase64.name();
        let text = match decoded(raw.get()) {
            Some(Ok(text)) => text,
            None if raw.get() == "null" => return,
            _ => return work.fault(name, Code::WrongType, "must be a string"),
        };
        let plain = base64::decode(&text).and_then(|bytes| String::from_utf8(bytes).ok());
        let json = plain.filter(|plain| serde_json::from_str::<&RawValue>(plain).is_ok());
        match json {
            Some(json) => self.data = data(Cow::Owned(json.trim().to_string()), Attribute::DataBase64, work),
            None => work.fault(name, Code::InvalidBase64, "must be base64 of a JSON object in UTF-8"),
        }
    }

    fn take_extension(&mut self, name: Cow<'de, str>, raw: &'de str, work: &mut Work<'_>) {
        if work.limits.attributes != Attributes::Open {
            return unknown(&name, work);
        }
        if self.extensions.len() >= work.limits.extensions_max {
            let message = format!("is one extension attribute too many; at most {}", work.limits.extensions_max);
            return work.fault(&name, Code::InvalidExtension, message);
        }
        if self.extensions.iter().any(|(known, _)| *known == name) {
            return work.fault(&name, Code::DuplicateField, "is there twice");
        }
        if let Err((code, message)) = check_extension(&name, raw, work.limits.attribute_bytes_max) {
            return work.fault(&name, code, message);
        }
        self.extensions.push((name, raw));
    }

    /// Every attribute has been read: says what is missing, or appends the record.
    fn finish(self, work: &mut Work<'_>) {
        use Attribute::{Data, DataBase64, Id, Source, Specversion, Subject, Type};
        let specversion = self.specversion.as_deref().or_else(|| work.limits.attributes.specversion());
        let defaulted = |attribute| attribute == Specversion && specversion.is_some();
        for attribute in [Id, Source, Specversion, Type, Subject] {
            if self.seen & (1 << attribute as u16) == 0 && !defaulted(attribute) {
                work.fault(attribute.name(), Code::MissingField, "is missing");
            }
        }
        let both = 1 << Data as u16 | 1 << DataBase64 as u16;
        if self.seen & both == both {
            work.fault(DataBase64.name(), Code::DuplicateField, "must not be there together with data");
        }
        if !work.faults.is_empty() {
            return;
        }
        let extensions = self.extensions_text();
        let (Some(id), Some(source), Some(event_type), Some(subject), Some(specversion)) =
            (&self.id, &self.source, &self.event_type, &self.subject, specversion)
        else {
            unreachable!("what is missing or wrong has been said");
        };
        let view = EventView {
            namespace: work.namespace,
            id,
            source,
            event_type,
            subject,
            specversion,
            time_text: self.time_text.as_deref(),
            time: self.time,
            dataschema: self.dataschema.as_deref(),
            datacontenttype: self.datacontenttype.as_deref(),
            extensions: &extensions,
            data: self.data.as_deref(),
        };
        let start = work.append.records.len();
        encode_event(&view, &mut work.append.records);
        let length =
            u32::try_from(work.append.records.len() - start).expect("an event is smaller than its body's limit");
        work.append.lengths.push(length);
    }

    /// As one JSON object; null ones are absent. Names are letters and digits, so they need no escaping.
    fn extensions_text(&self) -> String {
        let mut text = String::new();
        for (name, raw) in self.extensions.iter().filter(|(_, raw)| *raw != "null") {
            text.push_str(if text.is_empty() { "{\"" } else { ",\"" });
            text.push_str(name);
            text.push_str("\":");
            text.push_str(raw);
        }
        if !text.is_empty() {
            text.push('}');
        }
        text
    }
}
