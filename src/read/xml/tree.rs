//! Tree: selectors that start at one element, as one tree of the names below it.

use super::names::{NameTest, Scope};
use super::selector::{Selector, Test};

/// The selectors; the node 0 is the element they start at.
#[derive(Default)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
    pub(super) conditions: Vec<Condition>,
}

/// The elements at one path.
#[derive(Default)]
pub(super) struct Node {
    /// The nodes of child elements.
    pub(super) elements: Vec<(NameTest, usize)>,
    /// What its attributes are for.
    pub(super) attributes: Vec<(NameTest, Target)>,
    /// What its text is for.
    pub(super) texts: Vec<Target>,
    /// The conditions it must meet, in their order.
    pub(super) conditions: Vec<usize>,
    /// The positions of child elements, which are counted anew in each such element.
    pub(super) counted: Vec<usize>,
    /// The slots at it and below it.
    pub(super) slots: Vec<usize>,
    /// The tests as they are written.
    tests: Vec<Test>,
}

/// What a text is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    Slot(usize),
    Condition(usize),
}

/// What an element must meet for the hits in it to count.
pub(super) enum Condition {
    Position(u32),
    Value(String),
}

impl Tree {
    /// Builds the tree of the selectors, each with its slot. An error says what is wrong.
    pub(super) fn new<'s>(
        selectors: impl IntoIterator<Item = (usize, &'s Selector)>,
        scope: &Scope,
    ) -> Result<Tree, String> {
        let mut tree = Tree { nodes: vec![Node::default()], conditions: Vec::new() };
        for (slot, selector) in selectors {
            let mut node = 0;
            let mut on_the_way = Vec::new();
            for step in &selector.steps {
                node = tree.child(node, scope.test(&step.name)?, &step.tests, scope)?;
                on_the_way.push(node);
            }
            tree.aim(node, selector.attribute.as_deref(), Target::Slot(slot), scope)?;
            for node in on_the_way {
                tree.nodes[node].slots.push(slot);
            }
        }
        Ok(tree)
    }

    /// The node of the child elements that have this name and meet these tests.
    fn child(
        &mut self,
        parent: usize,
        name: NameTest,
        tests: &[Test],
        scope: &Scope,
    ) -> Result<usize, String> {
        let known = self.nodes[parent]
            .elements
            .iter()
            .find(|(known, node)| *known == name && self.nodes[*node].tests == tests);
        if let Some((_, child)) = known {
            return Ok(*child);
        }
        let child = self.nodes.len();
        self.nodes.push(Node { tests: tests.to_vec(), ..Node::default() });
        self.nodes[parent].elements.push((name, child));
        for test in tests {
            let condition = self.conditions.len();
            self.nodes[child].conditions.push(condition);
            match test {
                Test::Position(position) => {
                    self.conditions.push(Condition::Position(*position));
                    self.nodes[parent].counted.push(condition);
                }
                Test::Equals { elements, attribute, value } => {
                    self.conditions.push(Condition::Value(value.clone()));
                    let mut node = child;
                    for name in elements {
                        node = self.child(node, scope.test(name)?, &[], scope)?;
                    }
                    self.aim(node, attribute.as_deref(), Target::Condition(condition), scope)?;
                }
            }
        }
        Ok(child)
    }

    /// Has an attribute of a node, or its text, go to `target`.
    fn aim(
        &mut self,
        node: usize,
        attribute: Option<&str>,
        target: Target,
        scope: &Scope,
    ) -> Result<(), String> {
        match attribute {
            Some(name) => {
                let name = scope.test(name)?;
                self.nodes[node].attributes.push((name, target));
            }
            None => self.nodes[node].texts.push(target),
        }
        Ok(())
    }
}
