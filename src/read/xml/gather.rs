//! Gather: follows a tree of selectors through one element and hands the texts it hits to a record.

use quick_xml::events::BytesStart;

use crate::model::Record;

use super::names::Scope;
use super::sound;
use super::tree::{Condition, Target, Tree};

/// How far the open elements lead into a tree.
#[derive(Default)]
pub(super) struct Gather {
    levels: Vec<Level>,
    /// The nodes that the open elements have reached, level behind level.
    reached: Vec<usize>,
    /// The direct text of each open element, reused from element to element.
    texts: Vec<String>,
    /// Which conditions of the open elements are met by a value. One flag each will do, because of
    /// a node no two elements are open at once.
    met: Vec<bool>,
    /// How many elements each position has counted.
    counts: Vec<u32>,
}

/// One open element.
struct Level {
    first_reached: usize,
    wants_text: bool,
    /// Whether blanks at the ends of its text count (XML 1.0, 2.10).
    preserve: bool,
    /// How many hits the record had before it.
    hits: usize,
}

impl Gather {
    /// Starts with the element that the selectors start at. `preserve` is what an element around
    /// it says of blanks.
    pub(super) fn begin(
        &mut self,
        tree: &Tree,
        tag: &BytesStart,
        scope: &Scope,
        preserve: bool,
        record: &mut Record,
    ) -> Result<(), String> {
        self.levels.clear();
        self.reached.clear();
        self.met.resize(tree.conditions.len(), false);
        self.counts.resize(tree.conditions.len(), 0);
        self.reached.extend((!tree.nodes.is_empty()).then_some(0));
        self.open(0, tree, tag, scope, preserve, record)
    }

    /// Goes into an element.
    pub(super) fn enter(
        &mut self,
        tree: &Tree,
        tag: &BytesStart,
        scope: &Scope,
        record: &mut Record,
    ) -> Result<(), String> {
        let first_reached = self.reached.len();
        let parent = self.levels.last();
        let preserve = parent.is_some_and(|level| level.preserve);
        for n in parent.map_or(0, |level| level.first_reached)..first_reached {
            for (test, node) in &tree.nodes[self.reached[n]].elements {
                if scope.is_element(test, tag.name()) {
                    self.reached.push(*node);
                }
            }
        }
        self.open(first_reached, tree, tag, scope, preserve, record)
    }

    /// Whether the text that comes now belongs to a selected element.
    pub(super) fn wants_text(&self) -> bool {
        self.levels.last().is_some_and(|level| level.wants_text)
    }

    /// Takes text of the innermost open element, and tells how much of it there is by now.
    pub(super) fn text(&mut self, text: &str) -> usize {
        if !self.wants_text() {
            return 0;
        }
        let whole = &mut self.texts[self.levels.len() - 1];
        whole.push_str(text);
        whole.len()
    }

    /// Goes out of the innermost open element. Its text is a hit, without the blanks at its ends,
    /// which are indentation. The hits in an element that does not meet its conditions are taken
    /// back.
    pub(super) fn leave(&mut self, tree: &Tree, record: &mut Record) {
        let Some(level) = self.levels.pop() else { return };
        let text = match self.texts[self.levels.len()].as_str() {
            text if level.preserve => text,
            text => text.trim_matches([' ', '\t', '\r', '\n']),
        };
        for node in &self.reached[level.first_reached..] {
            let node = &tree.nodes[*node];
            for target in &node.texts {
                match *target {
                    Target::Slot(slot) => record.push(slot, text),
                    Target::Condition(condition) => {
                        self.met[condition] |= equals(tree, condition, text)
                    }
                }
            }
            let conditions = &node.conditions;
            if !conditions.is_empty() && !meets(tree, conditions, &self.met, &mut self.counts) {
                record.withdraw(level.hits, &node.slots);
            }
        }
        self.reached.truncate(level.first_reached);
    }

    /// How many of the record's hits are settled, because the child of the outermost element that
    /// they are in has come to its end; none if all are and nothing is under way.
    pub(super) fn settled(&self) -> Option<usize> {
        let child = self.levels.get(1)?;
        (child.first_reached < self.reached.len()).then_some(child.hits)
    }

    /// How many elements are open.
    pub(super) fn depth(&self) -> usize {
        self.levels.len()
    }

    fn open(
        &mut self,
        first_reached: usize,
        tree: &Tree,
        tag: &BytesStart,
        scope: &Scope,
        preserve: bool,
        record: &mut Record,
    ) -> Result<(), String> {
        let hits = record.hits();
        let mut wants_text = false;
        for node in &self.reached[first_reached..] {
            let node = &tree.nodes[*node];
            wants_text |= !node.texts.is_empty();
            if !tree.conditions.is_empty() {
                node.conditions.iter().for_each(|condition| self.met[*condition] = false);
                node.counted.iter().for_each(|condition| self.counts[*condition] = 0);
            }
            for (test, target) in &node.attributes {
                for attribute in tag.attributes().with_checks(false).flatten() {
                    if scope.is_attribute(test, attribute.key) {
                        let value = sound::value_of(&attribute)?;
                        match *target {
                            Target::Slot(slot) => record.push(slot, &value),
                            Target::Condition(condition) => {
                                self.met[condition] |= equals(tree, condition, &value)
                            }
                        }
                    }
                }
            }
        }
        if self.texts.len() == self.levels.len() {
            self.texts.push(String::new());
        }
        self.texts[self.levels.len()].clear();
        let preserve = sound::preserves_blanks(tag).unwrap_or(preserve);
        self.levels.push(Level { first_reached, wants_text, preserve, hits });
        Ok(())
    }
}

/// Whether the element that closes meets all its conditions. A position counts only those that meet
/// the conditions before it (XPath 1.0, 2.4).
fn meets(tree: &Tree, conditions: &[usize], met: &[bool], counts: &mut [u32]) -> bool {
    conditions.iter().all(|condition| match &tree.conditions[*condition] {
        Condition::Value(_) => met[*condition],
        Condition::Position(position) => {
            counts[*condition] += 1;
            counts[*condition] == *position
        }
    })
}

fn equals(tree: &Tree, condition: usize, text: &str) -> bool {
    matches!(&tree.conditions[condition], Condition::Value(value) if value == text)
}
