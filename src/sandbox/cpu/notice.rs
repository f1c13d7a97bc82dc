//! Notice: what became of a call, as it is stored and as it is posted.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::world::{Company, Verdict};
use super::call::Call;

#[derive(Clone)]
pub(super) struct Notice {
    pub login: String,
    nxt_entity_id: String,
    pub reference: String,
    pub external_reference: String,
    pub equipment: String,
    pub event: String,
    action_type: String,
    message: Option<String>,
    pub accepted: Instant,
    /// How long it takes, if not as long as all others.
    pub delay: Option<Duration>,
    stored_on: Timestamp,
}

impl Notice {
    /// What becomes of a container of a call; an empty one stands for all of it.
    pub fn new(
        company: &Company,
        call: &Call,
        equipment: &str,
        verdict: Option<&Verdict>,
    ) -> Notice {
        let uuid = || uuid::Uuid::new_v4().to_string();
        Notice {
            login: company.login.clone(),
            nxt_entity_id: company.nxt_entity_id.clone(),
            reference: uuid(),
            external_reference: uuid(),
            equipment: equipment.to_string(),
            event: verdict.map_or_else(|| "Validated".to_string(), |verdict| verdict.event.clone()),
            action_type: call.action_type.clone(),
            message: verdict.map(|verdict| verdict.message.clone()),
            accepted: Instant::now(),
            delay: verdict.and_then(|verdict| verdict.delay_ms).map(Duration::from_millis),
            stored_on: Timestamp::now(),
        }
    }

    /// What becomes of another container of the same call.
    pub fn of_same_call(self, first: &Notice) -> Notice {
        let (reference, external_reference) =
            (first.reference.clone(), first.external_reference.clone());
        Notice { reference, external_reference, ..self }
    }

    /// As `GET /notifications` tells it.
    pub fn stored(&self) -> Value {
        json!({
            "nxtEntityId": self.nxt_entity_id,
            "equipmentNumber": self.equipment,
            "publicReferenceId": self.reference,
            "externalReferenceId": self.external_reference,
            "storedOn": self.stored_on.to_string(),
            "message": self.message,
            "type": "ReleaseRight",
            "event": self.event,
        })
    }

    /// As it is posted to a receiver. `body` has no `actionType` for `NotValidated`.
    pub fn posted(&self) -> Value {
        let mut body = json!({ "equipmentNumber": self.equipment, "message": self.message });
        if !self.event.eq_ignore_ascii_case("NotValidated") {
            body["actionType"] = self.action_type.clone().into();
        }
        json!({
            "type": "ReleaseRight",
            "event": self.event,
            "PublicReferenceId": self.reference,
            "id": self.equipment,
            "body": body,
        })
    }
}
