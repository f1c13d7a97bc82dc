//! Private keys in PEM, in the forms that key tools write, and what an RSA or EC signature needs
//! of them. Says what is wrong with a key in words that a person can act on.

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A private key for signing.
pub enum PrivateKey {
    /// RSA, as the DER of PKCS#1 (RFC 8017, appendix A.1.2).
    Rsa(Vec<u8>),
    /// Elliptic curve, as the DER of PKCS#8 (RFC 5958).
    Ec(Curve, Vec<u8>),
}

/// The curves of ES256 and ES384 (RFC 7518, section 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the curves")]
pub enum Curve {
    P256,
    P384,
}

impl PrivateKey {
    /// Reads the first private key of a PEM text (RFC 7468). Other blocks, such as the
    /// `EC PARAMETERS` that openssl writes in front, are passed over.
    pub fn parse(text: &str) -> anyhow::Result<PrivateKey> {
        let blocks = blocks(text)?;
        let Some(block) = blocks.iter().find(|block| block.label.ends_with("PRIVATE KEY")) else {
            match blocks.first() {
                None => bail!("not a PEM file: it has no line \"-----BEGIN PRIVATE KEY-----\""),
                Some(block) => bail!("holds a {}, but the private key is needed", block.label),
            }
        };
        if block.encrypted || block.label == "ENCRYPTED PRIVATE KEY" {
            bail!(
                "the key is encrypted, but nobody is there to type its passphrase: write it \
                 without one (openssl pkcs8 -topk8 -nocrypt -in KEY -out NEW)"
            );
        }
        match block.label {
            "RSA PRIVATE KEY" => Ok(PrivateKey::Rsa(block.der.clone())),
            "EC PRIVATE KEY" => sec1(&block.der).context("the EC PRIVATE KEY is damaged"),
            "PRIVATE KEY" => pkcs8(&block.der),
            "OPENSSH PRIVATE KEY" => bail!(
                "an OPENSSH PRIVATE KEY cannot be used here: make a key by \
                 openssl genpkey, or convert it (ssh-keygen -p -m PKCS8 -f KEY)"
            ),
            other => bail!("a {other} cannot be used here: an RSA or EC key is needed"),
        }
    }

    /// What kind of key it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            PrivateKey::Rsa(_) => "an RSA key",
            PrivateKey::Ec(Curve::P256, _) => "an EC key on the curve P-256",
            PrivateKey::Ec(Curve::P384, _) => "an EC key on the curve P-384",
        }
    }
}

struct Block<'a> {
    label: &'a str,
    /// Encrypted in the old way, by headers inside the block (RFC 1421, section 4.6.1.1).
    encrypted: bool,
    der: Vec<u8>,
}

fn blocks(text: &str) -> anyhow::Result<Vec<Block<'_>>> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some(label) = boundary(line, "BEGIN") else { continue };
        let mut encrypted = false;
        let mut base64 = String::new();
        loop {
            match lines.next() {
                None => bail!("cut short: \"-----END {label}-----\" is missing"),
                Some(line) if boundary(line, "END") == Some(label) => break,
                Some(line) if line.contains(':') => encrypted |= line.contains("ENCRYPTED"),
                Some(line) => base64.push_str(line),
            }
        }
        // What is encrypted is refused by name, whatever its bytes are.
        let der = match STANDARD.decode(&base64) {
            Ok(der) => der,
            Err(_) if encrypted => Vec::new(),
            Err(_) => bail!("the {label} is not valid base64"),
        };
        blocks.push(Block { label, encrypted, der });
    }
    Ok(blocks)
}

fn boundary<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    line.strip_prefix("-----")?.strip_prefix(word)?.strip_prefix(' ')?.strip_suffix("-----")
}

// The object identifiers, as DER contents.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01]; // RFC 8017, A.1
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]; // RFC 5480, 2.1.1
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]; // RFC 5480, 2.1.1.1
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22]; // RFC 5480, 2.1.1.1

// The tags of DER (ITU-T X.690, section 8).
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const PARAMETERS: u8 = 0xa0;
const PUBLIC_KEY: u8 = 0xa1;

/// PKCS#8 (RFC 5958, section 2): version, algorithm with its curve, the key itself.
fn pkcs8(der: &[u8]) -> anyhow::Result<PrivateKey> {
    let damaged = "the PRIVATE KEY is damaged";
    let mut key = Reader(der).take(SEQUENCE).context(damaged)?;
    key.take(INTEGER).context(damaged)?;
    let mut algorithm = key.take(SEQUENCE).context(damaged)?;
    match algorithm.take(OID).context(damaged)?.0 {
        RSA => Ok(PrivateKey::Rsa(key.take(OCTETS).context(damaged)?.0.to_vec())),
        EC => Ok(PrivateKey::Ec(curve(&mut algorithm)?, der.to_vec())),
        _ => bail!("the PRIVATE KEY is neither an RSA nor an EC key"),
    }
}

/// SEC1 (RFC 5915, section 3), wrapped into PKCS#8 as `openssl pkcs8 -topk8` does it: the curve
/// moves from the key into the algorithm.
fn sec1(der: &[u8]) -> anyhow::Result<PrivateKey> {
    let mut key = Reader(der).take(SEQUENCE)?;
    let version = key.take(INTEGER)?;
    let private = key.take(OCTETS)?;
    let mut parameters = key.take(PARAMETERS).context(
        "it does not name its curve: convert it (openssl pkcs8 -topk8 -nocrypt -in KEY -out NEW)",
    )?;
    let curve = curve(&mut parameters)?;
    let mut inner = [element(INTEGER, version.0), element(OCTETS, private.0)].concat();
    if let Ok(public) = key.take(PUBLIC_KEY) {
        inner.extend(element(PUBLIC_KEY, public.0));
    }
    let curve_oid = match curve {
        Curve::P256 => P256,
        Curve::P384 => P384,
    };
    let algorithm = [element(OID, EC), element(OID, curve_oid)].concat();
    let outer = [
        element(INTEGER, &[0]),
        element(SEQUENCE, &algorithm),
        element(OCTETS, &element(SEQUENCE, &inner)),
    ]
    .concat();
    Ok(PrivateKey::Ec(curve, element(SEQUENCE, &outer)))
}

