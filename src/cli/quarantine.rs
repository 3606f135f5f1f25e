//! `weir quarantine`: events that made a stage panic.

use super::Server;
use super::client::{Client, Failure, segment};
use super::text;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// List quarantined events and what became of them
    List(#[command(flatten)] Server),
    /// Show one, with its content
    Show(At),
    /// Take one up again: it counts from now on, under its old position
    Redrive(At),
    /// Give one up: it will never count
    Drop(DropArgs),
}

#[derive(Debug, Args)]
pub struct At {
    #[command(flatten)]
    server: Server,
    /// The event's position, such as 0:412
    position: String,
}

#[derive(Debug, Args)]
pub struct DropArgs {
    #[command(flatten)]
    at: At,
    /// Why, for those who look later
    #[arg(long)]
    reason: String,
}

pub fn run(command: QuarantineCommand) -> Result<(), Failure> {
    match command {
        QuarantineCommand::List(server) => list(&server),
        QuarantineCommand::Show(at) => {
            println!("{}", Client::new(&at.server).get_text(&path(&at, ""), &[])?.trim_end());
            Ok(())
        }
        QuarantineCommand::Redrive(at) => {
            Client::new(&at.server).post(&path(&at, "/redrive"), "application/json", b"{}")?;
            println!("{} was redriven: it counts now", at.position);
            Ok(())
        }
        QuarantineCommand::Drop(DropArgs { at, reason }) => {
            let body = serde_json::json!({ "reason": reason }).to_string();
            Client::new(&at.server).post(&path(&at, "/drop"), "application/json", body.as_bytes())?;
            println!("{} was dropped: it will never count", at.position);
            Ok(())
        }
    }
}

fn path(at: &At, action: &str) -> String {
    format!("/api/v1/quarantine/{}{action}", segment(&at.position))
}

fn list(server: &Server) -> Result<(), Failure> {
    let entries: Vec<text::Members> = Client::new(server).get_as("/api/v1/quarantine", &[])?;
    let row = |entry: &text::Members| {
        ["position", "state", "stage", "source", "id", "reason"].map(|name| text::cell(entry, name)).to_vec()
    };
    let rows: Vec<_> = entries.iter().map(row).collect();
    println!("{}", text::table(&["POSITION", "STATE", "STAGE", "SOURCE", "ID", "REASON"], &rows));
    Ok(())
}
