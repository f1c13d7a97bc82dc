//! Around: the elements that are open around the records, and what was asked of them above the
//! record in hand: their attributes, and what their children before it hold.

use quick_xml::events::BytesStart;

use crate::model::Record;
use crate::model::record::Fault;

use super::super::Above;
use super::gather::Gather;
use super::names::Scope;
use super::path::{Reached, RecordPath};
use super::selector::Selector;
use super::sound;
use super::tree::Tree;

/// How many texts of what stands above a record are kept for one element around it, and how many
/// bytes they may take: what comes before a record may be the whole of a large file.
const TEXTS: usize = 1000;
const BYTES: usize = 64 * 1024;

/// The open elements, and the selectors that ask for what is in them.
pub(super) struct Around {
    path: RecordPath,
    open: Vec<Open>,
    asks: Vec<Ask>,
    /// One for each number of elements between the record and where a selector starts, from 0,
    /// where none does; or, if records stand at any depth, one for nothing and one for all.
    trees: Vec<Tree>,
}

/// A selector that starts above the record.
struct Ask {
    selector: String,
    /// How many elements above the record it starts.
    up: usize,
    /// Its slot in a record.
    slot: usize,
}

/// An open element.
struct Open {
    /// Its start tag, cut down to the name, the namespaces and what it says of blanks.
    tag: String,
    reached: Reached,
    preserve: bool,
    /// Which tree starts at it.
    tree: usize,
    gather: Gather,
    /// What was hit in it so far; the slots are places in `asks`.
    hits: Record,
    /// Whether there was too much, so that nothing more is gathered in it.
    spilt: bool,
}

impl Around {
    /// Takes the selectors that start above the record; an error says what is wrong.
    pub(super) fn new(
        path: RecordPath,
        selectors: &[Selector],
        scope: &Scope,
    ) -> Result<Around, String> {
        let highest = selectors.iter().map(|selector| selector.up).max().unwrap_or(0);
        if let Some(depth) = path.depth().filter(|depth| *depth < highest) {
            return Err(format!(
                "it goes up {highest} elements from the record, which has {depth} around it"
            ));
        }
        let above: Vec<_> =
            selectors.iter().enumerate().filter(|(_, selector)| selector.up > 0).collect();
        let mut trees = vec![Tree::default()];
        let of = |up: Option<usize>| {
            let starting = above.iter().enumerate().map(|(n, (_, selector))| (n, *selector));
            Tree::new(starting.filter(|(_, s)| up.is_none_or(|up| s.up == up)), scope)
        };
        if path.depth().is_some() {
            for up in 1..=highest {
                trees.push(of(Some(up))?);
            }
        } else {
            trees.push(of(None)?);
        }
        let ask = |(slot, selector): &(usize, &Selector)| Ask {
            selector: selector.text.clone(),
            up: selector.up,
            slot: *slot,
        };
        let asks = above.iter().map(ask).collect();
        Ok(Around { path, open: Vec::new(), asks, trees })
    }

    /// How many elements are open.
    pub(super) fn depth(&self) -> usize {
        self.open.len()
    }

    /// The tag of the innermost one.
    pub(super) fn innermost(&self) -> Option<&str> {
        self.open.last().map(|open| open.tag.as_str())
    }

    /// The tags of all, outermost first.
    pub(super) fn tags(&self) -> impl Iterator<Item = &String> {
        self.open.iter().map(|open| &open.tag)
    }

    /// Whether blanks at the ends of texts count here.
    pub(super) fn preserves_blanks(&self) -> bool {
        self.open.last().is_some_and(|open| open.preserve)
    }

    /// How far along the path to the records an element leads that opens here.
    pub(super) fn follow(&self, tag: &BytesStart, scope: &Scope) -> Reached {
        let from = self.open.last().map_or(self.path.start(), |open| open.reached);
        self.path.enter(from, tag.name(), scope)
    }

    /// Whether an element that leads this far is a record.
    pub(super) fn is_record(&self, reached: Reached) -> bool {
        self.path.is_record(reached)
    }

