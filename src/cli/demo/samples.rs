//! The samples, carried in the binary, and their copy into a folder to work in.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;

/// What exists at the stand-in of the port's servers.
pub const WORLD: &str = include_str!("../../../samples/sandbox.json");

/// The address that the samples' config gives to the stand-in.
pub const ADDRESS: &str = "127.0.0.1:8480";

/// The address that the samples' config gives to the receiver of notifications.
pub const RECEIVER: &str = "127.0.0.1:8481";

/// Every file by its path below `samples/`.
const FILES: [(&str, &[u8]); 27] = [
    ("README.md", include_bytes!("../../../samples/README.md")),
    ("lighterman.toml", include_bytes!("../../../samples/lighterman.toml")),
    ("sandbox.json", WORLD.as_bytes()),
    (
        "customers/bremhoek-chemicals.toml",
        include_bytes!("../../../samples/customers/bremhoek-chemicals.toml"),
    ),
    (
        "customers/kraanvogel-forwarding.toml",
        include_bytes!("../../../samples/customers/kraanvogel-forwarding.toml"),
    ),
    (
        "customers/wilgenhof-transport.toml",
        include_bytes!("../../../samples/customers/wilgenhof-transport.toml"),
    ),
    (
        "inbox/bremhoek-chemicals/SHIPMENTS_20261120_AM.json",
        include_bytes!("../../../samples/inbox/bremhoek-chemicals/SHIPMENTS_20261120_AM.json"),
    ),
    (
        "inbox/bremhoek-chemicals/SHIPMENTS_20261120_PM.json",
        include_bytes!("../../../samples/inbox/bremhoek-chemicals/SHIPMENTS_20261120_PM.json"),
    ),
    (
        "inbox/kraanvogel-forwarding/RELEASE_20261120_0615.csv",
        include_bytes!("../../../samples/inbox/kraanvogel-forwarding/RELEASE_20261120_0615.csv"),
    ),
    (
        "inbox/kraanvogel-forwarding/RELEASE_20261120_1430.CSV",
        include_bytes!("../../../samples/inbox/kraanvogel-forwarding/RELEASE_20261120_1430.CSV"),
    ),
    (
        "inbox/wilgenhof-transport/ZSHPASG_20261120_0700.xml",
        include_bytes!("../../../samples/inbox/wilgenhof-transport/ZSHPASG_20261120_0700.xml"),
    ),
    (
        "inbox/wilgenhof-transport/ZSHPASG_20261120_1400.xml",
        include_bytes!("../../../samples/inbox/wilgenhof-transport/ZSHPASG_20261120_1400.xml"),
    ),
    (
        "mappings/bremhoek-shipments.toml",
        include_bytes!("../../../samples/mappings/bremhoek-shipments.toml"),
    ),
    (
        "mappings/kraanvogel-releases.toml",
        include_bytes!("../../../samples/mappings/kraanvogel-releases.toml"),
    ),
    (
        "mappings/wilgenhof-assignments.toml",
        include_bytes!("../../../samples/mappings/wilgenhof-assignments.toml"),
    ),
    (
        "mappings/wilgenhof-events.toml",
        include_bytes!("../../../samples/mappings/wilgenhof-events.toml"),
    ),
    // The folder alone.
    ("outbox/wilgenhof-transport/.gitkeep", b""),
    ("mappings/aka/carriers.csv", include_bytes!("../../../samples/mappings/aka/carriers.csv")),
    ("mappings/aka/ports.csv", include_bytes!("../../../samples/mappings/aka/ports.csv")),
    ("mappings/aka/size-types.csv", include_bytes!("../../../samples/mappings/aka/size-types.csv")),
    ("mappings/aka/terminals.csv", include_bytes!("../../../samples/mappings/aka/terminals.csv")),
    (
        "secrets/bremhoek-client-secret",
        include_bytes!("../../../samples/secrets/bremhoek-client-secret"),
    ),
    ("secrets/kraanvogel-password", include_bytes!("../../../samples/secrets/kraanvogel-password")),
    (
        "secrets/kraanvogel-subscription-key",
        include_bytes!("../../../samples/secrets/kraanvogel-subscription-key"),
    ),
    (
        "secrets/nxtport-client-secret",
        include_bytes!("../../../samples/secrets/nxtport-client-secret"),
    ),
    (
        "secrets/scr-wallet-a-callback",
        include_bytes!("../../../samples/secrets/scr-wallet-a-callback"),
    ),
    ("secrets/scr-wallet-a-key", include_bytes!("../../../samples/secrets/scr-wallet-a-key")),
];

/// Writes all of them below `folder`; secrets are their owner's alone.
pub fn copy_to(folder: &Path) -> anyhow::Result<()> {
    for (name, bytes) in FILES {
        let path = folder.join(name);
        let mode = if name.starts_with("secrets/") { 0o600 } else { 0o640 };
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(path.parent().unwrap_or(folder))?;
            File::options().write(true).create_new(true).mode(mode).open(&path)?.write_all(bytes)
        };
        write().with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

/// Lets the config in `folder` speak to a stand-in at another address than it names now.
pub fn point_at(folder: &Path, old: &str, new: &str) -> anyhow::Result<()> {
    let path = folder.join("lighterman.toml");
    let change = || fs::write(&path, fs::read_to_string(&path)?.replace(old, new));
    change().with_context(|| format!("{} cannot be changed", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_is_carried() {
        let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
        let mut missing = Vec::new();
        let mut folders = vec![samples.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(&samples).unwrap().to_str().unwrap().to_owned();
                let hidden = name.split('/').any(|part| part.starts_with('.'));
                if path.is_dir() {
                    folders.push(path);
                } else if !hidden
                    && name != "expected.json"
                    && !FILES.iter().any(|(carried, _)| *carried == name)
                {
                    missing.push(name);
                }
            }
        }
        assert_eq!(missing, Vec::<String>::new());
    }

    #[test]
    fn only_the_owner_may_read_the_copied_secrets() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        copy_to(folder.path()).unwrap();
        for entry in fs::read_dir(folder.path().join("secrets")).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
