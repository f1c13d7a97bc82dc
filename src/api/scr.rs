//! Scr: what a person asks of an SCR API, the same with and without a run. While one works, it asks for
//! them, so that its gate counts their calls.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::quarantine::Refused;
use crate::config::{ChannelKind, Config, Customer, ScrApi};
use crate::deliver::verdict::{Heard, Remote, Verdict, judge};
use crate::deliver::{Gate, Shared, fault_of, same_vat};
use crate::ledger::{self, Ledger, Subscription, kept, plain_vat};
use crate::model::{Arrival, Reply};
use crate::remote::release::Release;
use crate::remote::scr::{Connection, Invitation, Query, Walk};

/// Exit statuses (design, section 4.3).
const FATAL: u8 = 1;
const USAGE: u8 = 2;
const PERSON: u8 = 4;
const LATER: u8 = 75;

/// How many pages of releases are read at most for one question.
const PAGES: usize = 100;

/// Which API is meant, and for whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Which {
    /// The API's name in the config; may be left out where there is only one.
    pub api: Option<String>,
    /// The customer's id: of an API that several share, only its releases are meant.
    pub customer: Option<String>,
}

/// What is only read, and needs no state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Look {
    /// Releases; without a limit, all pages of them.
    Releases(Query),
    /// The release of an address.
    Release(String),
    /// The companies that releases can be transferred to.
    Connections,
}

/// What changes something at the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// Reads the pin of the release of an address: it cannot be transferred any more.
    Pincode(String),
    /// Invites a company to connect.
    Invite(Invitation),
    /// Has this URL called on these types of events; `{api}` in it stands for the API's name.
    Subscribe {
        /// `onRelease`, `onAcceptInvitation`.
        event_types: Vec<String>,
        /// The URL.
        url: String,
    },
}

/// A question, and which API it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question<T> {
    /// Which API is meant, and for whom.
    pub which: Which,
    /// What is asked.
    pub ask: T,
}

/// What came of it. It may hold a pin, so that it has no `Debug`.
#[derive(Serialize, Deserialize)]
pub enum Said {
    /// Releases, each as the API tells it, but no pin.
    Releases {
        /// The releases.
        list: Vec<Value>,
        /// Whether there are more, which were not read.
        more: bool,
    },
    /// Companies that releases can be transferred to.
    Connections(Vec<Connection>),
    /// The pin.
    Pincode(String),
    /// It was done, at the API of this name.
    Done {
        /// The API's name.
        api: String,
        /// The URL that was registered, if one was.
        url: Option<String>,
    },
}

/// What came of it, or why it was not done.
pub type Answer = Result<Said, Refused>;

/// Reads something. What is read of connections is noted, where there is a ledger: so transfers know
/// them at once.
pub async fn look(
    config: &Config,
    shared: &Shared,
    ledger: Option<&Ledger>,
    question: &Question<Look>,
) -> anyhow::Result<Answer> {
    let api = match Api::find(config, &question.which) {
        Ok(api) => api,
        Err(refused) => return Ok(Err(refused)),
    };
    let gate = shared.gate(api.settings)?;
    let said = match &question.ask {
        Look::Releases(query) => api.releases(&gate, query).await,
        Look::Release(address) => api
            .release(&gate, address)
            .await
            .map(|release| Said::Releases { list: vec![release], more: false }),
        Look::Connections => api.connections(&gate, ledger).await?,
    };
    Ok(said)
}

