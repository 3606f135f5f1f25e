//! Voids and replacements, asked for at random: of events that count, that were voided, and that there are not.

use super::Draw;
use super::client::{Client, encode, instant};
use super::model::{self, Event};
use super::stream::Stream;

/// How a correction can end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    Voided,
    Replaced,
    AlreadyVoided,
    Several,
    Forgotten,
}

pub const ENDINGS: [Ending; 4] = [Ending::Voided, Ending::Replaced, Ending::AlreadyVoided, Ending::Forgotten];

/// Asks to void an event, or to replace it, and does to the model what weir must do. `window_ns`: how long ids are
/// remembered.
pub fn attempt(client: &Client, stream: &mut Stream, now_ns: i128, window_ns: i128) -> Ending {
    let winners = model::winners_at(&stream.events, window_ns);
    let meant = stream.events[pick(&mut stream.draw, &stream.events, &winners)].clone();
    let time_ns = stream.draw.chance(40).then_some(meant.time_ns);
    let is_meant = |event: &Event| {
        (&event.source, &event.id) == (&meant.source, &meant.id)
            && time_ns.map_or(now_ns - event.accepted_ns < window_ns, |time_ns| event.time_ns == time_ns)
    };
    let found: Vec<usize> = winners.into_iter().filter(|index| is_meant(&stream.events[*index])).collect();
    let counting: Vec<usize> = found.iter().copied().filter(|index| !stream.events[*index].voided).collect();
    let replacement = stream.draw.chance(40).then(|| stream.fresh(now_ns));
    let route = if replacement.is_some() { "replace" } else { "void" };
    // Written by hand: a tree of values would write numbers in its own way.
    let mut text = format!("{{\"source\":\"{}\",\"id\":\"{}\",\"reason\":\"a test\"", meant.source, meant.id);
    text.extend(time_ns.map(|time_ns| format!(",\"time\":\"{}\"", instant(time_ns))));
    text.extend(replacement.as_ref().map(|event| format!(",\"event\":{}", event.render())));
    text.push('}');
    let answer =
        client.post(&format!("/api/v1/events/{route}"), "application/json", text.as_bytes()).expect("weir runs");
    let (status, ending) = match (counting.len(), found.is_empty(), &replacement) {
        (1, _, None) => (200, Ending::Voided),
        (1, _, Some(_)) => (200, Ending::Replaced),
        (0, true, _) => (404, Ending::Forgotten),
        (0, false, _) => (409, Ending::AlreadyVoided),
        _ => (409, Ending::Several),
    };
    assert_eq!(answer.status, status, "{ending:?}: {text}: {}", answer.body);
    if status == 200 {
        let (source, id) = (stream.events[counting[0]].source.clone(), stream.events[counting[0]].id.clone());
        stream.events[counting[0]].voided = true;
        stream.events.extend(replacement);
        assert_explained(client, &source, &id);
    }
    ending
}

/// Of young ones, voided ones, old ones, and any.
fn pick(draw: &mut Draw, events: &[Event], winners: &[usize]) -> usize {
    let voided: Vec<usize> = winners.iter().copied().filter(|index| events[*index].voided).collect();
    match draw.below(6) {
        0 => draw.below(events.len() as u64) as usize,
        1 if !voided.is_empty() => *draw.pick(&voided),
        2 => *draw.pick(&winners[..winners.len().min(500)]),
        3 => *draw.pick(winners),
        _ => *draw.pick(&winners[winners.len().saturating_sub(200)..]),
    }
}

fn assert_explained(client: &Client, source: &str, id: &str) {
    let answer = client.get(&format!("/api/v1/events/explain?source={}&id={}", encode(source), encode(id)));
    // As text: what an event's data may be, a tree of values cannot hold.
    let body = answer.expect("weir runs").body;
    assert!(body.contains("\"fate\":\"voided\"") && body.contains("\"reason\":\"a test\""), "{body}");
}
