//! PrivateKey: what can be said of a private key that the library could not open.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What a text is, as far as advice needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A private key that needs no passphrase.
    Plain,
    /// A private key that needs one.
    Encrypted,
    /// A private key of PuTTY.
    Putty,
    /// A public key.
    Public,
    /// Anything else.
    Unknown,
}

/// Why a key could not be opened, which the library tells alike for all causes, and what to do.
pub fn why_not_opened(key: &str, has_passphrase: bool) -> &'static str {
    match (form(key), has_passphrase) {
        (Form::Encrypted, true) => "the passphrase does not open it",
        (Form::Encrypted, false) => {
            "it needs a passphrase: add passphrase = { file = \"…\" } to the key"
        }
        (Form::Plain, _) => {
            "it is damaged, or of a kind that is not supported: use Ed25519, ECDSA or RSA, in \
             OpenSSH's form or as PEM"
        }
        (Form::Putty, _) => {
            "it is in PuTTY's form: convert it by puttygen KEY -O private-openssh -o NEW"
        }
        (Form::Public, _) => "it is a public key: name the file of the private one",
        (Form::Unknown, _) => "it is no private key in OpenSSH's form or as PEM",
    }
}

fn form(key: &str) -> Form {
    let key = key.trim_start();
    let begins_with = |what: &str| key.starts_with(what);
    if begins_with("PuTTY-User-Key-File") {
        return Form::Putty;
    }
    let public = ["ssh-", "ecdsa-", "-----BEGIN PUBLIC KEY", "---- BEGIN SSH2 PUBLIC KEY"];
    if public.iter().any(|start| begins_with(start)) {
        return Form::Public;
    }
    let Some((kind, rest)) =
        key.strip_prefix("-----BEGIN ").and_then(|rest| rest.split_once("-----"))
    else {
        return Form::Unknown;
    };
    // RFC 1421, section 4.6.1.1, as OpenSSL writes it; and PKCS #8 (RFC 5958).
    let encrypted = match kind {
        "OPENSSH PRIVATE KEY" => cipher(rest).is_some_and(|cipher| cipher != b"none"),
        "ENCRYPTED PRIVATE KEY" => true,
        _ if kind.ends_with("PRIVATE KEY") => rest.contains("Proc-Type: 4,ENCRYPTED"),
        _ => return Form::Unknown,
    };
    if encrypted { Form::Encrypted } else { Form::Plain }
}

/// The cipher of a key in OpenSSH's own form (OpenSSH, PROTOCOL.key).
fn cipher(text: &str) -> Option<Vec<u8>> {
    let text = text.split("-----").next()?;
    let text: String = text.split_whitespace().collect();
    let bytes = STANDARD.decode(text).ok()?;
    let (length, rest) = bytes.strip_prefix(b"openssh-key-v1\0")?.split_first_chunk::<4>()?;
    rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encrypted_key_is_told_from_a_plain_one() {
        // The heads of keys that ssh-keygen made, without and with -N.
        let plain = "-----BEGIN OPENSSH PRIVATE KEY-----\n\
                     b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAAB\n\
                     -----END OPENSSH PRIVATE KEY-----\n";
        let encrypted = "-----BEGIN OPENSSH PRIVATE KEY-----\n\
                         b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0\n\
                         -----END OPENSSH PRIVATE KEY-----\n";
        assert_eq!(form(plain), Form::Plain);
        assert_eq!(form(encrypted), Form::Encrypted);
        let pem = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES\n\nabc";
        assert_eq!(form(pem), Form::Encrypted);
        assert_eq!(form("-----BEGIN EC PRIVATE KEY-----\nabc"), Form::Plain);
        assert_eq!(form("-----BEGIN ENCRYPTED PRIVATE KEY-----\nabc"), Form::Encrypted);
        assert_eq!(form("-----BEGIN PRIVATE KEY-----\nabc"), Form::Plain);
    }

    #[test]
    fn what_is_no_private_key_is_told_what_it_is() {
        assert_eq!(form("PuTTY-User-Key-File-3: ssh-ed25519\n"), Form::Putty);
        assert_eq!(form("ssh-ed25519 AAAA acme@erp"), Form::Public);
        assert_eq!(form("-----BEGIN CERTIFICATE-----\n"), Form::Unknown);
        assert_eq!(form("hunter2"), Form::Unknown);
    }
}
