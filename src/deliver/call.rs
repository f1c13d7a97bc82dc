//! Call: what a mapped record asks of Certified Pick up, checked before anything is sent
//! (reference/domain.md, section 3).
//!
//! The record names the `action` by the last part of its path, and beside it the fields of its
//! body. What the API cannot do without is asked for here: what its URL is made of, what is to be
//! done, and the bills of lading, for a release is one container and its bills.

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::model::{Level, Problem};

/// One call that changes something.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The segments of its path behind the base URL.
    pub path: Vec<String>,
    /// What it carries.
    pub body: Value,
    /// The containers that it is about.
    pub equipment: Vec<String>,
}

/// What one of several release rights in one call may say; port and action type are the call's.
const BULK: &[&str] = &[
    "releaseFrom",
    "releaseTo",
    "terminalCode",
    "billOfLadingNumbers",
    "equipmentNumber",
    "releaseIdentification",
];

/// What the path of a call ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    ReleaseRights,
    PickupRights,
    BargeRail,
    MeansOfTransport,
}

/// Most characters of one text; the API's own limits are not public.
const FIELD_LIMIT: usize = 255;

const ACTIONS: &[&str] = &["release-rights", "pickup-rights", "barge-rail", "means-of-transport"];

/// What may be done with a release right.
const RELEASE: &[&str] =
    &["Transfer", "Accept", "Decline", "Revoke", "Release", "Update", "Block", "Unblock", "Delete"];
const PICK_UP: &[&str] = &["Assign", "Update", "Revoke"];
const PARTIES: &[&str] = &["NxtEntityId", "Tin", "Eori", "Duns", "SCAC", "Apcs"];
const TRANSPORTS: &[&str] = &["Truck", "Barge", "Rail", "Unknown"];

/// One field of a call.
struct Field {
    name: &'static str,
    is: Is,
    needed: bool,
}

/// What a field holds.
enum Is {
    Text,
    /// One part of the path.
    Segment,
    /// Several texts; one alone may stand without brackets.
    Texts,
    /// One of these, in letters of either case.
    OneOf(&'static [&'static str]),
    /// A company by one of its numbers; with what it comes by, where that matters.
    Party(Option<&'static [&'static str]>),
}

const fn needed(name: &'static str, is: Is) -> Field {
    Field { name, is, needed: true }
}

const fn optional(name: &'static str, is: Is) -> Field {
    Field { name, is, needed: false }
}

impl Action {
    /// That of one of the words.
    fn of(word: &str) -> Action {
        match word {
            "pickup-rights" => Action::PickupRights,
            "barge-rail" => Action::BargeRail,
            "means-of-transport" => Action::MeansOfTransport,
            _ => Action::ReleaseRights,
        }
    }

