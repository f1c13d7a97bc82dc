//! XML records: the elements at a path. quick-xml splits the document into events; whether the
//! document is sound and whole is judged here and in `sound`.

mod around;
mod declaration;
mod fault;
mod gather;
mod names;
mod path;
mod selector;
mod sound;
mod tree;

use quick_xml::events::{BytesStart, Event};

use crate::model::{Place, Record};

pub(super) use declaration::sniff;

use super::bounded::{Bounded, Spot};
use super::text::Text;
use super::{Above, Layout, Mark, Unsound, Xml};
use around::Around;
use fault::{check, check_reference};
use gather::Gather;
use names::Scope;
use path::RecordPath;
use selector::Selector;
use tree::Tree;

/// How deep elements may be nested.
const DEPTH_LIMIT: usize = 256;

/// A stream of records.
pub(super) struct XmlReader {
    reader: quick_xml::Reader<Bounded>,
    buffer: Vec<u8>,
    records: String,
    scope: Scope,
    tree: Tree,
    gather: Gather,
    /// The open elements around the records.
    around: Around,
    /// What stands above the record at the mark that reading starts from.
    above: Option<Above>,
    /// The tags around the first record.
    around_first: Option<Vec<String>>,
    resumable: bool,
    /// The start tag of the record in hand.
    tag: String,
    tag_name: usize,
    /// The first record, which `open` has found.
    found: Option<Found>,
    /// Where the record in hand starts, while it is read.
    record: Option<Spot>,
    ordinal: u64,
    begun: bool,
    rooted: bool,
    ended: bool,
    failed: Option<Unsound>,
}

/// A record whose start tag was read.
struct Found {
    at: Spot,
    empty: bool,
}

impl XmlReader {
    /// Reads up to the first record. A file with nothing but blanks is sound and has none.
    pub(super) fn open(text: Text, dialect: &Xml, selectors: &[String]) -> Result<Self, Unsound> {
        let mut reader = XmlReader::new(text, dialect, selectors, Vec::new(), 1)?;
        let mut buffer = std::mem::take(&mut reader.buffer);
        reader.found = reader.find(&mut buffer)?;
        reader.buffer = buffer;
        Ok(reader)
    }

    /// Reads on before the record at `mark`, inside the elements that `layout` holds. That is right
    /// for marks of records that were `resumable`.
    pub(super) fn resume(
        text: Text,
        dialect: &Xml,
        selectors: &[String],
        layout: &Layout,
        mark: Mark,
    ) -> Result<Self, Unsound> {
        let front = layout.around.concat().into_bytes();
        let mut reader = XmlReader::new(text, dialect, selectors, front, mark.ordinal)?;
        reader.around_first = Some(layout.around.clone());
        reader.above = layout.above_at(mark).cloned();
        Ok(reader)
    }

    /// What was learnt on the way to the first record.
    pub(super) fn layout(&self) -> Layout {
        Layout {
            encoding: self.reader.get_ref().encoding().to_owned(),
            around: self.around_first.clone().unwrap_or_default(),
            ..Layout::default()
        }
    }

    /// Whether reading can begin at the record that was read last: the elements around it have the
    /// names and namespaces of those around the first, and what stands above it can be kept.
    pub(super) fn resumable(&self) -> bool {
        self.resumable && self.around.is_kept()
    }

    /// What stands above the record that was read last.
    pub(super) fn above(&self) -> Above {
        self.around.above()
    }

    /// Fills `record` with the next record; `false` at the sound end of the file.
    pub(super) fn next(&mut self, record: &mut Record) -> Result<bool, Unsound> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        if self.ended {
            return Ok(false);
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.advance(&mut buffer, record);
        self.buffer = buffer;
        self.failed = result.as_ref().err().cloned();
        result
    }

