//! `weir meters`: ask meters for usage.

use super::Server;
use super::client::{Client, Failure, segment};
use super::text;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum MetersCommand {
    /// List the meters
    List(#[command(flatten)] Server),
    /// Query a meter's usage
    Query(QueryArgs),
}

#[derive(Debug, Args)]
pub struct QueryArgs {
    #[command(flatten)]
    server: Server,
    /// The meter's slug or id
    meter: String,
    /// Start, inclusive (RFC 3339)
    #[arg(long)]
    from: Option<String>,
    /// End, exclusive (RFC 3339)
    #[arg(long)]
    to: Option<String>,
    /// MINUTE, HOUR, DAY or MONTH; one row when absent
    #[arg(long, value_name = "SIZE")]
    window: Option<String>,
    /// IANA time zone of the windows [default: UTC]
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// Only this subject; may be given more than once
    #[arg(long)]
    subject: Vec<String>,
    /// Tell rows apart by this dimension, or by `subject`; may be given more than once
    #[arg(long, value_name = "DIMENSION")]
    group_by: Vec<String>,
    /// Only events with this value of a dimension; may be given more than once
    #[arg(long, value_name = "DIMENSION=VALUE")]
    filter: Vec<String>,
    /// The answer's JSON instead of a table
    #[arg(long)]
    json: bool,
}

pub fn run(command: MetersCommand) -> Result<(), Failure> {
    match command {
        MetersCommand::List(server) => list(&server),
        MetersCommand::Query(args) => query(&args),
    }
}

fn list(server: &Server) -> Result<(), Failure> {
    let meters: Vec<text::Members> = Client::new(server).get_as("/api/v1/meters", &[])?;
    let row = |meter: &text::Members| {
        ["slug", "aggregation", "eventType", "valueProperty", "id"].map(|name| text::cell(meter, name)).to_vec()
    };
    let rows: Vec<_> = meters.iter().map(row).collect();
    println!("{}", text::table(&["SLUG", "AGGREGATION", "EVENT TYPE", "VALUE", "ID"], &rows));
    Ok(())
}

fn query(args: &QueryArgs) -> Result<(), Failure> {
    let mut parameters: Vec<(String, &str)> = Vec::new();
    let single = [("from", &args.from), ("to", &args.to), ("windowSize", &args.window), ("windowTimeZone", &args.zone)];
    for (name, value) in single {
        parameters.extend(value.as_deref().map(|value| (name.to_string(), value)));
    }
    parameters.extend(args.subject.iter().map(|subject| ("subject".to_string(), subject.as_str())));
    parameters.extend(args.group_by.iter().map(|group| ("groupBy".to_string(), group.as_str())));
    for filter in &args.filter {
        let (dimension, value) = filter
            .split_once('=')
            .ok_or_else(|| Failure::Said(format!("--filter {filter}: write DIMENSION=VALUE, such as region=eu")))?;
        parameters.push((format!("filterGroupBy[{dimension}]"), value));
    }
    let parameters: Vec<(&str, &str)> = parameters.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let path = format!("/api/v1/meters/{}/query", segment(&args.meter));
    let client = Client::new(&args.server);
    if args.json {
        println!("{}", client.get_text(&path, &parameters)?.trim_end());
        return Ok(());
    }
    let answer: Answer = client.get_as(&path, &parameters)?;
    println!("{}", answer.table(&args.group_by));
    Ok(())
}

/// The answer as far as the table shows it; values keep every digit.
#[derive(serde::Deserialize)]
struct Answer {
    data: Vec<Row>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    window_start: String,
    window_end: String,
    subject: Option<String>,
    group_by: std::collections::BTreeMap<String, String>,
    value: Box<serde_json::value::RawValue>,
}

impl Answer {
    fn table(&self, group_by: &[String]) -> String {
        let mut header = vec!["FROM", "TO", "SUBJECT"];
        let groups: Vec<&str> = group_by.iter().map(String::as_str).filter(|group| *group != "subject").collect();
        header.extend(&groups);
        header.push("VALUE");
        let row = |row: &Row| {
            let mut cells = vec![row.window_start.clone(), row.window_end.clone()];
            cells.push(row.subject.clone().unwrap_or_else(|| "*".to_string()));
            cells.extend(groups.iter().map(|group| row.group_by.get(*group).cloned().unwrap_or_default()));
            cells.push(row.value.get().to_string());
            cells
        };
        text::table(&header, &self.data.iter().map(row).collect::<Vec<_>>())
    }
}