    /// Goes into an element that is no record.
    pub(super) fn enter(
        &mut self,
        tag: &BytesStart,
        reached: Reached,
        scope: &Scope,
    ) -> Result<(), String> {
        let mut open = Open {
            tag: cut_down(tag),
            reached,
            preserve: sound::preserves_blanks(tag).unwrap_or(self.preserves_blanks()),
            tree: self.tree_here(),
            gather: Gather::default(),
            hits: Record::default(),
            spilt: false,
        };
        if !self.asks.is_empty() {
            for outer in self.open.iter_mut().filter(|outer| !outer.spilt) {
                outer.gather.enter(&self.trees[outer.tree], tag, scope, &mut outer.hits)?;
                outer.limit();
            }
            let tree = &self.trees[open.tree];
            open.gather.begin(tree, tag, scope, open.preserve, &mut open.hits)?;
        }
        self.open.push(open);
        Ok(())
    }

    /// Goes out of the innermost open element.
    pub(super) fn leave(&mut self) {
        self.open.pop();
        if self.asks.is_empty() {
            return;
        }
        for open in self.open.iter_mut().filter(|open| !open.spilt) {
            open.gather.leave(&self.trees[open.tree], &mut open.hits);
            open.limit();
        }
    }

    /// Whether any text here is asked for.
    pub(super) fn wants_text(&self) -> bool {
        !self.asks.is_empty() && self.open.iter().any(Open::wants_text)
    }

    /// Takes text of the innermost open element.
    pub(super) fn text(&mut self, text: &str) {
        for open in self.open.iter_mut().filter(|open| open.wants_text()) {
            if open.gather.text(text) > BYTES {
                open.spilt = true;
            }
        }
    }

    /// Gives a record that starts here what was asked of the elements around it: what lies in those
    /// of their children that have come to their end, other records excepted.
    pub(super) fn fill(&self, record: &mut Record) {
        for (n, ask) in self.asks.iter().enumerate() {
            let level = self.open.len().checked_sub(ask.up);
            let Some(open) = level.and_then(|level| self.open.get(level)) else { continue };
            if open.spilt {
                record.faults.push(ask.too_much());
            }
            open.texts(n).for_each(|text| record.push(ask.slot, text));
        }
    }

    /// Whether `above` tells all that may be asked from here on: not while an element is open of
    /// which the end decides whether what lies in it counts.
    pub(super) fn is_kept(&self) -> bool {
        self.open.iter().all(|open| !open.spilt && open.gather.settled().is_none())
    }

    /// What was hit in the open elements so far.
    pub(super) fn above(&self) -> Above {
        let of = |open: &Open| {
            let asked = 0..self.asks.len();
            asked.flat_map(|n| open.texts(n).map(move |text| (n, text.to_owned()))).collect()
        };
        Above(self.open.iter().map(of).collect())
    }

    /// Takes the place of what was hit so far.
    pub(super) fn restore(&mut self, above: &Above) {
        for (open, hits) in self.open.iter_mut().zip(&above.0) {
            open.hits.start(0);
            hits.iter().for_each(|(n, text)| open.hits.push(*n, text));
        }
    }

    /// The tree of the selectors that may start at an element that opens here.
    fn tree_here(&self) -> usize {
        match self.path.depth() {
            None => 1,
            Some(depth) => {
                let up = depth.saturating_sub(self.open.len());
                if up < self.trees.len() { up } else { 0 }
            }
        }
    }
}

impl Open {
    /// What the n-th that asks has hit in children that have come to their end.
    fn texts(&self, n: usize) -> impl Iterator<Item = &str> {
        let settled = self.gather.settled().unwrap_or(self.hits.hits());
        self.hits.texts_within(settled, n)
    }

    fn wants_text(&self) -> bool {
        !self.spilt && self.gather.wants_text()
    }

    /// Gives up what was hit if it is too much.
    fn limit(&mut self) {
        if self.hits.hits() > TEXTS || self.hits.size() > BYTES {
            self.spilt = true;
            self.hits.start(0);
        }
    }
}

impl Ask {
    fn too_much(&self) -> Fault {
        Fault {
            rule: "size",
            value: String::new(),
            advice: format!(
                "more than {TEXTS} texts or {BYTES} bytes stand above the record in the element \
                 where {} starts; see whether the mapping should name less of it",
                self.selector
            ),
        }
    }
}

/// A start tag with nothing but its name, the namespaces that it declares and its `xml:space`.
fn cut_down(tag: &BytesStart) -> String {
    let mut out = format!("<{}", tag.name().0);
    for attribute in tag.attributes().with_checks(false).flatten() {
        if attribute.key.as_namespace_binding().is_some() || attribute.key.0 == sound::SPACE {
            let quote = if attribute.value.contains('"') { '\'' } else { '"' };
            out.push_str(&format!(" {}={quote}{}{quote}", attribute.key.0, attribute.value));
        }
    }
    out.push('>');
    out
}
