//! CPu: Certified Pick up, as reference/domain.md, section 3, tells of it: calls are accepted with
//! 202 and worked later; the outcome is stored, and posted to the company's receiver.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::bail;
use axum::extract::Query;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

mod call;
mod notice;

use super::answer::Answer;
use super::hub::lock;
use super::stats::CpuStats;
use super::token::TokenServer;
use super::world::{self, World};
use call::Call;
use notice::Notice;

/// What its paths start with.
pub(super) const PATH: &str = "/certified-pickup/v1";

pub(super) struct Cpu {
    companies: Vec<world::Company>,
    bulk: world::Bulk,
    verdicts: Vec<world::Verdict>,
    shared: Arc<Shared>,
    /// Ends what waits to be posted.
    _posting: DropGuard,
    stopping: CancellationToken,
}

struct Shared {
    delay: watch::Sender<Duration>,
    notices: Mutex<Vec<Notice>>,
    counts: Mutex<CpuStats>,
    http: reqwest::Client,
}

impl Cpu {
    pub fn build(world: &World, tokens: &TokenServer) -> anyhow::Result<Cpu> {
        for company in &world.cpu.companies {
            if !tokens.knows(&company.login) {
                bail!("CPu: no user or client is called {:?}", company.login);
            }
        }
        let stopping = CancellationToken::new();
        let shared = Shared {
            delay: watch::Sender::new(Duration::from_millis(world.cpu.delay_ms)),
            notices: Mutex::default(),
            counts: Mutex::default(),
            http: reqwest::Client::builder().no_proxy().build()?,
        };
        Ok(Cpu {
            companies: world.cpu.companies.clone(),
            bulk: world.cpu.bulk,
            verdicts: world.cpu.verdicts.clone(),
            shared: Arc::new(shared),
            _posting: stopping.clone().drop_guard(),
            stopping,
        })
    }

    /// How long a verdict takes; holds for those that are awaited too.
    pub fn set_delay(&self, delay: Duration) {
        self.shared.delay.send_replace(delay);
    }

    pub fn stats(&self) -> CpuStats {
        lock(&self.shared.counts).clone()
    }

    /// Counts a call that arrived.
    pub fn note_call(&self, parts: &Parts) {
        let mut counts = lock(&self.shared.counts);
        match parts.method {
            Method::GET => counts.reads += 1,
            _ => counts.writes += 1,
        }
    }

    /// Works a call.
    pub fn answer(&self, tokens: &TokenServer, parts: &Parts, body: &[u8]) -> Answer {
        let company = match self.company(tokens, &parts.headers) {
            Ok(company) => company,
            Err(answer) => return answer,
        };
        let path = parts.uri.path()[PATH.len()..].trim_matches('/');
        match (&parts.method, path) {
            (&Method::GET, "notifications") => self.notifications(company, parts),
            (&Method::GET, "entities") => self.entities(parts),
            (&Method::PUT, path) => match Call::read(path, body) {
                Ok(call) => self.accept(company, call, body),
                Err(answer) => answer,
            },
            _ => problem(StatusCode::NOT_FOUND, "Resource not found"),
        }
    }

    /// Whose call it is. The gateway in front looks at the subscription key before anything else
    /// does.
    fn company(
        &self,
        tokens: &TokenServer,
        headers: &HeaderMap,
    ) -> Result<&world::Company, Answer> {
        let unauthorized = |message: &str| {
            let told = json!({ "statusCode": 401, "message": message });
            Answer::json(StatusCode::UNAUTHORIZED, &told).noted(message)
        };
        // What Azure API Management answers; reference/domain.md, section 1.
        let Some(key) = headers.get("ocp-apim-subscription-key") else {
            return Err(unauthorized(
                "Access denied due to missing subscription key. Make sure to include \
                 subscription key when making requests to an API.",
            ));
        };
        let company = self
            .companies
            .iter()
            .find(|company| company.subscription_key.as_bytes() == key.as_bytes())
            .ok_or_else(|| {
                unauthorized(
                    "Access denied due to invalid subscription key. Make sure to provide a valid \
                     key for an active subscription.",
                )
            })?;
        match tokens.login(headers) {
            Some(login) if login == company.login => Ok(company),
            _ => Err(unauthorized("Unauthorized. Access token is missing or invalid.")),
        }
    }

