//! Surroundings: what a channel of a customer may refer to.

use std::collections::BTreeMap;

use super::provider::Provider;
use super::{Login, ScrApi, Section};

/// What a channel of a customer may refer to.
pub(super) struct Surroundings<'a> {
    pub provider: &'a Provider,
    /// The customer's id.
    pub customer: &'a str,
    pub has_vat: bool,
    pub logins: &'a BTreeMap<String, Option<Login>>,
    /// The customer's own SCR APIs.
    pub scr: &'a BTreeMap<String, Option<ScrApi>>,
}

impl Surroundings<'_> {
    /// The login that the section names.
    pub fn login(&self, section: &mut Section) -> Option<Login> {
        let name = section.required("login")?;
        match self.logins.get(&name) {
            Some(login) => login.clone(),
            None => {
                let known = self.logins.keys().map(String::as_str);
                section.unknown_name("login", "login", &name, known);
                None
            }
        }
    }

    /// The key of an API in `Config::scr`: the customer's own comes before the provider's.
    pub fn api_key(&self, name: &str) -> Option<String> {
        if self.scr.contains_key(name) {
            Some(format!("{}/{name}", self.customer))
        } else if self.provider.scr.contains_key(name) {
            Some(name.to_owned())
        } else {
            None
        }
    }
}
