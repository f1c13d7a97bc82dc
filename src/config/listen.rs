//! Listen: where others may reach us. Nothing listens unless it is named here.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::Section;

/// Where the program listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listen {
    /// For notifications of CPu and SCR, if it does.
    pub notifications: Option<Listener>,
}

/// One address that is listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address and port.
    pub address: SocketAddr,
    /// What TLS shows; without it callers speak plain HTTP, as behind a proxy.
    pub tls: Option<ServerTls>,
}

/// The certificate that callers see. Both files are read anew when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// The certificate in PEM, with those that link it to its root behind it.
    pub certificate: PathBuf,
    /// Its private key in PEM.
    pub key: PathBuf,
}

impl Listen {
    pub(super) fn parse(provider: &mut Section) -> Listen {
        let Some(mut section) = provider.section("listen") else { return Listen::default() };
        let notifications = section.section("notifications").and_then(Listener::parse);
        section.not_available("status", "[listen] status is");
        section.finish();
        Listen { notifications }
    }
}

impl Listener {
    fn parse(mut section: Section) -> Option<Listener> {
        let address = section.required("address").and_then(|text| match text.parse() {
            Ok(address) => Some(address),
            Err(_) => {
                let what = format!(
                    "address is {text:?}, but must be an IP address and a port such as \
                     \"0.0.0.0:8443\" or \"127.0.0.1:8080\""
                );
                section.error("address", what);
                None
            }
        });
        let is_secured = section.has("tls");
        let tls = section.section("tls").and_then(ServerTls::parse);
        section.finish();
        match (is_secured, tls) {
            (true, None) => None,
            (_, tls) => Some(Listener { address: address?, tls }),
        }
    }
}

impl ServerTls {
    fn parse(mut section: Section) -> Option<ServerTls> {
        let mut path = |key: &str| {
            if !section.has(key) {
                section.missing(key);
            }
            let path = section.file_path(key)?;
            if section.faults().reads_secrets()
                && let Err(error) = std::fs::File::open(&path)
            {
                section.error(key, format!("{key}: {} cannot be read: {error}", path.display()));
            }
            Some(path)
        };
        let (certificate, key) = (path("cert"), path("key"));
        section.finish();
        Some(ServerTls { certificate: certificate?, key: key? })
    }
}
