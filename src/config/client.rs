//! Client: an application builder's registration at a token server, shared by its customers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{SecretSource, Section, TlsIdentity, address, ca};

/// The keys of a client as far as they are given: a login may complete and override them.
#[derive(Clone, Debug, Default)]
pub(super) struct Client {
    pub token_url: Option<String>,
    pub grant: Option<GrantType>,
    pub client_id: Option<String>,
    pub client_secret: Option<SecretSource>,
    pub scope: Option<String>,
    pub ca: Option<PathBuf>,
    pub identity: Option<TlsIdentity>,
}

/// How a token is asked for (RFC 6749, sections 4.3 and 4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GrantType {
    Password,
    ClientCredentials,
}

impl Client {
    /// Reads all clients of the table `clients`; one that has errors is known by its name only.
    pub fn parse_all(provider: &mut Section) -> BTreeMap<String, Option<Client>> {
        let sections = provider.named_sections("clients").into_iter();
        sections
            .map(|(name, mut section)| {
                let faults = section.faults().clone();
                let client = faults.sound(|| {
                    let client = Client::parse(&mut section);
                    section.finish();
                    Some(client)
                });
                (name, client)
            })
            .collect()
    }

    /// Reads the keys that a client and a login have in common.
    pub fn parse(section: &mut Section) -> Client {
        let grants = [
            ("password", GrantType::Password),
            ("client_credentials", GrantType::ClientCredentials),
        ];
        Client {
            token_url: address::endpoint(section, "token_url"),
            grant: section.choice("grant", &grants),
            client_id: section.filled("client_id"),
            client_secret: SecretSource::parse(section, "client_secret"),
            scope: section.filled("scope"),
            ca: ca::parse(section),
            identity: TlsIdentity::parse(section),
        }
    }

    /// Its keys, and the other's where it has none.
    pub fn over(self, other: Client) -> Client {
        Client {
            token_url: self.token_url.or(other.token_url),
            grant: self.grant.or(other.grant),
            client_id: self.client_id.or(other.client_id),
            client_secret: self.client_secret.or(other.client_secret),
            scope: self.scope.or(other.scope),
            ca: self.ca.or(other.ca),
            identity: self.identity.or(other.identity),
        }
    }
}
