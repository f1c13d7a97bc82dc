//! What XML documents read as, and what is refused.

mod above;
mod written;

use encoding_rs::{UTF_8, UTF_16LE, WINDOWS_1252};

use super::super::bounded::pieces::{Taken, take, text, text_at};
use super::super::{Dialect, Format, Reader};
use super::*;

fn xml(records: &str) -> Xml {
    Xml { records: records.to_owned(), namespaces: Vec::new() }
}

fn owned(selectors: &[&str]) -> Vec<String> {
    selectors.iter().map(|s| s.to_string()).collect()
}

fn read_cut(
    bytes: &[u8],
    dialect: &Xml,
    selectors: &[&str],
    cuts: &[usize],
) -> Result<Vec<Taken>, Unsound> {
    let mut reader = XmlReader::open(text(bytes, cuts)?, dialect, &owned(selectors))?;
    take(selectors.len(), |record| reader.next(record))
}

fn read(document: &str, records: &str, selectors: &[&str]) -> Result<Vec<Taken>, Unsound> {
    read_cut(document.as_bytes(), &xml(records), selectors, &[])
}

fn texts(document: &str, records: &str, selectors: &[&str]) -> Vec<Vec<Vec<String>>> {
    read(document, records, selectors).unwrap().into_iter().map(|taken| taken.texts).collect()
}

/// Reads as a file is read, by its own declaration and byte order mark.
fn read_file(bytes: &[u8], selectors: &[&str]) -> Result<Vec<Taken>, Unsound> {
    let dialect = Dialect { format: Format::Xml(xml("r/o")), encoding: UTF_8.into() };
    let input = Box::new(std::io::Cursor::new(bytes.to_vec()));
    let mut reader = Reader::open(&dialect, &owned(selectors), input)?;
    take(selectors.len(), |record| reader.next(record))
}

fn refused(document: &str) -> (&'static str, u64, u64, String) {
    let unsound = read(document, "r/o", &["a"]).unwrap_err();
    (unsound.rule, unsound.line, unsound.byte, unsound.what)
}

#[test]
fn the_elements_at_the_path_are_the_records() {
    let document = "<?xml version=\"1.0\"?>\r\n<Orders version=\"2\">\r\n  <Head>x</Head>\r\n  \
                    <Order id=\"é\">\r\n    <No>01</No>\r\n  </Order>\r\n  <Order/>\r\n</Orders>\r\n";
    let taken = read(document, "Orders/Order", &["No", "@id"]).unwrap();
    let places: Vec<_> = taken.iter().map(|t| (t.ordinal, t.line, t.byte, t.length)).collect();
    assert_eq!(places, [(1, 4, 65, 44), (2, 7, 113, 8)]);
    assert_eq!(taken[0].texts, [["01"], ["é"]]);
    assert_eq!(taken[1].texts, [[""; 0], [""; 0]]);
    assert_eq!(&document[taken[1].range()], "<Order/>");
    assert!(document[taken[0].range()].starts_with("<Order id"));
    assert!(document[taken[0].range()].ends_with("</Order>"));
}

#[test]
fn the_root_itself_may_be_the_record() {
    assert_eq!(texts("<o><a>1</a></o>", "o", &["a"]), [[["1"]]]);
    assert_eq!(texts("<o>\n 1 </o>", "o", &["."]), [[["1"]]]);
    assert_eq!(read("<o a='1'/>", "o", &["@a"]).unwrap()[0].texts, [["1"]]);
}

#[test]
fn records_at_any_depth_are_not_nested() {
    let document =
        "<r><g><o><o><a>1</a></o></o></g><o><a>2</a></o><x><y><o><a>3</a></o></y></x></r>";
    for path in ["**/o", "r/**/o"] {
        assert_eq!(
            texts(document, path, &["a", "o/a"]),
            [[vec![], vec!["1"]], [vec!["2"], vec![]], [vec!["3"], vec![]],]
        );
    }
}

#[test]
fn a_selector_hits_every_element_at_its_path_in_order() {
    let document =
        "<r><o k='x'><h n='7'><a>1</a><a/><b><a>no</a></b></h><h><a>2</a></h><a>no</a></o></r>";
    assert_eq!(
        texts(document, "r/o", &["h/a", "h/@n", "@k", "./h/a", "h", "z", "@z"]),
        [[
            vec!["1", "", "2"],
            vec!["7"],
            vec!["x"],
            vec!["1", "", "2"],
            vec!["", ""],
            vec![],
            vec![]
        ]]
    );
}

