//! What the integration tests share: a seed, a weir to talk to, and the reference model.
#![allow(dead_code)] // each test file uses its own part

pub mod ask;
pub mod client;
pub mod clock;
pub mod customers;
pub mod lists;
pub mod model;
pub mod postgres;
pub mod process;
pub mod stream;
pub mod voids;

use std::sync::Arc;
use std::time::Duration;
use weir::app::{Settings, Weir};
use weir::ports::Clock;

/// Starts a weir and waits until its business records are open.
pub fn start(settings: &Settings, clock: Arc<dyn Clock>) -> Weir {
    let weir = Weir::start(settings.clone(), clock).unwrap_or_else(|error| panic!("{error}"));
    weir.wait_open(Duration::from_secs(60)).unwrap_or_else(|why| panic!("the business records are not open: {why}"));
    weir
}

/// The run's seed, printed; `WEIR_TEST_SEED` repeats a run.
pub fn seed(test: &str) -> u64 {
    let given = std::env::var("WEIR_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("past 1970");
        now.as_nanos() as u64
    });
    println!("{test}: WEIR_TEST_SEED={seed}");
    seed
}

/// How many rounds a test makes: a number of its own, or `WEIR_TEST_ROUNDS`.
pub fn rounds(default: u32) -> u32 {
    std::env::var("WEIR_TEST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// SplitMix64.
#[derive(Clone)]
pub struct Draw(pub u64);

impl Draw {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}
