//! The mapping and the tables that ship with Lighterman hold what the SCR API's document (1.2.9) says.

use super::*;

fn shipped() -> Mapping {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings");
    let faults = Faults::default();
    let bundle = Bundle::load(&folder, "releases-out", &environments(), &faults).unwrap();
    sound(&bundle)
}

/// The rows of a table, by the `csv` library alone.
fn rows(name: &str) -> Vec<Vec<String>> {
    let file = format!("{}/mappings/aka/{name}.csv", env!("CARGO_MANIFEST_DIR"));
    let mut reader = csv::Reader::from_path(file).unwrap();
    let texts = |row: csv::StringRecord| row.iter().map(str::to_owned).collect();
    reader.records().map(|row| texts(row.unwrap())).collect()
}

fn has(rows: &[Vec<String>], row: &[&str]) -> bool {
    rows.iter().any(|known| known == row)
}

#[test]
fn the_carriers_are_those_of_the_document() {
    let rows = rows("creators");
    assert_eq!(rows.len(), 6);
    assert!(has(&rows, &["MSC Belgium", "0xE51e6BBf84e23De4785Edb7096460Ec9956A5B34"]));
    assert!(has(&rows, &["One Nederland", "0xB4F7852d6a3A6537eeCc0465e44C3Dc7112E16D1"]));
    assert!(rows.iter().all(|row| row[1].len() == 42 && row[1].starts_with("0x")));
}

#[test]
fn the_green_lights_are_those_of_the_document() {
    let (colours, meanings) = (rows("green-lights"), rows("green-light-meanings"));
    for rows in [&colours, &meanings] {
        let of = |light: &str| rows.iter().filter(|row| row[2] == light).count();
        assert_eq!(
            [
                of("commercialrelease"),
                of("customs"),
                of("customsprogress"),
                of("gateoperation"),
                of("pickuplight"),
                of("terminaloperation"),
                of("terminalready"),
                rows.len(),
            ],
            [5, 7, 2, 4, 3, 6, 5, 32]
        );
    }
    let with = |colour: &str| colours.iter().filter(|row| row[0] == colour).count();
    assert_eq!([with("green"), with("yellow"), with("red"), with("gray")], [7, 6, 9, 10]);
    assert!(has(&colours, &["yellow", "favv", "customs"]));
    assert!(has(&colours, &["red", "archived", "terminalready"]));
    assert!(has(&colours, &["gray", "loadcancelled", "terminaloperation"]));
    assert!(has(&meanings, &["Container can be released under FAVV", "favv", "customs"]));
    assert!(has(
        &meanings,
        &["Container has been commercially blocked", "nok", "commercialrelease"]
    ));
}

#[test]
fn a_release_of_the_document_becomes_a_row() {
    let document = r#"{"sequence":17,"event":"greenlights","received":"2026-11-22T13:20:00Z",
        "customer":"acme","api":"wallet-a","release":{"release_data":{
          "billOfLading":{"blNumber":"RELEASE-API-TEST-1612","vessel":"AAA"},
          "container":{"containerNumber":"CSQU3054383","pickupLocation":"ECTDCD",
            "validFrom":"2017-01-05T14:00:00.000Z","validUntil":"2025-01-05T14:00:00.000Z",
            "isoTypeCode":"45G1"}},
          "address":"0x79ED95e778d1C3284636Ab0Be741Ce6836252Fb0","deleted":false,"blocked":true,
          "gateOut":null,"creator":"0xa82f30d75e4486864cf65c83e74f8dab7fc2feae",
          "greenLights":{"total":"yellow","events":{
            "customs":{"color":"yellow","value":"favv","updatedAt":"2023-07-10 13:00"},
            "terminalready":{"color":"green","value":"released","updatedAt":"2023-07-10 12:00"},
            "commercialrelease":{"color":"green","value":"ok","updatedAt":"2023-07-05 13:37"},
            "terminaloperation":{"color":"green","value":"discharged","updatedAt":""}},
            "source":"NxtPort"}}}"#;
    let mapping = shipped();
    let (mut out, mut problems) = (mapping.frame(2).head, Vec::new());
    let mapped = mapping.write(document.as_bytes(), 17, &context(), &mut out, &mut problems);
    assert_eq!((mapped, problems), (Mapped::Ready, vec![]));
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "SEQUENCE;EVENT;RECEIVED;CONTAINER;BL;SIZETYPE;TERMINAL;VALID_UNTIL;CARRIER;BLOCKED;\
         DELETED;LIGHT;LIGHT_COMMERCIAL;LIGHT_DISCHARGED;LIGHT_TERMINAL;LIGHT_CUSTOMS;CUSTOMS;\
         ADDRESS\r\n\
         17;greenlights;22/11/2026 14:20:00;CSQU3054383;RELEASE-API-TEST-1612;45G1;ECTDCD;\
         05/01/2025 15:00;CMA/CGM Nederland;Y;N;yellow;green;green;green;yellow;Container can be \
         released under FAVV;0x79ED95e778d1C3284636Ab0Be741Ce6836252Fb0"
    );
}