#[test]
fn text_is_whole_across_references_cdata_and_comments() {
    let document = "<r><o><a> T&amp;C &lt;&#x41;&#66;&#13;&gt;<!-- no --><![CDATA[ <b>&amp; ]]>\
                    <?no no?>z&quot;&apos;\r\n </a></o></r>";
    assert_eq!(texts(document, "r/o", &["a"]), [[["T&C <AB\r> <b>&amp; z\"'"]]]);
}

#[test]
fn text_is_trimmed_at_its_ends_and_its_line_ends_are_one() {
    let document = "<r><o><a>\r\n  one\r\n  two\rthree \n</a><a> \n </a></o></r>";
    assert_eq!(texts(document, "r/o", &["a"]), [[["one\n  two\nthree", ""]]]);
}

#[test]
fn only_the_own_text_of_an_element_counts() {
    assert_eq!(texts("<r><o><a>1<b>2</b>3</a></o></r>", "r/o", &["a", "a/b"]), [[["13"], ["2"]]]);
}

#[test]
fn attribute_values_are_normalised_and_resolved() {
    let document = "<r><o a=' x&amp;y\n&#10;z ' b=\"it's\"/></r>";
    assert_eq!(texts(document, "r/o", &["@a", "@b"]), [[[" x&y \nz "], ["it's"]]]);
}

#[test]
fn without_namespaces_names_are_compared_as_they_are_written() {
    let document = "<n:r xmlns:n='urn:n'><n:o n:id='1'><n:a>1</n:a><a>2</a></n:o></n:r>";
    assert_eq!(
        texts(document, "n:r/n:o", &["n:a", "a", "@n:id", "@id"]),
        [[vec!["1"], vec!["2"], vec!["1"], vec![]]]
    );
    assert!(read(document, "r/o", &[]).is_err());
}

#[test]
fn with_namespaces_prefixes_are_the_mappings_own() {
    let dialect =
        Xml { records: "m:r/o".to_owned(), namespaces: vec![("m".to_owned(), "urn:n".to_owned())] };
    let document = "<r xmlns='urn:n' xmlns:q='urn:n'><o xmlns='' q:id='1' id='2'><q:a>1</q:a>\
                    <a xmlns='urn:x'>2</a><a>3</a></o><p:o xmlns:p='urn:y'><m:a xmlns:m='urn:z'>4\
                    </m:a></p:o></r>";
    let taken =
        read_cut(document.as_bytes(), &dialect, &["m:a", "a", "@m:id", "@id"], &[]).unwrap();
    assert_eq!(taken[0].texts, [vec!["1"], vec!["1", "2", "3"], vec!["1"], vec!["1", "2"]]);
    assert_eq!(taken[1].texts, [vec![], vec!["4"], vec![], vec![]]);
    let other = document.replace("urn:n", "urn:other");
    assert_eq!(read_cut(other.as_bytes(), &dialect, &[], &[]).unwrap_err().rule, "xml");
}

#[test]
fn a_path_that_cannot_be_meant_is_refused() {
    let mapped =
        |records| Xml { namespaces: vec![("m".to_owned(), "urn:n".to_owned())], ..xml(records) };
    assert!(read_cut(b"<r/>", &mapped("r/x:o"), &[], &[]).is_err());
    assert!(read_cut(b"<r/>", &mapped("r/m:o"), &["x:a"], &[]).is_err());
    for selector in ["a//@", "a/@b/c", "a b", "@b@c", "**/a", "a//b", "../../../a"] {
        assert_eq!(read("<r/>", "r/o", &[selector]).unwrap_err().rule, "xml", "{selector}");
    }
    assert_eq!(read("<r/>", "", &[]).unwrap_err().rule, "xml");
}

#[test]
fn a_document_without_records_is_sound() {
    for document in ["<r/>", "<r></r>\n<!-- end -->", "<r><x/></r>", "", " \r\n"] {
        assert_eq!(read(document, "r/o", &["a"]).unwrap(), [], "{document}");
    }
}

#[test]
fn another_root_is_told_with_the_path() {
    let (rule, line, byte, what) = refused("<?xml version='1.0'?>\n<Invoices><o/></Invoices>");
    assert_eq!((rule, line, byte), ("xml", 2, 22));
    assert_eq!(what, "the root element is <Invoices>, the records are at r/o");
    assert_eq!(read("<x><o/></x>", "**/o", &[]).unwrap().len(), 1);
}

