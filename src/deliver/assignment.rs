//! Assignment: what a mapped record asks of an SCR API, checked before anything is sent
//! (design, section 4.2; SCR API 1.2.9, "Assign a release").

use serde::Deserialize;

use super::precedence::Bearing;
use crate::model::{Level, Problem};
use crate::remote::release::{Assignee, Barge, Driver};
use crate::remote::scr::Invitation;

/// What a record asks of an SCR API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A call for a release.
    Release(Assignment),
    /// A company is to be asked to connect.
    Invitation(Invitation),
}

/// What is asked for one release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Which release.
    pub release: ReleaseName,
    /// What is to happen to it.
    pub action: Action,
}

/// How a release is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReleaseName {
    /// By its address, in lower case.
    Address(String),
    /// By its container, with the bill of lading where it is known.
    Container(String, Option<String>),
}

/// What is to happen to a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A driver or barge picks the container up.
    Assign(Assignee),
    /// The assignment is removed.
    Unassign,
    /// It goes to another company.
    Transfer(Target),
    /// It comes back from the company that it went to.
    Revoke,
}

/// Whom a release goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// By the company's address, as it was given.
    Address(String),
    /// By the VAT number or the reference of a connection.
    Name(String),
}

impl Action {
    /// How it bears on other calls for its release.
    pub fn bearing(&self) -> Bearing {
        match self {
            Action::Assign(_) | Action::Unassign => Bearing::Overwrites,
            Action::Transfer(_) => Bearing::HandsOver,
            Action::Revoke => Bearing::TakesBack,
        }
    }
}

impl Assignment {
    /// A text without the personal data of this assignment, for logs and status: a server's words
    /// may repeat what was sent to it.
    pub fn mask(&self, text: &str) -> String {
        let Action::Assign(Assignee::Driver(driver)) = &self.action else { return text.to_owned() };
        let personal = [&driver.identification, &driver.last_name, &driver.first_name];
        let optional = [driver.phone.as_ref(), driver.email.as_ref()];
        let mut masked = text.to_owned();
        for value in personal.into_iter().chain(optional.into_iter().flatten()) {
            if value.len() > 2 {
                masked = masked.replace(value.as_str(), "***");
            }
        }
        masked
    }
}

/// Text fields hold 255 characters (SCR API 1.2.9, "Field lengths and definitions").
const FIELD_LIMIT: usize = 255;

