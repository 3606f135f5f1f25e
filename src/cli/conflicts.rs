//! `weir conflicts`: events that came under an id that another event, with other content, already had.

use super::Server;
use super::client::{Client, Failure};
use super::text;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum ConflictsCommand {
    /// List conflicts, newest first
    List(ListArgs),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    server: Server,
    /// At most this many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
    /// Only conflicts before this position, such as 0:412
    #[arg(long)]
    before: Option<String>,
}

pub fn run(command: ConflictsCommand) -> Result<(), Failure> {
    let ConflictsCommand::List(args) = command;
    let limit = args.limit.to_string();
    let mut query = vec![("limit", limit.as_str())];
    query.extend(args.before.as_deref().map(|before| ("before", before)));
    let conflicts: Vec<text::Members> = Client::new(&args.server).get_as("/api/v1/conflicts", &query)?;
    let row = |conflict: &text::Members| {
        let event = text::inner(conflict, "event");
        let mut cells = ["position", "winner"].map(|name| text::cell(conflict, name)).to_vec();
        cells.extend(["source", "id", "type", "subject", "data"].map(|name| text::cell(&event, name)));
        cells
    };
    let rows: Vec<_> = conflicts.iter().map(row).collect();
    println!("{}", text::table(&["POSITION", "WINNER", "SOURCE", "ID", "TYPE", "SUBJECT", "DATA"], &rows));
    Ok(())
}
