//! Layers: which stretches of usage one question can measure.
//!
//! A question is cut into neighbouring stretches, so what overlaps needs another one. Flows never overlap: one layer.
//! Levels and unique values are measured from the begin of their usage period, so a period with three phases takes
//! three layers, however many periods there are.

use super::burndown::Need;
use crate::domain::time::Instant;

/// Needs that do not overlap, by their place in the list that they are from.
pub type Layer = Vec<usize>;

/// Sorts needs, which are in the order of time, into as few layers as their usage periods have phases.
pub fn layers(needs: &[Need]) -> Vec<Layer> {
    let mut layers: Vec<Layer> = Vec::new();
    let mut depth = 0;
    for (index, need) in needs.iter().enumerate() {
        let same_start = index.checked_sub(1).is_some_and(|before| needs[before].from == need.from);
        depth = if same_start { depth + 1 } else { 0 };
        if layers.len() == depth {
            layers.push(Layer::new());
        }
        layers[depth].push(index);
    }
    layers
}

/// Where a question about these needs, none of which overlap, is cut: at least two instants, ascending.
pub fn cuts(needs: &[Need], layer: &Layer) -> Vec<Instant> {
    let mut cuts: Vec<Instant> = layer.iter().flat_map(|index| [needs[*index].from, needs[*index].to]).collect();
    cuts.dedup();
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(from: i64, to: i64) -> Need {
        Need { from: Instant::from_nanos(from), to: Instant::from_nanos(to) }
    }

    #[test]
    fn flows_are_one_question_and_what_overlaps_takes_another() {
        #[rustfmt::skip]
        let table = [
            (vec![], vec![]),
            (vec![need(0, 3), need(3, 7), need(7, 9)], vec![vec![0, 3, 7, 9]]),
            (vec![need(0, 2), need(0, 5), need(5, 7), need(7, 8), need(7, 9)], vec![vec![0, 2, 5, 7, 8], vec![0, 5, 7, 9]]),
        ];
        for (needs, expected) in table {
            let layers = layers(&needs);
            let mut seen: Vec<usize> = layers.iter().flatten().copied().collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..needs.len()).collect::<Vec<_>>(), "each need is measured once");
            let cuts =
                layers.iter().map(|layer| cuts(&needs, layer).into_iter().map(Instant::nanos).collect::<Vec<_>>());
            assert_eq!(cuts.collect::<Vec<_>>(), expected);
        }
    }
}
