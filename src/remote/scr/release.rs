//! The calls on releases (SCR API 1.2.9, "Releases").

use std::borrow::Cow;
use std::collections::HashSet;

use reqwest::{Method, Url};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Scr;
use crate::config::Secret;
use crate::model::Reply;
use crate::remote::release::{Assignee, Release};

/// Releases a page.
const PAGE: usize = 100;
/// Pages that are read at most for one question about a container.
const PAGES: usize = 100;
/// A call without a body.
const NOTHING: Option<&Value> = None;

/// Which releases are asked for; what is set must all hold ("Get all releases").
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// The container's number.
    pub container: Option<String>,
    /// The bill of lading's number.
    pub bl: Option<String>,
    /// Only those that were changed since then, as RFC 3339.
    pub since: Option<String>,
    /// How many at most.
    pub limit: Option<usize>,
    /// Which page of so many.
    pub page: Option<usize>,
}

/// A list that is read page by page.
///
/// The document does not say whether `page` counts from 0 or from 1 ("Get all releases"): so the
/// first request names no page, which is right for both and nearly always enough, and page 1 may
/// well bring the same again. From page 2 on, a page that brings nothing new is the end, also of a
/// list that knows no pages.
#[derive(Debug)]
pub struct Walk {
    query: Query,
    page: usize,
    known: HashSet<[u8; 16]>,
    /// What the pages are known by.
    pages: HashSet<blake3::Hash>,
    has_changed: bool,
    is_over: bool,
}

impl Walk {
    /// Begins at the first page.
    pub fn new(query: Query) -> Walk {
        let query = Query { limit: Some(PAGE), page: None, ..query };
        let (known, pages) = (HashSet::new(), HashSet::new());
        Walk { query, page: 0, known, pages, has_changed: false, is_over: false }
    }

    /// Whether the list has changed while it was read, so that some may have moved from a page that
    /// was still to be read to one that had been: others moved the other way, and came once more.
    pub fn has_changed(&self) -> bool {
        self.has_changed
    }

    /// How many pages were read.
    pub fn pages(&self) -> usize {
        self.page
    }

    /// Those of a page that did not come before.
    fn new_of(&mut self, page: Vec<Value>) -> Vec<Value> {
        let mut hasher = blake3::Hasher::new();
        for release in &page {
            hasher.update(address_of(release).as_bytes()).update(b"\n");
        }
        let is_new_page = self.pages.insert(hasher.finalize());
        let length = page.len();
        let new: Vec<Value> = page.into_iter().filter(|release| self.is_new(release)).collect();
        // A whole page that comes again is that of an API that counts from 1, or knows no pages.
        self.has_changed |= is_new_page && new.len() < length;
        new
    }

    fn is_new(&mut self, release: &Value) -> bool {
        let address = address_of(release);
        let mut known = [0; 16];
        known.copy_from_slice(&blake3::hash(address.as_bytes()).as_bytes()[..16]);
        self.known.insert(known)
    }
}

impl Scr {
    /// Assigns a release to a driver or a barge. A repeat overwrites, so it does no harm.
    ///
    /// Where drivers are not to be named, a stand-in goes out; never the driver for want of one.
    pub async fn assign(&self, address: &str, to: &Assignee) -> Reply {
        let to = match self.stand_ins.as_ref().map(|stand_ins| stand_ins.of(to)) {
            None => Cow::Borrowed(to),
            Some(Ok(stand_in)) => Cow::Owned(stand_in),
            Some(Err(error)) => return Reply::Broken(format!("{error:#}")),
        };
        let to = to.as_ref();
        self.change(Method::PUT, &["releases", address, "assign"], Some(to)).await
    }

    /// Takes back the assignment of a release.
    pub async fn unassign(&self, address: &str) -> Reply {
        self.change(Method::PUT, &["releases", address, "unassign"], NOTHING).await
    }

    /// Hands a release over to a connection, by its address ("Transfer a release").
    pub async fn transfer(&self, address: &str, to: &str) -> Reply {
        let body = json!({ "address": to });
        self.change(Method::PUT, &["releases", address, "transfer"], Some(&body)).await
    }

    /// Takes back a release that was handed over ("Revoke a release").
    pub async fn revoke(&self, address: &str) -> Reply {
        self.change(Method::PUT, &["releases", address, "revoke"], NOTHING).await
    }

    /// Reads the pin, after which the release cannot be transferred any more ("Get pincode",
    /// "Transfer a release"). None if the API answers with success but without one.
    pub async fn pincode(&self, address: &str) -> Result<Option<Secret>, Reply> {
        let answer = self.get(self.path(&["releases", address, "pincode"])?).await?;
        Ok(match &answer["pincode"] {
            Value::String(pin) if !pin.is_empty() => Some(Secret::new(pin.as_str())),
            Value::Number(pin) => Some(Secret::new(pin.to_string())),
            _ => None,
        })
    }

