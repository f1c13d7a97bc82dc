//! TLS: the certificate that callers see, read anew when its files change.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::Context;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::ServerTls;

/// The certificate in use, and the files it comes from.
pub struct Certificates {
    files: ServerTls,
    in_use: Mutex<(Look, Arc<ServerConfig>)>,
}

/// By what a change of the two files is seen.
type Look = [Option<(SystemTime, u64)>; 2];

impl Certificates {
    /// Reads both files.
    pub fn open(files: &ServerTls) -> anyhow::Result<Certificates> {
        let seen = look(files);
        let in_use = Mutex::new((seen, read(files)?));
        Ok(Certificates { files: files.clone(), in_use })
    }

    /// What the next connection is accepted with. Files that are being replaced, and do not fit yet,
    /// leave the certificate as it is.
    pub async fn acceptor(self: &Arc<Certificates>) -> TlsAcceptor {
        let this = Arc::clone(self);
        let renewed = tokio::task::spawn_blocking(move || this.renew());
        let _ = renewed.await;
        let in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&in_use.1))
    }

    fn renew(&self) {
        let seen = look(&self.files);
        let lock = || self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        if lock().0 == seen {
            return;
        }
        match read(&self.files) {
            Ok(config) => {
                *lock() = (seen, config);
                tracing::info!("The certificate for notifications was read anew");
            }
            Err(error) => {
                lock().0 = seen;
                tracing::error!("The earlier certificate for notifications stays: {error:#}");
            }
        }
    }
}

fn look(files: &ServerTls) -> Look {
    [&files.certificate, &files.key].map(|path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

fn read(files: &ServerTls) -> anyhow::Result<Arc<ServerConfig>> {
    let ServerTls { certificate, key } = files;
    let cannot = |path: &Path| format!("[listen] notifications: {} cannot be used", path.display());
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(|chain| chain.collect::<Result<Vec<_>, _>>())
        .with_context(|| cannot(certificate))?;
    anyhow::ensure!(!chain.is_empty(), "{}: it holds no certificate", cannot(certificate));
    let private = PrivateKeyDer::from_pem_file(key).with_context(|| cannot(key))?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .with_context(|| format!("{}: certificate and key do not fit", cannot(key)))?;
    Ok(Arc::new(config))
}