/// Does something.
pub async fn act(
    config: &Config,
    shared: &Shared,
    ledger: &Ledger,
    question: &Question<Act>,
) -> anyhow::Result<Answer> {
    let api = match Api::find(config, &question.which) {
        Ok(api) => api,
        Err(refused) => return Ok(Err(refused)),
    };
    let gate = shared.gate(api.settings)?;
    match &question.ask {
        Act::Pincode(address) => api.pincode(&gate, ledger, address).await,
        Act::Invite(invitation) => {
            let customer = match (api.whose, api.users.as_slice()) {
                ("", []) => None,
                ("", _) => {
                    let users = api.users.join(", ");
                    let why = format!(
                        "{}: the answer is for one of its customers: say for which, by --customer: \
                         {users}",
                        api.name
                    );
                    return Ok(Err(Refused { why, code: USAGE }));
                }
                (customer, _) => Some(customer),
            };
            if let Some(customer) = customer {
                note_invitation(ledger, api.settings, customer, invitation, false).await?;
            }
            let call = gate.change(api.whose).await;
            let reply = call.client.invite(invitation).await;
            call.end(&reply);
            let done = api.done(&reply, "see `lighterman scr connections` before it is sent again");
            if let (Some(customer), Ok(_)) = (customer, &done) {
                note_invitation(ledger, api.settings, customer, invitation, true).await?;
            }
            Ok(done)
        }
        Act::Subscribe { event_types, url } => {
            let url = url.replace("{api}", api.name);
            for event_type in event_types {
                let call = gate.change(api.whose).await;
                let reply = call.client.subscribe(event_type, &url).await;
                call.end(&reply);
                if let Err(refused) = api.done(&reply, "registering it once more does no harm") {
                    let why = format!("{event_type}: {}", refused.why);
                    return Ok(Err(Refused { why, ..refused }));
                }
                let (api, event_type) = (api.name.to_owned(), event_type.clone());
                let subscription = Subscription {
                    url: url.clone(),
                    registered: Timestamp::now(),
                    at: config.scr[&api].normal.clone(),
                };
                let noted = move |store: &mut ledger::Store| {
                    store.subscribed(&api, &event_type, &subscription);
                };
                ledger.update(noted).await?;
            }
            Ok(Ok(Said::Done { api: api.name.to_owned(), url: Some(url) }))
        }
    }
}

/// The API that is meant.
struct Api<'a> {
    name: &'a str,
    settings: &'a ScrApi,
    /// In whose name places are taken.
    whose: &'a str,
    /// Whose releases alone are meant, by VAT number, if not all are.
    only: Option<&'a str>,
    /// The customers that use it.
    users: Vec<&'a str>,
    /// The customers whose records may keep back what is meant.
    senders: Vec<&'a str>,
}

