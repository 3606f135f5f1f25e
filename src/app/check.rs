//! `weir check`: every mistake in settings and topology at once; connects to nothing, opens no data.

use super::serve;
use crate::cli::CheckArgs;

pub fn run(args: &CheckArgs) -> Result<(), String> {
    let mut mistakes = Vec::new();
    if let Err(mistake) = serve::settings(&args.config) {
        mistakes.push(mistake);
    }
    let (text, name) = serve::topology(args.config.pipeline.as_deref())?;
    match crate::pipeline::compile(&text, &name, &crate::actors::stages::catalogue()) {
        Ok(graph) => {
            graph.warnings.iter().for_each(|warning| println!("warning: {warning}"));
            println!("{name}: {} stages, sound", graph.stages.len());
        }
        Err(problems) => mistakes.extend(problems.iter().map(ToString::to_string)),
    }
    if mistakes.is_empty() { Ok(()) } else { Err(format!("{} found\n{}", plural(mistakes.len()), mistakes.join("\n"))) }
}

fn plural(mistakes: usize) -> String {
    if mistakes == 1 { "1 mistake".to_string() } else { format!("{mistakes} mistakes") }
}
