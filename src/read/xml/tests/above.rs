//! Values that stand above a record.

use super::*;

const IDOCS: &str = "<ORDERS05>\n<IDOC BEGIN=\"1\">\
    <EDI_DC40><DOCNUM>01</DOCNUM><SNDPRN/></EDI_DC40><E1EDKA1><PARTN>a</PARTN><PARVW>AG</PARVW>\
    </E1EDKA1><E1EDKA1><PARVW>SP</PARVW><PARTN>b</PARTN></E1EDKA1><E1EDP01 n='1'/><E1EDP01 n='2'/>\
    <E1EDS01>late</E1EDS01><E1EDP01 n='3'/></IDOC>\n<IDOC><E1EDP01 n='4'/><EDI_DC40><DOCNUM>02\
    </DOCNUM></EDI_DC40></IDOC><IDOC BEGIN=\"x\"><EDI_DC40><DOCNUM>03</DOCNUM></EDI_DC40><E1EDP01 \
    n='5'/></IDOC></ORDERS05>";

const ABOVE: [&str; 6] = [
    "@n",
    "../EDI_DC40/DOCNUM",
    "../@BEGIN",
    "../E1EDKA1[PARVW='SP']/PARTN",
    "../E1EDS01",
    "../E1EDP01/@n",
];

fn idocs() -> Vec<Vec<Vec<&'static str>>> {
    vec![
        vec![vec!["1"], vec!["01"], vec!["1"], vec!["b"], vec![], vec![]],
        vec![vec!["2"], vec!["01"], vec!["1"], vec!["b"], vec![], vec![]],
        vec![vec!["3"], vec!["01"], vec!["1"], vec!["b"], vec!["late"], vec![]],
        vec![vec!["4"], vec![], vec![], vec![], vec![], vec![]],
        vec![vec!["5"], vec!["03"], vec!["x"], vec![], vec![], vec![]],
    ]
}

#[test]
fn values_above_a_record_are_those_before_it_in_its_own_parent() {
    for path in ["ORDERS05/IDOC/E1EDP01", "**/E1EDP01", "ORDERS05/**/E1EDP01"] {
        assert_eq!(texts(IDOCS, path, &ABOVE), idocs(), "{path}");
    }
}

#[test]
fn reading_on_from_any_mark_knows_what_stands_above() {
    let selectors = owned(&ABOVE);
    for path in ["ORDERS05/IDOC/E1EDP01", "**/E1EDP01"] {
        let dialect = Dialect { format: Format::Xml(xml(path)), encoding: UTF_8.into() };
        let asked = dialect.format.above(&selectors);
        assert_eq!(asked, ABOVE[1..]);
        let whole = Box::new(IDOCS.as_bytes());
        let mut reader = Reader::open(&dialect, &asked, whole).unwrap();
        let mut layout = Layout { asked, ..reader.layout() };
        let mut record = Record::default();
        let mut marks = Vec::new();
        while reader.next(&mut record).unwrap() {
            assert!(reader.resumable());
            let (line, byte) = (record.place.line, record.place.byte);
            marks.push(Mark { ordinal: record.ordinal, line, byte });
            layout.note_above(record.ordinal, reader.above());
        }
        // The first two records share it.
        assert_eq!(layout.above.len(), 4);
        for mark in marks {
            let rest = Box::new(&IDOCS.as_bytes()[mark.byte as usize..]);
            let mut reader = Reader::resume(&dialect, &selectors, &layout, mark, rest).unwrap();
            let taken = take(selectors.len(), |record| reader.next(record)).unwrap();
            let read: Vec<_> = taken.into_iter().map(|taken| taken.texts).collect();
            assert_eq!(read, idocs()[mark.ordinal as usize - 1..], "{path} from {mark:?}");
        }
    }
}

#[test]
fn a_layout_for_other_selectors_is_not_read_on_from() {
    let dialect = Dialect { format: Format::Xml(xml("r/o")), encoding: UTF_8.into() };
    let reader = Reader::open(&dialect, &[], Box::new(&b"<r><o/></r>"[..])).unwrap();
    let layout = reader.layout();
    let mark = Mark { ordinal: 1, line: 1, byte: 3 };
    let rest = || Box::new(&b"<o/></r>"[..]);
    assert!(Reader::resume(&dialect, &owned(&["a"]), &layout, mark, rest()).is_ok());
    assert!(Reader::resume(&dialect, &owned(&["../a"]), &layout, mark, rest()).is_err());
}

#[test]
fn values_above_lie_in_elements_that_have_ended() {
    // The g that is open around a record is looked into from the root once it has ended, so that
    // it makes no difference whether there is a record in it.
    let document = "<r><g k=''><h>1</h><o/></g><g><h>2</h></g><g k=''><o/><h>3<o/></h></g><o/></r>";
    for (path, selectors, expected) in [
        ("r/g/o", ["../h", "../../g/h"], vec![[vec!["1"], vec![]], [vec![], vec!["1", "2"]]]),
        (
            "**/o",
            ["../g/h", "../../g[@k='']/h"],
            vec![
                [vec![], vec![]],
                [vec![], vec!["1"]],
                [vec![], vec![]],
                [vec!["1", "2", "3"], vec![]],
            ],
        ),
    ] {
        assert_eq!(texts(document, path, &selectors), expected, "{path}");
    }
}

#[test]
fn no_mark_stands_where_the_end_of_an_open_element_decides_what_counts() {
    let bytes = b"<r><g><h>1</h><o/></g><k><o/></k></r>";
    let resumable = |selector: &str| {
        let start = text(bytes, &[]).unwrap();
        let mut reader = XmlReader::open(start, &xml("r/**/o"), &owned(&[selector])).unwrap();
        reader.next(&mut Record::default()).unwrap();
        reader.around.is_kept()
    };
    assert!(!resumable("../../g/h"));
    assert!(resumable("../h"));
    assert!(resumable("../../k/h"));
}

#[test]
fn what_stands_far_above_is_found_at_each_height() {
    let document = "<r v='0'><h>a<![CDATA[ b ]]>&amp; c</h><g v='1'><h/><k v='2'><o/></k></g></r>";
    let selectors = ["../@v", "../../@v", "../../../@v", "../../../h", "../../h", "../h"];
    for path in ["r/g/k/o", "**/o"] {
        assert_eq!(
            texts(document, path, &selectors),
            [[vec!["2"], vec!["1"], vec!["0"], vec!["a b & c"], vec![""], vec![]]],
            "{path}"
        );
    }
}

#[test]
fn too_much_above_a_record_is_a_fault_of_the_record() {
    let flat = |n: usize| format!("<r>{}<o/><g/></r>", "<h>1</h>".repeat(n));
    assert_eq!(read(&flat(1000), "r/o", &["../h"]).unwrap()[0].texts[0].len(), 1000);
    for file in [flat(1001), format!("<r><h>{}</h><o/></r>", "<![CDATA[123456789 ]]>".repeat(6554))]
    {
        let taken = read(&file, "r/o", &["../h"]).unwrap();
        assert_eq!(taken[0].faults[0].rule, "size");
        assert!(taken[0].faults[0].advice.contains("../h"));
        assert!(read(&file, "**/o", &["a"]).unwrap()[0].faults.is_empty());
    }
}
