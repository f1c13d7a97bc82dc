//! Call: what a PUT asks for, read from its path and body.

use axum::http::StatusCode;
use serde_json::Value;

use super::super::answer::Answer;
use super::problem;

/// One call that changes something.
pub(super) struct Call {
    pub action: &'static str,
    pub action_type: String,
    /// The container; empty in a call for several.
    pub equipment: String,
    /// Of a call for several, its rights.
    pub rights: Vec<Value>,
}

const RELEASE: [&str; 9] =
    ["Transfer", "Accept", "Decline", "Revoke", "Release", "Update", "Block", "Unblock", "Delete"];
const PICK_UP: [&str; 3] = ["Assign", "Update", "Revoke"];

impl Call {
    /// Reads a call; those for release rights answer 405 to what is not valid, those for pick-up
    /// rights 400.
    pub fn read(path: &str, body: &[u8]) -> Result<Call, Answer> {
        let parts: Vec<&str> = path.split('/').collect();
        let (action, place) = match parts[..] {
            [port, "containers", container, "import", "release-rights"] => {
                ("release-rights", Some((port, container)))
            }
            [_, "containers", "import", "release-rights"] => ("release-rights-bulk", None),
            [port, "containers", container, "import", "pickup-rights"] => {
                ("pickup-rights", Some((port, container)))
            }
            ["pickup-rights", "barge-rail"] => ("barge-rail", None),
            ["release-rights", "means-of-transport"] => ("means-of-transport", None),
            _ => return Err(problem(StatusCode::NOT_FOUND, "Resource not found")),
        };
        let invalid = match action {
            "pickup-rights" | "barge-rail" => StatusCode::BAD_REQUEST,
            _ => StatusCode::METHOD_NOT_ALLOWED,
        };
        let refused = |why: &str| problem(invalid, &format!("Invalid input: {why}"));
        let Ok(Value::Object(body)) = serde_json::from_slice(body) else {
            return Err(refused("the body is no object"));
        };
        let text =
            |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let needed = |name: &str| text(name).ok_or_else(|| refused(&format!("{name} is missing")));
        let known: &[&str] = match action {
            "pickup-rights" | "barge-rail" => &PICK_UP,
            "means-of-transport" => &[],
            _ => &RELEASE,
        };
        let action_type = match action {
            "means-of-transport" => needed("meansOfTransport")?,
            _ => needed("actionType")?,
        };
        if !known.is_empty() && !known.contains(&action_type) {
            return Err(refused("actionType is not known"));
        }
        if let Some((port, container)) = place
            && (needed("portLoCode")? != port || needed("equipmentNumber")? != container)
        {
            return Err(refused("the path is another than the body's"));
        }
        if action != "release-rights-bulk" {
            needed("equipmentNumber")?;
            let bills = body.get("billOfLadingNumbers").and_then(Value::as_array);
            if bills.is_none_or(Vec::is_empty) {
                return Err(refused("billOfLadingNumbers is missing"));
            }
        } else {
            let rights = body.get("releaseRights").and_then(Value::as_array);
            let Some(rights) = rights.filter(|rights| !rights.is_empty()) else {
                return Err(refused("releaseRights is missing"));
            };
            needed("portLoCode")?;
            let is_whole = |right: &Value| {
                right["equipmentNumber"].as_str().is_some_and(|container| !container.is_empty())
                    && right["billOfLadingNumbers"]
                        .as_array()
                        .is_some_and(|bills| !bills.is_empty())
            };
            if !rights.iter().all(is_whole) {
                return Err(refused("a release right lacks its container or its bills of lading"));
            }
        }
        Ok(Call {
            action,
            action_type: action_type.to_string(),
            equipment: text("equipmentNumber").unwrap_or_default().to_string(),
            rights: body
                .get("releaseRights")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default(),
        })
    }
}
