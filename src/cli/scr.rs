//! `lighterman scr`: what a person asks of an SCR API.

use clap::{Args, Subcommand, ValueEnum};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use reqwest::Url;
use serde_json::{Value, json};

use super::ask::declined;
use super::reach::{Reached, reach_to};
use super::table::table;
use super::{FATAL, LATER, Setting, USAGE, WELL, say};
use crate::api::control;
use crate::api::quarantine::Refused;
use crate::api::scr::{self, Act, Look, Question, Said, Which};
use crate::config::Config;
use crate::config::section::parse_duration;
use crate::deliver::Shared;
use crate::remote::scr::{Connection, Invitation, Query};

#[derive(Debug, Subcommand)]
pub enum Action {
    /// List the releases that were transferred to us
    Releases(Releases),
    /// Show all that the API tells of one release
    Release(Release),
    /// Read the pin of a release: it cannot be transferred any more after that
    Pincode(Pincode),
    /// List the companies that releases can be transferred to
    Connections(Alone),
    /// Invite a company to connect
    Invite(Invite),
    /// Have the API call our receiver of notifications
    Subscribe(Subscribe),
}

#[derive(Debug, Args)]
struct Api {
    /// The API's name in the config; needed where there are several
    #[arg(long, value_name = "NAME")]
    api: Option<String>,
    /// For this customer: of an API that several share, only its own releases
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What needs no more than an API.
#[derive(Debug, Args)]
pub struct Alone {
    #[command(flatten)]
    api: Api,
}

/// Which releases are listed.
#[derive(Debug, Args)]
pub struct Releases {
    #[command(flatten)]
    api: Api,
    /// Only of this container
    #[arg(long, value_name = "NUMBER")]
    container: Option<String>,
    /// Only of this bill of lading
    #[arg(long, value_name = "NUMBER")]
    bl: Option<String>,
    /// Only those changed since then: a day, a time as 2026-11-01T14:00:00Z, or a span as 7d
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
    /// How many at most [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Which page of so many
    #[arg(long, value_name = "N", requires = "limit")]
    page: Option<usize>,
}

/// Which release is shown.
#[derive(Debug, Args)]
pub struct Release {
    /// Its address
    address: String,
    #[command(flatten)]
    api: Api,
}

/// Whose pin is read.
#[derive(Debug, Args)]
pub struct Pincode {
    /// The release's address
    address: String,
    #[command(flatten)]
    api: Api,
    /// Do not ask first
    #[arg(long)]
    yes: bool,
}

/// Who is invited.
#[derive(Debug, Args)]
pub struct Invite {
    /// The company's name
    #[arg(long)]
    name: String,
    /// Its VAT number
    #[arg(long)]
    vat: String,
    /// Where the request to connect is sent
    #[arg(long)]
    email: String,
    /// What the answer will be known by, such as its number in your own system
    #[arg(long)]
    reference: Option<String>,
    #[command(flatten)]
    api: Api,
}

/// What is called, and when.
#[derive(Debug, Args)]
pub struct Subscribe {
    /// Where the API reaches our receiver: https://…/notifications/scr/{api}
    #[arg(long)]
    url: String,
    /// On this type of event only
    #[arg(long, value_enum)]
    event: Option<EventType>,
    #[command(flatten)]
    api: Api,
}

/// "The following event types are currently supported" (SCR API 1.2.9, "Register a callback url for
/// notifications").
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum EventType {
    #[value(name = "onRelease")]
    OnRelease,
    #[value(name = "onAcceptInvitation")]
    OnAcceptInvitation,
}

impl EventType {
    fn word(self) -> String {
        match self {
            EventType::OnRelease => "onRelease",
            EventType::OnAcceptInvitation => "onAcceptInvitation",
        }
        .to_owned()
    }
}

pub async fn run(setting: &Setting, action: Action) -> anyhow::Result<u8> {
    match action {
        Action::Releases(releases) => {
            let Releases { api, container, bl, since, limit, page } = releases;
            let since = since.map(|since| since.to_string());
            let query = Query { container, bl, since, limit, page };
            look(setting, api, Look::Releases(query)).await
        }
        Action::Release(Release { address, api }) => {
            look(setting, api, Look::Release(address)).await
        }
        Action::Connections(Alone { api }) => look(setting, api, Look::Connections).await,
        Action::Pincode(Pincode { address, api, yes }) => {
            let what =
                format!("reading the pin of release {address} bars every later transfer of it");
            if !yes && let Some(code) = declined(&what, "Read it?", "it was not read")? {
                return Ok(code);
            }
            act(setting, api, Act::Pincode(address)).await
        }
        Action::Invite(Invite { name, vat, email, reference, api }) => {
            let empty = [("--name", &name), ("--vat", &vat), ("--email", &email)];
            if let Some((what, _)) = empty.iter().find(|(_, text)| text.trim().is_empty()) {
                eprintln!("lighterman: {what} is empty, and the API cannot do without it");
                return Ok(USAGE);
            }
            let invitation = Invitation { reference, name, vat, contact_email: email };
            act(setting, api, Act::Invite(invitation)).await
        }
        Action::Subscribe(Subscribe { url, event, api }) => {
            if let Err(why) = is_callback(&url) {
                eprintln!("lighterman: --url {url}: {why}");
                return Ok(USAGE);
            }
            let both = [EventType::OnRelease, EventType::OnAcceptInvitation];
            let events = event.map_or(both.to_vec(), |event| vec![event]);
            let event_types = events.into_iter().map(EventType::word).collect();
            act(setting, api, Act::Subscribe { event_types, url }).await
        }
    }
}

async fn look(setting: &Setting, api: Api, ask: Look) -> anyhow::Result<u8> {
    let Some(config) = setting.load_to_look() else { return Ok(FATAL) };
    let (json, question) = api.question(ask);
    // What only reads needs no state: where no run answers, it is done here.
    let answer = match control::tell(&config.state, "scr/look", &question).await? {
        Some(answer) => answer,
        None => scr::look(&config, &Shared::default(), None, &question).await?,
    };
    match (answer, &question.ask) {
        (Ok(said), Look::Release(_)) => shown(said, json, true),
        (Ok(said), _) => shown(said, json, false),
        (Err(refused), _) => Ok(told(&refused)),
    }
}

async fn act(setting: &Setting, api: Api, ask: Act) -> anyhow::Result<u8> {
    let Some(config) = setting.load_to_look() else { return Ok(FATAL) };
    let (json, question) = api.question(ask);
    let answer: scr::Answer = match reach_to(&config, "scr/act", &question).await? {
        Reached::Answer(answer) => answer,
        Reached::State(state) => {
            scr::act(&config, &Shared::default(), &state.ledger, &question).await?
        }
        Reached::Nobody => return Ok(LATER),
    };
    let said = match answer {
        Ok(said) => said,
        Err(refused) => return Ok(told(&refused)),
    };
    if let (Said::Done { api, .. }, Act::Subscribe { .. }) = (&said, &question.ask) {
        warn_of_deaf(&config, api);
    }
    shown(said, json, false)
}

impl Api {
    fn question<T>(self, ask: T) -> (bool, Question<T>) {
        let Api { api, customer, json } = self;
        (json, Question { which: Which { api, customer }, ask })
    }
}

fn told(refused: &Refused) -> u8 {
    eprintln!("lighterman: {}", refused.why);
    refused.code
}

fn shown(said: Said, json: bool, one: bool) -> anyhow::Result<u8> {
    let text = match said {
        Said::Releases { list, more } => {
            if more {
                eprintln!("lighterman: there are more; narrow it down, or use --limit and --page");
            }
            match (json, one, list.first()) {
                (true, true, Some(release)) => format!("{release}\n"),
                (true, ..) => format!("{}\n", Value::Array(list)),
                (false, true, Some(release)) => whole(release),
                (false, ..) => releases(&list),
            }
        }
        Said::Connections(list) if json => format!("{}\n", serde_json::to_string(&list)?),
        Said::Connections(list) => connections(&list),
        Said::Pincode(pin) if json => format!("{}\n", json!({ "pincode": pin })),
        Said::Pincode(pin) => format!("{pin}\n"),
        Said::Done { api, url } if json => format!("{}\n", json!({ "api": api, "url": url })),
        Said::Done { api, url: Some(url) } => format!("{api}: {url} is registered\n"),
        Said::Done { api, url: None } => format!("{api}: the invitation is sent\n"),
    };
    say(&text)?;
    Ok(WELL)
}

fn releases(list: &[Value]) -> String {
    let heads = ["CONTAINER", "BL", "STATE", "LIGHTS", "PICK-UP", "VALID UNTIL", "ADDRESS"];
    let rows: Vec<Vec<String>> = list
        .iter()
        .map(|release| {
            let data = &release["release_data"];
            vec![
                word(&data["container"]["containerNumber"]),
                word(&data["billOfLading"]["blNumber"]),
                state(release),
                word(&release["greenLights"]["total"]),
                word(&data["container"]["pickupLocation"]),
                word(&data["container"]["validUntil"]),
                word(&release["address"]),
            ]
        })
        .collect();
    table(&heads, &rows)
}

/// What matters most of a release: what bars everything comes first.
fn state(release: &Value) -> String {
    let is = |name: &str| release[name].as_bool() == Some(true);
    let next = [word(&release["nextOwnerName"]), word(&release["nextOwner"])];
    let next = next.into_iter().find(|name| !name.is_empty());
    let state = match next {
        _ if is("deleted") => "deleted".to_owned(),
        _ if !word(&release["gateOut"]).is_empty() => "picked up".to_owned(),
        Some(next) => format!("to {next}"),
        None if is("blocked") => "blocked".to_owned(),
        None => "ours".to_owned(),
    };
    if is("pinRetrieved") { format!("{state}, pin read") } else { state }
}

fn connections(list: &[Connection]) -> String {
    let row = |connection: &Connection| {
        let Connection { reference, name, vat, address } = connection.clone();
        vec![name, vat, reference.unwrap_or_default(), address]
    };
    table(&["NAME", "VAT", "REFERENCE", "ADDRESS"], &list.iter().map(row).collect::<Vec<_>>())
}

/// Every field of a release that says something, by its name in the document.
fn whole(release: &Value) -> String {
    let mut rows = Vec::new();
    fields("", release, &mut rows);
    table(&["FIELD", "VALUE"], &rows)
}

fn fields(name: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
    let below = |part: &str| match name {
        "" => part.to_owned(),
        name => format!("{name}.{part}"),
    };
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(part, value)| fields(&below(part), value, rows));
        }
        Value::Array(list) => {
            let parts = list.iter().enumerate();
            parts.for_each(|(at, value)| fields(&below(&(at + 1).to_string()), value, rows));
        }
        value => {
            let word = word(value);
            if !word.is_empty() {
                // The two outer names say nothing.
                let name = name.strip_prefix("release_data.").unwrap_or(name);
                rows.push(vec![name.to_owned(), word]);
            }
        }
    }
}

