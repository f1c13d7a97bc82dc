//! Refusal: why the SCR API does not do what it is asked. Answered as the document's section
//! "Error codes" says: status 500 with `{code, description}`. Which codes there are it leaves
//! open; these are the sandbox's own.

use std::fmt;

use axum::http::StatusCode;
use serde_json::json;

use super::super::answer::Answer;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    UnknownRelease(String),
    Missing(&'static str),
    TooLong(String),
    Deleted,
    NotOwner,
    PinRetrieved,
    UnknownConnection(String),
    BadBody(String),
    NotText(String),
    BadType(String),
    NotTransferred,
    BadParameter(String),
    BadEventType(String),
    Blocked,
}

impl Refusal {
    fn code(&self) -> u32 {
        match self {
            Refusal::UnknownRelease(_) => 1,
            Refusal::Missing(_) => 2,
            Refusal::TooLong(_) => 3,
            Refusal::Deleted => 4,
            Refusal::NotOwner => 5,
            Refusal::PinRetrieved => 6,
            Refusal::UnknownConnection(_) => 7,
            Refusal::BadBody(_) => 8,
            Refusal::NotText(_) => 9,
            Refusal::BadType(_) => 10,
            Refusal::NotTransferred => 11,
            Refusal::BadParameter(_) => 12,
            Refusal::BadEventType(_) => 13,
            Refusal::Blocked => 14,
        }
    }

    pub fn answer(self) -> Answer {
        let description = self.to_string();
        let body = json!({ "code": self.code(), "description": description });
        Answer::json(StatusCode::INTERNAL_SERVER_ERROR, &body)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Refusal::UnknownRelease(address) => write!(f, "Release {address} not found"),
            Refusal::Missing(field) => write!(f, "Field {field} is mandatory"),
            Refusal::TooLong(field) => write!(f, "Field {field} is longer than 255 characters"),
            Refusal::Deleted => write!(f, "Release has been deleted"),
            Refusal::NotOwner => write!(f, "You are not the owner of this release"),
            Refusal::PinRetrieved => {
                write!(f, "The pin of this release has been retrieved, it can not be transferred")
            }
            Refusal::UnknownConnection(address) => {
                write!(f, "{address} is not one of your connections")
            }
            Refusal::BadBody(why) => write!(f, "Request body is not valid: {why}"),
            Refusal::NotText(field) => write!(f, "Field {field} is not a string"),
            Refusal::BadType(given) => {
                write!(f, "Field type must be driver or barge as the endpoint wants, not {given}")
            }
            Refusal::NotTransferred => write!(f, "You have not transferred this release"),
            Refusal::BadParameter(why) => write!(f, "Query parameter is not valid: {why}"),
            Refusal::Blocked => write!(f, "Release has been blocked"),
            Refusal::BadEventType(given) => write!(f, "Event type {given} is not supported"),
        }
    }
}
