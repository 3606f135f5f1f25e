//! weir: usage metering and billing as a supervised stream of actors.
//!
//! Who may know whom (checked by `tests/architecture.rs`): `domain` knows nobody; `ports` know `domain`; `adapters`
//! and `store` know `ports` and `domain`; `services` know `domain`, `ports` and `store`; `pipeline` knows `domain` names; `actors` know
//! `ports`, `services`, `domain` and `pipeline`; `http` and `cli` know `ports`, `services` and `domain`; `app` knows everybody,
//! and nobody knows `app`.

pub mod actors;
pub mod adapters;
pub mod app;
pub mod cli;
pub mod domain;
pub mod http;
pub mod pipeline;
pub mod ports;
pub mod services;
pub mod store;