    /// Everything that its body may hold.
    fn fields(self) -> &'static [Field] {
        const RELEASE_RIGHT: &[Field] = &[
            needed("actionType", Is::OneOf(RELEASE)),
            needed("portLoCode", Is::Segment),
            needed("equipmentNumber", Is::Segment),
            needed("billOfLadingNumbers", Is::Texts),
            optional("releaseIdentification", Is::Text),
            optional("terminalCode", Is::Text),
            optional("reasonForAction", Is::Text),
            optional("releaseFrom", Is::Party(None)),
            optional("releaseTo", Is::Party(None)),
            optional("carrier", Is::Party(None)),
            optional("releaseDateTimeUtc", Is::Text),
            optional("expirationDateTimeUtc", Is::Text),
            optional("validFrom", Is::Text),
        ];
        const PICK_UP_RIGHT: &[Field] = &[
            needed("actionType", Is::OneOf(PICK_UP)),
            needed("portLoCode", Is::Segment),
            needed("equipmentNumber", Is::Segment),
            needed("billOfLadingNumbers", Is::Texts),
            needed("pickupParty", Is::Party(Some(&["Truck", "Rail", "Barge"]))),
            optional("releaseIdentification", Is::Text),
            optional("terminalCode", Is::Text),
            optional("timestamp", Is::Text),
        ];
        const BARGE_OR_RAIL: &[Field] = &[
            needed("actionType", Is::OneOf(PICK_UP)),
            needed("equipmentNumber", Is::Text),
            needed("billOfLadingNumbers", Is::Texts),
            needed("pickupParty", Is::Party(Some(&["Rail", "Barge"]))),
            optional("portLoCode", Is::Text),
            optional("releaseIdentification", Is::Text),
            optional("terminalCode", Is::Text),
            optional("timestamp", Is::Text),
        ];
        const MEANS: &[Field] = &[
            needed("meansOfTransport", Is::OneOf(TRANSPORTS)),
            needed("equipmentNumber", Is::Text),
            needed("billOfLadingNumbers", Is::Texts),
            optional("portLoCode", Is::Text),
            optional("releaseIdentification", Is::Text),
            optional("terminalCode", Is::Text),
        ];
        match self {
            Action::ReleaseRights => RELEASE_RIGHT,
            Action::PickupRights => PICK_UP_RIGHT,
            Action::BargeRail => BARGE_OR_RAIL,
            Action::MeansOfTransport => MEANS,
        }
    }

    fn path(self, body: &Map<String, Value>) -> Vec<String> {
        let own =
            |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let of_container = |last: &str| {
            let [port, container] = [own("portLoCode"), own("equipmentNumber")];
            vec![port, "containers".to_owned(), container, "import".to_owned(), last.to_owned()]
        };
        match self {
            Action::ReleaseRights => of_container("release-rights"),
            Action::PickupRights => of_container("pickup-rights"),
            Action::BargeRail => vec!["pickup-rights".to_owned(), "barge-rail".to_owned()],
            Action::MeansOfTransport => {
                vec!["release-rights".to_owned(), "means-of-transport".to_owned()]
            }
        }
    }
}

/// Reads a mapped record. Problems name the mapping's `to`.
pub fn parse(body: &[u8], record: u64, line: u64) -> (Option<Call>, Vec<Problem>) {
    let mut problems = Problems { record, line, list: Vec::new() };
    let call = problems.call(body);
    (call.filter(|_| problems.list.is_empty()), problems.list)
}

/// What mapped records must have in common to go in one request; none of a record that goes alone.
pub type Alike = fn(&[u8]) -> Option<String>;

/// What two records must have in common to go in one call: those that are release rights of one port
/// and action type. None if a record must go alone.
pub fn alike(body: &[u8]) -> Option<String> {
    let call = parse(body, 0, 0).0.filter(|call| call.path[1] == "containers")?;
    let fields = call.body.as_object()?;
    let is_told = |name: &str| ["portLoCode", "actionType"].contains(&name) || BULK.contains(&name);
    let is_right = call.path.last().is_some_and(|last| last == "release-rights");
    let action = fields.get("actionType")?.as_str()?;
    (is_right && fields.keys().all(|name| is_told(name)))
        .then(|| format!("{action} {}", call.path[0]))
}

/// The one call for several records that are alike; none if they are not.
pub fn bulk(body: &[u8]) -> Option<Call> {
    let records: Vec<Box<RawValue>> = serde_json::from_slice(body).ok()?;
    let first = alike(records.first()?.get().as_bytes())?;
    let (mut rights, mut equipment) = (Vec::new(), Vec::new());
    let (mut port, mut action) = (Value::Null, Value::Null);
    for record in &records {
        let record = record.get().as_bytes();
        let call = parse(record, 0, 0).0.filter(|_| alike(record).as_ref() == Some(&first))?;
        let Value::Object(mut fields) = call.body else { return None };
        port = fields.remove("portLoCode")?;
        action = fields.remove("actionType")?;
        rights.push(Value::Object(fields));
        equipment.extend(call.equipment);
    }
    let path =
        [port.as_str()?, "containers", "import", "release-rights"].map(str::to_owned).to_vec();
    let body = json!({ "portLoCode": port, "actionType": action, "releaseRights": rights });
    Some(Call { path, body, equipment })
}

struct Problems {
    record: u64,
    line: u64,
    list: Vec<Problem>,
}

