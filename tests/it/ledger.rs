//! The ledger as a whole: written as text and read back, made smaller, and what is said when it
//! cannot be opened.

use lighterman::sandbox::Fault;

use crate::harness::*;

const CSV: &str = "format = \"csv\"\ndelimiter = \";\"";
const SMALL: &str = "batch = { records = 10, bytes = \"64 KiB\" }";

/// A provider of acme, whose file of 60 orders is delivered but for what its channel does not take
/// now: from the fourth message on its server is out of order.
fn half_delivered() -> (Port, Provider) {
    let port = Port::open(Port::world(&["acme"]));
    let provider = Provider::new(&port);
    provider.mapping("orders", &orders(CSV, "json"));
    provider.forwarder("acme", "orders", &format!("{SMALL}\nconcurrency = 1"));
    let fault = Fault::status("/ingestion/c-acme", 503);
    port.fault(fault.skip(3)).unwrap();
    provider.drop_file("acme", "A.csv", csv((0..60).map(|n| n.to_string()), |_| false));
    assert_eq!(provider.run_once(&[]).code, 75);
    assert_eq!(provider.records("acme", "delivered"), 30);
    (port, provider)
}

fn export(provider: &Provider) -> String {
    let export = provider.run(&["ledger", "export"]);
    assert_eq!(export.code, 0, "{export}");
    export.stdout
}

/// What was sent besides the 30 orders, and that each order was taken once.
#[track_caller]
fn goes_on(port: &Port, provider: &Provider) {
    port.clear_faults();
    let run = provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 0, "{run}");
    provider.check_ledger();
    assert_eq!(port.stats().ingestion.by_channel["c-acme"].records, 60);
    assert_eq!(provider.receipt("acme", "A.csv")["records"]["delivered"], 60);
}

#[test]
fn open_files_go_on_after_an_import() {
    let (port, provider) = half_delivered();
    let text = export(&provider);
    let written = provider.run(&["ledger", "export", "ledger.ndjson"]);
    assert_eq!(written.code, 0, "{written}");
    assert_eq!(std::fs::read_to_string(provider.path("ledger.ndjson")).unwrap(), text);
    let again = provider.run(&["ledger", "export", "ledger.ndjson"]);
    assert_eq!(again.code, 1, "nothing is overwritten: {again}");

    let full = provider.run(&["ledger", "import", "ledger.ndjson"]);
    assert_eq!(full.code, 1, "{full}");
    assert!(full.stderr.contains("holds something already"), "{full}");
    let ledger = provider.path("state/test/ledger");
    std::fs::rename(&ledger, provider.path("aside")).unwrap();
    let import = provider.run(&["ledger", "import", "ledger.ndjson"]);
    assert_eq!(import.code, 0, "{import}");
    assert_eq!(export(&provider), text);
    goes_on(&port, &provider);
}

#[test]
fn an_import_that_is_wrong_changes_nothing() {
    let (port, provider) = half_delivered();
    let text = export(&provider);
    provider
        .file("wrong.ndjson", text.replace("\"delivered\",\"ranges\"", "\"pending\",\"ranges\""));
    let ledger = provider.path("state/test/ledger");
    std::fs::rename(&ledger, provider.path("aside")).unwrap();
    let import = provider.run(&["ledger", "import", "wrong.ndjson"]);
    assert_eq!(import.code, 1, "{import}");
    assert!(import.stderr.contains("wrong.ndjson, line "), "{import}");
    assert!(!ledger.exists());
    std::fs::rename(provider.path("aside"), &ledger).unwrap();
    goes_on(&port, &provider);
}

#[test]
fn open_files_go_on_in_a_ledger_made_smaller() {
    let (port, provider) = half_delivered();
    let text = export(&provider);
    let compact = provider.run(&["ledger", "compact"]);
    assert_eq!(compact.code, 0, "{compact}");
    assert_eq!(export(&provider), text);
    goes_on(&port, &provider);
}

#[test]
fn a_ledger_that_a_daemon_holds_is_left_alone() {
    let (_port, provider) = half_delivered();
    let daemon = provider.start();
    until_true("that it started", || daemon.stderr().contains("Started"));
    for command in [["ledger", "export"], ["ledger", "compact"]] {
        let end = provider.run(&command);
        assert_eq!(end.code, 75, "{end}");
        assert!(end.stderr.contains(&format!("process {}", daemon.id())), "{end}");
    }
    assert_eq!(daemon.stop().code, 0);
}
