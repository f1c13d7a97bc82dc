//! Secrets: where they come from, and values that never show themselves.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::Section;

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
    /// Reads where the secret of this key is, and looks whether one is there.
    pub(super) fn parse(section: &mut Section, key: &str) -> Option<SecretSource> {
        SecretSource::parse_with(section, key, |_| ()).map(|(source, ())| source)
    }

    /// The same, where more may stand beside the place.
    pub(super) fn parse_with<T>(
        section: &mut Section,
        key: &str,
        more: impl FnOnce(&mut Section) -> T,
    ) -> Option<(SecretSource, T)> {
        let inline = format!(
            "{key} must not stand in the config: keep it elsewhere and write {key} = \
             {{ env = \"NAME\" }}, {{ file = \"path\" }} or {{ credential = \"name\" }}"
        );
        let mut place = section.private_section(key, &inline)?;
        let given = ["env", "file", "credential"].map(|place_key| place.has(place_key));
        let source = match given {
            [true, false, false] => env_name(&mut place).map(SecretSource::Env),
            [false, true, false] => place.file_path("file").map(SecretSource::File),
            [false, false, true] => credential_name(&mut place).map(SecretSource::Credential),
            _ => {
                section.error(key, format!("{key} must name one of env, file and credential"));
                None
            }
        };
        let more = more(&mut place);
        place.finish();

        let source = source?;
        if !section.faults().reads_secrets() {
            return Some((source, more));
        }
        let mut is_public = false;
        match source.read() {
            Ok(secret) => is_public = secret.reveal().starts_with("-----BEGIN PUBLIC KEY-----"),
            Err(error) => section.error(key, format!("{key}: {error:#}")),
        }
        if let SecretSource::File(path) = &source
            && !is_public
            && readable_by_others(path)
        {
            let path = path.display();
            section.warning(key, format!("{path} is readable by others: chmod 600 {path}"));
        }
        Some((source, more))
    }

    /// Reads the secret. An error names the place, never the value.
    pub fn read(&self) -> anyhow::Result<Secret> {
        self.read_with(|name| std::env::var_os(name))
    }

    fn read_with(&self, variable: impl Fn(&str) -> Option<OsString>) -> anyhow::Result<Secret> {
        let text = match self {
            SecretSource::Env(name) => {
                let value = variable(name)
                    .with_context(|| format!("the environment variable {name} is not set"))?;
                match value.into_string() {
                    Ok(value) => value,
                    Err(_) => bail!("the environment variable {name} is not UTF-8"),
                }
            }
            SecretSource::File(path) => without_line_end(read_file(path)?),
            SecretSource::Credential(name) => {
                let folder = variable("CREDENTIALS_DIRECTORY").with_context(|| {
                    format!(
                        "the credential {name} is not there: $CREDENTIALS_DIRECTORY is not set; \
                         add LoadCredential={name}:… to the unit"
                    )
                })?;
                without_line_end(read_file(&PathBuf::from(folder).join(name))?)
            }
        };
        if text.is_empty() {
            bail!("the secret in {self} is empty");
        }
        Ok(Secret(text))
    }
}

impl Secret {
    /// A secret from a text in hand.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// Sixteen bits of a keyed hash over secrets, to notice that a refused password was changed
    /// without keeping anything that helps to guess it.
    pub fn mark(secrets: &[Secret], key: &[u8; 32]) -> u16 {
        let mut hasher = blake3::Hasher::new_keyed(key);
        for Secret(value) in secrets {
            hasher.update(&(value.len() as u64).to_le_bytes());
            hasher.update(value.as_bytes());
        }
        let [first, second, ..] = *hasher.finalize().as_bytes();
        u16::from_le_bytes([first, second])
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

/// A variable's name. What cannot be one may be the secret itself, and is not shown.
fn env_name(place: &mut Section) -> Option<String> {
    let advice = "env must be the name of an environment variable: letters, digits and _";
    let name = place.private_text("env", advice)?;
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(legal)
    {
        place.error("env", advice);
        return None;
    }
    Some(name)
}

fn credential_name(place: &mut Section) -> Option<String> {
    let advice = "credential must be the name of a systemd credential: no path";
    let name = place.private_text("credential", advice)?;
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
        place.error("credential", advice);
        return None;
    }
    Some(name)
}

fn read_file(path: &Path) -> anyhow::Result<String> {
    let cannot = || format!("the secret file {} cannot be read", path.display());
    // A pipe gives its secret once only, and secrets are read again.
    if !std::fs::metadata(path).with_context(cannot)?.is_file() {
        bail!("the secret file {} is no regular file", path.display());
    }
    std::fs::read_to_string(path).with_context(cannot)
}

fn without_line_end(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

fn readable_by_others(path: &Path) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o044 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, text).unwrap();
        SecretSource::File(file).read().ok().map(|secret| secret.reveal().to_owned())
    }

    #[test]
    fn one_final_line_end_of_a_file_is_removed() {
        assert_eq!(read("abc").as_deref(), Some("abc"));
        assert_eq!(read("abc\n").as_deref(), Some("abc"));
        assert_eq!(read("abc\r\n").as_deref(), Some("abc"));
        assert_eq!(read("abc\n\n").as_deref(), Some("abc\n"));
        assert_eq!(read(" a b \n").as_deref(), Some(" a b "));
        assert_eq!(read("abc\r").as_deref(), Some("abc\r"));
    }

    #[test]
    fn an_empty_file_holds_no_secret() {
        assert_eq!(read(""), None);
        assert_eq!(read("\n"), None);
    }

    #[test]
    fn a_credential_is_a_file_in_the_folder_that_systemd_names() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), "abc\n").unwrap();
        let variable = |name: &str| {
            (name == "CREDENTIALS_DIRECTORY").then(|| folder.path().as_os_str().to_owned())
        };
        let secret = SecretSource::Credential("key".to_owned()).read_with(variable).unwrap();
        assert_eq!(secret.reveal(), "abc");
        let error = SecretSource::Credential("key".to_owned()).read_with(|_| None).unwrap_err();
        assert!(error.to_string().contains("LoadCredential=key:"), "{error}");
    }

    #[test]
    fn a_variable_is_taken_as_it_is_and_must_not_be_empty() {
        let source = SecretSource::Env("NAME".to_owned());
        let secret = source.read_with(|_| Some("abc\n".into())).unwrap();
        assert_eq!(secret.reveal(), "abc\n");
        let empty = source.read_with(|_| Some("".into())).unwrap_err();
        assert_eq!(empty.to_string(), "the secret in environment variable NAME is empty");
        let unset = source.read_with(|_| None).unwrap_err();
        assert_eq!(unset.to_string(), "the environment variable NAME is not set");
    }

    #[test]
    fn a_secret_does_not_show_itself() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "***");
    }
}
