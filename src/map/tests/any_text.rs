//! Whatever a record holds, nothing panics and what is written can be read.

use proptest::prelude::*;

use super::*;

const EVERYTHING: &str = "\
    [[fields]]\nto = \"o.clean\"\nfrom = \"A\"\n\
    clean = [\"trim\", \"uppercase\", { remove = \"- \" }, \"lowercase\"]\n\
    [[fields]]\nto = \"o.aka\"\nfrom = \"A\"\n\
    aka = { table = \"t\", within = \"B\", case = \"ignore\" }\nunknown = \"keep\"\n\
    [[fields]]\nto = \"o.list[]\"\nfrom = [\"A\", \"B\"]\n\
    [[fields]]\nto = \"joined\"\nfrom = [\"A\", \"B\"]\njoin = \"\\\"\"\n\
    check = { rule = \"iso6346\", level = \"warn\" }\n\
    [[fields]]\nto = \"first\"\nfrom = [\"B\", \"A\"]\ntake = \"first\"\n\
    check = { rule = \"regex:[^x]*\", level = \"warn\" }\n";

proptest! {
    #[test]
    fn gives_json_that_can_be_read(a in ".*", b in "(?s).{0,40}") {
        let mapping = fields(EVERYTHING, &[("t", "alias,code\né,1\nK,\"2\"\"\"\n")]);
        let (mapped, out, _) = apply(&mapping, &[("A", &a), ("B", &b)]);
        prop_assert_eq!(mapped, Mapped::Ready);
        let read: serde_json::Value = serde_json::from_str(&out).unwrap();
        let list: Vec<&str> =
            [&a, &b].into_iter().map(String::as_str).filter(|t| !t.trim().is_empty()).collect();
        let found: Vec<&str> = read["o"]["list"]
            .as_array()
            .map(|list| list.iter().filter_map(|text| text.as_str()).collect())
            .unwrap_or_default();
        prop_assert_eq!(found, list);
    }

    #[test]
    fn breaks_no_rule(text in r"[0-9A-Za-z\pL +.,:/\-]{0,24}") {
        let rules = "check = \"iso6346\"|check = \"size-type\"|check = \"unlocode\"|\
            check = \"imo\"|check = \"eni\"|check = \"be-vat\"|check = \"scac\"|\
            check = \"max-length:5\"|number = { decimal = \",\", group = \".\" }|number = {}|\
            date = { read = [\"%d/%m/%Y %H:%M\", \"%d%m%y\", \"%d-%b-%Y\", \"%F%z\"], timezone = \"Europe/Brussels\" }|\
            date = { read = \"%s\", timezone = \"Europe/Brussels\", write = \"%c %Z\" }|\
            values = { A = \"b\" }|aka = \"t\"";
        for rule in rules.split('|') {
            let mapping = fields(
                &format!("[[fields]]\nto = \"a\"\nfrom = \"A\"\n{rule}\n"),
                &[("t", "alias,code\né,1\n")],
            );
            let (mapped, out, problems) = apply(&mapping, &[("A", &text)]);
            match mapped {
                Mapped::Ready => {
                    prop_assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok(), "{}", out);
                }
                _ => prop_assert_eq!(problems.len(), 1),
            }
        }
    }

    #[test]
    fn of_a_number_becomes_the_same_number(
        whole in "(0|[1-9][0-9]{0,30})", fraction in "([0-9]{0,20})", minus in any::<bool>(),
    ) {
        let mapping = fields(
            "[[fields]]\nto = \"n\"\nfrom = \"N\"\nnumber = { decimal = \",\", group = \".\" }\n",
            &[],
        );
        let sign = if minus { "-" } else { "" };
        let mut grouped = String::new();
        for (place, digit) in whole.chars().enumerate() {
            if place > 0 && (whole.len() - place).is_multiple_of(3) {
                grouped.push('.');
            }
            grouped.push(digit);
        }
        let (read, wanted) = match fraction.as_str() {
            "" => (format!("{sign}{grouped}"), format!("{sign}{whole}")),
            digits => (format!("{sign}{grouped},{digits}"), format!("{sign}{whole}.{digits}")),
        };
        prop_assert_eq!(json(&mapping, &[("N", &read)]), format!("{{\"n\":{wanted}}}"));
    }

    #[test]
    fn in_place_of_a_part_of_a_mapping_is_told(
        start in 0..RELEASES.len(), length in 0_usize..12, text in "[a-z\\[\\]{}\"=.,0-9 \n%]{0,6}",
    ) {
        prop_assume!(RELEASES.is_char_boundary(start));
        let end = (start + length).min(RELEASES.len());
        let changed = format!("{}{text}{}", &RELEASES[..start], &RELEASES[end..]);
        let (mapping, faults) = compile(&bundle(&changed, &[("terminals", TERMINALS)]));
        prop_assert_eq!(mapping.is_none(), faults.iter().any(|fault| !fault.contains("warning")));
    }

    #[test]
    fn as_a_mapping_or_table_is_told_and_never_panics(text in "(?s).{0,200}", lines in "([a-z_]{1,8}|,|\"|\n|20[0-9]{2}-0[1-9]-[0-3][0-9]){0,40}") {
        let _ = compile(&bundle(&text, &[]));
        let mapping = format!("{CSV}[[fields]]\nto = \"a\"\nfrom = \"A\"\naka = \"t\"\n");
        let _ = compile(&bundle(&mapping, &[("t", &lines)]));
        let _ = compile(&bundle(&mapping, &[("t", &format!("alias,code,valid_from\n{lines}"))]));
    }
}