impl Problems {
    fn call(&mut self, body: &[u8]) -> Option<Call> {
        // Of a channel whose calls may carry several records, one alone stands in a list, too.
        let alone = serde_json::from_slice::<[Map<String, Value>; 1]>(body).map(|[alone]| alone);
        let mut mapped = match alone.or_else(|_| serde_json::from_slice(body)) {
            Ok(mapped) => mapped,
            Err(error) => {
                let advice = format!("the mapped record has another shape: {error}");
                self.reject("", "cpu", "", &advice);
                return None;
            }
        };
        let word = self.value("action", mapped.remove("action"), &Is::OneOf(ACTIONS), true)?;
        let word = word.as_str()?;
        let action = Action::of(word);
        let mut told = Map::new();
        for Field { name, is, needed } in action.fields() {
            if let Some(value) = self.value(name, mapped.remove(*name), is, *needed) {
                told.insert((*name).to_owned(), value);
            }
        }
        for (name, value) in mapped {
            let known: Vec<&str> = action.fields().iter().map(|field| field.name).collect();
            let advice = format!("{word} has no such field, only {}", known.join(", "));
            self.reject(&name, "unknown", &shown(&value), &advice);
        }
        let path = action.path(&told);
        let equipment = told.get("equipmentNumber").and_then(Value::as_str).unwrap_or_default();
        let equipment = vec![equipment.to_owned()];
        Some(Call { path, body: Value::Object(told), equipment })
    }

    /// What is sent for a field.
    fn value(&mut self, name: &str, value: Option<Value>, is: &Is, needed: bool) -> Option<Value> {
        let value = value.filter(|value| !is_empty(value));
        let Some(value) = value else {
            if needed {
                self.missing(name);
            }
            return None;
        };
        match is {
            Is::Text => self.text(name, value).map(Value::String),
            Is::Segment => {
                let text = self.text(name, value)?;
                // A URL cannot carry these as a segment, in no encoding.
                if matches!(text.as_str(), "." | "..") || text.chars().any(char::is_control) {
                    self.reject(name, "cpu", &text, "it becomes part of the URL");
                    return None;
                }
                Some(Value::String(text))
            }
            Is::Texts => {
                let list = match value {
                    Value::Array(list) => list,
                    one => vec![one],
                };
                let list = list.into_iter().filter(|value| !is_empty(value));
                let list: Option<Vec<Value>> =
                    list.map(|value| self.text(name, value).map(Value::String)).collect();
                list.map(Value::Array)
            }
            Is::OneOf(words) => {
                let text = self.text(name, value)?;
                let word = words.iter().find(|word| word.eq_ignore_ascii_case(&text));
                if word.is_none() {
                    let advice = format!("it must be one of {}", words.join(", "));
                    self.reject(name, "values", &text, &advice);
                }
                word.map(|word| Value::String((*word).to_owned()))
            }
            Is::Party(by) => self.party(name, value, *by),
        }
    }

