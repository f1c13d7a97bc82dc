//! What other writers wrote reads back, from any mark and in any pieces, and no bytes make it panic.

use proptest::prelude::*;
use quick_xml::Writer;

use super::*;

/// Text that XML can hold.
fn any_text() -> impl Strategy<Value = String> {
    "[ \t\n\r<>&'\"\\]ab\\-é€😀\\PC]{0,8}"
        .prop_map(|text| text.chars().filter(|c| !matches!(c, '\u{FFFE}' | '\u{FFFF}')).collect())
}

fn trimmed(text: &str) -> String {
    text.trim_matches([' ', '\t', '\r', '\n']).to_owned()
}

/// Another writer than quick-xml: every character that could be misread as a number.
fn escaped(text: &str, cdata: bool) -> String {
    if cdata && !text.contains("]]>") && !text.contains('\r') {
        return format!("<![CDATA[{text}]]>");
    }
    let escape = |c: char| match c {
        '<' | '>' | '&' | '\'' | '"' | '\r' | '\n' | '\t' => format!("&#{};", u32::from(c)),
        other => other.to_string(),
    };
    text.chars().map(escape).collect()
}

fn by_hand(records: &[(String, Vec<String>)], between: &str, cdata: bool) -> String {
    let mut out = format!("<?xml version=\"1.0\"?>\n<r xmlns:x='urn:x'>{between}");
    for (id, lines) in records {
        let id = escaped(id, false);
        out.push_str(&format!("<o id=\"{id}\" {}>", if cdata { "n='&lt;'" } else { "" }));
        for line in lines {
            out.push_str(&format!("{between}<l>{}</l >", escaped(line, cdata)));
        }
        out.push_str(&format!("</o>{between}"));
    }
    out + "</r>\n<!-- end -->"
}

fn by_quick_xml(records: &[(String, Vec<String>)]) -> String {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    let written = writer.create_element("r").write_inner_content(|writer| {
        for (id, lines) in records {
            let id = escaped(id, false);
            let mut tag = BytesStart::new("o");
            tag.push_attribute(quick_xml::events::attributes::Attribute {
                key: quick_xml::name::QName("id"),
                value: id.into(),
            });
            writer.write_event(Event::Start(tag))?;
            for line in lines {
                let line = quick_xml::escape::escape(line.as_str()).replace('\r', "&#xD;");
                writer
                    .create_element("l")
                    .write_text_content(quick_xml::events::BytesText::from_escaped(line))?;
            }
            writer.write_event(Event::End(quick_xml::events::BytesEnd::new("o")))?;
        }
        Ok(())
    });
    written.unwrap();
    String::from_utf8(writer.into_inner()).unwrap()
}

proptest! {
    #[test]
    fn what_another_writer_wrote_reads_back_from_any_mark(
        records in prop::collection::vec(
            (any_text(), prop::collection::vec(any_text(), 0..4)), 0..6),
        between in prop::sample::select(vec!["", "\n  ", "<!-- <o> -->", "<?p <o/> ?>", "<k>&amp;</k>"]),
        writer in 0..3,
        cuts in prop::collection::vec(1usize..9, 0..20),
    ) {
        let file = match writer {
            0 => by_hand(&records, between, false),
            1 => by_hand(&records, between, true),
            _ => by_quick_xml(&records),
        };
        let selectors = owned(&["@id", "l"]);
        let taken = read_cut(file.as_bytes(), &xml("r/o"), &["@id", "l"], &cuts).unwrap();
        prop_assert_eq!(taken.len(), records.len(), "{}", file);
        let start = text(file.as_bytes(), &[]).unwrap();
        let layout = XmlReader::open(start, &xml("r/o"), &[]).unwrap().layout();
        for (n, (one, (id, lines))) in taken.iter().zip(&records).enumerate() {
            let lines: Vec<String> = lines.iter().map(|line| trimmed(line)).collect();
            prop_assert_eq!(&one.texts, &[vec![id.clone()], lines], "{}", file);
            let alone = read(&file[one.range()], "o", &["@id", "l"]).unwrap();
            prop_assert_eq!(&alone[0].texts, &one.texts);
            let before = file[..one.byte as usize].matches('\n').count() as u64;
            prop_assert_eq!(one.line, before + 1);
            let mark = one.mark();
            let rest = text_at(file.as_bytes(), mark, &cuts);
            let mut reader =
                XmlReader::resume(rest, &xml("r/o"), &selectors, &layout, mark).unwrap();
            prop_assert_eq!(&take(2, |record| reader.next(record)).unwrap(), &taken[n..]);
            prop_assert_eq!(&reader.layout(), &layout);
        }
    }

    #[test]
    fn chunks_change_nothing_about_markup(
        parts in prop::collection::vec(prop::sample::select(vec![
            "<", ">", "</", "/>", "<o>", "</o>", "<o/>", "<r>", "</r>", "<!", "<!--", "-->", "--",
            "<![CDATA[", "]]>", "<!DOCTYPE r", "[", "]", "<!ENTITY x '", "<!NOTATION n", "<!ELEMENT",
            "<!ATTLIST", "'", "\"", "=", " a", "<?", "?>", "<?xml version='1.0'?>", "&", "&amp;", "&#65;", ";", "x", " ",
            "\n", "\u{1}", "é",
        ]), 0..30),
        whole in any::<bool>(),
        cuts in prop::collection::vec(1usize..5, 1..9),
    ) {
        let file = match whole {
            true => format!("<r><o>{}</o></r>", parts.concat()),
            false => parts.concat(),
        };
        let dialect = xml("r/**/o");
        let at_once = read_cut(file.as_bytes(), &dialect, &["o", "@a", "."], &[]);
        let in_pieces = read_cut(file.as_bytes(), &dialect, &["o", "@a", "."], &cuts);
        prop_assert_eq!(at_once, in_pieces, "{}", file);
    }

    #[test]
    fn no_bytes_make_it_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..100),
        cuts in prop::collection::vec(1usize..9, 0..20),
    ) {
        let _ = read_cut(&bytes, &xml("r/o"), &["a", "b/@c"], &cuts);
        let _ = read_file(&bytes, &["a"]);
        let wrapped = [b"<r><o>", &bytes[..], b"</o></r>"].concat();
        let _ = read_file(&wrapped, &["a"]);
    }
}
