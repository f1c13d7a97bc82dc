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
            let why = format!("what it says is gone from {}", spool.payloads().display());
            rendered.refused.push((sequence, why));
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
