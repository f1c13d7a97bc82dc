//! Secrets: where they come from, and values that never show themselves.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, bail};

/// Where a secret is kept; it is read anew on every use that matters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SecretSource {
    /// An environment variable.
    Env(String),
    /// A file; one final line end is removed.
    File(PathBuf),
    /// A systemd credential: a file of this name in `$CREDENTIALS_DIRECTORY`
    /// (systemd.exec(5), "Credentials").
    Credential(String),
}

/// A secret's value. Neither `Debug` nor anything else prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl SecretSource {
    /// Reads the secret. An error names the place, never the value.
    pub fn read(&self) -> anyhow::Result<Secret> {
        let text = match self {
            SecretSource::Env(name) => std::env::var(name)
                .with_context(|| format!("the environment variable {name} is not set"))?,
            SecretSource::File(path) => std::fs::read_to_string(path)
                .with_context(|| format!("the secret file {} cannot be read", path.display()))?,
            SecretSource::Credential(name) => {
                let folder = std::env::var_os("CREDENTIALS_DIRECTORY").with_context(|| {
                    format!(
                        "the credential {name} is not there: $CREDENTIALS_DIRECTORY is not set; \
                         add LoadCredential={name}:… to the unit"
                    )
                })?;
                let path = PathBuf::from(folder).join(name);
                std::fs::read_to_string(&path).with_context(|| {
                    format!("the credential {} cannot be read", path.display())
                })?
            }
        };
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() {
            bail!("the secret in {self} is empty");
        }
        Ok(Secret(text.to_owned()))
    }
}

impl Secret {
    /// A secret from a text in hand.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The value, for the one call that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretSource::Env(name) => write!(f, "environment variable {name}"),
            SecretSource::File(path) => write!(f, "file {}", path.display()),
            SecretSource::Credential(name) => write!(f, "credential {name}"),
        }
    }
}