#[test]
fn a_doctype_is_passed_over_and_its_entities_are_not_known() {
    let doctype = "<!DOCTYPE r SYSTEM \"file:///etc/passwd\" [\n<!ENTITY co \"Acme\">\n\
                   <!ENTITY % x SYSTEM 'file:///x'>\n<!ELEMENT r (o*)> <!-- ]> --> <?p ]> ?>\n]>";
    assert_eq!(texts(&format!("{doctype}<r><o><a>1</a></o></r>"), "r/o", &["a"]), [[["1"]]]);
    let (rule, line, _, what) = refused(&format!("{doctype}<r><o><a>&co;</a></o></r>"));
    assert_eq!((rule, line), ("xml", 5));
    assert_eq!(what, "the reference &co; is not known");
    assert_eq!(refused(&format!("{doctype}<r><o b='&co;'/></r>")).0, "xml");
    assert_eq!(refused("<r><o/><!DOCTYPE r></r>").0, "xml");
}

#[test]
fn what_is_not_well_formed_is_refused_where_it_stands() {
    for (document, byte) in [
        ("<r><o></r></o>", 6),
        ("<r>\n<o></o></x>", 11),
        ("<r/><r/>", 4),
        ("<r/>text", 4),
        ("CONT;NO\n1;2\n", 0),
        ("text<r/>", 0),
        ("<r/>&amp;", 4),
        ("<r/><![CDATA[ ]]>", 4),
        ("<r/></r>", 4),
        ("<r><o>&nbsp;</o></r>", 6),
        ("<r>&nbsp;</r>", 3),
        ("<r><o>a & b</o></r>", 8),
        ("<r><o>&#0;</o></r>", 6),
        ("<r><o>&#xFFFE;</o></r>", 6),
        ("<r><o>&#x110000;</o></r>", 6),
        ("<r><o>\u{1}</o></r>", 6),
        ("<r><o><![CDATA[\u{1F}]]></o></r>", 6),
        ("<r>\u{0}<o/></r>", 3),
        ("<r><o b=1/></r>", 3),
        ("<r><o b/></r>", 3),
        ("<r><o b='1' b='2'/></r>", 3),
        ("<r><o b='<'/></r>", 3),
        ("<r><o b='&x;'/></r>", 3),
        ("<r><o b='a&b'/></r>", 3),
        ("<r><o b='\u{2}'/></r>", 3),
        ("<r><o><a <b></a></o></r>", 6),
        ("<r><o>1 < 2</o></r>", 8),
        ("<r><1a/></r>", 3),
        ("<r><x b='1' b='2'/></r>", 3),
        ("<r><?xml version='1.0'?></r>", 3),
        ("<r/><?xml version='1.0'?>", 4),
        ("<!-- x --><?xml version='1.0'?><r/>", 10),
        ("<r><!ELEMENT a></r>", 3),
    ] {
        let (rule, _, at, what) = refused(document);
        assert_eq!((rule, at), ("xml", byte), "{document}: {what}");
        assert!(!what.is_empty());
    }
}

#[test]
fn an_error_is_told_again_and_no_record_follows_it() {
    let bytes = b"<r><o/><o></x></o><o/></r>";
    let mut reader = XmlReader::open(text(bytes, &[]).unwrap(), &xml("r/o"), &[]).unwrap();
    let mut record = Record::default();
    assert_eq!(reader.next(&mut record), Ok(true));
    let unsound = reader.next(&mut record).unwrap_err();
    assert_eq!(unsound.what, "</x> stands where </o> is due");
    assert_eq!(reader.next(&mut record), Err(unsound));
}

#[test]
fn a_document_cut_at_any_byte_is_refused_as_truncated() {
    let document = "<?xml version='1.0'?><!DOCTYPE r [<!ENTITY x 'y'>]><!-- c --><r a='1'><?p p?>\
                    <h/><o b='2'>é<a>x&amp;y&#65;</a><![CDATA[ z ]]></o> <o/></r>";
    assert!(read(document, "r/o", &["a"]).is_ok());
    for cut in 1..document.len() {
        let unsound =
            read_cut(&document.as_bytes()[..cut], &xml("r/o"), &["a", "@b"], &[]).unwrap_err();
        if document.is_char_boundary(cut) {
            let told = (unsound.rule, unsound.byte);
            assert_eq!(told, ("truncated", cut as u64), "{}", &document[..cut]);
        }
    }
    assert_eq!(refused("<r>\n<o>\n<a>").3, "the file ends inside the record that starts on line 2");
    assert_eq!(refused("<r>\n<o/>\n").3, "the file ends before <r> is closed");
}

