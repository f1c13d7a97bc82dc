//! What the `[input]` of a mapping comes to, and what is wrong with one.

use super::*;
use crate::read::{Column, Csv, Fixed, Format, Json, Quote, Span, Trailer, Xml};

#[test]
fn each_dialect_is_compiled() {
    let dialect = |input: &str| {
        let from = if input.contains("xml") { "o:A" } else { "1" };
        let text = format!("[input]\n{input}\n[[fields]]\nto = \"a\"\nfrom = \"{from}\"\n");
        sound(&bundle(&text, &[])).dialect
    };
    let plain = Csv {
        delimiter: Some(b';'),
        quote: Quote::Sign(b'"'),
        header: true,
        skip: 0,
        pad: false,
        trailer: None,
    };
    assert_eq!(dialect("format = \"csv\"").format, Format::Csv(plain.clone()));
    assert_eq!(
        dialect("format = \"csv\"\ndelimiter = \"auto\"\nquote = \"auto\"").format,
        Format::Csv(Csv { delimiter: None, quote: Quote::Auto, ..plain })
    );
    assert_eq!(
        dialect(
            "format = \"csv\"\ndelimiter = \"\\t\"\nquote = \"none\"\nheader = false\nskip = 3\n\
             ragged = \"pad\"\nencoding = \"latin1\""
        ),
        Dialect {
            format: Format::Csv(Csv {
                delimiter: Some(b'\t'),
                quote: Quote::None,
                header: false,
                skip: 3,
                pad: true,
                trailer: None,
            }),
            encoding: encoding_rs::WINDOWS_1252.into(),
        }
    );
    assert_eq!(
        dialect("format = \"xml\"\nrecords = \"o:Orders/o:Order\"\nnamespaces = { o = \"urn:x\" }"),
        Dialect {
            format: Format::Xml(Xml {
                records: "o:Orders/o:Order".to_owned(),
                namespaces: vec![("o".to_owned(), "urn:x".to_owned())],
            }),
            encoding: encoding_rs::UTF_8.into(),
        }
    );
    assert_eq!(
        dialect("format = \"json\"\nrecords = \"data.items\"").format,
        Format::Json(Json { records: "data.items".to_owned() })
    );
    assert_eq!(dialect("format = \"ndjson\"\nencoding = \"UTF-16\"").format, Format::Ndjson);
    for (label, name) in [("CP850", "cp850"), ("shift_jis", "Shift_JIS"), ("latin2", "ISO-8859-2")]
    {
        let dialect = dialect(&format!("format = \"csv\"\nencoding = \"{label}\""));
        assert_eq!(dialect.encoding.name(), name);
    }
}

#[test]
fn a_fixed_dialect_is_compiled_with_its_columns_in_order() {
    let text = "[input]\nformat = \"fixed\"\nskip = 1\nragged = \"pad\"\n\
                header = { starts_with = \"0\" }\nrecords = { starts_with = [\"21\", \"22\"] }\n\
                trailer = { starts_with = \"9\", count = { start = 17, length = 6 } }\n\
                columns = [{ name = \"B\", start = 4, length = 2 },\n\
                           { name = \"A\", start = 1, length = 3 }]\n\
                [[fields]]\nto = \"a\"\nfrom = \"A\"\n";
    let column =
        |name: &str, start, length| Column { name: name.to_owned(), span: Span { start, length } };
    assert_eq!(
        sound(&bundle(text, &[])).dialect.format,
        Format::Fixed(Fixed {
            columns: vec![column("A", 1, 3), column("B", 4, 2)],
            header: vec!["0".to_owned()],
            records: vec!["21".to_owned(), "22".to_owned()],
            trailer: Some(Trailer {
                starts_with: vec!["9".to_owned()],
                count: Some(Span { start: 17, length: 6 }),
            }),
            skip: 1,
            pad: true,
        })
    );
}

#[test]
fn a_path_that_no_xml_record_can_have_is_a_fault_with_its_line() {
    let faults = |input: &str, from: &str| {
        let text =
            format!("[input]\nformat = \"xml\"\n{input}\n[[fields]]\nto = \"a\"\nfrom = {from}\n");
        compile(&bundle(&text, &[])).1.join("; ")
    };
    let idoc = "records = \"ORDERS05/IDOC\"";
    for from in ["'K[Q=\"SP\"]/P'", "\"../EDI_DC40/DOCNUM\"", "\"./_-BIC_-X\"", "\"n:a/@n:b\""] {
        assert_eq!(faults(idoc, from), "", "{from}");
    }
    assert_eq!(
        faults(idoc, "\"E1EDKA1[PARVW=SP]/PARTN\""),
        "m.toml:6: \"E1EDKA1[PARVW=SP]/PARTN\" cannot be followed: write the value of a test in \
         quotes, as [CODE='SP']"
    );
    assert_eq!(
        faults(idoc, "\"../../X\""),
        "m.toml:6: \"../../X\" cannot be followed: it goes up 2 elements from the record, which \
         has 1 around it"
    );
    assert_eq!(
        faults("records = \"**/IDOC\"\nnamespaces = { o = \"urn:o\" }", "\"o:a/x:b\""),
        "m.toml:7: \"o:a/x:b\" cannot be followed: the prefix x is not in the mapping's `namespaces`"
    );
    assert_eq!(
        faults("records = \"ORDERS05//IDOC\"", "\"a\""),
        "m.toml:3: records cannot be followed: two / stand together: write ** for any depth"
    );
    assert_eq!(
        faults("records = \"a/b\"\nnamespaces = { \"x:y\" = \"urn:o\" }", "\"a\""),
        "m.toml:4: namespaces gives each prefix its namespace, as { o = \"urn:orders\" }"
    );
}

