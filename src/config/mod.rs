//! Config: what the provider and the customers have written, checked as a whole. Whoever holds a
//! `Config` holds a valid one.

pub mod load;
mod provider;
mod customer;
mod environments;
mod limits;
mod listen;
mod callback;
mod client;
mod identity;
mod login;
mod scr;
mod source;
mod schedule;
mod sftp;
mod surroundings;
mod channel;
mod ingestion;
mod cpu;
mod retry;
mod route;
mod outbox;
mod clash;
pub mod secret;
mod address;
mod header;
mod ca;
mod glob;
pub mod section;
mod keyed;
mod names;
mod quantity;
mod value;
mod text;
mod fault;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use callback::{LoginCallback, ScrCallback, TokenPlace};
pub use channel::{Channel, ChannelKind, ScrChannel};
pub use cpu::{Confirm, CpuChannel};
pub use customer::Customer;
pub use environments::Environments;
pub use fault::{Fault, Faults, Weight};
pub use identity::TlsIdentity;
pub use ingestion::{AnswerRule, IngestionChannel, MessageType};
pub use limits::Limits;
pub use listen::{Listen, Listener, ServerTls};
pub use load::{Loaded, load, load_provider, load_to_look};
pub use login::{Grant, Login};
pub use outbox::{EVENTS, Gather, Outbox};
pub use retry::Retry;
pub use route::Route;
pub use scr::{ScrApi, ScrAuth};
pub use secret::{Secret, SecretSource};
pub use section::Section;
pub use sftp::{After, Sftp, SshLogin};
pub use source::{Folder, Order, Ready, Source};

/// The provider's configuration with all its usable customers.
#[derive(Clone, Debug)]
pub struct Config {
    /// The provider's file.
    pub file: PathBuf,
    /// All environments and the one in use.
    pub environments: Environments,
    /// The folder of mapping files; its `aka` folder holds the tables.
    pub mappings: PathBuf,
    /// `state/<environment>`: everything durable.
    pub state: PathBuf,
    /// The ingestion endpoint, without the channel id.
    pub ingestion: Option<String>,
    /// The SCR APIs that the provider declares, by name; a customer's own are named
    /// `customer/name` and stand here too.
    pub scr: BTreeMap<String, ScrApi>,
    /// Where the program listens.
    pub listen: Listen,
    /// Limits over all customers.
    pub limits: Limits,
    /// The usable customers by id.
    pub customers: BTreeMap<String, Customer>,
    /// The customers whose files cannot be used, by id, with why.
    pub broken: BTreeMap<String, Vec<Fault>>,
}
