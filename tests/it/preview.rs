//! Preview: what would be sent, and every problem, with no server, no state and no ledger.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

fn lighterman(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lighterman"))
        .current_dir(folder)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .args(arguments)
        .output()
        .unwrap()
}

/// The exit status and the JSON of a preview.
#[track_caller]
fn preview(folder: &Path, arguments: &[&str]) -> (i32, Value) {
    let run = lighterman(folder, &[&["preview", "--json"], arguments].concat());
    let told = serde_json::from_slice(&run.stdout);
    let told = told.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&run.stderr)));
    (run.status.code().unwrap(), told)
}

/// The exit status of a preview that shows nothing, and what it says instead.
#[track_caller]
fn turned_away(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let run = lighterman(folder, &[&["preview"], arguments].concat());
    assert_eq!(String::from_utf8_lossy(&run.stdout), "");
    (run.status.code().unwrap(), String::from_utf8(run.stderr).unwrap())
}

/// A copy of the samples.
fn samples() -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        fs::create_dir_all(copy.path().join(&folder)).unwrap();
        for entry in fs::read_dir(from.join(&folder)).unwrap() {
            let name = folder.join(entry.unwrap().file_name());
            match from.join(&name).is_dir() {
                true => folders.push(name),
                false => drop(fs::copy(from.join(&name), copy.path().join(&name)).unwrap()),
            }
        }
    }
    copy
}

fn expected() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/expected.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Record, line, field and rule of every problem of one level.
fn problems(told: &Value, level: &str) -> Vec<Value> {
    let list = told["problems"].as_array().unwrap().iter();
    list.filter(|problem| problem["level"] == level)
        .map(|problem| {
            assert_ne!(problem["advice"], "", "{problem}");
            json!({ "record": problem["record"], "line": problem["line"],
                "field": problem["field"], "rule": problem["rule"] })
        })
        .collect()
}

/// The records of a message's body.
fn records(message: &Value) -> Vec<Value> {
    match &message["body"] {
        Value::Array(records) => records.clone(),
        Value::String(lines) => {
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        }
        record => vec![record.clone()],
    }
}

#[test]
fn every_problem_of_the_samples_is_told_and_all_else_would_be_sent() {
    let folder = samples();
    for (customer, files) in expected().as_object().unwrap() {
        for (name, wanted) in files.as_object().unwrap() {
            let path = format!("inbox/{customer}/{name}");
            let (code, told) = preview(folder.path(), &[&path, "--limit", "1000"]);
            assert_eq!((code, &told["customer"]), (3, &json!(customer)), "{name}");
            assert_eq!(told["records"], wanted["records"], "{name}");
            // Which release is meant only the API can tell.
            let (asked, here): (Vec<Value>, Vec<Value>) = wanted["problems"]
                .as_array()
                .unwrap()
                .iter()
                .cloned()
                .partition(|problem| problem["rule"] == "release");
            assert_eq!(problems(&told, "reject"), here, "{name}");
            assert_eq!(problems(&told, "warn"), *wanted["warnings"].as_array().unwrap(), "{name}");

            let ready = wanted["delivered"].as_u64().unwrap()
                + wanted["parked"].as_u64().unwrap()
                + asked.len() as u64;
            assert_eq!(told["ready"], ready, "{name}");
            let messages = told["messages"].as_array().unwrap();
            assert_eq!(told["message_count"], messages.len(), "{name}");
            let all: usize = messages.iter().map(|message| records(message).len()).sum();
            assert_eq!(all as u64, ready, "{name}");
            let mut after = 0;
            for message in messages {
                let [first, last] = [0, 1].map(|at| message["records"][at].as_u64().unwrap());
                assert!(after < first && first <= last, "{name}: {}", message["records"]);
                after = last;
            }
        }
    }
    assert!(!folder.path().join("state").exists());
}

