//! Identity: the certificate by which TLS shows who is calling, where a server asks for one.

use std::path::PathBuf;

use super::{SecretSource, Section};

/// A client certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsIdentity {
    /// The certificate in PEM, with those that link it to its root behind it.
    pub certificate: PathBuf,
    /// Its private key in PEM.
    pub key: SecretSource,
}

impl TlsIdentity {
    /// Reads the keys `certificate` and `key`: both or none.
    pub(super) fn parse(section: &mut Section) -> Option<TlsIdentity> {
        let given = ["certificate", "key"].map(|key| section.has(key));
        let certificate = section.file_path("certificate");
        let key = SecretSource::parse(section, "key");
        if let Some(path) = &certificate
            && let Err(error) = std::fs::File::open(path)
        {
            let what = format!("certificate: {} cannot be read: {error}", path.display());
            section.error("certificate", what);
        }
        match given {
            [true, false] => {
                section.error("certificate", "certificate needs its key: key = { file = \"…\" }")
            }
            [false, true] => {
                section.error("key", "key belongs to a certificate: certificate = \"…\"")
            }
            _ => {}
        }
        Some(TlsIdentity { certificate: certificate?, key: key? })
    }
}
