//! Above: what a mapping asks of the objects around the records, where it stands before them. There
//! is one array of records, so that it is the same for all of them.

use crate::model::Record;

use super::super::{Above, Unsound};
use super::path::Path;
use super::pick::Picker;
use super::scanner::Scanner;

/// How much of what stands above the records is kept: what comes before them may be the whole of a
/// large file.
const BYTES: usize = 64 * 1024;

/// What was asked, and what was found of it.
pub(super) struct Asked {
    /// The slots in a record, in the order of the mapping.
    slots: Vec<usize>,
    /// For each object around the records, outermost first, what is asked of it.
    objects: Vec<Object>,
}

/// One object around the records.
struct Object {
    picker: Picker,
    /// What was hit in it; the slots are places in `slots`.
    hits: Record,
}

impl Asked {
    /// Takes the selectors that start above the record, of which there are `depth` objects.
    pub(super) fn new(selectors: &[Path], depth: usize) -> Result<Asked, String> {
        let above: Vec<_> = selectors.iter().enumerate().filter(|(_, path)| path.up > 0).collect();
        if let Some((_, path)) = above.iter().find(|(_, path)| path.up > depth) {
            return Err(format!(
                "it goes up {} objects from the record, which has {depth} around it",
                path.up
            ));
        }
        let of = |level: usize| {
            let here = above.iter().enumerate().filter(|(_, (_, p))| depth - p.up == level);
            let mut hits = Record::default();
            hits.start(0);
            Object {
                picker: Picker::new(here.map(|(n, (_, path))| (n, path.keys.as_slice()))),
                hits,
            }
        };
        Ok(Asked {
            slots: above.iter().map(|(slot, _)| *slot).collect(),
            objects: (0..depth).map(of).collect(),
        })
    }

    /// Takes what is asked of the member `key` of the object at `level`, or passes over it.
    pub(super) fn member(
        &mut self,
        level: usize,
        key: &str,
        scanner: &mut Scanner,
    ) -> Result<(), Unsound> {
        let Object { picker, hits } = &mut self.objects[level];
        if !picker.wants(key) {
            return scanner.pass_value(level + 1);
        }
        scanner.token()?;
        let spot = scanner.spot();
        let value = scanner.value(level + 1)?;
        if let Err(error) = picker.pick_member(key, value, hits) {
            return Err(spot.unsound("json", error.to_string(), "write text that is Unicode"));
        }
        if let Some(fault) = hits.faults.pop() {
            return Err(spot.unsound("json", fault.value, &fault.advice));
        }
        if hits.text().len() > BYTES {
            let what = format!("more than {BYTES} bytes above the records are asked for");
            let advice = "see whether the mapping should name less of them";
            return Err(spot.unsound("size", what, advice));
        }
        Ok(())
    }

    /// Gives a record what was found.
    pub(super) fn fill(&self, record: &mut Record) {
        for (n, slot) in self.slots.iter().enumerate() {
            for object in &self.objects {
                object.hits.texts(n).for_each(|text| record.push(*slot, text));
            }
        }
    }

    /// What was found, to be kept with a mark.
    pub(super) fn above(&self) -> Above {
        let of = |object: &Object| {
            let all = 0..self.slots.len();
            all.flat_map(|n| object.hits.texts(n).map(move |text| (n, text.to_owned()))).collect()
        };
        Above(self.objects.iter().map(of).collect())
    }

    /// Takes the place of what was found.
    pub(super) fn restore(&mut self, above: &Above) {
        for (object, hits) in self.objects.iter_mut().zip(&above.0) {
            object.hits.start(0);
            hits.iter().for_each(|(n, text)| object.hits.push(*n, text));
        }
    }
}
