//! Fault: what is wrong with a document as a whole, told with its place and what to do about it.

use quick_xml::Error;
use quick_xml::errors::IllFormedError;

use super::super::Unsound;
use super::super::bounded::{Spot, beginning, laid_open};

const PARSEABLE: &str = "write a document that an XML parser takes";
const ONE_DOCUMENT: &str = "write one document a file";

/// Gives a check's word on what is wrong the place it was seen at.
pub(super) fn check<T>(at: Spot, result: Result<T, String>) -> Result<T, Unsound> {
    result.map_err(|what| at.unsound("xml", what, PARSEABLE))
}

/// A reference that stands for nothing known.
pub(super) fn check_reference<T>(at: Spot, result: Result<T, String>) -> Result<T, Unsound> {
    result.map_err(|what| {
        let advice = "write the text itself: what a DOCTYPE declares is not expanded";
        at.unsound("xml", what, advice)
    })
}

/// What the parser does not take; None if the file may only be cut off there.
pub(super) fn broken(at: Spot, error: &Error, at_end: bool) -> Option<Unsound> {
    let what = match error {
        Error::Io(error) => return Some(in_xml(laid_open(error, at))),
        Error::Syntax(_) | Error::IllFormed(IllFormedError::UnclosedReference) if at_end => {
            return None;
        }
        Error::IllFormed(IllFormedError::MismatchedEndTag { expected, found }) => {
            let (expected, found) = (beginning(expected), beginning(found));
            format!("</{found}> stands where </{expected}> is due")
        }
        other => other.to_string(),
    };
    Some(at.unsound("xml", what, PARSEABLE))
}

/// Where it is not decodable, an XML file itself says first how it is written.
fn in_xml(unsound: Unsound) -> Unsound {
    if unsound.rule != "encoding" {
        return unsound;
    }
    let advice = "let the XML declaration name the encoding in which the file is written, or, where \
                  there is none, `encoding` under [input] in the mapping";
    Unsound { advice: advice.to_owned(), ..unsound }
}

/// The file ends at `end`, inside a record that starts at `record` or inside an open element.
pub(super) fn truncated(end: Spot, record: Option<Spot>, open: Option<&str>) -> Unsound {
    let what = match (record, open) {
        (Some(at), _) => format!("the file ends inside the record that starts on line {}", at.line),
        (None, Some(tag)) => format!("the file ends before {} is closed", beginning(tag)),
        (None, None) => "the file ends before its root element does".to_owned(),
    };
    end.unsound("truncated", what, "send the whole file again")
}

/// The root is not the one that the path of the records starts with.
pub(super) fn another_root(at: Spot, root: &str, records: &str) -> Unsound {
    let what = format!("the root element is <{}>, the records are at {records}", beginning(root));
    let advice = "see whether this is the right kind of file, or correct the mapping's `records` \
                  and `namespaces`";
    at.unsound("xml", what, advice)
}

pub(super) fn second_root(at: Spot, root: &str) -> Unsound {
    at.unsound("xml", format!("a second root element <{}>", beginning(root)), ONE_DOCUMENT)
}

/// Text before the root element, or behind it.
pub(super) fn text_outside(at: Spot, behind: bool) -> Unsound {
    let (what, advice) = match behind {
        false => ("text before the root element", "see whether the file is XML"),
        true => ("text behind the root element", ONE_DOCUMENT),
    };
    at.unsound("xml", what.to_owned(), advice)
}

pub(super) fn misplaced(at: Spot) -> Unsound {
    let what = "an XML declaration or DOCTYPE that is not at the start".to_owned();
    at.unsound("xml", what, ONE_DOCUMENT)
}