#[test]
fn nesting_beyond_the_limit_is_refused() {
    let deep = |n: usize| format!("<r><o>{}{}</o></r>", "<a>".repeat(n), "</a>".repeat(n));
    assert!(read(&deep(254), "r/o", &["a"]).is_ok());
    assert_eq!(refused(&deep(255)).0, "xml");
    let outside = format!("<r>{}", "<x>".repeat(256));
    assert!(refused(&outside).3.contains("nested"));
}

#[test]
fn a_record_beyond_the_limit_is_refused_and_many_small_ones_are_not() {
    let huge = "x".repeat(crate::read::RECORD_LIMIT + 1);
    for record in [
        format!("<o>{huge}</o>"),
        format!("<o b='{huge}'/>"),
        format!("<o><!-- {huge} --></o>"),
        format!("<!-- {huge} -->"),
    ] {
        let (rule, line, byte, _) = refused(&format!("<r>\n{record}</r>"));
        assert_eq!((rule, line, byte), ("size", 2, 4));
    }
    let half = "x".repeat(crate::read::RECORD_LIMIT / 2);
    let document = format!("<r><!--{half}--><!--{half}--><o>{half}</o><o>{half}</o></r>");
    assert_eq!(read(&document, "r/o", &[]).unwrap().len(), 2);
}

#[test]
fn a_windows_1252_file_says_so_itself() {
    let document =
        "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><r><o a=\"ü\">Müller €</o><o/></r>";
    let (bytes, ..) = WINDOWS_1252.encode(document);
    let taken = read_file(&bytes, &[".", "@a"]).unwrap();
    assert_eq!(taken[0].texts, [["Müller €"], ["ü"]]);
    assert_eq!((taken[1].byte, taken[1].length), (bytes.len() as u64 - 8, 4));
}

#[test]
fn reading_on_keeps_the_encoding_that_the_file_declared() {
    let document = "<?xml version='1.0' encoding='iso-8859-15'?><r><o>ü</o>\n<o>€</o></r>";
    let (bytes, ..) = encoding_rs::ISO_8859_15.encode(document);
    let dialect = Dialect { format: Format::Xml(xml("r/o")), encoding: UTF_8.into() };
    let mut reader =
        Reader::open(&dialect, &owned(&["."]), Box::new(std::io::Cursor::new(bytes.to_vec())))
            .unwrap();
    let layout = reader.layout();
    let taken = take(1, |record| reader.next(record)).unwrap();
    assert!(reader.resumable());
    let rest = Box::new(std::io::Cursor::new(bytes[taken[1].byte as usize..].to_vec()));
    let mut reader =
        Reader::resume(&dialect, &owned(&["."]), &layout, taken[1].mark(), rest).unwrap();
    let again = take(1, |record| reader.next(record)).unwrap();
    assert_eq!(again[0].texts, [["€"]]);
    assert_eq!(again, taken[1..]);
}

#[test]
fn a_byte_order_mark_beats_the_declaration() {
    let document = "<?xml version='1.0' encoding='ISO-8859-1'?>\n<r><o>ü😀</o></r>";
    let utf8 = format!("\u{FEFF}{document}");
    assert_eq!(read_file(utf8.as_bytes(), &["."]).unwrap()[0].texts, [["ü😀"]]);
    let utf16: Vec<u8> = utf8.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let taken = read_file(&utf16, &["."]).unwrap();
    assert_eq!(taken[0].texts, [["ü😀"]]);
    assert_eq!((taken[0].line, taken[0].byte, taken[0].length), (2, 2 * 48, 2 * 10));
    let (slice, _) = UTF_16LE.decode_without_bom_handling(&utf16[taken[0].range()]);
    assert_eq!(slice, "<o>ü😀</o>");
    // Without the mark its zeros tell it.
    assert_eq!(read_file(&utf16[2..], &["."]).unwrap()[0].texts, [["ü😀"]]);
}

#[test]
fn a_utf_8_file_that_claims_utf_16_is_read_as_what_it_is() {
    let document = "<?xml version='1.0' encoding='utf-16'?><r><o>ü</o></r>";
    assert_eq!(read_file(document.as_bytes(), &["."]).unwrap()[0].texts, [["ü"]]);
}