    /// The release of an address; `None` if the API answers with success but without one.
    pub async fn release(&self, address: &str) -> Result<Option<Release>, Reply> {
        Ok(self.document(address).await?.as_ref().and_then(Release::parse))
    }

    /// All that the API tells of a release, but no pin.
    pub async fn document(&self, address: &str) -> Result<Option<Value>, Reply> {
        let found = match self.get(self.path(&["releases", address])?).await? {
            Value::Array(list) => list.into_iter().next(),
            other => Some(other),
        };
        Ok(found.map(without_pins).filter(|found| {
            let release = Release::parse(found);
            release.is_some_and(|release| release.address.eq_ignore_ascii_case(address.trim()))
        }))
    }

    /// The releases of a container and, if given, of a bill of lading; those that the API sends
    /// for others are left out.
    pub async fn find(&self, container: &str, bl: Option<&str>) -> Result<Vec<Release>, Reply> {
        let (container, bl) = (container.to_owned(), bl.map(str::to_owned));
        let query =
            Query { container: Some(container.clone()), bl: bl.clone(), ..Query::default() };
        let mut walk = Walk::new(query);
        let mut releases = Vec::new();
        while walk.pages() < PAGES
            && let Some(page) = self.next_page(&mut walk).await?
        {
            let page = page.iter().filter_map(Release::parse);
            releases.extend(page.filter(|release| release.is_for(&container, bl.as_deref())));
        }
        Ok(releases)
    }

    /// The next releases of a walk, each as the API tells it, but no pin; none when there are no
    /// more. Within a walk no release comes twice.
    pub async fn next_page(&self, walk: &mut Walk) -> Result<Option<Vec<Value>>, Reply> {
        if walk.is_over {
            return Ok(None);
        }
        walk.query.page = (walk.page > 0).then_some(walk.page);
        let list = self.releases(&walk.query).await?;
        let length = list.len();
        let new = walk.new_of(list);
        walk.is_over = length < PAGE || walk.page > 1 && new.is_empty();
        walk.page += 1;
        Ok(Some(new))
    }

    /// One list of releases, each as the API tells it, but no pin.
    pub async fn releases(&self, query: &Query) -> Result<Vec<Value>, Reply> {
        match self.get(query.url(self.path(&["releases"])?)).await? {
            Value::Array(list) => Ok(list.into_iter().map(without_pins).collect()),
            Value::Null => Ok(Vec::new()),
            _ => Err(Reply::Broken("the SCR API did not answer with a list".to_owned())),
        }
    }
}

impl Query {
    fn url(&self, mut url: Url) -> Url {
        let numbers = [self.limit, self.page].map(|number| number.map(|number| number.to_string()));
        let named = [
            ("container", &self.container),
            ("bl", &self.bl),
            ("since", &self.since),
            ("limit", &numbers[0]),
            ("page", &numbers[1]),
        ];
        for (name, value) in named {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        url
    }
}

fn address_of(release: &Value) -> String {
    release["address"].as_str().unwrap_or_default().to_ascii_lowercase()
}

/// A release without its pin, wherever that stands and whatever its capitals.
fn without_pins(mut value: Value) -> Value {
    drop_pins(&mut value);
    value
}

fn drop_pins(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| {
                !["encryptedpin", "pincode"].contains(&name.to_ascii_lowercase().as_str())
            });
            members.values_mut().for_each(drop_pins);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_pins),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_changed_where_a_release_comes_again_on_another_page() {
        let has_changed = |pages: &[&[u32]]| {
            let mut walk = Walk::new(Query::default());
            for page in pages {
                let page = page.iter().map(|number| json!({ "address": format!("0x{number}") }));
                walk.new_of(page.collect());
            }
            walk.has_changed()
        };
        // Pages are counted from 0, from 1, or not at all.
        assert!(!has_changed(&[&[1, 2], &[3, 4], &[5]]));
        assert!(!has_changed(&[&[1, 2], &[1, 2], &[3, 4], &[5]]));
        assert!(!has_changed(&[&[1, 2, 3], &[1, 2, 3], &[1, 2, 3]]));
        // The first moved to the end, or one that was still to come to the front.
        assert!(has_changed(&[&[1, 2], &[1, 2], &[4, 5], &[1]]));
        assert!(has_changed(&[&[1, 2], &[2, 3], &[4, 5]]));
        assert!(has_changed(&[&[1, 2], &[5, 1], &[2, 3], &[4]]));
    }
}
