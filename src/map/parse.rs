//! Parse: one `[[fields]]` as a mapping writes it, made a `Field`, or faults with their lines.

use std::sync::Arc;

use super::charset::Charset;
use super::checks::Check;
use super::clean::Clean;
use super::condition::Condition;
use super::dates::Dates;
use super::element;
use super::field::{Aka, Field, Several, Source, Target, Unknown, Within};
use super::mapping::Compile;
use super::numbers::Number;
use super::output::Output;
use super::paths::Paths;
use crate::config::Section;
use crate::config::section::TextOrSection;
use crate::model::Level;

/// Deeper than this no output nests; it keeps the one pass over the tree within its stack.
const DEEPEST: usize = 32;

/// Reads a field, and where it goes in a record of this format; faults are noted.
pub fn field(
    mut section: Section,
    compile: &mut Compile<'_>,
    paths: &mut Paths,
    output: Output,
) -> Option<(Target, Field)> {
    let to = section.required("to");
    let target = to.as_deref().and_then(|to| target(&section, to, output));
    if let Some(to) = &to {
        compile.style.look_at_target(&section, to, output);
    }
    let from = from(&mut section);
    let value = section.text("value");
    let join = section.text("join");
    let first = take(&mut section);
    let array = target.as_ref().is_some_and(|target| target.array);

    let label = match (&from, &to) {
        (Some(from), _) => from.join("+"),
        (None, Some(to)) => to.clone(),
        (None, None) => String::new(),
    };
    let count = from.as_ref().map_or(1, Vec::len);
    let several = several(&section, count, join, first, array);
    let source = source(&mut section, from, value, compile);
    let clean = Clean::parse(&mut section);
    let values = section
        .text_table("values")
        .map(|values| values.into_iter().map(|(key, to)| (key.trim().to_owned(), to)).collect());
    let aka = aka(&mut section, compile);
    let date = Dates::parse(&mut section, compile.direction);
    let number = Number::parse(&mut section, compile.direction, output);
    let check = check(&mut section);
    let required = section.boolean("required").unwrap_or(false);
    let when = Condition::parse(&mut section, "when", compile);
    let attributes = output == Output::Xml;
    let admitted =
        target.filter(|target| paths.admit(&section, target, when.is_some(), attributes));
    section.finish();
    let field = Field {
        label,
        source: source?,
        several,
        clean,
        values,
        aka,
        date,
        number,
        check,
        required,
        when,
        charset: charset(compile, output),
    };
    Some((admitted?, field))
}

/// What a field's texts must fit into: JSON and XML have ways to write any character.
fn charset(compile: &Compile<'_>, output: Output) -> Option<Arc<Charset>> {
    let charset = &compile.style.charset;
    (output == Output::Csv && !charset.is_unicode()).then(|| Arc::clone(charset))
}

/// Reads a path such as `container.containerNumber` or `references[]`.
fn target(section: &Section, to: &str, output: Output) -> Option<Target> {
    let (plain, array) = match to.strip_suffix("[]") {
        Some(plain) => (plain, true),
        None => (to, false),
    };
    let path: Vec<String> = plain.split('.').map(str::to_owned).collect();
    let fault = if plain.contains(['[', ']']) {
        Some("[] may stand at its end only".to_owned())
    } else if path.iter().any(|name| name.trim().is_empty()) {
        Some("a name is empty".to_owned())
    } else if path.len() > DEEPEST {
        Some(format!("it nests deeper than {DEEPEST}"))
    } else if output == Output::Xml {
        element::fault(&path, array)
    } else if output == Output::Csv && array {
        Some("a CSV field holds one value; let the field say join or take = \"first\"".to_owned())
    } else {
        None
    };
    match fault {
        None => Some(Target { path, array }),
        Some(fault) => {
            section.error("to", format!("to is \"{to}\": {fault}"));
            None
        }
    }
}

fn from(section: &mut Section) -> Option<Vec<String>> {
    let from = section.texts("from")?;
    if from.is_empty() || from.iter().any(|selector| selector.trim().is_empty()) {
        section.error("from", "from is empty");
    }
    Some(from)
}

fn source(
    section: &mut Section,
    from: Option<Vec<String>>,
    value: Option<String>,
    compile: &mut Compile<'_>,
) -> Option<Source> {
    match (from, value) {
        (Some(from), value) => {
            if value.is_some() {
                section.error("value", "a field has either from or value");
            }
            let slots = from.iter().map(|from| compile.slot(section, "from", from)).collect();
            Some(Source::Slots(slots))
        }
        (None, Some(value)) => Some(Source::Constant(value)),
        (None, None) => {
            // A `from` or `value` of the wrong kind has been told already.
            if !(section.has("from") || section.has("value")) {
                section.error("to", "the field needs from or value");
            }
            None
        }
    }
}