/// A single value as it is read by people.
fn word(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether an API can call this URL; the document's fields hold 255 characters ("Field lengths and
/// definitions").
fn is_callback(url: &str) -> Result<(), String> {
    // What stands for the API's name is no sign of a URL.
    let parsed = Url::parse(&url.replace("{api}", "api")).map_err(|error| error.to_string())?;
    if !["http", "https"].contains(&parsed.scheme()) {
        return Err("it must start with https:// or http://".to_owned());
    }
    if !parsed.path().contains("/notifications/scr/") {
        return Err("our receiver takes notifications at /notifications/scr/{api} only".to_owned());
    }
    if url.chars().count() > 255 {
        return Err("an SCR API takes at most 255 characters".to_owned());
    }
    Ok(())
}

/// Tells if what was registered would find nobody.
fn warn_of_deaf(config: &Config, api: &str) {
    if config.listen.notifications.is_none() {
        eprintln!("lighterman: nothing listens here yet: see [listen] notifications");
    }
    if config.scr.get(api).is_some_and(|api| api.callback.is_none()) {
        eprintln!("lighterman: [scr.{api}] has no callback, so its notifications are refused");
    }
}

/// A moment as people write it: a day of the machine's time zone, a time, or a span before now.
fn since(text: &str) -> Result<Timestamp, String> {
    let wrong =
        || "a day as 2026-11-01, a time as 2026-11-01T14:00:00Z, or a span as 7d".to_owned();
    if let Some(span) = parse_duration(text) {
        let span = SignedDuration::try_from(span).map_err(|_| wrong())?;
        return Timestamp::now().checked_sub(span).map_err(|_| wrong());
    }
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let day: Date = text.parse().map_err(|_| wrong())?;
    day.to_zoned(TimeZone::system()).map(|start| start.timestamp()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_told_by_what_bars_most() {
        let told = |release: Value| state(&release);
        assert_eq!(told(json!({})), "ours");
        assert_eq!(told(json!({ "nextOwner": null, "gateOut": null, "deleted": false })), "ours");
        assert_eq!(told(json!({ "blocked": true, "pinRetrieved": true })), "blocked, pin read");
        assert_eq!(told(json!({ "blocked": true, "nextOwner": "0xC1" })), "to 0xC1");
        let next = json!({ "nextOwner": "0xC1", "nextOwnerName": "Zoë NV", "gateOut": "2026" });
        assert_eq!(told(next), "picked up");
        assert_eq!(told(json!({ "gateOut": "2026", "deleted": true })), "deleted");
    }

    #[test]
    fn a_moment_is_a_day_a_time_or_a_span() {
        assert_eq!(since("2026-11-01T14:00:00Z").unwrap().as_second(), 1_793_541_600);
        assert_eq!(since("2026-11-01T15:00:00+01:00").unwrap().as_second(), 1_793_541_600);
        let day = since("2026-11-01").unwrap();
        assert_eq!(day.to_zoned(TimeZone::system()).time(), jiff::civil::time(0, 0, 0, 0));
        let ago = Timestamp::now().as_second() - since("7d").unwrap().as_second();
        assert!((ago - 7 * 24 * 3600).abs() < 60, "{ago}");
        for wrong in ["yesterday", "", "2026-13-01", "-7d", "7"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_callback_is_a_url_of_our_receiver() {
        assert_eq!(is_callback("https://acme.example:8443/notifications/scr/{api}"), Ok(()));
        assert_eq!(is_callback("http://10.0.0.1/lm/notifications/scr/acme/own"), Ok(()));
        for wrong in [
            "",
            "acme.example/notifications/scr/a",
            "ftp://a/notifications/scr/a",
            "https://acme.example/",
            "https://acme.example/notifications/cpu/a",
        ] {
            assert!(is_callback(wrong).is_err(), "{wrong}");
        }
        let long = format!("https://acme.example/notifications/scr/{}", "a".repeat(255));
        assert!(is_callback(&long).is_err());
    }
}
