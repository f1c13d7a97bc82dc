//! Names: how a name in a path is compared with the names in a document, by its spelling or by
//! its namespace (Namespaces in XML 1.0).

use quick_xml::events::BytesStart;
use quick_xml::name::{NamespaceError, NamespaceResolver, QName, ResolveResult};

/// A name as a path means it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NameTest {
    /// The mapping names no namespaces: the full name as it is written, prefix included.
    Written(String),
    /// A name without prefix: the local name in any namespace or none.
    Local(String),
    /// A name with prefix: the local name in this namespace.
    Qualified { namespace: String, local: String },
}

/// The namespaces of the mapping, and those that are in scope in the document.
pub(super) struct Scope {
    mapped: Vec<(String, String)>,
    /// Kept only if the mapping names namespaces.
    resolver: Option<NamespaceResolver>,
}

impl Scope {
    pub(super) fn new(mapped: &[(String, String)]) -> Scope {
        let resolver = (!mapped.is_empty()).then(NamespaceResolver::default);
        Scope { mapped: mapped.to_vec(), resolver }
    }

    /// What a name in a path means; an error says what is wrong with it.
    pub(super) fn test(&self, name: &str) -> Result<NameTest, String> {
        if !super::sound::is_name(name) {
            return Err(format!("{name:?} is no name"));
        }
        if self.resolver.is_none() {
            return Ok(NameTest::Written(name.to_owned()));
        }
        let Some((prefix, local)) = name.split_once(':') else {
            return Ok(NameTest::Local(name.to_owned()));
        };
        match self.mapped.iter().find(|(mapped, _)| mapped == prefix) {
            Some((_, namespace)) => {
                Ok(NameTest::Qualified { namespace: namespace.clone(), local: local.to_owned() })
            }
            None => Err(format!("the prefix {prefix} is not in the mapping's `namespaces`")),
        }
    }

    /// Takes in the declarations of an element that opens.
    pub(super) fn enter(&mut self, tag: &BytesStart) -> Result<(), NamespaceError> {
        match &mut self.resolver {
            Some(resolver) => resolver.push(tag),
            None => Ok(()),
        }
    }

    /// Forgets the declarations of the element that closes.
    pub(super) fn leave(&mut self) {
        if let Some(resolver) = &mut self.resolver {
            resolver.pop();
        }
    }

    pub(super) fn is_element(&self, test: &NameTest, name: QName) -> bool {
        self.matches(test, name, true)
    }

    pub(super) fn is_attribute(&self, test: &NameTest, name: QName) -> bool {
        let declares = self.resolver.is_some() && name.as_namespace_binding().is_some();
        !declares && self.matches(test, name, false)
    }

    fn matches(&self, test: &NameTest, name: QName, element: bool) -> bool {
        match (test, &self.resolver) {
            (NameTest::Written(written), _) => written == name.0,
            (NameTest::Local(local), _) => local == name.local_name().as_ref(),
            (NameTest::Qualified { namespace, local }, Some(resolver)) => {
                local == name.local_name().as_ref()
                    && match resolver.resolve(name, element) {
                        (ResolveResult::Bound(bound), _) => bound.as_ref() == namespace,
                        _ => false,
                    }
            }
            (NameTest::Qualified { .. }, None) => false,
        }
    }
}