impl<'a> Api<'a> {
    fn find(config: &'a Config, which: &'a Which) -> Result<Api<'a>, Refused> {
        let usage = |why: String| Refused { why, code: USAGE };
        let customer = match &which.customer {
            None => None,
            Some(id) if config.broken.contains_key(id) => {
                return Err(usage(format!(
                    "the config of {id} has faults: see `lighterman check`"
                )));
            }
            Some(id) => match config.customers.get(id) {
                Some(customer) => Some(customer),
                None => return Err(usage(format!("there is no customer {id:?}"))),
            },
        };
        let known: BTreeSet<&str> = match customer {
            Some(customer) => apis_of(customer).collect(),
            None => config.scr.keys().map(String::as_str).collect(),
        };
        let listed = known.iter().copied().collect::<Vec<_>>().join(", ");
        let of = customer.map(|customer| format!("{} has", customer.id));
        let of = of.unwrap_or_else(|| "the config has".to_owned());
        let name = match (&which.api, known.len()) {
            (_, 0) => return Err(usage(format!("{of} no SCR API"))),
            (None, 1) => known.first().copied().unwrap_or_default(),
            (None, _) => return Err(usage(format!("say which SCR API, by --api: {listed}"))),
            (Some(asked), _) => {
                let own = customer.map(|customer| format!("{}/{asked}", customer.id));
                let meant = |name: &&&str| ***name == *asked || own.as_deref() == Some(**name);
                match known.iter().find(meant) {
                    Some(name) => *name,
                    None => {
                        let why = format!("{of} no SCR API {asked:?}, only {listed}");
                        return Err(usage(why));
                    }
                }
            }
        };
        let Some(settings) = config.scr.get(name) else {
            return Err(usage(format!("{of} no SCR API {name:?}")));
        };
        let users = config.customers.values().filter(|customer| {
            let mut apis = apis_of(customer).filter_map(|name| config.scr.get(name));
            apis.any(|api| api.normal == settings.normal)
        });
        let users: Vec<&str> = users.map(|customer| customer.id.as_str()).collect();
        // What a customer uses whose file is broken is not known.
        let is_shared = users.len() > 1 || !config.broken.is_empty();
        let whose = match (customer, users.as_slice()) {
            (Some(customer), _) => customer.id.as_str(),
            (None, [one]) => one,
            (None, _) => "",
        };
        let senders = match customer {
            Some(customer) => vec![customer.id.as_str()],
            None => users.iter().copied().chain(config.broken.keys().map(String::as_str)).collect(),
        };
        Ok(Api {
            name,
            settings,
            whose,
            only: customer.filter(|_| is_shared).map(|of| of.vat.as_deref().unwrap_or_default()),
            users,
            senders,
        })
    }

    async fn releases(&self, gate: &Gate, query: &Query) -> Answer {
        let fault = |reply: Reply| self.fault(&reply);
        let mut list = Vec::new();
        let mut more = false;
        if query.limit.is_some() || query.page.is_some() {
            list = gate.read(self.whose).await.client.releases(query).await.map_err(fault)?;
        } else {
            let mut walk = Walk::new(query.clone());
            loop {
                let call = gate.read(self.whose).await;
                match call.client.next_page(&mut walk).await.map_err(fault)? {
                    Some(page) if walk.pages() < PAGES => list.extend(page),
                    Some(page) => {
                        list.extend(page);
                        more = true;
                        break;
                    }
                    None => break,
                }
            }
        }
        list.retain(|release| self.shows(release));
        Ok(Said::Releases { list, more })
    }

    async fn release(&self, gate: &Gate, address: &str) -> Result<Value, Refused> {
        let call = gate.read(self.whose).await;
        let found = call.client.document(address).await.map_err(|reply| self.fault(&reply))?;
        found.filter(|release| self.shows(release)).ok_or_else(|| {
            let whose = self.only.map(|_| format!(" of {}", self.whose)).unwrap_or_default();
            let why = format!("{}: there is no release {address}{whose}", self.name);
            Refused { why, code: FATAL }
        })
    }

    async fn connections(&self, gate: &Gate, ledger: Option<&Ledger>) -> anyhow::Result<Answer> {
        let call = gate.read(self.whose).await;
        let list = match call.client.connections().await {
            Ok(list) => list,
            Err(reply) => return Ok(Err(self.fault(&reply))),
        };
        if let Some(ledger) = ledger {
            let kept = list.iter().filter_map(|Connection { reference, name, vat, address }| {
                ledger::Connection::new(address, reference.as_deref(), vat, name)
            });
            let (url, kept) = (self.settings.normal.clone(), kept.collect());
            let now = Timestamp::now();
            ledger.update(move |store| store.set_connections(&url, now, kept)).await?;
        }
        Ok(Ok(Said::Connections(list)))
    }

    async fn pincode(&self, gate: &Gate, ledger: &Ledger, address: &str) -> anyhow::Result<Answer> {
        let turn = gate.turn_of(address).await;
        let release = match self.release(gate, address).await {
            Ok(release) => release,
            Err(refused) => return Ok(Err(refused)),
        };
        if let Some(release) = Release::parse(&release)
            && let Some(reason) = gate.keeps_back(ledger, &self.senders, &release).await?
        {
            let why = format!(
                "{}: the pin of {address} is not read: {reason}; it could not be transferred any \
                 more",
                self.name
            );
            return Ok(Err(Refused { why, code: LATER }));
        }
        let call = gate.change_of(self.whose, turn).await;
        let pin = match call.client.pincode(address).await {
            Ok(pin) => pin,
            Err(reply) => {
                call.end(&reply);
                let unknown = "`lighterman scr release` shows whether the pin was read";
                return Ok(Err(self.refused(&reply, unknown)));
            }
        };
        tracing::info!("The pin of release {address} was read at {}, by a command", self.name);
        Ok(match pin {
            Some(pin) => Ok(Said::Pincode(pin.reveal().to_owned())),
            None => {
                let why = format!("{}: the API answered without a pin", self.name);
                Err(Refused { why, code: FATAL })
            }
        })
    }

    /// Whether a release is one of those that are meant.
    fn shows(&self, release: &Value) -> bool {
        let vat = release["selfOwnerVat"].as_str();
        self.only.is_none_or(|only| vat.is_some_and(|vat| same_vat(vat, only)))
    }

    fn done(&self, reply: &Reply, unknown: &str) -> Answer {
        match reply {
            Reply::Answered(answer) if (200..300).contains(&answer.status) => {
                Ok(Said::Done { api: self.name.to_owned(), url: None })
            }
            reply => Err(self.refused(reply, unknown)),
        }
    }

    /// Why a read came to nothing. It changed nothing, so nothing can have been taken.
    fn fault(&self, reply: &Reply) -> Refused {
        match reply {
            Reply::TimedOut | Reply::Lost(_) => {
                let why = format!("{}: {}; try again later", self.name, fault_of(reply.clone()));
                Refused { why, code: LATER }
            }
            reply => self.refused(reply, ""),
        }
    }

    /// Why a call came to nothing, or that nobody knows what came of it; then `unknown` is to be done.
    fn refused(&self, reply: &Reply, unknown: &str) -> Refused {
        let (why, code) = refusal(Remote::Scr, reply, unknown);
        Refused { why: format!("{}: {why}", self.name), code }
    }
}

