//! Render: documents become the bytes of one file, by today's mapping.

use serde_json::Value;

use crate::ledger::Queued;
use crate::map::{Context, Mapped, Mapping};
use crate::model::{Level, Problem};
use crate::pipeline::Payload;
use crate::spool::Spool;

/// How much of a value an alarm shows.
const SHOWN: usize = 40;

/// A file that is to be written.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What stands in it: the numbers of the documents.
    pub written: Vec<u64>,
    /// What the mapping does not want, and is passed over.
    pub unwanted: Vec<u64>,
    /// What can never be written, since what it said is gone.
    pub gone: Vec<u64>,
    /// What cannot be written as things are, and why.
    pub refused: Vec<(u64, String)>,
}

/// Makes a file of documents; `alone` tells that each has a file of its own.
pub fn render(
    spool: &Spool,
    mapping: &Mapping,
    context: &Context,
    documents: &[Queued],
    alone: bool,
) -> anyhow::Result<Rendered> {
    let frame = mapping.frame(if alone { 1 } else { u64::MAX });
    let mut rendered = Rendered { bytes: frame.head, ..Rendered::default() };
    let mut problems = Vec::new();
    let mut row = Vec::new();
    for queued in documents {
        let sequence = queued.sequence;
        let Some(document) = document(spool, queued)? else {
            rendered.gone.push(sequence);
            continue;
        };
        problems.clear();
        row.clear();
        match mapping.write(&document, sequence, context, &mut row, &mut problems) {
            Mapped::Ready => {
                if !rendered.written.is_empty() {
                    rendered.bytes.extend_from_slice(&frame.between);
                }
                rendered.bytes.extend_from_slice(&row);
                rendered.bytes.extend_from_slice(&frame.behind);
                rendered.written.push(sequence);
            }
            Mapped::Rejected => rendered.refused.push((sequence, told(&problems))),
            Mapped::Discarded => rendered.unwanted.push(sequence),
        }
    }
    rendered.bytes.extend_from_slice(&frame.foot);
    Ok(rendered)
}

/// What the mapping reads: the document with its sequence number in it. None if its file is gone.
fn document(spool: &Spool, queued: &Queued) -> anyhow::Result<Option<Vec<u8>>> {
    let Some(payload) = Payload::read(spool, &queued.payload)? else { return Ok(None) };
    let mut document = payload.document;
    if let Value::Object(members) = &mut document {
        members.insert("sequence".to_owned(), queued.sequence.into());
    }
    Ok(Some(serde_json::to_vec(&document)?))
}

/// The first problem, in words.
fn told(problems: &[Problem]) -> String {
    let Some(problem) = problems.iter().find(|problem| problem.level == Level::Reject) else {
        return "the mapping refuses it".to_owned();
    };
    let value: String = problem.value.chars().take(SHOWN).collect();
    let value = if value.is_empty() { String::new() } else { format!(" \"{value}\"") };
    match problem.field.as_str() {
        "" => format!("{}{value}: {}", problem.rule, problem.advice),
        field => format!("{field}{value} ({}): {}", problem.rule, problem.advice),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::civil::date;
    use serde_json::json;

    use super::*;
    use crate::config::{Environments, Faults};
    use crate::map::Bundle;

    /// A spool with documents, each of which says what its container is.
    fn queued(folder: &std::path::Path, containers: &[&str]) -> (Spool, Vec<Queued>) {
        let spool = Spool::open(folder).unwrap();
        let documents = (1..).zip(containers).map(|(sequence, container)| {
            let payload = Payload {
                customer: "acme".to_owned(),
                outbox: "erp".to_owned(),
                event: "transfer".to_owned(),
                document: json!({ "container": container }),
            };
            let name = format!("a{sequence}");
            std::fs::write(spool.payload(&name), serde_json::to_vec(&payload).unwrap()).unwrap();
            Queued {
                customer: payload.customer,
                outbox: payload.outbox,
                sequence,
                payload: name,
                bytes: 0,
                event: payload.event,
                queued: Timestamp::UNIX_EPOCH,
                refused: None,
            }
        });
        let documents = documents.collect();
        (spool, documents)
    }

    fn mapping(output: &str) -> Mapping {
        let text = format!(
            "direction = \"out\"\n[output]\n{output}\n[[fields]]\nto = \"no\"\nfrom = \"sequence\"\n\
             number = {{ decimal = \".\" }}\n[[fields]]\nto = \"cont\"\nfrom = \"container\"\n\
             check = \"iso6346\"\n"
        );
        let (name, file, tables) = ("out".to_owned(), "out.toml".into(), Default::default());
        let bundle = Bundle { name, file, text, tables };
        let faults = Faults::default();
        let mapping = Mapping::compile(&bundle, &Environments::default(), &faults);
        mapping.unwrap_or_else(|| panic!("{:?}", faults.take()))
    }

    fn rendered(output: &str, containers: &[&str], alone: bool) -> Rendered {
        let folder = tempfile::tempdir().unwrap();
        let (spool, documents) = queued(folder.path(), containers);
        let context = Context { customer: "acme".to_owned(), date: date(2026, 11, 22) };
        render(&spool, &mapping(output), &context, &documents, alone).unwrap()
    }

    fn text(rendered: &Rendered) -> &str {
        std::str::from_utf8(&rendered.bytes).unwrap()
    }

    #[test]
    fn what_is_gathered_is_always_an_array_and_what_stands_alone_an_object() {
        let json = "format = \"json\"";
        let one = ["CSQU3054383"];
        assert_eq!(text(&rendered(json, &one, true)), r#"{"no":1,"cont":"CSQU3054383"}"#);
        assert_eq!(text(&rendered(json, &one, false)), r#"[{"no":1,"cont":"CSQU3054383"}]"#);
        let two = rendered(json, &["CSQU3054383", "CSQU3054383"], false);
        assert_eq!(text(&two), r#"[{"no":1,"cont":"CSQU3054383"},{"no":2,"cont":"CSQU3054383"}]"#);
        assert_eq!(two.written, [1, 2]);
    }

    #[test]
    fn a_refused_document_leaves_no_trace_in_the_file_and_says_why() {
        let three = ["CSQU3054383", "CSQU3054384", "CSQU3054383"];
        let rendered = rendered("format = \"csv\"\ndelimiter = \";\"", &three, false);
        assert_eq!(text(&rendered), "no;cont\r\n1;CSQU3054383\r\n3;CSQU3054383\r\n");
        assert_eq!((&rendered.written, &rendered.unwanted), (&vec![1, 3], &vec![]));
        let [(2, why)] = rendered.refused.as_slice() else { panic!("{rendered:?}") };
        assert!(why.starts_with("container \"CSQU3054384\" (iso6346): "), "{why}");
    }

    #[test]
    fn a_document_whose_file_is_gone_is_told_apart_and_the_others_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let (spool, documents) = queued(folder.path(), &["CSQU3054383", "CSQU3054383"]);
        std::fs::remove_file(spool.payload("a1")).unwrap();
        let context = Context { customer: "acme".to_owned(), date: date(2026, 11, 22) };
        let mapping = mapping("format = \"ndjson\"");
        let rendered = render(&spool, &mapping, &context, &documents, false).unwrap();
        assert_eq!(text(&rendered), "{\"no\":2,\"cont\":\"CSQU3054383\"}\n");
        assert_eq!((&rendered.gone, &rendered.refused), (&vec![1], &vec![]));
    }
}
