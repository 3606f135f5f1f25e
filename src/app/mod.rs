//! The only room that knows all others: settings, wiring, the order of starting and stopping, clock, telemetry.

mod check;
mod clock;
mod doctor;
mod serve;
mod settings;
mod telemetry;
mod weir;

pub use clock::SystemClock;
pub use settings::{BadSettings, LogFormat, Settings};
pub use weir::{StartError, Weir};

use crate::cli::{Cli, Command};
use clap::Parser;
use std::process::ExitCode;

/// What `main` does: arguments in, exit code out.
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        command => return crate::cli::run(command),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir: {error}");
            ExitCode::FAILURE
        }
    }
}