#[test]
fn a_body_is_cut_as_the_channel_says() {
    let folder = samples();
    let file = "inbox/kraanvogel-forwarding/RELEASE_20261120_0615.csv";
    let (_, told) = preview(folder.path(), &[file, "--limit", "1000"]);
    let messages = told["messages"].as_array().unwrap();
    let sizes: Vec<usize> = messages.iter().map(|message| records(message).len()).collect();
    // 191 records of 200, at most 50 a message; records 17 and 42 are faulty.
    assert_eq!(sizes, [50, 50, 50, 41]);
    assert_eq!(messages[0]["records"], json!([1, 52]));

    // The first row of the file: 00412001;SUDU0868532;40hc;BEANR;MPET;…;19/01/2027;17.415,3;…
    let first = &records(&messages[0])[0];
    assert_eq!(first["reference"], "00412001");
    assert_eq!(first["container"]["isoTypeCode"], "45G1");
    assert_eq!(first["container"]["validUntil"], "2027-01-19T00:00:00+01:00");
    assert_eq!(first["container"]["weightKg"], 17415.3);
}

#[test]
fn of_many_records_the_first_are_shown_and_all_problems() {
    let folder = samples();
    let file = "inbox/kraanvogel-forwarding/RELEASE_20261120_0615.csv";
    for (arguments, shown) in [(vec![file], 10), (vec![file, "--limit", "55"], 55)] {
        let (_, told) = preview(folder.path(), &arguments);
        let messages = told["messages"].as_array().unwrap();
        let records: usize = messages.iter().map(|message| records(message).len()).sum();
        assert_eq!(records, shown);
        assert_eq!(messages[0]["count"], 50);
        assert_eq!(told["problems"].as_array().unwrap().len(), 11);
    }
    let run = lighterman(folder.path(), &["preview", file, "--limit", "1"]);
    let text = String::from_utf8(run.stdout).unwrap();
    assert!(text.contains("line 19, record 17: CONT_NO \"YMLU3041781\": check digit should be 0"));
    assert!(text.contains("\"reference\": \"00412001\",\n"), "{text}");
    assert!(!text.contains("00412002"), "{text}");
    assert!(text.ends_with(
        "191 records would be sent in 4 messages, 9 quarantined, 0 discarded; nothing was sent\n"
    ));
}

#[test]
fn xml_and_csv_are_shown_with_whole_frames() {
    let folder = samples();
    let file = "inbox/kraanvogel-forwarding/RELEASE_20261120_0615.csv";
    let mapping = |output: &str| {
        let text = format!(
            "[input]\nformat = \"csv\"\nskip = 1\nencoding = \"windows-1252\"\n[output]\n{output}\n\
             [[fields]]\nto = \"ref\"\nfrom = \"DOSSIER\"\n"
        );
        fs::write(folder.path().join("mappings/other.toml"), text).unwrap();
    };
    let arguments = [file, "--mapping", "other", "--limit", "2"];
    let text = || {
        let run = lighterman(folder.path(), &[&["preview"], &arguments[..]].concat());
        String::from_utf8(run.stdout).unwrap()
    };
    mapping("format = \"xml\"\nroot = \"Orders\"\nrecord = \"Order\"");
    let document = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Orders>\n\
                    <Order><ref>00412001</ref></Order>\n<Order><ref>00412002</ref></Order>\n</Orders>\n";
    assert_eq!(preview(folder.path(), &arguments).1["messages"][0]["body"], document);
    let shown = "<Orders>\n  <Order>\n    <ref>00412001</ref>\n  </Order>\n  <Order>\n    \
                 <ref>00412002</ref>\n  </Order>\n</Orders>\n\n200 records would be sent";
    assert!(text().contains(shown), "{}", text());
    mapping("format = \"csv\"");
    assert!(text().contains("\nref\r\n00412001\r\n00412002\r\n\n200 records"), "{}", text());
}

#[test]
fn an_scr_api_takes_json_only() {
    let folder = samples();
    let path = folder.path().join("mappings/wilgenhof-assignments.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("format = \"json\"", "format = \"csv\"")).unwrap();
    let run = lighterman(folder.path(), &["check"]);
    let told = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(1));
    assert!(told.contains("\"wilgenhof-assignments\" writes csv"), "{told}");
    assert!(told.contains("an SCR API, which takes json"), "{told}");
}