#[test]
fn faults_of_a_fixed_dialect_are_told_with_their_line() {
    let faults = |input: &str| {
        let text =
            format!("[input]\nformat = \"fixed\"\n{input}\n[[fields]]\nto = \"a\"\nfrom = \"A\"\n");
        let (mapping, faults) = compile(&bundle(&text, &[]));
        assert!(mapping.is_none());
        faults.join("; ")
    };
    let a = "{ name = \"A\", start = 1, length = 3 }";
    for (input, fault) in [
        ("".to_owned(), "m.toml:1: [input] lacks \"columns\""),
        ("columns = []".to_owned(), "m.toml:3: columns names no column"),
        (
            format!("columns = [{a},\n  {{ name = \"B\", start = 3, length = 1 }}]"),
            "m.toml:4: the column \"B\" at characters 3 to 3 overlaps \"A\" at 1 to 3",
        ),
        (
            format!("columns = [{a},\n  {{ name = \"A\", start = 4, length = 1 }}]"),
            "m.toml:4: there is a column \"A\" already",
        ),
        (
            format!("columns = [{a},\n  {{ name = \"B\", start = 0, length = 1 }}]"),
            "m.toml:4: start is 0, but must be a whole number from 1 to 1000000",
        ),
        (
            format!("columns = [{a},\n  {{ name = \"B\", begin = 4, length = 1 }}]"),
            "m.toml:4: [input.columns] lacks \"start\"; m.toml:4: unknown key \"begin\" in \
             [input.columns]: known here are length, name, start",
        ),
        (
            "columns = [{ name = \"AB\", start = 1, length = 3 }]".to_owned(),
            "m.toml:6: there is no column \"A\": did you mean \"AB\"?",
        ),
        (
            format!("columns = [{a}]\nheader = true"),
            "m.toml:4: header is true or false, but must be a table",
        ),
        (
            format!("columns = [{a}]\nrecords = {{ starts_with = \"\" }}"),
            "m.toml:4: starts_with is empty: every line starts so",
        ),
        (
            format!("columns = [{a}]\ntrailer = {{ starts_with = \"9\", count = \"2\" }}"),
            "m.toml:4: count is a text, but must be a table",
        ),
        (
            format!("columns = [{a}]\ndelimiter = \";\""),
            "m.toml:4: delimiter goes with the format csv",
        ),
    ] {
        assert_eq!(faults(&input), fault, "{input}");
    }
}

#[test]
fn faults_of_a_dialect_are_told_with_their_line() {
    let faults = |input: &str| {
        let text = format!("[input]\n{input}\n[[fields]]\nto = \"a\"\nfrom = \"A\"\n");
        let (mapping, faults) = compile(&bundle(&text, &[]));
        assert!(mapping.is_none());
        faults.join("; ")
    };
    for (input, fault) in [
        ("format = \"fixed\"", "m.toml:1: [input] lacks \"columns\""),
        (
            "format = \"csv\"\ntrailer = { starts_with = \"99\", count = \"B\" }",
            "m.toml:3: count is \"B\", but must be a column's number, such as \"2\"",
        ),
        (
            "format = \"csv\"\ntrailer = { count = \"2\" }",
            "m.toml:3: [input.trailer] lacks \"starts_with\"",
        ),
        ("format = \"csv\"\ncolumns = []", "m.toml:3: columns goes with the format fixed"),
        ("format = \"jsn\"", "m.toml:2: unknown format \"jsn\": did you mean \"json\"?"),
        ("", "m.toml:1: [input] lacks \"format\""),
        (
            "format = \"xml\"\nrecords = \"\"",
            "m.toml:3: records cannot be followed: it names no element, as Orders/Order does",
        ),
        ("format = \"xml\"", "m.toml:1: [input] lacks \"records\""),
        ("format = \"json\"\ndelimiter = \";\"", "m.toml:3: delimiter goes with the format csv"),
        (
            "format = \"csv\"\nrecords = \"a/b\"",
            "m.toml:3: records goes with the format xml, json, fixed",
        ),
        (
            "format = \"csv\"\ndelimiter = \"ab\"",
            "m.toml:3: delimiter is \"ab\", but must be one ASCII sign, such as \";\"",
        ),
        (
            "format = \"csv\"\ndelimiter = \"'\"\nquote = \"'\"",
            "m.toml:4: quote and delimiter are the same",
        ),
        (
            "format = \"csv\"\nheader = false",
            "m.toml:6: \"A\" is no column: without a header the columns are \"1\", \"2\", …",
        ),
        (
            "format = \"csv\"\nragged = \"drop\"",
            "m.toml:3: ragged is \"drop\", but must be \"reject\" or \"pad\"",
        ),
        (
            "format = \"csv\"\nencoding = \"windows1252\"",
            "m.toml:3: unknown encoding \"windows1252\": did you mean \"windows-1252\"?",
        ),
        (
            "format = \"csv\"\nencoding = \"replacement\"",
            "m.toml:3: no file is written in the encoding \"replacement\": known are utf-8, \
             utf-16le, utf-16be, windows-1252, iso-8859-15, cp850, cp437, cp858 and the other \
             WHATWG labels",
        ),
        ("format = \"csv\"\nonly = { field = \"A\" }", "m.toml:3: [input.only] lacks \"is\""),
        (
            "format = \"csv\"\nonly = { field = \"A\", is = [] }",
            "m.toml:3: is lists nothing, so that it never holds",
        ),
        (
            "format = \"csv\"\ndelimeter = \";\"",
            "m.toml:3: unknown key \"delimeter\" in [input]: did you mean \"delimiter\"?",
        ),
    ] {
        assert_eq!(faults(input), fault, "{input}");
    }
}