/// Why a call came to nothing, and the exit status for that.
pub(super) fn refusal(remote: Remote, reply: &Reply, unknown: &str) -> (String, u8) {
    if let Reply::NoLogin(why) = reply {
        return (why.clone(), PERSON);
    }
    match judge(remote, reply, &Default::default()) {
        Verdict::Pause(_, why) => (why, PERSON),
        Verdict::Later { reason, heard, .. } if heard.may_have_arrived() => {
            (format!("{reason}; it may have been done all the same: {unknown}"), PERSON)
        }
        // The API's own word: no repeat changes it by itself.
        Verdict::Later { reason, heard: Heard::Word, .. } => (reason, FATAL),
        Verdict::Later { reason, .. } => (format!("{reason}; try again later"), LATER),
        Verdict::Refused(why) | Verdict::TooLarge(why) => (why, FATAL),
        Verdict::Delivered | Verdict::Accepted => ("it was done".to_owned(), FATAL),
    }
}

/// Notes an invitation, so that its answer finds whom it is for: before it is sent, and once the API
/// has taken it. One that a record waits for stays as it is.
async fn note_invitation(
    ledger: &Ledger,
    api: &ScrApi,
    customer: &str,
    invitation: &Invitation,
    taken: bool,
) -> anyhow::Result<()> {
    let own = ledger::Invitation {
        customer: customer.to_owned(),
        reference: invitation.reference.as_deref().map(kept),
        vat: plain_vat(&invitation.vat),
        // No record's.
        by: (Arrival(0), 0),
        asked: Timestamp::now(),
        taken: false,
        answer: None,
    };
    let url = api.normal.clone();
    let note = move |store: &mut ledger::Store| {
        let known = store.invitation(&url, &own.name())?;
        let noted = known.filter(|known| taken || known.answer.is_none()).unwrap_or(own);
        store.set_invitation(&url, &ledger::Invitation { taken: taken || noted.taken, ..noted });
        Ok(())
    };
    ledger.change(note).await
}

/// The names of the SCR APIs that a customer's channels send to.
fn apis_of(customer: &Customer) -> impl Iterator<Item = &str> {
    customer.channels.values().filter_map(|channel| match &channel.kind {
        ChannelKind::Scr(scr) => Some(scr.api.as_str()),
        ChannelKind::Ingestion(_) | ChannelKind::Cpu(_) => None,
    })
}