    fn party(
        &mut self,
        name: &str,
        value: Value,
        by: Option<&'static [&'static str]>,
    ) -> Option<Value> {
        let Value::Object(mut party) = value else {
            self.reject(name, "cpu", &shown(&value), "a company is two fields below this one");
            return None;
        };
        let mut told = Map::new();
        let by = by.map(|by| ("partyType", Is::OneOf(by)));
        let number = [("identificationType", Is::OneOf(PARTIES)), ("identificationCode", Is::Text)];
        for (inner, is) in by.into_iter().chain(number) {
            let value = self.value(&format!("{name}.{inner}"), party.remove(inner), &is, true);
            told.extend(value.map(|value| (inner.to_owned(), value)));
        }
        for (inner, value) in party {
            let advice = "a company has no such field";
            self.reject(&format!("{name}.{inner}"), "unknown", &shown(&value), advice);
        }
        Some(Value::Object(told))
    }

    fn text(&mut self, name: &str, value: Value) -> Option<String> {
        let Value::String(text) = value else {
            self.reject(name, "cpu", &shown(&value), "CPu takes a text here");
            return None;
        };
        if text.chars().count() > FIELD_LIMIT {
            let advice = format!("at most {FIELD_LIMIT} characters are sent");
            self.reject(name, "max-length", &text, &advice);
            return None;
        }
        Some(text)
    }

    fn missing(&mut self, field: &str) {
        self.reject(field, "required", "", "CPu cannot do without it");
    }

    fn reject(&mut self, field: &str, rule: &str, value: &str, advice: &str) {
        self.list.push(Problem {
            record: self.record,
            line: self.line,
            level: Level::Reject,
            field: field.to_owned(),
            value: value.to_owned(),
            rule: rule.to_owned(),
            advice: advice.to_owned(),
        });
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(list) => list.iter().all(is_empty),
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The path and body of the call, or the fields and rules of what is wrong.
    fn told(record: Value) -> Result<(String, Value), Vec<String>> {
        let (call, problems) = parse(record.to_string().as_bytes(), 5, 9);
        let rows: Vec<String> = problems
            .iter()
            .inspect(|problem| assert_eq!((problem.record, problem.line), (5, 9)))
            .map(|problem| format!("{} {} {}", problem.field, problem.rule, problem.value))
            .map(|row| row.trim().to_owned())
            .collect();
        assert_eq!(call.is_none(), !rows.is_empty(), "{rows:?}");
        call.map(|call| (call.path.join("/"), call.body)).ok_or(rows)
    }

    #[test]
    fn a_release_right_goes_to_its_container() {
        let (path, body) = told(json!({
            "action": "release-rights", "actionType": "transfer", "portLoCode": "BEANR",
            "equipmentNumber": "CSQU3054383", "billOfLadingNumbers": ["BL1", "BL2"],
            "terminalCode": "01700", "releaseIdentification": "",
            "releaseTo": { "identificationType": "tin", "identificationCode": "BE0403019261" }
        }))
        .unwrap();
        assert_eq!(path, "BEANR/containers/CSQU3054383/import/release-rights");
        let expected = json!({
            "actionType": "Transfer", "portLoCode": "BEANR", "equipmentNumber": "CSQU3054383",
            "billOfLadingNumbers": ["BL1", "BL2"], "terminalCode": "01700",
            "releaseTo": { "identificationType": "Tin", "identificationCode": "BE0403019261" }
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn a_pick_up_right_names_who_picks_up() {
        let right = json!({
            "action": "pickup-rights", "actionType": "Assign", "portLoCode": "BEANR",
            "equipmentNumber": "CSQU3054383", "billOfLadingNumbers": "BL1",
            "timestamp": "2026-11-22T10:00:00Z",
            "pickupParty": { "partyType": "Truck", "identificationType": "NxtEntityId",
                             "identificationCode": "NXT0001" }
        });
        let (path, body) = told(right.clone()).unwrap();
        assert_eq!(path, "BEANR/containers/CSQU3054383/import/pickup-rights");
        let mut expected = right.clone();
        expected.as_object_mut().unwrap().remove("action");
        expected["billOfLadingNumbers"] = json!(["BL1"]);
        assert_eq!(body, expected);

        let mut without = right;
        without["pickupParty"] = json!({ "partyType": "Plane", "identificationType": "Tin" });
        let rows =
            ["pickupParty.partyType values Plane", "pickupParty.identificationCode required"];
        assert_eq!(told(without), Err(rows.map(str::to_owned).to_vec()));
    }

    #[test]
    fn barge_and_rail_and_means_of_transport_have_paths_of_their_own() {
        let (path, body) = told(json!({
            "action": "barge-rail", "actionType": "Revoke", "equipmentNumber": "CSQU3054383",
            "billOfLadingNumbers": ["BL1"],
            "pickupParty": { "partyType": "rail", "identificationType": "Eori",
                             "identificationCode": "BE1" }
        }))
        .unwrap();
        assert_eq!(path, "pickup-rights/barge-rail");
        assert_eq!(body["pickupParty"]["partyType"], "Rail");
        let (path, body) = told(json!({
            "action": "means-of-transport", "meansOfTransport": "BARGE",
            "equipmentNumber": "CSQU3054383", "billOfLadingNumbers": ["BL1"]
        }))
        .unwrap();
        assert_eq!(path, "release-rights/means-of-transport");
        let expected = json!({ "meansOfTransport": "Barge", "equipmentNumber": "CSQU3054383",
                               "billOfLadingNumbers": ["BL1"] });
        assert_eq!(body, expected);
        let by_truck = json!({
            "action": "barge-rail", "actionType": "Assign", "equipmentNumber": "CSQU3054383",
            "billOfLadingNumbers": ["BL1"],
            "pickupParty": { "partyType": "Truck", "identificationType": "Tin",
                             "identificationCode": "BE1" }
        });
        assert_eq!(told(by_truck), Err(vec!["pickupParty.partyType values Truck".to_owned()]));
    }

    fn right(container: &str, action: &str) -> Value {
        json!({
            "action": "release-rights", "actionType": action, "portLoCode": "BEANR",
            "equipmentNumber": container, "billOfLadingNumbers": ["BL1"]
        })
    }

    #[test]
    fn several_release_rights_of_one_port_and_action_are_one_call() {
        let mut second = right("TOLU4734787", "accept");
        second["terminalCode"] = json!("01700");
        let call = bulk(json!([right("CSQU3054383", "Accept"), second]).to_string().as_bytes());
        let call = call.unwrap();
        assert_eq!(call.path.join("/"), "BEANR/containers/import/release-rights");
        assert_eq!(call.equipment, ["CSQU3054383", "TOLU4734787"]);
        let expected = json!({
            "portLoCode": "BEANR", "actionType": "Accept", "releaseRights": [
                { "equipmentNumber": "CSQU3054383", "billOfLadingNumbers": ["BL1"] },
                { "equipmentNumber": "TOLU4734787", "billOfLadingNumbers": ["BL1"],
                  "terminalCode": "01700" }
            ]
        });
        assert_eq!(call.body, expected);
        let mixed = json!([right("CSQU3054383", "Accept"), right("TOLU4734787", "Release")]);
        assert_eq!(bulk(mixed.to_string().as_bytes()), None);
    }

    #[test]
    fn what_a_call_for_several_cannot_say_goes_alone() {
        let kind = |record: &Value| alike(record.to_string().as_bytes());
        let plain = right("CSQU3054383", "Accept");
        assert!(kind(&plain).is_some() && kind(&plain) == kind(&right("TOLU4734787", "ACCEPT")));
        assert_ne!(kind(&plain), kind(&right("TOLU4734787", "Decline")));
        for (name, value) in [
            ("portLoCode", "NLRTM"),
            ("validFrom", "2026-11-22"),
            ("equipmentNumber", ""),
            ("action", "means-of-transport"),
        ] {
            let mut other = plain.clone();
            other[name] = json!(value);
            assert_ne!(kind(&plain), kind(&other), "{name}");
            assert_eq!(kind(&other).is_some(), name == "portLoCode", "{name}");
        }
        let (call, problems) = parse(json!([plain]).to_string().as_bytes(), 1, 1);
        assert!(call.is_some() && problems.is_empty(), "one alone in a list");
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        let rows = |record| told(record).unwrap_err();
        assert_eq!(rows(json!({})), ["action required"]);
        assert_eq!(rows(json!({ "action": "fly" })), ["action values fly"]);
        assert_eq!(rows(json!([])), ["cpu"]);
        assert_eq!(
            rows(json!({ "action": "release-rights" })),
            [
                "actionType required",
                "portLoCode required",
                "equipmentNumber required",
                "billOfLadingNumbers required"
            ]
        );
        let record = |name: &str, value: Value| {
            let mut record = json!({
                "action": "release-rights", "actionType": "Accept", "portLoCode": "BEANR",
                "equipmentNumber": "CSQU3054383", "billOfLadingNumbers": ["BL1"]
            });
            assert!(told(record.clone()).is_ok());
            record[name] = value;
            record
        };
        assert_eq!(rows(record("actionType", json!("Assign"))), ["actionType values Assign"]);
        assert_eq!(rows(record("colour", json!("red"))), ["colour unknown red"]);
        assert_eq!(rows(record("portLoCode", json!(".."))), ["portLoCode cpu .."]);
        assert_eq!(rows(record("terminalCode", json!(1700))), ["terminalCode cpu 1700"]);
        assert_eq!(rows(record("carrier", json!("MSC"))), ["carrier cpu MSC"]);
        assert_eq!(
            rows(record("billOfLadingNumbers", json!(["", " "]))),
            ["billOfLadingNumbers required"]
        );
        let long = "é".repeat(256);
        let told = rows(record("reasonForAction", json!(long)));
        assert_eq!(told, [format!("reasonForAction max-length {long}")]);
        let party = json!({ "identificationType": "Tin", "identificationCode": "1", "name": "X" });
        assert_eq!(rows(record("releaseTo", party)), ["releaseTo.name unknown X"]);
    }
}