    fn accept(&self, company: &world::Company, call: Call, body: &[u8]) -> Answer {
        let verdict_on =
            |text: &str| self.verdicts.iter().find(|verdict| text.contains(&verdict.contains));
        let notice =
            |equipment: &str, text: &str| Notice::new(company, &call, equipment, verdict_on(text));
        let whole = notice(&call.equipment, &String::from_utf8_lossy(body));
        let answer = json!({
            "publicReferenceId": whole.reference,
            "externalReferenceId": whole.external_reference,
        });
        let notices = match (self.bulk, call.rights.is_empty()) {
            (world::Bulk::Each, false) => call
                .rights
                .iter()
                .map(|right| {
                    let equipment = right["equipmentNumber"].as_str().unwrap_or_default();
                    notice(equipment, &right.to_string()).of_same_call(&whole)
                })
                .collect(),
            _ => vec![whole],
        };
        {
            let mut counts = lock(&self.shared.counts);
            counts.accepted += 1;
            *counts.by_action.entry(call.action.to_string()).or_default() += 1;
        }
        for notice in notices {
            lock(&self.shared.notices).push(notice.clone());
            let Some(callback) = company.callback.clone() else { continue };
            let (shared, stopping) = (self.shared.clone(), self.stopping.clone());
            tokio::spawn(stopping.run_until_cancelled_owned(async move {
                shared.ripen(&notice).await;
                shared.post(&callback, &notice).await;
            }));
        }
        Answer::json(StatusCode::ACCEPTED, &answer)
    }

    fn notifications(&self, company: &world::Company, parts: &Parts) -> Answer {
        let query = query(parts);
        let asked = |name: &str| query.get(&name.to_ascii_lowercase());
        let delay = *self.shared.delay.borrow();
        let same = |asked: Option<&String>, value: &str| {
            asked.is_none_or(|asked| asked.eq_ignore_ascii_case(value))
        };
        let notices = lock(&self.shared.notices);
        let found = notices.iter().filter(|notice| {
            notice.login == company.login
                && notice.accepted.elapsed() >= notice.delay.unwrap_or(delay)
                && same(asked("PublicReferenceId"), &notice.reference)
                && same(asked("EquipmentNumber"), &notice.equipment)
                && same(asked("NotificationEvent"), &notice.event)
        });
        Answer::json(StatusCode::OK, &found.map(Notice::stored).collect::<Vec<Value>>())
    }

    /// The phone book. The names of its answer's fields are not public; these are those of the query.
    fn entities(&self, parts: &Parts) -> Answer {
        let query = query(parts);
        let found = self.companies.iter().filter(|company| {
            let known = [
                ("vat", &company.vat),
                ("eori", &company.eori),
                ("duns", &company.duns),
                ("apcscode", &company.apcs),
                ("entityname", &company.name),
            ];
            known.iter().all(|(name, value)| {
                query.get(*name).is_none_or(|asked| asked.eq_ignore_ascii_case(value))
            })
        });
        let told: Vec<Value> = found
            .map(|company| {
                json!({
                    "nxtEntityId": company.nxt_entity_id, "entityName": company.name,
                    "vat": company.vat, "eori": company.eori, "duns": company.duns,
                    "apcsCode": company.apcs,
                })
            })
            .collect();
        Answer::json(StatusCode::OK, &told)
    }
}

impl Shared {
    /// Passes when the delay is over, as it was last set.
    async fn ripen(&self, notice: &Notice) {
        let mut delay = self.delay.subscribe();
        loop {
            let delays = notice.delay.unwrap_or(*delay.borrow_and_update());
            let rest = delays.saturating_sub(notice.accepted.elapsed());
            // The sender lives as long as this: a change is all that can come from it.
            if timeout(rest, delay.changed()).await.is_err() {
                return;
            }
        }
    }

    /// Posts a notification; three times in all where it is not taken. What the real one does then
    /// is not public.
    async fn post(&self, callback: &world::Callback, notice: &Notice) {
        for _ in 0..3 {
            let mut request = self.http.post(&callback.url).json(&notice.posted());
            for (name, value) in &callback.headers {
                request = request.header(name, value);
            }
            let taken = request.send().await.is_ok_and(|answer| answer.status().is_success());
            self.count(taken);
            if taken {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn count(&self, taken: bool) {
        let mut counts = lock(&self.counts);
        counts.posted += u64::from(taken);
        counts.not_taken += u64::from(!taken);
    }
}

/// The query, names in lower case.
fn query(parts: &Parts) -> BTreeMap<String, String> {
    let fields = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
    let fields = fields.map(|Query(fields)| fields).unwrap_or_default();
    fields.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect()
}

/// Problem details (RFC 9457), as the API answers errors.
fn problem(status: StatusCode, title: &str) -> Answer {
    let told = json!({
        "type": "about:blank", "title": title, "status": status.as_u16(), "detail": "",
        "instance": Timestamp::now().to_string(),
    });
    Answer::json(status, &told).noted(title)
}
