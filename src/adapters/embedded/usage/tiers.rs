//! A list that grows at its end and is copied at every growth: what readers hold stays as it was.
//!
//! Parts are kept in tiers: when a tier has [`FAN`] parts they are joined into one of the next, so that n pushes make
//! about log n parts, cloning the list costs as little, and every part is joined about log n times.

use std::sync::Arc;

/// Parts of one tier that are joined into one of the next.
pub const FAN: usize = 8;

/// Parts that can be joined into one that stands for all of them.
pub trait Part: Sized {
    /// The parts in the order in which they were pushed.
    fn join(parts: &[Arc<Self>]) -> Self;
}

/// A growing list of parts, oldest first.
pub struct Tiers<T> {
    parts: Vec<(u32, Arc<T>)>,
}

impl<T> Default for Tiers<T> {
    fn default() -> Self {
        Self { parts: Vec::new() }
    }
}

impl<T> Clone for Tiers<T> {
    fn clone(&self) -> Self {
        Self { parts: self.parts.clone() }
    }
}

impl<T: Part> Tiers<T> {
    pub fn push(&mut self, part: T) {
        self.parts.push((0, Arc::new(part)));
        while let Some(joined) = self.full_tier() {
            let (tier, from) = joined;
            let parts: Vec<Arc<T>> = self.parts.drain(from..).map(|(_, part)| part).collect();
            self.parts.push((tier + 1, Arc::new(T::join(&parts))));
        }
    }

    /// The last tier and where it begins, when it is full.
    fn full_tier(&self) -> Option<(u32, usize)> {
        let tier = self.parts.last()?.0;
        let from = self.parts.len().checked_sub(FAN)?;
        (self.parts[from].0 == tier).then_some((tier, from))
    }
}

impl<T> Tiers<T> {
    pub fn iter(&self) -> impl Iterator<Item = &Arc<T>> + '_ {
        self.parts.iter().map(|(_, part)| part)
    }

    pub fn parts(&self) -> Vec<Arc<T>> {
        self.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Part for Vec<u32> {
        fn join(parts: &[Arc<Self>]) -> Self {
            parts.iter().flat_map(|part| part.iter().copied()).collect()
        }
    }

    #[test]
    fn order_is_kept_and_parts_stay_few() {
        let mut tiers = Tiers::default();
        for n in 0..5_000u32 {
            tiers.push(vec![n]);
        }
        let all: Vec<u32> = tiers.iter().flat_map(|part| part.iter().copied()).collect();
        assert_eq!(all, (0..5_000).collect::<Vec<_>>());
        assert!(tiers.parts().len() <= 5 * (FAN - 1), "{} parts", tiers.parts().len());
    }

    #[test]
    fn what_a_reader_holds_does_not_change() {
        let mut tiers = Tiers::default();
        (0..9u32).for_each(|n| tiers.push(vec![n]));
        let held = tiers.clone();
        tiers.push(vec![9]);
        assert_eq!(held.iter().map(|part| part.len()).sum::<usize>(), 9);
    }
}
