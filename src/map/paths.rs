//! Paths: which places of the output record a mapping has set, so that none is set twice and none is
//! both a value and an object.

use std::collections::BTreeMap;

use super::field::Target;
use crate::config::Section;

/// The paths that a mapping has set so far: the line of each, and whether it has a `when`.
#[derive(Debug, Default)]
pub struct Paths(BTreeMap<Vec<String>, (usize, bool)>);

impl Paths {
    /// Sees whether a further field may set `target`; notes the fault if not. With `attributes` a
    /// value may have attributes, named by `@`.
    pub fn admit(
        &mut self,
        section: &Section,
        target: &Target,
        has_when: bool,
        attributes: bool,
    ) -> bool {
        let path = &target.path;
        let line = section.line_of("to");
        let shown = path.join(".");
        if let Some((earlier, earlier_has_when)) = self.0.get(path) {
            if has_when && *earlier_has_when {
                return true;
            }
            let what = format!(
                "\"{shown}\" is set on line {earlier} already: one of them must go, or each needs \
                 a `when`"
            );
            section.error("to", what);
            return false;
        }
        let clash = self.0.iter().find(|(other, _)| {
            let (short, long) =
                if other.len() < path.len() { (*other, path) } else { (path, *other) };
            let is_attribute = attributes && long.last().is_some_and(|name| name.starts_with('@'));
            long.starts_with(short) && !is_attribute
        });
        if let Some((other, (earlier, _))) = clash {
            let what = format!(
                "\"{}\" cannot be a value and hold \"{}\" too (see line {earlier})",
                if other.len() < path.len() { other.join(".") } else { shown.clone() },
                if other.len() < path.len() { shown.clone() } else { other.join(".") },
            );
            section.error("to", what);
            return false;
        }
        self.0.insert(path.clone(), (line, has_when));
        true
    }
}