    fn new(
        text: Text,
        dialect: &Xml,
        selectors: &[String],
        front: Vec<u8>,
        ordinal: u64,
    ) -> Result<XmlReader, Unsound> {
        let input = Bounded::new(text, front);
        let start = input.spot();
        let scope = Scope::new(&dialect.namespaces);
        let path = check_path(dialect).map_err(|what| {
            let what = format!("the path of the records {:?}: {what}", dialect.records);
            start.unsound("xml", what, "name an element path in the mapping's `records`")
        })?;
        let (tree, around) = aimed(path, selectors, &scope).map_err(|what| {
            start.unsound("xml", what, "write the mapping's `from` as a/b, a/@b, @b or ../a/b")
        })?;
        Ok(XmlReader {
            reader: quick_xml::Reader::from_reader(input),
            buffer: Vec::new(),
            records: dialect.records.clone(),
            scope,
            tree,
            gather: Gather::default(),
            around,
            above: None,
            around_first: None,
            resumable: false,
            tag: String::new(),
            tag_name: 0,
            found: None,
            record: None,
            ordinal,
            begun: false,
            rooted: false,
            ended: false,
            failed: None,
        })
    }

    fn advance(&mut self, buffer: &mut Vec<u8>, record: &mut Record) -> Result<bool, Unsound> {
        let found = match self.found.take() {
            Some(found) => Some(found),
            None => self.find(buffer)?,
        };
        let Some(found) = found else {
            self.ended = true;
            return Ok(false);
        };
        record.start(self.ordinal);
        if let Some(above) = self.above.take() {
            self.around.restore(&above);
        }
        self.around.fill(record);
        self.record = Some(found.at);
        self.read_record(&found, buffer, record)?;
        self.record = None;
        let end = self.reader.get_ref().spot();
        record.place =
            Place { line: found.at.line, byte: found.at.byte, length: end.byte - found.at.byte };
        self.ordinal += 1;
        Ok(true)
    }

