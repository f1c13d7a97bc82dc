//! Address: an http or https URL, as written and in the form by which two are compared.

use reqwest::Url;

use super::Section;

/// An http or https URL to which paths are appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// As written, without a slash at its end.
    pub text: String,
    /// Scheme and host in lower case, without the scheme's own port and a slash at its end
    /// (RFC 3986, section 6.2).
    pub normal: String,
}

impl Address {
    /// The URL below which the API's paths lie: it has no query.
    pub fn base(section: &mut Section, key: &str) -> Option<Address> {
        let (text, url) = parse(section, key)?;
        if url.query().is_some() {
            section.error(key, format!("{key} must not have a query (?…): paths are appended"));
            return None;
        }
        let trimmed = |text: &str| text.trim_end_matches('/').to_owned();
        Some(Address { text: trimmed(&text), normal: trimmed(url.as_str()) })
    }

    /// The address of one thing below it.
    pub fn below(&self, segment: &str) -> Address {
        Address {
            text: format!("{}/{segment}", self.text),
            normal: format!("{}/{segment}", self.normal),
        }
    }
}

/// A URL that is called as it is.
pub(super) fn endpoint(section: &mut Section, key: &str) -> Option<String> {
    parse(section, key).map(|(text, _)| text)
}

/// Whether a text can stand between two slashes of a URL's path as it is (RFC 3986, section 3.3).
pub(super) fn is_segment(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@".contains(c);
    !text.is_empty() && text != "." && text != ".." && text.chars().all(legal)
}

/// What is not a sound URL is not shown: it may hold a password.
fn parse(section: &mut Section, key: &str) -> Option<(String, Url)> {
    let example = "such as \"https://host/path\"";
    let advice = format!("{key} must be an http or https URL in quotes, {example}");
    let text = section.private_text(key, &advice)?;
    let fault = match Url::parse(&text) {
        Err(error) => format!("{key} is no URL ({error}): it must be one {example}"),
        Ok(url) if !["http", "https"].contains(&url.scheme()) => {
            format!("{key} has the scheme \"{}\", but must be a URL {example}", url.scheme())
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            format!("{key} holds a user or a password: logins and secrets have keys of their own")
        }
        Ok(url) if url.fragment().is_some() => format!("{key} must not have a fragment (#…)"),
        Ok(_) if text.contains(|c: char| c.is_whitespace() || c.is_control()) => {
            format!("{key} holds white space")
        }
        Ok(url) => return Some((text, url)),
    };
    section.error(key, fault);
    None
}
