//! Gather: follows the selectors through one record element and hands their texts to the record.

use quick_xml::events::BytesStart;

use crate::model::Record;

use super::names::{NameTest, Scope};
use super::sound;

/// The selectors of a mapping as one tree, and how far the open elements lead into it.
pub(super) struct Gather {
    nodes: Vec<Node>,
    levels: Vec<Level>,
    /// The nodes that the open elements have reached, level behind level.
    reached: Vec<usize>,
    /// The direct text of each open element, reused from record to record.
    texts: Vec<String>,
}

#[derive(Default)]
struct Node {
    elements: Vec<(NameTest, usize)>,
    attributes: Vec<(NameTest, usize)>,
    slots: Vec<usize>,
}

/// One open element of the record.
struct Level {
    first_reached: usize,
    wants_text: bool,
}

impl Gather {
    /// Reads the selectors; a selector's slot is its position. An error says what is wrong.
    pub(super) fn new(selectors: &[String], scope: &Scope) -> Result<Gather, String> {
        let mut nodes = vec![Node::default()];
        for (slot, selector) in selectors.iter().enumerate() {
            let wrong = |what: String| format!("the selector {selector:?}: {what}");
            let (path, attribute) = match selector.split_once('@') {
                Some((path, attribute)) => (path, Some(attribute)),
                None => (selector.as_str(), None),
            };
            let mut node = 0;
            for step in path.split('/').filter(|step| !matches!(*step, "" | ".")) {
                node = child(&mut nodes, node, scope.test(step).map_err(wrong)?);
            }
            match attribute {
                Some(name) => {
                    let test = scope.test(name).map_err(wrong)?;
                    nodes[node].attributes.push((test, slot));
                }
                None => nodes[node].slots.push(slot),
            }
        }
        Ok(Gather { nodes, levels: Vec::new(), reached: Vec::new(), texts: Vec::new() })
    }

    /// Starts with the record element itself.
    pub(super) fn begin(
        &mut self,
        tag: &BytesStart,
        scope: &Scope,
        record: &mut Record,
    ) -> Result<(), String> {
        self.levels.clear();
        self.reached.clear();
        self.reached.push(0);
        self.open(0, tag, scope, record)
    }

    /// Goes into an element.
    pub(super) fn enter(
        &mut self,
        tag: &BytesStart,
        scope: &Scope,
        record: &mut Record,
    ) -> Result<(), String> {
        let first_reached = self.reached.len();
        let parents = self.levels.last().map_or(0, |level| level.first_reached);
        for n in parents..first_reached {
            for (test, node) in &self.nodes[self.reached[n]].elements {
                if scope.is_element(test, tag.name()) {
                    self.reached.push(*node);
                }
            }
        }
        self.open(first_reached, tag, scope, record)
    }

    /// Whether the text that comes now belongs to a selected element.
    pub(super) fn wants_text(&self) -> bool {
        self.levels.last().is_some_and(|level| level.wants_text)
    }

    /// Takes text of the innermost open element.
    pub(super) fn text(&mut self, text: &str) {
        if self.wants_text() {
            self.texts[self.levels.len() - 1].push_str(text);
        }
    }

    /// Goes out of the innermost open element. Its text is a hit, without the blanks at its ends,
    /// which are indentation.
    pub(super) fn leave(&mut self, record: &mut Record) {
        let Some(level) = self.levels.pop() else { return };
        if level.wants_text {
            let text = self.texts[self.levels.len()].trim_matches([' ', '\t', '\r', '\n']);
            for node in &self.reached[level.first_reached..] {
                self.nodes[*node].slots.iter().for_each(|slot| record.push(*slot, text));
            }
        }
        self.reached.truncate(level.first_reached);
    }

    /// How many elements of the record are open.
    pub(super) fn depth(&self) -> usize {
        self.levels.len()
    }

    fn open(
        &mut self,
        first_reached: usize,
        tag: &BytesStart,
        scope: &Scope,
        record: &mut Record,
    ) -> Result<(), String> {
        let mut wants_text = false;
        for node in &self.reached[first_reached..] {
            let node = &self.nodes[*node];
            wants_text |= !node.slots.is_empty();
            for (test, slot) in &node.attributes {
                for attribute in tag.attributes().with_checks(false).flatten() {
                    if scope.is_attribute(test, attribute.key) {
                        record.push(*slot, &sound::value_of(&attribute)?);
                    }
                }
            }
        }
        if self.texts.len() == self.levels.len() {
            self.texts.push(String::new());
        }
        self.texts[self.levels.len()].clear();
        self.levels.push(Level { first_reached, wants_text });
        Ok(())
    }
}

fn child(nodes: &mut Vec<Node>, node: usize, test: NameTest) -> usize {
    if let Some((_, child)) = nodes[node].elements.iter().find(|(known, _)| *known == test) {
        return *child;
    }
    let child = nodes.len();
    nodes.push(Node::default());
    nodes[node].elements.push((test, child));
    child
}