    /// Reads up to the next record's start tag, and takes that; none at the sound end.
    fn find(&mut self, buffer: &mut Vec<u8>) -> Result<Option<Found>, Unsound> {
        loop {
            self.reader.get_mut().measure_anew();
            let (at, event) = self.event(buffer)?;
            let empty = matches!(event, Event::Empty(_));
            let outside = self.around.depth() == 0;
            match event {
                Event::Start(tag) | Event::Empty(tag) => {
                    if outside && self.rooted {
                        return Err(fault::second_root(at, tag.name().0));
                    }
                    self.rooted = true;
                    check(at, sound::check_tag(&tag))?;
                    self.check_depth(at)?;
                    check(at, self.scope.enter(&tag).map_err(|error| error.to_string()))?;
                    let reached = self.around.follow(&tag, &self.scope);
                    if outside && reached.is_nowhere() {
                        return Err(fault::another_root(at, tag.name().0, &self.records));
                    }
                    if self.around.is_record(reached) {
                        self.tag.clear();
                        self.tag.push_str(&tag);
                        self.tag_name = tag.name().0.len();
                        let tags = self.around.tags();
                        self.resumable = match &self.around_first {
                            Some(first) => first.iter().eq(tags),
                            None => {
                                self.around_first = Some(tags.cloned().collect());
                                true
                            }
                        };
                        return Ok(Some(Found { at, empty }));
                    }
                    check(at, self.around.enter(&tag, reached, &self.scope))?;
                    if empty {
                        self.around.leave();
                        self.scope.leave();
                    }
                }
                Event::End(_) => {
                    self.around.leave();
                    self.scope.leave();
                }
                Event::Text(text) if outside && text.bytes().all(sound::is_blank) => continue,
                Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) if outside => {
                    return Err(fault::text_outside(at, self.rooted));
                }
                Event::Text(text) => {
                    check(at, sound::check_characters(&text))?;
                    if self.around.wants_text() {
                        self.around.text(&text.xml10_content());
                    }
                }
                Event::CData(text) => {
                    check(at, sound::check_characters(&text))?;
                    if self.around.wants_text() {
                        self.around.text(&text.xml10_content());
                    }
                }
                Event::GeneralRef(reference) => {
                    let text = check_reference(at, sound::resolved(&reference))?;
                    if self.around.wants_text() {
                        self.around.text(&text);
                    }
                }
                Event::Comment(_) | Event::PI(_) => {}
                Event::Decl(_) if !self.begun => {}
                Event::DocType(_) if !self.rooted => {}
                Event::Decl(_) | Event::DocType(_) => return Err(fault::misplaced(at)),
                Event::Eof if outside && (self.rooted || !self.begun) => return Ok(None),
                Event::Eof => return Err(self.truncated()),
            }
            self.begun = true;
        }
    }

    /// Reads a record behind its start tag, up to and with its end tag.
    fn read_record(
        &mut self,
        found: &Found,
        buffer: &mut Vec<u8>,
        record: &mut Record,
    ) -> Result<(), Unsound> {
        let tag = BytesStart::from_content(self.tag.as_str(), self.tag_name);
        let preserve = self.around.preserves_blanks();
        let begun = self.gather.begin(&self.tree, &tag, &self.scope, preserve, record);
        check(found.at, begun)?;
        if found.empty {
            self.gather.leave(&self.tree, record);
            self.scope.leave();
        }
        while self.gather.depth() > 0 {
            let (at, event) = self.event(buffer)?;
            let empty = matches!(event, Event::Empty(_));
            match event {
                Event::Start(tag) | Event::Empty(tag) => {
                    check(at, sound::check_tag(&tag))?;
                    self.check_depth(at)?;
                    check(at, self.scope.enter(&tag).map_err(|error| error.to_string()))?;
                    check(at, self.gather.enter(&self.tree, &tag, &self.scope, record))?;
                    if empty {
                        self.gather.leave(&self.tree, record);
                        self.scope.leave();
                    }
                }
                Event::End(_) => {
                    self.gather.leave(&self.tree, record);
                    self.scope.leave();
                }
                Event::Text(text) => {
                    check(at, sound::check_characters(&text))?;
                    if self.gather.wants_text() {
                        self.gather.text(&text.xml10_content());
                    }
                }
                Event::CData(text) => {
                    check(at, sound::check_characters(&text))?;
                    if self.gather.wants_text() {
                        self.gather.text(&text.xml10_content());
                    }
                }
                Event::GeneralRef(reference) => {
                    let text = check_reference(at, sound::resolved(&reference))?;
                    self.gather.text(&text);
                }
                Event::Comment(_) | Event::PI(_) => {}
                Event::Decl(_) | Event::DocType(_) => return Err(fault::misplaced(at)),
                Event::Eof => return Err(self.truncated()),
            }
        }
        Ok(())
    }

    /// The next event, and where it starts.
    fn event<'b>(&mut self, buffer: &'b mut Vec<u8>) -> Result<(Spot, Event<'b>), Unsound> {
        buffer.clear();
        let at = self.reader.get_ref().spot();
        match self.reader.read_event_into(buffer) {
            Ok(event) => Ok((at, event)),
            Err(error) => {
                let at_end = matches!(self.reader.get_mut().peek(), Ok(None));
                Err(fault::broken(at, &error, at_end).unwrap_or_else(|| self.truncated()))
            }
        }
    }

    fn check_depth(&self, at: Spot) -> Result<(), Unsound> {
        if self.around.depth() + self.gather.depth() < DEPTH_LIMIT {
            return Ok(());
        }
        let what = format!("elements are nested more than {DEPTH_LIMIT} deep");
        Err(at.unsound("xml", what, "see whether an end tag is missing"))
    }

    fn truncated(&self) -> Unsound {
        fault::truncated(self.reader.get_ref().spot(), self.record, self.around.innermost())
    }
}

/// The path to the records; an error says what is wrong with it.
fn check_path(dialect: &Xml) -> Result<RecordPath, String> {
    RecordPath::parse(&dialect.records, &Scope::new(&dialect.namespaces))
}

/// Checks the path to the records as a mapping writes it; an error says what is wrong.
pub(super) fn check_records(dialect: &Xml) -> Result<(), String> {
    check_path(dialect).map(drop)
}

/// Checks a selector of a mapping whose path to the records is in order.
pub(super) fn check_selector(dialect: &Xml, selector: &str) -> Result<(), String> {
    match check_path(dialect) {
        Ok(path) => aimed(path, &[selector.to_owned()], &Scope::new(&dialect.namespaces)).map(drop),
        Err(_) => Ok(()),
    }
}

/// The selectors of what is in a record and of what stands above it.
fn aimed(path: RecordPath, selectors: &[String], scope: &Scope) -> Result<(Tree, Around), String> {
    let parsed: Vec<_> =
        selectors.iter().map(|text| Selector::parse(text)).collect::<Result<_, _>>()?;
    let within = parsed.iter().enumerate().filter(|(_, selector)| selector.up == 0);
    Ok((Tree::new(within, scope)?, Around::new(path, &parsed, scope)?))
}

#[cfg(test)]
mod tests;
