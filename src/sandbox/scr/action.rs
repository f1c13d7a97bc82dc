//! Action: what a call asks of the SCR API, told from method and path.

use axum::http::Method;

/// One endpoint of the document, with the release that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sandbox) enum Action {
    Releases,
    Release(String),
    Pincode(String),
    Write(Verb, String),
    Connections,
    Invite,
    Subscribe,
    Unknown,
    WrongMethod,
}

/// What can be done to a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Verb {
    Transfer,
    Revoke,
    Assign,
    AssignBarge,
    Unassign,
}

impl Verb {
    /// Whether it is answered by 202, "not yet or partially processed".
    pub fn is_accepted_first(self) -> bool {
        matches!(self, Verb::Transfer | Verb::Revoke | Verb::Unassign)
    }

    pub fn name(self) -> &'static str {
        match self {
            Verb::Transfer => "transfer",
            Verb::Revoke => "revoke",
            Verb::Assign => "assign",
            Verb::AssignBarge => "assign_barge",
            Verb::Unassign => "unassign",
        }
    }
}

const VERBS: [Verb; 5] =
    [Verb::Transfer, Verb::Revoke, Verb::Assign, Verb::AssignBarge, Verb::Unassign];

impl Action {
    /// `path` is what follows the base path. Addresses are kept in lower case.
    pub fn of(method: &Method, path: &str) -> Action {
        let words: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (wanted, action) = match words[..] {
            ["releases"] => (Method::GET, Action::Releases),
            ["releases", address] => (Method::GET, Action::Release(address.to_lowercase())),
            ["releases", address, "pincode"] => {
                (Method::GET, Action::Pincode(address.to_lowercase()))
            }
            ["releases", address, word] => match VERBS.iter().find(|verb| verb.name() == word) {
                Some(verb) => (Method::PUT, Action::Write(*verb, address.to_lowercase())),
                None => return Action::Unknown,
            },
            ["connections"] => (Method::GET, Action::Connections),
            ["invitations"] => (Method::POST, Action::Invite),
            ["subscriptions"] => (Method::POST, Action::Subscribe),
            _ => return Action::Unknown,
        };
        if *method == wanted { action } else { Action::WrongMethod }
    }

    /// Its name in the counts.
    pub fn name(&self) -> &'static str {
        match self {
            Action::Releases => "releases",
            Action::Release(_) => "release",
            Action::Pincode(_) => "pincode",
            Action::Write(verb, _) => verb.name(),
            Action::Connections => "connections",
            Action::Invite => "invitations",
            Action::Subscribe => "subscriptions",
            Action::Unknown | Action::WrongMethod => "unknown",
        }
    }

    /// Whether it changes something.
    pub fn is_write(&self) -> bool {
        matches!(self, Action::Write(..) | Action::Invite | Action::Subscribe)
    }

    /// Whether it waits for a worker: "calls that change data or retrieving pins are essentially
    /// processed sequentially" (Implementation guidelines, Simultaneous transactions).
    pub fn is_queued(&self) -> bool {
        self.is_write() || matches!(self, Action::Pincode(_))
    }

    /// The release that it changes.
    pub fn written_release(&self) -> Option<String> {
        match self {
            Action::Write(_, address) => Some(address.clone()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_of_the_document_is_known() {
        let action = |method, path: &str| Action::of(&method, path);
        let address = || "0xab".to_string();
        assert_eq!(action(Method::GET, "/releases"), Action::Releases);
        assert_eq!(action(Method::GET, "/releases/0xAB"), Action::Release(address()));
        assert_eq!(action(Method::GET, "/releases/0xAB/pincode"), Action::Pincode(address()));
        for verb in VERBS {
            let path = format!("/releases/0xAB/{}", verb.name());
            assert_eq!(action(Method::PUT, &path), Action::Write(verb, address()));
            assert_eq!(action(Method::POST, &path), Action::WrongMethod);
        }
        assert_eq!(action(Method::GET, "/connections"), Action::Connections);
        assert_eq!(action(Method::POST, "/invitations"), Action::Invite);
        assert_eq!(action(Method::POST, "/subscriptions"), Action::Subscribe);
        assert_eq!(action(Method::PUT, "/releases/0xAB/assigned"), Action::Unknown);
        assert_eq!(action(Method::GET, ""), Action::Unknown);
    }
}