#[derive(Deserialize)]
struct Mapped {
    action: Option<String>,
    to: Option<String>,
    #[serde(default)]
    release: Named,
    driver: Option<DriverFields>,
    barge: Option<BargeFields>,
    #[serde(default)]
    invitation: InvitationFields,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct InvitationFields {
    reference: Option<String>,
    name: Option<String>,
    vat: Option<String>,
    contact_email: Option<String>,
}

#[derive(Default, Deserialize)]
struct Named {
    address: Option<String>,
    container: Option<String>,
    bl: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DriverFields {
    first_name: Option<String>,
    last_name: Option<String>,
    identification: Option<String>,
    email: Option<String>,
    phone: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BargeFields {
    name: Option<String>,
    identification: Option<String>,
    visit_number: Option<String>,
}

/// Reads a mapped record. Problems name the mapping's `to`; those of level `warn` leave the
/// assignment as it is.
pub fn parse(body: &[u8], record: u64, line: u64) -> (Option<Asked>, Vec<Problem>) {
    let mut problems = Problems { record, line, list: Vec::new() };
    let mapped: Mapped = match serde_json::from_slice(body) {
        Ok(mapped) => mapped,
        Err(error) => {
            problems.reject(
                "",
                "scr",
                "",
                &format!("the mapped record has another shape: {error}"),
            );
            return (None, problems.list);
        }
    };
    if mapped.action.as_deref() == Some("invite") {
        let invitation = problems.invitation(mapped.invitation);
        let invitation = invitation.filter(|_| problems.list.is_empty());
        return (invitation.map(Asked::Invitation), problems.list);
    }
    let release = problems.release(mapped.release);
    let action = match mapped.action.as_deref().unwrap_or("assign") {
        "assign" => problems.assignee(mapped.driver, mapped.barge).map(Action::Assign),
        "unassign" => Some(Action::Unassign),
        "transfer" => problems.target(mapped.to).map(Action::Transfer),
        "revoke" => Some(Action::Revoke),
        other => {
            let advice = "the actions are assign, unassign, transfer, revoke and invite";
            problems.reject("action", "values", other, advice);
            None
        }
    };
    let refused = problems.list.iter().any(|problem| problem.level == Level::Reject);
    let assignment = match (release, action) {
        (Some(release), Some(action)) if !refused => {
            Some(Asked::Release(Assignment { release, action }))
        }
        _ => None,
    };
    (assignment, problems.list)
}

struct Problems {
    record: u64,
    line: u64,
    list: Vec<Problem>,
}

impl Problems {
    fn release(&mut self, named: Named) -> Option<ReleaseName> {
        let container = self.bounded("release.container", named.container);
        let bl = self.bounded("release.bl", named.bl);
        let address = self.bounded("release.address", named.address);
        match (address, container) {
            (Some(address), _) => {
                let address = address.to_lowercase();
                if is_address(&address) {
                    return Some(ReleaseName::Address(address));
                }
                self.reject(
                    "release.address",
                    "address",
                    &address,
                    "an address is 0x and hexadecimal digits",
                );
                None
            }
            (None, Some(container)) => Some(ReleaseName::Container(container, bl)),
            (None, None) => {
                self.missing(
                    "release.container",
                    "name the release by its container or its address",
                );
                None
            }
        }
    }

    fn invitation(&mut self, fields: InvitationFields) -> Option<Invitation> {
        let reference = fields.reference.filter(|text| !text.trim().is_empty());
        let reference = self.bounded("invitation.reference", reference);
        let name = self.needed("invitation.name", fields.name);
        let vat = self.needed("invitation.vat", fields.vat);
        let contact_email = self.needed("invitation.contactEmail", fields.contact_email);
        Some(Invitation { reference, name: name?, vat: vat?, contact_email: contact_email? })
    }

    fn target(&mut self, to: Option<String>) -> Option<Target> {
        let Some(to) = to.map(|to| to.trim().to_owned()).filter(|to| !to.is_empty()) else {
            self.missing(
                "to",
                "say which connection the release goes to: its address or VAT number",
            );
            return None;
        };
        let to = self.bounded("to", Some(to))?;
        Some(if is_address(&to) { Target::Address(to) } else { Target::Name(to) })
    }

    fn assignee(
        &mut self,
        driver: Option<DriverFields>,
        barge: Option<BargeFields>,
    ) -> Option<Assignee> {
        match (driver, barge) {
            (Some(driver), None) => {
                let first_name = self.needed("driver.firstName", driver.first_name);
                let last_name = self.needed("driver.lastName", driver.last_name);
                let identification = self.needed("driver.identification", driver.identification);
                let email = self.bounded("driver.email", driver.email);
                let phone = self.bounded("driver.phone", driver.phone);
                Some(Assignee::Driver(Driver {
                    first_name: first_name?,
                    last_name: last_name?,
                    identification: identification?,
                    email,
                    phone,
                }))
            }
            (None, Some(barge)) => {
                let name = self.needed("barge.name", barge.name);
                let identification = self.needed("barge.identification", barge.identification);
                let visit_number = self.bounded("barge.visitNumber", barge.visit_number);
                if visit_number.is_none() {
                    self.list.push(Problem {
                        level: Level::Warn,
                        ..self.problem(
                            "barge.visitNumber",
                            "required",
                            "",
                            "the terminal asks for the visit number when the loading order comes; \
                             send it before then",
                        )
                    });
                }
                Some(Assignee::Barge(Barge {
                    name: name?,
                    identification: identification?,
                    visit_number,
                }))
            }
            (Some(_), Some(_)) => {
                self.reject(
                    "driver",
                    "required",
                    "",
                    "a release goes to a driver or to a barge, not to both",
                );
                None
            }
            (None, None) => {
                self.missing("driver", "say which driver or barge the release goes to");
                None
            }
        }
    }

    fn needed(&mut self, field: &str, value: Option<String>) -> Option<String> {
        match value.filter(|value| !value.trim().is_empty()) {
            Some(value) => self.bounded(field, Some(value)),
            None => {
                self.missing(field, "the SCR API cannot do without it");
                None
            }
        }
    }

    fn bounded(&mut self, field: &str, value: Option<String>) -> Option<String> {
        let value = value?;
        if value.chars().count() > FIELD_LIMIT {
            let advice = format!("the SCR API takes {FIELD_LIMIT} characters");
            self.reject(field, "max-length", &value, &advice);
        }
        Some(value)
    }

    fn missing(&mut self, field: &str, advice: &str) {
        self.reject(field, "required", "", advice);
    }

    fn reject(&mut self, field: &str, rule: &str, value: &str, advice: &str) {
        self.list.push(self.problem(field, rule, value, advice));
    }

    fn problem(&self, field: &str, rule: &str, value: &str, advice: &str) -> Problem {
        Problem {
            record: self.record,
            line: self.line,
            level: Level::Reject,
            field: field.to_owned(),
            value: value.to_owned(),
            rule: rule.to_owned(),
            advice: advice.to_owned(),
        }
    }
}

/// Whether a text is an address: 0x and hexadecimal digits.
fn is_address(text: &str) -> bool {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    digits.is_some_and(|digits| {
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(body: &str) -> (Option<Assignment>, Vec<(String, String, &'static str)>) {
        let (asked, problems) = parse(body.as_bytes(), 5, 9);
        let assignment = asked.map(|asked| match asked {
            Asked::Release(assignment) => assignment,
            Asked::Invitation(invitation) => panic!("{invitation:?}"),
        });
        let rows = problems
            .into_iter()
            .inspect(|problem| assert_eq!((problem.record, problem.line), (5, 9)))
            .map(|problem| (problem.field, problem.rule, problem.level.word()));
        (assignment, rows.collect())
    }

    #[test]
    fn a_driver_needs_name_and_identification() {
        let (assignment, problems) =
            told(r#"{"release":{"address":"0xAB"},"driver":{"firstName":"An","lastName":" "}}"#);
        assert_eq!(assignment, None);
        let row = |field: &str| (field.to_owned(), "required".to_owned(), "reject");
        assert_eq!(problems, [row("driver.lastName"), row("driver.identification")]);
    }

    #[test]
    fn personal_data_is_masked_in_what_a_server_says() {
        let (assignment, _) = told(
            r#"{"release":{"address":"0xAB"},"driver":{"firstName":"An","lastName":"Peeters",
                "identification":"ALF-7","phone":"+32 470"}}"#,
        );
        let said = "driver ALF-7 (Peeters, +32 470) is not known";
        assert_eq!(assignment.unwrap().mask(said), "driver *** (***, ***) is not known");
    }

    #[test]
    fn an_address_is_compared_in_lower_case() {
        let (assignment, problems) =
            told(r#"{"action":"unassign","release":{"address":"0xABcd"}}"#);
        let release = ReleaseName::Address("0xabcd".to_owned());
        assert_eq!(assignment, Some(Assignment { release, action: Action::Unassign }));
        assert_eq!(problems, []);
    }

    #[test]
    fn a_transfer_says_to_whom_and_a_revoke_says_nothing_more() {
        let record = |more: &str| format!(r#"{{"release":{{"container":"X"}},{more}}}"#);
        let action = |more: &str| {
            let (assignment, problems) = told(&record(more));
            assignment.map(|assignment| assignment.action).ok_or(problems)
        };
        let transfer = |target| Ok(Action::Transfer(target));
        assert_eq!(
            action(r#""action":"transfer","to":" 0xABcd ""#),
            transfer(Target::Address("0xABcd".to_owned()))
        );
        for name in ["BE 0403.019.261", "clientref1", "0x"] {
            assert_eq!(
                action(&format!(r#""action":"transfer","to":"{name}""#)),
                transfer(Target::Name(name.to_owned()))
            );
        }
        let missing = vec![("to".to_owned(), "required".to_owned(), "reject")];
        assert_eq!(action(r#""action":"transfer""#), Err(missing.clone()));
        assert_eq!(action(r#""action":"transfer","to":" ""#), Err(missing));
        let long = format!(r#""action":"transfer","to":"{}""#, "é".repeat(256));
        assert_eq!(action(&long).unwrap_err()[0].1, "max-length");
        assert_eq!(action(r#""action":"revoke""#), Ok(Action::Revoke));
    }

    #[test]
    fn an_invitation_says_who_is_to_be_asked_and_where() {
        let told = |fields: &str| {
            let body = format!(r#"{{"action":"invite","invitation":{fields}}}"#);
            let (asked, problems) = parse(body.as_bytes(), 5, 9);
            let rows: Vec<String> =
                problems.iter().map(|row| format!("{} {}", row.field, row.rule)).collect();
            (asked, rows)
        };
        // SCR API 1.2.9, "Invite an organization".
        let (asked, rows) = told(
            r#"{"reference":"clientref1","name":"Transporter NV","vat":"BE161023354",
                "contactEmail":"info@transporternv.com"}"#,
        );
        assert_eq!(rows, [""; 0]);
        let invitation = Invitation {
            reference: Some("clientref1".to_owned()),
            name: "Transporter NV".to_owned(),
            vat: "BE161023354".to_owned(),
            contact_email: "info@transporternv.com".to_owned(),
        };
        assert_eq!(asked, Some(Asked::Invitation(invitation)));
        let needed = ["name", "vat", "contactEmail"];
        let all = needed.map(|name| format!("invitation.{name} required"));
        assert_eq!(told("{}"), (None, all.to_vec()));
        let long = format!(r#"{{"name":"N","vat":"{}","contactEmail":"a@b"}}"#, "1".repeat(256));
        assert_eq!(told(&long), (None, vec!["invitation.vat max-length".to_owned()]));
        let (asked, _) = told(r#"{"reference":" ","name":"N","vat":"1","contactEmail":"a@b"}"#);
        let Some(Asked::Invitation(invitation)) = asked else { panic!("{asked:?}") };
        assert_eq!(invitation.reference, None);
    }

    #[test]
    fn a_barge_without_visit_number_goes_out_with_a_warning() {
        let (assignment, problems) = told(
            r#"{"release":{"container":"CSQU3054383"},"barge":{"name":"Antigoon","identification":"02054020"}}"#,
        );
        assert!(assignment.is_some());
        assert_eq!(problems, [("barge.visitNumber".to_owned(), "required".to_owned(), "warn")]);
    }

    #[test]
    fn every_text_of_a_call_holds_255_characters_whatever_their_bytes() {
        let driver = [
            "release.address",
            "release.container",
            "release.bl",
            "driver.firstName",
            "driver.lastName",
            "driver.identification",
            "driver.email",
            "driver.phone",
        ];
        let barge =
            ["release.container", "barge.name", "barge.identification", "barge.visitNumber"];
        let record = |fields: &[&str], long: &str, length: usize| {
            let mut record = serde_json::json!({});
            for field in fields {
                let (outer, inner) = field.split_once('.').unwrap();
                let length = if *field == long { length } else { 1 };
                record[outer][inner] = match inner {
                    "address" => format!("0x{}", "a".repeat(length - length.min(2)) + "b").into(),
                    // Two bytes each in UTF-8.
                    _ => "é".repeat(length).into(),
                };
            }
            record.to_string()
        };
        for fields in [&driver[..], &barge] {
            for long in fields {
                // The address has its last digit besides.
                let most = if long.ends_with("address") { 254 } else { 255 };
                assert_eq!(told(&record(fields, long, most)).1, [], "{long}");
                let wanted = ((*long).to_owned(), "max-length".to_owned(), "reject");
                assert_eq!(told(&record(fields, long, most + 1)).1, [wanted]);
            }
        }
    }

    #[test]
    fn what_has_no_release_no_assignee_or_another_action_is_set_aside() {
        let rules = |body| told(body).1.into_iter().map(|(field, ..)| field).collect::<Vec<_>>();
        assert_eq!(rules("{}"), ["release.container", "driver"]);
        assert_eq!(rules(r#"{"action":"fly","release":{"container":"X"}}"#), ["action"]);
        assert_eq!(
            rules(r#"{"release":{"address":"12"},"action":"unassign"}"#),
            ["release.address"]
        );
        assert_eq!(rules("[]"), [""]);
        let long =
            format!(r#"{{"action":"unassign","release":{{"container":"{}"}}}}"#, "X".repeat(256));
        assert_eq!(rules(&long), ["release.container"]);
    }
}
