//! KnownHosts: the host keys that are trusted (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"), and whether
//! a server's is among them.
//!
//! libssh2 reads such files too, but takes `@revoked` for a host's name, knows no patterns, and
//! tells no line. Here it only compares the names that are hashed.

use std::io::ErrorKind;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ssh2::{CheckResult, HashType, KnownHostFileKind};

use super::refusal::Refusal;
use crate::config::Sftp;

/// The kinds of host keys, the preferred first, each with the algorithms that use it (RFC 8709,
/// RFC 5656, RFC 8332). Certificates are not asked for: nothing here could judge them.
const KINDS: [(&str, &str); 5] = [
    ("ssh-ed25519", "ssh-ed25519"),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256"),
    ("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384"),
    ("ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521"),
    ("ssh-rsa", "rsa-sha2-512,rsa-sha2-256"),
];

/// What the file holds for one server.
pub struct KnownHosts {
    file: PathBuf,
    /// The server as the file names it: `host`, or `[host]:port`.
    name: String,
    keys: Vec<Key>,
    revoked: Vec<Key>,
    /// The line of an authority over certificates for this server.
    authority: Option<usize>,
}

/// A line's key.
struct Key {
    line: usize,
    blob: Vec<u8>,
}

/// A line of the file.
struct Entry<'t> {
    marker: Option<&'t str>,
    hosts: &'t str,
    blob: Vec<u8>,
}

impl KnownHosts {
    /// Reads what the file holds for this server. A file that is not there holds nothing.
    pub fn read(ssh: &ssh2::Session, place: &Sftp) -> Result<KnownHosts, Refusal> {
        let text = match std::fs::read(&place.known_hosts) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => {
                let file = place.known_hosts.display();
                let advice = format!("the known hosts in {file} cannot be read: {error}");
                return Err(Refusal::HostKey { advice, line: None });
            }
        };
        let hash = |hashed: &str, name: &str| is_hash_of(ssh, hashed, name);
        let host = place.host.trim_start_matches('[').trim_end_matches(']');
        let mut known = of_host(&text, host, place.port, hash);
        known.file.clone_from(&place.known_hosts);
        Ok(known)
    }

    /// The algorithms to ask for: first those whose keys the file holds, so that a server with
    /// several keys shows one that can be compared.
    pub fn preferred(&self) -> String {
        let held = |kind: &str| self.keys.iter().any(|key| kind_of(&key.blob) == kind);
        let (first, then): (Vec<_>, Vec<_>) = KINDS.into_iter().partition(|(kind, _)| held(kind));
        let names: Vec<&str> = first.into_iter().chain(then).map(|(_, names)| names).collect();
        names.join(",")
    }

    /// Whether the key that the server has shown is trusted.
    pub fn check(&self, ssh: &ssh2::Session) -> Result<(), Refusal> {
        let shown = ssh.host_key().zip(ssh.host_key_hash(HashType::Sha256));
        let Some(((blob, _), hash)) = shown else {
            let advice = format!("{} shows no host key", self.name);
            return Err(Refusal::HostKey { advice, line: None });
        };
        match self.judge(blob, &STANDARD_NO_PAD.encode(hash)) {
            None => Ok(()),
            Some(refusal) => Err(refusal),
        }
    }

    /// What speaks against a key, if anything does.
    fn judge(&self, blob: &[u8], sha256: &str) -> Option<Refusal> {
        let KnownHosts { file, name, .. } = self;
        let file = file.display();
        let kind = kind_of(blob);
        if let Some(Key { line, .. }) = self.revoked.iter().find(|key| key.blob == blob) {
            let advice = format!(
                "{name} shows a host key that line {line} of {file} revokes: SHA256:{sha256} \
                 ({kind}); whoever answers there is not to be trusted"
            );
            return Some(Refusal::HostKey { advice, line: None });
        }
        if self.keys.iter().any(|key| key.blob == blob) {
            return None;
        }
        let same_kind = self.keys.iter().find(|key| kind_of(&key.blob) == kind);
        let advice = match (same_kind, self.keys.first(), self.authority) {
            (Some(Key { line, .. }), ..) => format!(
                "{name} shows another host key than line {line} of {file}: SHA256:{sha256} \
                 ({kind}); it may be somebody else: replace the line only if the operator confirms \
                 this fingerprint"
            ),
            (None, Some(Key { line, blob }), _) => format!(
                "{name} shows a host key of another kind than line {line} of {file}, {}: \
                 SHA256:{sha256} ({kind}); it may be somebody else: add the key only if the \
                 operator confirms this fingerprint",
                kind_of(blob)
            ),
            (None, None, Some(line)) => format!(
                "{name} shows a host key that {file} does not hold: SHA256:{sha256} ({kind}); line \
                 {line} trusts a certificate authority, which is not supported; compare this \
                 fingerprint with the operator's, then add the key"
            ),
            (None, None, None) => format!(
                "{name} shows a host key that {file} does not hold: SHA256:{sha256} ({kind}); \
                 compare this fingerprint with the operator's, then add the key"
            ),
        };
        let line = format!("{name} {kind} {}", STANDARD.encode(blob));
        Some(Refusal::HostKey { advice, line: Some(line) })
    }
}