#[test]
fn bytes_that_are_not_the_encoding_are_refused() {
    assert_eq!(read_file(b"<r><o>M\xFCller</o></r>", &["."]).unwrap_err().rule, "encoding");
}

#[test]
fn a_mark_may_stand_where_the_parents_are_those_of_the_first_record() {
    let bytes =
        b"<r xmlns:x='1' v='2'><b n='1'><o/></b><b n='2'><o/></b><c><o/></c><b><o/></b></r>";
    let mut reader = XmlReader::open(text(bytes, &[]).unwrap(), &xml("r/**/o"), &[]).unwrap();
    assert_eq!(reader.layout().around, ["<r xmlns:x=\"1\">", "<b>"]);
    let mut record = Record::default();
    let mut resumable = Vec::new();
    while reader.next(&mut record).unwrap() {
        resumable.push(reader.resumable());
    }
    assert_eq!(resumable, [true, true, false, true]);
}

#[test]
fn reading_on_from_a_mark_knows_the_namespaces_around_it() {
    let dialect = Xml {
        records: "m:r/m:o".to_owned(),
        namespaces: vec![("m".to_owned(), "urn:n".to_owned())],
    };
    let document = "<q:r xmlns:q='urn:n'><q:o><q:a>1</q:a></q:o><q:o><q:a>2</q:a></q:o></q:r>";
    let selectors = owned(&["m:a"]);
    let mut reader =
        XmlReader::open(text(document.as_bytes(), &[]).unwrap(), &dialect, &selectors).unwrap();
    let layout = reader.layout();
    let taken = take(1, |record| reader.next(record)).unwrap();
    let at = text_at(document.as_bytes(), taken[1].mark(), &[]);
    let mut resumed =
        XmlReader::resume(at, &dialect, &selectors, &layout, taken[1].mark()).unwrap();
    assert_eq!(take(1, |record| resumed.next(record)).unwrap(), taken[1..]);
}

#[test]
fn a_test_picks_the_elements_whose_sibling_values_fit() {
    let document = "<r><o><K><Q>AG</Q><P>1</P></K><K><P>2</P><Q> SP </Q><P>3</P></K><K q='SP'><P/>\
                    </K><K><Q>SP</Q><P>4</P></K></o><o><K><P>5</P></K></o></r>";
    assert_eq!(
        texts(
            document,
            "r/o",
            &[
                "K[Q='SP']/P",
                "K[@q=\"SP\"]/P",
                "K[P='4'][Q='SP']/Q",
                "K/P",
                "K[Q='XX']",
                "K[@q='SP']/@q"
            ]
        ),
        [
            vec![
                vec!["2", "3", "4"],
                vec![""],
                vec!["SP"],
                vec!["1", "2", "3", "", "4"],
                vec![],
                vec!["SP"]
            ],
            vec![vec![], vec![], vec![], vec!["5"], vec![], vec![]],
        ]
    );
}

#[test]
fn positions_count_within_one_parent_what_passed_the_tests_before() {
    let document =
        "<r><o><g><a k='x'>1</a><a>2</a><a k='x'>3</a></g><g><a>4</a><a k='x'>5</a></g></o></r>";
    assert_eq!(
        texts(document, "r/o", &["g/a[1]", "g/a[2]", "g[2]/a", "g/a[@k='x'][2]", "g/a[2][@k='x']"]),
        [[vec!["1", "4"], vec!["2", "5"], vec!["4", "5"], vec!["3"], vec!["5"]]]
    );
}

#[test]
fn tests_look_deeper_and_nest_along_the_path() {
    let document = "<r><o><p><id s='a'><v>1</v></id><q t='y'><w>7</w></q><q t='n'><w>8</w></q></p>\
                    <p><q t='y'><w>9</w></q></p></o></r>";
    assert_eq!(
        texts(document, "r/o", &["p[id/v='1']/q[@t='y']/w", "p[id/@s='a']/q/@t", "p[id/@s='b']/q"]),
        [[vec!["7"], vec!["y", "n"], vec![]]]
    );
}

#[test]
fn blanks_count_where_the_document_says_so() {
    let document = "<r xml:space='preserve'><o><a> 1 </a><a xml:space='default'> 2 </a></o></r>";
    assert_eq!(texts(document, "r/o", &["a"]), [[[" 1 ", "2"]]]);
    assert_eq!(
        texts("<r><o><a xml:space='preserve'> <b> 1</b></a></o></r>", "r/o", &["a/b"]),
        [[[" 1"]]]
    );
}
