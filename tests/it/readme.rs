//! The README: its walk is done as it stands there, and its examples are understood.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[track_caller]
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The blocks of one kind in a part of the README.
fn blocks(part: &str, kind: &str) -> Vec<String> {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let (_, part) = readme.split_once(&format!("\n## {part}\n")).unwrap();
    let part = part.split("\n## ").next().unwrap();
    let fence = format!("```{kind}\n");
    let blocks = part.split(&fence).skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

/// Pastes commands of the README's walk into a shell, in an empty folder; `lighterman` notes how
/// each of its runs ended.
fn paste(commands: &[String]) -> (TempDir, String, String) {
    // The port must be one that nobody uses here; the stand-in takes it as soon as this lets go.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let start = format!("command lighterman sandbox --listen {address} &\nheard");
    let script = commands
        .concat()
        .replace("127.0.0.1:8480", &address.to_string())
        .replace("lighterman sandbox &", &start);
    let before = format!(
        "trap 'kill $(jobs -p)' EXIT
         lighterman() {{ command lighterman \"$@\"; echo \"$1 $?\" >> ~/statuses; }}
         heard() {{
             for _ in {{1..600}}; do
                 (exec 3<>/dev/tcp/127.0.0.1/{}) 2> /dev/null && return
                 sleep 0.05
             done
         }}",
        address.port()
    );
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_lighterman")).parent().unwrap();
    let run = Command::new("bash")
        .current_dir(folder.path())
        .env_remove("RUST_LOG")
        .env("HOME", folder.path())
        .env("PATH", format!("{}:{}", program.display(), std::env::var("PATH").unwrap()))
        .stdin(Stdio::null())
        .args(["-c", &format!("{before}\n{script}")])
        .output()
        .unwrap();
    let statuses = fs::read_to_string(folder.path().join("statuses")).unwrap_or_default();
    (folder, statuses, format!("{}\n{}", text(&run.stdout), text(&run.stderr)))
}

#[test]
fn the_first_customer_gets_its_first_record_delivered() {
    let (folder, statuses, told) = paste(&blocks("Your first customer in ten minutes", "sh"));
    let wanted = "check 0\npreview 3\nrun 3\nstatus 0\nquarantine 0\nrun 0\ncheck-ledger 0\n";
    assert_eq!(statuses, wanted, "{told}");
    let counts = |name: &str| {
        let receipts = folder.path().join("first-customer/inbox/acme/receipts");
        let receipt = fs::read(receipts.join(format!("{name}.receipt.json"))).unwrap();
        let receipt: Value = serde_json::from_slice(&receipt).unwrap();
        ["total", "delivered", "quarantined"]
            .map(|state| receipt["records"][state].as_u64().unwrap())
    };
    assert_eq!(counts("RELEASE_1.csv"), [3, 2, 1], "{told}");
    // The row that was set aside came again, and the table knew its terminal.
    assert_eq!(counts("RELEASE_1-2.csv"), [1, 1, 0], "{told}");
}

#[test]
fn the_examples_of_config_and_mapping_are_understood() {
    // They go on where the walk's fourth step ends.
    let (folder, statuses, told) = paste(&blocks("Your first customer in ten minutes", "sh")[..4]);
    assert_eq!(statuses, "check 0\n", "{told}");
    let setup = folder.path().join("first-customer");
    let add = |name: &str, before: &str, behind: &str| {
        let path = setup.join(name);
        let written = fs::read_to_string(&path).unwrap();
        fs::write(path, format!("{before}\n{written}\n{behind}")).unwrap();
    };
    let config = blocks("The config by example", "toml");
    let [provider, customer, sources @ ..] = config.as_slice() else { panic!("{config:?}") };
    add("lighterman.toml", "", provider);
    let customer = customer
        .replace("BE…", "BE0999142065")
        .replace("\"…\"", "\"other-channel\"")
        .replace("/srv/wms/out", "../inbox/wms");
    let (head, tables) = customer.split_once("\n\n").unwrap();
    let sources = sources.concat().replace("/srv/erp/", "../inbox/");
    add("customers/acme.toml", head, &format!("{tables}\n{sources}"));
    let mappings = blocks("Mapping rules by example", "toml");
    let (mapping, parts) = mappings.split_first().unwrap();
    for folder in ["keys", "inbox/wms", "inbox/nightly", "inbox/often", "credentials"] {
        fs::create_dir(setup.join(folder)).unwrap();
    }
    let key = repository().join("src/remote/test_keys/rsa-pkcs8.pem");
    fs::copy(key, setup.join("keys/scr.pem")).unwrap();
    // The partner of the SFTP source.
    fs::create_dir(setup.join("customers/keys")).unwrap();
    for name in ["keys/acme", "known_hosts"] {
        fs::write(setup.join("customers").join(name), "none\n").unwrap();
    }
    for name in ["acme-password", "acme-subscription-key"] {
        fs::write(setup.join("credentials").join(name), "secret").unwrap();
    }
    let field = "[[fields]]\nto = \"a\"\nvalue = \"b\"\n";
    // The blocks that follow the first are an [input] or an [output] alone.
    let parts = parts.iter().map(|part| match part.starts_with("[output]") {
        false => (format!("{part}\n{field}"), "application/json"),
        true => (format!("[input]\nformat = \"csv\"\n{part}\n{field}"), "application/xml"),
    });
    let acme = fs::read_to_string(setup.join("customers/acme.toml")).unwrap();
    for (mapping, media_type) in std::iter::once((mapping.clone(), "application/json")).chain(parts)
    {
        fs::write(setup.join("mappings/acme-releases.toml"), &mapping).unwrap();
        let releases = "[channels.releases]";
        let announced = format!("{releases}\nmedia_type = \"{media_type}\"");
        fs::write(setup.join("customers/acme.toml"), acme.replace(releases, &announced)).unwrap();
        let run = Command::new(env!("CARGO_BIN_EXE_lighterman"))
            .current_dir(&setup)
            .env("CREDENTIALS_DIRECTORY", setup.join("credentials"))
            .env("ACME_KEY_PASS", "secret")
            .arg("check")
            .output()
            .unwrap();
        let (told, log) = (text(&run.stdout), text(&run.stderr));
        assert_eq!(run.status.code(), Some(0), "{mapping}{log}");
        assert!(told.contains("3 channels (1 to SCR), 1 mappings"), "{told}");
    }
}
