//! `heatstream maintenance` and `season`: through the API, also while `up` runs.

use std::fmt::Write as _;

use heat_api::json::desk::WindowView;
use heat_runtime::ExitStatus;
use serde_json::{Value, json};

use crate::{
    Failure,
    cli::{MaintenanceCommand, SeasonArguments},
    incidents::Client,
    out::say,
};

pub(crate) fn maintenance(command: MaintenanceCommand) -> Result<ExitStatus, Failure> {
    match command {
        MaintenanceCommand::Add { name, network, place, until, reason, api } => {
            let client = Client::new(api)?;
            let body = json!({ "id": name, "place": place, "until": until, "reason": reason });
            taken(&client, &client.post(&format!("networks/{}/maintenance", segment(&network)), &body)?)
        }
        MaintenanceCommand::List { api } => list(&Client::new(api)?),
        MaintenanceCommand::End { name, network, api } => {
            let client = Client::new(api)?;
            let path = format!("networks/{}/maintenance/{}/end", segment(&network), segment(&name));
            taken(&client, &client.post(&path, &json!({}))?)
        }
    }
}

pub(crate) fn season(arguments: SeasonArguments) -> Result<ExitStatus, Failure> {
    let client = Client::new(arguments.api)?;
    let path = format!("circuits/{}/season", segment(&arguments.circuit));
    taken(&client, &client.post(&path, &json!({ "state": arguments.state }))?)
}

fn list(client: &Client) -> Result<ExitStatus, Failure> {
    let body = client.get("maintenance")?;
    if client.json {
        say(serde_json::to_string_pretty(&body)?);
        return Ok(ExitStatus::Done);
    }
    let items = body.get("items").cloned().unwrap_or(Value::Array(Vec::new()));
    let windows: Vec<WindowView> = serde_json::from_value(items)?;
    if windows.is_empty() {
        say("nothing is out of service");
    }
    for window in &windows {
        let WindowView { id, network, place, until, reason, by, .. } = window;
        let place = place.as_deref().unwrap_or("the whole network");
        say(format!("{id}  {network}  {place}  until {until}  {reason}  ({by})"));
    }
    Ok(ExitStatus::Done)
}

fn taken(client: &Client, answer: &Value) -> Result<ExitStatus, Failure> {
    if client.json {
        say(serde_json::to_string_pretty(answer)?);
    } else {
        say("taken; it is on the log");
    }
    Ok(ExitStatus::Done)
}

/// Text as one segment of a path.
fn segment(text: &str) -> String {
    let mut path = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                path.push(char::from(byte))
            }
            other => write!(path, "%{other:02X}").expect("writing to a string does not fail"),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_any_script_is_one_segment() {
        assert_eq!(segment("阀 7/a"), "%E9%98%80%207%2Fa");
    }
}
