//! Meters from a file: the `meters:` list of an OpenMeter YAML configuration, as it is.
//!
//! Read the way the peer's loader reads it: keys are matched without regard to case, and the names under `groupBy` are
//! lower-cased, so that a configuration taken over gives the same dimension names. Everything else in the file is left
//! alone. Unlike the peer, `eventFrom` and `metadata` are not dropped.
//!
//! At start, meters without a live slug are created; a live one that differs from the file stops the start, naming the
//! field, because nobody can tell which of the two was meant. What fails for now leaves the rest as it is: the same call
//! may be made again.

use super::meters::{MeterError, Meters};
use super::writes::{Caller, Kept, WriteError};
use crate::domain::fault::Verdict;
use crate::domain::metering::Meter;
use crate::domain::metering::meter::{Aggregation, MeterDraft};
use crate::domain::time::Instant;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Who creates them, as the audit names it.
const ACTOR: &str = "meters file";

/// Why meters from a file cannot be used. Ordered: the first that applies is reported.
#[derive(Debug, thiserror::Error)]
pub enum MetersFileError {
    #[error("the meters file is not readable YAML: {0}")]
    NotYaml(String),
    #[error("meters[{index}].{field} {fault}")]
    Field { index: usize, field: String, fault: String },
    #[error("meters[{index}]: the slug {slug} is there twice")]
    SlugTwice { index: usize, slug: String },
    #[error("meter {slug} is not equal to the meter in the file: {field} mismatch")]
    Mismatch { slug: String, field: &'static str },
    #[error("meter {slug} from the file: {error}")]
    Create { slug: String, error: MeterError },
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    meters: Option<Vec<BTreeMap<String, Value>>>,
}

/// What came of the file's meters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ensured {
    pub created: Vec<String>,
    pub kept: Vec<String>,
}

/// Reads the list; a file without one has no meters.
pub fn parse(text: &str) -> Result<Vec<MeterDraft>, MetersFileError> {
    let file: File = serde_saphyr::from_str(text).map_err(|error| MetersFileError::NotYaml(error.to_string()))?;
    let mut drafts: Vec<MeterDraft> = Vec::new();
    for (index, entry) in file.meters.unwrap_or_default().into_iter().enumerate() {
        let draft = Entry::of(index, entry).draft()?;
        if drafts.iter().any(|earlier| earlier.slug == draft.slug) {
            return Err(MetersFileError::SlugTwice { index, slug: draft.slug });
        }
        drafts.push(draft);
    }
    Ok(drafts)
}

impl MetersFileError {
    /// Whether it may be over the next time.
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::Create { error: MeterError::Fault(fault) | MeterError::Write(WriteError::Fault(fault)), .. } => {
                fault.verdict == Verdict::Retry
            }
            // If it was written after all, the slug is taken by an equal meter.
            Self::Create { error: MeterError::Write(WriteError::Unknown(_) | WriteError::NotLive(_)), .. } => true,
            _ => false,
        }
    }
}