fn take(section: &mut Section) -> bool {
    match section.text("take").as_deref() {
        None => false,
        Some("first") => true,
        Some(other) => {
            section.error("take", format!("take is \"{other}\", but must be \"first\""));
            false
        }
    }
}

/// Decides what is done with several texts; `count` is how many selectors `from` has.
fn several(
    section: &Section,
    count: usize,
    join: Option<String>,
    first: bool,
    array: bool,
) -> Several {
    match (join, first, array) {
        (Some(_), true, _) => section.error("take", "a field has either join or take"),
        (Some(_), _, true) => section.error("join", "join does not go with a `to` that ends in []"),
        (None, true, true) => section.error("take", "take does not go with a `to` that ends in []"),
        (Some(separator), false, false) => return Several::Join(separator),
        (None, true, false) => return Several::First,
        (None, false, true) => return Several::Each,
        (None, false, false) if count > 1 => section.error(
            "from",
            "from is a list: say how its texts become one, with join = \" \" or take = \"first\"",
        ),
        (None, false, false) => {}
    }
    Several::Refuse
}

fn check(section: &mut Section) -> Option<(Check, Level)> {
    let (rule, level) = match section.text_or_section("check")? {
        TextOrSection::Text(rule) => (Some(rule), Some(Level::Reject)),
        TextOrSection::Section(mut section) => {
            let rule = section.required("rule");
            let level = match section.text("level").as_deref() {
                None | Some("reject") => Some(Level::Reject),
                Some("warn") => Some(Level::Warn),
                Some("off") => None,
                Some(other) => {
                    let what = format!(
                        "level is \"{other}\", but must be \"off\", \"warn\" or \"reject\""
                    );
                    section.error("level", what);
                    None
                }
            };
            section.finish();
            (rule, level)
        }
    };
    match Check::parse(&rule?) {
        Ok(check) => level.map(|level| (check, level)),
        Err(fault) => {
            section.error("check", fault);
            None
        }
    }
}

fn aka(section: &mut Section, compile: &mut Compile<'_>) -> Option<Aka> {
    let unknown = unknown(section);
    let Some(aka) = section.text_or_section("aka") else {
        if unknown.is_some() && !section.has("aka") {
            section.error("unknown", "unknown goes with aka");
        }
        return None;
    };
    let unknown = unknown.unwrap_or(Unknown::Quarantine);
    match aka {
        TextOrSection::Text(name) => {
            let table = compile.table(section, "aka", &name, false)?;
            Some(Aka { table, within: None, unknown, direction: compile.direction })
        }
        TextOrSection::Section(mut section) => {
            let name = section.required("table");
            let within = within(&mut section, compile);
            let fold = match section.text("case").as_deref() {
                None => false,
                Some("ignore") => true,
                Some(other) => {
                    section.error("case", format!("case is \"{other}\", but must be \"ignore\""));
                    false
                }
            };
            let table = name.and_then(|name| compile.table(&section, "table", &name, fold));
            section.finish();
            Some(Aka { table: table?, within, unknown, direction: compile.direction })
        }
    }
}

/// The second key: a column or path, or `{ value = "BEANR" }`.
fn within(section: &mut Section, compile: &mut Compile<'_>) -> Option<Within> {
    match section.text_or_section("within")? {
        TextOrSection::Text(column) => {
            let slot = compile.slot(section, "within", &column);
            Some(Within::Slot(column, slot))
        }
        TextOrSection::Section(mut section) => {
            let value = section.required("value");
            section.finish();
            value.map(Within::Constant)
        }
    }
}

fn unknown(section: &mut Section) -> Option<Unknown> {
    match section.text_or_section("unknown")? {
        TextOrSection::Text(word) => match word.as_str() {
            "quarantine" => Some(Unknown::Quarantine),
            "keep" => Some(Unknown::Keep),
            other => {
                let what = format!(
                    "unknown is \"{other}\", but must be \"quarantine\", \"keep\" or \
                     {{ use = \"…\" }}"
                );
                section.error("unknown", what);
                None
            }
        },
        TextOrSection::Section(mut section) => {
            let code = section.required("use");
            section.finish();
            code.map(Unknown::Use)
        }
    }
}
