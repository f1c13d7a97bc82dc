//! Selector: a mapping's `from` for XML, as it is written: `@id`, `Head/No`,
//! `E1EDKA1[PARVW='SP']/PARTN`, `../EDI_DC40/DOCNUM`. A small part of XPath 1.0, abbreviated syntax.

/// What a `from` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selector {
    /// As it is written.
    pub(super) text: String,
    /// How many elements above the record it starts.
    pub(super) up: usize,
    /// The elements from there on.
    pub(super) steps: Vec<Step>,
    /// The attribute of the last element; without one its text is meant.
    pub(super) attribute: Option<String>,
}

/// One element of a path, with what it must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) tests: Vec<Test>,
}

/// What stands in brackets behind a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    /// `[2]`: the second of those under one parent that pass the tests before.
    Position(u32),
    /// `[a/@b='v']`: at least one of the elements or attributes at this path has this value.
    Equals { elements: Vec<String>, attribute: Option<String>, value: String },
}

const FROM_THE_RECORD: &str = "a path starts at the record: write it without the / in front";

impl Selector {
    /// Reads a selector; an error says what is wrong with it and how it is written.
    pub(super) fn parse(text: &str) -> Result<Selector, String> {
        let mut rest = text;
        let mut up = 0;
        while let Some(further) = rest.strip_prefix("..") {
            up += 1;
            match further.strip_prefix('/') {
                Some(further) if !further.is_empty() => rest = further,
                _ if further.starts_with('[') => {
                    return Err("no test may stand on ..; test an element by its name".to_owned());
                }
                _ => return Err("name what is meant, as ../Head/No or ../@id".to_owned()),
            }
        }
        let mut selector =
            Selector { text: text.to_owned(), up, steps: Vec::new(), attribute: None };
        if up == 0 && rest == "." {
            return Ok(selector);
        }
        if up == 0 {
            rest = rest.strip_prefix("./").unwrap_or(rest);
        }
        if rest.starts_with('/') && text.starts_with('/') {
            return Err(FROM_THE_RECORD.to_owned());
        }
        loop {
            if let Some(name) = rest.strip_prefix('@') {
                selector.attribute = Some(named(name)?);
                return Ok(selector);
            }
            let end = rest.find(['/', '[', '@']).unwrap_or(rest.len());
            let name = match &rest[..end] {
                ".." => return Err(".. may stand only at the front".to_owned()),
                name => named(name)?,
            };
            rest = &rest[end..];
            let mut tests = Vec::new();
            while let Some(inside) = rest.strip_prefix('[') {
                let (test, behind) = test(inside)?;
                tests.push(test);
                rest = behind;
            }
            if up > 0 && tests.iter().any(|test| matches!(test, Test::Position(_))) {
                return Err("elements above the record are not counted; test a value, or let the \
                            field say take = \"first\""
                    .to_owned());
            }
            selector.steps.push(Step { name, tests });
            match rest.strip_prefix('/') {
                Some(further) => rest = further,
                None if rest.is_empty() => return Ok(selector),
                None if rest.starts_with('@') => {}
                None => return Err(format!("{rest:?} stands where / or [ is due")),
            }
        }
    }
}

/// Reads the inside of a test, up to and with its bracket; gives what follows.
fn test(inside: &str) -> Result<(Test, &str), String> {
    let inside = inside.trim_start();
    let number = inside.len() - inside.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if number > 0 {
        let position = inside[..number].parse().unwrap_or(0);
        if position == 0 {
            return Err("positions count from 1".to_owned());
        }
        return Ok((Test::Position(position), closed(&inside[number..])?));
    }
    let form = "write a test as [CODE='SP'], [@role=\"consignee\"] or [1]";
    let Some((path, value)) = inside.split_once('=') else { return Err(form.to_owned()) };
    let (elements, attribute) = match path.trim().split_once('@') {
        Some((elements, attribute)) => (elements, Some(named(attribute)?)),
        None => (path.trim(), None),
    };
    let elements = match elements.strip_suffix('/') {
        Some(elements) if attribute.is_some() => elements,
        _ => elements,
    };
    let elements = match elements {
        "" if attribute.is_some() => Vec::new(),
        "" => return Err(form.to_owned()),
        elements => elements.split('/').map(named).collect::<Result<_, _>>()?,
    };
    let value = value.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '\'' | '"'));
    let Some((value, rest)) = quote.and_then(|quote| value[1..].split_once(quote)) else {
        return Err("write the value of a test in quotes, as [CODE='SP']".to_owned());
    };
    Ok((Test::Equals { elements, attribute, value: value.to_owned() }, closed(rest)?))
}

