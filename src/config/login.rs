//! Login: who a customer is at a token server.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::client::{Client, GrantType};
use super::{LoginCallback, SecretSource, Section, TlsIdentity};

/// A customer's login at a token server, with the client it comes through.
#[derive(Clone, Debug, PartialEq)]
pub struct Login {
    /// `customer/login`: tokens are cached and refusals counted by it.
    pub id: String,
    /// The token endpoint.
    pub token_url: String,
    /// The grant and what it needs.
    pub grant: Grant,
    /// The client's id.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: SecretSource,
    /// The scope, if one is asked for.
    pub scope: Option<String>,
    /// The subscription key, where one is needed.
    pub subscription_key: Option<SecretSource>,
    /// How its notifications prove who they come from; without it none are taken.
    pub callback: Option<LoginCallback>,
    /// A further root certificate in PEM.
    pub ca: Option<PathBuf>,
    /// The client certificate that the token server and the channels see.
    pub identity: Option<TlsIdentity>,
}

/// An OAuth 2.0 grant.
#[derive(Clone, Debug, PartialEq)]
pub enum Grant {
    /// The resource owner's name and password.
    Password {
        /// The user's name.
        username: String,
        /// The user's password.
        password: SecretSource,
    },
    /// The client for itself.
    ClientCredentials,
}

impl Login {
    /// Reads all logins of a customer; one that has errors is known by its name only.
    pub(super) fn parse_all(
        customer: &mut Section,
        id: &str,
        clients: &BTreeMap<String, Option<Client>>,
    ) -> BTreeMap<String, Option<Login>> {
        let sections = customer.named_sections("logins").into_iter();
        sections
            .map(|(name, section)| {
                let faults = section.faults().clone();
                let login = faults.sound(|| Login::parse(section, format!("{id}/{name}"), clients));
                (name, login)
            })
            .collect()
    }

    fn parse(
        mut section: Section,
        id: String,
        clients: &BTreeMap<String, Option<Client>>,
    ) -> Option<Login> {
        let own = Client::parse(&mut section);
        let subscription_key = SecretSource::parse(&mut section, "subscription_key");
        let callback = LoginCallback::parse(&mut section);
        // A client with errors of its own has been told of in its file.
        let client = match section.filled("client") {
            None => Some(Client::default()),
            Some(name) => match clients.get(&name) {
                Some(client) => client.clone(),
                None => {
                    let known = clients.keys().map(String::as_str);
                    section.unknown_name("client", "client", &name, known);
                    None
                }
            },
        };
        let is_known = client.is_some();
        let merged = own.over(client.unwrap_or_default());
        let grant = match merged.grant.unwrap_or(GrantType::Password) {
            // Where the grant differs by environment, the other one's user may stand here too.
            GrantType::ClientCredentials => {
                section.has("username");
                section.has("password");
                Some(Grant::ClientCredentials)
            }
            GrantType::Password => Grant::password(&mut section, is_known),
        };
        if is_known {
            let given = [
                ("token_url", merged.token_url.is_some()),
                ("client_id", merged.client_id.is_some()),
                ("client_secret", merged.client_secret.is_some()),
            ];
            for (key, given) in given {
                if !given && !section.has(key) {
                    section.missing(key);
                }
            }
        }
        section.finish();
        Some(Login {
            id,
            token_url: merged.token_url?,
            grant: grant?,
            client_id: merged.client_id?,
            client_secret: merged.client_secret?,
            scope: merged.scope,
            subscription_key,
            callback,
            ca: merged.ca,
            identity: merged.identity,
        })
    }
}

impl Grant {
    /// Reads the user; what is missing is an error only where the grant is known.
    fn password(section: &mut Section, is_known: bool) -> Option<Grant> {
        for key in ["username", "password"] {
            if !section.has(key) && is_known {
                section.missing(key);
            }
        }
        let username = section.filled("username");
        let password = SecretSource::parse(section, "password");
        Some(Grant::Password { username: username?, password: password? })
    }
}