/// The lines of a file that speak of a host. As in OpenSSH, lines with the bare name count for
/// another port than 22 if none has its port.
fn of_host(
    text: &str,
    host: &str,
    port: u16,
    is_hash_of: impl Fn(&str, &str) -> bool,
) -> KnownHosts {
    let host = host.to_ascii_lowercase();
    let with_port = format!("[{host}]:{port}");
    let name = if port == 22 { host.clone() } else { with_port };
    let mut known = KnownHosts {
        file: PathBuf::new(),
        name,
        keys: Vec::new(),
        revoked: Vec::new(),
        authority: None,
    };
    let mut of_bare_name = Vec::new();
    for (index, text) in text.lines().enumerate() {
        let Some(Entry { marker, hosts, blob }) = Entry::parse(text) else { continue };
        let names = |name: &str| match hosts.starts_with('|') {
            true => is_hash_of(hosts, name),
            false => matches_list(hosts, name),
        };
        let key = Key { line: index + 1, blob };
        match marker {
            None if names(&known.name) => known.keys.push(key),
            None if names(&host) => of_bare_name.push(key),
            // Revoked for one is good for none.
            Some("@revoked") => known.revoked.push(key),
            Some("@cert-authority") if names(&known.name) || names(&host) => {
                known.authority = Some(key.line);
            }
            _ => {}
        }
    }
    if known.keys.is_empty() {
        known.keys = of_bare_name;
    }
    known
}

impl Entry<'_> {
    /// Reads a line; None for a comment, an empty line, and what cannot be read, which trusts
    /// nobody.
    fn parse(line: &str) -> Option<Entry<'_>> {
        let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
        let first = words.next().filter(|first| !first.starts_with('#'))?;
        let (marker, hosts) = match first.starts_with('@') {
            true => (Some(first), words.next()?),
            false => (None, first),
        };
        let kind = words.next()?;
        let blob = STANDARD_NO_PAD.decode(words.next()?.trim_end_matches('=')).ok()?;
        (kind_of(&blob) == kind).then_some(Entry { marker, hosts, blob })
    }
}

/// The name that a key begins with (RFC 4253, section 6.6).
fn kind_of(blob: &[u8]) -> &str {
    let name = || {
        let (length, rest) = blob.split_first_chunk::<4>()?;
        let name = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        std::str::from_utf8(name)
            .ok()
            .filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic()))
    };
    name().unwrap_or("of an unknown kind")
}