#[test]
fn an_event_is_shown_as_its_mapping_writes_it_and_a_route_does_not_take_that_mapping() {
    let folder = samples();
    let path = |name: &str| folder.path().join(name);
    fs::write(
        path("mappings/back.toml"),
        "direction = \"out\"\n[output]\nformat = \"csv\"\nencoding = \"utf-16le\"\n\
         [[fields]]\nto = \"É\"\nfrom = \"release.note\"\nrequired = true\n",
    )
    .unwrap();
    fs::write(path("event.json"), r#"{"sequence":1,"release":{"note":"vóór, 12u"}}"#).unwrap();
    let (code, told) = preview(folder.path(), &["event.json", "--mapping", "back"]);
    assert_eq!((code, &told["ready"]), (0, &json!(1)));
    let message = &told["messages"][0];
    assert_eq!(message["body"], "É\r\n\"vóór, 12u\"\r\n");
    // A byte order mark and two bytes for each of the 3 and 13 characters.
    assert_eq!(message["bytes"], 34);
    fs::write(path("event.json"), "{}").unwrap();
    let (code, told) = preview(folder.path(), &["event.json", "--mapping", "back"]);
    assert_eq!((code, &told["problems"][0]["field"]), (3, &json!("release.note")));

    let customer = path("customers/wilgenhof-transport.toml");
    let text = fs::read_to_string(&customer).unwrap();
    fs::write(&customer, text.replace("wilgenhof-assignments", "back")).unwrap();
    let run = lighterman(folder.path(), &["check"]);
    let told = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(1));
    let why = "the mapping \"back\" has direction = \"out\": it writes files for an outbox; name one \
               that reads the customer's files";
    assert!(told.contains(why), "{told}");
}

#[test]
fn the_way_is_found_by_folder_name_or_what_is_given() {
    let folder = samples();
    let path = |name: &str| folder.path().join(name);
    let csv = "inbox/kraanvogel-forwarding/RELEASE_20261120_0615.csv";
    // By the name, wherever the file lies.
    fs::copy(path(csv), path("release_x.CSV")).unwrap();
    let (code, told) = preview(folder.path(), &["release_x.CSV"]);
    assert_eq!((code, &told["channel"]), (3, &json!("releases")));

    // By what is given, though no route matches the name: such a file would be set aside whole.
    fs::copy(path(csv), path("other.csv")).unwrap();
    let (code, told) = preview(
        folder.path(),
        &["other.csv", "--customer", "kraanvogel-forwarding", "--source", "erp"],
    );
    assert_eq!((code, &told["mapping"]), (3, &Value::Null));
    assert_eq!(problems(&told, "reject")[0]["rule"], "route");
    let (code, told) = preview(folder.path(), &["other.csv", "--mapping", "kraanvogel-releases"]);
    assert_eq!((code, &told["customer"]), (3, &Value::Null));
    assert_eq!((&told["ready"], &told["message_count"]), (&json!(191), &json!(1)));

    let (code, said) = turned_away(folder.path(), &["other.csv"]);
    assert!(code == 2 && said.contains("--customer") && said.contains("--mapping"), "{said}");
    let (code, said) = turned_away(folder.path(), &["other.csv", "--customer", "kraanvogel"]);
    assert!(code == 2 && said.contains("did you mean \"kraanvogel-forwarding\"?"), "{said}");
    let both = ["other.csv", "--customer", "kraanvogel-forwarding", "--mapping", "x"];
    assert_eq!(turned_away(folder.path(), &both).0, 2);
    assert_eq!(turned_away(folder.path(), &["missing.csv"]).0, 2);

    // Two customers whose routes match: the folder decides, and without it a person.
    let customers = path("customers");
    let twin = fs::read_to_string(customers.join("kraanvogel-forwarding.toml")).unwrap();
    let twin = twin.replace("inbox/kraanvogel-forwarding", "inbox/twin");
    fs::create_dir(path("inbox/twin")).unwrap();
    fs::write(customers.join("twin.toml"), twin.replace("kraanvogel-releases-sandbox", "t"))
        .unwrap();
    let (code, said) = turned_away(folder.path(), &["release_x.CSV"]);
    assert!(code == 2 && said.contains("--customer twin --source erp"), "{said}");
    assert_eq!(preview(folder.path(), &[csv]).1["customer"], "kraanvogel-forwarding");
}

