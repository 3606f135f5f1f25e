//! `weir serve`: starts, says where, waits to be told to stop or for an end of its own, stops in order.

use super::settings::Settings;
use super::weir::Weir;
use super::{SystemClock, telemetry};
use crate::cli::{ConfigArgs, ServeArgs};
use std::path::Path;
use std::sync::Arc;

/// Settings as files and variables say, with nothing from the options yet.
pub fn settings(config: &ConfigArgs) -> Result<Settings, String> {
    Settings::load(config.config.as_deref(), std::env::vars()).map_err(|error| error.to_string())
}

/// The topology's text and the name its mistakes are reported under.
pub fn topology(file: Option<&Path>) -> Result<(String, String), String> {
    match file {
        Some(path) => {
            let text =
                std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()));
            Ok((text?, path.display().to_string()))
        }
        None => Ok((crate::pipeline::DEFAULT.to_string(), "pipeline.toml".to_string())),
    }
}

pub fn run(args: &ServeArgs) -> Result<(), String> {
    let mut settings = settings(&args.config)?;
    settings.data = args.data.clone().unwrap_or(settings.data);
    settings.listen = args.listen.clone().unwrap_or(settings.listen);
    settings.meters = args.meters.clone().or(settings.meters);
    telemetry::start_logs(&settings.logs)?;
    let (text, name) = topology(args.config.pipeline.as_deref())?;
    // Signals are watched from before the start: one that comes early is not lost.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let mut signals = runtime.block_on(async { Signals::new() }).map_err(|error| format!("no signals: {error}"))?;
    let weir = Weir::start_with(settings, &text, &name, Arc::new(SystemClock)).map_err(|error| error.to_string())?;
    tracing::info!(address = %weir.address(), "weir takes events");
    runtime.block_on(async {
        tokio::select! {
            signal = signals.next() => tracing::info!(signal, "stopping: what was taken is finished first"),
            () = weir.ended() => tracing::error!("weir cannot go on with what it found"),
        }
    });
    weir.stop()
}

/// SIGTERM and SIGINT.
struct Signals {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}
