//! The calls on connections and subscriptions (SCR API 1.2.9, "Connections", "Callback and
//! notifications").

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Scr;
use crate::model::Reply;

/// A company that releases can be transferred to ("Get connections"). Its public key is not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// The reference of the invitation, if it was made through the API.
    pub reference: Option<String>,
    /// Its name.
    pub name: String,
    /// Its VAT number.
    pub vat: String,
    /// Its address, to which releases are transferred.
    pub address: String,
}

/// An invitation to connect ("Invite an organization").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invitation {
    /// What the answer to it is known by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The company's name.
    pub name: String,
    /// Its VAT number.
    pub vat: String,
    /// Where the request to connect is sent.
    pub contact_email: String,
}

impl Connection {
    /// Reads a connection; `None` if it has no address, without which nothing can be sent to it.
    pub fn parse(value: &Value) -> Option<Connection> {
        let text = |name: &str| match &value[name] {
            Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        Some(Connection {
            reference: text("reference"),
            name: text("name").unwrap_or_default(),
            vat: text("vat").unwrap_or_default(),
            address: text("address")?,
        })
    }
}

impl Scr {
    /// The companies that releases can be transferred to.
    pub async fn connections(&self) -> Result<Vec<Connection>, Reply> {
        match self.get(self.path(&["connections"])?).await? {
            Value::Array(list) => Ok(list.iter().filter_map(Connection::parse).collect()),
            Value::Null => Ok(Vec::new()),
            _ => Err(Reply::Broken("the SCR API did not answer with a list".to_owned())),
        }
    }

    /// Invites a company to connect.
    pub async fn invite(&self, invitation: &Invitation) -> Reply {
        self.change(Method::POST, &["invitations"], Some(invitation)).await
    }

    /// Has a URL called on events of a type: `onRelease` or `onAcceptInvitation` ("Register a
    /// callback url for notifications").
    pub async fn subscribe(&self, event_type: &str, url: &str) -> Reply {
        let body = json!({ "eventType": event_type, "callback_url": url });
        self.change(Method::POST, &["subscriptions"], Some(&body)).await
    }
}
