//! What the `[output]` of a mapping writes, and what is wrong with one.

use super::*;

#[test]
fn faults_of_the_output_are_told() {
    let faults = |output: &str| {
        let text = format!("{CSV}[output]\n{output}\n[[fields]]\nto = \"a\"\nfrom = \"A\"\n");
        compile(&bundle(&text, &[])).1.join("; ")
    };
    assert_eq!(faults("format = \"ndjson\""), "");
    assert_eq!(faults("format = \"csv\""), "");
    assert_eq!(faults("format = \"xml\"\nroot = \"Orders\"\nrecord = \"Order\""), "");
    assert_eq!(faults("format = \"xml\"\nroot = \"R\""), "m.toml:3: [output] lacks \"record\"");
    assert_eq!(
        faults("format = \"xml\"\nroot = \"o:R\"\nrecord = \"1\"\nnamespace = \"\\u0001\""),
        "m.toml:5: root is \"o:R\", which cannot be the name of an XML element; m.toml:6: record is \
         \"1\", which cannot be the name of an XML element; m.toml:7: namespace holds a character \
         that XML does not know"
    );
    assert_eq!(
        faults("root = \"R\"\nnamespace = \"urn:x\""),
        "m.toml:4: root goes with the format xml; m.toml:5: namespace goes with the format xml"
    );
    assert_eq!(
        faults("format = \"yaml\""),
        "m.toml:4: unknown format \"yaml\": known are json, ndjson, xml, csv"
    );
}

#[test]
fn a_name_that_the_output_cannot_write_is_told() {
    let fault = |output: &str, to: &str| {
        let text = format!(
            "{CSV}[output]\n{output}\n[[fields]]\nto = \"b\"\nfrom = \"B\"\n[[fields]]\nto = \
             \"{to}\"\nfrom = \"A\"\n"
        );
        compile(&bundle(&text, &[])).1.join("; ")
    };
    const XML: &str = "format = \"xml\"\nroot = \"R\"\nrecord = \"O\"";
    for to in ["a[]", "a.c", "@id", "a.@id", "b.@id", "É.c-1"] {
        assert_eq!(fault(XML, to), "", "{to}");
    }
    for (to, why) in [
        ("a b", "\"a b\" cannot be the name of an XML element"),
        ("a.1", "\"1\" cannot be the name of an XML element"),
        ("a:b", "\"a:b\" cannot be the name of an XML element"),
        ("@", "\"\" cannot be the name of an XML attribute"),
        ("@1", "\"1\" cannot be the name of an XML attribute"),
        ("@a.b", "an attribute holds nothing else"),
        ("a.@b[]", "an attribute cannot stand several times"),
        ("@xmlns", "namespace of [output] says what xmlns says"),
    ] {
        assert_eq!(fault(XML, to), format!("m.toml:11: to is \"{to}\": {why}"));
    }
    assert_eq!(
        fault(XML, "b.c"),
        "m.toml:11: \"b\" cannot be a value and hold \"b.c\" too (see line 8)"
    );
    assert_eq!(
        fault("format = \"csv\"", "a[]"),
        "m.toml:9: to is \"a[]\": a CSV field holds one value; let the field say join or take = \
         \"first\""
    );
    assert!(fault("format = \"json\"", "b.@id").contains("cannot be a value and hold"));
    assert_eq!(fault("format = \"csv\"", "any, name"), "");
}

/// What an output of this format writes of a record with these texts.
fn written(output: &str, fields: &str, texts: &[(&str, &str)]) -> String {
    let mapping = sound(&bundle(&format!("{CSV}[output]\n{output}\n{fields}"), &[]));
    let (mapped, out, problems) = apply(&mapping, texts);
    assert_eq!((mapped, problems), (Mapped::Ready, vec![]));
    out
}