fn curve(parameters: &mut Reader<'_>) -> anyhow::Result<Curve> {
    match parameters.take(OID).context("the curve is not given by name")?.0 {
        P256 => Ok(Curve::P256),
        P384 => Ok(Curve::P384),
        _ => bail!("the EC key is on another curve than P-256 (ES256) or P-384 (ES384)"),
    }
}

/// Reads DER elements one after the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The contents of the next element, which must have this tag; else nothing is taken.
    fn take(&mut self, tag: u8) -> anyhow::Result<Reader<'a>> {
        let unexpected = "an unexpected element";
        let (&found, rest) = self.0.split_first().context("an element is missing")?;
        ensure!(found == tag, unexpected);
        let (&first, mut rest) = rest.split_first().context(unexpected)?;
        let mut length = usize::from(first);
        if first >= 0x80 {
            let digits = usize::from(first & 0x7f);
            ensure!((1..=4).contains(&digits) && digits <= rest.len(), unexpected);
            let (number, after) = rest.split_at(digits);
            length = number.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            rest = after;
        }
        ensure!(length <= rest.len(), "cut short");
        let (contents, after) = rest.split_at(length);
        self.0 = after;
        Ok(Reader(contents))
    }
}

/// One DER element.
fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut element = vec![tag];
    match contents.len() {
        length @ 0..0x80 => element.push(length as u8),
        length @ 0x80..0x100 => element.extend([0x81, length as u8]),
        // No key that is wrapped here is longer than 64 KiB: those on the two curves are short.
        length => element.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    element.extend(contents);
    element
}

#[cfg(test)]
mod tests {
    use super::super::testing::test_key;
    use super::*;

    fn file(name: &str) -> String {
        std::fs::read_to_string(test_key(name)).unwrap()
    }

    fn error(text: &str) -> String {
        match PrivateKey::parse(text) {
            Ok(key) => panic!("parsed as {}", key.kind()),
            Err(error) => format!("{error:#}"),
        }
    }

    /// The bytes of a PEM file, by the simplest means.
    fn der(name: &str) -> Vec<u8> {
        let text = file(name);
        let lines: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        STANDARD.decode(lines).unwrap()
    }

    #[test]
    fn sec1_is_wrapped_as_openssl_does_it() {
        for (name, curve) in [("p256", Curve::P256), ("p384", Curve::P384)] {
            let parsed = PrivateKey::parse(&file(&format!("ec-{name}-sec1.pem"))).unwrap();
            let PrivateKey::Ec(found, wrapped) = parsed else { panic!("not EC") };
            assert_eq!(found, curve);
            assert_eq!(wrapped, der(&format!("ec-{name}-pkcs8.pem")));
        }
    }

    #[test]
    fn both_forms_of_an_rsa_key_are_the_same() {
        for name in ["rsa-pkcs1.pem", "rsa-pkcs8.pem"] {
            let PrivateKey::Rsa(found) = PrivateKey::parse(&file(name)).unwrap() else {
                panic!("not RSA")
            };
            assert_eq!(found, der("rsa-pkcs1.pem"), "{name}");
        }
    }

    #[test]
    fn dos_line_ends_and_text_around_do_not_matter() {
        let text =
            format!("Key of ACME\r\n\r\n{}\r\n", file("rsa-pkcs8.pem").replace('\n', "\r\n"));
        assert_eq!(PrivateKey::parse(&text).unwrap().kind(), "an RSA key");
    }

    #[test]
    fn every_wrong_key_is_named_for_what_it_is() {
        for (name, expected) in [
            ("rsa-encrypted-pkcs1.pem", "the key is encrypted"),
            ("rsa-encrypted-pkcs8.pem", "the key is encrypted"),
            ("rsa-public.pem", "holds a PUBLIC KEY, but the private key is needed"),
            ("tls-ca.pem", "holds a CERTIFICATE, but the private key is needed"),
            ("openssh.pem", "an OPENSSH PRIVATE KEY cannot be used here"),
            ("ed25519.pem", "neither an RSA nor an EC key"),
            ("ec-k256-sec1.pem", "on another curve than P-256 (ES256) or P-384 (ES384)"),
            ("ec-explicit.pem", "the curve is not given by name"),
            ("README.md", "not a PEM file"),
        ] {
            let error = error(&file(name));
            assert!(error.contains(expected), "{name}: {error}");
        }
    }

    #[test]
    fn a_damaged_key_is_an_error_and_never_a_panic() {
        let whole = file("ec-p256-sec1.pem");
        assert!(error(&whole.replace("END EC PRIVATE", "END")).contains("cut short"));
        assert!(
            error("-----BEGIN PRIVATE KEY-----\n*\n-----END PRIVATE KEY-----").contains("base64")
        );
        for name in ["ec-p384-pkcs8.pem", "rsa-pkcs8.pem"] {
            let (whole, label) = (der(name), "PRIVATE KEY");
            for end in 0..whole.len() {
                let base64 = STANDARD.encode(&whole[..end]);
                error(&format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----"));
            }
            for place in 0..whole.len().min(60) {
                let mut changed = whole.clone();
                changed[place] = 0xff;
                let base64 = STANDARD.encode(changed);
                let text = format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----");
                let _ = PrivateKey::parse(&text);
            }
        }
    }
}
