//! Reserved event types: those that no meter may count, named by patterns that an operator sets.

use super::meter::MeterRefusal;
use serde::Deserialize;

/// Patterns of event types. `*` stands for any characters, none included; all else for itself. There are none unless
/// somebody sets them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct ReservedEventTypes(pub Vec<String>);

impl ReservedEventTypes {
    /// Refuses a meter of a reserved event type: it can neither be created nor, created earlier, be changed or deleted.
    pub fn check(&self, event_type: &str) -> Result<(), MeterRefusal> {
        match self.0.iter().find(|pattern| matches(pattern, event_type)) {
            Some(pattern) => {
                let message =
                    format!("invalid event type: event type '{event_type}' matched reserved pattern '{pattern}'");
                Err(MeterRefusal::of("eventType", message))
            }
            None => Ok(()),
        }
    }
}

/// What lies between two stars is looked for from the left: if any match exists, so does the leftmost.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(start) else { return false };
    let (between, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in between.split('*') {
        let Some((_, after)) = text.split_once(part) else { return false };
        text = after;
    }
    text.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pattern_stands_for_a_whole_event_type() {
        #[rustfmt::skip]
        let table = [
            ("job", "job", true),          ("job", "jobs", false),        ("job", "", false),
            ("om.*", "om.", true),         ("om.*", "om.usage", true),    ("om.*", "som.usage", false),
            ("*.internal", "a.internal", true), ("*.internal", "internal", false),
            ("a*b*c", "abc", true),        ("a*b*c", "a-b-b-c", true),    ("a*b*c", "acb", false),
            ("a*a", "a", false),           ("a*a", "aa", true),           ("a**a", "aba", true),
            ("*", "", true),               ("*", "anything", true),       ("**", "x", true),
            ("é*ü", "éaü", true),          ("", "", true),                ("", "x", false),
        ];
        for (pattern, text, matched) in table {
            assert_eq!(matches(pattern, text), matched, "{pattern} {text}");
        }
    }

    #[test]
    fn the_refusal_names_the_type_and_the_first_pattern_that_matched() {
        let reserved = ReservedEventTypes(vec!["om.*".into(), "*".into()]);
        let text = |event_type: &str| reserved.check(event_type).unwrap_err().message;
        assert_eq!(text("om.x"), "invalid event type: event type 'om.x' matched reserved pattern 'om.*'");
        assert_eq!(text("job"), "invalid event type: event type 'job' matched reserved pattern '*'");
        assert_eq!(ReservedEventTypes::default().check("om.x"), Ok(()));
    }

    /// The definition, tried out.
    fn slowly(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['*', rest @ ..] => (0..=text.len()).any(|skipped| slowly(rest, &text[skipped..])),
            [one, rest @ ..] => text.first() == Some(one) && slowly(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn matching_is_what_trying_everything_finds(pattern in "[ab*]{0,7}", text in "[ab]{0,9}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&pattern, &text), slowly(&chars(&pattern), &chars(&text)));
        }
    }
}