#[test]
fn xml_nests_repeats_and_has_attributes() {
    let output = "format = \"xml\"\nroot = \"Orders\"\nrecord = \"Order\"";
    let fields = r#"
[[fields]]
to     = "container.number"
from   = "CONT"
[[fields]]
to     = "seal[]"
from   = ["S1", "S2", "S3"]
[[fields]]
to     = "container.weight"
from   = "KG"
number = { decimal = "," }
[[fields]]
to     = "container.weight.@unit"
value  = "KGM"
[[fields]]
to     = "@id"
from   = "ID"
[[fields]]
to     = "seal.@by"
from   = "BY"
"#;
    assert_eq!(
        written(
            output,
            fields,
            &[
                ("CONT", "A<B"),
                ("S1", "x"),
                ("S2", " "),
                ("S3", "y"),
                ("KG", "1,50"),
                ("ID", "\"7\""),
                ("BY", "CUS")
            ]
        ),
        "<Order id=\"&quot;7&quot;\"><container><number>A&lt;B</number><weight unit=\"KGM\">1.50\
         </weight></container><seal by=\"CUS\">x</seal><seal by=\"CUS\">y</seal></Order>"
    );
    // A unit without a weight speaks of nothing.
    assert_eq!(written(output, fields, &[("BY", "CUS")]), "<Order/>");
    assert_eq!(written(output, fields, &[("ID", "7")]), "<Order id=\"7\"/>");
}

#[test]
fn an_attribute_alone_makes_its_element() {
    let output = "format = \"xml\"\nroot = \"R\"\nrecord = \"O\"";
    let fields = "[[fields]]\nto = \"a.b.@c\"\nfrom = \"X\"\n[[fields]]\nto = \"d\"\nfrom = \"Y\"";
    assert_eq!(written(output, fields, &[("X", "1")]), "<O><a><b c=\"1\"/></a></O>");
    assert_eq!(written(output, fields, &[("Y", "1")]), "<O><d>1</d></O>");
}

#[test]
fn a_character_that_xml_does_not_know_rejects_the_record() {
    let text = format!(
        "{CSV}[output]\nformat = \"xml\"\nroot = \"R\"\nrecord = \"O\"\n[[fields]]\nto = \
         \"@a\"\nfrom = \"A\"\n[[fields]]\nto = \"b[]\"\nfrom = \"B\"\nrequired = true\n"
    );
    let mapping = sound(&bundle(&text, &[]));
    let advice = "XML does not know the character U+0001; take it out, in the file or with clean = \
                  [{ remove = \"\\u0001\" }]";
    assert_eq!(
        problems(&mapping, &[("A", "x\u{1}"), ("B", "y"), ("B", "\u{1}z")]),
        [format!("xml | A | x\u{1} | {advice}"), format!("xml | B | \u{1}z | {advice}")]
    );
}

#[test]
fn csv_has_a_column_for_every_field_in_the_order_of_the_mapping() {
    let fields = r#"
[[fields]]
to    = "container.number"
from  = "CONT"
[[fields]]
to    = "remark, free"
from  = "TEXT"
[[fields]]
to    = "container.kind"
value = "FULL"
when  = { field = "KIND", is = "F" }
[[fields]]
to    = "container.kind"
value = "EMPTY"
when  = { field = "KIND", is = "E" }
"#;
    let csv = |texts| written("format = \"csv\"", fields, texts);
    assert_eq!(
        csv(&[("CONT", "CSQU3054383"), ("TEXT", "a, \"b\""), ("KIND", "E")]),
        "CSQU3054383,\"a, \"\"b\"\"\",EMPTY"
    );
    assert_eq!(csv(&[]), ",,");
    let mapping = sound(&bundle(&format!("{CSV}[output]\nformat = \"csv\"\n{fields}"), &[]));
    assert_eq!(mapping.frame(1).head, b"container.number,\"remark, free\",container.kind\r\n");
    let one = "[[fields]]\nto = \"a\"\nfrom = \"A\"";
    assert_eq!(written("format = \"csv\"", one, &[]), "\"\"");
}