/// Whether a comma-separated list of patterns names the host (ssh_config(5), "PATTERNS"): `*` and
/// `?`, and a `!` that takes back.
fn matches_list(list: &str, name: &str) -> bool {
    let mut found = false;
    for pattern in list.split(',') {
        let pattern = pattern.to_ascii_lowercase();
        match pattern.strip_prefix('!') {
            Some(not) if matches(not.as_bytes(), name.as_bytes()) => return false,
            Some(_) => {}
            None => found |= matches(pattern.as_bytes(), name.as_bytes()),
        }
    }
    found
}

/// Whether a pattern with `*` and `?` fits the whole name. After a mismatch only the last `*` is
/// tried with one more, so that no pattern takes long.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                p = at + 1;
                n = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Whether `|1|salt|hash` is the hash of a name: of a file with this one line, libssh2 says whether
/// it knows the host at all.
fn is_hash_of(ssh: &ssh2::Session, hashed: &str, name: &str) -> bool {
    let line = format!("{hashed} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==");
    let Ok(mut one) = ssh.known_hosts() else { return false };
    one.read_str(&line, KnownHostFileKind::OpenSSH).is_ok()
        && matches!(one.check(name, b"-"), CheckResult::Match | CheckResult::Mismatch)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by ssh-keygen -t ed25519, twice, and -t ecdsa.
    const ONE: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIN/PK3dyZI5bvL/tXTxHTi8L4QGKZ4skGzwNOeWzL9D";
    const TWO: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOzdM/TrD09taLeosjcZuTuE9Jcu+Br4ftbP8LT5iZlL";
    const CURVE: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlz\
                         dHAyNTYAAABBBHs99FnqOlL/zHNMxy7iLd+3TInQ72AaiBWIybzmj4NfzylTnawS\
                         H95EdBw3RkfYYWvBK5k4M5jJdCT/e7uw744=";
    const HASH: &str = "abcdef";

    fn blob(key: &str) -> Vec<u8> {
        let key = key.split(' ').next_back().unwrap();
        STANDARD_NO_PAD.decode(key.trim_end_matches('=')).unwrap()
    }

    fn known(text: &str, host: &str, port: u16) -> KnownHosts {
        let mut known = of_host(text, host, port, |_, _| false);
        known.file = "hosts".into();
        known
    }

    fn lines(text: &str, host: &str, port: u16) -> Vec<usize> {
        known(text, host, port).keys.iter().map(|key| key.line).collect()
    }

    fn refusal(text: &str, key: &str) -> (String, Option<String>) {
        match known(text, "sftp.example", 22).judge(&blob(key), HASH) {
            Some(Refusal::HostKey { advice, line }) => (advice, line),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_host_has_the_keys_of_all_lines_that_name_it() {
        let text = format!(
            "# comment\n\nsftp.example {ONE}\nother.example {TWO}\nother,SFTP.example {TWO} note\n\
             damaged\nsftp.example ssh-rsa {HASH}\n  \tsftp.example\t{CURVE}\n"
        );
        assert_eq!(lines(&text, "sftp.example", 22), [3, 5, 8]);
        assert_eq!(lines(&text, "Sftp.Example", 22), [3, 5, 8]);
        assert!(known(&text, "sftp.example", 22).judge(&blob(TWO), HASH).is_none());
        assert!(known(&text, "nobody.example", 22).judge(&blob(TWO), HASH).is_some());
    }

    #[test]
    fn patterns_and_what_they_take_back_are_understood() {
        for (list, fits) in [
            ("*.example", true),
            ("sf?p.example", true),
            ("*", true),
            ("*e*a*e", true),
            ("s*p", false),
            ("?sftp.example", false),
            ("!sftp.example,*", false),
            ("*,!*.example", false),
            ("!other.example,*.example", true),
            ("sftp.example*", true),
            ("", false),
        ] {
            assert_eq!(matches_list(list, "sftp.example"), fits, "{list}");
        }
    }

    #[test]
    fn the_bare_name_counts_for_another_port_only_if_no_line_has_the_port() {
        let bare = format!("sftp.example {ONE}\n");
        assert_eq!(lines(&bare, "sftp.example", 2022), [1]);
        let both = format!("{bare}[sftp.example]:2022 {TWO}\n");
        assert_eq!(lines(&both, "sftp.example", 2022), [2]);
        assert_eq!(lines(&both, "sftp.example", 22), [1]);
        assert_eq!(lines(&both, "sftp.example", 2023), [1]);
    }

    #[test]
    fn a_hashed_name_is_compared_by_its_hash() {
        // ssh-keygen -H, of sftp.example and of [sftp.example]:2022.
        let text = format!(
            "|1|2lqjx/g2w4kA8LfaMlo1k6JEKQk=|bkp68L4RjqmnHpCbMD2k2vdP/00= {ONE}\n\
             |1|FQHm/hjpjlSytT6xDKF8AXrw4A8=|GWCY8LAUEwcA2Q2QBxzVBV/X/Jo= {TWO}\n"
        );
        let ssh = ssh2::Session::new().unwrap();
        let hash = |hashed: &str, name: &str| is_hash_of(&ssh, hashed, name);
        let lines = |port| -> Vec<usize> {
            let known = of_host(&text, "sftp.example", port, hash);
            known.keys.iter().map(|key| key.line).collect()
        };
        assert_eq!((lines(22), lines(2022)), (vec![1], vec![2]));
        assert!(!is_hash_of(&ssh, "|1|damaged", "sftp.example"));
        assert!(!is_hash_of(&ssh, "|2|2lqjx/g2w4kA8LfaMlo1k6JEKQk=|x", "sftp.example"));
    }

    #[test]
    fn what_the_file_holds_is_asked_for_first() {
        let text = format!("sftp.example {CURVE}\n");
        let asked = known(&text, "sftp.example", 22).preferred();
        assert!(
            asked.starts_with("ecdsa-sha2-nistp256,ssh-ed25519,ecdsa-sha2-nistp384,"),
            "{asked}"
        );
        assert!(asked.ends_with(",rsa-sha2-512,rsa-sha2-256"), "{asked}");
    }

    #[test]
    fn an_unknown_key_comes_with_the_line_to_add() {
        let (advice, line) = refusal(&format!("other.example {ONE}\n"), ONE);
        assert!(
            advice
                .contains("sftp.example shows a host key that hosts does not hold: SHA256:abcdef"),
            "{advice}"
        );
        assert_eq!(line.unwrap(), format!("sftp.example {ONE}"));
        let known = known("", "sftp.example", 2022);
        let Some(Refusal::HostKey { line, .. }) = known.judge(&blob(ONE), HASH) else { panic!() };
        assert_eq!(line.unwrap(), format!("[sftp.example]:2022 {ONE}"));
    }

    #[test]
    fn a_changed_key_is_told_with_the_line_that_holds_the_former() {
        let text = format!("other.example {ONE}\nsftp.example {CURVE}\nsftp.example {ONE}\n");
        let (advice, _) = refusal(&text, TWO);
        assert!(advice.contains("shows another host key than line 3 of hosts"), "{advice}");
        assert!(advice.contains("SHA256:abcdef"), "{advice}");
        let (advice, _) = refusal(&format!("sftp.example {CURVE}\n"), TWO);
        assert!(
            advice.contains(
                "of another kind than line 1 of hosts, ecdsa-sha2-nistp256: SHA256:abcdef"
            ),
            "{advice}"
        );
    }

    #[test]
    fn a_revoked_key_is_refused_whatever_else_says() {
        let text = format!("sftp.example {ONE}\n@revoked elsewhere {ONE}\n");
        let (advice, line) = refusal(&text, ONE);
        assert!(advice.contains("that line 2 of hosts revokes"), "{advice}");
        assert_eq!(line, None);
    }

    #[test]
    fn an_authority_vouches_for_nobody_and_is_told() {
        let (advice, _) = refusal(&format!("@cert-authority *.example {ONE}\n"), ONE);
        assert!(advice.contains("hosts does not hold"), "{advice}");
        assert!(advice.contains("line 1 trusts a certificate authority"), "{advice}");
    }
}
