//! The path to the record elements, followed as elements open: `Orders/Order`, `**/Order`.

use quick_xml::name::QName;

use super::names::{NameTest, Scope};

/// The mapping's `records`.
pub(super) struct RecordPath {
    steps: Vec<Step>,
}

enum Step {
    /// `**`: any number of elements, none included.
    AnyDepth,
    Element(NameTest),
}

/// How far the open elements lead along the path: bit n is set if n steps can be behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reached(u64);

impl RecordPath {
    /// Reads a path; an error says what is wrong with it.
    pub(super) fn parse(path: &str, scope: &Scope) -> Result<RecordPath, String> {
        let mut steps = Vec::new();
        let inner = path.strip_prefix('/').unwrap_or(path);
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        for step in inner.split('/').filter(|_| !inner.is_empty()) {
            steps.push(match step {
                "**" => Step::AnyDepth,
                "" => return Err("two / stand together: write ** for any depth".to_owned()),
                tested if tested.contains('[') => {
                    return Err("no test may stand in it: choose records by `only`".to_owned());
                }
                name => Step::Element(scope.test(name)?),
            });
        }
        match steps.last() {
            None => Err("it names no element, as Orders/Order does".to_owned()),
            Some(Step::AnyDepth) => Err("it ends on ** and names no element".to_owned()),
            Some(_) if steps.len() > 63 => Err("it has more than 63 steps".to_owned()),
            Some(_) => Ok(RecordPath { steps }),
        }
    }

    /// How many elements are around a record, if it is the same for all.
    pub(super) fn depth(&self) -> Option<usize> {
        let fixed = self.steps.iter().all(|step| matches!(step, Step::Element(_)));
        fixed.then(|| self.steps.len() - 1)
    }

    /// Above the root.
    pub(super) fn start(&self) -> Reached {
        self.with_empty_steps(1)
    }

    /// One element further in.
    pub(super) fn enter(&self, from: Reached, name: QName, scope: &Scope) -> Reached {
        let mut reached = 0;
        for (n, step) in self.steps.iter().enumerate().filter(|(n, _)| from.0 & 1 << n != 0) {
            match step {
                Step::AnyDepth => reached |= 1 << n,
                Step::Element(test) if scope.is_element(test, name) => reached |= 1 << (n + 1),
                Step::Element(_) => {}
            }
        }
        self.with_empty_steps(reached)
    }

    /// Whether the element that was entered is a record.
    pub(super) fn is_record(&self, reached: Reached) -> bool {
        reached.0 & 1 << self.steps.len() != 0
    }

    /// Adds what is reached because `**` may stand for nothing.
    fn with_empty_steps(&self, mut reached: u64) -> Reached {
        for (n, step) in self.steps.iter().enumerate() {
            if matches!(step, Step::AnyDepth) && reached & 1 << n != 0 {
                reached |= 1 << (n + 1);
            }
        }
        Reached(reached)
    }
}

impl Reached {
    /// Nothing on the path can lie below.
    pub(super) fn is_nowhere(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leads(path: &str, elements: &str) -> bool {
        let scope = Scope::new(&[]);
        let path = RecordPath::parse(path, &scope).unwrap();
        let end = elements
            .split('/')
            .fold(path.start(), |reached, name| path.enter(reached, QName(name), &scope));
        path.is_record(end)
    }

    #[test]
    fn a_path_leads_from_the_root_to_its_last_element() {
        assert!(leads("Orders/Order", "Orders/Order"));
        assert!(leads("/Orders/Order/", "Orders/Order"));
        assert!(!leads("Orders/Order", "Orders"));
        assert!(!leads("Orders/Order", "Orders/Order/Order"));
        assert!(!leads("Orders/Order", "Orders/order"));
        assert!(!leads("Orders/Order", "X/Orders/Order"));
    }

    #[test]
    fn two_stars_are_any_depth_none_included() {
        assert!(leads("**/Order", "Order"));
        assert!(leads("**/Order", "a/b/Order"));
        assert!(leads("Orders/**/Order", "Orders/Order"));
        assert!(leads("Orders/**/Order", "Orders/Order/x/Order"));
        assert!(leads("a/**/b/**/c", "a/b/b/x/c"));
        assert!(!leads("a/**/b/**/c", "a/x/c"));
        assert!(!leads("Orders/**/Order", "x/Order"));
    }

    #[test]
    fn a_path_without_a_last_element_is_refused() {
        let scope = Scope::new(&[]);
        for path in ["", "/", "a/**", "a/b c", "a//b", "a/b[1]", "a/@b", "a/../b", &"a/".repeat(64)]
        {
            assert!(RecordPath::parse(path, &scope).is_err(), "{path}");
        }
    }
}
