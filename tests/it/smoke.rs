//! The harness at work once.
use crate::harness::*;

#[test]
fn a_file_is_delivered() {
    let port = Port::open(Port::world(&["acme"]));
    let provider = Provider::new(&port);
    provider.mapping("orders", &orders("format = \"csv\"\ndelimiter = \";\"", "json"));
    provider.forwarder("acme", "orders", "");
    provider.drop_file("acme", "A.csv", csv(["1".into(), "2".into()], |id| id == "2"));
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 3, "{run}");
    assert_eq!(port.stats().ingestion.records, 1);
    println!("{:?} {:?}", provider.receipt("acme", "A.csv"), provider.problems("acme", "A.csv"));
    provider.check_ledger();
    println!("{}", provider.status());
    println!("{:?}", sent(&port, "c-acme"));
}