#[test]
fn the_exit_status_says_whether_something_would_be_set_aside() {
    let folder = samples();
    let path = |name: &str| folder.path().join(name);
    let csv = fs::read(path("inbox/kraanvogel-forwarding/RELEASE_20261120_0615.csv")).unwrap();
    let lines: Vec<&[u8]> = csv.split_inclusive(|byte| *byte == b'\n').collect();
    fs::write(path("RELEASE_sound.csv"), lines[..5].concat()).unwrap();
    let (code, told) = preview(folder.path(), &["RELEASE_sound.csv"]);
    assert_eq!((code, &told["ready"]), (0, &json!(3)));

    // An unclosed quote swallows the rest: nothing of such a file would be sent.
    let cut = [&lines[..5].concat()[..], b"\"00412"].concat();
    fs::write(path("RELEASE_cut.csv"), cut).unwrap();
    let (code, told) = preview(folder.path(), &["RELEASE_cut.csv"]);
    assert_eq!((code, &told["messages"]), (3, &json!([])));
    assert_eq!(problems(&told, "reject")[0]["record"], 0);

    fs::write(path("RELEASE_empty.csv"), "").unwrap();
    let (code, told) = preview(folder.path(), &["RELEASE_empty.csv"]);
    assert_eq!((code, &told["records"]), (0, &json!(0)));
    assert_eq!(problems(&told, "warn")[0]["rule"], "empty");

    let mapping = path("mappings/kraanvogel-releases.toml");
    let text = fs::read_to_string(&mapping).unwrap();
    fs::write(&mapping, text.replace("delimiter =", "delimeter =")).unwrap();
    let (code, said) = turned_away(folder.path(), &["RELEASE_sound.csv"]);
    assert!(code == 1 && said.contains("kraanvogel-releases.toml:5: "), "{said}");
    // What a run would leave the customer out for.
    fs::write(&mapping, text.replace("format = \"json\"", "format = \"ndjson\"")).unwrap();
    let (code, said) = turned_away(folder.path(), &["RELEASE_sound.csv"]);
    assert!(code == 1 && said.contains("media_type"), "{said}");
    fs::write(path("lighterman.toml"), "environment = 3").unwrap();
    assert_eq!(turned_away(folder.path(), &["RELEASE_sound.csv"]).0, 1);
}

#[test]
fn a_reader_who_has_seen_enough_is_no_fault() {
    let folder = samples();
    let file = "inbox/kraanvogel-forwarding/RELEASE_20261120_0615.csv";
    let mut child = Command::new(env!("CARGO_BIN_EXE_lighterman"))
        .current_dir(folder.path())
        .args(["preview", file, "--limit", "1000"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let run = child.wait_with_output().unwrap();
    let log = String::from_utf8(run.stderr).unwrap();
    assert!(!log.contains("panicked") && !log.contains("Broken pipe"), "{log}");
}

#[test]
fn as_json_every_record_is_told_with_its_line_its_state_and_what_would_be_sent() {
    let folder = samples();
    fs::create_dir_all(folder.path().join("elsewhere")).unwrap();
    let mapping = r#"
[input]
format = "csv"
delimiter = ";"
only = { field = "KIND", is = ["IMP"] }
[output]
format = "json"
[[fields]]
to = "id"
from = "ID"
required = true
[[fields]]
to = "weight"
from = "WEIGHT"
number = { decimal = "," }
"#;
    fs::write(folder.path().join("mappings/weights.toml"), mapping).unwrap();
    let file = "ID;KIND;WEIGHT\n007;IMP;1,50\n8;EXP;2\n9;IMP;\"hea\nvy\"\n10;IMP;3\n";
    fs::write(folder.path().join("elsewhere/X.csv"), file).unwrap();
    let (code, told) =
        preview(folder.path(), &["elsewhere/X.csv", "--mapping", "weights", "--limit", "1"]);
    assert_eq!((code, &told["records"], &told["ready"]), (3, &json!(4), &json!(2)));
    let each = told["each"].as_array().unwrap();
    let seen: Vec<Value> = each
        .iter()
        .map(|one| json!([one["record"], one["line"], one["state"], one["output"]]))
        .collect();
    assert_eq!(
        json!(seen),
        json!([
            [1, 2, "ready", { "id": "007", "weight": 1.50 }],
            [2, 3, "unwanted", null],
            [3, 4, "rejected", null],
            [4, 6, "ready", null],
        ]),
    );
    assert_eq!(each[2]["problems"], told["problems"]);
    assert_eq!(told["problems"][0]["rule"], "number");
}