/// Creates what is missing; refuses what differs.
pub(super) async fn ensure(
    meters: &Meters,
    namespace: &str,
    drafts: &[MeterDraft],
) -> Result<Ensured, MetersFileError> {
    let caller = Caller {
        namespace: namespace.to_string(),
        request_id: String::new(),
        actor: ACTOR.to_string(),
        idempotency: None,
    };
    let mut ensured = Ensured::default();
    for draft in drafts {
        let slug = draft.slug.clone();
        let failed = |error| MetersFileError::Create { slug: slug.clone(), error };
        match meters.insert(&caller, draft.clone(), |_| Kept { status: 201, body: String::new() }).await {
            Ok(_) => ensured.created.push(slug),
            Err(MeterError::SlugTaken) => {
                let live = meters.find(namespace, &slug).await.map_err(failed)?;
                if let Some(field) = mismatch(draft, &live.meter) {
                    return Err(MetersFileError::Mismatch { slug, field });
                }
                ensured.kept.push(slug);
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(ensured)
}

/// The first field in which the live meter differs. What the file leaves open is not compared, but for what an absence
/// says: no description, no value, no dimensions.
fn mismatch(draft: &MeterDraft, live: &Meter) -> Option<&'static str> {
    let checks = [
        ("name", draft.name.as_ref().unwrap_or(&draft.slug) != &live.name),
        ("description", draft.description != live.description),
        ("aggregation", draft.aggregation != live.aggregation),
        ("eventType", draft.event_type != live.event_type),
        ("eventFrom", draft.event_from.is_some() && draft.event_from.map(Instant::floor_to_micros) != live.event_from),
        ("valueProperty", draft.value_property != live.value_property),
        ("groupBy", draft.group_by != live.group_by),
        ("metadata", draft.metadata.is_some() && draft.metadata != live.metadata),
    ];
    checks.into_iter().find(|(_, differs)| *differs).map(|(field, _)| field)
}

/// One element of the list, its keys in lower case.
struct Entry {
    index: usize,
    members: BTreeMap<String, Value>,
}

impl Entry {
    fn of(index: usize, entry: BTreeMap<String, Value>) -> Self {
        let members = entry.into_iter().map(|(key, value)| (key.to_lowercase(), value)).collect();
        Self { index, members }
    }

    fn draft(mut self) -> Result<MeterDraft, MetersFileError> {
        let slug = self.required("slug")?;
        let aggregation = self.required("aggregation")?;
        let aggregation = Aggregation::parse(&aggregation).ok_or_else(|| {
            self.fault("aggregation", "is not one of SUM, COUNT, AVG, MIN, MAX, UNIQUE_COUNT, LATEST")
        })?;
        let event_from = match self.text("eventFrom")? {
            Some(text) => Some(Instant::parse(&text).map_err(|error| self.fault("eventFrom", &error.to_string()))?),
            None => None,
        };
        Ok(MeterDraft {
            slug,
            aggregation,
            event_from,
            name: self.text("name")?,
            description: self.text("description")?,
            event_type: self.required("eventType")?,
            value_property: self.text("valueProperty")?,
            group_by: self.texts("groupBy")?.unwrap_or_default(),
            metadata: self.texts("metadata")?,
        })
    }

    fn fault(&self, field: &str, fault: &str) -> MetersFileError {
        MetersFileError::Field { index: self.index, field: field.to_string(), fault: fault.to_string() }
    }

    fn required(&mut self, field: &str) -> Result<String, MetersFileError> {
        self.text(field)?.ok_or_else(|| self.fault(field, "is missing"))
    }

    fn text(&mut self, field: &str) -> Result<Option<String>, MetersFileError> {
        match self.members.remove(&field.to_lowercase()) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.fault(field, "must be a text")),
        }
    }

    /// A mapping of texts; its keys in lower case, as the peer's loader makes them.
    fn texts(&mut self, field: &str) -> Result<Option<BTreeMap<String, String>>, MetersFileError> {
        let members = match self.members.remove(&field.to_lowercase()) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Object(members)) => members,
            Some(_) => return Err(self.fault(field, "must be a mapping")),
        };
        let mut texts = BTreeMap::new();
        for (key, value) in members {
            let Value::String(text) = value else {
                return Err(self.fault(&format!("{field}.{key}"), "must be a text"));
            };
            texts.insert(key.to_lowercase(), text);
        }
        Ok(Some(texts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r"
ingest:
  kafka: { broker: localhost:9092 }
meters:
  # Sample meter to count LLM token usage
  - slug: tokens_total
    description: AI Token Usage
    eventType: prompt
    aggregation: SUM
    valueProperty: $.tokens
    groupBy:
      modelName: $.model
      type: $.type
  - slug: requests
    eventtype: request
    aggregation: COUNT
";

    #[test]
    fn the_meters_of_a_peers_configuration_are_read_as_the_peer_reads_them() {
        let drafts = parse(CONFIG).unwrap();
        assert_eq!(drafts.len(), 2);
        assert_eq!(drafts[0].slug, "tokens_total");
        assert_eq!(drafts[0].group_by.keys().collect::<Vec<_>>(), ["modelname", "type"]);
        assert_eq!(drafts[0].value_property.as_deref(), Some("$.tokens"));
        assert_eq!((drafts[1].event_type.as_str(), drafts[1].aggregation), ("request", Aggregation::Count));
        assert!(parse("sink: {}").unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_named_by_index_and_field() {
        #[rustfmt::skip]
        let table = [
            ("meters:\n  - aggregation: SUM", "meters[0].slug is missing"),
            ("meters:\n  - slug: a\n    aggregation: sum", "meters[0].aggregation is not one of SUM, COUNT, AVG, MIN, MAX, UNIQUE_COUNT, LATEST"),
            ("meters:\n  - slug: a\n    aggregation: COUNT\n    eventType: 7", "meters[0].eventType must be a text"),
            ("meters:\n  - {slug: a, aggregation: COUNT, eventType: t, groupBy: {b: 1}}", "meters[0].groupBy.b must be a text"),
            ("meters:\n  - {slug: a, aggregation: COUNT, eventType: t}\n  - {slug: a, aggregation: COUNT, eventType: t}", "meters[1]: the slug a is there twice"),
        ];
        for (text, said) in table {
            assert_eq!(parse(text).unwrap_err().to_string(), said);
        }
        assert!(matches!(parse("meters: ["), Err(MetersFileError::NotYaml(_))));
    }

    #[test]
    fn a_mismatch_names_its_field() {
        let draft = parse(CONFIG).unwrap().remove(0);
        let id = ulid::Ulid::nil();
        let mut live = draft.clone().check("default", id, id, Instant::from_nanos(0)).unwrap();
        assert_eq!(mismatch(&draft, &live), None);
        live.group_by.remove("type");
        assert_eq!(mismatch(&draft, &live), Some("groupBy"));
        live.name = "Other".to_string();
        assert_eq!(mismatch(&draft, &live), Some("name"));
    }
}