/// What follows the bracket that is due.
fn closed(rest: &str) -> Result<&str, String> {
    rest.trim_start()
        .strip_prefix(']')
        .ok_or_else(|| "a test ends on ]; write several as [CODE='SP'][KIND='1']".to_owned())
}

fn named(name: &str) -> Result<String, String> {
    match name {
        "" => Err("a name is missing between two /, or at the end".to_owned()),
        name if super::sound::is_name(name) => Ok(name.to_owned()),
        name => Err(format!("{name:?} is no name of an element or attribute")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (usize, Vec<Step>, Option<String>) {
        let selector = Selector::parse(text).unwrap();
        (selector.up, selector.steps, selector.attribute)
    }

    fn step(name: &str, tests: Vec<Test>) -> Step {
        Step { name: name.to_owned(), tests }
    }

    fn plain(name: &str) -> Step {
        step(name, Vec::new())
    }

    fn equals(elements: &[&str], attribute: Option<&str>, value: &str) -> Test {
        Test::Equals {
            elements: elements.iter().map(|name| name.to_string()).collect(),
            attribute: attribute.map(str::to_owned),
            value: value.to_owned(),
        }
    }

    #[test]
    fn a_path_leads_to_text_or_to_an_attribute() {
        assert_eq!(parsed("."), (0, vec![], None));
        assert_eq!(parsed("@id"), (0, vec![], Some("id".into())));
        assert_eq!(parsed("./a/n:b"), (0, vec![plain("a"), plain("n:b")], None));
        assert_eq!(parsed("a/@b"), (0, vec![plain("a")], Some("b".into())));
        assert_eq!(parsed("_-BIC_-X"), (0, vec![plain("_-BIC_-X")], None));
    }

    #[test]
    fn two_dots_lead_above_the_record() {
        assert_eq!(parsed("../@id"), (1, vec![], Some("id".into())));
        assert_eq!(parsed("../../a/b"), (2, vec![plain("a"), plain("b")], None));
    }

    #[test]
    fn tests_stand_behind_names() {
        let (_, steps, _) = parsed("E1EDKA1[PARVW='SP']/PARTN");
        assert_eq!(steps, [step("E1EDKA1", vec![equals(&["PARVW"], None, "SP")]), plain("PARTN")]);
        let (_, steps, attribute) = parsed(
            "P[ a/b = \"it's]/@\" ][@c='=\"'][d/@e=''] [2]/@f".replace(" [2]", "[ 2 ]").as_str(),
        );
        let tests = vec![
            equals(&["a", "b"], None, "it's]/@"),
            equals(&[], Some("c"), "=\""),
            equals(&["d"], Some("e"), ""),
            Test::Position(2),
        ];
        assert_eq!((steps, attribute), (vec![step("P", tests)], Some("f".into())));
    }

    #[test]
    fn what_cannot_be_meant_is_told() {
        for (text, part) in [
            ("", "a name is missing"),
            ("/a", "starts at the record"),
            ("a//b", "a name is missing"),
            ("a/", "a name is missing"),
            ("a/@", "a name is missing"),
            ("a b", "is no name"),
            ("a/@b/c", "is no name"),
            ("@b@c", "is no name"),
            ("**/a", "is no name"),
            ("*", "is no name"),
            ("a/text()", "is no name"),
            ("..", "as ../Head/No"),
            ("../", "as ../Head/No"),
            ("../..", "as ../Head/No"),
            ("..[a='b']/c", "no test may stand on"),
            ("a/../b", "only at the front"),
            ("../a[1]/b", "are not counted"),
            ("a[0]", "count from 1"),
            ("a[99999999999]", "count from 1"),
            ("a[b=c]", "in quotes"),
            ("a[b='c]", "in quotes"),
            ("a[b='c'", "ends on ]"),
            ("a[b='c' and d='e']", "several as"),
            ("a[b]", "write a test as"),
            ("a[='c']", "write a test as"),
            ("a[", "write a test as"),
            ("a[1", "ends on ]"),
            ("a[b='c']d", "is due"),
            ("a[b//c='d']", "a name is missing"),
        ] {
            let told = Selector::parse(text).unwrap_err();
            assert!(told.contains(part), "{text}: {told}");
        }
    }
}
