//! Sftp: a folder on a partner's SFTP server, how to log in there, and what becomes of its files.

use std::fmt;
use std::path::PathBuf;

use super::clash::{Stake, Thing};
use super::section::TextOrSection;
use super::{SecretSource, Section};

/// Bytes of a remote folder's path at most: with a file's name it stands in the ledger, whose values
/// are small.
const LONGEST_PATH: usize = 200;

/// A folder on an SFTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sftp {
    /// The server's name or address.
    pub host: String,
    /// Its port. Default 22.
    pub port: u16,
    /// Who logs in.
    pub user: String,
    /// By what; at least one.
    pub login: SshLogin,
    /// The file of host keys that are trusted, as OpenSSH's (sshd(8), "SSH_KNOWN_HOSTS FILE
    /// FORMAT"). A server whose key it does not hold is refused.
    pub known_hosts: PathBuf,
    /// The folder there, as the server names it.
    pub path: String,
    /// What becomes of a file after its download. Default: it stays.
    pub after: After,
    /// Downloads at once, each over a session of its own, 1 to 8. Default 2.
    pub sessions: usize,
}

/// By what one logs in; what the server asks for is tried in this order, all of it if need be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshLogin {
    /// A private key, with the passphrase that opens it.
    pub key: Option<(SecretSource, Option<SecretSource>)>,
    /// The keys that an agent holds, found by `SSH_AUTH_SOCK`.
    pub agent: bool,
    /// A password; also the answer where a server asks for one by keyboard-interactive.
    pub password: Option<SecretSource>,
}

/// What becomes of a remote file after its download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// It is moved into this folder, never over another file.
    Move(String),
    /// It is removed.
    Delete,
    /// It stays, and is known by path, size and modification time.
    Keep,
}

impl Sftp {
    /// Reads what a source of type sftp has beyond others.
    pub(super) fn parse(section: &mut Section, stakes: &mut Vec<Stake>) -> Option<Sftp> {
        let (folder, path) = Sftp::folder(section, "a source");
        let after = After::parse(section, path.as_deref());
        let sessions = match section.has("sessions") {
            true => section.integer("sessions", 1, 8).and_then(|count| usize::try_from(count).ok()),
            false => Some(2),
        };
        let sftp = Sftp { after: after?, sessions: sessions?, ..folder? };
        stakes.push(Stake::new(Thing::Folder, sftp.to_string(), section, "path"));
        Some(sftp)
    }

    /// Reads where a folder is and how to log in there, for `whose` sake; and the folder's path, if
    /// that is sound by itself.
    pub(super) fn folder(section: &mut Section, whose: &str) -> (Option<Sftp>, Option<String>) {
        let host = section.required("host").and_then(|host| one_word(section, "host", host));
        // Names are the same in both cases, and with the dot of the root (RFC 1034, section 3.1).
        let host = host.map(|host| host.trim_end_matches('.').to_ascii_lowercase());
        let port = match section.has("port") {
            true => section.integer("port", 1, 65_535).and_then(|port| u16::try_from(port).ok()),
            false => Some(22),
        };
        let user = section.required("user").and_then(|user| one_word(section, "user", user));
        let login = SshLogin::parse(section, whose);
        if !section.has("known_hosts") {
            section.missing("known_hosts");
        }
        let known_hosts = section.file_path("known_hosts");
        if let Some(file) = known_hosts.as_ref().filter(|file| !file.is_file()) {
            let what = format!(
                "there is no file {}: every server is refused; \"lighterman check --connect\" \
                 says which line to add",
                file.display()
            );
            section.warning("known_hosts", what);
        }
        let path = section.required("path").and_then(|path| remote_path(section, "path", path));
        let all = || {
            Some(Sftp {
                host: host?,
                port: port?,
                user: user?,
                login: login?,
                known_hosts: known_hosts?,
                path: path.clone()?,
                after: After::Keep,
                sessions: 1,
            })
        };
        (all(), path)
    }
}

/// As a person names the folder: `sftp://user@host:port/path`.
impl fmt::Display for Sftp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.path.starts_with('/') { "" } else { "/~/" };
        let Sftp { host, port, user, path, .. } = self;
        write!(f, "sftp://{user}@{host}:{port}{slash}{path}")
    }
}

impl SshLogin {
    fn parse(section: &mut Section, whose: &str) -> Option<SshLogin> {
        let given = ["key", "agent", "password"].map(|key| section.has(key));
        if given == [false; 3] {
            let what = format!(
                "{whose} of type sftp needs key = {{ file = \"…\" }}, password = {{ … }} or \
                 agent = true to log in"
            );
            section.error("user", what);
            return None;
        }
        let key = given[0].then(|| {
            SecretSource::parse_with(section, "key", |place| {
                place.has("passphrase").then(|| SecretSource::parse(place, "passphrase"))
            })
        });
        let key = match key {
            None => None,
            Some(Some((key, None))) => Some((key, None)),
            Some(Some((key, Some(passphrase)))) => Some((key, Some(passphrase?))),
            Some(None) => return None,
        };
        let agent = section.boolean("agent").unwrap_or(false);
        let password = match given[2] {
            true => Some(SecretSource::parse(section, "password")?),
            false => None,
        };
        Some(SshLogin { key, agent, password })
    }
}

impl After {
    fn parse(section: &mut Section, path: Option<&str>) -> Option<After> {
        if !section.has("after") {
            return Some(After::Keep);
        }
        match section.text_or_section("after")? {
            TextOrSection::Text(word) if word == "delete" => Some(After::Delete),
            TextOrSection::Text(word) if word == "keep" => Some(After::Keep),
            TextOrSection::Text(word) => {
                let what = format!(
                    "after is {word:?}, but must be \"delete\", \"keep\" or {{ move = \"folder\" }}"
                );
                section.error("after", what);
                None
            }
            TextOrSection::Section(mut place) => {
                let folder = place.required("move");
                let folder = folder.and_then(|folder| remote_path(&place, "move", folder));
                if folder.is_some() && folder.as_deref() == path {
                    let what = "move is the source's own folder: its files would be taken again";
                    place.error("move", what);
                }
                place.finish();
                folder.map(After::Move)
            }
        }
    }
}

fn one_word(section: &Section, key: &str, text: String) -> Option<String> {
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        section.error(key, format!("{key} holds blanks or control characters"));
        return None;
    }
    Some(text)
}

fn remote_path(section: &Section, key: &str, text: String) -> Option<String> {
    if text.chars().any(char::is_control) {
        section.error(key, format!("{key} holds control characters"));
        return None;
    }
    if text.len() > LONGEST_PATH {
        let what = format!("{key} is longer than {LONGEST_PATH} bytes");
        section.error(key, what);
        return None;
    }
    if text.split('/').any(|step| step == "..") {
        section.error(key, format!("{key} holds \"..\": name the folder itself"));
        return None;
    }
    Some(one_spelling(&text))
}

/// A path without what does not change where it leads: `//`, `/./` and a last `/`.
fn one_spelling(path: &str) -> String {
    let steps: Vec<&str> =
        path.split('/').filter(|step| !step.is_empty() && *step != ".").collect();
    match (path.starts_with('/'), steps.join("/")) {
        (true, steps) => format!("/{steps}"),
        (false, steps) if steps.is_empty() => ".".to_owned(),
        (false, steps) => steps,
    }
}
